"""The gradient of a process and its sum over all: through memory that the processes of one machine share, else as any other sum.

Each process adds up its share of the numbers of all gradients, in the order of the ranks, and writes the sums into all of them. No byte
goes through a socket, which for large gradients takes several times as long.
"""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias, final

import torch
from torch import Tensor

from manynets.distributed.ranks import Ranks

LEAST_BYTES = 1 << 20  # below this a message takes no longer than the two in which the processes wait for each other
BLOCK = 1 << 17  # numbers that are added at a time: what a core's cache holds

Address: TypeAlias = tuple[str, int, int]
"""Where a process finds the memory of another: the machine with its numbering of processes, the process, and its file descriptor."""


@final
class GradientSum:
    """The gradient of this process, and its sum over all processes that train together.

    tensor: zeros like `like`, into which the process writes its gradient. All processes must make theirs alike, and call `add` together.

    >>> total = GradientSum(torch.ones(1, 3), Ranks())
    >>> total.add()
    >>> total.tensor
    tensor([[0., 0., 0.]])
    """

    def __init__(self, like: Tensor, ranks: Ranks) -> None:
        self.ranks = ranks
        self._is_decided = ranks.size == 1 or like.is_cuda or like.numel() * like.element_size() < LEAST_BYTES
        self._address: Address | None = None
        self._shares: list[Tensor] | None = None  # of each process, the numbers of its gradient that this one adds up
        if self._is_decided:
            self.tensor = torch.zeros_like(like)
            return
        try:
            descriptor = os.memfd_create("manynets-gradient")  # memory that ends with the processes that use it
            self._close = weakref.finalize(self, os.close, descriptor)
            os.posix_fallocate(descriptor, 0, like.numel() * like.element_size())
            self.tensor = _mapped(descriptor, like)
            self._address = (_machine(), os.getpid(), descriptor)  # others may sum there only if the gradient is there
        except (AttributeError, OSError):  # not on Linux, or not enough of it
            self.tensor = torch.zeros_like(like)

    def add(self) -> None:
        """Replace the tensor by its sum over all processes. All get the same bits."""
        if not self._is_decided:
            self._decide()
        shares = self._shares
        if shares is None:
            self.ranks.add(self.tensor)
            return
        self.ranks.wait_for_all()
        for start in range(0, len(shares[0]), BLOCK):
            blocks = [share[start : start + BLOCK] for share in shares]
            total = torch.add(blocks[0], blocks[1])
            for block in blocks[2:]:
                total.add_(block)
            for block in blocks:
                block.copy_(total)
        self.ranks.wait_for_all()

    def _decide(self) -> None:
        """Find out how sums are made: in memory that all processes share, if each of them can map it."""
        found = self.ranks.exchange(self._address)
        shares = self._open(found)
        if all(self.ranks.exchange(shares is not None)):
            self._shares = shares
        if self._address is not None:
            self._close()  # what is mapped stays
        self._is_decided = True

    def _open(self, addresses: Sequence[Address | None]) -> list[Tensor] | None:
        """Return this process's share of the numbers of each gradient, None where not all are within its reach."""
        part, shares = self.ranks.part(self.tensor.numel()), []
        for address in addresses:
            if address is None or address[0] != _machine():
                return None
            try:
                with open(f"/proc/{address[1]}/fd/{address[2]}", "r+b", buffering=0) as file:
                    shares.append(_mapped(file.fileno(), self.tensor).view(-1)[part])
            except OSError:
                return None
        return shares


def _machine() -> str:
    """Return the boot and the PID namespace: processes in which both are equal can open each other's files in /proc."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip() + os.readlink("/proc/self/ns/pid")


def _mapped(descriptor: int, like: Tensor) -> Tensor:
    """Return the memory of a file as a tensor of the shape and type of another."""
    size = like.numel() * like.element_size()
    return torch.frombuffer(mmap.mmap(descriptor, size), dtype=like.dtype).view(like.shape)
