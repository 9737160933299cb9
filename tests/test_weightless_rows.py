"""Rows of weight 0: networks are trained as if these were not in the data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets import fitting
from manynets.prepare import cv_splits
from manynets.search import candidates as many
from manynets.search.groups import FoldRows
from manynets.training.checkpoint import checkpoint_files
from manynets.training.events import Evaluated
from tests.tolerances import assert_close

ROWS = 90
_random = np.random.default_rng(0)
X = _random.normal(size=(ROWS, 3))
Y = X[:, 0] + 0.1 * _random.normal(size=ROWS)
WEIGHT = np.arange(ROWS) % 3 * 0.5
SEEN = WEIGHT > 0
X[~SEEN], Y[~SEEN] = 1e3, -1e3
SPEC = mn.MLP(hidden=(6,), batch_norm=True, dropout=0.1, prior=True)
RECIPE = mn.Recipe(epochs=3, batch_size=16)


def trained(rows: Any, **options: Any) -> mn.Model:
    options = {"scaling": "standard", "progress": False} | options
    return mn.train(X[rows], Y[rows], SPEC, RECIPE, sample_weight=WEIGHT[rows], **options)


def refitted(rows: Any) -> mn.Model:
    fresh = np.random.default_rng(1)
    model = mn.train(fresh.normal(size=(40, 3)), fresh.normal(size=40), SPEC, RECIPE, scaling="standard", progress=False)
    return model.fit(X[rows], Y[rows], sample_weight=WEIGHT[rows])


def tabular(rows: Any) -> mn.Model:
    estimator = mn.TabularRegressor(preset="fast", n_networks=2, random_state=0)
    return estimator.fit(X[rows], Y[rows], sample_weight=WEIGHT[rows], X_val=X[SEEN][:20], y_val=Y[SEEN][:20]).model_


def folds(rows: Any, **options: Any) -> mn.Model:
    options = {"cv": 3, "scaling": "standard", "progress": False} | options
    results = mn.train_many(X[rows], Y[rows], [(SPEC, RECIPE)], sample_weight=WEIGHT[rows], **options)
    assert results[-1].model is not None
    return results[-1].model


WAYS: dict[str, Callable[[Any], mn.Model]] = {
    "train": trained,
    "several": lambda rows: trained(rows, n_networks=2),
    "a validation set": lambda rows: trained(rows, validation=(X[SEEN][:20] + 0.01, Y[SEEN][:20])),
    "row numbers": lambda rows: trained(rows, validation=np.flatnonzero(SEEN[rows])[:20]),
    "numpy": lambda rows: trained(rows, engine="numpy"),
    "Model.fit": refitted,
    "TabularRegressor": tabular,
    "folds": folds,
    "shared folds": lambda rows: folds(rows, scaling=False),
    "grouped folds": lambda rows: folds(rows, groups=np.arange(ROWS)[rows] // 6),
    "no folds": lambda rows: folds(rows, cv=None),
    "folds with validation": lambda rows: folds(rows, validation=0.2),
}


@pytest.mark.parametrize("way", WAYS)
def test_they_are_as_if_they_were_not_there(way: str) -> None:
    all_rows, others = WAYS[way](np.arange(ROWS)), WAYS[way](SEEN)
    assert all_rows.task == others.task
    for mine, theirs in zip(all_rows.members, others.members, strict=True):
        assert_close(mine, theirs, "float32")


def test_what_version_0_1_began_goes_on_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It trained on rows of weight 0, too."""
    checkpoint = mn.Checkpoint(folder=tmp_path / "one", every_steps=1, keep=99)
    with monkeypatch.context() as patch:
        patch.setattr(fitting, "counted_rows", lambda problem, rows: rows)
        whole = trained(slice(None), checkpoint=checkpoint)
    resumed = trained(slice(None), resume=checkpoint_files(checkpoint.folder)[0])
    assert_close(resumed.members[0], whole.members[0], "bits")
    assert resumed.task == whole.task


class Killed(BaseException):
    pass


def kill(event: Any) -> None:
    if isinstance(event, Evaluated):
        raise Killed


@pytest.mark.parametrize("count", [None, 3])
def test_folds_that_version_0_1_began_go_on_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int | None) -> None:
    with monkeypatch.context() as patch:
        for old in (cv_splits, FoldRows):
            patch.setattr(many, old.__name__, lambda *given, weight, old=old, **more: old(*given, **more))
        whole = folds(slice(None), cv=count)
        with pytest.raises(Killed):
            folds(slice(None), cv=count, checkpoint=mn.Checkpoint(folder=tmp_path / "many", every_steps=1), callbacks=[kill])
    resumed = folds(slice(None), cv=count, resume=tmp_path / "many")
    assert_close(resumed.members[0], whole.members[0], "bits")


BY_CANDIDATE: dict[str, Any] = {
    "sample_weight": np.stack([WEIGHT, np.roll(WEIGHT, 1), np.ones(ROWS)]),
    "scaling": False,
    "progress": False,
}
NEW = _random.normal(size=X.shape)
CANDIDATES = [(SPEC, RECIPE)] * 3


def test_weights_by_candidate_leave_out_rows_of_that_candidate() -> None:
    task = mn.Regression.of(Y[SEEN])
    results = mn.train_many(NEW, Y, CANDIDATES, task=task, **BY_CANDIDATE)
    for result, weight in zip(results, BY_CANDIDATE["sample_weight"], strict=True):
        alone = mn.train(NEW, Y, SPEC, RECIPE, sample_weight=weight, scaling=False, task=task, progress=False)
        assert result.model is not None
        assert_close(result.model.members[0], alone.members[0], "float32_run")


@pytest.mark.parametrize("count", [None, 3])
def test_weights_by_candidate_that_version_0_1_began_go_on_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int | None
) -> None:
    wanted = {}
    for version in ("0.1", "now"):
        keeping = {"checkpoint": mn.Checkpoint(folder=tmp_path / version, every_steps=1), "callbacks": [kill]}
        with monkeypatch.context() as patch:
            if version == "0.1":
                patch.setattr(many, "rows_with_weight", lambda rows, weight: rows)
            wanted[version] = mn.train_many(NEW, Y, CANDIDATES, cv=count, **BY_CANDIDATE)
            with pytest.raises(Killed):
                mn.train_many(NEW, Y, CANDIDATES, cv=count, **BY_CANDIDATE, **keeping)
        resumed = mn.train_many(NEW, Y, CANDIDATES, cv=count, **BY_CANDIDATE, resume=tmp_path / version)
        for mine, theirs in zip(resumed, wanted[version], strict=True):
            assert mine.model is not None
            assert theirs.model is not None
            assert_close(mine.model.members[0], theirs.model.members[0], "bits")
    assert not np.array_equal(*(results[0].model.members[0]["output.weight"] for results in wanted.values()))
