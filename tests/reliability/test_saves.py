"""Cases 35 to 41: kill -9, a full disk, a broken disk, a folder that is not writable, and the order of what is written."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets import modelfile
from manynets.training import checkpoint as module
from manynets.training.checkpoint import Checkpoint, checkpoint_files, newest_checkpoint, write_checkpoint

X = np.random.default_rng(0).standard_normal((60, 3))
RECIPE = mn.Recipe(epochs=4, batch_size=20)


os_replace = os.replace


def fit(seed: int = 0, **more: Any) -> mn.Model:
    return mn.train(X, X[:, 0], mn.MLP(hidden=(3,)), RECIPE, seed=seed, scaling=False, progress=False, **more)


def saves(folder: Path) -> dict[str, tuple[Path, Callable[[], None], Callable[[], Any]]]:
    """Return ways to save over an old file: its path, the save, and a reading."""
    fit(checkpoint=Checkpoint(folder=folder / "run"))
    place = checkpoint_files(folder / "run")[0]
    _, state, system = newest_checkpoint(place)
    model, other = fit(), fit(seed=1)
    model.save(folder / "model")
    return {
        "model": (
            folder / "model",
            lambda: other.save(folder / "model"),
            lambda: mn.load(folder / "model").members[0]["output.weight"].tobytes(),
        ),
        "checkpoint": (
            place,
            lambda: write_checkpoint(place, state, system={**system, "threads": 99}),
            lambda: newest_checkpoint(place)[2],
        ),
    }


class Disk:
    """Fails at operation number `at` of a save with an error; counts the operations."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, error: BaseException) -> None:
        self.at, self.error, self.count = at, error, 0
        self.renamed = False
        for name in ("fsync", "chmod", "replace"):
            monkeypatch.setattr(modelfile.os, name, self.failing(getattr(os, name)))
        fdopen = os.fdopen
        monkeypatch.setattr(modelfile.os, "fdopen", lambda *args: Failing(fdopen(*args), self))
        monkeypatch.setattr(modelfile.tempfile, "mkstemp", self.failing(tempfile.mkstemp))

    def failing(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **more: Any) -> Any:
            self.count += 1
            if self.count - 1 == self.at:
                raise self.error
            result = call(*args, **more)
            self.renamed |= call is os_replace
            return result

        return wrapped


class Failing:
    """A file whose writes and flushes are operations of a Disk."""

    def __init__(self, file: Any, disk: Disk) -> None:
        self.file = file
        self.write, self.flush = disk.failing(file.write), disk.failing(file.flush)
        self.fileno = file.fileno

    def __enter__(self) -> Failing:
        return self

    def __exit__(self, *args: object) -> None:
        self.file.close()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("kind", ["model", "checkpoint"])
def test_case_37_an_error_at_every_operation_of_a_save(kind: str, code: int, tmp_path: Path) -> None:
    path, save, read = saves(tmp_path)[kind]
    old, names = read(), sorted(os.listdir(path.parent))
    at = 0
    while True:
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch, at, OSError(code, os.strerror(code)))
            try:
                save()
            except OSError as error:
                told = (error.errno, str(error.filename))
            else:
                break
        assert told == (code, str(path))
        assert sorted(os.listdir(path.parent)) == names
        if not disk.renamed:  # the sync of the folder comes after it
            assert read() == old
        at += 1
    assert at >= 8  # temporary file, writes, flush, fsync, chmod, rename, fsync of the folder
    assert read() != old


@pytest.mark.parametrize("kind", ["model", "checkpoint"])
def test_case_37_a_file_size_limit_at_every_length(kind: str, tmp_path: Path) -> None:
    path, save, read = saves(tmp_path)[kind]
    old, names, size = read(), sorted(os.listdir(path.parent)), path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in range(0, size, 97):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(OSError, match=r".") as caught:
                save()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(path))
        assert read() == old
        assert sorted(os.listdir(path.parent)) == names


@pytest.mark.slow
def test_case_37_a_full_disk(tmp_path: Path) -> None:
    """On a tmpfs of 3 MB: saves at every fill, a training, the command, and a sweep; see tests.reliability.disk."""
    mount = f"mount -t tmpfs -o size=3m none {tmp_path}"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    root = Path(mn.__file__).parents[1]
    line = f"{mount} && exec {sys.executable} -m tests.reliability.disk {tmp_path}"
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(["unshare", "-rm", "sh", "-c", line], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    print(figures)
    assert figures.pop("megabytes") == 3.0
    assert min(figures.values()) > 2, figures


def test_case_39_memory_error_in_a_save(tmp_path: Path) -> None:
    path, save, read = saves(tmp_path)["model"]
    old, names = read(), sorted(os.listdir(path.parent))
    for at in range(8):
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, at, MemoryError("at work"))
            with pytest.raises(MemoryError, match="at work"):
                save()
        assert sorted(os.listdir(path.parent)) == names
        if at < 7:
            assert read() == old


