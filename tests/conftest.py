"""Fixtures shared by all tests."""

from __future__ import annotations

import base64
import gc
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from matplotlib.figure import Figure

# The same examples on every run and every machine. To look for new ones: HYPOTHESIS_PROFILE=default.
settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell starts jobs in the background so; the tests interrupt trainings
    signal.signal(signal.SIGINT, signal.default_int_handler)

gc.disable()  # pytest keeps what it collects to the end: for the garbage collector to walk through it again and again takes a fifth of the time


def _unsynced(handle: object) -> None:
    """Stand in for os.fsync. No test cuts the power, and to wait for the disk takes a tenth of the time; processes of their own do."""


os.fsync = _unsynced


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()


if sys.platform != "linux":  # these limit memory, send signals and read /proc as Linux does
    collect_ignore_glob = ["reliability/*", "estimators/test_reliability.py", "test_bench.py"]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the real data sets: MANYNETS_DATA, or ../shared/data beside the checkout."""
    named = os.environ.get("MANYNETS_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data not found: set MANYNETS_DATA (looked for {folder})")
    return folder


BLANK = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg==")


@pytest.fixture
def blank_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are made, but written as one white dot: to draw them takes more than half of the time of a command.

    A test with the marker `draws` has them drawn.
    """
    if request.node.get_closest_marker("draws") is None:
        savefig = Figure.savefig

        def saved(figure: Figure, file: Any, **options: Any) -> None:
            if options.get("format") == "png":
                file.write(BLANK)
            else:
                savefig(figure, file, **options)

        monkeypatch.setattr(Figure, "savefig", saved)
