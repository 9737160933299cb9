"""How the results of networks that predict together are pooled, for those who watch a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from manynets.spec import Recipe
from manynets.tasks import Regression, Task
from manynets.training.trial import Member, Problem

__all__ = ["pooled_rows", "squared_share"]

MOST = 1000
"""Networks up to which their best entries are collected at each evaluation."""


def pooled_rows(problem: Problem, members: Sequence[Member]) -> Mapping[int, float]:
    """Return how much the validation rows of each network count, by its number; nothing for networks of several kinds (`Member.kind`)."""
    kind = members[0].kind
    if len(members) > MOST or any(member.kind != kind for member in members):
        return {}
    out = {}
    for member in members:
        rows, weight = member.validation_rows, problem.rows.weight
        if rows is None:
            out[member.number] = 1.0
        else:
            out[member.number] = float(len(rows) if weight is None else weight.cpu().numpy()[rows].sum())
    return out


def squared_share(task: Task, recipe: Recipe) -> float:
    """Return what turns the loss into the mean squared error in the target's unit, 0 where nothing does."""
    if not isinstance(task, Regression) or task.transform is not None:
        return 0.0
    return {"squared_error": 1.0, "half_squared_error": 2.0}.get(recipe.loss or "squared_error", 0.0)
