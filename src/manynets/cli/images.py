"""The default of `manynets train` for images with classes, such as MNIST: the plain network, trained on shifted copies too.

It makes as many steps as without copies. Each training image is seen as it is and moved by one pixel up, down, left and right
(`manynets.datasets.with_shifts`).
"""

from __future__ import annotations

import dataclasses

from manynets.spec import Recipe
from manynets.steps import batch_rows, steps_per_epoch

SMALLEST_SIDE = 20
"""Pixels: in smaller images, one pixel is too large a step."""
VARIANTS = 5  # of each image


def recipe_for(plain: Recipe, rows: int) -> Recipe:
    """Return how so many images and their copies are trained on. plain: how the images alone would be.

    >>> recipe = recipe_for(Recipe(epochs=20, batch_size=128), 54_000)
    >>> recipe.epochs, recipe.evaluate_every
    (4, 422)
    """
    assert plain.epochs is not None
    steps = steps_per_epoch(rows, batch_rows(plain, rows), merge_single=False)
    return dataclasses.replace(plain, epochs=max(round(plain.epochs / VARIANTS), 1), evaluate_every=steps, keep="last")
