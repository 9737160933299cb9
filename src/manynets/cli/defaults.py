"""Defaults of `manynets train` that differ from those of MLP() and Recipe().

The network and the schedule were chosen on MNIST; batch size and epochs follow the rows, so that small tables get enough steps.
"""

from __future__ import annotations

import math

from manynets.spec import BATCH_SIZE, EPOCHS
from manynets.spec.options import OPTIONS

HIDDEN, ENSEMBLE_HIDDEN = (512, 512), (256, 256)
ACTIVATION = "relu"
DROPOUT = 0.2
OPTIMIZER = "adamw"
WEIGHT_DECAY = 0.1
SCHEDULE = "one-cycle"
TEST_FRACTION = 0.2
VALIDATION = 0.1
SEED = 0

MOST_EPOCHS, ENOUGH_STEPS = 200, 1000
FEWEST_BATCH_ROWS, FULL_BATCH_ROWS = 16, 32 * BATCH_SIZE  # from so many training rows on, batches have their full size
NETWORKS, FEWEST_ROWS, MOST_ROWS = 8, 16, 3000
LR = 0.003


def _text(sizes: tuple[int, ...]) -> str:
    return ",".join(map(str, sizes))


SHOWN: dict[str, str] = {
    "hidden": f"{_text(HIDDEN)}; {_text(ENSEMBLE_HIDDEN)} for several networks",
    "activation": ACTIVATION,
    "dropout": f"{DROPOUT:g}",
    "optimizer": OPTIMIZER,
    "lr": f"{LR:g} sqrt(batch size / {BATCH_SIZE}) for {OPTIMIZER} without --schedule; otherwise {OPTIONS['lr'].default}",
    "weight_decay": f"{WEIGHT_DECAY:g} for {OPTIMIZER}, else 0",
    "schedule": SCHEDULE,
    "epochs": f"{EPOCHS}; more on small data, for {ENOUGH_STEPS:,} steps, but at most {MOST_EPOCHS}",
    "batch_size": f"{BATCH_SIZE}; fewer below {FULL_BATCH_ROWS:,} rows, down to {FEWEST_BATCH_ROWS}",
    "patience": "no early stopping",
}
"""Defaults that differ from those of MLP and Recipe, as help shows them."""


def networks(rows: int) -> int:
    """Return the number of networks for a table with so many rows to train on: 8 below 3,000 rows; above, one is as good.

    >>> [networks(rows) for rows in (10, 16, 2999, 3000)]
    [1, 8, 8, 1]
    """
    return NETWORKS if FEWEST_ROWS <= rows < MOST_ROWS else 1


def batch_size(rows: int) -> int:
    """Return the rows per step: 128, or fewer for less than 4,096 rows, down to 16.

    >>> [batch_size(rows) for rows in (100, 1000, 2000, 100_000)]
    [16, 32, 64, 128]
    """
    power = 2 ** round(math.log2(max(rows, 1) * BATCH_SIZE / FULL_BATCH_ROWS))
    return min(max(power, FEWEST_BATCH_ROWS), BATCH_SIZE)


def epochs(rows: int, batch: int) -> int:
    """Return 20 epochs, or as many as make 1,000 steps, at most 200.

    >>> [epochs(rows, batch_size(rows)) for rows in (100, 1000, 2000, 100_000)]
    [143, 32, 32, 20]
    """
    return min(max(EPOCHS, math.ceil(ENOUGH_STEPS / math.ceil(rows / batch))), MOST_EPOCHS)


def lr(batch: int) -> float:
    """Return the peak learning rate of the default optimizer with the default schedule: 0.003 sqrt(batch / 128).

    The size of Adam's steps does not depend on the batch, and their noise falls with the square root of its size.
    Source: Malladi et al. 2022, "On the SDEs and scaling rules for adaptive gradient algorithms".

    >>> lr(128), lr(32)
    (0.003, 0.0015)
    """
    return round(LR * math.sqrt(batch / BATCH_SIZE), 6)
