"""Saving, colours, texts and checks."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.figure import Figure

from manynets import plots
from manynets.errors import DataError, OptionError
from manynets.plots import canvas


def test_save_takes_axes_arrays_and_figures(tmp_path: Path) -> None:
    for i, pick in enumerate((lambda axes: axes, lambda axes: axes[0, 1], lambda axes: axes[0, 0].figure)):
        axes = plots.panels(1, 2)
        figure = axes[0, 0].figure
        assert len(figure.axes) == 2
        assert plots.save(pick(axes), tmp_path / f"{i}.png", dpi=30) == tmp_path / f"{i}.png"
        assert figure.axes == []  # closed
    assert {path.name for path in tmp_path.iterdir()} == {"0.png", "1.png", "2.png"}


@pytest.mark.parametrize(("kind", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_the_ending_gives_the_kind(kind: str, start: bytes, tmp_path: Path) -> None:
    assert plots.save(plots.panels(1), tmp_path / f"a.{kind}").read_bytes().startswith(start)


def test_an_unknown_ending_is_an_option_error(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="must be one of png, pdf, svg"):
        plots.save(plots.panels(1), tmp_path / "a.bmp")


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")

    def fail(self: Figure, file: object, **_: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        plots.save(plots.panels(1), target)
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert canvas.DRAWING.acquire(blocking=False)
    canvas.DRAWING.release()


def test_save_waits_while_another_thread_draws(tmp_path: Path) -> None:
    thread = threading.Thread(target=plots.save, args=(plots.panels(1), tmp_path / "a.png"))
    with canvas.DRAWING:
        thread.start()
        thread.join(timeout=0.3)
        assert thread.is_alive()
        assert not (tmp_path / "a.png").exists()
    thread.join(timeout=60)
    assert (tmp_path / "a.png").exists()


def test_save_closes_a_figure_of_pyplot(tmp_path: Path) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    _, ax = pyplot.subplots()
    number = ax.figure.number
    plots.confusion([[1]], ax=ax)
    plots.save(ax, tmp_path / "a.png", dpi=30)
    assert number not in pyplot.get_fignums()


def test_a_subfigure_is_saved_with_its_whole_figure(tmp_path: Path) -> None:
    root = Figure()
    part = root.subfigures(1, 2)[0]
    ax = plots.confusion([[1]], ax=part.add_subplot())
    assert canvas.figure_of(ax) is root
    plots.save(ax, tmp_path / "a.png", dpi=30)


def test_text_on_a_colour_is_the_one_that_reads_better() -> None:
    colours = np.array([[0, 0, 0], [1, 1, 1], [1, 1, 0], [0, 0, 1], [0.4, 0.4, 0.4], [0.6, 0.6, 0.6]])
    assert canvas.readable_on(colours).tolist() == [True, False, False, True, True, False]


def test_names_are_shown_as_they_stand() -> None:
    assert canvas.plain("a\n b") == "a b"
    assert canvas.plain("$5 to $10") == r"\$5 to \$10"
    assert canvas.plain("_hidden").endswith("_hidden")
    assert canvas.plain("abcdef", longest=4) == "abc…"
    ax = plots.history([1, 2], {"$a_b$ {": [1, 2], "_c": [2, 1]}, title="costs $5, not $10 or \\frac")
    legend = ax.get_legend()
    assert legend is not None
    assert len(legend.get_texts()) == 2
    ax.figure.draw_without_rendering()  # a formula out of these names would raise


def test_a_long_title_is_broken_within_the_axes() -> None:
    words = "a network of 784-256-128-10 with relu and dropout, trained by adam for 60 epochs in batches of 128 rows"
    ax = plots.history([1, 2], {"loss": [1, 2]}, title=words)
    ax.figure.draw_without_rendering()
    assert "\n" in ax.get_title()
    assert ax.get_title().replace("\n", " ") == words
    title, whole = ax.title.get_window_extent(), ax.figure.bbox
    assert title.x0 >= whole.x0
    assert title.x1 <= whole.x1
    assert title.y1 <= whole.y1 + 1


def test_a_line_of_a_title_has_no_dot_at_its_ends() -> None:
    ax = plots.history([1, 2], {"loss": [1, 2]}, title=" · ".join(["wine"] * 40))
    lines = ax.get_title().splitlines()
    assert len(lines) > 1
    assert all(line.startswith("wine") and line.endswith("wine") for line in lines)


def test_lines_keep_away_from_the_colour_of_the_paper() -> None:
    light, dark = Figure(facecolor="white").add_subplot(), Figure(facecolor="black").add_subplot()
    full = colormaps["viridis"]
    assert canvas.line_map(light)(0.0) == full(0.0)
    assert sum(canvas.line_map(light)(1.0)[:3]) < sum(full(1.0)[:3])
    assert sum(canvas.line_map(dark)(0.0)[:3]) > sum(full(0.0)[:3])
    assert canvas.line_map(dark)(1.0) == full(1.0)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], r"thing is empty \(shape \(0,\)\)"),
        (["a", "b"], r"thing must be numbers, but is \['a', 'b'\]"),
        ([[1.0]], r"thing has shape \(1, 1\), but must have 1 axes"),
        ([1.0, np.nan, np.inf], "thing holds 2 values that are not finite"),
    ],
)
def test_what_cannot_be_drawn_is_one_clear_error(values: object, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        canvas.numbers(values, what="thing", ndim=1, finite=True)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_a_legend_hides_no_data() -> None:
    rows = np.random.default_rng(0).normal(size=(100, 2))
    for ax in (
        plots.points(rows, np.arange(100) % 3),
        plots.history(np.arange(100), {"train loss": np.ones(100), "validation loss": np.zeros(100)}, best_epoch=50),
        plots.roc(np.arange(100) % 3, np.abs(rows @ np.ones((2, 3)))),
    ):
        ax.figure.draw_without_rendering()
        legend = ax.get_legend()
        assert legend is not None
        box, whole = legend.get_window_extent(), ax.figure.bbox
        assert not box.overlaps(ax.get_window_extent())
        assert not box.overlaps(ax.xaxis.label.get_window_extent())
        assert whole.x0 <= box.x0
        assert box.x1 <= whole.x1
        assert whole.y0 <= box.y0


@pytest.mark.parametrize("size", [(3.6, 3.0), (9.0, 6.0)])
def test_the_lines_after_a_title_are_small_beneath_it_and_within_the_figure(size: tuple[float, float]) -> None:
    settings = "moons · 256-256-256 relu · batch norm · dropout 0.2 · adamw lr 0.001 · one-cycle · batch 128 · 60 epochs · seed 0"
    ax = plots.panels(1, size=size)[0, 0]
    plots.history([1, 2], {"loss": [1, 2]}, title=f"Training loss\n{settings}", ax=ax)
    ax.figure.draw_without_rendering()
    assert ax.get_title() == "Training loss"
    below = ax.texts[0]
    assert below.get_text().replace("\n", " · ") == settings
    assert below.get_fontsize() < ax.title.get_fontsize()
    title, small, whole = ax.title.get_window_extent(), below.get_window_extent(), ax.figure.bbox
    assert ax.get_window_extent().y1 < small.y0
    assert small.y1 <= title.y0
    assert title.y1 <= whole.y1 + 1
    assert whole.x0 <= small.x0
    assert small.x1 <= whole.x1


def test_thousands_are_separated_and_small_numbers_left_alone() -> None:
    ax = plots.predicted_against_true([1000, 250_000], [2000, 240_000], name="price")
    assert "100,000" in [label.get_text() for label in _ticks(ax.xaxis)]
    assert [label.get_text() for label in _ticks(plots.predicted_against_true([1, 2], [1, 2]).xaxis)][1] == "1.0"


def _ticks(axis: Any) -> list[Any]:
    axis.figure.draw_without_rendering()
    return list(axis.get_ticklabels())
