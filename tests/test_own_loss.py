"""Losses of the user's own: functions that `train` and `train_many` take in place of a name."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

import manynets as mn
from manynets.errors import OptionError
from manynets.spec import from_json, to_json
from manynets.tasks.objectives import OwnObjective, objective_for
from manynets.training.groups import train_members
from tests.distributed.cases import data_of, members_of, together
from tests.tolerances import assert_close
from tests.training.problems import TASKS, data_for

SPEC = mn.MLP(hidden=(9, 7), dropout=0.2, batch_norm=True)
RECIPE = mn.Recipe(
    epochs=4, batch_size=32, optimizer=mn.AdamW(lr=0.01), l1=1e-4, l2=1e-3, clip_norm=0.5, gradient="autograd", dtype="float64"
)
ROWS = 150
WEIGHT = np.random.default_rng(3).uniform(0.2, 2.0, ROWS)


def squared(scores: Tensor, targets: Tensor) -> Tensor:
    return (scores - targets).square().mean(-1)


def pinball(scores: Tensor, targets: Tensor, level: float = 0.9) -> Tensor:
    error = targets - scores
    return torch.maximum(level * error, (level - 1) * error).mean(-1)


def focal(scores: Tensor, targets: Tensor, gamma: float = 2.0) -> Tensor:
    """Lin et al. 2017, "Focal Loss for Dense Object Detection", equation 4."""
    log_share = torch.log_softmax(scores, -1).gather(1, targets.unsqueeze(1)).squeeze(1)
    return -((1 - log_share.exp()) ** gamma) * log_share


def logistic(scores: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(scores, targets, reduction="none").mean(-1)


def entropy(scores: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(scores, targets, reduction="none")


BUILT_IN = {"regression": squared, "regression2": squared, "binary": logistic, "multiclass": entropy, "multilabel": logistic}


def small(seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    return data_for("regression", 60, 3, seed)


def trained(loss: Any, *, recipe: mn.Recipe = RECIPE, spec: Any = SPEC, **options: Any) -> mn.Model:
    return mn.train(*small(), spec, recipe, loss=loss, progress=False, **options)


def same(one: mn.Model, other: mn.Model, *, built_in: bool = False) -> None:
    """Fail unless two models have the same bits. built_in: the other was trained by the name of the loss, whose history is in the target's unit."""
    for mine, theirs in zip(one.members, other.members, strict=True):
        assert_close(mine, theirs, "bits")
    for name in set(one.history) - {"seconds"} - ({"loss", "val_loss"} if built_in else set()):
        assert_close(np.array(one.history[name]), np.array(other.history[name]), "float64" if built_in else "bits", what=name)


@pytest.mark.parametrize("task", TASKS)
def test_the_formula_of_a_built_in_loss_trains_the_same_bits(task: str) -> None:
    X, y = data_for(task, ROWS, 4)
    options: dict[str, Any] = {"sample_weight": WEIGHT, "validation": 0.2, "progress": False}
    if task in ("binary", "multiclass"):
        options["class_weight"] = "balanced"
    known = mn.train(X, y, SPEC, RECIPE, **options)
    own = mn.train(X, y, SPEC, RECIPE, loss=BUILT_IN[task], **options)
    same(own, known, built_in=True)
    assert own.recipe == dataclasses.replace(RECIPE, loss=f"{BUILT_IN[task].__name__}()")
    assert own.info["stepper"] == "autograd"
    unit = np.square(known.task.scale).mean() if task == "regression" else 1.0
    if task != "regression2":  # whose columns have units of their own
        for name in ("loss", "val_loss"):
            assert_close(unit * np.array(own.history[name]), np.array(known.history[name]), "float64", what=name)


def test_the_steppers_that_write_out_their_gradients_agree() -> None:
    fast = dataclasses.replace(RECIPE, gradient="auto")
    known = trained(None, recipe=fast)
    assert known.info["stepper"] != "autograd"
    assert_close(trained(squared, recipe=fast).members[0], known.members[0], "float64")


