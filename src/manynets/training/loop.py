"""The one training loop: K networks of one group, from their initial weights to their best.

The loop knows boundaries: the end of an epoch, an evaluation, a checkpoint, a stop. Between two of them it asks a stepper to advance
by so many steps and gets a log back; how a step is made is the stepper's business (`manynets.training.steppers`). Where nobody needs to
look at the networks at every evaluation, one call makes the steps up to a later one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from manynets.steps import evaluation_steps
from manynets.training.best_weights import BestWeights
from manynets.training.checkpoint import Checkpoints
from manynets.training.deadline import Deadline
from manynets.training.divergence import WORK, causes
from manynets.training.events import Advanced, Callback, Event, Finished, evaluated, may_skip, started, tell
from manynets.training.history import Sums, Tracks, new_entries, outcomes_of
from manynets.training.signals import Halt, Pace
from manynets.training.steppers.base import Stepper
from manynets.training.steppers.choice import make_stepper
from manynets.training.torch_settings import torch_settings
from manynets.training.trial import Divergence, Member, Outcome, Problem
from manynets.training.validation import watched_metric

CROWDED = 0.8  # share of living networks below which the others are taken out of the steps


class TrainingRun:
    """K networks of one group (`trial.group_key`) on one problem.

    Once `halt` is asked, as a callback does that raises StopIteration, they end after the current call, as its word says. Where the steps
    will not be done by the deadline, the learning rates fall early (`Tracks.hurry`). search: whether to look for the causes of divergences.
    make: makes the stepper.
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
        self.problem, self.members, self.recipe = problem, list(members), members[0].recipe
        self.callbacks, self.pools = list(callbacks), False  # pools: whether callbacks get the best entries
        self.keeper = keeper or Checkpoints(problem, members)  # of which none is written
        self.halt, self.deadline = halt or Halt(), deadline or Deadline(math.inf)
        self.search, self.search_work = search, WORK  # multiplications that the search may still make

        # the state between two steps, which a checkpoint has (`manynets.training.state`)
        self.stepper = make(problem, members)
        validated = self.stepper.validation is not None
        self.steps = self.stepper.batches.steps  # of an epoch
        self.tracks = Tracks(members, self.steps, validated=validated, metric=problem.metric)
        self.sums = Sums(len(members))
        self.best = BestWeights(self.stepper.population)
        self.outcomes: dict[int, Outcome] = {}  # of networks that have ended
        self.threads = 0  # of torch, chosen before the first step
        self.began, self.seconds = time.perf_counter(), 0.0  # seconds: that training took until it began, or went on

        self.named = watched_metric(problem, members, validated=validated)  # "" where loss or metric decide
        self.every = evaluation_steps(self.recipe, self.steps)
        self.total = int(self.tracks.totals.max())
        self.pace = Pace()
        self.unwatched = search and not validated and may_skip(self.callbacks)  # nobody looks between two evaluations
        self.before: dict[str, NDArray[Any]] = {}  # the stepper's state before a call with several evaluations
        self.singly = 0  # step up to which no call has several

    @property
    def step(self) -> int:
        """Steps made so far."""
        return self.stepper.step

    @property
    def seconds_now(self) -> float:
        """The time that training took up to this moment."""
        return self.seconds + time.perf_counter() - self.began

    @property
    def goes_on(self) -> bool:
        """Whether any network is left to train, and no halt is asked for."""
        return len(self.tracks) > 0 and not self.halt.asked

    # ------------------------------------------------------------------------------------------------------------ the loop

    def run(self) -> list[Outcome]:
        """Train all networks to their end; return their outcomes in the order of the members."""
        with self.keeper.claimed():
            self.keeper.begin(self)
            if self.callbacks:
                beginning = started(self.problem, self.members, steps=self.total, steps_per_epoch=self.steps)
                self.pools = bool(beginning.pooled)
                self._tell(beginning)
            self.threads = self.threads or self.stepper.threads(self.total - self.step)
            with torch_settings(threads=self.threads, precision=self.recipe.precision), torch.no_grad():
                self.began = time.perf_counter()
                self.deadline.steps_left(self.step)  # which measures the pace from here on
                while self.goes_on:
                    self.to_boundary()
                    if self.goes_on:
                        self.keeper.pause(self)
                self.keeper.end(self)
                self._interrupt()
        outcomes = [self.outcomes[member.number] for member in self.members]
        self._tell(Finished(self.seconds, tuple(outcome.number for outcome in outcomes if outcome.divergence is not None)))
        return outcomes

    def to_boundary(self, most: int | None = None) -> None:
        """Make the steps up to the next boundary, and evaluate there. most: the step at which to be back at the latest."""
        boundary = self.next_boundary()
        self.advance(boundary if most is None else min(boundary, most))
        if self.step == boundary:
            self.evaluate()

    def next_boundary(self, *, single: bool = False) -> int:
        """Return the next step after which the networks are evaluated: an epoch's end or every N steps, or a network's end.

        Where nobody looks in between, the step after as many of these as fit in one call; single: not so.
        """
        last = self.step - self.sums.steps  # of an evaluation
        end = int(self.tracks.totals[self.tracks.alive].min())
        several = self.unwatched and not single and self.step == last and last % self.every == 0 and last >= self.singly
        count = self._evaluations_at_once(end) if several else 1
        return min((last // self.every + count) * self.every, end)

    def _evaluations_at_once(self, end: int) -> int:
        """Return how many evaluations one call may have: before step `end` and the next checkpoint, as long as no patience can end."""
        far = min(self.step + self.pace.steps, self.keeper.next_step(self.step) or end, end)
        patient = self.tracks.patience.evaluations_left(self.tracks.alive)
        return int(max(1, min((far - self.step) // self.every, patient)))

    def advance(self, stop: int) -> None:
        """Make steps until `stop` steps were made, or fewer where a halt is asked for, with a pause for the keeper after each call.

        Those of several evaluations are made in one call, before which the stepper's state is copied (`_go_back`).
        """
        while self.step < stop and not self.halt.asked:
            due, entries = self.keeper.next_step(self.step), max(1, (stop - self.step) // self.every)
            if entries == 1:
                until = min(stop, self.step + self.pace.steps, due or stop)
            else:
                until = stop
                self.before = {name: tensor.detach().cpu().numpy().copy() for name, tensor in self.stepper.capture().items()}
            first, began = self.step, time.perf_counter()
            log = self.stepper.advance(self.tracks.rates(np.arange(first, until)), self.tracks.alive)
            self.sums.add(log, self.stepper.sound(log), first, entries=entries)
            self.pace.add(self.step - first, time.perf_counter() - began)
            self._tell(Advanced(self.step))
            if self.step < stop and not self.halt.asked:
                self.keeper.pause(self)

    # ---------------------------------------------------------------------------------------------------------- evaluation

    def evaluate(self) -> None:
        """Add the entries that are due to each history, save the best weights, and end the networks that have finished."""
        tracks, sums = self.tracks, self.sums
        finite = (sums.first_bad < 0) & self.stepper.population.finite()
        if len(sums.totals) > 1 and not finite[tracks.alive].all():
            self._go_back()
            return
        held_out = self.stepper.evaluate(self.halt.overdue)
        if held_out is None and self.stepper.validation is not None:
            return  # a stop came in between; a resumed run evaluates first
        since, self.seconds = self.seconds, self.seconds_now
        self.began = time.perf_counter()
        columns = new_entries(self, held_out, since=since)
        tracks.record(columns)
        better = tracks.judge(columns, finite, self.problem.task.metric, named=bool(self.named))
        self.best.keep(self.stepper.population, better)
        self._lower_rates()
        ended = tracks.alive & (~finite | (self.step >= tracks.totals) | tracks.exhausted)
        if self.callbacks:
            self._tell(evaluated(self.step, tracks, columns, ended, pooled=self.pools, network=self.stepper.population.network))
        if ended.any():
            self._let_go(ended, finite)
        self.sums = Sums(len(tracks))

    def _lower_rates(self) -> None:
        """Let learning rates begin to fall: of networks whose patience ends, which go back to their best weights, and of those that are late."""
        cooling = self.tracks.cool(self.step)
        if cooling.any():
            self.best.restore(self.stepper.population, cooling)
        self.tracks.hurry(self.step, self.deadline.steps_left(self.step))

    def _go_back(self) -> None:
        """Undo the last call: a network has diverged in it, and ends with its weights at the evaluation before. So look at each one."""
        self.singly = self.step
        self.stepper.restore(self.before, self.step - self.sums.steps)
        self.sums = Sums(len(self.tracks))

    def again(self, members: Sequence[Member]) -> TrainingRun:
        """Return a run of some of the members from their beginning, without callbacks."""
        return TrainingRun(self.problem, members, halt=self.halt, search=False)

    # ------------------------------------------------------------------------------------------------------------- the end

    def _let_go(self, ended: NDArray[np.bool_], finite: NDArray[np.bool_]) -> None:
        """End networks (K,): those that are not finite as diverged. Where few are left, only these go on in the steps."""
        tracks, first_bad = self.tracks, self.sums.first_bad
        tracks.alive = tracks.alive & ~ended
        bad_steps = np.where(first_bad >= 0, first_bad, self.step - 1)
        lost = {k: int(bad_steps[k]) for k in np.flatnonzero(ended & ~finite).tolist()}
        self._end(ended, causes(self, lost) if lost and self.search else {})
        if tracks.alive.sum() < CROWDED * len(tracks):
            self.take(np.flatnonzero(tracks.alive).tolist())

    def _interrupt(self) -> None:
        """End the networks that a halt has left, with an entry for the steps since their last."""
        if len(self.tracks):
            if self.sums.steps:
                self.evaluate()
            self._end(self.tracks.alive, {}, halted=self.halt.word)
            self.take([])

    def _end(self, ended: NDArray[np.bool_], diverged: Mapping[int, Divergence], *, halted: str = "") -> None:
        found = outcomes_of(self, np.flatnonzero(ended).tolist(), diverged, halted=halted)
        self.outcomes |= {outcome.number: outcome for outcome in found}

    def take(self, indices: list[int]) -> None:
        """Go on with the networks with these indices only."""
        self.tracks.take(indices)
        if indices:
            self.stepper.take(indices)
            self.best.take(indices)
            self.sums = Sums(len(indices))

    def _tell(self, event: Event) -> None:
        if self.callbacks:
            with torch.inference_mode(False):  # a callback may train something of its own
                if tell(self.callbacks, event):
                    self.halt.asked = True
