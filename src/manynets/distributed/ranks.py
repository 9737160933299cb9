"""The processes of one training: sums over all of them, and messages from the first.

Rank 0 makes the decisions and writes; the others do as it says. Sums and messages go through a gloo group of our own; sums of tensors
on a GPU through the user's NCCL group, if there is one.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, final

import torch
import torch.distributed as dist
from torch import Tensor

from manynets.distributed.environment import restarts
from manynets.distributed.watch import Watch
from manynets.errors import RankError

CHECK = 1.0  # seconds of waiting after which we look whether another process has failed
FOREVER = timedelta(days=30)  # the watch decides when a process has failed, not the time that a message takes
LETTER = 4096  # bytes that a short message is sent in


@final
class Ranks:
    """The processes of a training, of which this is number `rank` of `size`. With size 1 there is nothing to sum or to send.

    >>> Ranks().part(100), Ranks(rank=2, size=3).part(100)
    (slice(0, 100, None), slice(66, 100, None))
    """

    def __init__(self, *, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self.failure: str | None = None
        self._group: Any = None
        self._nccl: Any = None
        self._watch: Watch | None = None
        self._letter = torch.zeros(LETTER, dtype=torch.uint8)
        self._here = torch.zeros(1)

    @classmethod
    def of(cls, store: Any, *, rank: int, size: int, nccl: Any = None) -> Ranks:
        """Return the processes that meet in a torch.distributed.Store; all of them must call this. nccl: their NCCL group."""
        ranks = cls(rank=rank, size=size)
        store = dist.distributed_c10d.PrefixStore(f"manynets/{restarts()}", store)
        ranks._watch = watch = Watch(store, rank, size)
        watch.gather()
        at = dist.distributed_c10d.PrefixStore("gloo", store)
        try:
            ranks._group = dist.ProcessGroupGloo(at, rank, size, FOREVER)
        except RuntimeError as error:
            raise watch.blame(error) from error
        ranks._nccl = nccl
        return ranks

    def part(self, rows: int) -> slice:
        """Return the slice of a batch's rows that is this process's: as many as any other's, give or take one."""
        return slice(rows * self.rank // self.size, rows * (self.rank + 1) // self.size)

    # --------------------------------------------------------------------------------------------------- sums and messages

    def add(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over all processes. All get the same bits."""
        if self.size == 1:
            return
        if not tensor.is_contiguous():
            whole = tensor.contiguous()
            self.add(whole)
            tensor.copy_(whole)
        elif tensor.is_cuda and self._nccl is not None:
            self._wait(dist.all_reduce(tensor, group=self._nccl, async_op=True), on_gpu=True)
        else:
            self._wait(self._group.allreduce([tensor]))

    def wait_for_all(self) -> None:
        """Return when all processes have come here."""
        self.add(self._here)

    def spread(self, tensor: Tensor, *, root: int = 0) -> None:
        """Replace a tensor by that of one process."""
        whole = tensor.cpu().contiguous()
        if whole.numel() and self.size > 1:
            self._wait(self._group.broadcast(whole, root))
            if whole is not tensor:
                tensor.copy_(whole)

    def send(self, message: Any) -> None:
        """Send a message to all others, which `receive` it."""
        self._exchange_one(message, root=self.rank)

    def receive(self, root: int = 0) -> Any:
        """Return the next message of a process."""
        return self._exchange_one(None, root=root)

    def exchange(self, message: Any) -> list[Any]:
        """Return the messages of all processes, by rank."""
        return [self._exchange_one(message, root=root) for root in range(self.size)]

    def _exchange_one(self, message: Any, *, root: int) -> Any:
        """Return the message of a process: its length, and as much of it as goes into the letter; then the rest."""
        if self.size == 1:
            return message
        self._check()
        letter, mine = self._letter, root == self.rank
        content = torch.empty(0, dtype=torch.uint8)
        if mine:
            content = torch.frombuffer(bytearray(pickle.dumps(message, pickle.HIGHEST_PROTOCOL)), dtype=torch.uint8)
            letter[:8] = torch.tensor([len(content)]).view(torch.uint8)
            letter[8 : 8 + len(content)] = content[: LETTER - 8]
        self._wait(self._group.broadcast(letter, root))
        length = int(letter[:8].view(torch.int64))
        if length > LETTER - 8:
            if not mine:
                content = torch.empty(length, dtype=torch.uint8)
            self._wait(self._group.broadcast(content, root))
        elif not mine:
            content = letter[8 : 8 + length]
        return message if mine else pickle.loads(content.numpy().tobytes())

    def _wait(self, work: Any, *, on_gpu: bool = False) -> None:
        """Wait for a sum or message; RankError where another process has failed meanwhile."""
        watch = self._watch
        assert watch is not None
        if self._is_done(work, watch, on_gpu=on_gpu):
            return
        watch.rested()
        watch.check()
        while not self._is_done(work, watch, on_gpu=on_gpu):
            watch.check()

    def _is_done(self, work: Any, watch: Watch, *, on_gpu: bool) -> bool:
        """Return whether work ends within some time."""
        try:
            if on_gpu:  # where `wait` would only have the stream wait
                end = time.monotonic() + CHECK
                while not work.is_completed():
                    if time.monotonic() > end:
                        return False
            work.wait(timedelta(seconds=CHECK))
        except RuntimeError as error:
            if not on_gpu and "timed out" in str(error) and not work.is_completed():
                return False
            raise watch.blame(error) from error
        return True

    def close(self) -> None:
        """Leave the other processes. Nothing can be summed or sent any more."""
        self._group = None
        if self._watch is not None:
            self._watch.close()

    # ------------------------------------------------------------------------------------------------------------- failures

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Within: one training of all processes. The others hear of an error that ends it in this one."""
        if self._watch is None:
            yield
            return
        self._check()
        self._watch.begin()
        with alone():
            try:
                yield
            except BaseException as error:
                self.failure = str(error) if isinstance(error, RankError) else self.stopped_by(error)
                self._watch.report(self.failure)
                raise

    def _check(self) -> None:
        if self.failure is not None:
            raise RankError(f"an earlier training of these {self.size} processes failed ({self.failure}); start them again")

    def leave(self, error: BaseException) -> None:
        """Tell the others that this process ends with an error, outside of a training too."""
        if self._watch is not None:
            self._watch.leave(self.failure or self.stopped_by(error))

    def stopped_by(self, error: BaseException) -> str:
        """Return in words that this process stops with an error."""
        text = next(iter(str(error).splitlines()), "")
        return f"rank {self.rank} of {self.size} stopped: {type(error).__name__}{': ' * bool(text)}{text}"


ALONE = Ranks()
"""This process by itself."""

_known: tuple[Any, int, Ranks] | None = None  # store, process and ranks of the process group
_alone = 0


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Return a context in which this process trains by itself, even if it belongs to a process group.

    >>> with alone():
    ...     current_ranks().size
    1
    """
    global _alone
    _alone += 1
    try:
        yield
    finally:
        _alone -= 1


def current_ranks() -> Ranks:
    """Return the processes of the process group that this one belongs to; `ALONE` where there is none, or within `alone`.

    >>> current_ranks().size
    1
    """
    global _known
    if _alone or not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return ALONE
    store = dist.distributed_c10d._get_default_store()
    if _known is not None and _known[0] is store:
        return _known[2] if _known[1] == os.getpid() else ALONE  # a forked child has none of the connections
    if _known is not None and _known[1] == os.getpid():  # of an earlier process group
        _known[2].close()
        atexit.unregister(_known[2].close)
        _known = None
    nccl = dist.group.WORLD if "nccl" in dist.get_backend_config() else None
    ranks = Ranks.of(store, rank=dist.get_rank(), size=dist.get_world_size(), nccl=nccl)
    _known = store, os.getpid(), ranks
    atexit.register(ranks.close)  # a thread that is in the store when Python ends would take the process down
    return ranks
