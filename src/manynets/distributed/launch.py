"""Join the other processes that torchrun, or a scheduler with the same variables in the environment, has started."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from manynets.distributed.ranks import ALONE, Ranks, current_ranks
from manynets.errors import ManynetsError, OptionError

__all__ = ["joined", "launched", "neighbours", "restarts"]

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def launched() -> int:
    """Return how many processes were started together with this one, itself included: 1 if it was started alone."""
    if any(name not in os.environ for name in VARIABLES):
        return 1
    text = os.environ["WORLD_SIZE"]
    if not text.isdecimal() or int(text) < 1:
        raise OptionError(
            f"the environment variable WORLD_SIZE is {text!r}, but must be a number of processes; start them with torchrun"
        )
    return int(text)


def restarts() -> int:
    """Return how often torchrun has started these processes again."""
    return _number("TORCHELASTIC_RESTART_COUNT", 0)


def neighbours() -> int:
    """Return how many of the processes that were started together are on this machine."""
    return max(1, _number("LOCAL_WORLD_SIZE", 1))


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default


@contextlib.contextmanager
def joined() -> Iterator[Ranks]:
    """Within: this process is in a process group with those that were started together with it, its ranks.

    torchrun reports an error that leaves this context, with its traceback unless it is one of ours.
    """
    if launched() == 1:
        yield ALONE
        return
    import torch
    import torch.distributed as dist
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    cuda, ranks = torch.cuda.is_available(), ALONE
    if cuda:
        torch.cuda.set_device(_number("LOCAL_RANK", 0) % torch.cuda.device_count())
    handler = get_error_handler()
    handler.initialize()
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
        ranks = current_ranks()
        yield ranks
    except BaseException as error:
        ranks.leave(error)
        if isinstance(error, Exception) and not isinstance(error, ManynetsError):
            handler.record_exception(error)
        raise
    finally:
        ranks.close()
        with contextlib.suppress(Exception):
            dist.destroy_process_group()
