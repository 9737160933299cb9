"""A minute of random command lines, damaged run folders and damaged CSV files; `make fuzz` runs an hour."""

from __future__ import annotations

import pytest

from tests.reliability.fuzz_commands import fuzz


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_traceback_in_a_minute() -> None:
    done = fuzz(60, 1, ["command lines", "JSON", "CSV bytes"])
    assert min(done["tried"].values()) > 0
