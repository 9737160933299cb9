"""The sum of gradients in memory that several processes share, and through sockets where they cannot."""

from __future__ import annotations

import itertools
import mmap
import os
import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch

from manynets.distributed import GradientSum, Ranks, gradient_sum
from manynets.errors import RankError
from tests.distributed.cases import together
from tests.tolerances import assert_close

SIZE = 300_007  # of float32: more than LEAST_BYTES, and no multiple of a block or of the ranks


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many numbers each sum through sockets had."""
    sizes: list[int] = []
    add = Ranks.add

    def noted(self: Ranks, tensor: torch.Tensor) -> None:
        sizes.append(tensor.numel())
        add(self, tensor)

    monkeypatch.setattr(Ranks, "add", noted)
    return sizes


def gradient_of(rank: int, step: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng([rank, step]).normal(size=(1, SIZE)).astype(np.float32))


def summed(ranks: Ranks) -> list[torch.Tensor]:
    """Return the sums of three steps."""
    total, found = GradientSum(torch.empty(1, SIZE), ranks), []
    for step in range(3):
        total.tensor.copy_(gradient_of(ranks.rank, step))
        total.add()
        found.append(total.tensor.clone())
    return found


@pytest.mark.parametrize("size", [2, 3])
def test_sums_in_shared_memory_are_made_in_the_order_of_the_ranks(size, sent):
    found = together(size, summed)
    for step in range(3):
        wanted = gradient_of(0, step)
        for rank in range(1, size):
            wanted += gradient_of(rank, step)
        for mine in found:
            assert_close(mine[step], wanted, "bits")
    assert set(sent) == {1}  # nothing but the signs of life of processes that wait for each other


def no_memory(*_: object) -> int:
    raise OSError("no memory left")


@pytest.mark.parametrize(
    ("name", "broken"),
    [("memfd_create", no_memory), ("posix_fallocate", no_memory), ("readlink", lambda _: str(threading.get_ident()))],
    ids=["no such memory", "not enough of it", "on several machines"],
)
def test_processes_that_cannot_share_memory_send_their_gradients(monkeypatch, sent, name: str, broken: Callable[..., object]):
    wanted = together(2, summed)[0]
    sent.clear()
    monkeypatch.setattr(os, name, broken)
    for found in together(2, summed):
        assert_close(found, wanted, "bits")
    assert sent == [SIZE] * 6


def test_memory_that_one_process_cannot_map_is_not_summed_in(monkeypatch, sent):
    mapped, calls = mmap.mmap, itertools.count()
    monkeypatch.setattr(mmap, "mmap", lambda *given: mapped(*given) if next(calls) else no_memory())
    wanted = gradient_of(0, 0) + gradient_of(1, 0)
    for found in together(2, summed):
        assert_close(found[0], wanted, "bits")
    assert SIZE in sent


def test_one_process_without_shared_memory_is_enough_for_all_to_send(monkeypatch, sent):
    create, calls = os.memfd_create, itertools.count()
    monkeypatch.setattr(os, "memfd_create", lambda name: create(name) if next(calls) else no_memory())
    assert_close(together(2, summed)[0], together(2, summed)[1], "bits")
    assert SIZE in sent


def test_files_are_closed_whether_or_not_anything_was_summed():
    def work(ranks: Ranks) -> None:
        GradientSum(torch.empty(1, SIZE), ranks)
        summed(ranks)

    together(2, work)
    before = len(os.listdir("/proc/self/fd"))
    together(2, work)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_process_that_fails_ends_the_sum_of_the_others():
    def work(ranks: Ranks) -> None:
        with ranks.together():
            summed(ranks)
            if ranks.rank == 1:
                raise ValueError("out of order")
            summed(ranks)

    first, second = together(2, work, fails=True)
    assert isinstance(first, RankError)
    assert "rank 1 of 2 stopped: ValueError: out of order" in str(first)
    assert isinstance(second, ValueError)


def test_small_gradients_are_sent(sent):
    assert gradient_sum.LEAST_BYTES > 4 * 100

    def work(ranks: Ranks) -> None:
        total = GradientSum(torch.empty(1, 100), ranks)
        total.add()

    together(2, work)
    assert sent == [100, 100]
