"""Cases 31 to 33: divergence, Ctrl-C and SIGTERM; and `--resume` and `rerun` of the command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import manynets as mn
from manynets.cli import main
from manynets.runs import read_run
from manynets.training.checkpoint import Checkpoint, checkpoint_files
from manynets.training.events import Advanced, Evaluated, Started
from manynets.training.torch_settings import find_device

pytestmark = pytest.mark.usefixtures("blank_pictures")

X = np.random.default_rng(0).standard_normal((200, 4))
Y = X[:, 0] + X[:, 1] ** 2
SPEC, RECIPE = mn.MLP(hidden=(8,), dropout=0.1), mn.Recipe(epochs=6, batch_size=16)


def fit(**more: Any) -> mn.Model:
    return mn.train(X, Y, SPEC, RECIPE, validation=0.2, scaling=False, progress=False, **more)


def after(step: int, number: int = signal.SIGINT, *, kind: type = Advanced) -> Callable[[Any], None]:
    """Return a callback that sends this process a signal once that many steps were made."""

    def callback(event: Any) -> None:
        if isinstance(event, kind) and event.step >= step and not sent:
            sent.append(step)
            signal.raise_signal(number)

    sent: list[int] = []
    return callback


# ----------------------------------------------------------------------------------------------------------------- in Python


def at_the_start(event: Any) -> None:
    """A callback that sends this process a signal before the first step."""
    if isinstance(event, Started):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("more", [{}, {"n_networks": 3}, {"n_networks": 3, "validation": "folds"}])
def test_case_33_an_interrupt_before_the_first_step(more: dict[str, Any]) -> None:
    with pytest.warns(mn.InterruptedWarning, match="interrupted after 0 steps"):
        model = mn.train(X, Y, SPEC, RECIPE, scaling=False, progress=False, callbacks=[at_the_start], **more)
    assert set(model.info["stopped"]) == {"interrupted"}
    assert model.history == {}
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("more", [{}, {"n_networks": 2}, {"early_stopping": True, "n_networks": 2}])
def test_case_33_an_interrupt_before_the_first_step_of_an_estimator(more: dict[str, Any]) -> None:
    estimator = mn.MLPRegressor(hidden_layer_sizes=(8,), callbacks=[at_the_start], **more)
    with pytest.warns(mn.InterruptedWarning, match="interrupted after 0 steps"):
        estimator.fit(X, Y)
    assert (estimator.n_iter_, estimator.loss_curve_, estimator.best_loss_) == (0, [], None)
    assert np.isnan(estimator.loss_)
    estimator.set_params(callbacks=None, max_iter=2, warm_start=True)
    with pytest.warns(Warning, match="Maximum iterations"):
        assert len(estimator.fit(X, Y).loss_curve_) == 2


@pytest.mark.parametrize("step", [1, 10, 25, 41])
def test_case_33_an_interrupt_keeps_the_best_weights(step: int) -> None:
    plain = fit()
    with pytest.warns(
        mn.InterruptedWarning, match=r"training was interrupted after \d+ steps; the result has the best weights so far"
    ):
        model = fit(callbacks=[after(step)])
    assert model.info["stopped"] == ["interrupted"]
    made = model.history["step"][-1]
    assert step <= made < 60
    assert model.history["val_loss"][model.info["best"]] == min(model.history["val_loss"])
    whole = int(made // 10)  # epochs of 10 steps; an entry for the steps since may follow
    assert model.history["val_loss"][:whole] == plain.history["val_loss"][:whole]
    assert np.isfinite(model.predict(X)).all()


def test_the_handlers_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.warns(mn.InterruptedWarning):
        fit(callbacks=[after(5)])
    fit()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_second_interrupt_stops_at_once() -> None:
    def twice(event: Any) -> None:
        if isinstance(event, Advanced):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(callbacks=[twice])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("kind", [Advanced, Evaluated])
@pytest.mark.parametrize("step", [1, 7, 30])
def test_interrupted_and_resumed_is_never_interrupted(step: int, kind: type, tmp_path: Path) -> None:
    plain = fit()
    with pytest.warns(mn.InterruptedWarning):
        stopped = fit(checkpoint=Checkpoint(folder=tmp_path), callbacks=[after(step, kind=kind)])
    assert stopped.info["stopped"] == ["interrupted"]
    assert len(checkpoint_files(tmp_path)) == 1
    resumed = fit(checkpoint=Checkpoint(folder=tmp_path), resume=tmp_path)
    assert resumed.info["stopped"] == ["done"]
    assert all(np.array_equal(resumed.members[0][name], value) for name, value in plain.members[0].items())
    assert resumed.history["loss"] == plain.history["loss"]


def test_sigterm_has_a_checkpoint_written_and_takes_its_course(tmp_path: Path) -> None:
    caught: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: caught.append(number))
    try:
        with pytest.warns(mn.InterruptedWarning):
            fit(checkpoint=Checkpoint(folder=tmp_path), callbacks=[after(12, signal.SIGTERM)])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert caught == [signal.SIGTERM]
    assert len(checkpoint_files(tmp_path)) == 1


def test_other_threads_may_train() -> None:
    results: list[mn.Model] = []
    thread = threading.Thread(target=lambda: results.append(fit()))
    thread.start()
    thread.join()
    assert results[0].history["loss"] == fit().history["loss"]


def test_an_estimator_keeps_the_best_weights() -> None:
    from manynets.estimators import MLPRegressor

    estimator = MLPRegressor(max_iter=50, callbacks=[after(30)], random_state=0)
    with pytest.warns(mn.InterruptedWarning):
        estimator.fit(X, Y)
    assert estimator.n_iter_ < 50
    assert np.isfinite(estimator.predict(X)).all()


@pytest.mark.parametrize("gradient", ["compiled", "closed_form", "autograd"])
def test_cases_31_and_32_divergence(gradient: Any, tmp_path: Path) -> None:
    recipe = mn.Recipe(epochs=6, batch_size=16, optimizer=mn.SGD(lr=1e6), gradient=gradient)
    with pytest.warns(mn.DivergenceWarning, match=r"not finite in epoch 1, step \d+, at learning rate 1e\+06"):
        model = mn.train(
            X, Y, SPEC, recipe, scaling=False, progress=False, checkpoint=Checkpoint(folder=tmp_path, every_steps=1, keep=50)
        )
    assert model.info["stopped"] == ["diverged"]
    assert all(np.isfinite(value).all() for value in model.members[0].values())
    model.save(tmp_path / "model")
    assert np.isfinite(mn.load(tmp_path / "model").predict(X)).all()
    for file in checkpoint_files(tmp_path)[::3]:
        with pytest.warns(mn.DivergenceWarning):
            again = mn.train(X, Y, SPEC, recipe, scaling=False, progress=False, resume=file)
        assert again.history["loss"] == pytest.approx(model.history["loss"], nan_ok=True, abs=0)


# --------------------------------------------------------------------------------------------------------- the command line

TRAIN = ("train", "moons", "--hidden", "8", "--epochs", "30", "--batch-size", "16", "--points", "400", "--out", "run")


def call(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert isinstance(ended.value.code, int)
    return ended.value.code


def observed(monkeypatch: pytest.MonkeyPatch, callback: Callable[[Any], None]) -> None:
    """Have the command's training watched."""
    import manynets.cli.fit as module

    train = mn.train
    monkeypatch.setattr(module.manynets, "train", lambda *args, **more: train(*args, **more, callbacks=[callback]))


