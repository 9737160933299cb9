"""Batches for K networks from data that lies on the device: each network visits its own rows in its own order.

Rows are gathered many batches at a time into buffers made once. A buffer is cut into slots, one a step, whose views are made
once too, so a step does no indexing. A chunk of steps has all its targets and scores at hand, and is reported on at once; of its
rows, which take more memory, only a few steps' lie there at a time. Networks with the same rows and seed share one order, and
then one gather: where enough of them are neighbours, they are a stack, which has its rows apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manynets import rng
from manynets.tasks.objectives import Objective

__all__ = ["SHARING", "Batches", "Chunk", "Part", "Rows", "Slots", "order_keys", "stacks_of", "steps_per_epoch"]

SHARING = 8  # networks with the same order of rows that are a stack of their own
STACK_NUMBERS = 1 << 16  # in the rows that a step of such a stack would have to gather once more for each network
CHUNK_BYTES = 4 << 20  # of gathered rows, and of targets and scores: fewer parts cost less, larger ones leave the cache of a core
MOST_SLOTS = 256


def steps_per_epoch(rows: int, batch_size: int, *, merge_single: bool) -> int:
    """Return the steps of an epoch; with merge_single a last batch of one row joins the batch before it (batch norm)."""
    steps = -(-rows // batch_size)
    return steps - 1 if merge_single and steps > 1 and rows % batch_size == 1 and batch_size > 1 else steps


def order_keys(
    own: Sequence[NDArray[np.int64] | None], weights: Sequence[NDArray[np.float64] | None], seeds: Sequence[int], *, shuffle: bool
) -> list[tuple[int, int, int]]:
    """Return a key of each network that is the same for those that visit the same rows, with the same weights, in the same order."""
    return [(id(mine), id(weight), seed if shuffle else 0) for mine, weight, seed in zip(own, weights, seeds, strict=True)]


def stacks_of(keys: Sequence[Hashable], numbers: int) -> list[slice]:
    """Cut networks into stacks: neighbours with the same key (`order_keys`) where they are enough, all between them together.

    numbers: how many a batch has in one network, in its rows or its widest layer.

    >>> stacks_of(["a"] * 30 + ["b", "c"] + ["d"] * 30, 4_000)
    [slice(0, 30, None), slice(30, 32, None), slice(32, 62, None)]
    """
    stacks: list[slice] = []
    start = begun = 0  # of what is between stacks, and of the run of neighbours at hand
    for k in range(1, len(keys) + 1):
        if k < len(keys) and keys[k] == keys[begun]:
            continue
        if k - begun >= SHARING and (k - begun) * numbers >= STACK_NUMBERS:
            stacks += [slice(start, begun)] * (start < begun) + [slice(begun, k)]
            start = k
        begun = k
    return stacks + [slice(start, len(keys))] * (start < len(keys))


@dataclasses.dataclass
class Rows:
    """Data on the device: x (N, D), target (N,) codes or (N, O) floats, weight (N,) or None."""

    x: Tensor
    target: Tensor
    weight: Tensor | None

    def __len__(self) -> int:
        return self.x.shape[0]


class Orders:
    """The U orders in which K networks visit their rows: one of each stack that shares it, and of each other network its own.

    firsts (U): a network that has the order; which (K,): the order of each network; cuts: of each stack its networks (places) and
    its orders, as slices.
    """

    def __init__(self, stacks: Sequence[slice], keys: Sequence[Hashable], device: torch.device) -> None:
        self.firsts: list[int] = []
        self.cuts: list[tuple[slice, slice]] = []
        which: list[int] = []
        for stack in stacks:
            start, size = len(self.firsts), stack.stop - stack.start
            if len(set(keys[stack])) == 1:
                self.firsts.append(stack.start)
                which += [start] * size
            else:
                self.firsts += range(stack.start, stack.stop)
                which += range(start, start + size)
            self.cuts.append((stack, slice(start, len(self.firsts))))
        self.which = torch.tensor(which, device=device)

    def __len__(self) -> int:
        return len(self.firsts)

    def by_network(self, values: Tensor) -> Tensor:
        """Return values (S, U, ...) as (S, K, ...), or (S, 1, ...) where all networks share one order."""
        return values if len(self) in (1, len(self.which)) else values.index_select(1, self.which)


class Part:
    """What one stack has of the slots, a view of each: x, target, scores, weight and raw; the first two also turned, (..., D or O, b).

    Shapes in a slot are (K, b, ...) for the K networks of the stack, without the first axis for K = 1. Scores and targets
    (K, b, O) lie in memory as (K, O, b), so that what is done along the outputs, such as softmax, is done for many rows at a time.
    `weight` is what each row's gradient is multiplied by: one number () where all rows count alike. `raw` (K', b, 1) are the weights
    before that, 0 for padding (None: all 1).
    """

    def __init__(self, slots: Slots, places: slice, orders: slice) -> None:
        self.size, self.count, self.width = slots.size, slots.count, slots.width
        networks, shared = places.stop - places.start, orders.stop - orders.start == 1

        def cut(buffer: Tensor) -> list[Tensor]:
            return [one[0] for one in buffer] if networks == 1 else list(buffer)

        self.slot_x = cut(slots.x[:, orders])
        if shared and networks > 1:
            self.slot_x = [one.expand(networks, *one.shape[1:]) for one in self.slot_x]
        self.slot_scores = cut(slots.scores[:, places])
        self.slot_target = cut(slots.target[:, places if slots.by_network else orders])
        self.turned_x, self.turned_scores, self.turned_target = (
            [view.mT for view in views] for views in (self.slot_x, self.slot_scores, self.slot_target)
        )
        self.slot_weight = [slots.x.new_tensor(1.0 / slots.size)] * slots.count
        self.slot_raw: Sequence[Tensor | None] = [None] * slots.count
        if slots.raw is not None and slots.weights is not None:
            self.slot_weight = cut(slots.weights[:, orders])
            self.slot_raw = cut(slots.raw[:, orders].unsqueeze(-1))


class Slots:
    """Buffers for S batches of b rows of K networks in U orders; of the rows x, W batches at a time. `parts` are each stack's views.

    Slot s has its rows in x[s % W], as soon as `load` has brought them there. scores (S, K, b, O), target (S, U, b, O), or with K
    where labels are smoothed differently by network, labels (S, U, b, ...): the targets as they are encoded; raw (S, U, b): the
    weights of the rows, 0 for padding (None: all 1).
    """

    def __init__(
        self, rows: Rows, outputs: int, orders: Orders, *, by_network: bool, count: int, width: int, size: int, weighted: bool
    ) -> None:
        x, networks, u = rows.x, len(orders.which), len(orders)
        self.orders, self.by_network, self.count, self.width, self.size = orders, by_network, count, width, size
        self.index = torch.empty(0, dtype=torch.long, device=x.device)  # (filled slots, U b): which rows are in a slot
        self.x = x.new_empty(width, u, size, x.shape[1])
        self.target = x.new_empty(count, networks if by_network else u, outputs, size).mT
        self.scores = x.new_empty(count, networks, outputs, size).mT
        self.labels = x.new_empty(0)
        self.raw = x.new_empty(count, u, size) if weighted else None
        self.weights = x.new_empty(count, u, size, 1) if weighted else None
        self.parts = [Part(self, *cut) for cut in orders.cuts]

    def fill(
        self,
        rows: Rows,
        order: Tensor,
        weights: Tensor | None,
        valid: Tensor | None,
        objective: Objective,
        smoothing: Tensor | float,
    ) -> None:
        """Take the batches that `order` (U, steps * b) lists, all but their rows.

        weights: of the rows, (N,) for all networks or (U, N); valid (U, steps * b): 0 for padding.
        """
        u = len(order)
        steps = order.shape[1] // self.size
        index = order.view(u, steps, self.size).transpose(0, 1).reshape(-1)
        self.index = index.view(steps, -1)
        self.labels = rows.target.index_select(0, index).view(steps, u, self.size, *rows.target.shape[1:])
        labels = self.orders.by_network(self.labels) if self.by_network else self.labels
        self.target[:steps].copy_(objective.expand(labels, smoothing, self.x.dtype))
        if self.raw is not None and self.weights is not None:
            raw = self.raw[:steps]
            if weights is None:
                raw.fill_(1.0)
            elif weights.ndim == 1:
                raw.copy_(weights.index_select(0, index).view(raw.shape))
            else:
                raw.copy_(weights.gather(1, order).view(u, steps, self.size).transpose(0, 1))
            if valid is not None:
                raw.mul_(valid.view(u, steps, self.size).transpose(0, 1))
            total = raw.sum(-1, keepdim=True)
            torch.div(raw, total.masked_fill_(total == 0, 1.0), out=self.weights[:steps].view(raw.shape))

    def load(self, rows: Rows, start: int) -> int:
        """Gather the rows of the filled slots start, start + 1, ..., where start is a multiple of W; return of how many."""
        index = self.index[start : start + self.width]
        torch.index_select(rows.x, 0, index.reshape(-1), out=self.x[: len(index)].view(-1, self.x.shape[3]))
        return len(index)


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Filled slots: the first `steps` of `slots` are steps `start`, start + 1, ... of the epoch."""

    slots: Slots
    start: int
    steps: int


