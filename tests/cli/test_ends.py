"""How commands end that are stopped, or that meet a full disk: no signal is lost, and no work."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from manynets.cli import sweep_results
from manynets.cli.signals import AGAIN, Stopped, handled_signals
from tests.cli.conftest import KIND, Call


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_destructor_is_not_lost(number: int) -> None:
    class Dropped:
        def __del__(self) -> None:
            signal.raise_signal(number)

    def work() -> None:
        with handled_signals():
            Dropped()
            time.sleep(5)

    with pytest.raises(Stopped) as stopped:
        work()
    assert stopped.value.number == number


def test_a_signal_that_is_sent_again_too_soon_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dropped:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    class Timer(threading.Timer):
        def start(self) -> None:
            if started:
                super().start()
            else:  # its time is over before Python has left the hook
                started.append(True)
                signal.raise_signal(signal.SIGTERM)

    def work() -> None:
        with handled_signals():
            Dropped()
            time.sleep(5)

    started: list[bool] = []
    late: list[int] = []
    monkeypatch.setattr(threading, "Timer", Timer)
    before = signal.signal(signal.SIGTERM, lambda number, _: late.append(number))
    try:
        with pytest.raises(Stopped):
            work()
        time.sleep(10 * AGAIN)  # in which the second one would come
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not late


@pytest.mark.parametrize("line", ["train moons --hidden 4 --epochs 2", "sweep moons --hidden 4 --epochs 2 --grid lr=0.1,0.2"])
def test_a_signal_of_which_compiled_code_makes_another_error(line: str, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(*_given: Any, **_more: Any) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except Stopped:
            raise ValueError("Invalid affine transformation matrix") from None

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", drawn)
    done = call(*line.split(), "-q", "--out", "out")
    assert done.code == 128 + signal.SIGTERM
    assert done.err.startswith("terminated; ")
    assert done.err.count("\n") == 1


SWEEP = ("sweep", *KIND, "--out", "swept", "--grid", "lr=0.1,0.2")


def full(*_given: Any, **_more: Any) -> None:
    raise OSError(28, "No space left on device", "swept/file")


def test_a_sweep_that_cannot_begin_leaves_what_was_there(call: Call, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def files() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file() and path != table}

    def fails_once(*given: Any) -> None:
        renamed.append(given)
        if len(renamed) == 2:
            full()
        rename(*given)

    renamed, rename = [], os.rename
    assert call(*SWEEP, table).code == 0
    before = files()
    with monkeypatch.context() as patch:
        patch.setattr("manynets.cli.sweep_results.replacing", full)
        assert "No space left" in call(*SWEEP, table, "--out", "new").err
        assert not Path("new").exists()
    for name, fault in (("manynets.cli.sweep_results.replacing", full), ("manynets.cli.sweep_results.os.rename", fails_once)):
        with monkeypatch.context() as patch:
            patch.setattr(name, fault)
            assert "No space left" in call(*SWEEP, table, "--overwrite").err
        assert files() == before
    assert len(renamed) > 2


def test_a_sweep_that_meets_a_full_disk_says_how_to_resume(call: Call, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("manynets.cli.sweeping.draw", full)
        done = call(*SWEEP, table)
    assert done.code == 2
    told = "2 networks are saved in swept/results.csv; resume with the same command and --resume --out swept\nerror: swept/file: No space left on device"
    assert told in done.err.replace(os.sep, "/")
    assert call(*SWEEP, table, "--resume").code == 0


def test_a_result_that_a_full_disk_did_not_take_is_not_said_to_be_saved(
    call: Call, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def writing(path: Path) -> Any:
        written.append(path.name)
        return full() if written.count("results.csv") == room else replacing(path)

    written, replacing = list[str](), sweep_results.replacing
    monkeypatch.setattr(sweep_results, "replacing", writing)
    room = 1
    done = call(*SWEEP, table, "--grid", "batch_size=8,1000")  # of which one cannot be trained, which is the first result
    assert done.err == "error: swept/file: No space left on device\n"
    assert not Path("swept").exists()
    written.clear()
    room = 2
    done = call(*SWEEP, table, "--at-most", "1")
    assert done.err.replace(os.sep, "/").startswith("1 network is saved in swept/results.csv, those in training in")
    room = 0
    assert call(*SWEEP, table, "--at-most", "1", "--resume").code == 0
