"""Random command lines, damaged run folders and damaged CSV files end without a traceback; `make fuzz` runs an hour."""

from __future__ import annotations

import pytest

from tests.reliability.fuzz_commands import fuzz, lines


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_traceback_in_a_minute() -> None:
    done = fuzz(60, 1, ["command lines", "JSON", "CSV bytes"])
    assert min(done["tried"].values()) > 0


def test_some_random_command_lines() -> None:
    assert lines(60, 1)["lines"] == 60


@pytest.mark.slow
@pytest.mark.timeout(14400)
def test_a_hundred_thousand_random_command_lines() -> None:
    found = lines(100_000, 2)
    assert min(found["exit codes"][code] for code in (0, 2)) > 0
