"""Claims: exclusive, taken over from processes that have ended, and from machines that fell silent."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from manynets import claims
from manynets.claims import claim
from manynets.errors import ClaimedError


def owner_of(lock: Path) -> dict[str, Any]:
    return json.loads((lock / "owner").read_text(encoding="utf-8"))


def abandoned(lock: Path, **fields: Any) -> None:
    """Make a lock of another process."""
    own = {**dataclasses.asdict(claims.this_process()), "token": "other", **fields}
    lock.mkdir(parents=True)
    (lock / "owner").write_text(json.dumps(own), encoding="utf-8")


def test_a_claim_excludes_names_its_owner_and_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "new" / "run"
    with claim(target):
        lock = target.parent / ".run.lock"
        assert owner_of(lock)["pid"] == os.getpid()
        with pytest.raises(
            ClaimedError, match=r"run is in use by this process on \S+ since .*; wait until it has ended, or give another"
        ):
            claim(target, remedy="give another")
        with claim(target.parent / "other"):
            pass
    assert list(tmp_path.iterdir()) == []
    with claim(target):
        pass


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the process table")
def test_the_claim_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    code = f"import time; from manynets.claims import claim; held = claim({str(tmp_path / 'run')!r}); print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(ClaimedError, match=f"process {other.pid} on "):
            claim(tmp_path / "run")
        other.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 10
        while True:  # also before it is waited for, as a zombie
            try:
                claim(tmp_path / "run").release()
                break
            except ClaimedError:
                assert time.monotonic() < deadline
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the process table")
def test_a_process_number_in_use_again_is_not_the_owner(tmp_path: Path) -> None:
    abandoned(tmp_path / ".run.lock", start="1")
    claim(tmp_path / "run").release()


def test_a_claim_from_another_machine_holds_until_it_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / ".run.lock"
    abandoned(lock, machine="elsewhere", host="node7", pid=12)
    with pytest.raises(ClaimedError, match="process 12 on node7"):
        claim(tmp_path / "run")
    long_ago = time.time() - 2 * claims.STALE
    os.utime(lock, (long_ago, long_ago))
    with claim(tmp_path / "run"):
        assert owner_of(lock)["pid"] == os.getpid()


def test_a_damaged_owner_counts_as_another_process_until_it_is_silent(tmp_path: Path) -> None:
    lock = tmp_path / ".run.lock"
    lock.mkdir()
    (lock / "owner").write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(ClaimedError, match="in use by another process"):
        claim(tmp_path / "run")
    os.utime(lock, (0, 0))
    claim(tmp_path / "run").release()
    assert list(tmp_path.iterdir()) == []


def test_of_many_that_take_an_abandoned_claim_over_one_gets_it(tmp_path: Path) -> None:
    for _ in range(20):
        abandoned(tmp_path / ".run.lock", pid=2**22 + 1)
        held: list[claims.Claim] = []

        def take(held: list[claims.Claim] = held) -> None:
            with contextlib.suppress(ClaimedError):
                held.append(claim(tmp_path / "run"))

        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(held) == 1
        held[0].release()
        assert list(tmp_path.iterdir()) == []


def test_a_process_killed_while_it_took_over_blocks_nobody(tmp_path: Path) -> None:
    lock = tmp_path / ".run.lock"
    abandoned(lock, pid=2**22 + 1)
    abandoned(lock / "takeover", pid=2**22 + 2)
    with claim(tmp_path / "run"):
        assert owner_of(lock)["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_held_claims_are_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with claim(tmp_path / "run") as held:
        os.utime(held.lock, (0, 0))
        claims.touch()
        assert claims.age(held.lock) < claims.STALE


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a file system that makes no files")
def test_a_file_system_that_makes_no_files() -> None:
    with pytest.raises(FileNotFoundError, match="/proc/name"):
        claim("/proc/name")
