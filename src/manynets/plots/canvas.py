"""Helpers for all plots: new axes, colours, texts, checks of arrays, and saving."""

from __future__ import annotations

import functools
import io
import os
import sys
import textwrap
import threading
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from manynets.errors import DataError, OptionError, one_of
from manynets.modelfile import replacing

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

__all__ = ["DRAWING", "NEGATIVE", "PALETTE", "POSITIVE", "panels", "picture_format", "save"]

Array: TypeAlias = NDArray[Any]

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
"""Seven colours that are distinct to the colour-blind and visible on white and on black.

Source: M. Okabe and K. Ito, Color Universal Design, 2008 (its eighth, black, is left out); B. Wong, Nature Methods 8:441, 2011.
"""
POSITIVE, NEGATIVE = PALETTE[0], PALETTE[1]
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
SEQUENTIAL = "cividis"  # perceptually uniform, made for the colour-blind: Nuñez, Anderton and Renslow, PLOS ONE 13(7), 2018
DIVERGING = "RdBu_r"  # red and blue, not red and green: ColorBrewer, C. Brewer

DRAWING = threading.Lock()
"""Held while a figure is drawn: matplotlib's fonts and its parser of formulas are shared between threads."""


def new_axes(ax: Axes | None, *, size: tuple[float, float] | None = None, projection: str | None = None) -> Axes:
    """Return `ax`, or the axes of a new figure that is in no global list; `size` in inches."""
    return ax if ax is not None else new_figure(size=size).add_subplot(projection=projection)


def new_figure(*, size: tuple[float, float] | None = None) -> Figure:
    """Return a figure on the Agg canvas with constrained layout."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    vars(figure)["_repr_png_"] = functools.partial(png_of, weakref.proxy(figure))  # a notebook shows it, whatever the backend
    FigureCanvasAgg(figure)
    return figure


def png_of(figure: Figure, *, dpi: float = 100) -> bytes:
    """Return the figure as a PNG file."""
    buffer = io.BytesIO()
    with DRAWING:
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def panels(rows: int, columns: int = 1, *, size: tuple[float, float] | None = None) -> Array:
    """Return an array (rows, columns) of empty axes in one new figure, to pass as `ax=`; `size` in inches.

    >>> panels(1, 2).shape
    (1, 2)
    """
    if rows < 1 or columns < 1:
        raise OptionError(f"panels got rows={rows}, columns={columns}; both must be 1 or more")
    figure = new_figure(size=size or (5.2 * columns, 3.9 * rows))
    axes: Array = figure.subplots(rows, columns, squeeze=False)
    return axes


def several_axes(ax: Axes | Sequence[Axes] | Array | None, count: int) -> Array:
    """Return `count` axes (count,): the given ones, or new ones in rows of at most four."""
    if ax is None:
        rows = -(-count // 4)
        columns = -(-count // rows)
        axes = panels(rows, columns, size=(max(3.1 * columns, 4.6), 2.7 * rows)).ravel()
        for spare in axes[count:]:
            spare.remove()
        return axes[:count]
    given = np.asarray(ax, dtype=object).ravel()
    if given.size != count:
        raise OptionError(f"ax holds {given.size} axes, but {count} pictures are to be drawn; give {count} axes, or none")
    return given


# --- colours and texts ------------------------------------------------------------------------------------------------


def ink(ax: Axes) -> Any:
    """Return the colour of text and lines, from the style under which the axes were made."""
    return ax.xaxis.label.get_color()


def paper(ax: Axes) -> Any:
    """Return the background colour of the axes."""
    return ax.get_facecolor()


def line_map(ax: Axes) -> Colormap:
    """Return the sequential map for thin lines, without the end that is invisible on the axes' background."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    dark = bool(readable_on(np.array(ax.figure.get_facecolor())))
    return ListedColormap(colormaps[SEQUENTIAL](np.linspace(0.3, 1.0, 256) if dark else np.linspace(0.0, 0.85, 256)))


def colour(i: int) -> str:
    """Return the palette's colour of class or curve `i`; the palette repeats."""
    return PALETTE[i % len(PALETTE)]


def marker(i: int) -> str:
    """Return the marker of class `i`: eight markers and seven colours give 56 different pairs."""
    return MARKERS[i % len(MARKERS)]


def readable_on(colours: Array) -> NDArray[np.bool_]:
    """Return where white text is more readable than black on colours (..., 3+) in 0..1.

    Relative luminance L = 0.2126 R + 0.7152 G + 0.0722 B of linear light; white wins where L < 0.179.
    Source: W3C, Web Content Accessibility Guidelines 2.2, contrast ratio.
    """
    channel = np.clip(np.asarray(colours, dtype=float)[..., :3], 0, 1)
    linear = np.where(channel <= 0.04045, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4)
    return np.asarray(linear @ np.array([0.2126, 0.7152, 0.0722]) < 0.179)


def plain(text: object, *, longest: int | None = None) -> str:
    """Return a text as one line that matplotlib shows literally: no formula between dollars, no hidden label.

    >>> plain("a much too long name", longest=10)
    'a much to…'
    """
    line = " ".join(str(text).split())
    if longest is not None and len(line) > longest:
        line = line[: longest - 1].rstrip() + "…"
    if line.startswith("_"):
        line = "\u200b" + line  # a legend leaves out labels that begin with an underscore
    return line.replace("$", r"\$")


def number(value: object) -> str:
    """Return a number with up to four significant digits, without an exponent if that is short.

    >>> number(0.30000000004), number(12000), number(1e-7), number(3.0)
    ('0.3', '12000', '1e-07', '3')
    """
    if not is_number(value):
        return str(value)
    exact = float(value)  # type: ignore[arg-type]
    return str(int(exact)) if exact.is_integer() and abs(exact) < 1e6 else f"{exact:.4g}"


