"""Batches for K networks from data that lies on the device: each network visits its own rows in its own order.

Rows are gathered many batches at a time into buffers made once. A buffer is cut into slots, one a step, whose views are made
once too, so a step does no indexing. A chunk of steps has all its targets and scores at hand, and is reported on at once; of its
rows, which take more memory, only a few steps' lie there at a time. Networks with the same rows and seed share one order, and
then one gather: where enough of them are neighbours, they are a stack, which has its rows apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manynets.rng import Order, order_of
from manynets.tasks.objectives import Objective

__all__ = ["SHARING", "Batches", "Chunk", "Part", "Rows", "Slot", "Slots", "order_keys", "stacks_of", "steps_per_epoch"]

SHARING = 8  # networks with the same order of rows that are a stack of their own
STACK_NUMBERS = 1 << 16  # in the rows that a step of such a stack would have to gather once more for each network
CHUNK_BYTES = 4 << 20  # of gathered rows, and of targets and scores: fewer parts cost less, larger ones leave the cache of a core
MOST_SLOTS = 256


def steps_per_epoch(rows: int, batch_size: int, *, merge_single: bool) -> int:
    """Return the steps of an epoch; with merge_single a last batch of one row joins the batch before it (batch norm)."""
    steps = -(-rows // batch_size)
    return steps - 1 if merge_single and steps > 1 and rows % batch_size == 1 and batch_size > 1 else steps


def order_keys(
    own: Sequence[NDArray[np.int64] | None], weights: Sequence[NDArray[np.float64] | None], orders: Sequence[Order]
) -> list[tuple[int, int, Order]]:
    """Return a key of each network that is the same for those that visit the same rows, with the same weights, in the same order."""
    return [(id(mine), id(weight), order) for mine, weight, order in zip(own, weights, orders, strict=True)]


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


Weighed: TypeAlias = tuple[Tensor, Tensor | None, Tensor | float, Tensor | float]  # weight, raw, rows, unbiased of a `Slot`


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Slot:
    """One batch of a stack of K networks, as views: x (K, b, D), scores and target (K, b, O), without the first axis for K = 1.

    Scores and targets lie in memory as (K, O, b), so that what is done along the outputs, such as softmax, is done for many rows at
    a time; the views `turned_` are (..., D or O, b). weight: what each row's gradient is multiplied by, one number () where all rows
    count alike. raw (K', b, 1): the weights before that, 0 for padding (None: all 1); rows and unbiased: what batch norm divides by
    (`Weights`), numbers or (K', 1, 1). place: of its rows and masks among those that are there at a time; size: b.
    """

    place: int
    size: int
    x: Tensor
    scores: Tensor
    target: Tensor
    weight: Tensor
    raw: Tensor | None
    rows: Tensor | float
    unbiased: Tensor | float
    turned_x: Tensor
    turned_scores: Tensor
    turned_target: Tensor

    @classmethod
    def of(cls, place: int, size: int, x: Tensor, scores: Tensor, target: Tensor, weighed: Weighed) -> Slot:
        """Return a slot of the first `size` rows of these."""
        x, scores, target = (whole[..., :size, :] for whole in (x, scores, target))
        weight, raw, rows, unbiased = weighed
        if raw is not None:
            weight, raw = weight[..., :size, :], raw[..., :size, :]
        return cls(place, size, x, scores, target, weight, raw, rows, unbiased, x.mT, scores.mT, target.mT)


class Weights:
    """The weights of the rows of S batches in U orders, and what follows from them.

    raw (S, U, b, 1): the weights, 0 for padding; share (S, U, b, 1): each one's share of its batch, 0 where all are 0. rows and
    unbiased (S, U, 1, 1): what batch norm divides the sums over a batch by, for mean and variance, and for the running variance,
    which is unbiased, as torch keeps it; weights count as copies of a row, so that weight 2 is the row twice, but no batch has
    fewer rows than it has.
    """

    def __init__(self, like: Tensor, steps: int, orders: int, size: int) -> None:
        self.raw, self.share = (like.new_empty(steps, orders, size, 1) for _ in range(2))
        self.rows, self.unbiased = (like.new_empty(steps, orders, 1, 1) for _ in range(2))

    def derive(self, steps: int) -> None:
        """Write what follows from the raw weights of the first steps."""
        raw = self.raw[:steps]
        total = raw.sum(-2, keepdim=True)
        rows = total.masked_fill_(total == 0, 1.0)
        copies = torch.maximum(rows, (raw > 0).sum(-2, keepdim=True).to(rows)).clamp_(min=2.0)
        torch.div(raw, rows, out=self.share[:steps])
        self.rows[:steps] = rows
        self.unbiased[:steps] = torch.where(copies == rows, rows - 1, rows * (copies - 1) / copies)

    def of(self, orders: slice, *, one: bool) -> list[Weighed]:
        """Return what each batch has in these orders; one: of one network, without the axis of the orders."""
        kinds = (whole[:, orders] for whole in (self.share, self.raw, self.rows, self.unbiased))
        return list(zip(*(whole[:, 0] if one else whole for whole in kinds), strict=True))


def _alike(like: Tensor, size: int) -> Weighed:
    """Return what a batch of `size` rows has that all count alike."""
    return like.new_tensor(1.0 / size), None, float(size), float(size - 1)


class Part:
    """What one stack has of the slots: slots[s]. Where the last batch of an epoch is a short one, its slot is short until the next."""

    def __init__(self, owner: Slots, places: slice, orders: slice) -> None:
        networks, shared = places.stop - places.start, orders.stop - orders.start == 1

        def cut(buffer: Tensor) -> list[Tensor]:
            return [one[0] for one in buffer] if networks == 1 else list(buffer)

        x, scores = cut(owner.x[:, orders]), cut(owner.scores[:, places])
        if shared and networks > 1:
            x = [one.expand(networks, *one.shape[1:]) for one in x]
        target = cut(owner.target[:, places if owner.by_network else orders])
        if owner.weights is None:
            weighed = [_alike(owner.x, owner.size)] * owner.count
        else:
            weighed = owner.weights.of(orders, one=networks == 1)
        self.slots = [
            Slot.of(s % owner.width, owner.size, x[s % owner.width], scores[s], target[s], weighed[s]) for s in range(owner.count)
        ]
        self._last = None if owner.last is None else owner.last.of(orders, one=networks == 1)[0]
        self._short: dict[tuple[int, int], Slot] = {}
        self._whole: tuple[int, Slot] | None = None

    def shorten(self, s: int, size: int) -> None:
        """Make slot s one of `size` rows, and the one that was short whole again."""
        if self._whole is not None:
            place, slot = self._whole
            self.slots[place] = slot
            self._whole = None
        if s < 0:
            return
        whole = self.slots[s]
        if (s, size) not in self._short:
            weighed = whole.weight, whole.raw, whole.rows, whole.unbiased
            if whole.raw is None:
                weighed = self._last or _alike(whole.x, size)
            self._short[s, size] = Slot.of(whole.place, size, whole.x, whole.scores, whole.target, weighed)
        self._whole = s, whole
        self.slots[s] = self._short[s, size]


class Slots:
    """Buffers for S batches of b rows of K networks in U orders; of the rows x, W batches at a time. `parts` are each stack's views.

    Slot s has its rows in x[s % W], as soon as `load` has brought them there. scores (S, K, b, O), target (S, U, b, O), or with K
    where labels are smoothed differently by network, labels (S, U, b, ...): the targets as they are encoded; weights: of the rows
    (None: all 1). short: how many rows the last filled slot has, where that is not b for all networks; then valid (1 or K, b) is 1
    for its rows, 0 for its padding, and `last` has that as weights where networks have unlike numbers of rows.
    """

    def __init__(
        self,
        rows: Rows,
        outputs: int,
        orders: Orders,
        *,
        by_network: bool,
        count: int,
        width: int,
        size: int,
        weighted: bool,
        ragged: bool,
    ) -> None:
        x, networks, u = rows.x, len(orders.which), len(orders)
        self.orders, self.by_network, self.count, self.width, self.size = orders, by_network, count, width, size
        self.index = torch.empty(0, dtype=torch.long, device=x.device)  # (filled slots, U b): which rows are in a slot
        self.x = x.new_empty(width, u, size, x.shape[1])
        self.target = x.new_empty(count, networks if by_network else u, outputs, size).mT
        self.scores = x.new_empty(count, networks, outputs, size).mT
        self.labels = x.new_empty(0)
        self.weights = Weights(x, count, u, size) if weighted else None
        self.last = Weights(x, 1, u, size) if ragged and not weighted else None
        self.short: int | None = None
        self.valid = x.new_empty(0)
        self.parts = [Part(self, *cut) for cut in orders.cuts]

    def fill(
        self,
        rows: Rows,
        order: Tensor,
        weights: Tensor | None,
        valid: Tensor | None,
        short: int | None,
        objective: Objective,
        smoothing: Tensor | float,
    ) -> None:
        """Take the batches that `order` (U, steps * b) lists, all but their rows.

        weights: of the rows, (N,) for all networks or (U, N). short: see the class; then valid (U, b) is 0 for padding.
        """
        u = len(order)
        steps = order.shape[1] // self.size
        index = order.view(u, steps, self.size).transpose(0, 1).reshape(-1)
        self.index = index.view(steps, -1)
        self.labels = rows.target.index_select(0, index).view(steps, u, self.size, *rows.target.shape[1:])
        labels = self.orders.by_network(self.labels) if self.by_network else self.labels
        self.target[:steps].copy_(objective.expand(labels, smoothing, self.x.dtype))
        if self.weights is not None and weights is not None:
            raw = self.weights.raw[:steps].squeeze(-1)
            if weights.ndim == 1:
                raw.copy_(weights.index_select(0, index).view(raw.shape))
            else:
                raw.copy_(weights.gather(1, order).view(u, steps, self.size).transpose(0, 1))
            if valid is not None:
                raw[-1].mul_(valid)
            self.weights.derive(steps)
        if short is not None or self.short is not None:
            for part in self.parts:
                part.shorten(-1 if short is None else steps - 1, short or 0)
        self.short = short
        if short is not None and valid is not None:
            self.valid = self.orders.by_network(valid.unsqueeze(0))[0]
            self.scores[steps - 1].zero_()  # what no step writes to must be finite
            if self.last is not None:
                self.last.raw.copy_(valid.view(self.last.raw.shape))
                self.last.derive(1)

    def weighed(self, steps: int) -> Tensor:
        """Return what the rows of each of the first filled slots weigh together, (steps, K), or (steps, 1) if all networks agree."""
        if self.weights is not None:
            return self.orders.by_network(self.weights.raw[:steps, ..., 0].sum(-1))
        if self.short is None or steps < len(self.index):
            return self.x.new_full((steps, 1), self.size)
        out = self.x.new_full((steps, len(self.valid)), self.size)
        out[-1] = self.valid.sum(-1)
        return out

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
    """The batches of K networks: rows by `orders` and epoch, chunks of slots between any two steps of an epoch.

    stacks: cuts the networks into neighbours that go together; see `stacks_of`. orders: by what each network visits its rows.
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
        orders: Sequence[Order],
        batch_size: int,
        merge_single: bool,
        smoothing: Tensor | float,
    ) -> None:
        self.rows, self.objective, self.outputs = rows, objective, outputs
        self.orders = Orders(stacks, order_keys(own, weights, orders), rows.x.device)
        self.own, self.by = [own[k] for k in self.orders.firsts], [orders[k] for k in self.orders.firsts]
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
        self._slots: dict[bool, Slots] = {}  # of the last batch alone, and of all else
        self._epoch = -1
        self._order = torch.empty(0)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the U orders of this epoch, (U, rows of whole batches), padded with row 0."""
        out = np.zeros((len(self.orders), max(self.most, self.steps * self.batch_size)), dtype=np.int64)
        seen: dict[tuple[int | None, Order], NDArray[np.int64]] = {}
        for u, (mine, by, count) in enumerate(zip(self.own, self.by, self.counts, strict=True)):
            key = (None if mine is None else id(mine), by)
            if key not in seen:
                order = order_of(by, epoch, count)
                seen[key] = order if mine is None else mine[order]
            out[u, :count] = seen[key]
        return out

    def chunks(self, epoch: int, start: int, stop: int) -> Iterator[Chunk]:
        """Yield filled chunks for steps start to stop - 1 of the epoch. A chunk's buffers are overwritten by the next."""
        if epoch != self._epoch:
            self._order = torch.from_numpy(self.order(epoch)).to(self.rows.x.device)
            self._epoch = epoch
        last = self.most - (self.steps - 1) * self.batch_size
        whole = self.steps if last == self.batch_size and not self.ragged else self.steps - 1  # steps of full batches
        apart = last > self.batch_size or self.rows.x.is_cuda  # the last batch has slots of its own
        while start < stop:
            alone = apart and start == whole
            slots = self._slots_of(last if alone else self.batch_size, alone=alone)
            steps = 1 if alone else min((min(stop, whole) if apart else stop) - start, slots.count)
            first = start * self.batch_size
            short = last if start + steps > whole and (self.ragged or not alone) else None
            valid = None
            if short is not None:
                filled = np.arange(slots.size) < np.array(self.counts)[:, None] - (self.steps - 1) * self.batch_size
                valid = torch.from_numpy(filled).to(self.rows.x.device, self.rows.x.dtype)
            slots.fill(
                self.rows,
                self._order[:, first : first + steps * slots.size],
                self.weights,
                valid,
                short,
                self.objective,
                self.smoothing,
            )
            yield Chunk(slots, start, steps)
            start += steps

    def _slots_of(self, size: int, *, alone: bool) -> Slots:
        if alone not in self._slots:
            x = self.rows.x
            log = 2 * size * len(self.orders.which) * self.outputs * x.element_size()  # bytes of a slot
            gathered = size * len(self.orders) * x.shape[1] * x.element_size()
            fitting = CHUNK_BYTES // (log + gathered if x.is_cuda else log)
            count = 1 if alone else max(1, min(MOST_SLOTS, self.steps, fitting))
            width = count if x.is_cuda else max(1, min(count, CHUNK_BYTES // max(1, gathered)))  # a CUDA graph is a whole chunk
            self._slots[alone] = Slots(
                self.rows,
                self.outputs,
                self.orders,
                by_network=isinstance(self.smoothing, Tensor),
                count=count,
                width=width,
                size=size,
                weighted=self.weights is not None,
                ragged=self.ragged,
            )
        return self._slots[alone]
