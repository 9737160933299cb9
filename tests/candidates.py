"""`plan_candidates` and `train_plan` in one call."""

from __future__ import annotations

import inspect
from typing import Any

from manynets.search.candidates import Result, plan_candidates, train_plan

__all__ = ["train_candidates"]


def train_candidates(X: Any, y: Any, candidates: Any, **options: Any) -> list[Result]:
    """Train on X as it is as the sweep does: with the options of `train_many`, max_networks and on_results.

    finished: results by candidate and fold, which are returned as they are.
    """
    planning, training = (inspect.signature(function).parameters for function in (plan_candidates, train_plan))
    plan = plan_candidates(X, y, candidates, **{"scaling": False, **{name: options[name] for name in options if name in planning}})
    results = train_plan(plan, **{name: options[name] for name in options if name in training})
    found = {(result.candidate, result.fold): result for result in results} | dict(options.get("finished", {}))
    return [found[place] for place in sorted(found)]
