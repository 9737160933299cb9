"""Plots of images: one with its values, many with titles, and the weights of a first layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from manynets.errors import DataError, OptionError, check_count
from manynets.plots.canvas import (
    DIVERGING,
    PALETTE,
    Array,
    hide_axis,
    ink,
    new_axes,
    numbers,
    plain,
    readable_on,
    same_length,
    size_in_points,
    write_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def first_layer(
    weights: ArrayLike,
    *,
    image_shape: Sequence[int],
    most: int = 64,
    columns: int | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the weights (H, D) of the first `most` units as images of `image_shape` (h, w) or (h, w, channels), h w channels = D.

    All units share one scale, blue below zero and red above; of several channels the mean is drawn.

    >>> import manynets as mn
    >>> import numpy as np
    >>> ax = mn.plots.first_layer(np.random.default_rng(0).normal(size=(6, 64)), image_shape=(8, 8), columns=3)
    >>> type(ax).__name__
    'Axes'
    """
    check_count(most, what="most")
    matrix = numbers(weights, what="weights", ndim=2, finite=True)
    tiles = _as_images(matrix[:most], image_shape, what="weights")
    if tiles.ndim == 4:
        tiles = tiles.mean(axis=3)
    mosaic, across = _mosaic(tiles, columns, gap=_gap(tiles))
    width, height = _size_of(mosaic.shape, across)
    ax = new_axes(ax, size=(width + 0.9, height))  # with a colour bar beside it
    limit = float(np.abs(tiles).max()) or 1.0
    shown = ax.imshow(mosaic, cmap=DIVERGING, vmin=-limit, vmax=limit, interpolation="nearest")
    ax.figure.colorbar(shown, ax=ax, label="weight", shrink=0.8)
    hide_axis(ax)
    left = f" (the first {len(tiles)} of {len(matrix):,} units)" if len(tiles) < len(matrix) else ""
    write_title(ax, title if title is not None else f"Weights of the first layer{left}")
    return ax


