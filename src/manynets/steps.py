"""How many rows a step takes, how many steps an epoch has and a training makes. Every engine counts them here."""

from __future__ import annotations

from manynets.errors import OptionError
from manynets.spec import BATCH_SIZE, EPOCHS, Recipe

MOST_STEPS = 2**53  # no training gets that far; larger numbers would not fit into an array


def batch_rows(recipe: Recipe, rows: int, *, batch_norm: bool = False) -> int:
    """Return the rows of a batch for this many training rows: at most all of them; an explicit larger size is an OptionError.

    >>> batch_rows(Recipe(), 1000), batch_rows(Recipe(), 50), batch_rows(Recipe(batch_size=32), 50)
    (128, 50, 32)
    """
    size = min(BATCH_SIZE, rows) if recipe.batch_size is None else recipe.batch_size
    if size > rows:
        raise OptionError(
            f"batch_size is {size}, but there {'is 1 training row' if rows == 1 else f'are {rows} training rows'}; use at most {rows}, or None"
        )
    if batch_norm and size == 1:
        raise OptionError("batch_norm needs at least 2 rows in a batch; use a larger batch_size, or batch_norm=False")
    return size


def steps_per_epoch(rows: int, batch_size: int, *, merge_single: bool) -> int:
    """Return the steps of an epoch; with merge_single a last batch of one row joins the batch before it (batch norm).

    >>> steps_per_epoch(33, 16, merge_single=False), steps_per_epoch(33, 16, merge_single=True)
    (3, 2)
    """
    steps = -(-rows // batch_size)
    return steps - 1 if merge_single and steps > 1 and rows % batch_size == 1 and batch_size > 1 else steps


def total_steps(recipe: Recipe, steps: int) -> int:
    """Return the steps that a recipe makes where an epoch has this many, at most MOST_STEPS."""
    return min(recipe.iterations if recipe.iterations is not None else (recipe.epochs or EPOCHS) * steps, MOST_STEPS)


def evaluation_steps(recipe: Recipe, steps: int) -> int:
    """Return the steps between two evaluations where an epoch has this many, at most MOST_STEPS."""
    return min(recipe.evaluate_every or steps, MOST_STEPS)
