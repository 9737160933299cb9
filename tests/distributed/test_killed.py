"""Ranks that are killed: the others stop and name them, and torchrun's restarts end with the bits of an undisturbed run."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

import manynets as mn
from tests.tolerances import assert_close

KILLS = 50
TOGETHER = 0.7  # share of the kills that meet both ranks; one that is left looks for some seconds for the one that failed
COMMAND = ("-m", "manynets", "train", "digits", "--batch-norm", "--dropout", "0.2", "--epochs", "60")
HIDDEN = {"sent": "64", "in shared memory": "512,512"}  # networks whose gradients are summed in one way and the other
MORE = ("--checkpoint-every", "20 steps", "--quiet")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@contextlib.contextmanager
def started(folder: Path, *, hidden: str, restarts: int = 0, out: str = "run") -> Iterator[subprocess.Popen[str]]:
    """Start torchrun with two ranks that train `out` in a folder; their output goes to OUT.log. They end with the context."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "--max-restarts", str(restarts), *COMMAND, "--hidden", hidden, *MORE, "--out", out]
    with (folder / f"{out}.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, text=True)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


def ranks_of(launcher: subprocess.Popen[str]) -> dict[int, int]:
    """Return the process of each rank that a launcher has started."""
    found: dict[int, int] = {}
    with contextlib.suppress(OSError):
        for pid in Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split():
            with contextlib.suppress(OSError):
                names = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                ranks = [int(name[5:]) for name in names if name.startswith(b"RANK=")]
                found |= {rank: int(pid) for rank in ranks}
    return found


def weights(run: Path) -> dict[str, np.ndarray]:
    return dict(mn.load(run / "model.safetensors").members[0])


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
def test_every_restart_after_a_killed_rank_ends_with_the_same_bits(tmp_path, hidden):
    with started(tmp_path, hidden=hidden, out="undisturbed") as launcher:
        assert launcher.wait() == 0
    wanted, draw, kills, number = weights(tmp_path / "undisturbed"), random.Random(0), 0, 0
    while kills < KILLS:
        number += 1
        with started(tmp_path, hidden=hidden, restarts=KILLS, out=f"run{number}") as launcher:
            while launcher.poll() is None:
                live(launcher, tmp_path / f"run{number}.part" / "checkpoints", draw)
                ranks = ranks_of(launcher)
                if kills < KILLS and ranks and launcher.poll() is None:
                    victims = sorted(ranks.values()) if draw.random() < TOGETHER else [draw.choice(sorted(ranks.values()))]
                    kills += sum(kill(pid) for pid in victims[: KILLS - kills])
                    assert ended(launcher, ranks), "a rank outlived the other for 60 s"
        log = (tmp_path / f"run{number}.log").read_text()
        assert launcher.returncode == 0, log[-4000:]
        assert_close(weights(tmp_path / f"run{number}"), wanted, "bits", what=f"after {kills} kills")
        print(f"run {number}: {kills} kills so far, {log.count('is saved in')} left a checkpoint", flush=True)


def live(launcher: subprocess.Popen[str], checkpoints: Path, draw: random.Random) -> None:
    """Wait for some seconds, or until there is a new checkpoint and some time has passed since."""
    before, end = newest(checkpoints), time.monotonic() + (draw.uniform(0.0, 5.0) if draw.random() < 0.3 else 120.0)
    while launcher.poll() is None and time.monotonic() < end and newest(checkpoints) == before:
        time.sleep(0.02)
    time.sleep(draw.uniform(0.0, 0.5))


def newest(checkpoints: Path) -> str:
    """Return the name of the newest checkpoint, "" where there is none."""
    return max((path.name for path in checkpoints.glob("step-*.checkpoint")), default="")


def kill(pid: int) -> int:
    """Kill a process; return 1, or 0 where it had ended."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return 0
    return 1


def ended(launcher: subprocess.Popen[str], ranks: Mapping[int, int]) -> bool:
    """Return whether these ranks end within a minute."""
    end = time.monotonic() + 60
    while launcher.poll() is None and set(ranks.values()) & set(ranks_of(launcher).values()):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("rank", [0, 1])
def test_the_others_name_a_rank_that_was_killed_within_a_minute(tmp_path, rank):
    with started(tmp_path, hidden=HIDDEN["in shared memory"]) as launcher:
        checkpoints = tmp_path / "run.part" / "checkpoints"
        end = time.monotonic() + 120
        while len(list(checkpoints.glob("step-*.checkpoint"))) < 2:
            assert time.monotonic() < end
            assert launcher.poll() is None
            time.sleep(0.05)
        assert kill(ranks_of(launcher)[rank])
        assert launcher.wait(60) != 0
    assert f"error: rank {rank} of 2 died" in (tmp_path / "run.log").read_text()
    resume = [sys.executable, "-m", "manynets", "train", "--resume", "run", "--quiet"]
    again = subprocess.run(resume, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 2
    assert "training in 2 processes, but this one is in one process" in again.stderr
    assert subprocess.run([*resume, "--allow-world-size"], cwd=tmp_path).returncode == 0