def image_values(image: ArrayLike, *, decimals: int = 2, most: int = 40, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw a grey image (h, w) with the value of each pixel; at most `most` pixels per side.

    Whole numbers are written without a point, others with `decimals` decimals.

    >>> import manynets as mn
    >>> data = mn.datasets.load("digits")
    >>> ax = mn.plots.image_values(data.X[0].reshape(8, 8) * 16, title=f"a {data.y[0]}")
    >>> len(ax.texts)
    64
    """
    pixels = numbers(image, what="image", ndim=2)
    if max(pixels.shape) > most:
        raise DataError(
            f"the image has shape {pixels.shape}, too large for readable values (at most {most} a side); cut or shrink it"
        )
    finite = pixels[np.isfinite(pixels)]
    whole = bool((finite == np.round(finite)).all())
    texts = [[f"{value:.0f}" if whole else f"{value:.{decimals}f}" for value in row] for row in pixels]
    longest = max(len(text) for row in texts for text in row)
    cell = 0.42 if ax is None else 0.0
    height, width = pixels.shape
    ax = new_axes(ax, size=(max(cell * width, 2.5) + 0.3, max(cell * height, 2.5) + 0.6))
    shown = ax.imshow(pixels, cmap="gray", interpolation="nearest")
    light = readable_on(shown.to_rgba(pixels))
    across, down = size_in_points(ax)
    size = float(np.clip(min(across / width, down / height) * 0.9 / (0.64 * max(longest, 2)), 2, 12))
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            ax.text(j, i, text, ha="center", va="center", fontsize=size, color="white" if light[i, j] else "black")
    hide_axis(ax)
    write_title(ax, title)
    return ax


def image_grid(
    images: ArrayLike,
    *,
    titles: Sequence[object] | None = None,
    correct: ArrayLike | None = None,
    image_shape: Sequence[int] | None = None,
    columns: int | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw images (N, h, w), (N, h, w, 3), or rows (N, D) of `image_shape`, in a grid, each below its title, such as "7 (1)".

    `correct` (N,) colours the titles: green with a ✓ if true, red with a ✗ if false. All grey images share one scale;
    colours are in 0..1, or in 0..255 if a value exceeds 1.

    >>> import manynets as mn
    >>> data = mn.datasets.load("digits")
    >>> ax = mn.plots.image_grid(data.X[:4], image_shape=(8, 8), titles=data.y[:4].tolist(), columns=4)
    >>> type(ax).__name__
    'Axes'
    """
    stack = numbers(images, what="images")
    if image_shape is not None:
        stack = _as_images(stack.reshape(len(stack), -1), image_shape, what="images")
    if stack.ndim == 4 and stack.shape[3] == 1:
        stack = stack[..., 0]
    if stack.ndim == 4 and stack.shape[3] == 3:
        stack = np.clip(stack / (255.0 if stack.max() > 1 else 1.0), 0, 1)
        stack = np.concatenate([stack, np.ones((*stack.shape[:3], 1))], axis=3)  # the gaps between tiles are transparent
    elif stack.ndim != 3:
        raise DataError(f"images has shape {stack.shape}, but must be (N, h, w) or (N, h, w, 3); give image_shape for rows (N, D)")
    right = None if correct is None else np.asarray(correct, dtype=bool)
    for given, what in ((titles, "titles"), (right, "correct")):
        if given is not None:
            same_length(stack, given, what=f"images and {what}")
    high, wide = stack.shape[1:3]
    named = titles is not None or right is not None
    head = max(round(0.3 * wide), 1) if named else 0  # rows of pixels above each tile for its title
    gap = _gap(stack)
    mosaic, across = _mosaic(stack, columns, gap=gap, head=head)
    ax = new_axes(ax, size=_size_of(mosaic.shape, across))
    ax.imshow(mosaic, cmap="gray", interpolation="nearest")
    hide_axis(ax)
    write_title(ax, title)
    if named:
        width, height = size_in_points(ax)
        tile = wide * min(width / mosaic.shape[1], height / mosaic.shape[0])
        texts = [_mark(titles, right, k) for k in range(len(stack))]
        size = float(np.clip(tile / (0.6 * max(map(len, texts))), min(7.0, tile / 5), 10))
        fits = max(int(tile / (0.56 * size)), 3)
        for k, text in enumerate(texts):
            row, column = divmod(k, across)
            ax.text(
                column * (wide + gap) + (wide - 1) / 2,
                row * (high + gap + head) + head - 0.5 - 0.02 * high,
                plain(text, longest=fits),
                ha="center",
                va="bottom",
                fontsize=size,
                fontfamily=_family(),
                color=ink(ax) if right is None else PALETTE[2] if right[k] else PALETTE[1],
            )
    return ax


def _mark(titles: Sequence[object] | None, right: NDArray[np.bool_] | None, k: int) -> str:
    mark = "" if right is None else "✓ " if right[k] else "✗ "
    return (mark + ("" if titles is None else str(titles[k]))).strip()


def _family() -> list[str]:
    """Return the fonts of the current style, followed by one that has the marks."""
    from matplotlib import rcParams

    return [*rcParams["font.family"], "DejaVu Sans"]


def _as_images(rows: NDArray[np.float64], image_shape: Sequence[int], *, what: str) -> NDArray[np.float64]:
    """Return rows (N, D) as (N, h, w) or (N, h, w, channels)."""
    shape = tuple(int(side) for side in image_shape)
    if len(shape) not in (2, 3) or min(shape) < 1 or int(np.prod(shape)) != rows.shape[1]:
        product = " x ".join(map(str, shape)) + f" = {int(np.prod(shape))}"
        raise DataError(
            f"image_shape is {shape} ({product}), but {what} has {rows.shape[1]} columns; "
            "give (height, width) or (height, width, channels) whose product is that number"
        )
    return rows.reshape(len(rows), *shape)


def _gap(tiles: Array) -> int:
    return max(round(0.08 * int(tiles.shape[2])), 1)


def _mosaic(tiles: Array, columns: int | None, *, gap: int, head: int = 0) -> tuple[Array, int]:
    """Return one image of all tiles (N, h, w[, 4]), row by row, with NaN (or nothing) between, and its number of columns.

    Each tile has `head` rows above it for its title, and tiles are `gap` pixels from each other.
    """
    count, high, wide = tiles.shape[:3]
    if columns is not None and columns < 1:
        raise OptionError(f"columns is {columns}, but must be 1 or more")
    across = min(count, columns or int(np.ceil(np.sqrt(count))))
    down = -(-count // across)
    rest: Any = tiles.shape[3:]
    mosaic = np.full((down * (high + head + gap) - gap, across * (wide + gap) - gap, *rest), 0.0 if rest else np.nan)
    for k, tile in enumerate(tiles):
        row, column = divmod(k, across)
        top, left = row * (high + head + gap) + head, column * (wide + gap)
        mosaic[top : top + high, left : left + wide] = tile
    return mosaic, across


def _size_of(shape: Sequence[int], across: int) -> tuple[float, float]:
    """Return a figure's size in inches: about an inch per tile, between 3 and 14, in the proportions of the mosaic."""
    width = float(np.clip(1.05 * across, 3.6, 14))
    return width, float(np.clip(width * shape[0] / shape[1] + 0.5, 1.6, 20))
