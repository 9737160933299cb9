"""`plan_candidates` and `train_plan` in one call."""

from __future__ import annotations

import inspect
from typing import Any

from manynets.search.candidates import Result, plan_candidates, train_plan

__all__ = ["train_candidates"]


def train_candidates(X: Any, y: Any, candidates: Any, **options: Any) -> list[Result]:
    """Train on X as it is as the sweep does: with the options of `train_many`, max_networks, on_results and finished."""
    training = inspect.signature(train_plan).parameters
    planning = {"scaling": False, **{name: value for name, value in options.items() if name not in training}}
    plan = plan_candidates(X, y, candidates, **planning)
    return train_plan(plan, **{name: value for name, value in options.items() if name in training})
