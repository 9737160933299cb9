"""Networks with an encoder each are trained together, as each would be alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import polars as pl
import pytest

import manynets as mn
from manynets.search import groups as groups_module
from manynets.search.candidates import plan_candidates
from manynets.search.groups import FEW, stacked
from tests.tolerances import assert_close

DRAW = np.random.default_rng(0)
X = DRAW.normal([5.0, -300.0, 0.1], [1.0, 40.0, 0.02], size=(90, 3))
Y = (X[:, 0] > 5) ^ (X[:, 1] > -300)
SPEC, RECIPE = mn.MLP(hidden=(5,)), mn.Recipe(epochs=3, batch_size=16, dtype="float64")
OPTIONS: dict[str, Any] = {"scaling": "standard", "validation": 0.2}


def seeds(count: int, **changes: Any) -> list[tuple[mn.MLP, mn.Recipe]]:
    return [(SPEC, dataclasses.replace(RECIPE, seed=seed, **changes)) for seed in range(count)]


@pytest.mark.parametrize("gradient", ["auto", "closed_form", "autograd"])
@pytest.mark.parametrize("weights", [False, True])
def test_each_equals_its_training_alone(gradient, weights):
    weight = DRAW.integers(1, 4, size=len(X)) if weights else None
    results = mn.train_many(X, Y, seeds(3, gradient=gradient), sample_weight=weight, **OPTIONS)
    for result, (spec, recipe) in zip(results, seeds(3, gradient=gradient), strict=True):
        alone = mn.train(X, Y, spec, recipe, sample_weight=weight, progress=False, **OPTIONS)
        assert_close(result.parameters, dict(alone.members[0]), "float64_run")
        assert_close(np.array(result.history["val_loss"]), np.array(alone.history["val_loss"]), "float64_run")
        assert_close(result.model.predict_proba(X), alone.predict_proba(X), "float64_run")
    assert len({id(result.encoder) for result in results}) == 3


def test_scores_on_held_out_rows_are_those_of_each_fold():
    frame = pl.DataFrame(X, schema=["a", "b", "c"])
    together = mn.train_many(frame, Y, seeds(4), cv=3, validation=0.2)
    for number, candidate in enumerate(seeds(4)):
        alone = mn.train_many(frame, Y, [candidate], cv=3, validation=0.2)
        for fold, result in enumerate(alone):
            found = together[3 * number + fold]
            assert (found.candidate, found.fold) == (number, fold)
            assert_close([found.loss, found.score], [result.loss, result.score], "float64_run")


def test_which_groups_are_stacked():
    def sizes(count: int, **limits: Any) -> list[int]:
        groups = plan_candidates(X, Y, seeds(count), **OPTIONS).groups
        return [len(group.members) for group in stacked(groups, **limits)]

    assert sizes(5) == [5]
    assert sizes(5, most_bytes=0) == [1, 1, 1, 1, 1]
    one = X.nbytes + 8 * len(Y)  # the rows of a group, and their target
    assert sizes(5, most_bytes=2 * one) == [2, 2, 1]
    many = plan_candidates(X, Y, seeds(FEW + 1), scaling="standard").groups  # one encoder for all
    assert [len(group.members) for group in stacked(many)] == [FEW + 1]
    own = plan_candidates(X, Y, seeds(2), sample_weight=np.ones((2, len(X))), **OPTIONS).groups  # weights of each network
    assert len(stacked(own)) == 2


def test_the_work_of_stacking_grows_with_the_groups_not_their_square(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def counted(group):
        calls.append(group)
        return 1

    monkeypatch.setattr(groups_module, "row_bytes", counted)
    stacked(plan_candidates(X, Y, seeds(9), **OPTIONS).groups)
    assert len(calls) == 9


def test_networks_that_diverge_do_not_concern_the_others():
    recipes = [RECIPE, dataclasses.replace(RECIPE, seed=1, optimizer=mn.SGD(lr=1e300)), dataclasses.replace(RECIPE, seed=2)]
    results = mn.train_many(X, Y, [(SPEC, recipe) for recipe in recipes], **OPTIONS)
    assert [result.stopped for result in results] == ["done", "diverged", "done"]
    alone = mn.train(X, Y, SPEC, recipes[2], progress=False, **OPTIONS)
    assert_close(results[2].parameters, dict(alone.members[0]), "bits")


def test_networks_with_the_same_rows_share_their_arrays():
    rates = [0.01, 0.1]
    candidates = [(SPEC, dataclasses.replace(RECIPE, seed=seed, optimizer=mn.Adam(lr=lr))) for seed in range(3) for lr in rates]
    for validation in (0.2, None):
        groups = plan_candidates(X, Y, candidates, scaling="standard", cv=2, validation=validation).groups
        assert len(groups) > 1
        (group,) = stacked(groups)
        arrays = {id(member.rows) for member in group.members} | {id(member.validation_rows) for member in group.members}
        assert len(arrays) == (2 * 6 if validation else 2 + 1)


def test_with_one_split_for_all_seeds_the_networks_of_a_fold_share_a_copy():
    options = {"cv": 2, "validation": 0.2, "scaling": "standard"}
    plan = plan_candidates(X, Y, seeds(5), split_seed=3, **options)
    assert [len(group.members) for group in plan.groups] == [5, 5]
    for fold, group in enumerate(plan.groups):
        assert len({(id(member.rows), id(member.validation_rows)) for member in group.members}) == 1
        [of_seed_3] = [one.member for one in plan_candidates(X, Y, seeds(5), **options).networks.values()
                       if (one.candidate, one.fold) == (3, fold)]  # fmt: skip
        assert_close(group.members[0].rows, of_seed_3.rows, "bits")
