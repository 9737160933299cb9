"""What the host knows of K networks in training: histories, the best so far, patience. Vectors over K throughout."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from manynets.schedules import schedule_factors
from manynets.spec import Constant, ReduceOnPlateau
from manynets.training.members import Member, Progress, total_steps

__all__ = ["Sums", "Tracks"]

Host = NDArray[np.float64]


class Tracks:
    """Histories and patience of the networks that have a place in a run; `alive` says whose training goes on.

    Every figure that is judged is lower-is-better. best: for each network the place in its history of its best entry, -1 for
    none. factor: what its learning rate is multiplied by beside its schedule.
    """

    def __init__(self, members: Sequence[Member], steps: int) -> None:
        self.members = list(members)
        recipes = [member.recipe for member in members]
        self.alive = np.ones(len(members), dtype=bool)
        self.totals = np.array([total_steps(recipe, steps) for recipe in recipes])
        self.best = np.full(len(members), -1)
        self.best_figure = np.array([member.progress.best for member in members])
        self.bad = np.array([member.progress.bad for member in members])
        self.factor = np.array([member.progress.factor for member in members])
        self.lr = np.array([recipe.lr for recipe in recipes])
        stops = [recipe.stopping for recipe in recipes]
        self.patience = np.array([math.inf if s is None else s.patience for s in stops])
        self.gain = np.array([0.0 if s is None else s.min_delta for s in stops])
        self.inclusive = np.array([s is not None and s.inclusive for s in stops])
        self.stop_factor = np.array([1.0 if s is None or s.factor is None else s.factor for s in stops])
        self.slows = bool((self.stop_factor < 1).any())
        self.stop_lr = np.array([0.0 if s is None else s.min_lr for s in stops])
        plateaus = [r.schedule if isinstance(r.schedule, ReduceOnPlateau) else None for r in recipes]
        self.has_plateau = any(p is not None for p in plateaus)
        self.plateau_patience = np.array([math.inf if p is None else p.patience for p in plateaus])
        self.plateau_factor = np.array([1.0 if p is None else p.factor for p in plateaus])
        self.plateau_gain = np.array([0.0 if p is None else p.min_delta for p in plateaus])
        self.plateau_least = np.array(
            [0.0 if p is None else p.min_lr / r.lr if r.lr else 0.0 for p, r in zip(plateaus, recipes, strict=True)]
        )
        self.plateau_best = np.full(len(members), math.inf)
        self.plateau_bad = np.zeros(len(members), dtype=np.int64)
        self.columns: dict[str, list[Host]] = {}
        self.steers = self.has_plateau or bool(np.isfinite(self.patience).any())  # whether an entry can change what follows

        self.constant = all(isinstance(recipe.schedule, Constant | ReduceOnPlateau) for recipe in recipes)
        courses = [(recipe.schedule, int(total)) for recipe, total in zip(recipes, self.totals, strict=True)]
        self.courses = list(dict.fromkeys(courses))
        self.course = np.array([self.courses.index(course) for course in courses], dtype=np.int64)

    def rates(self, steps: NDArray[np.int64], *, per_epoch: int) -> Host:
        """Return the learning rates (n, K) of steps (n,), counted from 0."""
        now = self.lr * self.factor
        if self.constant:
            return np.repeat(now[None], len(steps), axis=0)
        factors = [schedule_factors(schedule, steps, total=total, per_epoch=per_epoch) for schedule, total in self.courses]
        return np.asarray(np.stack(factors, axis=1)[:, self.course] * now)

    def __len__(self) -> int:
        return len(self.members)

    def record(self, columns: Mapping[str, Host]) -> None:
        """Add entries to every history: values (E, K) for each column."""
        for name, values in columns.items():
            self.columns.setdefault(name, []).extend(values)

    @property
    def entries(self) -> int:
        """Entries of the histories so far."""
        return len(next(iter(self.columns.values()), []))

    def judge(self, figure: Host) -> NDArray[np.bool_]:
        """Take the watched figures (K,), count patience, and return whose figure is a new best."""
        better = figure < self.best_figure
        bound = self.best_figure - self.gain
        enough = np.where(self.inclusive, figure <= bound, figure < bound)
        self.bad = np.where(enough, 0, self.bad + 1)
        if self.slows:
            slower = self.exhausted & (self.stop_factor < 1) & (self.lr * self.factor > self.stop_lr)
            self.factor = np.where(slower, self.factor * self.stop_factor, self.factor)
            self.bad = np.where(slower, 0, self.bad)
        self.best_figure = np.where(better, figure, self.best_figure)
        if self.has_plateau:
            lower = figure < self.plateau_best - self.plateau_gain
            self.plateau_best = np.where(lower, figure, self.plateau_best)
            self.plateau_bad = np.where(lower, 0, self.plateau_bad + 1)
            flat = self.plateau_bad > self.plateau_patience
            lowered = np.maximum(self.factor * self.plateau_factor, self.plateau_least)
            self.factor = np.where(flat, np.minimum(lowered, self.factor), self.factor)
            self.plateau_bad = np.where(flat, 0, self.plateau_bad)
        return better

    @property
    def exhausted(self) -> NDArray[np.bool_]:
        """Whose patience is at its end."""
        return self.bad >= self.patience

    def histories(self, places: Sequence[int]) -> list[dict[str, list[float]]]:
        """Return the histories of networks as columns; one without penalties has no column of them."""
        columns = {name: np.stack([of_all[places] for of_all in values], axis=1).tolist() for name, values in self.columns.items()}
        recipes = [self.members[k].recipe for k in places]
        return [
            {name: column[i] for name, column in columns.items() if name != "penalty" or recipe.l1 or recipe.l2}
            for i, recipe in enumerate(recipes)
        ]

    def progress(self, k: int, steps: int, optimizer: Mapping[str, NDArray[np.float64]]) -> Progress:
        """Return what network k hands to its next training."""
        return Progress(steps, optimizer, float(self.best_figure[k]), int(self.bad[k]), float(self.factor[k]))

    def take(self, places: Sequence[int]) -> None:
        """Keep the networks at these places only."""
        chosen = np.asarray(places, dtype=np.int64)
        self.members = [self.members[k] for k in places]
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(self, name, value[chosen])
        self.columns = {name: [values[chosen] for values in column] for name, column in self.columns.items()}


class Sums:
    """The log since the last evaluation, summed in the order of the steps: the same bits however the steps were cut into calls.

    totals (E, K, 3 + M): of each of the E entries that the histories are to get, one if not several were due in one call.
    """

    def __init__(self, networks: int) -> None:
        self.steps = 0
        self.totals: Host = np.zeros((1, networks, 0))
        self.first_bad = np.full(networks, -1)  # the first step whose loss or penalty was not finite, counted from 0

    def add(self, log: Host, finite: NDArray[np.bool_], step: int, *, entries: int = 1) -> None:
        """Add the log of steps of which the first was step `step` of the run. finite (n, K, 2): whether loss and penalty were.

        entries: to which the steps belong in equal parts; only the first call may have several.
        """
        sound = finite[..., 0] & finite[..., 1]
        if not sound.all():
            found = np.where(sound.all(0), -1, step + sound.argmin(0))
            self.first_bad = np.where(self.first_bad < 0, found, self.first_bad)
        whole = log if self.steps == 0 else np.concatenate([self.totals, log])
        with np.errstate(invalid="ignore", over="ignore"):
            self.totals = np.add.reduce(whole.reshape(entries, -1, *log.shape[1:]), axis=1)
        self.steps += len(log)
