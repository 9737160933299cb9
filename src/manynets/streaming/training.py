"""Train networks on a stream: members, loop and steppers are those of rows in memory."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from manynets.encoding import embedded_columns
from manynets.errors import OptionError
from manynets.model import Model
from manynets.nn.initial import given_parameters
from manynets.nn.shape import Shape
from manynets.plan import ensemble
from manynets.results import checkpoints_of, model_of, with_residuals
from manynets.spec import MLP, Recipe
from manynets.streaming.opening import Stream
from manynets.training.checkpoint import Checkpoint
from manynets.training.events import Callback
from manynets.training.groups import train_members
from manynets.training.trial import Member


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

    The stream is closed at the end. In a group of processes all call this, each with a stream that was opened for its rank.
    """
    data = stream.data
    with closing(stream):
        spec = _checked(stream, spec, started=initial is not None)
        if initial is not None:
            initial = given_parameters(initial, Shape.of(spec, data.in_features, data.problem.task.outputs), recipe.dtype)
        members = ensemble(spec, recipe, data, n_networks, initial=initial)
        keeper = checkpoints_of(data, checkpoint=checkpoint, resume=resume, allow_world_size=allow_world_size)
        outcomes = train_members(data.problem, members, callbacks=callbacks, keeper=keeper)
    model = model_of(spec, recipe, data, outcomes)
    if data.problem.validation is not None:
        model = with_residuals(model, data, members)
    model.info["stream"] = stream.rows.layout.described()
    return model


def stream_members(stream: Stream, candidates: Mapping[int, tuple[MLP, Recipe]]) -> list[Member]:
    """Return a network for each specification and recipe, by its number, that trains on the stream."""
    members = []
    for number, (spec, recipe) in candidates.items():
        member = ensemble(_checked(stream, spec, started=False), recipe, stream.data, 1)[0]
        members.append(dataclasses.replace(member, number=number))
    return members


def _checked(stream: Stream, spec: MLP, *, started: bool) -> MLP:
    """Return a specification with the columns that it embeds; OptionError for what a stream cannot do."""
    if spec.prior and not started:
        raise OptionError("prior=True needs the target of all rows at once, which a stream does not have; leave out prior")
    return embedded_columns(spec, stream.encoder)
