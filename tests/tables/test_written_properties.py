"""Numbers formatted in every supported way are read back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manynets.tables import fit_encoder, understand
from manynets.tables.cells import number_cells
from manynets.tables.frames import open_table
from manynets.tables.missing import MISSING_TOKENS
from manynets.tables.written import PLAIN, Reading

UNITS_BEHIND = ["", "%", "kg", "km/h", "€", "USD", "°C", "m²", "sq ft", "days", "‰", "kr"]
UNITS_BEFORE = ["$", "€", "£", "CHF", "USD", "R$", "₹"]
BLANKS = [" ", "\u00a0", "\u202f", "\u2009"]
APOSTROPHES = ["'", "’"]


def grouped(digits: str, sign: str) -> str:
    """Put the sign between groups of three digits."""
    first = len(digits) % 3 or 3
    return sign.join([digits[:first], *(digits[i : i + 3] for i in range(first, len(digits), 3))])


@st.composite
def styles(draw: Any) -> dict[str, str]:
    """Draw how the numbers of a column are written."""
    decimal = draw(st.sampled_from([".", ","]))
    thousands = draw(st.sampled_from([sign for sign in ("", ",", ".", "'", " ") if sign != decimal]))
    before = draw(st.sampled_from(["", *UNITS_BEFORE]))
    behind = "" if before else draw(st.sampled_from(UNITS_BEHIND))
    negative = draw(st.sampled_from(["-", "−", "(", "–", "behind"])) if not behind else draw(st.sampled_from(["-", "−"]))
    return {
        "decimal": decimal,
        "thousands": thousands,
        "before": before,
        "behind": behind,
        "negative": negative,
        "space": draw(st.sampled_from(["", " ", "\u00a0"])),
        "plus": draw(st.sampled_from(["", "+"])),
    }


@st.composite
def columns(draw: Any) -> tuple[dict[str, str], list[tuple[str, float]]]:
    """Draw a style and numbers with 2 to 6 decimals, none of them 3: they leave no doubt about the decimal sign."""
    style = draw(styles())
    numbers = draw(st.lists(st.tuples(st.integers(-(10**9), 10**9), st.sampled_from([1, 2, 4, 5])), min_size=2, max_size=12))
    cells = []
    for whole, places in numbers:
        digits = draw(st.integers(0, 10**places - 1))
        cells.append(
            (
                written(style, whole < 0, str(abs(whole)), f"{digits:0{places}d}", draw),
                float(f"{'-' * (whole < 0)}{abs(whole)}.{digits:0{places}d}"),
            )
        )
    return style, cells


def written(style: dict[str, str], negative: bool, whole: str, decimals: str, draw: Any) -> str:
    """Return the number in the style."""
    sign = style["thousands"]
    if sign:
        sign = draw(st.sampled_from({" ": BLANKS, "'": APOSTROPHES}.get(sign, [sign])))
        whole = grouped(whole, sign)
    text = f"{whole}{style['decimal']}{decimals}"
    before = style["before"] + (style["space"] if style["before"] else "")
    behind = (style["space"] + style["behind"]) if style["behind"] else ""
    if not negative:
        return f"{style['plus'] if not style['before'] else ''}{before}{text}{behind}"
    if style["negative"] == "(":
        return f"({before}{text})"
    if style["negative"] == "behind":
        return f"{before}{text}-"
    return f"{style['negative']}{before}{text}{behind}"


@settings(max_examples=150, deadline=None)
@given(columns(), st.sampled_from([token for token in MISSING_TOKENS if token]))
def test_numbers_in_every_style_are_read_back(column: tuple[dict[str, str], list[tuple[str, float]]], token: str) -> None:
    style, cells = column
    frame = polars.DataFrame(
        {"a": [*(text for text, _ in cells), token.upper(), "7" if style["behind"] == "" else f"7 {style['behind']}"]}
    )
    expected = [*(number for _, number in cells), math.nan, 7.0]
    found = understand(frame)[0]
    assert found.kind == "numeric"
    reading = found.form if isinstance(found.form, Reading) else PLAIN
    np.testing.assert_allclose(number_cells(open_table(frame), "a", reading), expected, rtol=1e-14)
    encoder = fit_encoder(frame)
    assert np.isfinite(encoder.transform(frame)).all()
    again = encoder.transform(polars.DataFrame({"a": [text for text, _ in cells[:1]]}))  # a cell on its own, read as all of them
    assert again[0, 0] == encoder.transform(frame)[0, 0]


@pytest.mark.filterwarnings("ignore:all values are missing", "ignore:left out")
@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.sampled_from([",", ".", "'", " ", "kg", "%", "$", "-", "(", "1", "2024-01-31", "PT3H", ":", "e5"]))
def test_any_text_is_understood_or_refused(text: str, part: str) -> None:
    for cells in ([text, part], [text + part, "1"], [part + text, part], [text, text, "1,5", "2,5", "3"]):
        frame = polars.DataFrame({"a": cells, "b": range(len(cells))})
        column = understand(frame)[0]
        assert column.kind in ("numeric", "categorical", "date", "dropped")
        fit_encoder(frame, drop=["a"] if column.kind == "dropped" else []).transform(frame)
