"""How long a stop waits: for the steps of a call, and for an evaluation."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from manynets.training import signals
from manynets.training.signals import CALL_SECONDS, CALLS, Halt, Pace


def test_the_slowest_of_the_last_calls_decides() -> None:
    pace = Pace()
    assert pace.steps == 1  # nothing is known yet
    pace.add(2, 2 * CALL_SECONDS / 100.5)
    assert pace.steps == 100
    pace.add(1, CALL_SECONDS / 4.5)
    for _ in range(CALLS - 1):
        assert pace.steps == 4
        pace.add(1, CALL_SECONDS / 50.5)
    pace.add(1, CALL_SECONDS / 50.5)
    assert pace.steps == 50
    pace.add(1, 3 * CALL_SECONDS)
    assert pace.steps == 1


def test_an_evaluation_may_take_as_long_as_a_call_after_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [5.0]
    monkeypatch.setattr(signals, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    halt = Halt()
    assert not halt.overdue()
    now[0] += 10 * CALL_SECONDS
    halt.asked = True
    assert not halt.overdue()  # seen for the first time
    now[0] += 0.9 * CALL_SECONDS
    assert not halt.overdue()
    now[0] += 0.2 * CALL_SECONDS
    assert halt.overdue()
