"""Groups whose rows differ only in how they are encoded, each by the training rows of its own split, stacked into one.

A group trains its networks together, but no others. Where each of many seeds has a split of its own, and so an encoder of its own, a group
would have one network. In a stack, the rows of one group stand below those of the next, and a network knows its rows by their numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from manynets.data.batches import Rows
from manynets.plan import Plan, TrialGroup
from manynets.tasks import Regression

FEW = 16  # networks up to which a group gains by being trained with others
MOST_BYTES = 1 << 28  # of the rows of a stack, which are a copy


def _stack(groups: Sequence[TrialGroup]) -> TrialGroup:
    """Return groups as one. Each network of a regression has its own task, as its group has a center and scale of its own."""
    parts = [group.data.problem.rows for group in groups]
    weights = [rows.weight for rows in parts if rows.weight is not None]
    rows = Rows(
        torch.cat([rows.x for rows in parts]), torch.cat([rows.target for rows in parts]), torch.cat(weights) if weights else None
    )
    first = groups[0].data
    out, start = TrialGroup(dataclasses.replace(first, problem=dataclasses.replace(first.problem, rows=rows))), 0
    for group, part in zip(groups, parts, strict=True):
        moved, task = _Moved(start, len(part)), group.data.problem.task
        for member in group.members:
            validation, test = member.validation_rows, group.held_out[member.number]
            validation = None if validation is None else moved(validation)
            out.members.append(dataclasses.replace(member, rows=moved(member.rows), validation_rows=validation, task=task))
            out.held_out[member.number] = None if test is None else moved(test)
        start += len(part)
    return out


class _Moved:
    """Row numbers of a group (None: all `total` rows) as those of the stack; networks that share an array share the new one."""

    def __init__(self, start: int, total: int) -> None:
        self._start, self._total = start, total
        self._made: dict[int, NDArray[np.int64]] = {}

    def __call__(self, rows: NDArray[np.int64] | None) -> NDArray[np.int64]:
        if id(rows) not in self._made:
            self._made[id(rows)] = self._start + (np.arange(self._total) if rows is None else rows)
        return self._made[id(rows)]


def stacked(plan: Plan, *, most_bytes: int = MOST_BYTES) -> Plan:
    """Return a plan of the same networks, with groups of few networks in stacks."""
    waiting: dict[object, list[TrialGroup]] = {}
    sizes: dict[object, int] = {}  # of what waits
    stacks: list[list[TrialGroup]] = []
    for group in plan.groups.values():
        kind, size = _kind(group), row_bytes(group)
        held = waiting.get(kind)
        if kind is None or held is None or sizes[kind] + size > most_bytes:
            held, sizes[kind] = [], 0
            waiting[kind] = held
            stacks.append(held)
        held.append(group)
        sizes[kind] += size
    out = Plan()
    out.groups = dict(enumerate(groups[0] if len(groups) == 1 else _stack(groups) for groups in stacks))
    out.networks = plan.networks
    return out


def _kind(group: TrialGroup) -> object:
    """Return what groups of one stack have in common, None for a group that is alone."""
    problem, rows = group.data.problem, group.data.problem.rows
    by_number = problem.validation is None and all(member.weight is None for member in group.members)
    if len(group.members) > FEW or not by_number:
        return None
    task = problem.task
    if isinstance(task, Regression):  # each network has its own center and scale
        task = dataclasses.replace(task, center=(0.0,) * task.targets, scale=(1.0,) * task.targets)
    return task, problem.integers, rows.x.shape[1:], rows.x.dtype, rows.x.device, rows.target.dtype, rows.weight is None


def row_bytes(group: TrialGroup) -> int:
    """Return the bytes of the rows of a group and of their target."""
    rows = group.data.problem.rows
    return sum(tensor.numel() * tensor.element_size() for tensor in (rows.x, rows.target))
