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

from manynets.display import is_number, shortened
from manynets.errors import DataError, OptionError, one_of
from manynets.modelfile import replacing

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

Array: TypeAlias = NDArray[Any]

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
"""Seven colours that are distinct to the colour-blind and visible on white and on black.

Source: M. Okabe and K. Ito, Color Universal Design, 2008 (its eighth, black, is left out); B. Wong, Nature Methods 8:441, 2011.
"""
POSITIVE, NEGATIVE = PALETTE[1], PALETTE[0]
"""Weights above and below 0: warm and cold, as in the playground and in `DIVERGING`."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
SEQUENTIAL = "viridis"  # perceptually uniform, also for the colour-blind: N. Smith and S. van der Walt, matplotlib 2.0, 2015
DIVERGING = "RdBu_r"  # red and blue, not red and green: ColorBrewer, C. Brewer

TURNED: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
"""Options of names below an axis that do not fit side by side."""
MOST_BELOW = 10  # entries of a legend beneath the axes
BELOW = 36
"""Points between the axes and a legend beneath them, for the ticks and the name of the axis."""

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
    vars(figure)["_repr_png_"] = functools.partial(file_of, weakref.proxy(figure))  # a notebook shows it, whatever the backend
    FigureCanvasAgg(figure)
    return figure


def file_of(figure: Figure, *, kind: str = "png", dpi: float = 100) -> bytes:
    """Return the figure as the content of a file of a kind."""
    buffer = io.BytesIO()
    with DRAWING:
        figure.savefig(buffer, format=kind, dpi=dpi)
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


def fading_map(ax: Axes, towards: str) -> Colormap:
    """Return the map from the background of the axes to a colour."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("fading", [paper(ax), towards])


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


def write_title(ax: Axes, title: object, *, above: float = 0.0) -> None:
    """Set the title: its first line, and the lines after it small beneath it; both are wrapped to the width of the axes.

    No line begins or ends with a "·". above: points between the axes and the subtitle that something else takes.
    """
    if title is None:
        return
    first, *rest = str(title).splitlines() or [""]
    head, below = plain(first), plain(" ".join(rest))
    text = ax.set_title(head, fontsize="large" if len(head) <= 40 else "medium")
    text.set_text("\n".join(_wrapped(ax, head, float(text.get_fontsize()))))
    if below:
        small = ax.annotate(
            "", (0.5, 1.0), xycoords="axes fraction", xytext=(0, above + 5), textcoords="offset points", ha="center", va="bottom",
            fontsize="small", alpha=0.75, color=ink(ax), annotation_clip=False,
        )  # fmt: skip
        size = float(small.get_fontsize())
        lines = _wrapped(ax, below, size)
        small.set_text("\n".join(lines))
        ax.set_title(text.get_text(), fontsize=text.get_fontsize(), pad=1.3 * size * len(lines) + 9)


def write_suptitle(figure: Figure, title: str) -> None:
    """Set the title of a figure of several panels: its first line, and the lines after it small beneath all panels."""
    first, *rest = title.splitlines() or [""]
    figure.suptitle(plain(first), fontsize="large")
    if rest:
        width = int(figure.get_size_inches()[0] * 72 / 4.6)
        figure.supxlabel("\n".join(textwrap.wrap(plain(" ".join(rest)), max(width, 16))), fontsize="small", alpha=0.75)


def size_in_points(ax: Axes) -> tuple[float, float]:
    """Return width and height of the axes, in the unit of font sizes."""
    box = ax.get_window_extent()
    return box.width * 72 / ax.figure.dpi, box.height * 72 / ax.figure.dpi


def _wrapped(ax: Axes, text: str, size: float) -> list[str]:
    """Return a text in lines as wide as the axes, for letters of so many points; breaks are at a "·" where there is one."""
    width = max(int(size_in_points(ax)[0] / (0.53 * size)), 16)
    lines = [""]
    for part in text.split(" · "):
        joined = f"{lines[-1]} · {part}" if lines[-1] else part
        if len(joined) <= width:
            lines[-1] = joined
        else:
            lines += textwrap.wrap(part, width)
    return [line.strip(" ·") for line in lines if line.strip(" ·")] or [""]


