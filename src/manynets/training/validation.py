"""Loss and metric of K networks on rows they do not train on, and the variances that R2 is measured against."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manynets.data.batches import Rows
from manynets.tasks.objectives import Objective

__all__ = ["Validation", "figures", "variances"]

Host = NDArray[np.float64]
SCORES_AT_ONCE = 1 << 20  # numbers in the widest layer of a chunk


def figures(sums: Host, objective: Objective, spread: Host) -> tuple[Host, Host]:
    """Return mean loss and metric (..., K) from sums over rows (..., K, 3 + M): of the loss, the weight, the penalty, the hits."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        means = sums / sums[..., 1:2]
        return means[..., 0], objective.metric(means[..., 3:], spread)


def variances(
    rows: Rows, own: Sequence[NDArray[np.int64] | None], weights: Sequence[NDArray[np.float64] | None] | None = None
) -> Host:
    """Return the variances of the target (K, O) over each network's rows (None: all); ones for class codes.

    weights: (N,) of each network, in the place of those of the rows.
    """
    if rows.target.dtype == torch.long:
        return np.ones((len(own), 1))
    target = rows.target.double().cpu().numpy()
    common = None if rows.weight is None else rows.weight.double().cpu().numpy()
    seen: dict[tuple[int, int], Host] = {}
    keys = []
    for mine, weight in zip(own, [None] * len(own) if weights is None else weights, strict=True):
        keys.append((id(mine), id(weight)))
        if keys[-1] not in seen:
            part = target if mine is None else target[mine]
            w = common if weight is None else weight
            w = w if mine is None or w is None else w[mine]
            if w is not None and not w.any():
                w = None
            seen[keys[-1]] = np.average((part - np.average(part, axis=0, weights=w)) ** 2, axis=0, weights=w)
    return np.stack([seen[key] for key in keys])


class Validation:
    """The validation rows of K networks: all of `rows`, or for each network its own.

    scores(x) gives raw scores (K, n, O) for x (n, D), or (K, n, D); `widest` is its widest layer. weights: (N,) of each network,
    in the place of those of the rows.
    """

    def __init__(
        self,
        rows: Rows,
        own: Sequence[NDArray[np.int64] | None],
        objective: Objective,
        *,
        widest: int,
        weights: Sequence[NDArray[np.float64] | None] | None = None,
    ) -> None:
        self.rows, self.objective = rows, objective
        self.networks = len(own)
        self.spread = variances(rows, own, weights)
        self.weights = None if rows.weight is None else rows.weight.unsqueeze(0)  # (1 or K, N)
        if weights is not None and any(weight is not None for weight in weights):
            plain = np.ones(len(rows)) if rows.weight is None else rows.weight.double().cpu().numpy()
            self.weights = torch.from_numpy(np.stack([plain if weight is None else weight for weight in weights])).to(rows.x)
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
        return figures(self.sums(scores), self.objective, self.spread)

    def sums(self, scores: Callable[[Tensor], Tensor]) -> Host:
        """Return the sums over the rows (K, 3 + M) of loss, weight, penalty (here 0) and hits."""
        device, dtype = self.rows.x.device, self.rows.x.dtype
        total = torch.zeros(self.networks, 3 + self.spread.shape[1], dtype=torch.float64, device=device)
        for start in range(0, self.most, self.size):
            cut = slice(start, min(start + self.size, self.most))
            x, target, raw = self._gather(cut, dtype)
            out = scores(x)
            expanded = self.objective.expand(target, 0.0, dtype)
            loss, hits = self.objective.judge(out, expanded, target)
            total[:, 0] += (loss * raw).double().sum(-1)
            total[:, 1] += raw.double().sum(-1)
            total[:, 3:] += (hits * raw.unsqueeze(-1)).double().sum(-2)
        return total.cpu().numpy()

    def _gather(self, cut: slice, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
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
        raw = torch.ones(1, size, dtype=dtype, device=rows.x.device) if weight is None else weight
        if min(self.counts) < self.most:
            places = torch.arange(cut.start, cut.stop, device=rows.x.device)
            raw = raw * (places < torch.tensor(self.counts, device=rows.x.device).unsqueeze(1))
        return x, target, raw
