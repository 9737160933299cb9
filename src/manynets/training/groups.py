"""Train members that may differ in anything: grouped by what a shared step needs, each group a run, split to fit the memory."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import numbers
import os
import signal
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from manynets.data.stream.rows import StreamedRows
from manynets.distributed import Ranks, current_ranks, neighbours
from manynets.errors import ClaimedError, InterruptedWarning, ManynetsError, ModelFileError, OptionError, RankError, warn_user
from manynets.nn.shape import Shape
from manynets.spec import MLP
from manynets.steps import batch_rows
from manynets.training.checkpoint import Checkpoints
from manynets.training.deadline import Deadline
from manynets.training.events import Callback, Relay
from manynets.training.loop import TrainingRun
from manynets.training.signals import Halt, listening
from manynets.training.steppers.choice import make_stepper, modes_for
from manynets.training.team import SIGNALS, Make, Team
from manynets.training.trial import HALTED, Member, Outcome, Problem, group_key

CERTAIN = 1 << 26  # bytes that are taken to be free


@dataclasses.dataclass(frozen=True)
class Failure:
    """A member that could not be trained, and why."""

    number: int
    error: Exception


def groups_of(problem: Problem, members: Sequence[Member]) -> list[list[Member]]:
    """Return the members in groups that can share every step, in the order in which each group first appears."""
    groups: dict[tuple[object, ...], list[Member]] = {}
    for member in members:
        groups.setdefault(group_key(member, problem), []).append(member)
    return list(groups.values())


def divided(group: Sequence[Member], count: int) -> list[list[Member]]:
    """Return a group in so many parts, which have as many members each, or one more or less."""
    return [list(group[i * len(group) // count : (i + 1) * len(group) // count]) for i in range(count)]


def network_bytes(member: Member, problem: Problem) -> int:
    """Return roughly what one more network of this kind takes while it trains: parameters, their companions, order and batches."""
    if isinstance(member.spec, nn.Module):
        return 0
    x, shape = problem.rows.x, problem.shape_of(member.spec)
    total = len(x) if member.rows is None else len(member.rows)
    rows = min(batch_rows(member.recipe, max(total, len(problem.rows))), total)
    own_weights = 0 if member.weight is None else 2 * len(problem.rows) * x.element_size()
    parameters = sum(map(math.prod, shape.parameters().values()))
    units = shape.inputs + shape.out_features + 4 * sum(shape.hidden) + (0 if shape.embedding is None else 4 * shape.widest)
    return x.element_size() * (8 * parameters + 2 * rows * units) + 16 * total + own_weights


def memory_at_hand(device: torch.device) -> int:
    """Return the bytes that training may take on this device: half of what is free."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    with contextlib.suppress(OSError, StopIteration, ValueError):  # with the page cache, which gives way
        lines = Path("/proc/meminfo").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) * 1024 // 2
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (ValueError, OSError, AttributeError):  # this system does not say
        return 2 << 30


def check_fits(spec: MLP, in_features: int, outputs: int, *, n_networks: int = 1) -> None:
    """Raise MemoryError for networks whose initial weights alone take more than the memory that is free."""
    need = 8 * Shape.of(spec, in_features, outputs).multiplications * n_networks
    if need > CERTAIN and need > (free := 2 * memory_at_hand(torch.device("cpu"))):
        several = "" if n_networks == 1 else f" of each of {n_networks:,} networks"
        raise MemoryError(
            f"the weights of hidden={spec.hidden}{several} take {need / 1e9:,.1f} GB, but {free / 1e9:,.1f} GB are free; "
            f"use smaller layers{' or fewer networks' if several else ''}"
        )


def check_limits(*, memory_limit: object = None, max_networks: object = None) -> None:
    """Raise OptionError unless each limit is None or a number of at least 1."""
    for name, value, what in (("memory_limit", memory_limit, "bytes"), ("max_networks", max_networks, "networks")):
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, numbers.Real) or not 1 <= float(value) < math.inf
        ):
            raise OptionError(f"{name} is {value!r}, but must be None or a number of {what} of at least 1")


def train_members(
    problem: Problem,
    members: Sequence[Member],
    *,
    callbacks: Sequence[Callback] = (),
    keeper: Callable[[Sequence[Member], str], Checkpoints] | None = None,
    deadline: Deadline | None = None,
    ranks: Ranks | None = None,
) -> list[Outcome]:
    """Train all members; return their outcomes in their order. What cannot be trained raises its error.

    keeper: opens the checkpoints of a group of members. Its second argument names a folder within that of the checkpoints; it is "" where
    there is one group only. With it, SIGTERM has a checkpoint written before it takes its course.
    deadline: by which all are to end. ranks: the processes that train them together, None for those of the process group; all of them
    call this, and all get the outcomes, but only rank 0 calls callbacks and keeper, and goes by the deadline.
    Ctrl-C ends all networks with their best weights so far, and an InterruptedWarning; a second one stops at once. A callback that raises
    StopIteration does the same without the warning.
    """
    halt, ranks = Halt(), current_ranks() if ranks is None else ranks
    options: dict[str, Any] = {"callbacks": callbacks, "halt": halt, "deadline": deadline}
    with listening(halt, (signal.SIGINT,) if keeper is None and ranks.size == 1 else SIGNALS):
        if keeper is None:
            results = train_what_can(problem, members, ranks=ranks, **options)
        else:
            groups = groups_of(problem, members)
            several = len(groups) > 1
            names = (f"part-{number}" if several else "" for number in range(len(groups)))
            options["keep"] = lambda group: None if halt.asked and several else keeper(group, next(names))
            options["divide"] = False
            team = Team(ranks, problem, members, halt)
            found = {one.number: one for one in team.run(lambda make: _train_groups(problem, groups, make=make, **options))}
            results = [found[member.number] for member in members]
    if halt.signal == signal.SIGTERM:
        signal.raise_signal(signal.SIGTERM)
    for result in results:
        if isinstance(result, Failure):
            raise result.error
    outcomes = [result for result in results if isinstance(result, Outcome)]
    if halt.signal is not None and any(outcome.stopped == "interrupted" for outcome in outcomes):
        step = max((outcome.history.get("step", [0.0])[-1] for outcome in outcomes), default=0.0)
        text = f"training was interrupted after {step:g} steps; the result has the best weights so far"
        warn_user(text, InterruptedWarning)
    return outcomes


