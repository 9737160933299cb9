"""Networks trained by the workers of a dask cluster, some of which are killed, are those of one machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import scale

import manynets as mn
from manynets.search import processes
from manynets.training.events import Advanced, Event

distributed = pytest.importorskip("distributed")
dask = pytest.importorskip("dask")
X, Y = load_breast_cancer(return_X_y=True)
X = scale(X)

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning:distributed"),
    pytest.mark.skipif(os.name != "posix", reason="kills processes by SIGKILL"),
]


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    options: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "silence_logs": 60}
    patient = dask.config.set(
        {"distributed.deploy.lost-worker-timeout": "10 minutes"}
    )  # else a worker not back in 15 s is given up
    with patient, distributed.LocalCluster(host="127.0.0.1", **options) as cluster, distributed.Client(cluster) as client:
        yield client


def kill_a_worker(client: Any, number: int = 0) -> bool:
    """Kill one of the workers; return whether there was one."""
    pids = sorted(client.run(os.getpid, on_error="ignore").values(), key=str)
    if pids:
        os.kill(pids[number % len(pids)], signal.SIGKILL)
    return bool(pids)


def candidates(count: int, epochs: int) -> list[tuple[mn.MLP, mn.Recipe]]:
    return [
        (mn.MLP(hidden=hidden), mn.Recipe(optimizer=mn.Adam(lr=lr), epochs=epochs))
        for hidden in ((32, 32), (16,))
        for lr in np.geomspace(1e-3, 1e-1, count).tolist()
    ]


def same_bits(first: list[Any], second: list[Any]) -> bool:
    assert [(one.candidate, one.fold) for one in first] == [(one.candidate, one.fold) for one in second]
    return all(
        np.array_equal(value, two.parameters[name])
        for one, two in zip(first, second, strict=True)
        for name, value in one.parameters.items()
    )


def test_a_killed_worker_costs_nothing_but_time(client: Any) -> None:
    tries = candidates(8, 20)
    expected = mn.train_many(X, Y, tries, cv=2, scaling=False, progress=False)
    steps: list[int] = []

    def watch(event: Event) -> None:
        if isinstance(event, Advanced):
            if not steps:
                kill_a_worker(client)
            steps.append(event.step)

    with joblib.parallel_config("dask"):
        found = mn.train_many(X, Y, tries, cv=2, callbacks=[watch], scaling=False, progress=False)
    assert steps == sorted(set(steps))
    assert steps[-1] == len(expected) == 32  # each network was counted, once
    assert len(steps) > 2
    assert same_bits(found, expected)
    np.testing.assert_allclose([one.score for one in found], [one.score for one in expected], rtol=1e-6)


def test_a_search(client: Any) -> None:
    net = mn.MLPClassifier(8, max_iter=8, random_state=0)
    grid = {"learning_rate_init": [0.003, 0.03], "hidden_layer_sizes": [(4,), (6, 3)]}
    one = mn.MLPSearchCV(net, grid, cv=2).fit(X, Y)
    with joblib.parallel_config("dask"):
        two = mn.MLPSearchCV(net, grid, cv=2, n_jobs=-1).fit(X, Y)
    np.testing.assert_allclose(two.cv_results_["mean_test_score"], one.cv_results_["mean_test_score"], rtol=1e-9)


def test_what_a_network_cannot_do_is_its_own_failure(client: Any) -> None:
    tries = [(mn.MLP(hidden=(4,)), mn.Recipe(epochs=1, loss=loss)) for loss in (None, "squared_error")]
    with joblib.parallel_config("dask"):
        good, bad = mn.train_many(X, Y, tries, scaling=False, progress=False)
    assert (good.stopped, bad.stopped) == ("done", "failed")
    assert "squared_error" in str(bad.error)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_twenty_killed_workers(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PIECE", 1e8)
    tries = candidates(24, 50)
    expected = mn.train_many(X, Y, tries, cv=4, scaling=False, progress=False)
    steps: list[int] = []
    killed = 0

    def watch(event: Event) -> None:
        nonlocal killed
        if isinstance(event, Advanced):
            if killed < 20:
                killed += kill_a_worker(client, len(steps))
            steps.append(event.step)

    with joblib.parallel_config("dask"):
        found = mn.train_many(X, Y, tries, cv=4, callbacks=[watch], scaling=False, progress=False)
    assert killed == 20
    assert steps == sorted(set(steps))
    assert steps[-1] == len(expected) == 192
    assert same_bits(found, expected)
