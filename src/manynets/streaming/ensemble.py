"""The default ensemble of tables (`manynets.tabular`) on a stream.

Networks, recipe and encoder are those of the ensemble in memory, but for this: all networks train on the same rows and validate on the same
held-out rows, instead of another fold each; all have piecewise-linear columns, whose edges are those of the sample. Classes are calibrated on
the held-out rows.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from manynets.errors import OptionError, check_count, one_of
from manynets.model import Model
from manynets.results import checkpoints_of, model_of, with_residuals
from manynets.spec import MLP, Recipe
from manynets.streaming.columns import Columns, of_ensemble
from manynets.streaming.opening import Stream, open_stream
from manynets.tables.rowgroups import BlockFiles
from manynets.tabular import PRESETS, PresetName, prior_scores, tabular_network
from manynets.tabular.calibration import calibrators_of
from manynets.tabular.changes import check_changes
from manynets.tabular.recipe import initial_weights, tabular_recipe
from manynets.tasks import Binary, Regression
from manynets.tasks.thresholds import best_threshold
from manynets.training.checkpoint import Checkpoint
from manynets.training.events import Callback
from manynets.training.groups import train_members
from manynets.training.trial import Member
from manynets.training.validation import without_validation

NETWORKS = 8
VALIDATED = 50_000
"""Rows to validate on at most, where no share is given: the networks are evaluated 24 times."""


def open_ensemble(
    files: BlockFiles,
    columns: Columns,
    *,
    preset: PresetName = "default",
    metric: str | None = None,
    changes: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    validation: float | None = None,
    test: float = 0.0,
    **options: Any,
) -> Stream:
    """Return the stream for the default ensemble; the arguments are those of `open_stream` and `train_ensemble`.

    Errors: OptionError for the preset "best", which chooses among settings by the scores of all rows, and for options of `open_stream`.
    """
    one_of(preset, PRESETS, what="preset")
    if preset == "best":
        raise OptionError(
            "preset is 'best', which chooses among settings by the scores of all rows; on a stream use 'default' or 'fast'"
        )
    changes = dict(changes or {})
    check_changes(changes)
    rows = max(1, int(files.rows * (1 - test) * (1 - (validation or 0.0))))
    columns, embedding = of_ensemble(columns, rows, len(files.names) - 1)
    base = Recipe(seed=seed, device=device, watch="loss" if metric is None else metric)
    spec = MLP(embedding=embedding)
    batch = tabular_recipe(spec, Regression.of(np.zeros(1)), np.ones(1), rows, base, steps=1, changes=changes).batch_size
    own = {name: changes[name] for name in ("loss", "quantile") if name in changes}  # what the target depends on
    recipe = dataclasses.replace(base, batch_size=batch, **own)
    most = VALIDATED if validation is None else None
    return open_stream(files, columns, recipe, spec=spec, validation=validation, most_validation=most, test=test, **options)


def train_stream_ensemble(
    stream: Stream,
    *,
    n_networks: int = NETWORKS,
    preset: PresetName = "default",
    metric: str | None = None,
    changes: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    callbacks: Sequence[Callback] = (),
    checkpoint: Checkpoint | None = None,
    resume: str | os.PathLike[str] | None = None,
    allow_world_size: bool = False,
) -> Model:
    """Train the default ensemble on a stream of `open_ensemble`, and return its Model; the stream is closed at the end."""
    data, task = stream.data, stream.data.problem.task
    if metric is not None:
        one_of(metric, task.metrics, what=f"metric of the task {task.name!r}")
        if metric != task.metric and stream.validation is None:
            raise OptionError(without_validation(metric, task))
    check_count(n_networks, what="n_networks")
    with closing(stream):
        members = _members(stream, n_networks, preset=preset, metric=metric, changes=changes or {}, seed=seed, device=device)
        keeper = checkpoints_of(data, checkpoint=checkpoint, resume=resume, allow_world_size=allow_world_size)
        outcomes = train_members(data.problem, members, callbacks=callbacks, keeper=keeper)
    if isinstance(task, Regression):
        facts = stream.description.facts[stream.table.target]
        task = task.clamped_to(task.encode(np.array([facts.low, facts.high])))
        data = dataclasses.replace(data, problem=dataclasses.replace(data.problem, task=task))
    spec = members[0].spec
    assert isinstance(spec, MLP)
    model, held_out = model_of(spec, members[0].recipe, data, outcomes), stream.validation
    model.info["temperature"] = 1.0
    if held_out is not None and not isinstance(task, Regression):
        scores, target = model.logits(held_out.x), task.encode(held_out.y)
        own, of_mean = calibrators_of(list(scores), target, task, held_out.weight)
        model = model_of(spec, members[0].recipe, data, of_mean.networks(outcomes))
        model.info["temperature"] = float(of_mean.temperature)
        if metric == "f1" and isinstance(task, Binary):
            share = task.proba(model.mean_logits(own.scores(scores)))[:, 1]
            model.task = dataclasses.replace(task, threshold=best_threshold(share, target[:, 0] > 0.5, held_out.weight))
    if held_out is not None:
        model = with_residuals(model, data, members)
    model.info["stream"] = stream.rows.layout.described()
    return model


def _members(
    stream: Stream, n_networks: int, *, preset: PresetName, metric: str | None, changes: Mapping[str, Any], seed: int, device: str
) -> list[Member]:
    """Return the networks, each with its start."""
    task, encoder, sample, layout = stream.data.problem.task, stream.encoder, stream.sample, stream.rows.layout
    spec = tabular_network(task, layout.total, changes=changes)
    variances = sample.x.var(axis=0, dtype=np.float64)
    base = Recipe(seed=seed, device=device, watch="loss" if metric is None else metric)
    recipe = tabular_recipe(spec, task, variances, layout.total, base, steps=PRESETS[preset].steps, changes=changes)
    prior = prior_scores(task, task.encode(sample.y), sample.weight)
    columns: dict[str, Any] = {"piecewise": encoder.piecewise, "hashed": encoder.hashed}
    members = []
    for number in range(n_networks):
        own = dataclasses.replace(recipe, batch_size=layout.batch_size, seed=seed + number)
        members.append(Member(number, spec, own, initial_weights(spec, task.outputs, variances, prior, own.seed, **columns)))
    return members
