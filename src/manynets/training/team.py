"""One training by all processes of a process group: rank 0 runs the loop, the others make the steps that it makes, each on its rows.

The loop sees one stepper (`LeadingStepper`), which passes on to the other processes what it is asked to do. So all make the same steps,
whatever the loop goes by: the clock, a signal, the validation rows, a checkpoint. At the end all have the results.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from manynets.display import listed
from manynets.distributed import Ranks
from manynets.errors import OptionError, RankError
from manynets.training.signals import Halt
from manynets.training.state import differences, identity_of
from manynets.training.steppers.base import Array, Host, Log, Stepper
from manynets.training.steppers.choice import STEPPERS, choose, make_stepper, modes_for
from manynets.training.torch_settings import torch_settings
from manynets.training.trial import Member, Outcome, Problem

Make: TypeAlias = Callable[[Problem, Sequence[Member]], Stepper]
SIGNALS = (signal.SIGINT, signal.SIGTERM)  # that stop a training


class LeadingStepper:
    """The stepper of rank 0, and by messages those of all other processes.

    It has all that the stepper has. The weights of rank 0 go to the others after each evaluation, in which the loop may change them.
    """

    def __init__(self, stepper: Stepper, ranks: Ranks, halt: Halt) -> None:
        self.stepper, self.ranks, self.halt, self.evaluated = stepper, ranks, halt, True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stepper, name)

    def _order(self, *order: Any) -> Any:
        """Have all processes do something; return what it gives here. An error ends the training, as the others wait for a sum with this one."""
        self.ranks.send(order)
        try:
            return _obey(self.stepper, self.ranks, Halt(), *order)
        except RankError:
            raise
        except Exception as error:
            raise RankError(self.ranks.stopped_by(error)) from error

    def advance(self, rates: Host, alive: NDArray[np.bool_]) -> Log:
        """Make n steps at the learning rates (n, K), and return their log."""
        evaluated, self.evaluated = self.evaluated, False
        log, asked = self._order("advance", rates, alive, torch.get_num_threads(), evaluated)
        if asked is not None:
            self.halt.asked, self.halt.signal = True, asked
        return log

    def evaluate(self, overdue: Callable[[], bool]) -> Host | None:
        """Return the log over the validation rows, None where it was overdue. One that has begun goes to its end."""
        self.evaluated = True
        if self.stepper.validation is None or overdue():
            return None
        return self._order("evaluate")

    def restore(self, tensors: Mapping[str, Array], step: int) -> None:
        """Go on from what `capture` returned after that many steps."""
        self.stepper.restore(tensors, step)  # raises for what does not fit
        self.ranks.send(("restore", {name: tensors[name] for name in self.stepper.capture()}, step))

    def take(self, indices: Sequence[int]) -> None:
        """Go on with the networks with these indices only."""
        self._order("take", list(indices))


def _obey(stepper: Stepper, ranks: Ranks, halt: Halt, order: str, *more: Any) -> Any:
    """Do in this process what rank 0 has all of them do; return what it gives."""
    if order == "advance":
        rates, alive, threads, evaluated = more
        if threads != torch.get_num_threads():
            torch.set_num_threads(threads)
        if evaluated:  # all go on with the weights of rank 0
            ranks.spread(stepper.population.flat)
            ranks.spread(stepper.population.statistics)
        return _total_log(stepper.advance(rates, alive), ranks, halt)
    if order == "evaluate":
        sums = stepper.evaluate(lambda: False)
        assert sums is not None
        ranks.add(torch.from_numpy(sums))
        return sums
    return getattr(stepper, order)(*more)  # restore or take


class Team:
    """The processes of one training of members on a problem. halt: of this process; rank 0 stops for any of them."""

    def __init__(self, ranks: Ranks, problem: Problem, members: Sequence[Member], halt: Halt) -> None:
        self.ranks, self.problem, self.members, self.halt = ranks, problem, list(members), halt

    def run(self, train: Callable[[Make], list[Any]]) -> list[Any]:
        """Return the results of `train`, which rank 0 calls with what makes its steppers, and which the others get from it."""
        if self.ranks.size == 1:
            return train(make_stepper)
        with self.ranks.together():
            self._compare()
            if self.ranks.rank:
                return self._follow()
            results = train(self._make)
            self.ranks.send(("finish", results, self.halt.asked, self.halt.signal))
            return results

    def share_out(self, waiting: Sequence[Any], train: Callable[[list[Any]], list[Any]]) -> list[Any]:
        """Return the results of all processes, each of which trains some of the groups that wait, by itself."""
        with self.ranks.together():
            self._compare()
            results = train(list(waiting[self.ranks.rank :: self.ranks.size]))
            found = self.ranks.exchange((results, self.halt.asked, self.halt.signal))
        for _, asked, number in found:
            if asked:
                self.halt.asked, self.halt.signal = True, number
        return [result for part, _, _ in found for result in part]

    def _compare(self) -> None:
        """Raise OptionError, in all processes, unless they train the same networks on the same data."""
        first, *others = self.ranks.exchange(_without_length(identity_of(self.problem, self.members)))
        for rank, other in enumerate(others, 1):
            found = [line.replace("in the checkpoint", "on rank 0") for line in differences(first, other)]
            if found:
                shown = listed(found, 5, between="; ")
                raise OptionError(f"rank {rank} trains something else: {shown}; give all ranks the same data, options and seed")

    def _make(self, problem: Problem, members: Sequence[Member]) -> Stepper:
        """Return the stepper of all processes for some of the members."""
        stepper = stepper_of(self.ranks, problem, members)
        self.ranks.send(("begin", [member.number for member in members]))
        return cast(Stepper, LeadingStepper(stepper, self.ranks, self.halt))

    def _follow(self) -> list[Any]:
        """Do as rank 0 says until the training ends, and return its results."""
        by_number = {member.number: member for member in self.members}
        with contextlib.ExitStack() as settings:
            while True:
                order, *more = self.ranks.receive()
                if order == "finish":
                    results, self.halt.asked, self.halt.signal = more
                    _fill_modules(by_number, results)
                    return results
                if order == "begin":
                    members = [by_number[number] for number in more[0]]
                    settings.close()
                    settings.enter_context(modes_for(self.problem, members[0]))
                    stepper = stepper_of(self.ranks, self.problem, members)
                    settings.enter_context(torch_settings(threads=torch.get_num_threads(), precision=stepper.recipe.precision))
                    settings.enter_context(torch.no_grad())
                else:
                    _obey(stepper, self.ranks, self.halt, order, *more)


def stepper_of(ranks: Ranks, problem: Problem, members: Sequence[Member]) -> Stepper:
    """Return the stepper of one of several processes: by torch, as the compiled core makes whole steps of its own."""
    first = members[0]
    if first.recipe.gradient == "compiled":
        raise OptionError(f"gradient is 'compiled', but the core trains in one process, and there are {ranks.size}; use 'auto'")
    if isinstance(first.spec, nn.Module):
        _check_module(first.spec)
    kind = "autograd" if choose(problem, first) == "autograd" else "closed_form"
    return STEPPERS[kind](problem, members, ranks=ranks)


def _check_module(module: nn.Module) -> None:
    """Raise OptionError for a layer whose output is not that of one process where each process has some of the rows."""
    for name, layer in module.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm | nn.modules.dropout._DropoutNd):
            raise OptionError(
                f"{name or 'the module'} is a {type(layer).__name__}, which depends on the other rows of a batch or on random numbers,"
                " so several processes cannot share its batches; use MLP(batch_norm=True, dropout=...), or one process"
            )


def _total_log(log: Log, ranks: Ranks, halt: Halt) -> tuple[Log, int | None]:
    """Return the log of all rows, and the signal by which a stop was asked for in another process, None for none."""
    asked = [float(halt.asked and halt.signal == number) for number in SIGNALS]
    sums = torch.from_numpy(np.concatenate([log.ravel(), asked]))
    ranks.add(sums)
    total = sums[: log.size].numpy().reshape(log.shape)
    total[..., 2] = log[..., 2]  # the penalty is not a sum over rows
    found = [number for number, count in zip(SIGNALS, sums[log.size :].tolist(), strict=True) if count]
    return total, found[-1] if found else None


def _without_length(identity: dict[str, Any]) -> dict[str, Any]:
    """Return what all processes must have in common: not how long they train, which rank 0 decides."""
    lengths = {"epochs": None, "iterations": None, "evaluate_every": None}
    networks = {number: {**network, "recipe": {**network["recipe"], **lengths}} for number, network in identity["networks"].items()}
    return {**identity, "networks": networks}


def _fill_modules(members: Mapping[int, Member], results: Sequence[Any]) -> None:
    """Give the users' modules of this process the weights that rank 0 has trained."""
    for result in results:
        module = members[result.number].spec if isinstance(result, Outcome) else None
        if isinstance(module, nn.Module):
            tensors = {name: torch.from_numpy(value) for name, value in result.parameters.items()}
            module.load_state_dict(tensors)
