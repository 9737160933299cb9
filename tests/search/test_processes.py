"""A search in several processes gives what it gives in one."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Iterator
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.parallel import Parallel

import manynets as mn
from manynets import core
from manynets.data.batches import Rows
from manynets.nn.initial import initial_parameters
from manynets.search import workers
from manynets.search.processes import count_processes, pieces_of, train_in_processes
from manynets.tasks import find_task
from manynets.training.events import Advanced, Event, Finished, Started
from manynets.training.groups import Failure, train_what_can
from manynets.training.trial import Member, Outcome, Problem

IRIS_X, IRIS_Y = load_iris(return_X_y=True)
NET = mn.MLPClassifier(6, max_iter=6, random_state=0, learning_rate_init=0.02)
GRID = {"learning_rate_init": [0.003, 0.03, 0.1], "hidden_layer_sizes": [(4,), (6, 3)]}

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::manynets.errors.LeakWarning"),  # two rows of iris are the same
]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one thread this process does not do what processes are asked for."""
    monkeypatch.setattr("manynets.search.processes.most_threads", lambda: 1)


def problem_and_members(specs: list[mn.MLP], recipes: list[mn.Recipe]) -> tuple[Problem, list[Member]]:
    task = find_task(IRIS_Y)
    target = torch.from_numpy(np.ascontiguousarray(task.encode(IRIS_Y)))
    problem = Problem(task, Rows(torch.from_numpy(IRIS_X), target, None))
    rows = np.arange(0, 150, 2)
    members = [
        Member(number, spec, recipe, initial_parameters(spec, 4, 3, seed=number), rows)
        for number, (spec, recipe) in enumerate(zip(specs, recipes, strict=True))
    ]
    return problem, members


def no_processes(*args: Any, **options: Any) -> None:
    raise AssertionError("processes were asked for")


