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


def train_with(
    engine: engines.EngineName, problem: Problem, member: Member, *, callbacks: Sequence[Callback]
) -> tuple[Outcome, dict[str, Any]]:
    """Train one member by an engine other than torch; return its outcome, and what to add to the model's info.

    torch's global generators are left as they were: Keras on torch may draw from them.
    """
    if not isinstance(member.spec, MLP):
        raise OptionError(f"engine is {engine!r}, but a module of your own is trained by engine='torch' only")
    held_out = None if problem.validation is None else _plain(problem.validation, None)
    if member.validation_rows is not None:
        held_out = _plain(problem.rows, member.validation_rows)
    shape = problem.shape_of(member.spec)
    plain = engines.EngineProblem(
        spec=member.spec,
        recipe=member.recipe,
        task=problem.task,
        data=_plain(problem.rows, member.rows),
        validation=held_out,
        initial={name: member.initial[name] for name in shape.parameters() | shape.buffers() if name in member.initial},
    )

    def evaluated(
        step: int, entry: Mapping[str, float], best: Mapping[str, float], alive: bool, now: Mapping[str, NDArray[Any]]
    ) -> bool:
        columns, at_best = ({name: np.array([value]) for name, value in one.items()} for one in (entry, best))

        def read() -> list[dict[str, NDArray[Any]]]:
            return [{name: value.astype(member.recipe.dtype) for name, value in now.items()}]

        event = Evaluated(step, (member.number,), columns, int(alive), at_best, read=read)
        return not (tell(callbacks, Advanced(step), event) or stop)

    with torch.random.fork_rng(devices=[]), engines.opened(engine, plain) as network:
        stop = tell(callbacks, started(problem, [member], steps=plain.total, steps_per_epoch=plain.steps))
        out = engines.run(network, plain, evaluated)
    divergence = None if out.divergence is None else Divergence(*out.divergence)
    tell(callbacks, Finished(out.seconds, () if divergence is None else (member.number,)))
    return Outcome(member.number, out.parameters, out.history, out.best, out.stopped, divergence, out.seconds), network.info


def _plain(rows: batches.Rows, own: NDArray[np.int64] | None) -> engines.ArrayRows:
    """Return (these) rows as NumPy arrays."""
    some = slice(None) if own is None else own
    weight = None if rows.weight is None else rows.weight.cpu().numpy()[some]
    return engines.ArrayRows(rows.x.cpu().numpy()[some], rows.target.cpu().numpy()[some], weight)
