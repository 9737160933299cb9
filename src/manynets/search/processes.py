"""Train networks in several processes: in pieces, each of networks that share their steps (see `manynets.search.workers`)."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from joblib import wrap_non_picklable_objects

from manynets.errors import OptionError
from manynets.nn.population import Population
from manynets.search.workers import on_this_machine, run_calls, worker_count
from manynets.spec import METRICS, MLP
from manynets.steps import batch_rows
from manynets.tasks import Regression
from manynets.tasks.objectives import joint_objective
from manynets.training.events import Advanced, Callback, Finished, Started, tell
from manynets.training.groups import Failure, divided, groups_of, memory_at_hand, train_what_can
from manynets.training.signals import Halt
from manynets.training.steppers.choice import choose
from manynets.training.threads import most_threads
from manynets.training.torch_settings import torch_modes
from manynets.training.trial import Member, Outcome, Problem
from manynets.training.validation import Validation

PIECE = 5e9
"""Multiplications of the forward passes of a piece: half a second or so, beside which the milliseconds to send it count little."""

Results: TypeAlias = Sequence[Outcome | Failure]
Scores: TypeAlias = dict[int, tuple[float, float]]  # loss and score on its test rows, by the number of the network


def train_in_processes(
    problem: Problem,
    members: Sequence[Member],
    *,
    n_jobs: int | None,
    callbacks: Sequence[Callback] = (),
    memory_limit: int | None = None,
) -> list[Outcome | Failure]:
    """Train members as `train_what_can` does, in n_jobs processes (None, -1, ...: as in scikit-learn) of joblib's backend."""
    jobs = count_processes(problem, members, n_jobs)
    if not jobs:
        return train_what_can(problem, members, callbacks=callbacks, memory_limit=memory_limit)
    options: dict[str, Any] = {"n_jobs": n_jobs, "callbacks": callbacks, "memory_limit": memory_limit}
    pieces = train_pieces(problem, pieces_of(problem, members, jobs), halt=Halt(), **options)
    found = {result.number: result for results, _ in pieces for result in results}
    return [found[member.number] for member in members]


def count_processes(problem: Problem, members: Sequence[Member], n_jobs: int | None) -> int:
    """Return how many processes train the members; 0 for this one, as for networks on a GPU.

    Networks that the compiled core trains are divided among the threads of this process, where these are as many as the processes that
    would be started on this machine: nothing has to be sent. Where they are more, processes are started, as joblib gives each several of them.
    """
    if not members or problem.rows.x.device.type != "cpu":
        return 0
    jobs = worker_count(n_jobs)
    threads_do = jobs == most_threads() and on_this_machine() and all(_in_core(problem, member) for member in members)
    return 0 if threads_do else jobs


def _in_core(problem: Problem, member: Member) -> bool:
    with contextlib.suppress(OptionError):  # which training reports
        return choose(problem, member) == "compiled"
    return True


