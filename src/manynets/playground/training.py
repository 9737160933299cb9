"""A training in a thread of its own. It does not wait for the pages: they read the latest sample.

The loop is `manynets.training.loop.TrainingRun`, one for each group of networks that share their steps. Between two of its calls, which
take some 25 ms, the thread checks whether to pause, to stop, or to change the learning rate.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets.errors import ManynetsError
from manynets.nn.population import Population
from manynets.nn.shape import Shape
from manynets.playground.curves import Curves, Snapshot, Thinned, Weights
from manynets.playground.layers import population_of
from manynets.playground.problem import Experiment
from manynets.training.groups import groups_of
from manynets.training.loop import TrainingRun
from manynets.training.signals import Halt
from manynets.training.steppers.choice import modes_for
from manynets.training.torch_settings import torch_settings
from manynets.training.trial import Member

LOG = logging.getLogger("manynets.playground")
State: TypeAlias = Literal["paused", "running", "done", "diverged", "failed"]
SAMPLES_PER_SECOND = 40
SNAPSHOT_BYTES, MOST_SNAPSHOTS, LEAST_SNAPSHOTS = 48 << 20, 240, 12
SPEED_SECONDS = 0.5


class NetworkGroup:
    """Networks that share their steps: their run, and a copy of their weights, those of ended networks included."""

    def __init__(self, experiment: Experiment, members: list[Member], halt: Halt) -> None:
        self.run = TrainingRun(experiment.data.problem, members, halt=halt)
        self.run.threads = self.run.stepper.threads(self.run.total)
        self.numbers = [member.number for member in members]
        self.positions = {number: k for k, number in enumerate(self.numbers)}
        population = self._population
        self.shape: Shape = population.shape
        self.flat: NDArray[Any] = population.flat.numpy().copy()
        self.statistics: NDArray[Any] = population.statistics.numpy().copy()
        self.curves = Curves(len(members))
        self.ended: set[int] = set()
        self._trims = all(m.recipe.stopping is None or m.recipe.stopping.cool_down is None for m in members)

    @property
    def _population(self) -> Population:
        population = self.run.stepper.population
        assert isinstance(population, Population)  # the page has no modules of the user's own
        return population

    @property
    def over(self) -> bool:
        """Whether all networks have ended."""
        return len(self.run.tracks) == 0

    def advance(self, goal: float) -> None:
        """Make the steps of one call: up to the next evaluation, or up to step `goal`."""
        run = self.run
        boundary = run.next_boundary(single=not math.isinf(goal))
        run.advance(int(min(boundary, goal)))
        if run.step == boundary and not run.halt.asked:
            seen = run.tracks.entries
            alive = [self.positions[member.number] for member in run.tracks.members]
            columns = run.tracks.columns
            run.evaluate()
            self._record(columns, seen, np.array(alive, dtype=np.int64))

    def _record(self, columns: dict[str, list[Any]], seen: int, at: NDArray[np.int64]) -> None:
        """Take the new entries of the histories, and delete those that the engine no longer needs."""
        tracks = self.run.tracks
        if len(tracks) == len(at):
            columns = tracks.columns
        entries = len(next(iter(columns.values()), []))
        for i in range(seen, entries):
            self.curves.add({name: np.asarray(values[i]) for name, values in columns.items() if len(values) > i}, at)
        if self._trims:
            for values in tracks.columns.values():
                del values[:-1]
        for number, outcome in self.run.outcomes.items():
            if number not in self.ended:
                self.ended.add(number)
                self._write(self.positions[number], outcome.parameters)

    def copy_weights(self) -> None:
        """Copy the weights as they are now."""
        population, members = self._population, self.run.tracks.members
        if not members or len(members) != population.size:
            return
        rows = [k for k, member in enumerate(members) if member.number not in self.ended]
        at = [self.positions[members[k].number] for k in rows]
        flat, statistics = self.flat.copy(), self.statistics.copy()
        flat[at] = population.flat.numpy()[rows]
        statistics[at] = population.statistics.numpy()[rows]
        self.flat, self.statistics = flat, statistics

    def _write(self, position: int, parameters: dict[str, NDArray[Any]]) -> None:
        flat, statistics = self.flat.copy(), self.statistics.copy()
        one = Population.start(self.shape, [parameters], device=self._population.flat.device, dtype=self._population.flat.dtype)
        flat[position], statistics[position] = one.flat.numpy()[0], one.statistics.numpy()[0]
        self.flat, self.statistics = flat, statistics


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Sample:
    """The state of a training at one moment, for the page. ended: how many networks have ended."""

    version: int
    step: int
    epoch: float
    state: State
    steps_per_second: float
    lr: float
    weights: Weights
    message: str = ""
    ended: int = 0


class LiveTraining:
    """The training of an experiment, in a thread that ends with `close`. All methods may be called from any thread.

    rates: the changes of the learning rate by hand, as the steps made before and the rate. falls: those of a single network on plateaus, as
    the steps made before and the factor.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self._condition = threading.Condition()
        self._goal, self._closed, self._restart = 0.0, False, False
        self._rate: float | None = None
        self._halt = Halt()
        self.rates: list[tuple[int, float]] = []
        self.falls: list[tuple[int, float]] = []
        self.groups: list[NetworkGroup] = []
        self.snapshots = Thinned[Snapshot](MOST_SNAPSHOTS)
        self._sample: Sample | None = None
        self._version = 0
        self._message = ""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._work, name="playground training", daemon=True)
        self._thread.start()
        self._ready.wait()

    # ------------------------------------------------------------------------------------------------------------- controls

    def play(self) -> None:
        """Train until `pause`, or the end of the recipe."""
        self._aim(math.inf)

    def pause(self) -> None:
        """Pause between two calls."""
        self._aim(0.0)

    def advance(self, steps: int) -> None:
        """Make some more steps, and pause."""
        self._aim(self.sample.step + steps)

    def advance_epoch(self) -> None:
        """Train to the end of the epoch, and pause."""
        every = self.steps_per_epoch
        self._aim((self.sample.step // every + 1) * every)

    def set_rate(self, lr: float) -> None:
        """Continue with another learning rate, to which the schedule's factors then apply."""
        with self._condition:
            self._rate = lr
            self._condition.notify_all()

    def reset(self) -> None:
        """Start again from the initial weights, paused."""
        with self._condition:
            self._goal, self._restart = 0.0, True
            self._condition.notify_all()

    def close(self) -> None:
        """End the thread, even within a call of the stepper."""
        with self._condition:
            self._closed, self._halt.asked = True, True
            self._condition.notify_all()

    def join(self, timeout: float) -> bool:
        """Wait for the end of the thread; return whether it has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _aim(self, goal: float) -> None:
        with self._condition:
            self._goal = goal
            self._condition.notify_all()

    @property
    def sample(self) -> Sample:
        """The latest sample."""
        assert self._sample is not None
        return self._sample

    @property
    def steps_per_epoch(self) -> int:
        """Steps of a pass over the rows."""
        return self.groups[0].run.steps if self.groups else 1

    def network(self, number: int, weights: Weights) -> Population:
        """Return one network, with its weights of a sample or a snapshot."""
        group, position = self.located(number)
        (flat, statistics), at = weights[group], slice(position, position + 1)
        return population_of(self.groups[group].shape, flat[at], statistics[at])

    def located(self, number: int) -> tuple[int, int]:
        """Return the group of a network, and its position there."""
        return next((i, group.positions[number]) for i, group in enumerate(self.groups) if number in group.positions)

    def wait(self, done: Callable[[Sample], bool], timeout: float = 60.0) -> bool:
        """Wait until done(sample) is true; return whether it is."""
        with self._condition:
            return self._condition.wait_for(lambda: done(self.sample), timeout)

    # --------------------------------------------------------------------------------------------------------------- thread

    def _work(self) -> None:
        try:
            while not self._closed:
                self._start()
                self._train()
        except Exception as error:  # the page shows it; the server goes on
            if not isinstance(error, ManynetsError | MemoryError):
                LOG.exception("a training failed")
            self._message = str(error) if isinstance(error, ManynetsError) else "the training failed; the server's log says why"
            self._publish("failed")
        finally:
            self._ready.set()

    def _start(self) -> None:
        problem, members = self.experiment.data.problem, self.experiment.members
        self._restart, self.rates, self.falls, self._message = False, [], [], ""
        groups = []
        for group in groups_of(problem, members):
            with modes_for(problem, group[0]):
                groups.append(NetworkGroup(self.experiment, group, self._halt))
        self.groups = groups  # at once: others may be looking
        first = self._snapshot()
        self.snapshots = Thinned[Snapshot](int(np.clip(SNAPSHOT_BYTES // first.size, LEAST_SNAPSHOTS, MOST_SNAPSHOTS)))
        self.snapshots.add(first)
        self._marks = [(time.perf_counter(), 0)]
        self._publish("paused")
        self._ready.set()

    def _train(self) -> None:
        threads = max(group.run.threads for group in self.groups)
        recipe = self.experiment.setup.recipe
        with torch_settings(threads=threads, precision=recipe.precision), np.errstate(all="ignore"):  # the page shows divergence
            while True:
                with self._condition:
                    if self._idle():
                        self._publish(self._state())
                    self._condition.wait_for(lambda: not self._idle())
                    if self._closed or self._restart:
                        return
                    rate, self._rate = self._rate, None
                if rate is not None:
                    self._apply(rate)
                else:
                    self._advance()

    def _idle(self) -> bool:
        """Whether there is nothing to do."""
        if self._closed or self._restart or self._rate is not None:
            return False
        return self.step >= self._goal or all(group.over for group in self.groups)

    def _advance(self) -> None:
        """Make one call for the group that has made the fewest steps, and record what it brings."""
        live = [group for group in self.groups if not group.over]
        group = min(live, key=lambda group: group.run.step)
        before = group.curves.entries.count
        with modes_for(self.experiment.data.problem, group.run.members[0]):
            group.advance(self._goal)
        step = self.step
        factor = group.run.tracks.patience.factor
        if len(factor) == 1 and factor[0] != (self.falls[-1][1] if self.falls else 1.0):
            self.falls.append((step, float(factor[0])))
        if group is live[-1] and group.curves.entries.count > before:
            if self.snapshots.due:
                self._copy_weights()
                self.snapshots.add(self._snapshot())
            else:
                self.snapshots.skip()
        now = time.perf_counter()
        self._marks.append((now, step))
        while len(self._marks) > 2 and now - self._marks[1][0] > SPEED_SECONDS:
            del self._marks[0]
        if now - self._published > 1 / SAMPLES_PER_SECOND:
            self._publish("running")

    def _apply(self, rate: float) -> None:
        self.rates.append((self.step, rate))
        for group in self.groups:
            group.run.tracks.patience.lr[:] = rate
        self._publish(self._state())

    @property
    def step(self) -> int:
        """Steps made by the slowest networks that still train; by all, once all have ended."""
        last = max((group.run.step for group in self.groups), default=0)
        return min((group.run.step for group in self.groups if not group.over), default=last)

    def _state(self) -> State:
        outcomes = [outcome for group in self.groups for outcome in group.run.outcomes.values()]
        if not all(group.over for group in self.groups):
            return "running" if self.step < self._goal else "paused"
        first = next((outcome.divergence for outcome in outcomes if outcome.divergence is not None), None)
        if first is None or len(outcomes) > 1:
            return "done"
        self._message = f"{first.where()}; {first.remedy()}"
        return "diverged"

    def _snapshot(self) -> Snapshot:
        return Snapshot(self.step, self.step / self.steps_per_epoch, [(group.flat, group.statistics) for group in self.groups])

    def _copy_weights(self) -> None:
        for group in self.groups:
            group.copy_weights()

    def _publish(self, state: State) -> None:
        self._copy_weights()
        self._published = time.perf_counter()
        self._version += 1
        speed = 0.0
        if state == "running" and len(self._marks) > 1:
            (then, first), (now, last) = self._marks[0], self._marks[-1]
            speed = (last - first) / max(now - then, 1e-9)
        lr = self.experiment.setup.recipe.lr
        running = next((group.run for group in self.groups if not group.over), None)
        if running is not None:
            lr = float(running.tracks.rates(np.array([max(0, running.step - 1)]))[0, 0])
        with self._condition:
            self._sample = Sample(
                version=self._version,
                step=self.step,
                epoch=self.step / self.steps_per_epoch,
                state=state,
                steps_per_second=speed,
                lr=lr,
                weights=[(group.flat, group.statistics) for group in self.groups],
                message=self._message,
                ended=sum(len(group.ended) for group in self.groups),
            )
            self._condition.notify_all()
