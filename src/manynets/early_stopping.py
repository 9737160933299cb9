"""Early stopping, and learning rates that fall on a plateau: what an evaluation means for K networks. Every engine asks here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from manynets.spec import LOWER_IS_BETTER, Recipe, ReduceOnPlateau

Host = NDArray[np.float64]
WATCHED = ("loss", "metric", "objective")


class Patience:
    """The patience of K networks, vectors over K. Every value that is judged is lower-is-better.

    best_figure: the best value so far; bad: evaluations since; factor: what the learning rate is multiplied by beside its schedule.
    plateau_best, plateau_bad: the same for the plateau.

    lower: whether a small value of a metric of the user's own is a good one.
    """

    def __init__(self, recipes: Sequence[Recipe], *, lower: bool | None = None) -> None:
        count = len(recipes)
        self.best_figure, self.bad, self.factor = np.full(count, math.inf), np.zeros(count, dtype=np.int64), np.ones(count)
        self.plateau_best, self.plateau_bad = np.full(count, math.inf), np.zeros(count, dtype=np.int64)
        first = recipes[0].watch
        self.metric = "" if first in WATCHED else first.removesuffix("()")  # by its name, which networks in one run have in common
        self.lower = self.metric in LOWER_IS_BETTER if lower is None else lower
        self.watched = np.array([0 if self.metric else WATCHED.index(recipe.watch) for recipe in recipes])
        self.lr = np.array([recipe.lr for recipe in recipes])
        stops = [recipe.stopping for recipe in recipes]
        self.patience = np.array([math.inf if s is None else s.patience for s in stops])
        self.gain = np.array([0.0 if s is None else s.min_delta for s in stops])
        self.inclusive = np.array([s is not None and s.inclusive for s in stops])
        self.stop_factor = np.array([1.0 if s is None or s.factor is None else s.factor for s in stops])
        self.stop_lr = np.array([0.0 if s is None else s.min_lr for s in stops])
        plateaus = [r.schedule if isinstance(r.schedule, ReduceOnPlateau) else None for r in recipes]
        self.plateau_patience = np.array([math.inf if p is None else p.patience for p in plateaus])
        self.plateau_factor = np.array([1.0 if p is None else p.factor for p in plateaus])
        self.plateau_gain = np.array([0.0 if p is None else p.min_delta for p in plateaus])
        lowest = [0.0 if p is None or not r.lr else p.min_lr / r.lr for p, r in zip(plateaus, recipes, strict=True)]
        self.plateau_least = np.array(lowest)
        self.slows, self.has_plateau = bool((self.stop_factor < 1).any()), any(p is not None for p in plateaus)

    def values(self, columns: Mapping[str, Host], metric: str) -> Host:
        """Return the value that each recipe watches (..., K), from history columns (..., K): on the validation rows if there are any."""
        prefix = "val_" if "val_loss" in columns else ""
        if self.metric and prefix + self.metric in columns:
            named = columns[prefix + self.metric]
            return np.where(np.isnan(named), np.inf, named if self.lower else -named)
        objective = columns["loss"] + columns.get("penalty", 0.0)
        choices = columns[prefix + "loss"], -columns[prefix + metric], objective  # in the order of WATCHED
        return np.asarray(np.choose(self.watched, choices))

    def judge(self, values: Host) -> NDArray[np.bool_]:
        """Take the watched values of one evaluation (K,) or of several (E, K), of which only the last may exhaust a patience.

        Return for which networks the last value is a new best, (K,).
        """
        values = np.atleast_2d(values)
        lowest = np.fmin.accumulate([self.best_figure, *values])
        best, self.best_figure = lowest[:-1], lowest[-1]
        bound = best - self.gain
        enough = np.where(self.inclusive, values <= bound, values < bound)
        self.bad = np.where(enough.any(0), enough[::-1].argmax(0), self.bad + len(values))
        if self.slows:
            slower = self.exhausted & (self.stop_factor < 1) & (self.lr * self.factor > self.stop_lr)
            self.factor = np.where(slower, self.factor * self.stop_factor, self.factor)
            self.bad = np.where(slower, 0, self.bad)
        if self.has_plateau:
            for value in values:
                self._judge_plateau(value)
        return np.asarray(values[-1] < best[-1])

    def _judge_plateau(self, value: Host) -> None:
        lower = value < self.plateau_best - self.plateau_gain
        self.plateau_best = np.where(lower, value, self.plateau_best)
        self.plateau_bad = np.where(lower, 0, self.plateau_bad + 1)
        flat = self.plateau_bad > self.plateau_patience
        lowered = np.maximum(self.factor * self.plateau_factor, self.plateau_least)
        self.factor = np.where(flat, np.minimum(lowered, self.factor), self.factor)
        self.plateau_bad = np.where(flat, 0, self.plateau_bad)

    @property
    def exhausted(self) -> NDArray[np.bool_]:
        """A mask (K,) of the networks whose patience has run out."""
        return self.bad >= self.patience

    def evaluations_left(self, alive: NDArray[np.bool_]) -> float:
        """Return the smallest number of evaluations after which one of these networks may stop or change its learning rate; inf for never."""
        left = np.minimum(self.patience - self.bad, self.plateau_patience - self.plateau_bad + 1)
        return float(left[alive].min())

    def take(self, index: NDArray[np.int64]) -> None:
        """Keep only these networks."""
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(self, name, value[index])