@pytest.mark.parametrize(
    ("estimator", "grid", "options", "weighted"),
    [
        (NET, GRID, {}, True),
        (NET, GRID, {"strategy": "halving"}, False),
        (make_pipeline(StandardScaler(), NET), {"mlpclassifier__alpha": [0.0, 0.1, 1.0]}, {"return_train_score": True}, False),
        (
            mn.MLPRegressor(hidden_layer_sizes=5, max_iter=4, random_state=1, dropout=0.2),
            {"alpha": [0.0, 0.1]},
            {"scoring": "r2"},
            False,
        ),
    ],
    ids=["weights", "halving", "pipeline", "regressor"],
)
def test_the_same_results_as_in_one_process(
    estimator: Any, grid: Any, options: Any, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {"sample_weight": np.linspace(0.5, 1.5, len(IRIS_Y))} if weighted else {}
    two = mn.MLPSearchCV(estimator, grid, cv=3, n_jobs=2, **options).fit(IRIS_X, IRIS_Y, **more)
    monkeypatch.setattr("sklearn.utils.parallel.Parallel", no_processes)
    one = mn.MLPSearchCV(estimator, grid, cv=3, **options).fit(IRIS_X, IRIS_Y, **more)
    assert two.cv_results_["params"] == one.cv_results_["params"]
    for name, values in one.cv_results_.items():
        if "_test_" in name or "_train_" in name:
            np.testing.assert_allclose(two.cv_results_[name], values, rtol=1e-9, atol=1e-12, err_msg=name)
    assert two.best_params_ == one.best_params_


def test_what_goes_wrong_in_a_process_is_named_and_the_rest_is_complete() -> None:
    good = mn.Recipe(epochs=3, dtype="float64")
    recipes = [
        good,
        dataclasses.replace(good, loss="squared_error"),
        mn.Recipe(epochs=3, dtype="float64", optimizer=mn.SGD(lr=1e300)),
    ]
    problem, members = problem_and_members([mn.MLP(hidden=(4,))] * 3, recipes)
    events: list[Event] = []
    found = train_in_processes(problem, members, n_jobs=2, callbacks=[events.append])
    assert [type(result) for result in found] == [Outcome, Failure, Outcome]
    assert [result.number for result in found] == [0, 1, 2]
    assert "squared_error" in str(found[1].error)  # type: ignore[union-attr]
    assert found[2].stopped == "diverged"  # type: ignore[union-attr]
    [alone] = train_what_can(problem, members[:1])
    for name, value in alone.parameters.items():  # type: ignore[union-attr]
        np.testing.assert_allclose(found[0].parameters[name], value, rtol=1e-10, err_msg=name)  # type: ignore[union-attr]
    started, *steps, finished = events
    assert started == Started(3, 3, 1, "accuracy", settings={member.number: member.settings for member in members})
    assert steps == [Advanced(1), Advanced(2), Advanced(3)]  # the three pieces: SGD, and two losses
    assert isinstance(finished, Finished)
    assert finished.diverged == (2,)


@pytest.mark.parametrize(("backend", "n_jobs"), [("loky", None), ("loky", 1), ("threading", 2)])
def test_one_process_where_others_bring_nothing(backend: str, n_jobs: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sklearn.utils.parallel.Parallel", no_processes)
    problem, members = problem_and_members([mn.MLP(hidden=(4,))] * 2, [mn.Recipe(epochs=2, dtype="float64")] * 2)
    with joblib.parallel_config(backend=backend):
        found = train_in_processes(problem, members, n_jobs=n_jobs)
    assert [result.stopped for result in found] == ["done", "done"]  # type: ignore[union-attr]


@pytest.mark.skipif(core.load() is None, reason="there is no compiled core")
def test_threads_of_this_process_do_what_the_core_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manynets.search.processes.most_threads", lambda: 2)
    problem, members = problem_and_members([mn.MLP(hidden=(4,))] * 2, [mn.Recipe(epochs=2)] * 2)
    assert count_processes(problem, members, 2) == 0
    assert count_processes(problem, members, 3) == 3  # more than there are threads
    monkeypatch.setattr("manynets.search.processes.most_threads", lambda: 4)
    assert count_processes(problem, members, 2) == 2  # so many, and no more, were asked for
    monkeypatch.setattr("manynets.search.processes.most_threads", lambda: 2)
    other = dataclasses.replace(members[0], recipe=mn.Recipe(epochs=2, gradient="autograd"))
    assert count_processes(problem, [members[1], other], 2) == 2
    core_only = dataclasses.replace(members[0], spec=mn.MLP(embedding=mn.Periodic()), recipe=mn.Recipe(gradient="compiled"))
    assert count_processes(problem, [core_only], 2) == 0  # training says what is wrong with it
    with joblib.parallel_config(backend="multiprocessing"):  # chosen by the user
        assert count_processes(problem, members, 2) == 2


def test_pieces_are_of_one_shape_and_of_about_the_same_work() -> None:
    specs = [mn.MLP(hidden=(8,))] * 12 + [mn.MLP(hidden=(96,))] * 2
    recipes = [mn.Recipe(epochs=2, seed=number % 2) for number in range(14)]
    problem, members = problem_and_members(specs, recipes)
    pieces = pieces_of(problem, members, 3)
    assert sorted(member.number for piece in pieces for member in piece) == list(range(14))
    widths = [[member.spec.hidden[0] for member in piece] for piece in pieces]  # type: ignore[union-attr]
    assert widths == [[8] * 12, [96], [96]]
    assert [len(piece) for piece in pieces_of(problem, members[:2], 2)] == [1, 1]
    assert [len(piece) for piece in pieces_of(problem, members, 1, at_most=5)] == [2, 4, 4, 4]


def test_pieces_do_not_depend_on_the_number_of_processes() -> None:
    recipes = [mn.Recipe(epochs=5000 * (1 + number % 3)) for number in range(60)]
    problem, members = problem_and_members([mn.MLP(hidden=(64, 64))] * 60, recipes)
    numbers = [[[member.number for member in piece] for piece in pieces_of(problem, members, jobs)] for jobs in (2, 5)]
    assert numbers[0] == numbers[1]
    assert len(numbers[0]) > 10


@pytest.mark.parametrize("good", [1, 9])  # asked for by the caller, and by a thread of joblib
def test_an_error_of_the_inputs_is_raised_after_the_calls_before_it(good: int) -> None:
    def inputs() -> Iterator[tuple[int]]:
        yield from ((number,) for number in range(good))
        raise ValueError("no such fold")

    found: list[tuple[int, int]] = []
    with pytest.raises(ValueError, match="no such fold"):
        found.extend(workers.run_calls(abs, inputs(), shared=lambda _: (), n_jobs=2))
    assert sorted(found) == [(number, number) for number in range(good)]


def test_an_input_that_cannot_be_sent_is_named() -> None:
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError), match="pickle"):
        list(workers.run_calls(len, [([],), ((one for one in ()),)], shared=lambda _: (), n_jobs=2))


@pytest.mark.parametrize("sent_bytes", [workers.SENT_BYTES, 0])  # other processes are started for 0, so it is the last
def test_rows_that_are_sent_and_rows_that_all_processes_read(sent_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(3000, 60)), random.integers(3, size=3000)
    task = find_task(y)
    problem = Problem(task, Rows(torch.from_numpy(x), torch.from_numpy(np.ascontiguousarray(task.encode(y))), None))
    spec, recipe = mn.MLP(hidden=(4,)), mn.Recipe(epochs=1, dtype="float64")
    members = [Member(number, spec, recipe, initial_parameters(spec, 60, 3, seed=number)) for number in range(4)]
    limits: list[int] = []

    def noted(**options: Any) -> Any:
        limits.append(options["max_nbytes"])
        return Parallel(**options)

    monkeypatch.setattr("sklearn.utils.parallel.Parallel", noted)
    monkeypatch.setattr(workers, "SENT_BYTES", sent_bytes)
    found = train_in_processes(problem, members, n_jobs=2)
    assert limits == [sent_bytes]
    for result, alone in zip(found, train_what_can(problem, members), strict=True):
        for name, value in alone.parameters.items():  # type: ignore[union-attr]
            np.testing.assert_allclose(result.parameters[name], value, rtol=1e-10, atol=1e-12)  # type: ignore[union-attr]
