"""The one training loop: K networks of one group, from their initial weights to their best.

A run asks for a gradient and an update without knowing which ones it has, and advances from one boundary that somebody watches
(the end of an epoch, an evaluation, a chunk) to the next. Numbers reach the host at evaluations only.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Iterator, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from manynets.data.batches import Batches, Chunk, Rows, Slots, steps_per_epoch
from manynets.errors import OptionError
from manynets.nn.dropout import Masks
from manynets.nn.population import Population, Shape
from manynets.optim import coefficient, schedule_factors
from manynets.spec import MLP, Recipe, ReduceOnPlateau
from manynets.tasks.base import Task
from manynets.tasks.objectives import Objective, objective_for
from manynets.training.autograd import Autograd, ModuleGradient, ModulePopulation
from manynets.training.closed_form import ClosedForm
from manynets.training.events import Advanced, Evaluated, Finished, Observer, Started
from manynets.training.settings import torch_settings
from manynets.training.update import Update

__all__ = ["Divergence", "Member", "Outcome", "Problem", "Run", "group_key"]

SCORES_AT_ONCE = 1 << 22  # numbers in the widest layer of an evaluation chunk


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """Data on the device and what it means. `validation` is a set apart; members may have validation rows of their own."""

    task: Task
    rows: Rows
    validation: Rows | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Member:
    """One network to train: its specification (or a user's module), recipe, rows (None: all) and start.

    number: by which events name it. initial: parameters by name (of a module: its own, as they are).
    """

    number: int
    spec: MLP | nn.Module
    recipe: Recipe
    initial: Mapping[str, NDArray[Any]]
    rows: NDArray[np.int64] | None = None
    validation_rows: NDArray[np.int64] | None = None


@dataclasses.dataclass(frozen=True)
class Divergence:
    """Where a loss stopped being finite: epoch and step count from 1."""

    epoch: int
    step: int
    lr: float


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """A trained network: parameters and running statistics by name, its history as columns, and how it ended.

    best: place in the history of the entry whose weights these are (-1: the initial weights).
    """

    number: int
    parameters: dict[str, NDArray[Any]]
    history: dict[str, list[float]]
    best: int
    stopped: str
    divergence: Divergence | None
    seconds: float


class Gradient(Protocol):
    """What the loop asks of a way to a gradient."""

    def prepare(self, slots: Slots, step: int, count: int) -> None: ...

    def step(self, slots: Slots, s: int, descend: float | None = None) -> None: ...


def group_key(member: Member, problem: Problem, validated: bool) -> tuple[Any, ...]:
    """Return what members must have in common to be trained in one Run; a module is always alone."""
    recipe, total = member.recipe, len(problem.rows) if member.rows is None else len(member.rows)
    if isinstance(member.spec, nn.Module):
        return (member.number,)
    shape = Shape.of(member.spec, problem.rows.x.shape[1], problem.task.outputs)
    steps = steps_per_epoch(total, batch_rows(recipe, total), merge_single=member.spec.batch_norm)
    optimizer = (type(recipe.optimizer), getattr(recipe.optimizer, "nesterov", None))
    loss = (recipe.loss, recipe.quantile, recipe.delta)
    way = (recipe.gradient, recipe.precision, recipe.dtype, recipe.device, recipe.shuffle)
    return (
        shape,
        optimizer,
        batch_rows(recipe, total),
        steps,
        recipe.iterations,
        recipe.evaluate_every,
        loss,
        way,
        validated,
    )


def batch_rows(recipe: Recipe, rows: int) -> int:
    """Return the rows of a batch for this many training rows: at most all of them; an explicit larger size is an error."""
    if recipe.batch_size is not None and recipe.batch_size > rows:
        raise OptionError(f"batch_size is {recipe.batch_size}, but there are {rows} training rows; use at most {rows}, or None")
    return min(128, rows) if recipe.batch_size is None else recipe.batch_size


DEFAULT_EPOCHS = 20


class _Track:
    """What the host knows of one network: its history, its best, its patience."""

    def __init__(self, member: Member, steps: int) -> None:
        recipe = member.recipe
        self.member = member
        self.total = recipe.iterations if recipe.iterations is not None else (recipe.epochs or DEFAULT_EPOCHS) * steps
        self.history: dict[str, list[float]] = {}
        self.best_figure = math.inf  # lower is better
        self.best = -1
        self.bad = 0
        self.plateau_best = math.inf
        self.plateau_bad = 0
        self.factor = 1.0

    def improved(self, figure: float) -> bool:
        """Take the watched figure (lower is better), count patience, and say whether it is a new best."""
        stopping = self.member.recipe.stopping
        gain = stopping.min_gain if stopping else 0.0
        better = figure < self.best_figure
        self.bad = 0 if figure < self.best_figure - gain else self.bad + 1
        if better:
            self.best_figure = figure
        schedule = self.member.recipe.schedule
        if isinstance(schedule, ReduceOnPlateau):
            if figure < self.plateau_best - schedule.min_gain:
                self.plateau_best, self.plateau_bad = figure, 0
            else:
                self.plateau_bad += 1
            if self.plateau_bad > schedule.patience:
                lowest = schedule.min_lr / self.member.recipe.lr if self.member.recipe.lr else 0.0
                self.factor, self.plateau_bad = min(self.factor, max(self.factor * schedule.factor, lowest)), 0
        return better

    @property
    def exhausted(self) -> bool:
        """Whether patience is at its end."""
        stopping = self.member.recipe.stopping
        return stopping is not None and self.bad >= stopping.patience


class Run:
    """K networks of one group on one problem."""

    def __init__(self, problem: Problem, members: Sequence[Member], *, observers: Sequence[Observer] = ()) -> None:
        self.problem, self.observers = problem, list(observers)
        first = members[0].recipe
        self.recipe = first
        self.module = members[0].spec if isinstance(members[0].spec, nn.Module) else None
        self.objective: Objective = objective_for(problem.task, first)
        self.device, self.dtype = problem.rows.x.device, problem.rows.x.dtype
        norm = isinstance(members[0].spec, MLP) and members[0].spec.batch_norm
        counts = [len(problem.rows) if m.rows is None else len(m.rows) for m in members]
        self.batch_size = batch_rows(first, counts[0])
        self.steps = steps_per_epoch(counts[0], self.batch_size, merge_single=norm or self.module is not None)
        if norm and counts[0] == 1 or (norm and self.batch_size == 1):
            raise OptionError("batch_norm needs at least 2 rows in a batch; use a larger batch_size, or batch_norm=False")
        self.tracks = [_Track(member, self.steps) for member in members]
        self.step = 0
        self.seconds = 0.0
        self.outcomes: dict[int, Outcome] = {}
        self._log: list[Tensor] = []
        if self.module is not None:
            self.population: Population | ModulePopulation = ModulePopulation(self.module, device=self.device, dtype=self.dtype)
            self._rng = _seeded_states(first.seed, self.device)
        else:
            spec = members[0].spec
            assert isinstance(spec, MLP)
            shape = Shape.of(spec, problem.rows.x.shape[1], problem.task.outputs)
            self.population = Population.start(shape, [m.initial for m in members], device=self.device, dtype=self.dtype)
        self.best_flat, self.best_statistics = self.population.flat.clone(), self.population.statistics.clone()
        self._spread = self._spreads()
        self._assemble({})

    # ---------------------------------------------------------------------------------------------------------- assembling

    def _assemble(self, optimizer_state: Mapping[str, Tensor]) -> None:
        """Make batches, gradient and update for the networks in `tracks`; at the start, and after places were freed."""
        members = [track.member for track in self.tracks]
        recipes = [member.recipe for member in members]
        smoothing = coefficient([recipe.label_smoothing for recipe in recipes], self.population.flat, ndim=3)
        self.batches = Batches(
            self.problem.rows,
            self.objective,
            self.problem.task.outputs,
            own=[member.rows for member in members],
            seeds=[recipe.seed for recipe in recipes],
            batch_size=self.batch_size,
            shuffle=self.recipe.shuffle,
            merge_single=self.batches_merge,
            smoothing=smoothing,
        )
        population = self.population
        self._closed = False
        if isinstance(population, ModulePopulation):
            grad = population.grad
            self.gradient: Gradient = ModuleGradient(population, self.objective, self.recipe.precision)
        else:
            grad = torch.zeros_like(population.flat)
            grads = Population(population.shape, grad, population.statistics)
            rates = np.array(
                [(m.spec.input_dropout, *m.spec.dropouts) for m in members if isinstance(m.spec, MLP)], dtype=np.float64
            )
            widths = (population.shape.in_features, *population.shape.hidden)
            masks = Masks([recipe.seed for recipe in recipes], widths, rates, population.flat)
            self._closed = self.recipe.gradient != "autograd" and self.recipe.precision != "bf16"
            if self._closed:
                self.gradient = ClosedForm(population, grads, self.objective, masks)
            else:
                self.gradient = Autograd(population, grads, self.objective, masks, self.recipe.precision)
        self.update = Update(population.flat, grad, population.weight_count, recipes)
        for name, fresh in self.update.optimizer.state.items():  # a state that no network left here needs is dropped
            if name in optimizer_state:
                fresh.copy_(optimizer_state[name])
        norm = isinstance(population, Population) and population.shape.batch_norm
        self._descends = self._closed and self.update.descends and not norm
        self._lrs = np.array([recipe.lr for recipe in recipes])
        self._schedules = sorted({(recipe.schedule, t.total) for recipe, t in zip(recipes, self.tracks, strict=True)}, key=repr)
        self._schedule_of = np.array(
            [self._schedules.index((r.schedule, t.total)) for r, t in zip(recipes, self.tracks, strict=True)]
        )
        self._graphs: dict[int, Any] = {}

    @property
    def batches_merge(self) -> bool:
        """Whether a last batch of one row joins the one before: batch norm cannot normalise one row."""
        return self.module is not None or (isinstance(self.population, Population) and self.population.shape.batch_norm)

    def _spreads(self) -> dict[str, NDArray[np.float64]]:
        """Return the variances of the target (K, O) over each network's training and validation rows, for R2."""
        if self.problem.rows.target.dtype == torch.long:
            return {name: np.ones((len(self.tracks), 1)) for name in ("", "val_")}

        def variances(rows: Rows, own: list[NDArray[np.int64] | None]) -> NDArray[np.float64]:
            target = rows.target.double().cpu().numpy()
            weight = None if rows.weight is None else rows.weight.double().cpu().numpy()
            seen: dict[int, NDArray[np.float64]] = {}
            for mine in own:
                if id(mine) not in seen:
                    part = target if mine is None else target[mine]
                    w = weight if mine is None or weight is None else weight[mine]
                    seen[id(mine)] = np.average((part - np.average(part, axis=0, weights=w)) ** 2, axis=0, weights=w)
            return np.stack([seen[id(mine)] for mine in own])

        members = [track.member for track in self.tracks]
        out = {"": variances(self.problem.rows, [m.rows for m in members])}
        if self.validated:
            rows = self.problem.validation or self.problem.rows
            out["val_"] = variances(rows, [m.validation_rows for m in members])
        return out

    @property
    def validated(self) -> bool:
        """Whether there is anything to validate on."""
        return self.problem.validation is not None or self.tracks[0].member.validation_rows is not None

    # ------------------------------------------------------------------------------------------------------------ the loop

    def run(self) -> list[Outcome]:
        """Train all networks to their end; return their outcomes in the order of the members."""
        numbers = [track.member.number for track in self.tracks]
        total = max(track.total for track in self.tracks)
        self._tell(Started(len(numbers), total, self.steps, self.problem.task.metric))
        with self._settings():
            while self.tracks:
                began = time.perf_counter()
                self.advance(self._next_boundary())
                self.evaluate(began)
        diverged = tuple(n for n in numbers if self.outcomes[n].divergence is not None)
        self._tell(Finished(self.seconds, diverged))
        return [self.outcomes[number] for number in numbers]

    def _next_boundary(self) -> int:
        """Return the next step after which the networks are evaluated: an epoch's end or every N steps, or a network's end."""
        every = self.recipe.evaluate_every or self.steps
        return min((self.step // every + 1) * every, *(t.total for t in self.tracks if t.total > self.step), 1 << 62)

    def advance(self, stop: int) -> None:
        """Make steps until `stop` steps were made."""
        while self.step < stop:
            epoch, start = divmod(self.step, self.steps)
            for chunk in self.batches.chunks(epoch, start, min(self.steps, start + stop - self.step)):
                self.gradient.prepare(chunk.slots, self.step, chunk.steps)
                self.update.optimizer.plan(self.rates(self.step, chunk.steps), self.step)
                with self._private_rng():
                    self._log.append(self._steps(chunk))
                self.step += chunk.steps
                self._tell(Advanced(self.step))

    def rates(self, step: int, count: int) -> NDArray[np.float64]:
        """Return the learning rates (count, K) of the next steps."""
        steps = np.arange(step, step + count)
        factors = [schedule_factors(s, steps, total=total, per_epoch=self.steps) for s, total in self._schedules]
        return np.stack(factors, axis=1)[:, self._schedule_of] * (self._lrs * [track.factor for track in self.tracks])

    def _steps(self, chunk: Chunk) -> Tensor:
        """Make the steps of a filled chunk; return its log (steps, K, 3 + M): loss, weight, penalty and hits of each step."""
        slots, penalties = chunk.slots, None
        if self.update.has_l1 or self.update.has_l2:
            penalties = slots.scores.new_empty(chunk.steps, self.population.size)
        self._make_steps(slots, chunk.steps, penalties)
        scores, target = slots.scores[: chunk.steps], slots.target[: chunk.steps]
        loss, hits = self.objective.report(scores, target), self.objective.hits(scores, target)
        if slots.raw is None:
            loss_sum, hits_sum = loss.sum(-1), hits.sum(-2)
            weight = torch.full_like(loss_sum, slots.size)
        else:
            raw = slots.raw[: chunk.steps]
            loss_sum, hits_sum = (loss * raw).sum(-1), (hits * raw.unsqueeze(-1)).sum(-2)
            weight = raw.sum(-1).expand_as(loss_sum)
        penalty = torch.zeros_like(loss_sum) if penalties is None else penalties
        return torch.cat([torch.stack([loss_sum, weight, penalty], -1), hits_sum], -1)

    def _make_steps(self, slots: Slots, count: int, penalties: Tensor | None) -> None:
        gradient, update = self.gradient, self.update
        if self._descends and all(isinstance(update.optimizer.rate[s], float) for s in range(count)):
            for s in range(count):
                rate = update.optimizer.rate[s]
                assert isinstance(rate, float)
                gradient.step(slots, s, rate)
            return
        if self.device.type == "cuda" and self._closed and count == slots.count and count > 1:
            if slots.size in self._graphs:
                self._replay(slots, penalties)
                return
            self._graphs[slots.size] = None  # this time in the open, which warms the kernels up; captured the next time
        for s in range(count):
            gradient.step(slots, s)
            if penalties is not None:
                penalties[s] = update.penalty()
            update.step(s)

    def _replay(self, slots: Slots, penalties: Tensor | None) -> None:
        """Make all steps of a full chunk as one CUDA graph, captured the first time."""
        if self._graphs[slots.size] is None:
            graph, kept = torch.cuda.CUDAGraph(), None if penalties is None else torch.empty_like(penalties)
            with torch.cuda.graph(graph):
                for s in range(slots.count):
                    self.gradient.step(slots, s)
                    if kept is not None:
                        kept[s] = self.update.penalty()
                    self.update.step(s)
            self._graphs[slots.size] = (graph, kept)
        graph, kept = self._graphs[slots.size]
        graph.replay()
        if penalties is not None:
            penalties.copy_(kept)

    # ---------------------------------------------------------------------------------------------------------- evaluation

    def evaluate(self, began: float) -> None:
        """Add an entry to each history, keep the best weights, and end the networks that are through."""
        log = torch.cat(self._log)
        self._log.clear()
        finite = torch.isfinite(log[..., 0]) & torch.isfinite(log[..., 2])
        first_bad = torch.where(finite.all(0), -1, (~finite).to(torch.uint8).argmax(0))
        sound = torch.isfinite(self.population.flat).all(1) & torch.isfinite(self.population.statistics).all(1)
        sums = log.double().sum(0).cpu().numpy()
        bad, sound_host = first_bad.cpu().numpy(), sound.cpu().numpy()
        figures = {"": _figures(sums[:, 0], sums[:, 1], sums[:, 3:], self.objective, self._spread[""])}
        if self.validated:
            figures["val_"] = self._validate()
        penalty = sums[:, 2] / len(log) if self.update.has_l1 or self.update.has_l2 else None
        lrs = self.rates(self.step - 1, 1)[0]
        self.seconds += time.perf_counter() - began
        metric, entries, improved, ended = self.problem.task.metric, {}, [], {}
        for k, track in enumerate(self.tracks):
            entry = {
                "epoch": self.step / self.steps,
                "step": float(self.step),
                "lr": float(lrs[k]),
                "seconds": self.seconds,
            }
            for prefix, (losses, metrics) in figures.items():
                entry |= {f"{prefix}loss": float(losses[k]), f"{prefix}{metric}": float(metrics[k])}
            if penalty is not None and (track.member.recipe.l1 or track.member.recipe.l2):
                entry["penalty"] = float(penalty[k])
            for name, value in entry.items():
                track.history.setdefault(name, []).append(value)
            entries[track.member.number] = entry
            if bad[k] >= 0 or not sound_host[k]:
                at = self.step - len(log) + int(bad[k]) if bad[k] >= 0 else self.step - 1
                ended[k] = Divergence(at // self.steps + 1, at + 1, float(self.rates(at, 1)[0, k]))
                continue
            prefix = "val_" if self.validated else ""
            recipe = track.member.recipe
            figure = entry[f"{prefix}loss"] if recipe.watch == "loss" else -entry[f"{prefix}{metric}"]
            if track.improved(figure) or not self.validated or recipe.keep == "last":
                track.best = len(track.history["step"]) - 1
                improved.append(k)
            if self.step >= track.total or track.exhausted:
                ended[k] = None
        self._keep(improved)
        self._tell(Evaluated(self.step, entries, len(self.tracks) - len(ended)))
        self._end(ended)

    def _validate(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return loss and metric (K,) on the validation rows."""
        rows = self.problem.validation or self.problem.rows
        own = [track.member.validation_rows for track in self.tracks]
        k, widest = self.population.size, max([rows.x.shape[1], self.problem.task.outputs, *self._hidden()])
        counts = [len(rows) if mine is None else len(mine) for mine in own]
        shared = all(mine is own[0] for mine in own)
        most = max(counts)
        total = torch.zeros(k, 2 + self._spread["val_"].shape[1], dtype=torch.float64, device=self.device)
        index = None
        if own[0] is not None:
            lines = [np.pad(mine, (0, most - len(mine))) for mine in (own[:1] if shared else own) if mine is not None]
            index = torch.from_numpy(np.stack(lines)).to(self.device)
        size = max(1, SCORES_AT_ONCE // (widest * k))
        for start in range(0, most, size):
            cut = slice(start, min(start + size, most))
            if index is None:
                x, target, weight = (
                    rows.x[cut],
                    rows.target[cut].unsqueeze(0),
                    None if rows.weight is None else rows.weight[cut],
                )
            else:
                part = index[:, cut]
                x, target = rows.x[part[0] if shared else part], rows.target[part]
                weight = None if rows.weight is None else rows.weight[part]
            scores = self.population.scores(x)
            expanded = self.objective.expand(target, 0.0, self.dtype)
            raw = (
                torch.ones(1, x.shape[-2], dtype=self.dtype, device=self.device) if weight is None else weight.view(-1, x.shape[-2])
            )
            if not shared and min(counts) < most:
                places = torch.arange(cut.start, cut.stop, device=self.device)
                raw = raw * (places < torch.tensor(counts, device=self.device).unsqueeze(1))
            loss, hits = (
                self.objective.report(scores, expanded) * raw,
                self.objective.hits(scores, expanded) * raw.unsqueeze(-1),
            )
            total[:, 0] += loss.double().sum(-1)
            total[:, 1] += raw.double().sum(-1)
            total[:, 2:] += hits.double().sum(-2)
        sums = total.cpu().numpy()
        return _figures(sums[:, 0], sums[:, 1], sums[:, 2:], self.objective, self._spread["val_"])

    def _hidden(self) -> tuple[int, ...]:
        return self.population.shape.hidden if isinstance(self.population, Population) else (1024,)

    def _keep(self, places: list[int]) -> None:
        """Copy the weights at these places into the best."""
        pairs = ((self.best_flat, self.population.flat), (self.best_statistics, self.population.statistics))
        for best, now in pairs:
            if len(places) == self.population.size:
                best.copy_(now)
            elif places:
                index = torch.tensor(places, device=self.device)
                best.index_copy_(0, index, now.index_select(0, index))

    def _end(self, ended: Mapping[int, Divergence | None]) -> None:
        """Write the outcomes of networks that are through, and free their places."""
        if not ended:
            return
        for k, divergence in ended.items():
            track = self.tracks[k]
            stopped = "diverged" if divergence else ("early" if track.exhausted and self.step < track.total else "done")
            self.outcomes[track.member.number] = Outcome(
                track.member.number, self._best(k), track.history, track.best, stopped, divergence, self.seconds
            )
        left = [k for k in range(len(self.tracks)) if k not in ended]
        self.tracks = [self.tracks[k] for k in left]
        if left and isinstance(self.population, Population):
            index = torch.tensor(left, device=self.device)
            state = {name: tensor.index_select(0, index) for name, tensor in self.update.optimizer.state.items()}
            self.population = self.population.take(index)
            self.best_flat, self.best_statistics = self.best_flat[index], self.best_statistics[index]
            self._spread = {name: value[left] for name, value in self._spread.items()}
            self._assemble(state)

    def _best(self, k: int) -> dict[str, NDArray[Any]]:
        """Return the best weights of network k by name; a module gets them back in place."""
        if isinstance(self.population, Population):
            return Population(self.population.shape, self.best_flat, self.best_statistics).network(k)
        self.population.flat.copy_(self.best_flat)
        self.population.statistics.copy_(self.best_statistics)
        self.population.push()
        return {name: value.detach().cpu().numpy().copy() for name, value in self.population.module.state_dict().items()}

    # ------------------------------------------------------------------------------------------------------------- settings

    @contextmanager
    def _settings(self) -> Iterator[None]:
        rows = self.batch_size * self.population.size
        with ExitStack() as stack:
            stack.enter_context(
                torch_settings(3.0 * rows * self.population.weight_count, precision=self.recipe.precision)
            )
            stack.enter_context(torch.no_grad())
            yield

    @contextmanager
    def _private_rng(self) -> Iterator[None]:
        """Within: torch's global generators are in this run's state (a user's module may draw from them)."""
        if self.module is None:
            yield
            return
        devices = [self.device.index or 0] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.set_rng_state(self._rng["cpu"])
            if devices:
                torch.cuda.set_rng_state(self._rng["cuda"], self.device)
            yield
            self._rng["cpu"] = torch.get_rng_state()
            if devices:
                self._rng["cuda"] = torch.cuda.get_rng_state(self.device)

    def _tell(self, event: Any) -> None:
        for observer in self.observers:
            observer(event)


def _figures(
    loss: NDArray[np.float64],
    weight: NDArray[np.float64],
    hits: NDArray[np.float64],
    objective: Objective,
    spread: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean loss and metric (K,) from sums over rows."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return loss / weight, objective.metric(hits / weight[:, None], spread)


def _seeded_states(seed: int, device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.Generator().manual_seed(seed).get_state()}
    if device.type == "cuda":
        states["cuda"] = torch.Generator(device).manual_seed(seed).get_state()
    return states
