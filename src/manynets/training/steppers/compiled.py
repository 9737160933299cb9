"""Steps in the compiled core: for small and medium networks on the CPU, one or thousands.

One call makes all the steps up to the next boundary, of one epoch or several: for each network, and each step, core.cpp gathers the
rows, goes forward and backward, updates the weights in place and writes the log. This file hands it the memory of population, batches
and optimizer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manynets import core
from manynets.data.batches import Batches
from manynets.nn.core_scores import networks_of
from manynets.nn.dropout import dropout_rates, stream_keys
from manynets.nn.population import Population
from manynets.training.steppers.base import Array, Host, Log, Stepper

EVALUATED = 1 << 26  # multiplications of one call that evaluates, some 20 ms; but for at least so many rows:
EVALUATED_ROWS = 256
LOSSES = ("squared_error", "half_squared_error", "absolute_error", "huber", "quantile", "poisson")  # from number 2 on


class Compiled(Stepper):
    """K networks, each of which the core trains by itself; threads share the networks, and the layers of large ones."""

    name = "compiled"

    def _prepare(self) -> None:
        self.largest = torch.finfo(self.population.flat.dtype).max
        self.kept_alive: list[Any] = []  # the memory that the jobs point to
        self.job = self._job(self.batches)
        self.held_out: core.Job | None = None
        if self.validation is not None:
            rows, own, weights = self.validation.rows, self.validation.own, self.validation.own_weights
            batches = Batches(rows, own=own, weights=weights, orders=[None] * len(own), batch_size=1, merge_single=False)
            self.sums = np.empty((len(own), 3 + self.loss.hit_count))
            self.held_out = self._job(batches)
            self.held_out.order = self._address(batches.order(0))
            self.held_out.log = self._address(self.sums)
            at_once = max(EVALUATED_ROWS, EVALUATED // max(1, self.population.flat.numel()))
            self.held_out.count = min(at_once, self.validation.most)

    def threads(self, steps: int) -> int:
        """Return 1: torch does nothing here that several threads would speed up."""
        return 1

    def advance(self, rates: Host, alive: NDArray[np.bool_]) -> Log:
        job, batches, end = self.job, self.batches, self.step + len(rates)
        coefficients = self.optimizer.coefficients(rates, self.steps_before + self.step)
        # infinity x 0 would be NaN between the rows of scratch matrices, which the next network may read
        coefficients = np.ascontiguousarray(np.clip(coefficients, -self.largest, self.largest))
        log = np.zeros((len(rates), len(self.members), 3 + self.loss.hit_count))
        active = np.ascontiguousarray(alive, dtype=np.uint8)
        job.active = active.ctypes.data
        while self.step < end:
            order, first = batches.located(self.step)
            several = min(-(-(first + end - self.step) // batches.order_steps), batches.orders_at_once)
            count = min(several * batches.order_steps - first, end - self.step)
            orders, made = batches.orders(order, several), len(rates) - (end - self.step)
            job.first, job.count, job.step = first, count, self.step
            job.order_stride, job.steps_per_epoch = batches.most, batches.order_steps
            job.order, job.epoch_stride = orders.ctypes.data, orders[0].size
            job.coefficients, job.log = coefficients[made:].ctypes.data, log[made:].ctypes.data
            scale = self.penalty_scale(count)
            if scale is not None:
                scale = np.ascontiguousarray(scale)
                job.penalty_scale = scale.ctypes.data
            core.train(job)
            self.step += count
        return log

    def evaluate(self, overdue: Callable[[], bool]) -> Host | None:
        job, validation = self.held_out, self.validation
        if job is None or validation is None:
            return None
        self.sums[:] = 0
        for first in range(0, validation.most, job.count):
            if first and overdue():
                return None
            job.first = first
            core.evaluate(job)
        return self.sums

    # ------------------------------------------------------------------------------------------------ what the core is given

    def _address(self, value: Array | Tensor) -> int:
        """Return the address of a contiguous array or tensor, and keep it alive."""
        if not (value.is_contiguous() if isinstance(value, Tensor) else value.flags.c_contiguous):
            raise ValueError(f"an array of shape {tuple(value.shape)} is not contiguous")
        self.kept_alive.append(value)
        return value.data_ptr() if isinstance(value, Tensor) else value.ctypes.data

    def _job(self, batches: Batches) -> core.Job:
        """Return a job for the current networks and the rows of these batches, without order and steps."""
        assert isinstance(self.population, Population)
        recipes, optimizer, networks = self.recipes, self.optimizer.first, self.population.size
        parts = [part for part, _, _ in self.optimizer.parts]
        hyper = [[one.values[name] for name in one.hyperparameters] for _, _, one in self.optimizer.parts]
        columns: dict[str, Array] = {
            "unit": np.broadcast_to(self.loss.unit, (networks, 1, self.loss.outputs)),
            "active": np.ones(networks, dtype=np.uint8),
            "hyper": np.stack(hyper).transpose(0, 2, 1),
            "part_ends": np.array([part.stop for part in parts], dtype=np.int64),
            "l1": np.array([recipe.l1 for recipe in recipes], dtype=np.float64),
            "l2": np.array([recipe.l2 for recipe in recipes], dtype=np.float64),
            "clip": np.array([math.inf if r.clip_norm is None else r.clip_norm for r in recipes], dtype=np.float64),
            "smoothing": np.array([recipe.label_smoothing for recipe in recipes], dtype=np.float64),
            "keys": stream_keys([recipe.seed for recipe in recipes], len(self.population.shape.layers)),
            "dropout": dropout_rates(self.specs),
        }
        state = [self._address(self.state[name]) for name in optimizer.state_names]
        rows, weights = batches.rows, batches.weights
        return core.Job(
            **networks_of(self.population),
            threads=self.user_threads,
            loss=2 + LOSSES.index(self.loss.name) if self.loss.kind == "number" else int(self.loss.kind == "labels"),
            total=self.loss.total,
            parameter=float(self.recipe.quantile if self.recipe.loss == "quantile" else self.recipe.delta),  # type: ignore[arg-type]
            x=self._address(rows.x),
            target=self._address(rows.target),
            order_stride=batches.most,
            counts=self._address(batches.counts),
            which=self._address(batches.which),
            weights=None if weights is None else self._address(weights),
            weight_stride=0 if weights is None or len(weights) == 1 else len(rows),
            batch_size=batches.batch_size,
            steps_per_epoch=batches.order_steps,
            state=core.Pointers(*state, *[None] * (2 - len(state))),
            optimizer=optimizer.number,
            parts=len(parts),
            nesterov=optimizer.nesterov,
            lr_in_velocity=optimizer.lr_inside,
            **{name: self._address(np.ascontiguousarray(array)) for name, array in columns.items()},
        )
