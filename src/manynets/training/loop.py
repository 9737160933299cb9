"""The one training loop: K networks of one group, from their initial weights to their best.

A run asks for a gradient and an update without knowing which ones it has, and advances from one boundary that somebody watches
(the end of an epoch, an evaluation, a chunk) to the next. Numbers reach the host at evaluations only.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from manynets.data.batches import Batches, Chunk, Slots, steps_per_epoch
from manynets.errors import OptionError
from manynets.nn.population import Population, Shape
from manynets.optim import coefficient
from manynets.schedules import schedule_factors
from manynets.spec import MLP, Constant, ReduceOnPlateau
from manynets.tasks.objectives import Objective, objective_for
from manynets.training.autograd import ModulePopulation
from manynets.training.divergence import Search
from manynets.training.events import Advanced, Evaluated, Event, Finished, Observer, Started
from manynets.training.members import Divergence, Member, Outcome, Problem, Progress, batch_rows, needs_autograd
from manynets.training.settings import private_generators, seeded_states, torch_settings
from manynets.training.signals import Halt
from manynets.training.stacks import Stacks, cut, report
from manynets.training.tracking import Tracks
from manynets.training.update import Update
from manynets.training.validation import Validation, figures, variances

__all__ = ["Keeper", "Run"]

Host = NDArray[np.float64]

WATCHED = ("loss", "metric", "objective")
CROWDED = 0.8  # share of living networks below which the places of the others are freed


class Keeper(Protocol):
    """Who keeps checkpoints of a run. The loop asks it, and tells it, between two steps; see `manynets.training.checkpoint`."""

    def begin(self, run: Run) -> None:
        """The run is about to make its first step; this may restore a state."""

    def next_step(self, run: Run) -> int | None:
        """Return after how many steps of the run it wants to be called, None for no number of them."""

    def pause(self, run: Run) -> None:
        """The run stands between two steps."""

    def end(self, run: Run) -> None:
        """The run is over, or was asked to halt."""


@dataclasses.dataclass
class Open:
    """The chunk that a run is in, and the penalties of its steps."""

    chunk: Chunk
    penalties: Tensor | None


class Run:
    """K networks of one group (`members.group_key`) on one problem.

    Its state is the population, the best weights so far, the optimizer's tensors, `tracks`, the steps made, and the scores of the
    chunk it is in (`manynets.training.state`). Where chunks begin follows from the evaluations alone: a pause within one, and
    going on from there, changes no bit. Once `halt` is asked, the networks end as "interrupted" after the step at hand.
    """

    def __init__(
        self,
        problem: Problem,
        members: Sequence[Member],
        *,
        observers: Sequence[Observer] = (),
        keeper: Keeper | None = None,
        halt: Halt | None = None,
        search: bool = True,
    ) -> None:
        self.problem, self.observers, self.members = problem, list(observers), list(members)
        self.keeper, self.halt = keeper, halt or Halt()
        self.search = Search() if search else None
        self.recipe, spec = members[0].recipe, members[0].spec
        self.objective: Objective = objective_for(problem.task, self.recipe)
        self.device, self.dtype = problem.rows.x.device, problem.rows.x.dtype
        counts = [len(problem.rows) if m.rows is None else len(m.rows) for m in members]
        self.batch_size = batch_rows(self.recipe, counts[0])
        self.merges = isinstance(spec, nn.Module) or spec.batch_norm  # a last batch of one row: batch norm cannot take it
        self.steps = steps_per_epoch(counts[0], self.batch_size, merge_single=self.merges)
        if isinstance(spec, MLP) and spec.batch_norm and min(self.batch_size, *counts) == 1:
            raise OptionError("batch_norm needs at least 2 rows in a batch; use a larger batch_size, or batch_norm=False")
        self.tracks = Tracks(members, self.steps)
        self.total = int(self.tracks.totals.max())
        self.step = members[0].start
        self.chunk_start = self.step  # the step before which the chunk at hand begins
        self.open: Open | None = None
        self.restored: tuple[Tensor, Tensor | None] | None = None  # scores and penalties of the chunk's steps before a resume
        self.began = time.perf_counter()
        self.steps_before = members[0].progress.steps - self.step
        self.seconds = 0.0
        self.outcomes: dict[int, Outcome] = {}
        self.log: list[Tensor] = []
        self.module = spec if isinstance(spec, nn.Module) else None
        self.population: Population | ModulePopulation
        if isinstance(spec, nn.Module):
            self.population = ModulePopulation(spec, device=self.device, dtype=self.dtype)
            self.rng = seeded_states(self.recipe.seed, self.device)
            self.widest = 1024
        else:
            shape = Shape.of(spec, problem.rows.x.shape[1], problem.task.outputs)
            self.population = Population.start(shape, [m.initial for m in members], device=self.device, dtype=self.dtype)
            self.widest = max(shape.in_features, shape.out_features, *shape.hidden, 1)
        self.best_flat, self.best_statistics = self.population.flat.clone(), self.population.statistics.clone()
        names = {name for member in members for name in member.progress.optimizer}
        self._assemble({name: self._stacked([m.progress.optimizer.get(name) for m in members]) for name in names})

    # ---------------------------------------------------------------------------------------------------------- assembling

    def _stacked(self, rows: Sequence[NDArray[Any] | None]) -> Tensor:
        """Return a tensor (K, P) of the given rows, zeros where there is none."""
        out = torch.zeros_like(self.population.flat)
        for k, row in enumerate(rows):
            if row is not None:
                out[k] = torch.from_numpy(np.array(row))
        return out

    def _assemble(self, optimizer_state: Mapping[str, Tensor]) -> None:
        """Make batches, validation, gradient and update for the networks in `tracks`: at the start, and when places were freed."""
        members, population, task = self.tracks.members, self.population, self.problem.task
        recipes = [member.recipe for member in members]
        own, weights = [member.rows for member in members], [member.weight for member in members]
        self.batches = Batches(
            self.problem.rows,
            self.objective,
            task.outputs,
            stacks=(places := cut(members, self.batch_size, self.widest, self.device)),
            own=own,
            weights=weights,
            orders=[member.order for member in members],
            batch_size=self.batch_size,
            merge_single=self.merges,
            smoothing=coefficient([recipe.label_smoothing for recipe in recipes], population.flat, ndim=3),
        )
        self.spread = variances(self.problem.rows, own, weights)
        self._watched = np.array([WATCHED.index(recipe.watch) for recipe in recipes])
        held_out = self.problem.validation is not None or members[0].validation_rows is not None
        self._keeps_last = np.array([not held_out or recipe.keep == "last" for recipe in recipes])
        self.validation: Validation | None = None
        if held_out:
            rows = self.problem.validation or self.problem.rows
            own_rows = self.problem.validation is None
            apart = [member.validation_rows if own_rows else None for member in members]
            self.validation = Validation(rows, apart, self.objective, widest=self.widest, weights=weights if own_rows else None)
        self._closed = not needs_autograd(members[0])
        # every step writes all of the gradients before it reads them
        grad = population.grad if isinstance(population, ModulePopulation) else torch.empty_like(population.flat)
        self.stacks = Stacks(population, grad, places, members, self.objective)
        self.update = Update(population.flat, grad, population.weight_count, recipes)
        for name, fresh in self.update.optimizer.state.items():  # a state that no network left here needs is dropped
            if name in optimizer_state:
                fresh.copy_(optimizer_state[name])
        meant = [member.penalty_rows for member in members]
        self._penalty_rows = None if None in meant else population.flat.new_tensor(meant)
        counts = np.array([len(self.problem.rows) if mine is None else len(mine) for mine in own])
        # of an epoch's mean over rows, to which all batches add the same
        self._penalty_share = 1.0 if None in meant else self.batch_size * self.steps / counts
        norm = isinstance(population, Population) and population.shape.batch_norm
        self._descends = self._closed and self.update.descends and not norm
        courses = [(recipe.schedule, int(total)) for recipe, total in zip(recipes, self.tracks.totals, strict=True)]
        self._courses = list(dict.fromkeys(courses))
        self._course_of = np.array([self._courses.index(course) for course in courses])
        self._graphs: dict[int, Any] = {}

    def again(self, members: Sequence[Member]) -> Run:
        """Return a run of some of the members from their beginning, which nobody watches."""
        return Run(self.problem, members, halt=self.halt, search=False)

    # ------------------------------------------------------------------------------------------------------------ the loop

    def run(self) -> list[Outcome]:
        """Train all networks to their end; return their outcomes in the order of the members."""
        numbers = [member.number for member in self.members]
        if self.keeper is not None:
            self.keeper.begin(self)
        self._tell(Started(len(numbers), self.total, self.steps, self.problem.task.metric))
        with self._settings():
            self.began = time.perf_counter()
            while len(self.tracks):
                boundary = self.next_boundary()
                self.advance(boundary)
                if self.step == boundary:
                    self.evaluate()
                if self.halt.asked:
                    break
                if len(self.tracks):
                    self._pause()
            if self.keeper is not None:
                self.keeper.end(self)
            if len(self.tracks):
                self._interrupt()
        diverged = tuple(n for n in numbers if self.outcomes[n].divergence is not None)
        self._tell(Finished(self.seconds, diverged))
        return [self.outcomes[number] for number in numbers]

    def next_boundary(self) -> int:
        """Return the next step after which the networks are evaluated: an epoch's end or every N steps, or a network's end."""
        every = self.recipe.evaluate_every or self.steps
        return min((self.step // every + 1) * every, int(self.tracks.totals[self.tracks.alive].min()))

    def advance(self, stop: int) -> None:
        """Make steps until `stop` steps were made, or fewer where a halt is asked for."""
        while self.chunk_start < stop and not self.halt.asked:
            epoch, start = divmod(self.chunk_start, self.steps)
            for chunk in self.batches.chunks(epoch, start, min(self.steps, start + stop - self.chunk_start)):
                self._make_chunk(chunk)
                if self.halt.asked:
                    break
                if self.step < stop:
                    self._pause()

    def _make_chunk(self, chunk: Chunk) -> None:
        """Make the steps of a filled chunk, or what is left of them, with a pause wherever the keeper wants one."""
        penalties = None
        if self.update.has_l1 or self.update.has_l2:
            penalties = self.population.flat.new_empty(chunk.steps, self.population.size)
        if self.restored is not None:
            scores, made_penalties = self.restored
            chunk.slots.scores[: len(scores)].copy_(scores)
            if penalties is not None and made_penalties is not None:
                penalties[: len(scores)].copy_(made_penalties)
            self.restored = None
        self.update.optimizer.plan(self.rates(self.chunk_start, chunk.steps), self.steps_before + self.chunk_start)
        self.open = Open(chunk, penalties)
        end = self.chunk_start + chunk.steps
        loaded = due = self.step  # up to where rows lie in the slots, and up to where the keeper lets it go on
        while self.step < end and not self.halt.asked:
            if self.step == loaded:
                width = chunk.slots.width
                first = (self.step - self.chunk_start) // width * width
                count = chunk.slots.load(self.problem.rows, first)
                self.stacks.prepare(chunk.slots, self.chunk_start + first, count)
                loaded = self.chunk_start + first + count
            if self.step == due:
                wanted = None if self.keeper is None else self.keeper.next_step(self)
                due = end if wanted is None else min(max(wanted, self.step + 1), end)
            until = min(due, loaded)
            with nullcontext() if self.module is None else private_generators(self.rng, self.device):
                made = self._make_steps(chunk.slots, self.step - self.chunk_start, until - self.chunk_start, penalties)
            self.step = self.chunk_start + made
            if self.step == due < end and not self.halt.asked:
                self._pause()
        if self.step == end:
            self._close()
            self._tell(Advanced(self.step))

    def _close(self) -> None:
        """Write the steps made in the chunk at hand to the log, and leave the chunk."""
        if self.open is not None and self.step > self.chunk_start:
            self.log.append(report(self.objective, self.open.chunk.slots, self.step - self.chunk_start, self.open.penalties))
        self.open, self.chunk_start = None, self.step

    def _pause(self) -> None:
        """The one place, between two steps, where a checkpoint may be written."""
        if self.keeper is not None:
            self.keeper.pause(self)

    def _interrupt(self) -> None:
        """End the networks that are left: with an entry of their histories for the steps since the last."""
        if self.step > self.chunk_start and self.open is None:
            self.chunk_start = self.step  # resumed within a chunk and halted before its first step
        self._close()
        if self.log:
            self.evaluate()
        self._end(np.flatnonzero(self.tracks.alive).tolist(), {}, interrupted=True)
        self.tracks.take([])

    def rates(self, step: int, count: int) -> Host:
        """Return the learning rates (count, K) of the next steps."""
        if all(isinstance(schedule, Constant | ReduceOnPlateau) for schedule, _ in self._courses):
            return np.tile(self.tracks.lr * self.tracks.factor, (count, 1))
        steps = np.arange(step, step + count)
        factors = [schedule_factors(s, steps, total=total, per_epoch=self.steps) for s, total in self._courses]
        return np.asarray(np.stack(factors, axis=1)[:, self._course_of] * (self.tracks.lr * self.tracks.factor))

    def _make_steps(self, slots: Slots, first: int, last: int, penalties: Tensor | None) -> int:
        """Make the steps first to last - 1 of filled slots, fewer where a halt is asked for; return the next to make."""
        stacks, update, halt = self.stacks, self.update, self.halt
        if self._descends and isinstance(update.optimizer.rate[0], float):
            for s in range(first, last):
                stacks.step(slots, s, update.optimizer.rate[s])  # type: ignore[arg-type]  # all steps' rates are numbers
                if halt.asked:
                    return s + 1
            return last
        growth = self._growth(slots)
        if self.device.type == "cuda" and self._closed and growth is None and last - first == slots.count and last > 1:
            if slots.size in self._graphs:
                self._replay(slots, penalties)
                return last
            self._graphs[slots.size] = None  # this time in the open, which warms the kernels up; captured the next time
        for s in range(first, last):
            stacks.step(slots, s)
            if penalties is not None:
                update.penalty(penalties[s])
            update.step(s, None if growth is None else growth[s])
            if halt.asked:
                return s + 1
        return last

    def _growth(self, slots: Slots) -> Sequence[Tensor] | None:
        """Return for each filled slot by what (K, 1) the penalties are multiplied (`Member.penalty_rows`); None: by 1 in all."""
        if self._penalty_rows is None or not (self.update.has_l1 or self.update.has_l2):
            return None
        if slots.weights is None and slots.short is None and slots.size == self.batch_size:
            return None
        rows = slots.weighed(len(slots.index))
        rows = rows.masked_fill(rows == 0, 1.0)
        return (self._penalty_rows / rows).unsqueeze(-1).unbind(0)

    def _replay(self, slots: Slots, penalties: Tensor | None) -> None:
        """Make all steps of a full chunk as one CUDA graph, captured the first time."""
        if self._graphs[slots.size] is None:
            graph, kept = torch.cuda.CUDAGraph(), None if penalties is None else torch.empty_like(penalties)
            with torch.cuda.graph(graph):
                for s in range(slots.count):
                    self.stacks.step(slots, s)
                    if kept is not None:
                        self.update.penalty(kept[s])
                    self.update.step(s)
            self._graphs[slots.size] = (graph, kept)
        graph, kept = self._graphs[slots.size]
        graph.replay()
        if penalties is not None:
            penalties.copy_(kept)

    # ---------------------------------------------------------------------------------------------------------- evaluation

    def evaluate(self) -> None:
        """Add an entry to each history, keep the best weights, and end the networks that are through."""
        log = (self.log[0] if len(self.log) == 1 else torch.cat(self.log)).double().cpu().numpy()
        self.log.clear()
        with np.errstate(invalid="ignore"):
            sums = log.sum(0)
        first_bad = np.full(len(sums), -1)
        if not np.isfinite(sums).all():
            sound = np.isfinite(log[..., 0]) & np.isfinite(log[..., 2])
            first_bad = np.where(sound.all(0), -1, sound.argmin(0))
        finite = (first_bad < 0) & _all_finite(self.population.flat) & _all_finite(self.population.statistics)
        tracks, metric = self.tracks, self.problem.task.metric
        loss, score = figures(sums[:, [0, 1, *range(3, sums.shape[1])]], self.objective, self.spread)
        columns = {"loss": loss, metric: score}
        if self.validation is not None:
            columns["val_loss"], columns["val_" + metric] = self.validation.judge(self.population.scores)
        if "penalty" in self.tracks.columns or self.update.has_l1 or self.update.has_l2:
            columns["penalty"] = sums[:, 2] / len(log) * self._penalty_share
        self.seconds, self.began = self.seconds_now, time.perf_counter()
        k = len(tracks)
        when = {"epoch": self.step / self.steps, "step": float(self.step), "seconds": self.seconds}
        columns = {name: np.full(k, value) for name, value in when.items()} | {"lr": self.rates(self.step - 1, 1)[0]} | columns
        tracks.record(columns)
        self._keep(finite, columns)
        ended = tracks.alive & (~finite | (self.step >= tracks.totals) | tracks.exhausted)
        seen = np.flatnonzero(tracks.alive)
        tracks.alive &= ~ended
        if self.observers:
            numbers = tuple(tracks.members[place].number for place in seen)
            shown = {name: values[seen] for name, values in columns.items()}
            self._tell(Evaluated(self.step, numbers, shown, int(tracks.alive.sum())))
        bad_steps = np.where(first_bad >= 0, first_bad - len(log) + self.step, self.step - 1)
        diverged = self._divergences({place: int(bad_steps[place]) for place in np.flatnonzero(ended & ~finite).tolist()})
        self._end(np.flatnonzero(ended).tolist(), diverged)
        if tracks.alive.sum() < CROWDED * k:
            self._free()

    @property
    def seconds_now(self) -> float:
        """The time that training took up to this moment."""
        return self.seconds + time.perf_counter() - self.began

    def _keep(self, finite: NDArray[np.bool_], columns: Mapping[str, Host]) -> None:
        """Judge the entry just recorded, and copy the weights of networks at their best so far (or last) to the best."""
        tracks = self.tracks
        prefix = "val_" if self.validation is not None else ""
        objective = columns["loss"] + columns.get("penalty", 0.0)
        figures = columns[prefix + "loss"], -columns[prefix + self.problem.task.metric], objective  # in the order of WATCHED
        better = tracks.judge(np.where(finite, np.choose(self._watched, figures), np.inf))
        chosen = (better | self._keeps_last) & finite & tracks.alive
        tracks.best = np.where(chosen, tracks.entries - 1, tracks.best)
        places = None if chosen.all() else torch.from_numpy(np.flatnonzero(chosen)).to(self.device)
        for best, now in ((self.best_flat, self.population.flat), (self.best_statistics, self.population.statistics)):
            if places is None:
                best.copy_(now)
            elif len(places):
                best.index_copy_(0, places, now.index_select(0, places))

    def _divergences(self, at: Mapping[int, int]) -> dict[int, Divergence]:
        """Return where and why networks diverged, by place, from the step (counted from 0) of each."""
        if at and self.search is not None:
            return self.search.find(self, at)
        return {k: Divergence(s // self.steps + 1, s + 1, float(self.rates(s, 1)[0, k])) for k, s in at.items()}

    def _end(self, places: list[int], diverged: Mapping[int, Divergence], *, interrupted: bool = False) -> None:
        """Write the outcomes of the networks at these places."""
        if not places:
            return
        tracks = self.tracks
        for place, parameters, history in zip(places, self._best(places), tracks.histories(places), strict=True):
            member, divergence = tracks.members[place], diverged.get(place)
            early = tracks.exhausted[place] and self.step < tracks.totals[place]
            stopped = "diverged" if divergence else "interrupted" if interrupted else "early" if early else "done"
            progress: Progress | None = None
            if member.resumable:
                state = {name: tensor[place].cpu().numpy().copy() for name, tensor in self.update.optimizer.state.items()}
                progress = tracks.progress(place, self.steps_before + self.step, state)
            best = int(tracks.best[place])
            self.outcomes[member.number] = Outcome(
                member.number, parameters, history, best, stopped, divergence, self.seconds, progress
            )

    def _best(self, places: list[int]) -> list[dict[str, NDArray[Any]]]:
        """Return the best weights of networks by name; a module gets them back in place."""
        if isinstance(self.population, Population):
            best = Population(self.population.shape, self.best_flat, self.best_statistics)
            return [best.network(place) for place in places]
        self.population.flat.copy_(self.best_flat)
        self.population.statistics.copy_(self.best_statistics)
        self.population.push()
        return [{name: value.detach().cpu().numpy().copy() for name, value in self.population.module.state_dict().items()}]

    def _free(self) -> None:
        """Free the places of networks that have ended."""
        self.take(np.flatnonzero(self.tracks.alive).tolist())

    def take(self, places: list[int]) -> None:
        """Keep the networks at these places only."""
        self.tracks.take(places)
        if places and isinstance(self.population, Population):
            index = torch.tensor(places, device=self.device)
            state = {name: tensor.index_select(0, index) for name, tensor in self.update.optimizer.state.items()}
            self.population = self.population.take(index)
            self.best_flat, self.best_statistics = self.best_flat[index], self.best_statistics[index]
            self._assemble(state)

    # ------------------------------------------------------------------------------------------------------------- settings

    @contextmanager
    def _settings(self) -> Iterator[None]:
        rows = self.batch_size * len(self.members)
        hidden = self.widest if self.module is None else 0
        with (
            torch_settings(
                3.0 * rows * self.population.weight_count,
                rows * hidden,
                networks=len(self.members),
                precision=self.recipe.precision,
            ),
            torch.no_grad(),
        ):
            yield

    def _tell(self, event: Event) -> None:
        if not self.observers:
            return
        with torch.inference_mode(False):  # an observer may train something of its own
            for observer in self.observers:
                observer(event)


def _all_finite(rows: Tensor) -> NDArray[np.bool_]:
    """Return of each row whether all its numbers are finite. Then its sum is, mostly: large ones are looked at one by one."""
    if rows.shape[1] == 0:
        return np.ones(len(rows), dtype=bool)
    finite = np.isfinite(rows.sum(1).cpu().numpy())
    return finite if finite.all() else torch.isfinite(rows).all(1).cpu().numpy()
