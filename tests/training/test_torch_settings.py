"""torch's process-wide settings while several threads train."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from manynets.spec import Precision
from manynets.training.torch_settings import torch_settings


@contextmanager
def in_a_thread(precision: Precision) -> Iterator[threading.Event]:
    """Within: a thread is within `torch_settings`, until the event is set."""
    entered, leave = threading.Event(), threading.Event()

    def work() -> None:
        with torch_settings(precision=precision):
            entered.set()
            assert leave.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    assert entered.wait(10)
    try:
        yield leave
    finally:
        leave.set()
        thread.join(10)


@pytest.fixture
def _restored() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize("own", ["highest", "medium"])
def test_two_threads_train_with_two_precisions(own: str) -> None:
    torch.set_float32_matmul_precision(own)
    with in_a_thread("tf32") as first:
        assert torch.get_float32_matmul_precision() == "high"
        with in_a_thread("full") as second:
            assert torch.get_float32_matmul_precision() == "highest"
            with torch_settings(precision="tf32"):
                assert torch.get_float32_matmul_precision() == "highest"
            first.set()  # the first to come is the first to go
            second.set()
    assert torch.get_float32_matmul_precision() == own


@pytest.mark.usefixtures("_restored")
def test_the_innermost_counts() -> None:
    torch.set_float32_matmul_precision("medium")
    with torch_settings():
        assert torch.get_float32_matmul_precision() == "highest"
        with torch_settings(precision="tf32"):
            assert torch.get_float32_matmul_precision() == "high"
        assert torch.get_float32_matmul_precision() == "highest"
    assert torch.get_float32_matmul_precision() == "medium"
