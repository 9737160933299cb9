"""What a Model has besides its predictions: texts, pictures, scikit-learn's tools, training further, estimators."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.metrics import get_scorer
from sklearn.model_selection import cross_val_predict, cross_val_score

import manynets as mn
from manynets.plots.models import history_panels
from manynets.tasks import Multiclass
from tests.tolerances import assert_close

X = np.random.default_rng(0).normal(size=(120, 3))
LABELS = np.where(X[:, 0] + X[:, 1] > 0, "yes", "no")
PRICE = 100 * X[:, 0] + 40 * X[:, 2] + 10
HOUSES = pl.DataFrame({"size": X[:, 0], "town": np.array(["Bern", "Chur"])[(X[:, 1] > 0).astype(int)]})
QUICK = mn.Recipe(epochs=8, optimizer=mn.Adam(lr=0.05))


def trained(y: Any = LABELS, x: Any = X, **options: Any) -> mn.Model:
    return mn.train(x, y, mn.MLP(hidden=(8,)), QUICK, progress=False, **options)


def test_short_texts() -> None:
    model = trained()
    assert repr(model) == "<Model: Binary classifier, 8 relu, 3 columns>"
    frame = trained(PRICE, HOUSES, n_networks=2)
    assert repr(frame) == "<Model: Regression model, 2 networks 8 relu, 2 columns>"
    assert repr(frame.encoder) == "<TableEncoder: 2 columns to 3 numbers>"
    html = frame._repr_html_()
    assert html.startswith("<table>")
    assert "2 (size, town), encoded as 3 numbers" in html
    result = mn.train_many(X, LABELS, [(mn.MLP(hidden=(4,)), QUICK)], cv=2, progress=False)[1]
    assert repr(result).startswith("<Result: candidate 0, fold 1, accuracy 0.")
    assert "4 relu" in result._repr_html_()
    assert len(repr(mn.datasets.load("moons"))) < 120


def test_an_encoder_and_a_history_show_themselves_in_a_notebook() -> None:
    model = trained(PRICE, HOUSES, validation=0.2)
    assert model.encoder is not None
    html = model.encoder._repr_html_()
    assert "2 columns, encoded as 3 numbers" in html
    assert "2 levels: Bern, Chur" in html
    assert model.history == dict(model.history)
    assert "8 evaluations" in model.history._repr_html_()  # type: ignore[attr-defined]
    long = type(model.history)({"loss": [float(i) for i in range(1000)]})
    assert long._repr_html_().count("<tr>") == 22  # type: ignore[attr-defined]
    assert pickle.loads(pickle.dumps(model)).history == model.history


def test_summary_says_what_a_prediction_costs(capsys: pytest.CaptureFixture[str]) -> None:
    trained(n_networks=3).summary()
    text = capsys.readouterr().out
    assert "96 for each row" in text  # 3 networks of 3 x 8 + 8 x 1 weights
    assert f"{3 * 41 * 4} bytes of weights" in text
    assert re.search(r"hidden0 +3 +8 +32 +24 +relu", text)
    spec = mn.MLP(hidden=(8,), embedding=mn.Periodic(), batch_norm=True, dropout=0.184742)
    model = mn.train(X, LABELS, spec, QUICK, progress=False)
    assert sum(row[3] for row in model.layer_rows()) == model.parameters
    assert [row[0] for row in model.layer_rows()][-2:] == ["hidden0", "output"]
    assert model.layer_rows()[-2][-1].endswith("dropout 0.185")
    own = mn.train(
        X, LABELS, torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1)), QUICK, progress=False
    )
    own.summary()
    text = capsys.readouterr().out
    assert re.search(r"layer +parameters +kind\n", text)
    assert re.search(r"2 +5 +Linear", text)
    assert "21 parameters\n" in text
    own.module[0].requires_grad_(False)
    own.summary()
    text = capsys.readouterr().out
    assert "5 parameters and 16 that were not trained" in text
    assert "84 bytes of weights" in text


def test_a_search_shows_its_best_candidates() -> None:
    search = mn.MLPSearchCV(mn.MLPClassifier(4, max_iter=3, random_state=0), {"alpha": [0.0, 0.125]}, cv=2)
    assert "<table>" not in search._repr_mimebundle_()["text/html"].split("</style>")[-1] or not hasattr(search, "cv_results_")
    with warnings.catch_warnings(action="ignore"):
        search.fit(X, LABELS)
    for html in (search._repr_mimebundle_()["text/html"], search._repr_html_()):
        assert "Best of 2 candidates" in html
        assert "0.1250" in html


def test_summary_counts_epochs_from_1(capsys: pytest.CaptureFixture[str]) -> None:
    model = trained(validation=0.2)
    model.summary()
    text = capsys.readouterr().out
    best = model.info["best"] + 1
    assert re.search(rf"best epoch +{best}\n", text)
    assert "all 8 epochs" in text


def test_plots(tmp_path: Path) -> None:
    for model, y in ((trained(validation=0.2), LABELS), (trained(PRICE), PRICE)):
        for figure in (model.plot(), model.plot(X, y)):
            assert figure._repr_png_().startswith(b"\x89PNG")
            assert mn.plots.save(figure, tmp_path / "model.png").is_file()
    with pytest.raises(mn.OptionError, match="only one of X and y"):
        trained().plot(X)


def test_the_history_of_squared_errors_is_drawn_as_rmse() -> None:
    model = trained(PRICE, validation=0.2)
    axes = history_panels(model, subtitle="", unit="CHF")
    assert [ax.get_ylabel() for ax in axes] == ["RMSE (CHF)", "R²"]
    train, validation = (line.get_ydata()[-1] for line in axes[0].get_lines()[:2])
    assert_close(train**2, np.float64(model.history["loss"][-1]), "float64")
    assert_close(validation**2, np.float64(model.history["val_loss"][-1]), "float64")
    absolute = mn.train(X, PRICE, mn.MLP(hidden=(4,)), mn.Recipe(epochs=1, loss="absolute_error"), progress=False)
    assert history_panels(absolute, subtitle="")[0].get_ylabel() == "loss"


@pytest.mark.parametrize(("y", "x", "kind"), [(LABELS, X, is_classifier), (PRICE, X, is_regressor), (PRICE, HOUSES, is_regressor)])
def test_scikit_learn_takes_a_model_for_an_estimator(y: Any, x: Any, kind: Any) -> None:
    model = trained(y, x)
    x = x.to_pandas() if isinstance(x, pl.DataFrame) else x
    assert kind(model)
    assert model.score(x, y) == model.evaluate(x, y)[model.task.metric]
    importance = permutation_importance(model, x, y, n_repeats=3, random_state=0).importances_mean
    assert importance.argmax() == 0
    column = x.columns[0] if hasattr(x, "columns") else 0
    assert np.isfinite(partial_dependence(model, x, [column], kind="average").average).all()
    before = model.predict(x)
    predicted = cross_val_predict(model, x, y, cv=3)
    assert predicted.shape == y.shape
    assert not (predicted == before).all()
    assert (model.predict(x) == before).all()  # only copies were fitted


def test_cross_validation_trains_as_the_model_was_trained() -> None:
    model = trained()
    fresh = clone(model).fit(X[:60], LABELS[:60])
    same = trained(LABELS[:60], X[:60])
    assert (fresh.predict_proba(X) == same.predict_proba(X)).all()
    assert cross_val_score(model, X, LABELS, cv=3).min() > 0.7
    with pytest.raises(mn.OptionError, match="no parameter 'alpha'"):
        model.set_params(alpha=1)


def test_a_changed_default_is_fitted_again_with_its_changes(tmp_path: Path) -> None:
    from manynets.tabular import train_tabular

    changes = {"iterations": 20, "lr": 0.03, "hidden": (6,), "loss": "quantile", "quantile": (0.1, 0.9)}
    options: dict[str, Any] = {"n_networks": 2, "changes": changes, "progress": False, "device": "cpu"}
    train_tabular(X[:90], PRICE[:90], **options).model.save(tmp_path / "m.safetensors")
    model = mn.load(tmp_path / "m.safetensors").fit(X, PRICE)
    same = train_tabular(X, PRICE, **options).model
    assert model.recipe == same.recipe
    assert_close(model.members[1], same.members[1], "bits")


def test_a_default_on_the_logarithm_is_fitted_again_on_it(tmp_path: Path) -> None:
    y = np.exp(X[:, 0])
    how: dict[str, Any] = {"preset": "fast", "n_networks": 2, "target_transform": "log", "seed": 1, "progress": False}
    mn.train(X[:90], y[:90], **how).save(tmp_path / "m.safetensors")
    model = mn.load(tmp_path / "m.safetensors").fit(X, y)
    same = mn.train(X, y, **how)
    assert model.task == same.task
    assert_close(model.members[1], same.members[1], "bits")


def test_a_default_of_two_settings_is_fitted_again_with_as_many_networks() -> None:
    model = mn.train(HOUSES, PRICE, preset="fast", n_networks=2, seed=1, progress=False)
    assert model.size == 4  # the mean of both settings is the best out of fold
    found: Any = mn.estimator(model)
    assert found.n_networks == 2
    same = copy.deepcopy(model).fit(HOUSES, PRICE)
    assert same.size == 4
    assert_close(same.members[3], model.members[3], "bits")


def test_an_estimator_has_preset_and_metric_of_the_model() -> None:
    found: Any = mn.estimator(mn.train(X, LABELS, preset="best", metric="accuracy", n_networks=1, time_limit=2, progress=False))
    assert (found.preset, found.metric, found.n_networks) == ("best", "accuracy", 1)


def test_training_further_starts_where_the_model_ended() -> None:
    model = trained(LABELS[:60], X[:60], n_networks=3)
    still = mn.train(X, LABELS, model, mn.Recipe(epochs=1, optimizer=mn.SGD(lr=0.0)), progress=False)
    assert np.array_equal(still.predict_proba(X), model.predict_proba(X))
    more = mn.train(X, LABELS, model, progress=False)
    assert more.size == 3
    assert more.recipe == model.recipe
    assert more.evaluate(X, LABELS)["loss"] < model.evaluate(X, LABELS)["loss"]


def test_training_further_has_the_table_and_reaches_new_values() -> None:
    first = mn.TabularRegressor(preset="fast", n_networks=2, random_state=0).fit(HOUSES[:60], PRICE[:60]).model_
    more = mn.train(HOUSES, 5 * PRICE, first, mn.Recipe(epochs=60), progress=False)
    assert more.encoder == first.encoder
    assert more.score(HOUSES, 5 * PRICE) > max(0.5, first.score(HOUSES, 5 * PRICE))


def test_training_further_refuses_what_the_model_has() -> None:
    model = trained(n_networks=2)
    for option in ({"task": "binary"}, {"n_networks": 3}, {"initial": model.members[0]}):
        with pytest.raises(mn.OptionError, match="trained further with its own"):
            mn.train(X, LABELS, model, progress=False, **option)  # type: ignore[arg-type]
    with pytest.raises(mn.DataError, match="does not know: 'perhaps'"):
        mn.train(X, np.where(X[:, 0] > 0, "yes", "perhaps"), model, progress=False)
    with pytest.raises(mn.OptionError, match="parameters of 2 networks, but n_networks is 3"):
        mn.train(X, LABELS, model.spec, n_networks=3, initial=model.members, progress=False)


OPTIMIZERS = [mn.SGD(momentum=0.5), mn.Adam(), mn.AdamW(), mn.NAdam(), mn.RMSprop(), mn.Adagrad(), mn.Lion()]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda one: type(one).__name__)
def test_an_estimator_from_a_model(optimizer: Any) -> None:
    recipe = mn.Recipe(epochs=2, optimizer=optimizer, schedule=mn.Cosine(), batch_size=16, l2=0.001)
    for y, x in ((LABELS, X), (PRICE, X), (PRICE, HOUSES)):
        model = mn.train(x, y, mn.MLP(hidden=(8,)), recipe, progress=False, n_networks=2)
        found: Any = mn.estimator(model)
        same = found.predict(x) == model.predict(x) if y is LABELS else np.isclose(found.predict(x), model.predict(x), rtol=1e-5)
        assert same.all()
        assert found.alpha == pytest.approx(0.016)
        with warnings.catch_warnings(action="ignore"):
            again = clone(found).fit(x, y)
        assert type(again.model_.recipe.optimizer).__name__.removeprefix("Sklearn") == type(optimizer).__name__
        assert again.model_.spec == model.spec


def test_columns_of_an_array_that_are_left_out_count() -> None:
    encoder = mn.tables.fit_encoder(X, drop=["x1"])
    model = trained(encoder=encoder)
    assert model.n_features_in_ == 3
    assert (mn.estimator(model).predict(X) == model.predict(X)).all()


@pytest.mark.parametrize(
    ("net", "others"),
    [
        (mn.MLPClassifier((6,), activation="logistic", alpha=0.01, tol=0.0, n_iter_no_change=99), set()),
        (mn.MLPClassifier((6,), init="kaiming_normal", batch_norm=True), set()),
        (mn.MLPClassifier((6,), solver="sgd", learning_rate="adaptive"), set()),
        (mn.MLPClassifier((6,), solver="lbfgs", max_fun=50, tol=1e-3), {"n_iter_no_change", "shuffle"}),
        (mn.MLPRegressor(hidden_layer_sizes=(6,), standardise_target=True), set()),
        (mn.MLPRegressor(hidden_layer_sizes=(6,), standardise_target=False, clamp=True), set()),
    ],
    ids=["logistic", "start", "adaptive", "lbfgs", "standardised", "as it is"],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_estimator_and_back_again(net: Any, others: set[str]) -> None:
    y = LABELS if isinstance(net, mn.MLPClassifier) else PRICE / 100
    net.set_params(max_iter=4, random_state=0).fit(X, y)
    found: Any = mn.estimator(net.model_)
    same = {name: value for name, value in found.get_params().items() if value == getattr(net, name)}
    assert set(found.get_params()) - set(same) == {"batch_size", "random_state"} | others
    assert all(np.array_equal(a, b) for a, b in zip(found.coefs_, net.coefs_, strict=True))
    recipes = [dataclasses.replace(model.recipe, seed=0) for model in (net.model_, clone(found).fit(X, y).model_)]
    assert recipes[0] == recipes[1]
    if isinstance(net, mn.MLPClassifier):
        assert found.classes_.tolist() == ["no", "yes"]


def test_the_estimator_of_a_network_of_an_array_standardises_the_target_as_train_does() -> None:
    far = PRICE + 5000
    model = mn.train(X, far, mn.MLP(hidden=(8,)), mn.Recipe(epochs=60, optimizer=mn.Adam(lr=0.05)), progress=False)
    with warnings.catch_warnings(action="ignore"):
        assert clone(mn.estimator(model)).fit(X, far).score(X, far) > 0.9
    factor = mn.Recipe(epochs=2, stopping=mn.EarlyStopping(factor=0.5))
    with pytest.raises(mn.OptionError, match="trained with a factor of early stopping, for which MLPRegressor has no parameter"):
        mn.estimator(mn.train(X, far, mn.MLP(hidden=(8,)), factor, progress=False))


def test_the_estimator_of_the_default_for_tables() -> None:
    net = mn.TabularClassifier(preset="fast", n_networks=2, random_state=3).fit(HOUSES, LABELS)
    found: Any = mn.estimator(net.model_)
    assert found.get_params() == net.get_params() | {"calibrate": "auto"}
    assert np.array_equal(found.predict_proba(HOUSES), net.predict_proba(HOUSES))


@pytest.mark.parametrize("default", [False, True])
def test_scikit_learns_scorers_read_an_estimator_whose_classes_are_in_another_order(default: bool) -> None:
    network = () if default else (mn.MLP(hidden=(8,)), mn.Recipe(epochs=20, optimizer=mn.Adam(lr=0.02)))
    preset: Any = {"preset": "fast", "n_networks": 2} if default else {}
    model = mn.train(X, LABELS, *network, positive="no", progress=False, **preset).with_threshold(0.3)
    assert model.classes_.tolist() == ["yes", "no"]
    found: Any = mn.estimator(model)
    assert found.classes_.tolist() == ["no", "yes"]
    assert found.predict(X).tolist() == model.predict(X).tolist()
    assert_close(found.predict_proba(X)[:, ::-1], model.predict_proba(X), "float32")
    assert get_scorer("roc_auc")(found, X, LABELS) == pytest.approx(model.evaluate(X, LABELS)["auc"])
    assert get_scorer("neg_log_loss")(found, X, LABELS) == pytest.approx(-model.evaluate(X, LABELS)["log_loss"], rel=1e-4)
    with pytest.raises(mn.OptionError, match=r"in the order 'yes', 'no', but .* give them mn.estimator\(model\)"):
        cross_val_score(model, X, LABELS, scoring="roc_auc")


def test_an_estimator_of_several_classes_in_another_order() -> None:
    y = np.digitize(X[:, 0], [-0.5, 0.5])
    model = mn.train(X, y, mn.MLP(hidden=(8,)), mn.Recipe(epochs=5), task=Multiclass((2, 0, 1)), progress=False)
    for one in (model, model.with_threshold([[0, 1, 9], [1, 0, 1], [2, 1, 0]])):
        found: Any = mn.estimator(one)
        assert found.classes_.tolist() == [0, 1, 2]
        assert found.predict(X).tolist() == one.predict(X).tolist()
        assert_close(found.predict_proba(X)[:, [2, 0, 1]], one.predict_proba(X), "float32")


def test_no_estimator_for_some_models() -> None:
    odd = mn.train(X, LABELS, mn.MLP(hidden=(4,), bias=False), QUICK, progress=False)
    with pytest.raises(mn.OptionError, match="bias=False, for which MLPClassifier has no parameter"):
        mn.estimator(odd)
    from manynets.tabular import train_tabular

    changed = train_tabular(X, PRICE, n_networks=1, changes={"iterations": 10, "hidden": (4,)}, progress=False).model
    with pytest.raises(
        mn.OptionError, match=r"trained with hidden, iterations changed, for which TabularRegressor has no parameter"
    ):
        mn.estimator(changed)
    for options in ({"preset": "fast", "n_networks": 1}, {"spec": mn.MLP(hidden=(4,)), "recipe": QUICK}):
        logarithmic = mn.train(X, np.exp(X[:, 0]), target_transform="log", progress=False, **options)
        with pytest.raises(mn.OptionError, match=r"trained with a target on a log scale, for which .*Regressor has no parameter"):
            mn.estimator(logarithmic)
    with pytest.raises(mn.OptionError, match="must be a Model"):
        mn.estimator("model.safetensors")  # type: ignore[arg-type]


def test_an_array_of_text_for_a_model_of_a_table_is_explained() -> None:
    model = trained(PRICE, HOUSES)
    with pytest.raises(mn.DataError, match=r"give a frame with the columns size, town .*give them one, or use manynets.explain"):
        permutation_importance(model, HOUSES, PRICE)
    assert len(permutation_importance(model, HOUSES.to_pandas(), PRICE).importances_mean) == 2
