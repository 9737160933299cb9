"""Loss and metric of K networks on rows they do not train on, and the variances that R2 is measured against."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manynets.data.batches import Index, Rows, row_weights
from manynets.data.stream.rows import StreamedRows
from manynets.errors import OptionError
from manynets.spec import ReduceOnPlateau
from manynets.spec.recipe import goes_by_name
from manynets.tasks.base import Task
from manynets.tasks.losses import Loss
from manynets.tasks.objectives import Objective
from manynets.tasks.own_metric import Metric, measured
from manynets.training.trial import Member, Problem

Host = NDArray[np.float64]
SCORES_AT_ONCE = 1 << 20  # numbers in the widest layer of a chunk


def without_validation(metric: str, task: Task) -> str:
    """Return the message for a metric that only validation rows have."""
    return f"the metric {metric!r} needs validation rows; give some, or take {task.metric!r}, which training has, too"


def watched_metric(problem: Problem, members: Sequence[Member], *, validated: bool) -> str:
    """Return the metric that networks watch (`Recipe.watch`) where only validation rows have it, else "".

    Errors: OptionError where a network stops, or lowers its learning rate, by such a metric without validation rows.
    """
    watched, task = members[0].recipe.watch, problem.task
    if not goes_by_name(watched) or watched == task.metric:
        return ""
    watched = watched.removesuffix("()")
    recipes = [member.recipe for member in members]
    if not validated and any(r.stopping is not None or isinstance(r.schedule, ReduceOnPlateau) for r in recipes):
        raise OptionError(without_validation(watched, task))
    return watched if validated else ""  # without validation rows nothing goes by it


def variances(rows: Rows, own: Sequence[Index | None], weights: Sequence[Host | None], loss: Loss) -> Host:
    """Return the variances of the target (K, O) over each network's rows (None: all); ones for labels.

    weights: (N,) of each network, instead of those of the rows.
    """
    if isinstance(rows, StreamedRows):
        return np.stack([rows.spread] * len(own))
    target = rows.target.cpu().numpy()
    common = None if rows.weight is None else rows.weight.double().cpu().numpy()
    known: dict[tuple[int, int], Host] = {}
    found = []
    for mine, weight in zip(own, weights, strict=True):
        key = id(mine), id(weight)
        if key not in known:
            w, part = common if weight is None else weight, slice(None) if mine is None else mine
            known[key] = loss.spread(target[part], None if w is None else w[part])
        found.append(known[key])
    return np.stack(found)


class Validation:
    """The validation rows of K networks: all of `rows`, or for each network its own.

    scores(x) gives raw scores (K, n, O) for x (n, D), or (K, n, D); `widest` is its widest layer. weights: (N,) of each network,
    instead of those of the rows.
    """

    def __init__(
        self,
        rows: Rows,
        own: Sequence[Index | None],
        objective: Objective,
        *,
        widest: int,
        weights: Sequence[Host | None] | None = None,
    ) -> None:
        self.rows, self.own, self.objective, self.networks = rows, own, objective, len(own)
        self.own_weights = [None] * len(own) if weights is None else weights
        self.spread = variances(rows, own, self.own_weights, objective.loss)
        self.weights = row_weights(rows, self.own_weights)
        shared = all(mine is own[0] for mine in own)
        lines = [mine for mine in (own[:1] if shared else own) if mine is not None]
        self.counts = [len(line) for line in lines] or [len(rows)]
        self.most = max(self.counts)
        self.index: Tensor | None = None
        if lines:
            padded = np.stack([np.pad(line, (0, self.most - len(line)), mode="edge") for line in lines])
            self.index = torch.from_numpy(padded).to(rows.x.device)
        self.size = max(1, SCORES_AT_ONCE // (max(widest, rows.x.shape[1]) * self.networks))

    def judge(self, scores: Callable[[Tensor], Tensor]) -> tuple[Host, Host]:
        """Return loss and metric (K,)."""
        sums = self.sums(scores)
        assert sums is not None
        return self.objective.loss.means(sums, self.spread)

    def sums(
        self, scores: Callable[[Tensor], Tensor], overdue: Callable[[], bool] = lambda: False, *, part: slice | None = None
    ) -> Host | None:
        """Return the sums over the rows (K, 3 + M) of loss, weight, penalty (here 0) and hits; None once it is overdue.

        part: over these rows only.
        """
        device, dtype = self.rows.x.device, self.rows.x.dtype
        total = torch.zeros(self.networks, 3 + self.objective.loss.hit_count, dtype=torch.float64, device=device)
        first, end, _ = (part or slice(None)).indices(self.most)
        for start in range(first, end, self.size):
            if start > first and overdue():
                return None
            cut = slice(start, min(start + self.size, end))
            x, target, raw = self._gather(cut)
            total += self.objective.log(scores(x), self.objective.expand(target, 0.0, dtype), raw)
        return total.cpu().numpy()

    def figures(self, metric: str | Metric, tasks: Sequence[Task], scores: Callable[[Tensor], Tensor]) -> Host:
        """Return a metric of `Task.metrics`, or of the user's own (K,), NaN where it is not defined. tasks: of each network."""
        parts = []
        for start in range(0, self.most, self.size):
            x = self._gather(slice(start, min(start + self.size, self.most)))[0]
            parts.append(scores(x).double().cpu().numpy())
        raw, target = np.concatenate(parts, axis=1), self.rows.target.cpu().numpy()
        weights = None if self.weights is None else self.weights.double().cpu().numpy()
        out = []
        for k, (task, own) in enumerate(zip(tasks, self.own, strict=True)):
            rows = slice(None) if own is None else own
            weight = None if weights is None else weights[k if len(weights) > 1 else 0][rows]
            mine = raw[k, : len(target) if own is None else len(own)]
            out.append(measured(metric, task, mine, target[rows], loss=self.objective.loss.name, weight=weight))
        return np.array(out)

    def _gather(self, cut: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Return x (n, D) or (K, n, D), target (1 or K, n, ...) and weights (1 or K, n) of these validation rows."""
        rows, size = self.rows, cut.stop - cut.start
        if self.index is None:
            x, target = rows.x[cut], rows.target[cut].unsqueeze(0)
            weight = None if self.weights is None else self.weights[:, cut]
        else:
            part = self.index[:, cut]
            x, target = rows.x[part[0] if len(part) == 1 else part], rows.target[part]
            weight = None
            if self.weights is not None:
                networks = max(len(part), len(self.weights))
                weight = self.weights.expand(networks, -1).gather(1, part.expand(networks, -1))
        raw = rows.x.new_ones(1, size) if weight is None else weight
        if min(self.counts) < self.most:
            columns = torch.arange(cut.start, cut.stop, device=rows.x.device)
            raw = raw * (columns < torch.tensor(self.counts, device=rows.x.device).unsqueeze(1))
        return x, target, raw
