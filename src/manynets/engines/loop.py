"""The loop that the engines share: epochs, batches, history, validation, best weights, stopping. NumPy only.

An engine only makes steps, gives scores and gives its weights; the loop never knows which library does so.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets import rng
from manynets.early_stopping import Patience
from manynets.engines.optimizers import Numbers
from manynets.errors import OptionError
from manynets.schedules import schedule_factors
from manynets.spec import MLP, Periodic, Recipe
from manynets.spec.recipe import goes_by_name
from manynets.steps import batch_rows, evaluation_steps, steps_per_epoch, total_steps
from manynets.tasks import Task
from manynets.tasks.losses import Loss, loss_for

Array: TypeAlias = NDArray[Any]

ROWS_AT_ONCE = 8192  # of a validation set


@dataclasses.dataclass(frozen=True, eq=False)
class ArrayRows:
    """x (N, D), encoded target (N,) class codes or (N, O) floats, weight (N,) or None where all rows count alike."""

    x: Array
    target: Array
    weight: Array | None = None

    def __len__(self) -> int:
        return len(self.x)

    def weights(self) -> NDArray[np.float64]:
        """Return how much each row counts (N,)."""
        return np.ones(len(self)) if self.weight is None else self.weight.astype(np.float64)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class EngineProblem:
    """One network to train, and on what. initial: its parameters by name, where it starts (`manynets.nn.initial`).

    batch_size: rows of a step. steps: of an epoch; total: of the training.
    """

    spec: MLP
    recipe: Recipe
    task: Task
    data: ArrayRows
    initial: Mapping[str, Array]
    validation: ArrayRows | None = None

    @functools.cached_property
    def loss(self) -> Loss:
        """What the recipe asks of the task."""
        return loss_for(self.task, self.recipe)

    @property
    def batch_size(self) -> int:
        return batch_rows(self.recipe, len(self.data), batch_norm=self.spec.batch_norm)

    @property
    def steps(self) -> int:
        return steps_per_epoch(len(self.data), self.batch_size, merge_single=self.spec.batch_norm)

    @property
    def total(self) -> int:
        return total_steps(self.recipe, self.steps)


@dataclasses.dataclass(frozen=True, eq=False)
class EngineOutcome:
    """A trained network: parameters (and running statistics) by name, history as columns, and how it ended.

    best: index in the history of the entry whose weights these are (-1: the initial weights). stopped: "done", "early", "callback" (by
    the watcher) or "diverged"; then `divergence` is (epoch, step, lr), counted from 1.
    """

    parameters: dict[str, Array]
    history: dict[str, list[float]]
    best: int
    stopped: str
    seconds: float
    divergence: tuple[int, int, float] | None


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One step to make: which rows (b,), the share (b,) of each in the mean loss, and the optimizer's numbers.

    index: steps made before, in the whole run.
    """

    index: int
    rows: NDArray[np.int64]
    share: NDArray[np.float64]
    numbers: Mapping[str, float]


class Engine(Protocol):
    """What a library does for the loop. info: what the model is to say of it, such as versions."""

    info: dict[str, Any]

    def advance(self, steps: Sequence[Step]) -> NDArray[np.float64]:
        """Make these steps, all of one epoch; return a log (L, 3 + M) as `Loss.log` writes it, a row for one step or several."""

    def scores(self, x: Array) -> Array:
        """Return raw scores (N, O) in prediction mode."""

    def parameters(self) -> dict[str, Array]:
        """Return copies of the parameters and running statistics by name."""


Watcher: TypeAlias = Callable[[int, Mapping[str, float], Mapping[str, float], bool, Mapping[str, Array]], bool]
"""Called after each evaluation; returns whether to go on. It gets the steps made, the new entry of the history, its best entry (NaN for
none), whether training goes on, and the parameters and running statistics of this moment."""

ENGINES_WITH = {  # what not all engines have
    "batch_norm": ("torch", "numpy"),
    "dropout": ("torch", "numpy"),
    "input_scale": ("torch", "numpy", "jax"),
    "embedding": ("torch", "numpy", "jax"),
}


def refuse(engine: str, spec: MLP, recipe: Recipe) -> None:
    """Raise OptionError for what an engine other than torch does not have."""
    for name, value, default in (("precision", recipe.precision, "full"), ("gradient", recipe.gradient, "auto")):
        if value != default:
            only = f"engine={engine!r} has one way only; leave it at {default!r}, or use engine='torch'"
            raise OptionError(f"{name} is {value!r}, but {only}")
    if recipe.device not in ("auto", "cpu"):
        raise OptionError(f"device is {recipe.device!r}, but engine={engine!r} takes 'auto' or 'cpu'; use engine='torch'")
    if goes_by_name(recipe.watch):
        raise OptionError(
            f"watch is {recipe.watch!r}, but engine={engine!r} takes 'loss', 'metric' or 'objective'; use engine='torch'"
        )
    if recipe.stopping is not None and recipe.stopping.cool_down is not None:
        raise OptionError(f"cool_down is {recipe.stopping.cool_down}, but engine={engine!r} has none; use engine='torch'")
    wanted = {
        "batch_norm": spec.batch_norm,
        "dropout": max(spec.input_dropout, *spec.dropouts, 0.0),
        "input_scale": spec.input_scale,
        "embedding": spec.embedding if isinstance(spec.embedding, Periodic) else None,
    }
    for name, having in ENGINES_WITH.items():
        if wanted[name] and engine not in having:
            *others, last = map(repr, having)
            raise OptionError(
                f"{name} is {wanted[name]!r}, but engine={engine!r} has none; use engine={', '.join(others)} or {last}"
            )
    if engine == "keras" and recipe.dtype != "float32":
        raise OptionError(f"dtype is {recipe.dtype!r}, but engine='keras' has float32 only; use engine='torch', 'numpy' or 'jax'")