def test_cases_36_and_41_the_order_of_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is synced before it is renamed, the folder after; it is read back before an older one is deleted."""
    fit(checkpoint=Checkpoint(folder=tmp_path, every_epochs=1, keep=1))
    log: list[str] = []

    def note(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **more: Any) -> Any:
            log.append(name)
            return call(*args, **more)

        return wrapped

    monkeypatch.setattr(modelfile.os, "fsync", note("fsync", os.fsync))
    monkeypatch.setattr(modelfile.os, "replace", note("replace", os.replace))
    monkeypatch.setattr(module, "read_checkpoint", note("read", module.read_checkpoint))
    monkeypatch.setattr(Path, "unlink", note("unlink", Path.unlink))
    shutil.rmtree(tmp_path)
    fit(checkpoint=Checkpoint(folder=tmp_path, every_steps=6, keep=1))
    one = ["fsync", "replace", "fsync", "read"]
    assert log == ["fsync", "replace", "fsync", "unlink", *one, *one, "unlink"]
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000012.checkpoint"]


def test_a_checkpoint_that_fails_does_not_end_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = fit()
    write, calls = module.write_checkpoint, 0

    def full(path: Any, *args: Any, **more: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, *args, **more)

    monkeypatch.setattr(module, "write_checkpoint", full)
    with pytest.warns(mn.CheckpointWarning, match=r"step-000000006.checkpoint.*training goes on"):
        model = fit(checkpoint=Checkpoint(folder=tmp_path, every_steps=3))
    assert model.history["loss"] == plain.history["loss"]
    assert [path.name for path in checkpoint_files(tmp_path)] == ["step-000000012.checkpoint", "step-000000009.checkpoint"]


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Within: without root's rights."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_case_38_a_folder_that_is_not_writable_is_told_before_epoch_1() -> None:
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o555)
    events: list[Any] = []
    try:
        for place in (folder, folder / "run"):
            with as_nobody(), pytest.raises(PermissionError, match="checkpoints cannot be written") as caught:
                fit(checkpoint=Checkpoint(folder=place), callbacks=[events.append])
            assert caught.value.filename == str(place)
        with as_nobody(), pytest.raises(PermissionError) as caught:
            fit().save(folder / "model")
        assert caught.value.filename == str(folder / "model")
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)
    assert events == []


def test_a_disk_without_space_is_told_before_epoch_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda place: usage._replace(free=100))
    events: list[Any] = []
    with pytest.raises(OSError, match=r"No space left on device: checkpoints need [\d,]+ bytes") as caught:
        fit(checkpoint=Checkpoint(folder=tmp_path), callbacks=[events.append])
    assert (caught.value.errno, caught.value.filename, events) == (errno.ENOSPC, str(tmp_path), [])


@pytest.mark.parametrize(
    "given",
    [{"every_steps": 0}, {"every_epochs": 1.5}, {"keep": 0}, {"keep": None}, {"every_seconds": -1}, {"every_seconds": True}],
)
def test_the_options_of_a_checkpoint(given: dict[str, Any]) -> None:
    with pytest.raises(mn.OptionError, match=rf"Checkpoint\.{next(iter(given))} is"):
        Checkpoint(folder="x", **given)


def test_checkpoints_by_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10**6, 4))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    fit(checkpoint=Checkpoint(folder=tmp_path, every_seconds=4, keep=100))
    assert len(checkpoint_files(tmp_path)) > 1  # each look at the clock, after a call of the stepper, is 4 seconds later


def script(kills: int, seed: int) -> None:
    """In a process of its own: this one has threads, which do not survive a fork."""
    root = Path(__file__).parents[2]
    words = [sys.executable, "-m", "tests.reliability.kills", str(kills), str(seed)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    figures = json.loads(done.stdout)
    assert figures["kills"] == kills
    assert (figures["losses"], figures["damaged"], figures["failed"]) == (0, 0, 0), done.stderr[-2000:]
    assert figures["same bits"] == figures["trainings"] > 0


def test_case_35_random_kills() -> None:
    script(12, 3)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_case_35_a_thousand_random_kills() -> None:
    script(1000, 7)
