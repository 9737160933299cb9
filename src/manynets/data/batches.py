"""Batches for K networks from data that lies on the device: each network visits its own rows in its own order.

Rows are gathered many batches at a time into buffers made once. A buffer is cut into slots, one a step, whose views are made
once too, so a step does no indexing. A chunk of steps has all its targets and scores at hand, and is reported on at once; of its
rows, which take more memory, only a few steps' lie there at a time. Networks with the same rows and seed share one order, and
then one gather.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manynets import rng
from manynets.tasks.objectives import Objective

__all__ = ["Batches", "Chunk", "Rows", "Slots", "steps_per_epoch"]

CHUNK_BYTES = 4 << 20  # of gathered rows, and of targets and scores: fewer parts cost less, larger ones leave the cache of a core
MOST_SLOTS = 256


def steps_per_epoch(rows: int, batch_size: int, *, merge_single: bool) -> int:
    """Return the steps of an epoch; with merge_single a last batch of one row joins the batch before it (batch norm)."""
    steps = -(-rows // batch_size)
    return steps - 1 if merge_single and steps > 1 and rows % batch_size == 1 and batch_size > 1 else steps


@dataclasses.dataclass
class Rows:
    """Data on the device: x (N, D), target (N,) codes or (N, O) floats, weight (N,) or None."""

    x: Tensor
    target: Tensor
    weight: Tensor | None

    def __len__(self) -> int:
        return self.x.shape[0]


class Slots:
    """Buffers for S batches of b rows of K networks, and per slot the views target, weight, raw and scores; of x, W slots at a time.

    Slot s has its rows in slot_x[s % W], as soon as `load` has brought them there. Shapes in a slot are (K, b, ...), without the
    first axis for K = 1. Scores and targets (K, b, O) lie in memory as (K, O, b), so that what is done along the outputs, such as
    softmax, is done for many rows at a time; turned_x, turned_scores and turned_target are the views (..., D or O, b).
    `weight` is what each row's gradient is multiplied by: one number () where all rows count alike. `raw` (S, K', b) are the
    weights before that, 0 for padding (None: all 1); in a slot they are a column (K', b, 1).
    `labels` (S, K', b, ...) are the targets as they are encoded.
    """

    def __init__(
        self, rows: Rows, outputs: int, *, networks: int, shared: bool, count: int, width: int, size: int, weighted: bool
    ) -> None:
        x = rows.x
        k = 1 if shared else networks
        self.count, self.width, self.size, self.networks, self.orders = count, width, size, networks, k
        self.x = x.new_empty(width, k, size, x.shape[1])
        self.index = torch.empty(0, dtype=torch.long, device=x.device)  # (filled slots, K' b): which rows are in a slot
        self.target = x.new_empty(count, k, outputs, size).mT
        self.scores = x.new_empty(count, networks, outputs, size).mT
        self.labels = x.new_empty(0)
        self.raw = x.new_empty(count, k, size) if weighted else None
        self.weights = x.new_empty(count, k, size, 1) if weighted else None
        self.slot_x = self._cut(self.x, expand=True)
        self.slot_target = self._cut(self.target)
        self.slot_scores = self._cut(self.scores)
        self.turned_x, self.turned_target, self.turned_scores = map(_turned, (self.slot_x, self.slot_target, self.slot_scores))
        self.slot_weight = [x.new_tensor(1.0 / size)] * count if self.weights is None else self._cut(self.weights)
        self.slot_raw = [None] * count if self.raw is None else self._cut(self.raw.unsqueeze(-1))

    def _cut(self, buffer: Tensor, *, expand: bool = False) -> list[Tensor]:
        if self.networks == 1:
            return [one[0] for one in buffer]
        if expand and self.orders == 1:
            return [one.expand(self.networks, *one.shape[1:]) for one in buffer]
        return list(buffer)

    def fill(
        self,
        rows: Rows,
        order: Tensor,
        weights: Tensor | None,
        valid: Tensor | None,
        objective: Objective,
        smoothing: Tensor | float,
    ) -> int:
        """Take the batches that `order` (K', steps * b) lists, all but their rows; return how many there are.

        weights: of the rows, (N,) for all networks or (K', N); valid (K', steps * b): 0 for padding.
        """
        steps = order.shape[1] // self.size
        index = order.view(self.orders, steps, self.size).transpose(0, 1).reshape(-1)
        self.index = index.view(steps, -1)
        self.labels = rows.target.index_select(0, index).view(steps, self.orders, self.size, *rows.target.shape[1:])
        expanded = objective.expand(self.labels, smoothing, self.x.dtype)
        if expanded.shape[1] != self.target.shape[1]:  # labels smoothed differently by network
            self.target = expanded.new_empty(self.count, self.networks, expanded.shape[3], self.size).mT
            self.slot_target = self._cut(self.target)
            self.turned_target = _turned(self.slot_target)
        self.target[:steps].copy_(expanded)
        if self.raw is not None and self.weights is not None:
            raw = self.raw[:steps]
            if weights is None:
                raw.fill_(1.0)
            elif weights.ndim == 1:
                raw.copy_(weights.index_select(0, index).view(raw.shape))
            else:
                raw.copy_(weights.gather(1, order).view(self.orders, steps, self.size).transpose(0, 1))
            if valid is not None:
                raw.mul_(valid.view(self.orders, steps, self.size).transpose(0, 1))
            total = raw.sum(-1, keepdim=True)
            torch.div(raw, total.masked_fill_(total == 0, 1.0), out=self.weights[:steps].view(raw.shape))
        return steps

    def load(self, rows: Rows, start: int) -> int:
        """Gather the rows of the filled slots start, start + 1, ..., where start is a multiple of W; return of how many."""
        index = self.index[start : start + self.width]
        torch.index_select(rows.x, 0, index.reshape(-1), out=self.x[: len(index)].view(-1, self.x.shape[3]))
        return len(index)


def _turned(views: list[Tensor]) -> list[Tensor]:
    return [view.mT for view in views]


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Filled slots: the first `steps` of `slots` are steps `start`, start + 1, ... of the epoch."""

    slots: Slots
    start: int
    steps: int


class Batches:
    """The batches of K networks: order by (seed, epoch), chunks of slots between any two steps of an epoch."""

    def __init__(
        self,
        rows: Rows,
        objective: Objective,
        outputs: int,
        *,
        own: Sequence[NDArray[np.int64] | None],
        weights: Sequence[NDArray[np.float64] | None],
        seeds: Sequence[int],
        batch_size: int,
        shuffle: bool,
        merge_single: bool,
        smoothing: Tensor | float,
    ) -> None:
        self.rows, self.objective, self.outputs = rows, objective, outputs
        self.own, self.seeds, self.shuffle = list(own), list(seeds), shuffle
        self.batch_size, self.merge_single, self.smoothing = batch_size, merge_single, smoothing
        counts = [len(rows) if mine is None else len(mine) for mine in own]
        self.most = max(counts)
        self.ragged = min(counts) != self.most
        self.counts = counts
        self.steps = steps_per_epoch(self.most, batch_size, merge_single=merge_single)
        keys = {(id(mine), id(weight), seed if shuffle else 0) for mine, weight, seed in zip(own, weights, seeds, strict=True)}
        self.shared = len(keys) == 1
        self.weights = rows.weight
        if any(weight is not None for weight in weights):
            plain = np.ones(len(rows)) if rows.weight is None else rows.weight.cpu().numpy()
            table = np.stack([plain if weight is None else weight for weight in (weights[:1] if self.shared else weights)])
            self.weights = torch.from_numpy(table).to(rows.x)
        self._slots: dict[int, Slots] = {}
        self._epoch = -1
        self._order = torch.empty(0)
        self._valid = torch.empty(0)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the rows (K', most) in the order of this epoch, padded with row 0; K' is 1 where all networks share it."""
        networks = 1 if self.shared else len(self.own)
        out = np.zeros((networks, self.most), dtype=np.int64)
        seen: dict[tuple[int | None, int], NDArray[np.int64]] = {}
        for k, (mine, seed, count) in enumerate(zip(self.own[:networks], self.seeds, self.counts, strict=False)):
            key = (None if mine is None else id(mine), seed)
            if key not in seen:
                order = rng.permutation(seed, epoch, count) if self.shuffle else np.arange(count)
                seen[key] = order if mine is None else mine[order]
            out[k, :count] = seen[key]
        return out

    def chunks(self, epoch: int, start: int, stop: int) -> Iterator[Chunk]:
        """Yield filled chunks for steps start to stop - 1 of the epoch. A chunk's buffers are overwritten by the next."""
        if epoch != self._epoch:
            order = self.order(epoch)
            self._order = torch.from_numpy(order).to(self.rows.x.device)
            if self.ragged:
                real = np.arange(self.most) < np.array(self.counts[: len(order)])[:, None]
                self._valid = torch.from_numpy(real).to(self.rows.x.device, self.rows.x.dtype)
            self._epoch = epoch
        last = self.most - (self.steps - 1) * self.batch_size
        regular = self.steps if last == self.batch_size else self.steps - 1  # steps with batch_size rows
        while start < stop:
            size = self.batch_size if start < regular else last
            slots = self._slots_of(size)
            steps = min(min(stop, regular) - start, slots.count) if start < regular else 1
            cut = slice(start * self.batch_size, start * self.batch_size + steps * size)
            valid = self._valid[:, cut] if self.ragged else None
            slots.fill(self.rows, self._order[:, cut], self.weights, valid, self.objective, self.smoothing)
            yield Chunk(slots, start, steps)
            start += steps

    def _slots_of(self, size: int) -> Slots:
        if size not in self._slots:
            x, networks = self.rows.x, len(self.own)
            several = size == self.batch_size and self.steps > 1
            log = 2 * size * networks * self.outputs * x.element_size()  # bytes of a slot
            gathered = size * (1 if self.shared else networks) * x.shape[1] * x.element_size()
            fitting = CHUNK_BYTES // (log + gathered if x.is_cuda else log)
            count = max(1, min(MOST_SLOTS, self.steps, fitting)) if several else 1
            width = count if x.is_cuda else max(1, min(count, CHUNK_BYTES // max(1, gathered)))  # a CUDA graph is a whole chunk
            weighted = self.ragged or self.weights is not None
            self._slots[size] = Slots(
                self.rows,
                self.outputs,
                networks=networks,
                shared=self.shared,
                count=count,
                width=width,
                size=size,
                weighted=weighted,
            )
        return self._slots[size]