def train_pieces(
    problem: Problem,
    pieces: Sequence[list[Member]],
    *,
    n_jobs: int | None,
    halt: Halt,
    callbacks: Sequence[Callback] = (),
    memory_limit: int | None = None,
) -> Iterator[tuple[Results, Scores]]:
    """Yield the results of one piece after the other, and the scores of its networks on their test rows.

    Callbacks are called when a piece is finished, not for the events in between. One that raises StopIteration asks for a halt, and the
    other pieces are left.
    """
    networks, done, lost, began = sum(map(len, pieces)), 0, list[int](), time.perf_counter()
    if problem.loss is not None:  # which may be a lambda
        problem = dataclasses.replace(problem, loss=wrap_non_picklable_objects(problem.loss, keep_wrapper=False))
    limit = None if memory_limit is None else max(1, int(memory_limit) // max(1, worker_count(n_jobs)))
    inputs = [(problem, piece, limit) for piece in pieces]
    settings = {member.number: member.settings for piece in pieces for member in piece}
    if tell(callbacks, Started(networks, networks, 1, problem.task.metric, settings=settings)):
        halt.asked = True
    for _, (results, scores) in () if halt.asked else run_calls(train_piece, inputs, n_jobs=n_jobs, shared=_shared):
        done += len(results)
        lost += [result.number for result in results if isinstance(result, Outcome) and result.divergence is not None]
        yield results, scores
        if tell(callbacks, Advanced(done)):
            halt.asked = True
            break
    tell(callbacks, Finished(time.perf_counter() - began, tuple(sorted(lost))))


def train_piece(problem: Problem, members: Sequence[Member], memory_limit: int | None) -> tuple[Results, Scores]:
    """Train the networks of a piece, and score them, in the process that calls it."""
    if memory_limit is None:
        memory_limit = max(1, memory_at_hand(problem.rows.x.device) // (os.cpu_count() or 1))
    results = train_what_can(problem, members, memory_limit=memory_limit)
    return results, tested_scores(problem, members, results)


def _shared(problem: Problem, members: Sequence[Member], _limit: int | None) -> Iterator[Any]:
    """Yield the arrays of rows, which many networks have in common."""
    for rows in (problem.rows, problem.validation):
        if rows is not None:
            yield from (rows.x, rows.target, rows.weight)
    for member in members:
        yield from (member.rows, member.validation_rows, member.test_rows, member.weight)


def pieces_of(problem: Problem, members: Sequence[Member], jobs: int, *, at_most: int | None = None) -> list[list[Member]]:
    """Divide members into pieces that can share their steps, those with the most work first.

    at_most: networks in a piece. A piece has `PIECE` of work, however many jobs there are, so that its networks are always trained with the same
    others, unless there would be fewer pieces than jobs.
    """
    groups = groups_of(problem, members)
    work = [sum(_work(member, problem) for member in group) for group in groups]
    goal = max(1.0, min(PIECE, sum(work) / jobs))
    pieces = []
    for group, amount in zip(groups, work, strict=True):
        count = max(math.ceil(amount / goal - 1e-9), math.ceil(len(group) / (at_most or len(group))))
        count = min(len(group), max(1, count))
        pieces += [(amount / count, cut) for cut in divided(group, count)]
    return [piece for _, piece in sorted(pieces, key=lambda pair: -pair[0])]


def _work(member: Member, problem: Problem) -> float:
    """Return roughly how many multiplications the forward passes of a member take."""
    rows = member.row_count(problem)
    recipe, spec = member.recipe, member.spec
    assert isinstance(spec, MLP)
    visits = rows * (recipe.epochs or 1) if recipe.iterations is None else recipe.iterations * batch_rows(recipe, rows)
    return float(visits * problem.shape_of(spec).multiplications)


def tested_scores(problem: Problem, members: Sequence[Member], results: Results) -> Scores:
    """Return loss and metric, by number, of the networks that have test rows; those of a shape are computed at once."""
    outcomes = {outcome.number: outcome for outcome in results if isinstance(outcome, Outcome)}
    alike: dict[tuple[Any, ...], list[Member]] = {}
    for member in members:
        if member.test_rows is not None and member.number in outcomes:
            assert isinstance(member.spec, MLP)
            shape, recipe = problem.shape_of(member.spec), member.recipe
            alike.setdefault((shape, recipe.loss, recipe.quantile, recipe.delta, recipe.watch), []).append(member)
    out: Scores = {}
    for (shape, *_), same in alike.items():
        x, recipe, tasks = problem.rows.x, same[0].recipe, [member.task or problem.task for member in same]
        parameters = [outcomes[member.number].parameters for member in same]
        population = Population.start(shape, parameters, device=x.device, dtype=x.dtype)
        validation = Validation(
            problem.rows,
            [member.test_rows for member in same],
            joint_objective(tasks, recipe, problem.loss),
            widest=shape.widest,
            weights=[member.weight for member in same],
        )
        with torch_modes(x.device, autograd=False):
            loss, score = validation.judge(population.scorer())
            task, metric = problem.task, recipe.watch if recipe.watch in METRICS else problem.task.metric
            if metric != task.metric or (isinstance(task, Regression) and (task.transform or task.limits)):
                score = validation.figures(metric, tasks, population.scorer())
        out |= {member.number: pair for member, pair in zip(same, zip(loss.tolist(), score.tolist(), strict=True), strict=True)}
    return out
