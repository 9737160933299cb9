"""`train_many` on a table larger than memory: candidates that take the same batches share one stream of its rows."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Hashable, Mapping, Sequence
from contextlib import closing
from typing import Any

from manynets.progress import Show, progress_callbacks
from manynets.search.result import Candidate, PlannedNetwork, Result, result_of, warn_of_interrupted
from manynets.spec import MLP, PiecewiseLinear, Recipe
from manynets.streaming import Stream, files_to_stream, open_stream, share_of, stream_members
from manynets.tasks.objectives import OwnLoss
from manynets.training.events import Callback
from manynets.training.groups import train_what_can
from manynets.training.signals import Halt, listening


def train_many_streamed(
    path: str | os.PathLike[str],
    candidates: Sequence[Candidate],
    loss: OwnLoss | None = None,
    *,
    memory_limit: int | str,
    task: Any,
    validation: Any,
    progress: Show,
    callbacks: Sequence[Callback],
    **of_files: Any,
) -> list[Result] | None:
    """Return the results of all candidates; None for a table that fits the limit. loss: a function. of_files: more arguments of `files_to_stream`.

    The rows to validate on are those of the seed of the first recipe, for all candidates.
    """
    found = files_to_stream(path, memory_limit, candidates[0][0], **of_files)
    if found is None:
        return None
    streams: dict[Hashable, list[int]] = {}
    for number, candidate in enumerate(candidates):
        streams.setdefault(_stream_of(*candidate), []).append(number)
    halt, results = Halt(), dict[int, Result]()
    options: dict[str, Any] = {
        "memory_limit": memory_limit,
        "task": task,
        "validation": share_of(validation, found[1]),
        "loss": loss,
    }
    listeners = [*progress_callbacks(progress), *callbacks]
    for numbers in streams.values():
        spec, recipe = candidates[numbers[0]]
        stream = open_stream(*found, dataclasses.replace(recipe, seed=candidates[0][1].seed), spec=spec, **options)
        if not results:
            stream.warn_of_columns()
        results |= _trained(stream, {number: candidates[number] for number in numbers}, listeners, halt)
    if halt.signal is not None:
        warn_of_interrupted(results.values())
    return [results[number] for number in range(len(candidates))]


def _stream_of(spec: MLP, recipe: Recipe) -> Hashable:
    """Return what candidates that share a stream have in common: its batches, its columns, its numbers and its target."""
    embedding = spec.embedding if isinstance(spec.embedding, PiecewiseLinear) else None
    target = recipe.quantiles or recipe.loss == "poisson"
    return recipe.batch_size, recipe.shuffle, recipe.dtype, recipe.device, target, spec.batch_norm, embedding


def _trained(stream: Stream, candidates: Mapping[int, Candidate], callbacks: Sequence[Callback], halt: Halt) -> dict[int, Result]:
    """Return the results of candidates by number, and close the stream."""
    with closing(stream):
        members = stream_members(stream, candidates)
        with listening(halt, (signal.SIGINT,)):
            found = train_what_can(stream.data.problem, members, callbacks=callbacks, halt=halt)
    return {
        one.number: result_of(one, PlannedNetwork(one.number, 0, member, stream.data))
        for member, one in zip(members, found, strict=True)
    }
