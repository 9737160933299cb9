"""Checkpoints that manynets 0.1 wrote: the same state by other names.

There a run kept the raw scores of the steps since a chunk began, and the log of whole chunks; now it keeps the sums of the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from manynets.training.loop import TrainingRun
    from manynets.training.steppers.base import Array


def upgraded(run: TrainingRun, values: Mapping[str, Any], tensors: Mapping[str, Array]) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return values and tensors of a checkpoint of format 1 as those of format 2, for a run of its networks."""
    values, out = dict(values), dict(tensors)
    step, start = int(values["step"]), int(values.pop("chunk_start"))
    networks = len(values["places"])
    log = [out.pop("log").astype(np.float64)] if "log" in out else []
    if step > start:
        log += _log_of_scores(run, start, out.pop("scores"), out.pop("penalties", None))
    values |= {"sums": sum(map(len, log)), "stepper": run.stepper.name, "threads": 0}
    out["sums/totals"] = np.concatenate(log).sum(0) if log else np.zeros((networks, 0))
    out["sums/first_bad"] = np.full(networks, -1)
    return values, out


def _log_of_scores(run: TrainingRun, start: int, scores: Array, penalties: Array | None) -> list[Array]:
    """Return the log of the steps from `start` on whose raw scores (n, K, b, O) these are."""
    stepper, log = run.stepper, []
    for s, of_step in enumerate(scores):
        lines = []
        for k, member in enumerate(stepper.members):
            index = torch.from_numpy(stepper.batches.rows_of(k, *stepper.batches.located(start + s)))
            rows = stepper.problem.rows
            target = stepper.loss.expand(rows.target[index].cpu().numpy(), member.recipe.label_smoothing)
            weights = rows.weight.cpu().numpy() if rows.weight is not None else np.ones(len(rows))
            weights = weights if member.weight is None else member.weight
            penalty = 0.0 if penalties is None else float(penalties[s, k])
            lines.append(stepper.loss.log(of_step[k, : len(index)], target, weights[index.numpy()], penalty))
        log.append(np.stack(lines)[None])
    return log
