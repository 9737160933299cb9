"""Text tables with random faults: each is read, or refused with a message; none ends in a traceback or hangs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tables.mutated import try_all


def test_some_hundred_mutated_files(tmp_path: Path) -> None:
    figures = try_all(tmp_path, 400, 0)
    assert 100 < figures["read"] < 400
    assert figures["with text columns"] > 10
    assert figures["with a target"] > 100


@pytest.mark.slow
@pytest.mark.timeout(14400)
def test_a_hundred_thousand_mutated_files(tmp_path: Path) -> None:
    try_all(tmp_path, 100_000, 1000)