def _shares(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    total = weight.sum()
    return weight / (total if total else 1.0)


def run(engine: Engine, problem: EngineProblem, watcher: Watcher = lambda *_: True) -> EngineOutcome:
    """Train to the end and return the best weights. The history has the columns of the torch loop."""
    recipe, task, loss, data, validation = problem.recipe, problem.task, problem.loss, problem.data, problem.validation
    size, per_epoch, total = problem.batch_size, problem.steps, problem.total
    every = evaluation_steps(recipe, per_epoch)
    weight = data.weights()
    spread = loss.spread(data.target, data.weight)
    patience, numbers = Patience([recipe]), Numbers(recipe.optimizer)
    history: dict[str, list[float]] = {}
    chosen, best = engine.parameters(), -1
    made, seconds, stopped, divergence = 0, 0.0, "", None

    def rate(step: int) -> float:
        factor = schedule_factors(recipe.schedule, np.array([step]), total=total, per_epoch=per_epoch)[0]
        return float(recipe.lr * factor * patience.factor[0])

    def steps_of(epoch: int, start: int, stop: int) -> list[Step]:
        order = rng.permutation(recipe.seed, epoch, len(data)) if recipe.shuffle else np.arange(len(data))
        out = []
        for in_epoch in range(start, stop):
            rows = order[in_epoch * size : None if in_epoch == per_epoch - 1 else (in_epoch + 1) * size]
            index = epoch * per_epoch + in_epoch
            out.append(Step(index, rows, _shares(weight[rows]), numbers.next(rate(index))))
        return out

    while not stopped:
        began, parts, first = time.perf_counter(), [], made
        stop = min((made // every + 1) * every, total)
        while made < stop:
            epoch, start = divmod(made, per_epoch)
            end = min(per_epoch, start + stop - made)
            parts.append(engine.advance(steps_of(epoch, start, end)))
            made += end - start
        log = np.concatenate(parts)
        sums = log.sum(axis=0)
        entry = {"epoch": made / per_epoch, "step": float(made), "lr": rate(made - 1), "seconds": 0.0}
        results = {"": loss.means(sums, spread)}
        if validation is not None:
            results["val_"] = _validate(engine, loss, validation)
        for prefix, (mean, metric) in results.items():
            entry |= {f"{prefix}loss": float(mean), f"{prefix}{task.metric}": float(metric)}
        if recipe.l1 or recipe.l2:
            entry["penalty"] = float(sums[2] / (made - first))
        now = engine.parameters()
        seconds += time.perf_counter() - began
        entry["seconds"] = seconds
        for name, value in entry.items():
            history.setdefault(name, []).append(value)
        sound = np.isfinite(log[:, 0]) & np.isfinite(log[:, 2])
        if not sound.all() or not all(np.isfinite(value).all() for value in now.values()):
            # a log with a row for each step says which step it was; else it is taken to be the last
            at = first + int(np.argmin(sound)) if len(log) == made - first and not sound.all() else made - 1
            stopped, divergence = "diverged", (at // per_epoch + 1, at + 1, rate(at))
        else:
            columns = {name: np.array([value]) for name, value in entry.items()}
            if patience.judge(patience.values(columns, task.metric))[0] or validation is None or recipe.keep == "last":
                chosen, best = now, len(history["step"]) - 1
            if made >= total or patience.exhausted[0]:
                stopped = "done" if made >= total else "early"
        at_best = {name: column[best] if best >= 0 else math.nan for name, column in history.items()}
        if not watcher(made, entry, at_best, not stopped, now) and not stopped:
            stopped = "callback"
    return EngineOutcome(chosen, history, best, stopped, seconds, divergence)


def _validate(engine: Engine, loss: Loss, rows: ArrayRows) -> tuple[Array, Array]:
    """Return mean loss and metric on a validation set, scored a part at a time so that memory stays flat."""
    weight = rows.weights()
    parts = []
    for start in range(0, len(rows), ROWS_AT_ONCE):
        cut = slice(start, start + ROWS_AT_ONCE)
        target = loss.expand(rows.target[cut])
        parts.append(loss.log(engine.scores(rows.x[cut])[None], target[None], weight[None, cut]))
    return loss.means(np.concatenate(parts).sum(axis=0), loss.spread(rows.target, rows.weight))