def is_number(value: object) -> bool:
    """Return whether a value is a single number; True and False are not."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def write_title(ax: Axes, title: object) -> None:
    """Set the title, wrapped to the width of the axes; no line begins or ends with a "·"."""
    if title is None:
        return
    lines = [plain(line) for line in str(title).splitlines()]
    size = "large" if max(map(len, lines), default=0) <= 40 else "medium"
    text = ax.set_title("\n".join(lines), fontsize=size)
    width = ax.get_window_extent().width * 72 / ax.figure.dpi / (0.53 * float(text.get_fontsize()))
    wrapped = [part.strip(" ·") for line in lines for part in textwrap.wrap(line, max(int(width), 16)) or [""]]
    text.set_text("\n".join(wrapped))


def hide_axis(ax: Axes) -> None:
    """Remove ticks and frame from axes that show an image or a diagram."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)


def show_legend(ax: Axes, handles: Sequence[Artist] | None = None, *, title: str | None = None, most: int = 10) -> None:
    """Draw a legend where it hides least, or beside the axes if it has many entries; draw nothing without entries."""
    found = list(ax.get_legend_handles_labels()[0] if handles is None else handles)
    if not found:
        return
    offsets: list[Any] = [dots.get_offsets() for dots in ax.collections]
    drawn = sum(np.size(line.get_xdata()) for line in ax.lines) + sum(np.shape(dots)[0] for dots in offsets)
    if len(found) <= most:
        where: dict[str, Any] = {"loc": "best" if drawn <= 20_000 else "upper right"}  # finding the best location is slow
    else:
        where = {"loc": "upper left", "bbox_to_anchor": (1.02, 1.0), "borderaxespad": 0.0, "ncols": -(-len(found) // 20)}
    ax.legend(handles=found, title=title, fontsize="small", title_fontsize="small", framealpha=0.8, **where)


# --- checks -----------------------------------------------------------------------------------------------------------


def numbers(values: ArrayLike, *, what: str, ndim: int | None = None, finite: bool = False) -> NDArray[np.float64]:
    """Return values as float64; raise DataError if they are empty, not numbers, of the wrong rank or (if required) not finite."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{what} must be numbers, but is {_glimpse(values)}; encode it first") from None
    if ndim is not None and array.ndim != ndim:
        raise DataError(f"{what} has shape {array.shape}, but must have {ndim} axes; reshape it")
    if array.size == 0:
        raise DataError(f"{what} is empty (shape {array.shape}); there is nothing to draw")
    if finite and not np.isfinite(array).all():
        raise DataError(f"{what} holds {int((~np.isfinite(array)).sum())} values that are not finite; leave these rows out")
    return array


def two_columns(X: ArrayLike, *, what: str = "X") -> NDArray[np.float64]:
    """Return X (N, 2); raise DataError for any other number of columns."""
    array = numbers(X, what=what, finite=True)
    if array.ndim != 2 or array.shape[1] != 2:
        have = f"{array.shape[1]} columns" if array.ndim == 2 else f"shape {array.shape}"
        raise DataError(f"{what} has {have}, but this picture needs exactly 2 columns; choose two, or project it onto two first")
    return array


def same_length(first: Sequence[Any] | Array, second: Sequence[Any] | Array, *, what: str) -> None:
    """Raise DataError if two things that belong together differ in length; `what` names both."""
    if len(first) != len(second):
        raise DataError(f"{what} have lengths {len(first)} and {len(second)}, but must be equally long")


def names_of(names: Iterable[object] | None, count: int, *, what: str) -> list[str]:
    """Return `count` names as text, by default "0", "1", ...; raise DataError if there are more or fewer."""
    texts = [str(i) for i in range(count)] if names is None else [str(name) for name in names]
    if len(texts) != count:
        raise DataError(f"{what} holds {len(texts)} names, but {count} are needed")
    return texts


def _glimpse(values: object) -> str:
    text = " ".join(repr(values).split())
    return text if len(text) <= 60 else text[:57] + "..."


# --- saving -----------------------------------------------------------------------------------------------------------


def picture_format(path: str | os.PathLike[str]) -> str:
    """Return the format that a picture's path ends in; raise OptionError if it is not .png, .pdf or .svg."""
    target = Path(path)
    return one_of(
        target.suffix.lower().lstrip("."), ["png", "pdf", "svg"], what=f"the ending of the picture's path {str(target)!r}"
    )


def save(picture: Axes | Figure | Array, path: str | os.PathLike[str], *, dpi: float = 150, overwrite: bool = True) -> Path:
    """Write a picture to `path` (.png, .pdf or .svg) atomically, close its figure and return the path.

    `picture` is what a plotting function returned: axes, an array of axes, or their figure. The file is written under a temporary
    name and renamed, so that no reader sees half of it. A file that exists is replaced; with overwrite=False that is an
    OptionError. Thread-safe.
    """
    target = Path(path)
    kind = picture_format(target)
    figure = figure_of(picture)
    buffer = io.BytesIO()
    with DRAWING:
        figure.savefig(buffer, format=kind, dpi=dpi)
    close(figure)
    with replacing(target, overwrite=overwrite) as file:
        file.write(buffer.getvalue())
    return target


def figure_of(picture: Axes | Figure | Array) -> Figure:
    """Return the root figure of axes, of an array of axes, or of a figure."""
    first: Any = picture.ravel()[0] if isinstance(picture, np.ndarray) else picture
    root: Any = first.figure  # a figure's own figure is itself, a subfigure's its root
    return root.figure


def close(figure: Figure) -> None:
    """Release a figure: remove it from pyplot, if that is loaded, and drop its artists."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close(figure)
    figure.clear()
