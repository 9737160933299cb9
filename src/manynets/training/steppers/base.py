"""What every stepper offers the loop, and what all of them have in common."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from manynets.data.batches import Batches
from manynets.data.stream.rows import StreamedRows, WindowBatches
from manynets.distributed import ALONE, Ranks
from manynets.errors import OptionError
from manynets.nn.population import Population
from manynets.optim import GroupedOptimizer
from manynets.spec import MLP
from manynets.steps import batch_rows
from manynets.tasks.objectives import Objective, joint_objective
from manynets.training.module import ModulePopulation, Networks
from manynets.training.threads import best_threads, most_threads
from manynets.training.trial import Member, Problem
from manynets.training.validation import Validation, variances

Host: TypeAlias = NDArray[np.float64]
Array: TypeAlias = NDArray[Any]
Log: TypeAlias = NDArray[np.float64]
"""What is reported of each of n steps and K networks, (n, K, 3 + M): the loss summed over the rows of the batch (weighted, in the unit
of the user's target), the sum of their weights, the penalty l1 sum |w| + l2 / 2 sum w^2 before the step, and the M hits that the metric
is made of (`manynets.tasks.losses`), summed over the rows."""


def fill(targets: Mapping[str, Tensor], arrays: Mapping[str, Array]) -> None:
    """Copy the arrays of these names into tensors of their shapes and types; ValueError or KeyError for what does not fit."""
    for name, target in targets.items():
        source = torch.from_numpy(arrays[name].copy())
        if source.shape != target.shape or source.dtype != target.dtype:
            raise ValueError(f"{name} has the shape {tuple(source.shape)} instead of {tuple(target.shape)}")
        target.copy_(source)


class Stepper(abc.ABC):
    """Makes steps of K networks of one shape, forward, backward, update, in a way that the loop does not know.

    Networks, batches and the optimizer's state are the same whatever the stepper; a subclass owns its buffers.

    members: the K networks, with their recipes, and specs (none of a user's module). population: their parameters (K, P) and running
    statistics. state: the optimizer's tensors (K, P). step: steps made so far. batches: which rows each step takes. validation: the rows
    that `evaluate` takes, None for none.
    spread: the variances of the target (K, O) over the training rows, which R2 compares with.
    ranks: the processes that share the rows of each batch. Gradients are summed over them; logs are of the rows of this one.
    """

    name: ClassVar[str]

    def __init__(self, problem: Problem, members: Sequence[Member], *, ranks: Ranks = ALONE) -> None:
        first, x = members[0], problem.rows.x
        self.problem, self.members, self.recipe, self.ranks = problem, list(members), first.recipe, ranks
        if isinstance(problem.rows, StreamedRows) and problem.rows.layout.world_size != ranks.size:
            raise OptionError(
                f"the stream was opened for {problem.rows.layout.world_size} processes, but {ranks.size} train on it; open one for as many"
            )
        self.device, self.dtype = x.device, x.dtype
        self.step = first.start
        self.user_threads = most_threads()  # before the loop gives torch fewer
        self.steps_before = first.progress.steps - first.start  # of the optimizer, in earlier trainings
        batch_norm = isinstance(first.spec, MLP) and first.spec.batch_norm
        self.merges = batch_norm or isinstance(first.spec, nn.Module)  # batch norm cannot take a batch of one row
        self.batch_size = batch_rows(self.recipe, first.row_count(problem), batch_norm=batch_norm)
        self.population: Networks
        if isinstance(first.spec, nn.Module):
            self.population = ModulePopulation(
                first.spec, device=self.device, dtype=self.dtype, integers=problem.integers, seed=self.recipe.seed
            )
        else:
            initial = [member.initial for member in members]
            self.population = Population.start(problem.shape_of(first.spec), initial, device=self.device, dtype=self.dtype)
        self._assemble(self._started)

    def _started(self, name: str) -> Tensor:
        """Return the optimizer's tensor (K, P) as earlier trainings of the networks left it, zeros where there was none."""
        out = torch.zeros_like(self.population.flat)
        for k, member in enumerate(self.members):
            if name in member.progress.optimizer:
                out[k] = torch.from_numpy(np.array(member.progress.optimizer[name]))
        return out

    def _assemble(self, before: Callable[[str], Tensor]) -> None:
        """Make what depends on which networks there are. before: gives the optimizer's tensors by name."""
        members = self.members
        self.recipes = [member.recipe for member in members]
        self.specs = [member.spec for member in members if isinstance(member.spec, MLP)]
        self.tasks = [member.task or self.problem.task for member in members]
        self.objective: Objective = joint_objective(self.tasks, self.recipe, self.problem.loss)
        self.loss = self.objective.loss  # the same in NumPy, for the log
        own, weights = [member.rows for member in members], [member.weight for member in members]
        batches_of: type[Batches] = WindowBatches if isinstance(self.problem.rows, StreamedRows) else Batches
        self.batches = batches_of(
            self.problem.rows,
            own=own,
            weights=weights,
            orders=[member.order for member in members],
            batch_size=self.batch_size,
            merge_single=self.merges,
            threads=self.user_threads,
        )
        self.optimizer = GroupedOptimizer(self.recipes, self.population.shapes, self.population.flat)
        self.state = {name: before(name) for name in self.optimizer.first.state_names}
        self.spread = variances(self.problem.rows, own, weights, self.loss)
        self.validation: Validation | None = None
        held_out = self.problem.validation
        if held_out is not None or members[0].validation_rows is not None:
            held = [member.validation_rows if held_out is None else None for member in members]
            rows, weighing = (self.problem.rows, weights) if held_out is None else (held_out, None)
            self.validation = Validation(rows, held, self.objective, widest=self.population.widest, weights=weighing)
        meant = [member.penalty_rows for member in members]
        self.penalty_rows = None if None in meant else np.array(meant, dtype=np.float64)
        self._prepare()

    @abc.abstractmethod
    def _prepare(self) -> None:
        """Make the stepper's own buffers for the current networks."""

    # ------------------------------------------------------------------------------------------------ what the loop calls

    @abc.abstractmethod
    def advance(self, rates: Host, alive: NDArray[np.bool_]) -> Log:
        """Make n steps at the learning rates (n, K), and return their log. Networks that are not alive (K,) may be left out."""

    def evaluate(self, overdue: Callable[[], bool]) -> Host | None:
        """Return the log (K, 3 + M) over the validation rows, whose penalty is 0; None without such rows, or where it was overdue."""
        if self.validation is None:
            return None
        return self.validation.sums(self.population.scorer(), overdue, part=self.ranks.part(self.validation.most))

    def capture(self) -> dict[str, Tensor]:
        """Return the tensors that decide about every later step, besides `step`. They are the stepper's own."""
        named = {"weights": self.population.flat, "statistics": self.population.statistics}
        return named | {f"optimizer/{name}": tensor for name, tensor in self.state.items()}

    def restore(self, tensors: Mapping[str, Array], step: int) -> None:
        """Go on from what `capture` returned after that many steps; ValueError or KeyError for what does not fit."""
        fill(self.capture(), tensors)
        self.step = step

    def take(self, indices: Sequence[int]) -> None:
        """Go on with the networks with these indices only."""
        assert isinstance(self.population, Population)
        index = torch.tensor(indices, device=self.device)
        self.members = [self.members[k] for k in indices]
        self.population = self.population.take(index)
        self._assemble(lambda name: self.state[name].index_select(0, index))

    def sound(self, log: Log) -> NDArray[np.bool_]:
        """Return whether loss and penalty are finite in the type that is trained in, and so within its range: (..., 2)."""
        largest = torch.finfo(self.dtype).max
        unit = self.loss.unit.max(axis=-1).ravel()  # the loss in the log is in the user's unit
        if np.abs(log[..., 0:3:2]).max() <= largest * min(unit.min(), 1.0):  # the usual case
            return np.ones((*log.shape[:-1], 2), dtype=bool)
        with np.errstate(over="ignore"):
            bounds = np.stack([largest * unit * np.maximum(log[..., 1], 1.0), np.full(log.shape[:-1], largest)], axis=-1)
        return np.abs(log[..., [0, 2]]) <= np.minimum(bounds, np.finfo(np.float64).max)

    @property
    def penalty_share(self) -> float | Host:
        """What the mean penalty of the steps is multiplied by, to be that of an epoch's mean over rows (`Member.penalty_rows`)."""
        if self.penalty_rows is None:
            return 1.0
        return np.asarray(self.batch_size * self.batches.steps / self.batches.counts[self.batches.which])

    # ------------------------------------------------------------------------------------------------ what subclasses share

    def weights_of_all(self, mine: Tensor, size: int) -> Tensor:
        """Return the weights (..., size) of all rows of batches that the processes have divided among them, given those of this one."""
        out = mine.new_zeros(*mine.shape[:-1], size)
        out[..., self.ranks.part(size)] = mine
        self.ranks.add(out)
        return out

    def threads(self, steps: int) -> int:
        """Return how many of torch's threads make so many steps quickest; see `manynets.training.threads`. A GPU needs only one."""
        if self.device.type != "cpu":
            return 1
        rows = self.batch_size * len(self.members)
        return best_threads(self.population.weight_count, rows, self.population.widest, self.dtype, steps=steps)

    def log_of(
        self,
        objective: Objective,
        scores: Tensor,
        target: Tensor,
        weight: Tensor | None,
        penalty: Tensor | float,
        rows: Tensor | None = None,
    ) -> Host | Tensor:
        """Return the log of steps (..., 3 + M): scores and expanded target (..., b, O), weight (..., b) or None, penalty (...).

        On the CPU NumPy is quicker. On CUDA it is a tensor, so that the host need not wait for each step. rows: the losses of the rows, where
        only torch computes them.
        """
        if self.device.type == "cuda" or rows is not None:
            log = objective.log(scores, target, weight, penalty, rows)
            return log if log.is_cuda else log.numpy()
        weights = None if weight is None else weight.double().numpy()
        penalties = penalty.double().numpy() if isinstance(penalty, Tensor) else penalty
        return objective.loss.log(scores.numpy(), target.numpy(), weights, penalties)

    def penalty_scale(self, count: int) -> Host | None:
        """Return what l1 and l2 are multiplied by in the next `count` steps, (count, K); None for 1. See `Member.penalty_rows`."""
        if self.penalty_rows is None:
            return None
        weights = self.batches.totals(self.step, count)
        return np.asarray(self.penalty_rows / np.where(weights == 0, 1.0, weights))