class Batches:
    """The batches of K networks: order by (seed, epoch), chunks of slots between any two steps of an epoch.

    stacks: cuts the networks into neighbours that go together; see `stacks_of`.
    """

    def __init__(
        self,
        rows: Rows,
        objective: Objective,
        outputs: int,
        *,
        stacks: Sequence[slice],
        own: Sequence[NDArray[np.int64] | None],
        weights: Sequence[NDArray[np.float64] | None],
        seeds: Sequence[int],
        batch_size: int,
        shuffle: bool,
        merge_single: bool,
        smoothing: Tensor | float,
    ) -> None:
        self.rows, self.objective, self.outputs = rows, objective, outputs
        self.orders = Orders(stacks, order_keys(own, weights, seeds, shuffle=shuffle), rows.x.device)
        self.own, self.seeds = [own[k] for k in self.orders.firsts], [seeds[k] for k in self.orders.firsts]
        self.shuffle = shuffle
        self.batch_size, self.merge_single, self.smoothing = batch_size, merge_single, smoothing
        self.counts = [len(rows) if mine is None else len(mine) for mine in self.own]
        self.most = max(self.counts)
        self.ragged = min(self.counts) != self.most
        self.steps = steps_per_epoch(self.most, batch_size, merge_single=merge_single)
        self.weights = rows.weight
        if any(weight is not None for weight in weights):
            plain = np.ones(len(rows)) if rows.weight is None else rows.weight.cpu().numpy()
            chosen = [weights[k] for k in self.orders.firsts]
            table = np.stack([plain if weight is None else weight for weight in chosen])
            self.weights = torch.from_numpy(table).to(rows.x)
        self._slots: dict[bool, Slots] = {}  # for full batches, and for what is left
        self._epoch = -1
        self._order = torch.empty(0)
        self._valid = torch.empty(0)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the U orders of this epoch (U, most), padded with row 0."""
        out = np.zeros((len(self.orders), self.most), dtype=np.int64)
        seen: dict[tuple[int | None, int], NDArray[np.int64]] = {}
        for u, (mine, seed, count) in enumerate(zip(self.own, self.seeds, self.counts, strict=True)):
            key = (None if mine is None else id(mine), seed)
            if key not in seen:
                order = rng.permutation(seed, epoch, count) if self.shuffle else np.arange(count)
                seen[key] = order if mine is None else mine[order]
            out[u, :count] = seen[key]
        return out

    def chunks(self, epoch: int, start: int, stop: int) -> Iterator[Chunk]:
        """Yield filled chunks for steps start to stop - 1 of the epoch. A chunk's buffers are overwritten by the next."""
        if epoch != self._epoch:
            order = self.order(epoch)
            self._order = torch.from_numpy(order).to(self.rows.x.device)
            if self.ragged:
                real = np.arange(self.most) < np.array(self.counts)[:, None]
                self._valid = torch.from_numpy(real).to(self.rows.x.device, self.rows.x.dtype)
            self._epoch = epoch
        last = self.most - (self.steps - 1) * self.batch_size
        regular = self.steps if last == self.batch_size and not self.ragged else self.steps - 1  # steps of full batches
        while start < stop:
            full = start < regular
            size = self.batch_size if full else last
            slots = self._slots_of(size, full=full)
            steps = min(min(stop, regular) - start, slots.count) if full else 1
            cut = slice(start * self.batch_size, start * self.batch_size + steps * size)
            valid = self._valid[:, cut] if self.ragged and not full else None
            slots.fill(self.rows, self._order[:, cut], self.weights, valid, self.objective, self.smoothing)
            yield Chunk(slots, start, steps)
            start += steps

    def _slots_of(self, size: int, *, full: bool) -> Slots:
        if full not in self._slots:
            x = self.rows.x
            log = 2 * size * len(self.orders.which) * self.outputs * x.element_size()  # bytes of a slot
            gathered = size * len(self.orders) * x.shape[1] * x.element_size()
            fitting = CHUNK_BYTES // (log + gathered if x.is_cuda else log)
            count = max(1, min(MOST_SLOTS, self.steps, fitting)) if full and self.steps > 1 else 1
            width = count if x.is_cuda else max(1, min(count, CHUNK_BYTES // max(1, gathered)))  # a CUDA graph is a whole chunk
            self._slots[full] = Slots(
                self.rows,
                self.outputs,
                self.orders,
                by_network=isinstance(self.smoothing, Tensor),
                count=count,
                width=width,
                size=size,
                weighted=self.weights is not None or (self.ragged and not full),
            )
        return self._slots[full]
