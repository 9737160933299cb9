"""Ensembles that compete (`EarlyStopping.race`): one that is far behind stops early."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import manynets as mn
from tests.tolerances import assert_close

random = np.random.default_rng(0)
X = random.standard_normal((120, 3))
Y = X[:, 0] * X[:, 1]
STEPS, EVERY = 120, 10
RATES = (0.03, 1e-6)
"""Of two candidates, of which the second learns next to nothing."""


def _trained(rates: Any = RATES, *, watch: str = "loss", validation: Any = 0.3, **stopping: Any) -> list[mn.Model]:
    recipes = [
        mn.Recipe(
            optimizer=mn.Adam(lr=rate),
            iterations=STEPS,
            evaluate_every=EVERY,
            batch_size=16,
            watch=watch,
            stopping=mn.EarlyStopping(patience=STEPS, **{"shared": True, "race": 1.5, **stopping}),
        )
        for rate in rates
    ]
    results = mn.train_many(X, Y, [(mn.MLP(hidden=(32,)), recipe) for recipe in recipes], validation=validation, progress=False)
    return [result.model for result in results]


@pytest.mark.parametrize("race", [1.5, 6.0])
def test_one_far_behind_stops_and_the_other_is_as_alone(race: float) -> None:
    model, slow = _trained(race=race)
    assert (model.info["stopped"], slow.info["stopped"]) == (["done"], ["early"])
    end = len(slow.history["step"])
    steps = np.array(slow.history["step"])
    best, behind = (np.minimum.accumulate(one.history["val_loss"])[:end] for one in (model, slow))
    factor = np.where(steps < STEPS / 3, np.inf, 1 + (race - 1) * (1 - steps / STEPS) * 1.5)
    assert (behind > factor * best).tolist() == [False] * (end - 1) + [True]
    (alone,) = _trained([RATES[0]], race=race)
    assert_close(model.predict(X), alone.predict(X), "bits")


@pytest.mark.parametrize(
    "options", [{"race": None}, {"validation": None}, {"watch": "metric"}], ids=["no race", "no validation rows", "values below 0"]
)
def test_otherwise_all_train_to_their_end(options: dict[str, Any]) -> None:
    assert [model.info["stopped"] for model in _trained(**options)] == [["done"]] * 2


def test_only_ensembles_compete() -> None:
    with pytest.raises(mn.OptionError, match=r"EarlyStopping has race=1.5, but only ensembles compete; give shared=True, too"):
        mn.EarlyStopping(race=1.5)
    with pytest.raises(mn.OptionError, match=r"race is 0.9, but must be"):
        mn.EarlyStopping(race=0.9, shared=True)


def _stopping(patience: int) -> mn.EarlyStopping:
    return mn.EarlyStopping(patience=patience, shared=True, race=1.5)


def _ended_and_slow(**options: Any) -> list[Any]:
    """Return the results of a candidate that ends, as its values become worse, before a third of the steps, and of one that is far behind it."""
    recipes = [
        mn.Recipe(optimizer=mn.Adam(lr=rate), iterations=300, evaluate_every=5, batch_size=16, stopping=_stopping(patience))
        for rate, patience in ((0.3, 2), (1e-6, 300))
    ]
    return mn.train_many(X, Y, [(mn.MLP(hidden=(32,)), recipe) for recipe in recipes], validation=0.3, progress=False, **options)


def test_one_that_has_ended_is_not_forgotten(tmp_path: Path) -> None:
    def stop(event: mn.Event) -> None:
        if isinstance(event, mn.Advanced) and event.step >= 80:
            raise StopIteration

    ended, slow = whole = _ended_and_slow()
    assert ended.history["step"][-1] < 80
    assert (ended.stopped, slow.stopped) == ("early", "early")
    assert slow.history["step"][-1] == 100
    folder = tmp_path / "run"
    cut = _ended_and_slow(checkpoint=mn.Checkpoint(folder=folder, every_steps=10), callbacks=[stop])
    assert [one.stopped for one in cut] == ["early", "callback"]
    resumed = _ended_and_slow(checkpoint=mn.Checkpoint(folder=folder, every_steps=10), resume=folder)
    for one, other in zip(whole, resumed, strict=True):
        assert one.history["val_loss"] == other.history["val_loss"]