def hide_axis(ax: Axes) -> None:
    """Remove ticks and frame from axes that show an image or a diagram."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)


def show_legend(ax: Axes, handles: Sequence[Artist] | None = None, *, title: str | None = None) -> None:
    """Draw a legend below the axes, or beside them if it has many entries, so that it hides no data; draw nothing without entries."""
    from matplotlib.transforms import ScaledTranslation

    found = list(ax.get_legend_handles_labels()[0] if handles is None else handles)
    if not found:
        return
    if len(found) <= MOST_BELOW:
        down = ScaledTranslation(0, -BELOW / 72, ax.figure.dpi_scale_trans)
        where: dict[str, Any] = {
            "loc": "upper center",
            "bbox_to_anchor": (0.5, 0.0),
            "bbox_transform": ax.transAxes + down,
            "ncols": _legend_columns(ax, [str(one.get_label()) for one in found]),
            "frameon": False,
        }
    else:
        where = {"loc": "upper left", "bbox_to_anchor": (1.02, 1.0), "ncols": -(-len(found) // 20), "framealpha": 0.8}
    ax.legend(handles=found, title=title, fontsize="small", title_fontsize="small", borderaxespad=0.0, **where)


def _legend_columns(ax: Axes, labels: Sequence[str]) -> int:
    """Return how many entries of a legend fit beside each other beneath the axes."""
    from matplotlib.font_manager import FontProperties

    letter = 0.6 * FontProperties(size="small").get_size_in_points()
    entry = letter * (max(map(len, labels)) + 6)  # with the handle and the gap
    return max(1, min(len(labels), int(size_in_points(ax)[0] / entry)))


def separate_thousands(axis: Any, values: ArrayLike) -> None:
    """Write the ticks of an axis that shows these values with separators: 1,000 and 250,000. Smaller numbers stay as they are."""
    shown = np.asarray(values, dtype=np.float64)
    shown = shown[np.isfinite(shown)]
    most = float(np.abs(shown).max()) if shown.size else 0.0
    if 1000 <= most < 1e10 and np.ptp(shown) >= 20:
        axis.set_major_formatter(lambda value, _: f"{value:,.10g}".replace("-", "\u2212"))


# --- checks -----------------------------------------------------------------------------------------------------------


def numbers(values: ArrayLike, *, what: str, ndim: int | None = None, finite: bool = False) -> NDArray[np.float64]:
    """Return values as float64; raise DataError if they are empty, not numbers, of the wrong rank or (if required) not finite."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(
            f"{what} must be numbers, but is {shortened(' '.join(repr(values).split()), 60)}; encode it first"
        ) from None
    if ndim is not None and array.ndim != ndim:
        raise DataError(f"{what} has shape {array.shape}, but must have {ndim} axes; reshape it")
    if array.size == 0:
        raise DataError(f"{what} is empty (shape {array.shape}); there is nothing to draw")
    if finite and not np.isfinite(array).all():
        raise DataError(f"{what} holds {int((~np.isfinite(array)).sum())} values that are not finite; leave these rows out")
    return array


def two_columns(X: ArrayLike) -> NDArray[np.float64]:
    """Return X (N, 2); raise DataError for any other number of columns."""
    array = numbers(X, what="X", finite=True)
    if array.ndim != 2 or array.shape[1] != 2:
        have = f"{array.shape[1]} columns" if array.ndim == 2 else f"shape {array.shape}"
        raise DataError(f"X has {have}, but this picture needs exactly 2 columns; choose two, or project it onto two first")
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

    >>> import manynets as mn
    >>> import tempfile
    >>> from pathlib import Path
    >>> ax = mn.plots.history([1, 2, 3], {"loss": [3.0, 2.0, 1.5]})
    >>> mn.plots.save(ax, Path(tempfile.mkdtemp()) / "history.png", dpi=40).name
    'history.png'
    """
    target = Path(path)
    kind = picture_format(target)
    figure = figure_of(picture)
    content = file_of(figure, kind=kind, dpi=dpi)
    close(figure)
    with replacing(target, overwrite=overwrite) as file:
        file.write(content)
    return target


def figure_of(picture: Axes | Figure | Array) -> Figure:
    """Return the root figure of axes, of an array of axes, or of a figure."""
    first: Any = picture.ravel()[0] if isinstance(picture, np.ndarray) else picture
    root: Any = first.figure  # a figure's own figure is itself, a subfigure's its root
    return root.figure


def close(figure: Figure) -> None:
    """Release a figure: remove it from pyplot, if that is loaded, and drop its axes, which hold most of its memory."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close(figure)
    for axes in figure.axes:  # figure.clear() makes them anew before it drops them
        axes.figure.delaxes(axes)
