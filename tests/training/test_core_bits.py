"""The numbers of the compiled core depend on nothing but the network; and what surrounds it: threads, memory, forks."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import gc
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from manynets import constants, core, rng, spec
from tests.training.core_cases import (
    COLUMNS,
    NETWORKS,
    OPTIMIZERS,
    RICH,
    ROWS,
    Case,
    Data,
    assert_same,
    run,
)

pytestmark = pytest.mark.skipif(core.load() is None, reason="there is no compiled core")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_together_as_alone(dtype: Any) -> None:
    case = dataclasses.replace(RICH, dtype=dtype)
    together = run(case)
    for i in range(NETWORKS):
        alone = run(case, only=[i])
        np.testing.assert_array_equal(alone.flat[0], together.flat[i])
        np.testing.assert_array_equal(alone.statistics[0], together.statistics[i])
        np.testing.assert_array_equal(alone.log[:, 0], together.log[:, i])


@pytest.mark.parametrize("other", [spec.SGD(lr=0.1, momentum=0.9), spec.SGD(lr=0.1, weight_decay=0.1)])
def test_plain_sgd_beside_other_networks_as_alone(other: spec.SGD) -> None:
    """Its step is made on the way back, whatever the others need."""
    plain = spec.SGD(lr=0.1)
    case = Case(hidden=(9, 200), columns=300, dtype=np.float32, optimizers=(plain, other, plain))
    together, alone = run(case), run(dataclasses.replace(case, optimizers=[plain] * 3))
    for i in (0, 2):
        np.testing.assert_array_equal(alone.flat[i], together.flat[i])
        np.testing.assert_array_equal(alone.log[:, i], together.log[:, i])
    assert not np.array_equal(alone.flat[1], together.flat[1])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_one_call_as_several(dtype: Any) -> None:
    case = dataclasses.replace(RICH, dtype=dtype)
    assert_same(run(case, cuts=[1, 3]), run(case))


def test_one_thread_as_two() -> None:
    case = dataclasses.replace(
        RICH, hidden=(64, 64), rows=1000, counts=(1000, 900, 970) * 4, batch=100, optimizers=tuple(RICH.optimizers) * 4,
        **{name: getattr(RICH, name) * 4 for name in ("l1", "l2", "clip", "smoothing")},
    )  # fmt: skip
    assert_same(run(case, threads=2), run(case))


SHARED = Case(
    hidden=(300, 200), columns=270, rows=300, batch=100, counts=(300, 210, 300), outputs=3, loss="softmax", weights="own",
    rates=(0.1, 0.3, 0.2), activation="gelu",
)  # fmt: skip


@pytest.mark.parametrize("threads", [2, 5])
@pytest.mark.parametrize(
    "case",
    [
        dataclasses.replace(SHARED, dtype=np.float32, optimizers=(spec.SGD(lr=0.1),) * 3),
        dataclasses.replace(SHARED, batch_norm=True, l2=(0.0, 0.1, 0.0), clip=(0.5, None, None)),
    ],
    ids=["plain SGD", "Adam"],
)
def test_one_thread_as_several_that_share_a_network(case: Case, threads: int) -> None:
    """Those that find no network left take columns of the layers of others."""
    alone = run(case, only=[1])
    np.testing.assert_array_equal(run(case, only=[1], threads=threads).flat, alone.flat)
    assert_same(run(case, threads=threads), run(case))


def test_one_thread_as_several_that_share_an_evaluation() -> None:
    case = dataclasses.replace(SHARED, hidden=(900, 450), batch_norm=True)
    assert_same(run(case, threads=3, evaluate=True), run(case, evaluate=True))


@pytest.mark.skipif(core.usable_threads() < 2, reason="there is one processor")
@pytest.mark.parametrize("evaluate", [False, True])
def test_a_large_network_is_shared(evaluate: bool) -> None:
    """Unless the processors are busy: then it goes on alone for a while."""
    case = dataclasses.replace(SHARED, hidden=(900, 900), rows=2000, counts=(2000,), optimizers=SHARED.optimizers[:1])
    for _ in range(40):
        all_threads, this_thread = time.process_time(), time.thread_time()
        run(case, threads=2, evaluate=evaluate)
        this_thread = time.thread_time() - this_thread
        if time.process_time() - all_threads - this_thread > 0.1 * this_thread:
            return
        time.sleep(0.25)
    raise AssertionError("no other thread helped")


def test_inactive_networks_stay() -> None:
    case = dataclasses.replace(RICH)
    train = core.train

    def skip(job: core.Job) -> None:
        ctypes.memset(job.active + 1, 0, 1)
        train(job)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(core, "train", skip)
        made = run(case)
    expected = run(case)
    np.testing.assert_array_equal(made.flat[[0, 2]], expected.flat[[0, 2]])
    np.testing.assert_array_equal(made.flat[1], Data(case).flat[1])
    np.testing.assert_array_equal(made.log[:, 1], 0.0)


def test_not_a_number_shows_in_the_loss() -> None:
    case = Case(activation="relu")
    data = Data(case)
    data.flat[1, 0] = np.nan
    original = Data.__init__

    def broken(self: Data, case: Case) -> None:
        original(self, case)
        self.flat[1, 0] = np.nan

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Data, "__init__", broken)
        made = run(case)
    assert np.isnan(made.log[0, 1, 0])
    np.testing.assert_array_equal(made.flat[[0, 2]], run(case).flat[[0, 2]])


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_gradient_that_is_not_finite_shows_in_the_weights(kind: Any) -> None:
    """The penalty's is infinite in float32."""
    made = run(Case(hidden=(), dtype=np.float32, optimizers=[kind(lr=0.01)] * NETWORKS, l2=(1e39,) * NETWORKS, batch=ROWS))
    assert not np.isfinite(made.flat[:, :COLUMNS]).any()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:os.fork")  # by JAX, where another test has loaded it
