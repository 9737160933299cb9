"""What `manynets train` takes where an option is left out. They may be bolder than those of MLP() and Recipe().

The network and the schedule were chosen on MNIST; batch size and epochs follow the rows, so that small tables get enough steps.
"""

from __future__ import annotations

import math

__all__ = [
    "ACTIVATION",
    "COMMITTEE_HIDDEN",
    "DROPOUT",
    "HIDDEN",
    "OPTIMIZER",
    "SCHEDULE",
    "TEST_FRACTION",
    "VALIDATION",
    "WEIGHT_DECAY",
    "batch_size",
    "epochs",
    "lr",
    "networks",
]

HIDDEN = (512, 512)
ACTIVATION = "relu"
DROPOUT = 0.2
OPTIMIZER = "adamw"
WEIGHT_DECAY = 0.1
SCHEDULE = "one-cycle"
TEST_FRACTION = 0.2
VALIDATION = 0.1

EPOCHS, MOST_EPOCHS = 20, 200
ENOUGH_STEPS = 1000


NETWORKS, FEWEST_ROWS, MOST_ROWS = 8, 16, 3000
COMMITTEE_HIDDEN = (256, 256)


def networks(rows: int) -> int:
    """Return how many networks a table with so many rows to train on gets: 8 below 3,000 rows, from where one is as good.

    >>> [networks(rows) for rows in (10, 16, 2999, 3000)]
    [1, 8, 8, 1]
    """
    return NETWORKS if FEWEST_ROWS <= rows < MOST_ROWS else 1


def batch_size(rows: int) -> int:
    """Return the rows of a step: 128, and less where there are fewer than 4,096 rows, down to 16.

    >>> [batch_size(rows) for rows in (100, 1000, 2000, 100_000)]
    [16, 32, 64, 128]
    """
    return min(max(2 ** round(math.log2(max(rows, 1) / 32)), 16), 128)


def epochs(rows: int, batch: int) -> int:
    """Return 20, or as many as make 1,000 steps, at most 200.

    >>> [epochs(rows, batch_size(rows)) for rows in (100, 1000, 2000, 100_000)]
    [143, 32, 32, 20]
    """
    return min(max(EPOCHS, math.ceil(ENOUGH_STEPS / math.ceil(rows / batch))), MOST_EPOCHS)


def lr(batch: int) -> float:
    """Return the peak learning rate of the default optimizer with the default schedule: 0.003 sqrt(batch / 128).

    Adam's steps have one size whatever the batch, and their noise falls with its square root.
    Source: Malladi et al. 2022, "On the SDEs and scaling rules for adaptive gradient algorithms".

    >>> lr(128), lr(32)
    (0.003, 0.0015)
    """
    return round(0.003 * math.sqrt(batch / 128), 6)
