"""Train networks on a stream: members, loop and steppers are those of rows in memory."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from manynets.distributed import current_ranks
from manynets.encoding import embedded_columns
from manynets.errors import OptionError
from manynets.model import Model
from manynets.plan import ensemble
from manynets.results import model_of, system_of, with_residuals
from manynets.spec import MLP, Recipe
from manynets.streaming.opening import Stream
from manynets.training.checkpoint import Checkpoint, Checkpoints
from manynets.training.events import Callback
from manynets.training.groups import train_members
from manynets.training.trial import Member, Outcome

__all__ = ["train_candidates", "train_stream"]


def train_stream(
    stream: Stream,
    spec: MLP,
    recipe: Recipe,
    *,
    n_networks: int = 1,
    initial: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint: Checkpoint | None = None,
    resume: str | os.PathLike[str] | None = None,
    allow_world_size: bool = False,
) -> Model:
    """Train networks, which share the stream, and return their Model; the arguments are those of `manynets.train`.

    The stream is closed at the end. Errors: OptionError in a group of processes, which do not share a stream.
    """
    data, processes = stream.data, current_ranks().size
    if processes > 1:
        raise OptionError(
            f"a stream trains in one process, and there are {processes}; leave out the memory limit, or start one process"
        )
    try:
        spec = _checked(stream, spec, started=initial is not None)
        members = ensemble(spec, recipe, data, n_networks, initial=initial)
        keeper = None
        if checkpoint is not None or resume is not None:
            keeping: dict[str, Any] = {"checkpoint": checkpoint, "resume": resume, "allow_world_size": allow_world_size}
            keeper = Checkpoints(data.problem, members, system=system_of(data), **keeping)
        outcomes = train_members(data.problem, members, callbacks=callbacks, keeper=keeper)
    finally:
        stream.close()
    return _model_of(stream, spec, recipe, members, outcomes)


def train_candidates(
    stream: Stream, candidates: Sequence[tuple[MLP, Recipe]], *, callbacks: Sequence[Callback] = ()
) -> list[Model]:
    """Train a network for each specification and recipe on the stream, and return their Models in the same order.

    Those of one shape, whose recipes may differ in rates, penalties, dropout and seed, share the stream, as `manynets.train_many` has it for
    rows in memory; those of another shape read it after them. All must take batches of the size that the stream was opened for.
    """
    data, members = stream.data, []
    try:
        for number, (spec, recipe) in enumerate(candidates):
            spec = _checked(stream, spec, started=False)
            member = ensemble(spec, recipe, data, 1)[0]
            members.append(dataclasses.replace(member, number=number))
        outcomes = train_members(data.problem, members, callbacks=callbacks)
    finally:
        stream.close()
    return [_model_of(stream, m.spec, m.recipe, [m], [outcome]) for m, outcome in zip(members, outcomes, strict=True)]


def _checked(stream: Stream, spec: MLP, *, started: bool) -> MLP:
    """Return a specification with the columns that it embeds; OptionError for what a stream cannot do."""
    if spec.prior and not started:
        raise OptionError("prior=True needs the target of all rows at once, which a stream does not have; use prior=False")
    return embedded_columns(spec, stream.encoder)


def _model_of(stream: Stream, spec: Any, recipe: Recipe, members: Sequence[Member], outcomes: Sequence[Outcome]) -> Model:
    model = model_of(spec, recipe, stream.data, outcomes)
    if stream.data.problem.validation is not None:
        model = with_residuals(model, stream.data, members)
    layout = stream.rows.layout
    model.info["stream"] = {"rows": layout.rows, "windows": layout.windows, "window_rows": layout.capacity}
    return model
