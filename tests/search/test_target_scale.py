"""A regression target is standardised by the rows that a network trains on: those that are held out have no influence on it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets.search.candidates import plan_candidates
from manynets.search.groups import stacked
from tests.tolerances import assert_close

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(60, 3))
Y = np.exp(2 * X[:, 0] + DRAW.normal(size=60))  # a few large values, so that each split has another scale
PAIR = np.stack([Y, 100 - 3 * Y + X[:, 1]], axis=1)
SPEC, RECIPE = mn.MLP(hidden=(5,)), mn.Recipe(epochs=3, batch_size=16, dtype="float64", keep="last")
HELD_OUT = np.arange(0, 60, 4)
TRAINED = np.setdiff1d(np.arange(60), HELD_OUT)
OTHER = np.where(np.isin(np.arange(60), HELD_OUT), 1000 * Y + 7, Y)


def seeds(count: int, **changes: Any) -> list[tuple[mn.MLP, mn.Recipe]]:
    return [(SPEC, dataclasses.replace(RECIPE, seed=seed, **changes)) for seed in range(count)]


@pytest.mark.parametrize("scaling", [None, False])
def test_train(scaling):
    models = [mn.train(X, y, SPEC, RECIPE, validation=HELD_OUT, scaling=scaling, progress=False) for y in (Y, OTHER)]
    assert models[0].task == models[1].task == mn.Regression.of(Y[TRAINED])
    assert_close(models[1].members[0], models[0].members[0], "bits")
    weight = np.isin(np.arange(60), TRAINED)  # rows without weight have none either
    assert mn.train(X, OTHER, SPEC, RECIPE, sample_weight=weight, progress=False).task == models[0].task


def test_the_default_ensemble():
    options: dict[str, Any] = {"preset": "fast", "n_networks": 1, "validation": HELD_OUT, "progress": False}
    task = mn.train(X, OTHER, **options).task
    assert isinstance(task, mn.Regression)
    trained = mn.Regression.of(Y[TRAINED], clamp=True)
    assert (task.center, task.scale) == (trained.center, trained.scale)
    assert_close(np.array(task.limits), np.array(trained.limits), "float32")


@pytest.mark.parametrize("scaling", [None, False])
def test_train_many(scaling):
    folds = [(TRAINED, HELD_OUT)] if scaling is False else [(TRAINED, HELD_OUT), (HELD_OUT, TRAINED)]
    for validation in (None, 0.2):
        options: dict[str, Any] = {"cv": folds, "validation": validation, "scaling": scaling}
        results = [mn.train_many(X, y, seeds(1), **options)[0] for y in (Y, OTHER)]
        assert results[0].task == results[1].task
        assert_close(results[1].parameters, results[0].parameters, "bits")
        assert results[0].loss != results[1].loss
    alone = mn.train(X[TRAINED], Y[TRAINED], SPEC, RECIPE, validation=0.2, scaling=scaling, progress=False)
    assert_close(results[0].parameters, alone.members[0], "float64_run")
    assert results[0].model is not None
    assert_close(results[0].model.predict(X), alone.predict(X), "float64_run")


def test_networks_that_share_an_array_share_a_scale():
    results = mn.train_many(X, Y, seeds(2), cv=[(TRAINED[:20], HELD_OUT), (TRAINED[20:], HELD_OUT)], scaling=False)
    assert {result.task for result in results} == {mn.Regression.of(Y[TRAINED])}
    own = mn.Regression((1.0,), (2.0,))
    assert {result.task for result in mn.train_many(X, Y, seeds(1), cv=3, task=own)} == {own}


@pytest.mark.parametrize("gradient", ["auto", "closed_form", "autograd"])
@pytest.mark.parametrize(("y", "changes"), [(Y, {}), (PAIR, {}), (Y, {"loss": "quantile", "quantile": (0.1, 0.5, 0.9)})])
def test_together_each_has_its_own_scale(gradient, y, changes):
    candidates = seeds(3, gradient=gradient, **changes)
    groups = plan_candidates(X, y, candidates, validation=0.2).groups
    assert len(groups) == 3
    assert len(stacked(groups)) == 1
    results = mn.train_many(X, y, candidates, validation=0.2)
    assert len({result.task for result in results}) == 3
    for result, (spec, recipe) in zip(results, candidates, strict=True):
        alone = mn.train(X, y, spec, recipe, validation=0.2, progress=False)
        assert result.task == alone.task
        assert_close(result.parameters, dict(alone.members[0]), "float64_run")
        for name in ("loss", "val_loss", "r2", "val_r2"):
            assert_close(np.array(result.history[name]), np.array(alone.history[name]), "float64_run", what=name)
        assert result.model is not None
        assert_close(result.model.predict(X), alone.predict(X), "float64_run")


def test_scores_and_a_watched_metric_are_in_the_unit_of_y():
    stopping = mn.EarlyStopping(patience=2, min_delta=0.05)
    candidates = seeds(3, watch="rmse", stopping=stopping, keep="best", epochs=12, optimizer=mn.Adam(lr=0.05))
    results = mn.train_many(X, Y, candidates, cv=[(TRAINED, HELD_OUT)], validation=0.25)
    for result, (spec, recipe) in zip(results, candidates, strict=True):
        alone = mn.train(X[TRAINED], Y[TRAINED], spec, recipe, validation=0.25, progress=False)
        assert len(result.history["loss"]) == len(alone.history["loss"])
        assert_close(np.array(result.history["val_rmse"]), np.array(alone.history["val_rmse"]), "float64_run")
        assert result.model is not None
        figures = result.model.evaluate(X[HELD_OUT], Y[HELD_OUT])
        assert_close([result.loss, result.score], [figures["loss"], figures["rmse"]], "float64_run")
