"""The one training loop: K networks of one group, from their initial weights to their best.

The loop knows boundaries: the end of an epoch, an evaluation, a checkpoint, a stop. Between two of them it asks a stepper to advance
by so many steps and gets a log back; how a step is made is the stepper's business (`manynets.training.steppers`). The loop calls no more
than its `advance`, `evaluate`, `capture`, `restore` and `take`, and reads its weights. Where nobody needs to look at the networks at every
evaluation, one call makes the steps up to a later one.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from manynets.steps import evaluation_steps
from manynets.training.best_weights import BestWeights
from manynets.training.deadline import Deadline
from manynets.training.divergence import DivergenceSearch
from manynets.training.events import (
    Advanced,
    Callback,
    Evaluated,
    Event,
    Finished,
    may_skip,
    started,
)
from manynets.training.history import Sums, Tracks, new_entries
from manynets.training.signals import Halt
from manynets.training.steppers.base import Host, Stepper
from manynets.training.steppers.choice import make_stepper
from manynets.training.torch_settings import torch_settings
from manynets.training.trial import Divergence, FitState, Member, Outcome, Problem
from manynets.training.validation import watched_metric

if TYPE_CHECKING:
    from manynets.training.checkpoint import Checkpoints

__all__ = ["TrainingRun"]

CROWDED = 0.8  # share of living networks below which the others are taken out of the steps
CALL_SECONDS = 0.025  # that a call of a stepper may take, or one step if that is longer: a stop waits for it
PACES = 4  # calls of which the slowest says how long a step takes


class TrainingRun:
    """K networks of one group (`trial.group_key`) on one problem.

    Its state is that of the stepper, the best weights so far, `tracks`, `sums`, and the outcomes of networks that have ended
    (`manynets.training.state`). Once `halt` is asked, the networks end as "interrupted" after the current call. Where the steps
    will not be done by the deadline, the learning rates fall early (`Tracks.hurry`). make: makes the stepper.
    """

    def __init__(
        self,
        problem: Problem,
        members: Sequence[Member],
        *,
        callbacks: Sequence[Callback] = (),
        keeper: Checkpoints | None = None,
        halt: Halt | None = None,
        deadline: Deadline | None = None,
        search: bool = True,
        make: Callable[[Problem, Sequence[Member]], Stepper] = make_stepper,
    ) -> None:
        self.problem, self.members, self.callbacks = problem, list(members), list(callbacks)
        self.keeper, self.halt, self.deadline, self.recipe = keeper, halt or Halt(), deadline, members[0].recipe
        self.search = DivergenceSearch() if search else None
        self.stepper = make(problem, members)
        validated = self.stepper.validation is not None
        self.named = watched_metric(problem.task, members, validated=validated)
        self.unwatched = search and not validated and may_skip(self.callbacks)  # nobody looks between two evaluations
        self.steps = self.stepper.batches.steps
        self.every = evaluation_steps(self.recipe, self.steps)
        self.tracks = Tracks(members, self.steps, validated=validated)
        self.total = int(self.tracks.totals.max())
        self.sums = Sums(len(members))
        self.best = BestWeights(self.stepper.population)
        self.threads = 0  # of torch, chosen before the first step
        self.began, self.seconds = time.perf_counter(), 0.0
        self.paces: deque[float] = deque(maxlen=PACES)  # seconds per step of the last calls
        self.outcomes: dict[int, Outcome] = {}
        self.before: dict[str, NDArray[Any]] = {}  # the stepper's state before a call with several evaluations
        self.singly = 0  # step up to which no call has several
        self.asked = 0.0  # when a stop was first seen
        self.pools = False  # whether callbacks get the best entries

    @property
    def step(self) -> int:
        """Steps made so far."""
        return self.stepper.step

    # ------------------------------------------------------------------------------------------------------------ the loop

    def run(self) -> list[Outcome]:
        """Train all networks to their end; return their outcomes in the order of the members."""
        with contextlib.nullcontext() if self.keeper is None else self.keeper.claimed():
            return self._run()

    def _run(self) -> list[Outcome]:
        numbers = [member.number for member in self.members]
        if self.keeper is not None:
            self.keeper.begin(self)
        if self.callbacks:
            beginning = started(self.problem, self.members, steps=self.total, steps_per_epoch=self.steps)
            self.pools = bool(beginning.pooled)
            self._tell(beginning)
        self.threads = self.threads or self.stepper.threads(self.total - self.step)
        with torch_settings(threads=self.threads, precision=self.recipe.precision), torch.no_grad():
            self.began = time.perf_counter()
            if self.deadline is not None:
                self.deadline.steps_left(self.step)
            while len(self.tracks) and not self.halt.asked:
                self.to_boundary()
                if self.keeper is not None and len(self.tracks) and not self.halt.asked:
                    self.keeper.pause(self)
            if self.keeper is not None:
                self.keeper.end(self)
            if len(self.tracks):
                self._interrupt()
        diverged = tuple(n for n in numbers if self.outcomes[n].divergence is not None)
        self._tell(Finished(self.seconds, diverged))
        return [self.outcomes[number] for number in numbers]

    def to_boundary(self, most: int | None = None) -> None:
        """Make the steps up to the next boundary, and evaluate there. most: the step at which to be back at the latest."""
        boundary = self.next_boundary()
        self.advance(boundary if most is None else min(boundary, most))
        if self.step == boundary:
            self.evaluate()

    def next_boundary(self) -> int:
        """Return the next step after which the networks are evaluated: an epoch's end or every N steps, or a network's end.

        Where nobody looks in between, the step after as many of these as fit in one call, as long as no patience can end.
        """
        tracks, every, start = self.tracks, self.every, self.step - self.sums.steps
        end, count = int(tracks.totals[tracks.alive].min()), 1
        if self.unwatched and start == self.step and start % every == 0 and start >= self.singly:
            far = min(self.step + self.steps_at_once(), self._due() or end, end)
            count = int(max(1, min((far - self.step) // every, tracks.patience.evaluations_left(tracks.alive))))
        return min((start // every + count) * every, end)

    def advance(self, stop: int) -> None:
        """Make steps until `stop` steps were made, or fewer where a halt is asked for, with a pause wherever the keeper wants one."""
        while self.step < stop and not self.halt.asked:
            due, entries = self._due(), max(1, (stop - self.step) // self.every)
            if entries == 1:
                until = max(self.step + 1, min(stop, self.step + self.steps_at_once(), due or stop))
            else:
                until = stop
                self._remember()
            first, began = self.step, time.perf_counter()
            log = self.stepper.advance(self.rates(range(first, until)))
            self.sums.add(log, self.stepper.sound(log), first, entries=entries)
            self.paces.append((time.perf_counter() - began) / (self.step - first))
            self._tell(Advanced(self.step))
            if self.keeper is not None and self.step < stop and self.step == due and not self.halt.asked:
                self.keeper.pause(self)

    def steps_at_once(self) -> int:
        """Return how many steps a stepper may make in one call: one in the first, before it is known how long a step takes.

        On a busy machine a call may be several times as fast as the next: what counts is the slowest of the last calls.
        """
        slowest = max(self.paces, default=0.0) or CALL_SECONDS
        return max(1, int(CALL_SECONDS / slowest))

    def _due(self) -> int | None:
        """Return the step at which a checkpoint is due, None for none."""
        return None if self.keeper is None else self.keeper.next_step(self)

    def rates(self, steps: Sequence[int] | NDArray[np.int64]) -> Host:
        """Return the learning rates (n, K) of steps, counted from 0."""
        return self.tracks.rates(np.asarray(steps, dtype=np.int64))

    # ---------------------------------------------------------------------------------------------------------- evaluation

    def evaluate(self) -> None:
        """Add the entries that are due to each history, save the best weights, and end the networks that have finished."""
        population, tracks, sums = self.stepper.population, self.tracks, self.sums
        finite = (sums.first_bad < 0) & self.stepper.finite()
        if len(sums.totals) > 1 and not finite[tracks.alive].all():
            self._go_back()
            return
        held_out = self.stepper.evaluate(self.overdue)
        if held_out is None and self.stepper.validation is not None:
            return  # a stop came in between; a resumed run evaluates first
        since, self.seconds = self.seconds, self.seconds_now
        self.began = time.perf_counter()
        columns = new_entries(self, held_out, since=since)
        tracks.record(columns)
        self.best.keep(population, tracks.judge(columns, finite, self.problem.task.metric, named=bool(self.named)))
        cooling = tracks.cool(self.step)
        if cooling.any():
            self.best.restore(population, cooling)
        if self.deadline is not None:
            tracks.hurry(self.step, self.deadline.steps_left(self.step))
        ended = tracks.alive & (~finite | (self.step >= tracks.totals) | tracks.exhausted)
        if self.callbacks:
            seen = np.flatnonzero(tracks.alive)
            numbers = tuple(tracks.members[k].number for k in seen)
            shown = {name: values[-1, seen] for name, values in columns.items()}
            best = tracks.best_entries(seen) if self.pools else {}
            self._tell(Evaluated(self.step, numbers, shown, int((tracks.alive & ~ended).sum()), best))
        if ended.any():
            self._let_go(ended, finite)
        self.sums = Sums(len(tracks))

    def overdue(self) -> bool:
        """Return whether a stop was asked for so long ago that an evaluation is not to go on."""
        if not self.halt.asked:
            return False
        self.asked = self.asked or time.perf_counter()
        return time.perf_counter() - self.asked > CALL_SECONDS

    def _remember(self) -> None:
        """Keep the stepper's state, in the memory of the last one where it fits: allocating new memory takes longer than the copy."""
        for name, tensor in self.stepper.capture().items():
            state, kept = tensor.detach().cpu().numpy(), self.before.get(name)
            if kept is None or kept.shape != state.shape:
                self.before[name] = state.copy()
            else:
                np.copyto(kept, state)

    def _go_back(self) -> None:
        """Undo the last call: a network has diverged in it, and ends with its weights at the evaluation before. So look at each one."""
        self.singly = self.step
        self.stepper.restore(self.before, self.step - self.sums.steps)
        self.sums = Sums(len(self.tracks))

    def _let_go(self, ended: NDArray[np.bool_], finite: NDArray[np.bool_]) -> None:
        """End networks (K,): those that are not finite as diverged. Where few are left, only these go on in the steps."""
        tracks, first_bad = self.tracks, self.sums.first_bad
        tracks.alive = tracks.alive & ~ended
        self.stepper.alive = tracks.alive
        bad_steps = np.where(first_bad >= 0, first_bad, self.step - 1)
        diverged = self._divergences({k: int(bad_steps[k]) for k in np.flatnonzero(ended & ~finite).tolist()})
        self._end(np.flatnonzero(ended).tolist(), diverged)
        if tracks.alive.sum() < CROWDED * len(tracks):
            self.take(np.flatnonzero(tracks.alive).tolist())

    @property
    def seconds_now(self) -> float:
        """The time that training took up to this moment."""
        return self.seconds + time.perf_counter() - self.began

    def _divergences(self, at: Mapping[int, int]) -> dict[int, Divergence]:
        """Return where and why networks diverged, by index, from the step (counted from 0) of each."""
        if at and self.search is not None:
            return self.search.find(self, at)
        return {k: Divergence(s // self.steps + 1, s + 1, float(self.rates([s])[0, k])) for k, s in at.items()}

    def again(self, members: Sequence[Member]) -> TrainingRun:
        """Return a run of some of the members from their beginning, without callbacks."""
        return TrainingRun(self.problem, members, halt=self.halt, search=False)

    # ---------------------------------------------------------------------------------------------------------- the end

    def _interrupt(self) -> None:
        """End the networks that are left: with an entry of their histories for the steps since the last."""
        if self.sums.steps:
            self.evaluate()
        self._end(np.flatnonzero(self.tracks.alive).tolist(), {}, interrupted=True)
        self.tracks.take([])

    def _end(self, indices: list[int], diverged: Mapping[int, Divergence], *, interrupted: bool = False) -> None:
        """Write the outcomes of the networks with these indices."""
        if not indices:
            return
        tracks, stepper = self.tracks, self.stepper
        networks, histories = self.best.networks(stepper.population, indices), tracks.histories(indices)
        for k, parameters, history in zip(indices, networks, histories, strict=True):
            member, divergence = tracks.members[k], diverged.get(k)
            early = tracks.cool_start[k] >= 0 or (tracks.exhausted[k] and self.step < tracks.totals[k])
            stopped = "diverged" if divergence else "interrupted" if interrupted else "early" if early else "done"
            progress: FitState | None = None
            if member.resumable:
                state = {name: tensor[k].cpu().numpy().copy() for name, tensor in stepper.state.items()}
                progress = tracks.progress(k, stepper.steps_before + self.step, state)
            self.outcomes[member.number] = Outcome(
                number=member.number,
                parameters=parameters,
                history=history,
                best=int(tracks.best[k]),
                stopped=stopped,
                divergence=divergence,
                seconds=self.seconds,
                progress=progress,
                stepper=stepper.name,
                threads=self.threads,
            )

    def take(self, indices: list[int]) -> None:
        """Go on with the networks with these indices only."""
        self.tracks.take(indices)
        if indices:
            self.stepper.take(indices)
            self.best.take(indices)
            self.sums = Sums(len(indices))

    def _tell(self, event: Event) -> None:
        if not self.callbacks:
            return
        with torch.inference_mode(False):  # a callback may train something of its own
            for callback in self.callbacks:
                callback(event)