def train_what_can(
    problem: Problem,
    members: Sequence[Member],
    *,
    callbacks: Sequence[Callback] = (),
    memory_limit: int | None = None,
    at_most: int | None = None,
    told: Callable[[Sequence[Outcome | Failure]], None] = lambda results: None,
    halt: Halt | None = None,
    keep: Callable[[Sequence[Member]], Checkpoints | None] | None = None,
    known: Collection[int] = (),
    deadline: Deadline | None = None,
    ranks: Ranks | None = None,
) -> list[Outcome | Failure]:
    """Train as `train_members`, but a member that cannot be trained (an option that does not fit its data, too little memory)
    becomes a Failure, and the others are trained all the same.

    memory_limit: bytes; a group that would take more is split and its parts are trained one after the other; None: as much as is free.
    at_most: networks that are trained together. told: called with the results of each group, as soon as it is through.
    halt: once it is asked, what is being trained ends, as its word says, and so does all that waits.
    keep: opens the checkpoints of the group that is trained next; they are removed once it is through.
    known: numbers of members whose results are there already. The groups are split as if they were not, so that each
        network is trained with the same others; one in which all are known is left out, here and in what is returned.
    ranks: as in `train_members`. Where a group does not fit the memory, or `at_most`, each process trains some of its parts by itself.
    """
    check_limits(memory_limit=memory_limit, max_networks=at_most)
    ranks = current_ranks() if ranks is None else ranks
    limit = memory_at_hand(problem.rows.x.device) // neighbours() if memory_limit is None else memory_limit
    limit = min(ranks.exchange(limit))
    halt = halt or Halt()
    results: dict[int, Outcome | Failure] = {}

    def collect(found: Sequence[Outcome | Failure]) -> None:
        new = [result for result in found if result.number not in results]
        results.update({result.number: result for result in new})
        if new:
            told(new)

    fit: list[Member] = []
    for member in members:
        try:
            group_key(member, problem)
        except ManynetsError as error:
            if member.number not in known:
                collect([Failure(member.number, error)])
        else:
            fit.append(member)
    groups, waiting = groups_of(problem, fit), []
    for group in groups:
        size = max(1, min(len(group), int(limit // max(1, network_bytes(group[0], problem))), at_most or len(group)))
        count = -(-len(group) // size)
        waiting += [cut for cut in divided(group, count) if not all(member.number in known for member in cut)]
    options: dict[str, Any] = {"halt": halt, "deadline": deadline, "told": collect}
    options["keep"] = lambda group: None if keep is None or halt.asked else keep(group)
    team, streamed = Team(ranks, problem, fit, halt), isinstance(problem.rows, StreamedRows)  # of which each process has a part
    if ranks.size > 1 and keep is None and len(waiting) > len(groups) and not streamed:
        mine = callbacks if ranks.rank == 0 else ()
        collect(team.share_out(waiting, lambda share: _train_groups(problem, share, callbacks=mine, **options)))
    else:
        collect(team.run(lambda make: _train_groups(problem, waiting, callbacks=callbacks, make=make, **options)))
    return [results[member.number] for member in members if member.number in results]


def _train_groups(
    problem: Problem,
    waiting: list[list[Member]],
    *,
    callbacks: Sequence[Callback],
    keep: Callable[[Sequence[Member]], Checkpoints | None],
    halt: Halt,
    deadline: Deadline | None,
    told: Callable[[Sequence[Outcome | Failure]], None] = lambda results: None,
    divide: bool = True,
    make: Make = make_stepper,
) -> list[Outcome | Failure]:
    """Train groups one after the other; return what became of their members.

    keep: opens the checkpoints of a group. divide: a group that cannot be trained is divided, down to the members that cannot; and its
    checkpoints are removed once it is through. Else errors are raised, and the last checkpoints stay.
    """
    out: list[Outcome | Failure] = []
    settings = {member.number: member.settings for group in waiting for member in group}
    relay = Relay(settings, callbacks, several=len(waiting) > 1)
    run: dict[str, Any] = {"callbacks": [relay] if callbacks else [], "halt": halt, "deadline": deadline, "make": make}
    while waiting:
        group, found = waiting.pop(0), list[Outcome | Failure]()
        keeper = keep(group)
        try:
            with modes_for(problem, group[0]):
                found += TrainingRun(problem, group, keeper=keeper, **run).run()
        except (ModelFileError, ClaimedError, RankError):  # unusable, another process writes it, or a process has failed
            raise
        except (ManynetsError, MemoryError, RuntimeError) as error:
            if error is relay.error or not divide:
                raise
            if len(group) > 1:  # find out which one it is, or train fewer at a time
                waiting[:0] = divided(group, 2)
            else:
                found.append(Failure(group[0].number, error))
        relay.done(len(found))
        out += found
        told(found)
        halted = any(isinstance(one, Outcome) and one.stopped in HALTED for one in found)
        if keeper is not None and divide and not halted:
            keeper.remove()
    relay.finish()
    return out
