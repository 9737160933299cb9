"""Join the other processes that torchrun, or a scheduler with the same variables in the environment, has started."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from manynets.distributed.environment import launched, number_of, restarts
from manynets.distributed.ranks import ALONE, Ranks, current_ranks
from manynets.errors import ManynetsError


@contextlib.contextmanager
def joined() -> Iterator[Ranks]:
    """Within: this process is in a process group with those that were started together with it, its ranks.

    torchrun reports an error that leaves this context, with its traceback unless it is one of ours.

    >>> with joined() as ranks:
    ...     print(ranks.rank, ranks.size)
    0 1
    """
    if launched() == 1:
        yield ALONE
        return
    import torch
    import torch.distributed as dist
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler
    from torch.distributed.rendezvous import rendezvous

    cuda, ranks = torch.cuda.is_available(), ALONE
    if cuda:
        torch.cuda.set_device(number_of("LOCAL_RANK", 0) % torch.cuda.device_count())
    handler = get_error_handler()
    handler.initialize()
    try:
        store, rank, size = next(iter(rendezvous("env://")))
        # torchrun's store still has what earlier processes wrote
        store = dist.distributed_c10d.PrefixStore(f"start/{restarts()}", store)
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", store=store, rank=rank, world_size=size)
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
