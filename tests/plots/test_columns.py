"""Distributions of the columns of a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from manynets import plots
from manynets.errors import DataError


def heights(ax: object) -> float:
    """The rows in the bars of a panel."""
    return sum(bar.get_height() for bar in ax.patches)  # type: ignore[attr-defined]


def test_every_row_is_in_a_bar(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    values = {
        "normal": random.normal(size=200),
        "$tail_": np.exp(3 * random.normal(size=200)),
        "rooms": random.integers(1, 6, 200),
        "gaps": np.where(random.random(200) < 0.25, np.nan, 1.0),
        "labels": np.array([None, *(f"level {i % 12}" for i in range(199))], dtype=object),
        "nothing": np.full(200, np.nan),
    }
    axes = plots.column_distributions(values, classes=random.integers(0, 2, 200), class_names=["no", "yes"])
    assert [heights(ax) for ax in axes[:3]] == [200.0, 200.0, 200.0]
    assert heights(axes[3]) == np.isfinite(values["gaps"]).sum()
    assert sum(bar.get_width() for bar in axes[4].patches) == 199
    assert [text.get_text() for text in axes[4].get_yticklabels()][-1] == "4 others"
    assert [ax.get_title() for ax in axes[[3, 4, 5]]] == [
        f"gaps ({np.isnan(values['gaps']).mean():.0%} missing)",
        "labels (<1% missing)",
        "nothing (100% missing)",
    ]
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["no", "yes"]
    assert plots.save(axes, tmp_path / "columns.png").stat().st_size > 10_000


def test_whole_numbers_have_a_bar_each() -> None:
    (ax,) = plots.column_distributions({"a": [1, 1, 2, 4]})
    assert [bar.get_height() for bar in ax.patches] == [2, 1, 0, 1]
    assert ax.get_legend() is None


def test_infinite_numbers_are_in_the_outermost_bars() -> None:
    axes = plots.column_distributions({"a": [-np.inf, 0.5, 1.5, 2.5, np.inf], "b": [np.inf] * 5})
    bars = [bar.get_height() for bar in axes[0].patches]
    assert (bars[0], bars[-1], sum(bars)) == (2, 2, 5)
    assert axes[0].get_xlim()[1] < 3
    assert [text.get_text() for text in axes[1].get_yticklabels()] == ["inf"]


def test_a_table_without_rows_has_empty_panels() -> None:
    (ax,) = plots.column_distributions({"a": []})
    assert (ax.get_title(), len(ax.patches)) == ("a", 0)


def test_the_ticks_of_dates_and_of_large_numbers() -> None:
    """Dates are years, such as 1998.35; rows are counted in whole numbers."""
    axes = plots.column_distributions(
        {"sold": 1998.3 + np.arange(9) / 50, "price": np.arange(9) * 50_000.0, "built": [1990, 1950] * 4 + [2020]}
    )
    for ax in axes:
        ax.figure.canvas.draw()
        assert ax.xaxis.get_offset_text().get_text() == ""
        assert all(tick == round(tick) for tick in ax.get_yticks())
    ticks = [[text.get_text() for text in ax.get_xticklabels()] for ax in axes]
    assert all(text.startswith("1998.") for text in ticks[0])
    assert "200,000" in ticks[1]
    assert "1980" in ticks[2]


def test_many_classes_have_one_colour() -> None:
    (ax,) = plots.column_distributions({"a": np.arange(40.5)}, classes=np.arange(41) % 10)
    assert len({bar.get_facecolor() for bar in ax.patches}) == 1


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(DataError, match="values is empty"):
        plots.column_distributions({})
    with pytest.raises(DataError, match=r"classes and values\['a'\] have lengths 2 and 3"):
        plots.column_distributions({"a": [1, 2, 3]}, classes=[0, 1])
