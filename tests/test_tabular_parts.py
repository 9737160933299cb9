"""Parts of the default for tables as ordinary options: the prior, clamped outputs and the temperature, against plain torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import manynets as mn
from manynets.spec import GradientName
from tests.tolerances import assert_close

random = np.random.default_rng(0)
X = random.standard_normal((90, 4))
NUMBERS = 5.0 + np.sin(3 * X[:, 0]) + X[:, 1]
FOUR = random.choice(4, 90, p=[0.6, 0.2, 0.15, 0.05])
TWO = (X[:, 0] > 1).astype(int)


def recipe_of(**more: Any) -> mn.Recipe:
    return mn.Recipe(**{"optimizer": mn.SGD(lr=0.1), "epochs": 2, "batch_size": 60, "dtype": "float64", "shuffle": False, **more})


@pytest.mark.parametrize("gradient", ["autograd", "closed_form", "compiled"])
def test_the_prior_is_where_the_output_biases_of_plain_torch_start(gradient: GradientName) -> None:
    spec = mn.MLP(hidden=(6,), activation="tanh", prior=True)
    model = mn.train(X, FOUR, spec, recipe_of(gradient=gradient), scaling=False, progress=False)
    module = mn.network(spec, in_features=4, out_features=4).double()
    start = mn.nn.initial.initial_parameters(spec, 4, 4)
    module.load_state_dict({name: torch.from_numpy(value) for name, value in start.items()})
    with torch.no_grad():
        module.get_parameter("output.bias").copy_(torch.from_numpy(np.log(np.bincount(FOUR) / 90)))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for start in (0, 60, 0, 60):
        rows = slice(start, start + 60)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(torch.from_numpy(X[rows])), torch.from_numpy(FOUR[rows])).backward()
        optimizer.step()
    assert_close(model.members[0], {name: value.detach().numpy() for name, value in module.named_parameters()}, "float64_run")


def test_every_training_has_the_prior_of_its_rows() -> None:
    spec, still = mn.MLP(hidden=(), prior=True), recipe_of(optimizer=mn.SGD(lr=0.0), epochs=1)
    rows, weight = np.arange(60), random.uniform(0.1, 2.0, 90)
    share = np.average(TWO[:60], weights=weight[:60])
    expected = np.array([np.log(share / (1 - share))])
    one = mn.train(X, TWO, spec, still, validation=np.arange(60, 90), sample_weight=weight, scaling=False, progress=False)
    assert_close(one.members[0]["output.bias"], expected, "float64")
    many = mn.train_many(
        X, TWO, [(spec, still)], cv=[(rows, np.arange(60, 90))], sample_weight=weight, scaling=False, progress=False
    )
    assert_close(many[0].model.members[0]["output.bias"], expected, "float64")  # type: ignore[union-attr]
    counts = random.poisson(3.0, 90)
    poisson = recipe_of(optimizer=mn.SGD(lr=0.0), loss="poisson")
    model = mn.train(X, counts, spec, poisson, task="regression", scaling=False, progress=False)
    assert_close(model.members[0]["output.bias"], np.log([counts.mean()]), "float64")
    few = {"hidden_layer_sizes": (), "max_iter": 1, "learning_rate_init": 1e-12, "random_state": 0, "prior": True}
    with pytest.warns(UserWarning, match="Maximum iterations"):
        classifier = mn.MLPClassifier(**few).fit(X[:60], TWO[:60], sample_weight=weight[:60])
    assert_close(classifier.intercepts_[0], expected, "float32")
    with pytest.raises(mn.OptionError, match="there is no output bias"):
        mn.MLP(prior=True, bias=False)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_clamped_predictions_stay_within_the_range_of_training(tmp_path: Path) -> None:
    far = X * 50
    free = mn.train(
        X, NUMBERS, mn.MLP(hidden=()), recipe_of(epochs=20), task=mn.Regression.of(NUMBERS), scaling=False, progress=False
    )
    task = mn.Regression.of(NUMBERS, clamp=True)
    model = mn.train(X, NUMBERS, mn.MLP(hidden=()), recipe_of(epochs=20), task=task, scaling=False, progress=False)
    bounds = {"min": torch.tensor(NUMBERS.min()), "max": torch.tensor(NUMBERS.max())}
    assert_close(model.predict(far), torch.from_numpy(free.predict(far)).clamp(**bounds).numpy(), "float64")
    assert not np.isclose(model.predict(far), free.predict(far)).all()
    model.save(tmp_path / "clamped.mn")
    assert_close(mn.load(tmp_path / "clamped.mn").predict(far), model.predict(far), "bits")
    result = mn.train_many(X, NUMBERS, [(mn.MLP(hidden=()), recipe_of())], task=task, scaling=False, progress=False)[0]
    assert result.model.predict(far).max() <= NUMBERS.max() + 1e-9  # type: ignore[union-attr]
    regressor = mn.MLPRegressor(clamp=True, hidden_layer_sizes=(4,), max_iter=3, random_state=0, standardise_target=True).fit(
        X, NUMBERS
    )
    assert regressor.predict(far).max() <= NUMBERS.max() + 1e-9
    assert mn.estimator(regressor.model_).clamp


@pytest.mark.parametrize("target", [TWO, FOUR, (X[:, :2] > 0).astype(int)], ids=["two", "four", "labels"])
def test_the_temperature_is_that_of_a_gradient_descent_in_torch(target: Any, tmp_path: Path) -> None:
    model = mn.train(
        X,
        target,
        mn.MLP(hidden=(16,)),
        recipe_of(epochs=60, optimizer=mn.Adam(lr=0.03)),
        n_networks=2,
        scaling=False,
        progress=False,
    )
    new = X + random.standard_normal((90, 4))
    calm = model.calibrated(new, target)
    logits, truth = torch.from_numpy(model.logits(new)), torch.from_numpy(target)
    log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Any:
        optimizer.zero_grad()
        scores = logits / log_t.exp()
        if scores.shape[-1] == 4:
            found = -scores.softmax(-1).mean(0)[torch.arange(90), truth].log().mean()
        else:
            share = scores.sigmoid().mean(0)
            found = torch.nn.functional.binary_cross_entropy(share, truth.reshape(share.shape).double())
        found.backward()
        return found

    optimizer.step(loss)
    assert_close(np.array(calm.info["calibration"]), log_t.exp().detach().numpy(), "sampled")
    assert calm.evaluate(new, target)["loss"] < model.evaluate(new, target)["loss"]
    calm.save(tmp_path / "calm.mn")
    assert_close(mn.load(tmp_path / "calm.mn").predict_proba(new), calm.predict_proba(new), "bits")
    assert_close(
        model.predict_proba(new),
        mn.train(X, target, model.spec, model.recipe, n_networks=2, scaling=False, progress=False).predict_proba(new),
        "bits",
    )


def test_calibration_needs_a_target_for_each_row() -> None:
    model = mn.train(X, TWO, mn.MLP(), recipe_of(epochs=1), scaling=False, progress=False)
    with pytest.raises(mn.DataError, match="X has 90 rows and y has 9"):
        model.calibrated(X, TWO[:9])
