"""`train` with rows split by group, by time or by a column, and with a target on a log scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars
import pytest

import manynets as mn
from manynets.data.split import SplitBy
from manynets.prepare import cv_splits, find_target, holdout, network_splits, prepare

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(120, 3))
Y = X[:, 0] + 0.1 * RANDOM.normal(size=120)
GROUPS = np.array([f"g{i % 12}" for i in range(120)])
DAYS = np.datetime64("2024-01-01") + RANDOM.permutation(120)
RECIPE = mn.Recipe(epochs=2)


def test_groups_and_times_reach_the_split() -> None:
    data = prepare(X, Y, RECIPE, validation=0.25, by=SplitBy.of(120, groups=GROUPS))
    assert data.rows is not None
    assert not set(GROUPS[data.rows]) & set(GROUPS[data.validation_rows])
    late = prepare(X, Y, RECIPE, validation=0.25, by=SplitBy.of(120, times=DAYS))
    assert late.rows is not None
    assert DAYS[late.rows].max() < DAYS[late.validation_rows].min()
    assert len(late.rows) == 90


def test_the_networks_of_an_ensemble() -> None:
    problem = prepare(X, Y, RECIPE).problem
    for split in network_splits(problem, 4, seed=0, by=SplitBy.of(120, groups=GROUPS)):
        assert not set(GROUPS[split.train]) & set(GROUPS[split.held_out])
    splits = network_splits(problem, 4, seed=0, by=SplitBy.of(120, times=DAYS))
    assert all(split.held_out is splits[0].held_out for split in splits)
    assert DAYS[splits[0].train].max() < DAYS[splits[0].held_out].min()


def test_folds_and_parts_of_the_rows() -> None:
    target = find_target(Y, None)
    for split in cv_splits(target, 3, groups=GROUPS):
        assert not set(GROUPS[split.train]) & set(GROUPS[split.held_out])
    rows = np.arange(60)
    split = holdout(target, 0.5, seed=0, rows=rows, by=SplitBy.of(120, times=DAYS))
    assert sorted([*split.train, *split.held_out]) == rows.tolist()
    assert DAYS[split.train].max() < DAYS[split.held_out].min()


@pytest.mark.parametrize("validation", [0.25, "folds"])
@pytest.mark.parametrize("how", [{"groups": GROUPS}, {"times": DAYS}, {"stratify": GROUPS}])
def test_train(how: dict[str, Any], validation: Any) -> None:
    model = mn.train(X, Y, mn.MLP(hidden=(4,)), RECIPE, validation=validation, n_networks=3, scaling=False, progress=False, **how)
    assert model.size == 3
    assert "val_loss" in model.history or "validation_loss" in model.history


def test_what_does_not_go_together() -> None:
    with pytest.raises(mn.OptionError, match="groups says how to split the rows, which needs a fraction or 'folds'"):
        mn.train(X, Y, mn.MLP(), groups=GROUPS, scaling=False, progress=False)
    with pytest.raises(mn.OptionError, match="by times and by groups"):
        mn.train(X, Y, groups=GROUPS, times=DAYS, validation=0.2, progress=False)
    with pytest.raises(mn.DataError, match=r"groups has shape \(3,\)"):
        mn.train(X, Y, groups=[1, 2, 3], validation=0.2, progress=False)
    for more in ({"task": mn.Regression.of(Y)}, {"recipe": mn.Recipe(loss="poisson")}):
        with pytest.raises(mn.OptionError, match="target_transform is 'log', but does not go with"):
            mn.train(X, np.exp(Y), target_transform="log", progress=False, **more)  # type: ignore[arg-type]


def test_a_target_on_a_log_scale() -> None:
    model = mn.train(X, np.exp(5 * Y), mn.MLP(hidden=(4,)), RECIPE, target_transform="auto", scaling=False, progress=False)
    assert isinstance(model.task, mn.Regression)
    assert model.task.transform == "log"
    assert (model.predict(X) > 0).all()


def test_a_frame_is_encoded_with_the_target_in_mind() -> None:
    frame = polars.DataFrame({"key": [f"{'ab'[int(y > 0)]}{i * 7919 % 1000:03}" for i, y in enumerate(Y)], "noise": X[:, 2]})
    with pytest.warns(UserWarning, match="column 'key' is used, though"):
        model = mn.train(frame, Y, mn.MLP(hidden=(4,)), RECIPE, progress=False)
    assert model.encoder is not None
    assert model.encoder.column_names == ("key", "noise")
