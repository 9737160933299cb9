"""Which rows each of K networks visits at each step: its own rows, in its own order.

Step s of an epoch has the rows s * batch_size to (s + 1) * batch_size of the epoch's order; the last step has those that are left.
Networks that train together make the same number of steps per epoch, but may have different numbers of rows: the last batch of some is
then shorter. Networks with the same rows and the same seed share one order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manynets.rng import Order, orders_of, permutations
from manynets.steps import steps_per_epoch

Index = NDArray[np.int64]

ORDERED = 1 << 20  # numbers in the orders that are drawn together, but at least one order


@dataclasses.dataclass
class Rows:
    """Data on the device: x (N, D), target (N,) codes or (N, O) floats, weight (N,) or None."""

    x: Tensor
    target: Tensor
    weight: Tensor | None

    def __len__(self) -> int:
        return self.x.shape[0]


def row_weights(rows: Rows, own: Sequence[NDArray[np.float64] | None]) -> Tensor | None:
    """Return the weights of the rows for K networks, of which some may have their own (N,): (K, N); (1, N) where none has; or None."""
    if all(weight is None for weight in own):
        return None if rows.weight is None else rows.weight.unsqueeze(0)
    plain = np.ones(len(rows)) if rows.weight is None else rows.weight.double().cpu().numpy()
    return torch.from_numpy(np.stack([plain if weight is None else weight for weight in own])).to(rows.x)


@dataclasses.dataclass(frozen=True)
class Chunk:
    """The rows of S consecutive steps of K networks: index (S, K, b), and their weights (S, K, b), None where all count alike.

    Where a network has fewer rows in a batch than b, one of its own rows fills the rest, with weight 0. whole: rows of each batch, of which
    there are b here; see `Batches.divided`.
    """

    index: Tensor
    weight: Tensor | None
    whole: int


class Batches:
    """The batches of K networks.

    own: the rows of each network (None: all); weights: its own weights of all N rows (None: those of the rows); orders: what
    decides the order of its rows. threads: at most so many draw orders.

    steps: of an epoch. counts (U,): rows of each of the U orders. which (K,): the order that a network follows. weights: (1, N) or
    (U, N), or None. order_steps: the steps of an order, which covers an epoch (of a stream, a window). orders_at_once: how many orders
    may be asked for together. divided: whether each of several processes has other rows of a batch; else all have all of them.
    """

    divided = False

    def __init__(
        self,
        rows: Rows,
        *,
        own: Sequence[Index | None],
        weights: Sequence[NDArray[np.float64] | None],
        orders: Sequence[Order],
        batch_size: int,
        merge_single: bool,
        threads: int = 1,
    ) -> None:
        keys: list[Hashable] = [(id(mine), id(weight), order) for mine, weight, order in zip(own, weights, orders, strict=True)]
        known: dict[Hashable, int] = {}
        self.which = np.array([known.setdefault(key, len(known)) for key in keys])
        firsts = np.unique(self.which, return_index=True)[1].tolist()
        self.rows, self.batch_size, self.threads = rows, batch_size, threads
        self.own, self.by = [own[k] for k in firsts], [orders[k] for k in firsts]
        self.counts = np.array([len(rows) if mine is None else len(mine) for mine in self.own])
        self.most = int(self.counts.max())
        self.steps = self.order_steps = steps_per_epoch(self.most, batch_size, merge_single=merge_single)
        self.orders_at_once = max(1, ORDERED // (len(self.counts) * max(1, self.most)))
        self.weights = row_weights(rows, [weights[k] for k in firsts])
        seeds = [order for order, mine in zip(self.by, self.own, strict=True) if isinstance(order, int) and mine is None]
        self._seeds = seeds if len(seeds) == len(self.by) else None  # where each order is a permutation of all rows
        self._first, self._orders = 0, np.empty((0, len(self.counts), self.most), dtype=np.int64)
        self._by_network: tuple[int, Tensor] = -1, torch.empty(0)  # an epoch, and its order by network (K, rows) on the device

    def located(self, step: int) -> tuple[int, int]:
        """Return the number of the order that a step of the training follows, and which step of this order it is."""
        return divmod(step, self.order_steps)

    def orders(self, epoch: int, count: int) -> Index:
        """Return the U orders of `count` epochs, (count, U, rows), short ones filled up with their own first row.

        It is the same memory until other epochs are asked for.
        """
        if not self._first <= epoch <= epoch + count <= self._first + len(self._orders):
            self._first, self._orders = epoch, self._drawn(range(epoch, epoch + count))
        return self._orders[epoch - self._first :][:count]

    def order(self, epoch: int) -> Index:
        """Return the U orders of an epoch, (U, rows)."""
        return self.orders(epoch, 1)[0]

    def _drawn(self, epochs: range) -> Index:
        if self._seeds is not None and self.most:
            return permutations(self._seeds, epochs, self.most, threads=self.threads)
        out = np.empty((len(epochs), len(self.counts), self.most), dtype=np.int64)
        if not self.most:  # of the last window of a stream, where other processes have its rows
            return out
        for count in set(self.counts.tolist()):
            which = np.flatnonzero(self.counts == count).tolist()
            for e, epoch in enumerate(epochs):
                orders = orders_of([self.by[u] for u in which], epoch, count, threads=self.threads)
                for u, order in zip(which, orders, strict=True):
                    mine = self.own[u]
                    out[e, u, :count] = order if mine is None else mine[order]
            out[:, which, count:] = out[:, which, :1]
        return out

    def span(self, step: int) -> tuple[int, int]:
        """Return where the batch of a step of an order starts and stops in that of the network with the most rows."""
        start = step * self.batch_size
        return start, self.most if step == self.order_steps - 1 else start + self.batch_size

    def whole(self, step: int) -> int:
        """Return the rows of the batch of a step of an order, over all processes, of the network with the most."""
        start, stop = self.span(step)
        return stop - start

    def rows_of(self, k: int, epoch: int, step: int) -> Index:
        """Return the rows of network k's batch."""
        (start, stop), u = self.span(step), self.which[k]
        return self.order(epoch)[u, start : min(stop, int(self.counts[u]))]

    def totals(self, step: int, count: int) -> NDArray[np.float64]:
        """Return what the rows of the batches of `count` steps of the training weigh together, (count, K)."""
        epochs, in_epoch = np.divmod(np.arange(step, step + count), self.steps)
        starts = in_epoch[:, None] * self.batch_size
        stops = np.minimum(self.counts, np.where(in_epoch[:, None] == self.steps - 1, self.most, starts + self.batch_size))
        out = (stops - starts).astype(np.float64)
        if self.weights is not None:
            table = self.weights.cpu().numpy()
            for (s, u), start in np.ndenumerate(np.broadcast_to(starts, out.shape)):
                index = self.order(int(epochs[s]))[u, start : stops[s, u]]
                out[s, u] = table[u if len(table) > 1 else 0, index].sum(dtype=np.float64)
        return out[:, self.which]

    def chunk(self, epoch: int, step: int, most: int) -> Chunk:
        """Return the rows of the steps from `step` of an epoch on: at most so many, and only those whose batches have one size."""
        if self._by_network[0] != epoch:
            self._by_network = epoch, torch.from_numpy(self.order(epoch)[self.which]).to(self.rows.x.device)
        start, stop = self.span(step)
        last = step == self.order_steps - 1
        uneven = int(self.counts.min()) != self.most
        alike = not uneven and self.whole(self.order_steps - 1) == self.whole(0)  # the last batch is like the others
        count = 1 if last else min(most, self.order_steps - step if alike else self.order_steps - 1 - step)
        size = stop - start
        index = self._by_network[1][:, start : start + count * size].reshape(len(self.which), count, size).transpose(0, 1)
        weight = None
        if self.weights is not None:
            lines = np.zeros_like(self.which) if len(self.weights) == 1 else self.which
            weight = self.weights[torch.from_numpy(lines).to(index.device).view(1, -1, 1), index]
        if last and uneven:
            filled = np.arange(start, stop) < self.counts[self.which][:, None]
            there = torch.from_numpy(filled).to(self.rows.x)
            weight = there.unsqueeze(0) if weight is None else weight * there
        return Chunk(index, weight, self.whole(step))
