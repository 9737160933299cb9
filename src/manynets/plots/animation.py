"""Predicted regions during training, as a GIF or a video."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from manynets.errors import DataError, OptionError, one_of
from manynets.modelfile import check_target
from manynets.plots.canvas import DRAWING, close, figure_of, new_axes, plain, show_legend, two_columns
from manynets.plots.field import Extent, area_of, classes_of, frame, paint_regions, scatter_classes, target_of

if TYPE_CHECKING:
    from matplotlib.animation import AbstractMovieWriter
    from matplotlib.artist import Artist


def animate_regions(
    frames: Iterable[ArrayLike],
    path: str | os.PathLike[str],
    *,
    X: ArrayLike,
    y: ArrayLike,
    extent: Extent | None = None,
    classes: Sequence[Any] | None = None,
    titles: Sequence[object] | None = None,
    fps: float = 10.0,
    dpi: float = 80.0,
) -> Path:
    """Write the predicted regions during training to `path` (.gif; .mp4 if ffmpeg is installed) and return the path.

    Each of `frames` (any iterable) holds the predictions on `grid_points(extent, resolution=R)`: labels (R^2,) or
    probabilities (R^2, C), as for `regions`. `titles` has a text for each frame ("epoch 3"), by default "1", "2", ... The
    last frame is shown for a second. The file is written under a temporary name and renamed when it is complete.

    >>> import manynets as mn
    >>> import tempfile
    >>> from pathlib import Path
    >>> data = mn.datasets.load("moons", points=100, seed=0)
    >>> extent = (-1.5, 2.5, -1.0, 1.5)
    >>> grid = mn.plots.grid_points(extent, resolution=20)
    >>> weights = []
    >>> def watch(event):
    ...     if isinstance(event, mn.Evaluated):
    ...         weights.append(event.parameters[0])
    >>> model = mn.train(data.X, data.y, mn.MLP(hidden=(4,)), mn.Recipe(epochs=2), callbacks=[watch], progress=False)
    >>> frames = [model.with_members(one).predict_proba(grid) for one in weights]
    >>> path = Path(tempfile.mkdtemp()) / "moons.gif"
    >>> mn.plots.animate_regions(frames, path, X=data.X, y=data.y, extent=extent, dpi=30) == path
    True
    """
    target = Path(path)
    kind = one_of(target.suffix.lower().lstrip("."), ["gif", "mp4"], what=f"the ending of the film's path {str(target)!r}")
    rows = two_columns(X)
    labels, codes = classes_of(target_of(rows, y), classes)
    area = area_of(rows, extent)
    check_target(target)
    if not 0 < fps < math.inf:
        raise OptionError(f"fps is {fps}, but must be positive")
    ax = new_axes(None, size=(6.4, 4.8))
    writer = _writer(kind, fps)
    handles = scatter_classes(ax, rows, codes, labels)
    frame(ax, area)
    show_legend(ax, handles, title="class")
    figure = figure_of(ax)
    count = 0
    drawn: list[Artist] = []
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        film = Path(folder) / f"film.{kind}"
        ax.set_title("1")
        with DRAWING:
            figure.draw_without_rendering()
            writer.setup(figure, str(film), dpi)
        figure.set_layout_engine("none")  # all frames use the layout of the first
        try:
            for count, prediction in enumerate(frames, start=1):
                if titles is not None and count > len(titles):
                    raise DataError(f"titles holds {len(titles)} texts, but there are more frames; give one for each")
                for artist in drawn:
                    artist.remove()
                ax.set_title(plain(count if titles is None else titles[count - 1]))
                drawn = paint_regions(ax, prediction, area, labels)
                frame(ax, area)
                with DRAWING:
                    writer.grab_frame()
            if not count:
                raise DataError("frames is empty; give the predictions of at least one epoch")
            with DRAWING:
                for _ in range(int(fps)):
                    writer.grab_frame()
        except BaseException:
            with contextlib.suppress(Exception):
                writer.finish()  # ends ffmpeg
            raise
        writer.finish()
        os.replace(film, target)
    close(figure)
    return target


def _writer(kind: str, fps: float) -> AbstractMovieWriter:
    from matplotlib.animation import FFMpegWriter, PillowWriter

    if kind == "gif":
        return PillowWriter(fps=fps)  # type: ignore[arg-type]
    if not FFMpegWriter.isAvailable():
        raise OptionError(
            "the film's path ends in '.mp4', which needs the program ffmpeg, and it is not found; install it, or write a .gif"
        )
    return FFMpegWriter(fps=fps)  # type: ignore[arg-type]