@pytest.mark.parametrize(("task", "loss"), [("regression2", pinball), ("multiclass", focal)])
def test_a_step_goes_against_the_numeric_gradient(task: str, loss: Any) -> None:
    X, y = data_for(task, 20, 3)
    recipe = mn.Recipe(iterations=1, batch_size=20, optimizer=mn.SGD(lr=1.0), dtype="float64", shuffle=False)
    start = mn.train(
        X, y, mn.MLP(hidden=(4,), activation="tanh"), dataclasses.replace(recipe, optimizer=mn.SGD(lr=0.0)), progress=False
    )
    assert isinstance(start.spec, mn.MLP)
    model = mn.train(X, y, start.spec, recipe, loss=loss, progress=False)
    target = torch.from_numpy(start.task.encode(y))
    for name, value in start.members[0].items():
        slope = np.zeros_like(value)
        for place in np.ndindex(value.shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = value.copy()
                moved[place] += step
                scores = start.with_members({**start.members[0], name: moved}).logits(X)[0]
                ends.append(float(loss(torch.from_numpy(scores), target).mean()))
            slope[place] = (ends[0] - ends[1]) / 2e-6
        assert_close(value - model.members[0][name], slope, "numeric", what=name)


def candidates() -> list[tuple[mn.MLP, mn.Recipe]]:
    stopping = mn.EarlyStopping(patience=2)
    recipes = [
        dataclasses.replace(RECIPE, optimizer=mn.AdamW(lr=lr), seed=s, stopping=stopping, epochs=9)
        for s, lr in enumerate((1e-3, 0.3))
    ]
    return [(SPEC, recipes[0]), (dataclasses.replace(SPEC, dropout=0.0), recipes[1]), (mn.MLP(hidden=(5,)), recipes[1])]


def test_networks_together_equal_each_alone() -> None:
    X, y = small()
    results = mn.train_many(X, y, candidates(), loss=pinball, validation=0.25, progress=False)
    assert len({len(result.history["loss"]) for result in results}) > 1, "they were to stop at different epochs"
    for (spec, recipe), result in zip(candidates(), results, strict=True):
        assert result.model is not None
        same(result.model, mn.train(X, y, spec, recipe, loss=pinball, validation=0.25, progress=False))
    several = trained(pinball, n_networks=3, validation="folds", spec=mn.MLP(hidden=(6,)))
    assert several.size == 3


def test_networks_in_other_processes_equal_those_in_this_one() -> None:
    X, y = small()
    options: dict[str, Any] = {"loss": lambda scores, targets: pinball(scores, targets, 0.3), "cv": 3, "progress": False}
    here = mn.train_many(X, y, candidates(), **options)
    for one, other in zip(here, mn.train_many(X, y, candidates(), n_jobs=2, **options), strict=True):
        assert one.model is not None
        assert other.model is not None
        same(one.model, other.model)
        assert (one.loss, one.score) == (other.loss, other.score)


def test_the_loss_on_the_rows_of_a_test_is_its_mean() -> None:
    X, y = small()
    rows, test = np.arange(40), np.arange(40, 60)
    for result in mn.train_many(X, y, candidates(), loss=pinball, cv=[(rows, test)], progress=False):
        assert result.model is not None
        scores, targets = result.model.logits(X[test])[0], result.task.encode(y[test])
        assert_close(result.loss, float(pinball(torch.from_numpy(scores), torch.from_numpy(targets)).mean()), "float64")


def test_patience_and_the_best_weights_go_by_it() -> None:
    X, y = data_for("multiclass", 120, 4)
    recipe = dataclasses.replace(RECIPE, epochs=40, optimizer=mn.AdamW(lr=0.05), stopping=mn.EarlyStopping(patience=3))
    model = mn.train(X[:80], y[:80], SPEC, recipe, loss=focal, validation=(X[80:], y[80:], WEIGHT[:40]), progress=False)
    best = int(np.argmin(model.history["val_loss"]))
    assert (model.info["best"], model.info["stopped"]) == ([best], ["early"]) or model.info["best"] == best
    assert len(model.history["loss"]) == best + 1 + 3
    scores, targets = torch.from_numpy(model.logits(X[80:])[0]), torch.from_numpy(model.task.encode(y[80:]))
    wanted = np.average(focal(scores, targets).numpy(), weights=WEIGHT[:40])
    assert_close(model.history["val_loss"][best], float(wanted), "float64")


def test_it_is_called_once_a_step_and_the_history_has_its_values() -> None:
    seen: list[float] = []

    def noted(scores: Tensor, targets: Tensor) -> Tensor:
        rows = pinball(scores, targets)
        seen.append(float(rows.detach().mean()))
        return rows

    model = trained(noted, recipe=dataclasses.replace(RECIPE, batch_size=60))
    assert_close(
        np.array(model.history["loss"]), np.array(seen[2:]), "float64"
    )  # the first two calls are checks before the training


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_the_unit_of_the_target_is_not_that_of_the_loss(scale: float) -> None:
    """Whether a loss is within the range of float32 is judged by its own values."""
    X, y = small()
    recipe = mn.Recipe(epochs=2)
    model = mn.train(X, scale * y, mn.MLP(hidden=(4,)), recipe, loss=squared, progress=False)
    assert model.info["stopped"] == ["done"]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out.squeeze(-1)


def test_a_module_of_the_users_own() -> None:
    models = []
    for loss in (None, squared, nn.MSELoss(reduction="none")):
        torch.manual_seed(0)
        models.append(trained(loss, spec=Net(), validation=0.2))
    same(models[1], models[0], built_in=True)
    same(models[2], models[1])
    assert models[2].recipe.loss == "MSELoss()"


class Stop:
    """A callback that ends a training at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, event: mn.Event) -> None:
        if isinstance(event, mn.Advanced) and event.step >= self.step:
            raise StopIteration


@pytest.mark.parametrize("module", [False, True])
def test_a_training_goes_on_bit_for_bit(tmp_path: Path, module: bool) -> None:
    torch.manual_seed(0)
    start = Net().state_dict()

    def fresh() -> Any:
        if not module:
            return SPEC
        net = Net()
        net.load_state_dict({name: value.clone() for name, value in start.items()})
        return net

    folder, options = tmp_path / "run", {"validation": 0.2, "recipe": dataclasses.replace(RECIPE, evaluate_every=3, epochs=6)}
    whole = trained(pinball, spec=fresh(), **options)
    kept = mn.Checkpoint(folder=folder, every_steps=5)
    trained(pinball, spec=fresh(), checkpoint=kept, callbacks=[Stop(5)], **options)
    same(trained(pinball, spec=fresh(), resume=folder, **options), whole)
    with pytest.raises(OptionError, match=r"recipe.loss is None, in the checkpoint 'pinball\(\)'; give the same data, .* and loss"):
        trained(None, spec=fresh(), resume=folder, **options)
    with pytest.raises(OptionError, match=r"recipe.loss is 'squared\(\)', in the checkpoint 'pinball\(\)'"):
        trained(squared, spec=fresh(), resume=folder, **options)


def test_one_is_not_taken_by_a_training_that_began_without(tmp_path: Path) -> None:
    trained(None, checkpoint=mn.Checkpoint(folder=tmp_path / "run"), callbacks=[Stop(1)])
    with pytest.raises(OptionError, match=r"recipe.loss is 'pinball\(\)', in the checkpoint None"):
        trained(pinball, resume=tmp_path / "run")


def test_train_many_goes_on_bit_for_bit(tmp_path: Path) -> None:
    X, y = small()
    options: dict[str, Any] = {"loss": pinball, "validation": 0.2, "progress": False}
    whole = mn.train_many(X, y, candidates(), checkpoint=mn.Checkpoint(folder=tmp_path / "whole"), **options)
    mn.train_many(
        X, y, candidates(), checkpoint=mn.Checkpoint(folder=tmp_path / "run", every_steps=3), callbacks=[Stop(4)], **options
    )
    for one, other in zip(mn.train_many(X, y, candidates(), resume=tmp_path / "run", **options), whole, strict=True):
        assert one.model is not None
        assert other.model is not None
        same(one.model, other.model)
    with pytest.raises(OptionError, match=r"recipe.loss is None, in the checkpoint 'pinball\(\)'.*loss"):
        mn.train_many(X, y, candidates(), resume=tmp_path / "run", **{**options, "loss": None})


def test_what_is_no_loss_is_told_before_the_training() -> None:
    X, y = data_for("multiclass", 60, 4)
    needed = r"must return a tensor with the loss of each row, \(5,\)"
    wrong: list[tuple[Any, str]] = [
        (nn.CrossEntropyLoss(), rf"the loss CrossEntropyLoss\(\) returned a tensor of float32 \(\) for .*{needed}; leave out the mean.*reduction='none'"),
        (F.cross_entropy, "; or write loss='cross_entropy'"),
        (lambda scores, targets: scores, rf"returned a tensor of float32 \(5, 3\) for scores \(5, 3\) and targets \(5,\), but {needed}; take the mean"),
        (lambda scores, targets: scores.mean(0), rf"float32 \(3,\) .*{needed}$"),
        (lambda scores, targets: scores.argmax(-1), rf"tensor of int64 \(5,\) .*{needed}"),
        (lambda scores, targets: scores.detach().numpy().sum(-1), rf"returned a ndarray .*{needed}"),
        (lambda scores, targets: scores.detach().mean(-1), "has no gradient by the scores"),
        (nn.CrossEntropyLoss, r"loss is the class CrossEntropyLoss; give an instance: CrossEntropyLoss\(...\)"),
        (3, "loss is 3, but must be a name, such as 'huber', or a function"),
        ("hubr", "did you mean 'huber'"),
        ("focal()", r"Recipe.loss is 'focal\(\)', a function of your own, .*; give it to mn.train, as loss=focal"),
    ]  # fmt: skip
    for loss, message in wrong:
        for call in (functools.partial(mn.train, X, y, SPEC), lambda **given: mn.train_many(X, y, [(SPEC, mn.Recipe())], **given)):
            with pytest.raises(OptionError, match=message):
                call(loss=loss, progress=False)
    mn.train(X, y, SPEC, RECIPE, loss=lambda scores, targets: entropy(scores, targets)[:, None], progress=False)  # (N, 1) will do


def test_a_loss_by_which_nothing_is_learned_is_told() -> None:
    X, y = data_for("binary", 60, 4)
    softmax = nn.CrossEntropyLoss(reduction="none")  # of the only score: 1
    with pytest.warns(UserWarning, match=r"CrossEntropyLoss\(\) has a gradient of 0 by all scores.*write task='multiclass'"):
        mn.train(X, y, SPEC, RECIPE, loss=softmax, progress=False)
    assert mn.train(X, y, SPEC, RECIPE, loss=softmax, task="multiclass", progress=False).task.outputs == 2
    late = np.arange(60.0)  # the loss leaves out the rows that come first
    mn.train(
        X, late, SPEC, RECIPE, loss=lambda scores, targets: ((scores - targets).square() * (targets > 1)).mean(-1), progress=False
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": mn.Recipe(gradient="compiled")}, "does not go with gradient='compiled', as its gradient comes from autograd"),
        ({"recipe": mn.Recipe(label_smoothing=0.1)}, "does not go with label_smoothing=0.1"),
        ({"recipe": mn.Recipe(), "engine": "numpy"}, "does not go with engine='numpy', as torch alone computes it"),
    ],
)
def test_what_does_not_go_with_one(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        trained(pinball, **options)


def test_the_estimators_take_names_only() -> None:
    with pytest.raises(OptionError, match=r"but must be one of squared_error.*; give a function of your own to mn.train, as loss="):
        mn.MLPRegressor(loss=pinball).fit(*small())  # type: ignore[arg-type]


def test_a_name_replaces_that_of_the_recipe() -> None:
    same(trained("huber"), trained(None, recipe=dataclasses.replace(RECIPE, loss="huber")))
    assert mn.train(*small(), loss="huber", progress=False).recipe == mn.Recipe(loss="huber")


def test_the_saved_model_does_without_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    X, y = small()
    model = trained(pinball, validation=0.2)
    model.save(tmp_path / "model.safetensors")
    loaded = mn.load(tmp_path / "model.safetensors")
    assert_close(loaded.predict(X), model.predict(X), "bits")
    assert from_json(to_json(loaded.recipe)) == model.recipe
    assert sorted(loaded.evaluate(X, y)) == ["mae", "r2", "rmse"]
    loaded.summary()
    assert "loss             pinball(), a function of your own" in capsys.readouterr().out
    for again in (
        lambda: mn.train(X, y, loaded),
        lambda: mn.train(X, y, SPEC, loaded.recipe),
        lambda: mn.train_many(X, y, [(SPEC, loaded.recipe)]),
    ):
        with pytest.raises(OptionError, match=r"Recipe.loss is 'pinball\(\)', a function of your own"):
            again()
    assert mn.train(X, y, loaded, loss=pinball, progress=False).recipe == model.recipe
    with pytest.raises(OptionError, match=r"trained with loss=pinball\(\), for which MLPRegressor has no parameter"):
        mn.estimator(loaded)
    with pytest.raises(OptionError, match="model 1 has another loss than model 0"):
        mn.joined([loaded, trained(squared, validation=0.2)])


def test_a_recipe_without_the_function_has_no_objective() -> None:
    task = mn.Regression(center=(0.0,), scale=(1.0,))
    with pytest.raises(OptionError, match=r"Recipe.loss is 'pinball\(\)'"):
        objective_for(task, mn.Recipe(loss="pinball()"))
    assert isinstance(objective_for(task, mn.Recipe(loss="pinball()"), pinball), OwnObjective)


def test_the_users_rows_stay_as_they_are() -> None:
    def rude(scores: Tensor, targets: Tensor) -> Tensor:
        rows = (scores - targets).square().mean(-1)
        targets.zero_()
        return rows

    same(trained(rude, validation=0.2), trained(squared, validation=0.2))


def test_rows_larger_than_memory(tmp_path: Path) -> None:
    X, y = data_for("regression", 13_000, 12)
    polars.DataFrame({f"x{j}": X[:, j] for j in range(12)} | {"y": y}).write_parquet(tmp_path / "rows.parquet", row_group_size=300)
    recipe = dataclasses.replace(RECIPE, epochs=1, batch_size=100)
    options: dict[str, Any] = {"target": "y", "memory_limit": "1MB", "progress": False}
    models = [mn.train(str(tmp_path / "rows.parquet"), None, SPEC, recipe, loss=loss, **options) for loss in (None, squared)]
    assert "stream" in models[1].info
    same(models[1], models[0], built_in=True)
    results = mn.train_many(str(tmp_path / "rows.parquet"), None, [(SPEC, recipe)], loss=squared, **options)
    assert results[0].model is not None
    same(results[0].model, models[1])
    # checked on targets of the file: with zeros it would have no gradient, and a warning
    mn.train(
        str(tmp_path / "rows.parquet"),
        None,
        SPEC,
        recipe,
        loss=lambda scores, targets: squared(scores, targets) * targets[:, 0].abs(),
        **options,
    )


def test_processes_that_share_the_rows_equal_one() -> None:
    recipe = dataclasses.replace(RECIPE, loss="logistic()", batch_size=20)
    data = data_of(recipe)
    data = dataclasses.replace(data, problem=dataclasses.replace(data.problem, loss=logistic))
    alone = train_members(data.problem, members_of(SPEC, recipe, data, 2))
    for outcomes in together(2, lambda ranks: train_members(data.problem, members_of(SPEC, recipe, data, 2), ranks=ranks)):
        for one, other in zip(outcomes, alone, strict=True):
            assert_close(one.parameters, other.parameters, "float64_run")
            assert_close(np.array(one.history["val_loss"]), np.array(other.history["val_loss"]), "float64_run")


def test_real_data(data_dir: Path) -> None:
    """A pinball loss puts nine tenths of the prices below it; a focal loss learns the digits."""
    frame = polars.read_csv(data_dir / "california_housing" / "housing.csv.gz").drop_nulls().sample(5000, seed=0)
    recipe = mn.Recipe(optimizer=mn.AdamW(lr=3e-3), epochs=8)
    model = mn.train(frame[:4000], None, mn.MLP(hidden=(32,)), recipe, target="median_house_value", loss=pinball, progress=False)
    below = frame[4000:]["median_house_value"].to_numpy() <= model.predict(frame[4000:])
    assert 0.86 < below.mean() < 0.94
    digits = mn.datasets.load("digits")
    model = mn.train(digits.X, digits.y, mn.MLP(hidden=(32,)), recipe, loss=focal, validation=0.2, progress=False)
    assert model.evaluate(digits.X_test, digits.y_test)["accuracy"] > 0.93