@pytest.mark.parametrize(("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")])
def test_case_33_the_command_writes_a_checkpoint_and_says_how_to_go_on(
    number: int, code: int, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(*TRAIN[:-1], "plain", "-q") == 0
    with monkeypatch.context() as patch:
        observed(patch, after(200, number))
        capsys.readouterr()
        assert call(*TRAIN) == code
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith(f"{word}; step 2")
    assert told.endswith("is saved in run.part; resume with: manynets train --resume run")
    assert not (tmp_path / "run").exists()
    assert call(*TRAIN) == 2
    assert "run.part holds an unfinished training" in capsys.readouterr().err
    assert call("train", "--resume", "run", "--epochs", "9") == 2
    assert "--resume takes all from the run run; leave out --epochs" in capsys.readouterr().err
    assert call("train", "--resume", "run", "-q") == 0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["plain", "run"]
    plain, resumed = read_run("plain"), read_run("run")
    assert plain.metrics == resumed.metrics
    assert all(np.array_equal(resumed.model.members[0][name], value) for name, value in plain.model.members[0].items())
    assert plain.model.history["loss"] == resumed.model.history["loss"]
    assert call("train", "--resume", "run") == 2
    assert "run is finished; there is nothing to resume" in capsys.readouterr().err


def test_the_command_writes_checkpoints_and_survives_a_full_disk_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    import manynets.cli.fit as module

    def full(*args: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device", "run")

    with monkeypatch.context() as patch:
        patch.setattr(module.runs, "write_run", full)
        assert call(*TRAIN, "--checkpoint-every", "10", "-q") == 2
    err = capsys.readouterr().err
    assert "the training is saved in run.part; resume with: manynets train --resume run" in err
    assert "error: run: No space left on device" in err
    assert len(checkpoint_files("run.part/checkpoints")) == 2
    assert call("train", "--resume", "run", "-q") == 0
    assert read_run("run").model.info["stopped"] == ["done"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", ["written", "removed", "failed"])
def test_a_stop_after_the_run_was_written(
    number: int, at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told that the run is there, and nothing of its training is left beside it."""
    import manynets.cli.fit as module
    from manynets.cli import checkpoints

    monkeypatch.chdir(tmp_path)
    write, remove = module.runs.write_run, checkpoints.shutil.rmtree

    def written(*args: Any, **more: Any) -> Any:
        place = write(*args, **more)
        if at == "failed":
            raise OSError(28, "No space left on device", "stdout")
        if at == "written":
            signal.raise_signal(number)
        return place

    def removed(place: Any, **more: Any) -> None:
        if at == "removed" and Path("run").exists() and not stopped:
            stopped.append(place)
            signal.raise_signal(number)
        remove(place, **more)

    stopped: list[Any] = []
    monkeypatch.setattr(module.runs, "write_run", written)
    monkeypatch.setattr(checkpoints.shutil, "rmtree", removed)
    assert call(*TRAIN, "-q") == (2 if at == "failed" else 128 + number)
    word = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[signal.Signals(number)]
    told = "error: stdout: No space left on device\n" if at == "failed" else f"{word}; the run is written to run\n"
    assert capsys.readouterr().err == told
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]
    assert read_run("run").model.info["stopped"] == ["done"]


def test_a_stop_between_two_renames_loses_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(*TRAIN, "-q") == 0
    old, rename = Path("run/model.safetensors").read_bytes(), os.rename

    def stopping(source: Any, target: Any) -> None:
        rename(source, target)
        if str(source) == "run":
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("ctypes.CDLL", lambda name: object())  # as on systems that cannot exchange two folders in one step
        patch.setattr(os, "rename", stopping)
        assert call(*TRAIN, "-q", "--overwrite", "--seed", "5") == 130
    assert Path("run/model.safetensors").read_bytes() == old
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["run", "run.part"]
    assert call("train", "--resume", "run", "-q") == 0
    assert read_run("run").config["options"]["seed"] == 5


@pytest.mark.parametrize("text", ["0", "x", "5 days", "-1", "1.5"])
def test_checkpoint_every_is_checked(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(*TRAIN, f"--checkpoint-every={text}") == 2
    assert f"--checkpoint-every is {text!r}, but must be" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("train", "--resume", "none") == 2
    assert "none is not an unfinished run" in capsys.readouterr().err
    assert call("train") == 2
    (tmp_path / "bad.part").mkdir()
    for text in ("{", "[]", "{}"):
        (tmp_path / "bad.part" / "options.json").write_text(text)
        assert call("train", "--resume", "bad") == 2
        assert "options.json" in capsys.readouterr().err


def real_process(folder: Path) -> subprocess.Popen[str]:
    """Return a process that trains as TRAIN does, but for longer, so that training takes its share."""
    environment = os.environ | {"PYTHONPATH": str(Path(mn.__file__).parents[1])}  # another folder, but the same package
    return subprocess.Popen(
        [sys.executable, "-m", "manynets", *LONG, "--out", "run"], cwd=folder, stderr=subprocess.PIPE, text=True, env=environment
    )


def stop_process(process: subprocess.Popen[str], number: int) -> None:
    """Send a signal, and check that exit code, message and files agree, and that what was saved goes on to the bits of `whole`."""
    process.send_signal(number)
    _, err = process.communicate(timeout=600)
    names = {entry.name for entry in Path().iterdir()} - {"whole"}
    if process.returncode == 0:  # it was already done
        assert names == {"run"}
    else:
        killed = process.returncode == -number
        early = killed and ", in main\n" not in err and not names  # Python was caught while it imports
        late = killed and names == {"run"} and not err  # or on its way out, with all done
        assert process.returncode == 128 + number or early or late, (err, names)
        assert "Traceback" not in err or early, err
        assert names in (set(), {"run.part"}, {"run"}), err
        if names == {"run.part"}:
            assert "resume with: manynets train --resume run" in err
            assert call("train", "--resume", "run", "-q") == 0
        if names:
            assert read_run("run").model.history["loss"] == read_run("whole").model.history["loss"]


LONG = ("train", "moons", "--hidden", "8", "--epochs", "150", "--batch-size", "16", "--points", "400", "-q")


def test_case_33_a_real_process_that_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(*LONG, "--out", "whole") == 0
    process = real_process(tmp_path)
    while not Path("run.part").exists() and process.poll() is None:
        time.sleep(0.01)
    stop_process(process, signal.SIGTERM)
    assert process.returncode in (0, 143)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_case_33_in_each_phase_of_a_real_process(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal at any moment: exit code 130 or 143, one line that says what became of the work, no traceback, no half a run."""
    monkeypatch.chdir(tmp_path)
    began = time.perf_counter()
    with real_process(tmp_path) as process:
        assert process.wait() == 0
    took = time.perf_counter() - began
    Path("run").rename("whole")
    moments = 30
    for k in range(moments):
        process = real_process(tmp_path)
        time.sleep(0.35 * took + 0.65 * took * k / moments)  # what comes before is the interpreter's start
        stop_process(process, number)
        for name in ("run", "run.part"):
            shutil.rmtree(name, ignore_errors=True)


def test_case_63_rerun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(*TRAIN, "-q") == 0
    capsys.readouterr()
    assert call("rerun", "run") == 0
    assert capsys.readouterr().out == "run: matched bit for bit: the weights, 30 entries of the history, all metrics\n"
    config = json.loads(Path("run/config.json").read_text())
    assert {"torch", "numpy", "python", "manynets"} <= set(config["info"]["versions"])
    assert config["info"]["threads"] >= 1
    config["options"]["seed"] = 1
    Path("run/config.json").write_text(json.dumps(config))
    assert call("rerun", "run", "--out", "again") == 1
    assert "run: did not match: lr of entry 1" in (out := capsys.readouterr().out) or "did not match: loss of entry 1" in out
    assert read_run("again").config["options"]["seed"] == 1
    del config["options"]
    Path("run/config.json").write_text(json.dumps(config))
    assert call("rerun", "run") == 2


@pytest.mark.parametrize("started", [False, True])
def test_case_64_cublas_is_told_before_cuda_starts(started: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "CUBLAS_WORKSPACE_CONFIG"
    monkeypatch.setenv(name, "")  # so that it is put back
    monkeypatch.delenv(name)
    for function, value in {"is_available": True, "device_count": 1, "is_initialized": started}.items():
        monkeypatch.setattr(torch.cuda, function, lambda value=value: value)
    find_device("cuda")
    assert name not in os.environ, "nobody asked for it"
    try:
        torch.use_deterministic_algorithms(True)
        find_device("cpu")
        assert name not in os.environ, "there is no cuBLAS on the CPU"
        if not started:
            assert find_device("auto").type == "cuda"
            assert os.environ[name] == ":4096:8"
            monkeypatch.setenv(name, ":16:8")
            find_device("cuda:0")
            assert os.environ[name] == ":16:8", "the user's own"
        else:
            with pytest.raises(mn.OptionError, match=r"is None, but .* is on and needs it to be :4096:8 or :16:8 before"):
                find_device("cuda")
            torch.use_deterministic_algorithms(True, warn_only=True)
            find_device("cuda")
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_warning_free_process_stays_so() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit()
    assert os.getpid() > 0