def test_a_forked_child_trains() -> None:
    case = dataclasses.replace(RICH, hidden=(64, 64), rows=1000, counts=(1000,) * NETWORKS, batch=10)
    expected = run(case, threads=2)
    gc.collect()
    child = os.fork()
    if child == 0:
        same = np.array_equal(run(case, threads=2).flat, expected.flat)
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux is told where threads run")
def test_all_processors_stay_allowed() -> None:
    """New threads are moved away from the processor of the first one, but only to begin with."""
    allowed, before = os.sched_getaffinity(0), {int(name) for name in os.listdir("/proc/self/task")}
    seen: dict[int, list[set[int]]] = {}
    case = dataclasses.replace(RICH, hidden=(256, 256), rows=1000, counts=(1000,) * NETWORKS, batch=10)
    running = threading.Thread(target=lambda: run(case, threads=2))
    running.start()
    while running.is_alive():
        for thread in {int(name) for name in os.listdir("/proc/self/task")} - before:
            with contextlib.suppress(OSError):  # it has ended
                seen.setdefault(thread, []).append(os.sched_getaffinity(thread))
    running.join()
    assert len(seen) == 2  # the one that calls, and the one that helps
    assert all(each[len(each) // 2 :].count(allowed) > len(each) / 4 for each in seen.values())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux is told where threads run")
def test_one_processor() -> None:
    allowed, case = (
        os.sched_getaffinity(0),
        dataclasses.replace(RICH, hidden=(64, 64), rows=1000, counts=(1000,) * NETWORKS, batch=10),
    )
    expected = run(case, threads=2)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert np.array_equal(run(case, threads=2).flat, expected.flat)
        assert os.sched_getaffinity(0) == {min(allowed)}
    finally:
        os.sched_setaffinity(0, allowed)


def test_global_state_stays() -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].tobytes()  # noqa: NPY002
    tiny = np.array([1e-310])
    run(RICH)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.random.get_state()[1].tobytes() == numpy_state  # noqa: NPY002
    assert (tiny / 2 > 0).all()
    assert float(torch.from_numpy(tiny)[0] / 2) > 0


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 100, 4097, 65535, 65536, 65537, 70001])
def test_permutations(rows: int) -> None:
    keys = np.array([rng.stream_key(seed, "permutation", 7) for seed in range(4)], np.uint64)
    out = np.full((4, rows + 2), -1)
    core.permutations(keys, rows, out, threads=2)
    for seed in range(4):
        np.testing.assert_array_equal(out[seed, :rows], rng.permutation(seed, 7, rows))
    assert (out[:, rows:] == -1).all()


def test_permutations_need_room() -> None:
    with pytest.raises(ValueError, match="contiguous"):
        core.permutations(np.zeros(2, np.uint64), 5, np.zeros((2, 4), np.int64))


def test_without_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "compiled core (" in core.description()
    monkeypatch.setenv("MANYNETS_NO_CORE", "1")
    assert core.load() is None
    assert core.description() == "no compiled core"
    with pytest.raises(RuntimeError, match="load"):
        core.train(core.Job())


def test_usable_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    most = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    assert 1 <= core.usable_threads() <= (most or 1)
    for text, expected in (("50000 100000\n", 1), ("max 100000\n", most)):
        folder = tmp_path / str(expected)
        folder.mkdir()
        (folder / "cpu.max").write_text(text)
        monkeypatch.setattr(core, "CGROUP", folder)
        assert core.usable_threads() == expected


def test_too_little_memory_is_an_error_that_changes_nothing() -> None:
    """In a process of its own: a limit on memory makes the allocation of the buffers fail."""
    script = """
import resource, numpy as np, manynets as mn
from manynets import core
X = np.zeros((64, 3)); y = np.arange(64) % 2
mn.train(X, y, mn.MLP(hidden=(4,)), mn.Recipe(epochs=1), progress=False)
recipe = mn.Recipe(epochs=1, batch_size=64, gradient="compiled")
pages = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (pages + (60 << 20), resource.RLIM_INFINITY))
try:
    mn.train(X, y, mn.MLP(hidden=(200_000, 5)), recipe, progress=False)
except MemoryError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "there is too little memory for the buffers of a training step" in done.stdout


def test_the_constants_are_those_of_python() -> None:
    source = Path(core.__file__).with_name("core.cpp").read_text(encoding="utf-8")
    names = {"BATCH_NORM_EPS": "BN_EPS", "BATCH_NORM_MOMENTUM": "BN_MOMENTUM", "CLIP_EPS": "CLIP_EPS"}
    names |= {"ALPHA": "SELU_ALPHA", "SCALE": "SELU_SCALE"}
    for ours, python in names.items():
        found = re.search(rf"\b{ours} = (?:T\()?([\d.e-]+)", source)
        assert found is not None, ours
        assert float(found[1]) == getattr(constants, python), ours
