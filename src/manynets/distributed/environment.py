"""What torchrun, or a scheduler that sets the same variables, says in the environment of the processes that it starts."""

from __future__ import annotations

import os

from manynets.errors import OptionError

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def launched() -> int:
    """Return how many processes were started together with this one, itself included: 1 if it was started alone.

    >>> launched()
    1
    """
    if any(name not in os.environ for name in VARIABLES):
        return 1
    text = os.environ["WORLD_SIZE"]
    if not text.isdecimal() or int(text) < 1:
        raise OptionError(
            f"the environment variable WORLD_SIZE is {text!r}, but must be a number of processes; start them with torchrun"
        )
    return int(text)


def restarts() -> int:
    """Return how often torchrun has started these processes again.

    >>> restarts()
    0
    """
    return number_of("TORCHELASTIC_RESTART_COUNT", 0)


def restarts_left() -> int:
    """Return how often torchrun starts these processes again if one of them fails (its --max-restarts).

    >>> restarts_left()
    0
    """
    return max(0, number_of("TORCHELASTIC_MAX_RESTARTS", 0) - restarts())


def neighbours() -> int:
    """Return how many of the processes that were started together are on this machine.

    >>> neighbours()
    1
    """
    return max(1, number_of("LOCAL_WORLD_SIZE", 1))


def number_of(name: str, default: int) -> int:
    """Return the number in a variable of the environment, or the default where there is none."""
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default
