"""Train a member with another library's engine: torch's half of `manynets.engines`, which knows no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from manynets import engines
from manynets.data import batches
from manynets.errors import OptionError
from manynets.spec import MLP
from manynets.training.events import Advanced, Callback, Evaluated, Finished, started, tell
from manynets.training.trial import Divergence, Member, Outcome, Problem


class _Watcher:
    """Turns what an engine reports to its watcher into events."""

    def __init__(self, problem: Problem, member: Member, callbacks: Sequence[Callback]) -> None:
        self.problem, self.member, self.callbacks = problem, member, callbacks
        self.stop = False  # whether a callback asked for it

    def tell(self, event: Any) -> None:
        try:
            tell(self.callbacks, event)
        except StopIteration:
            self.stop = True

    def started(self, steps: int, steps_per_epoch: int) -> None:
        self.tell(started(self.problem, [self.member], steps=steps, steps_per_epoch=steps_per_epoch))

    def evaluated(
        self, step: int, entry: Mapping[str, float], best: Mapping[str, float], alive: bool, now: Mapping[str, NDArray[Any]]
    ) -> bool:
        columns, at_best = ({name: np.array([value]) for name, value in one.items()} for one in (entry, best))
        for values in (*columns.values(), *at_best.values()):
            values.flags.writeable = False
        self.tell(Advanced(step))

        def read() -> list[dict[str, NDArray[Any]]]:
            return [{name: value.astype(self.member.recipe.dtype) for name, value in now.items()}]

        self.tell(Evaluated(step, (self.member.number,), columns, int(alive), at_best, read=read))
        return not self.stop


def train_with(
    engine: engines.EngineName, problem: Problem, member: Member, *, callbacks: Sequence[Callback] = ()
) -> tuple[Outcome, dict[str, Any]]:
    """Train one member by an engine other than torch; return its outcome, and what to add to the model's info.

    torch's global generators are left as they were: Keras on torch may draw from them.
    """
    if not isinstance(member.spec, MLP):
        raise OptionError(f"engine is {engine!r}, but a module of your own is trained by engine='torch' only")
    train = engines.engine_named(engine)
    watcher = _Watcher(problem, member, callbacks)
    held_out = _plain(problem.validation, None) if problem.validation is not None else None
    if member.validation_rows is not None:
        held_out = _plain(problem.rows, member.validation_rows)
    shape = problem.shape_of(member.spec)
    names = [name for name in shape.parameters() | shape.buffers() if name in member.initial]
    with torch.random.fork_rng(devices=[]):
        out = train(
            member.spec,
            member.recipe,
            problem.task,
            data=_plain(problem.rows, member.rows),
            validation=held_out,
            initial={name: member.initial[name] for name in names},
            watcher=watcher,
        )
    divergence = None if out.divergence is None else Divergence(*out.divergence)
    watcher.tell(Finished(out.seconds, () if divergence is None else (member.number,)))
    return Outcome(member.number, out.parameters, out.history, out.best, out.stopped, divergence, out.seconds), out.info


def _plain(rows: batches.Rows, own: NDArray[np.int64] | None) -> engines.ArrayRows:
    """Return (these) rows as NumPy arrays."""
    parts = [None if part is None else part.cpu().numpy() for part in (rows.x, rows.target, rows.weight)]
    x, target, weight = (part if part is None or own is None else part[own] for part in parts)
    assert x is not None
    assert target is not None
    return engines.ArrayRows(x, target, weight)
