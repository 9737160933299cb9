"""Train networks on a stream: members, loop and steppers are those of rows in memory."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from manynets.encoding import embedded_columns
from manynets.errors import OptionError
from manynets.model import Model
from manynets.plan import ensemble
from manynets.results import model_of, system_of
from manynets.spec import MLP, Recipe
from manynets.streaming.opening import Stream
from manynets.training.checkpoint import Checkpoint, Checkpoints
from manynets.training.events import Callback
from manynets.training.groups import train_members

__all__ = ["train_stream"]


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
) -> Model:
    """Train networks, which share the stream, and return their Model; the arguments are those of `manynets.train`."""
    data = stream.data
    if spec.prior and initial is None:
        raise OptionError("prior=True needs the target of all rows at once, which a stream does not have; use prior=False")
    try:
        spec = embedded_columns(spec, data.encoder)
        members = ensemble(spec, recipe, data, n_networks, initial=initial)
        keeper = None
        if checkpoint is not None or resume is not None:
            keeper = Checkpoints(data.problem, members, checkpoint=checkpoint, resume=resume, system=system_of(data))
        model = model_of(spec, recipe, data, train_members(data.problem, members, callbacks=callbacks, keeper=keeper))
    finally:
        stream.close()
    layout = stream.rows.layout
    model.info["stream"] = {"rows": layout.rows, "windows": layout.windows, "window_rows": layout.capacity}
    return model
