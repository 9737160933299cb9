"""Hostile requests; the million is `python -m tests.serve.hostile --requests 1000000`."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("uvicorn", reason="needs the extra serve")
pytest.importorskip("schemathesis", reason="needs the group compare")

from tests.serve.hostile import hostile

GROWTH = 200
"""MiB: the largest bodies, while they are read."""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_hostile_requests() -> None:
    found = hostile(int(os.environ.get("SERVE_HOSTILE", "20000")), seed=1)
    print(found)
    assert found["faults"] == []
    assert found["memory_highest"] - found["memory_before"] < GROWTH
    assert found["slow_senders_ended_after"] < 30
