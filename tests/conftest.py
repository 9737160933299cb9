"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples on every run and every machine. To look for new ones: HYPOTHESIS_PROFILE=default.
settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell starts jobs in the background so; the tests interrupt trainings
    signal.signal(signal.SIGINT, signal.default_int_handler)

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
