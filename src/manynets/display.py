"""How values are shown: one number format, short texts for models and results, tables in HTML. Knows nothing of what it shows."""

from __future__ import annotations

import dataclasses
import html
import itertools
import math
import numbers
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any, TypeVar

DIGITS = 4
"""Decimals of a number below 10."""
MOST_LINES = 20
"""Lines of a long table that a notebook shows."""


HEADINGS = {"r2": "R2", "rmse": "RMSE", "mae": "MAE", "f1": "F1", "auc": "AUC", "roc_auc": "AUC", "log_loss": "log loss"}
"""Metrics as tables name them."""
COUNTS = ("classes", "labels", "targets")
"""What stands among the metrics, but is none: how many there are where only the worst are listed."""
LOSS_IS_RMSE = 0.01
"""Relative difference up to which a loss is the mean squared error, which is taken before predictions are limited to the targets seen."""


def number_text(value: float) -> str:
    """Return a number as all tables and progress lines show it: four decimals below 10, whole with separators from 1,000 up.

    >>> [number_text(value) for value in (0.95, 1.0, 35.123, 20231.6, 2628472448.5426, 0.00001234, -3.14159)]
    ['0.9500', '1.0000', '35.12', '20,232', '2,628,472,449', '1.234e-05', '-3.1416']
    """
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-3:
        return f"{value:.{DIGITS}g}"
    if size >= 999.5:
        return f"{value:,.0f}"
    decimals = DIGITS if size < 9.99995 else 2 if size < 99.995 else 1
    return f"{value:.{decimals}f}"


def repeats_loss(values: Mapping[str, Any]) -> bool:
    """Return whether another metric says what the loss says: the log loss, or the root of the squared error.

    >>> [repeats_loss(values) for values in ({"loss": 4.0, "rmse": 1.995}, {"loss": 4.0, "rmse": 1.9}, {"rmse": 1.9})]
    [True, False, False]
    """
    loss, rmse = values.get("loss"), values.get("rmse")
    if loss is None:
        return False
    return "log_loss" in values or (rmse is not None and math.isclose(loss, rmse * rmse, rel_tol=LOSS_IS_RMSE))


def value_text(value: float) -> str:
    """Return a value of a column: whole, or with six digits; without a separator below 10,000, as it may be a year.

    >>> [value_text(value) for value in (1986.0, 1987.5, 120000.0, 2910612.34, 0.12345678)]
    ['1986', '1987.5', '120,000', '2,910,612', '0.123457']
    """
    whole = float(value).is_integer() or abs(value) >= 1e6
    text = f"{value:,.0f}" if whole and abs(value) < 1e15 else f"{value:,.6g}"
    return text if abs(value) >= 10_000 else text.replace(",", "")


def labels_text(row: Sequence[Any], names: Sequence[str]) -> str:
    """Return the names of the labels that a row has, from 0 and 1 for each.

    >>> labels_text([1, 0, 1], ["lift", "garden", "view"]), labels_text([0], ["lift"])
    ('lift, view', 'none')
    """
    return ", ".join(name for name, has in zip(names, row, strict=True) if has) or "none"


def shortened(text: str, most: int = 40) -> str:
    """Return a text of at most `most` letters; a longer one is cut and ends in dots.

    >>> shortened("a long remark", 9), shortened("short")
    ('a long...', 'short')
    """
    return text if len(text) <= most else f"{text[: most - 3]}..."


def short(value: object) -> str:
    """Return a value for a message: an array or a frame by its shape, anything else as its repr, cut to one line of 80 characters.

    >>> short([1, 2]), short("a" * 200)[-5:]
    ('[1, 2]', 'aa...')
    """
    if getattr(value, "shape", None):
        return f"a {type(value).__name__} of shape {tuple(value.shape)}"  # type: ignore[attr-defined]
    return shortened(" ".join(repr(value).split()), 80)


def cell_text(value: object) -> str:
    """Return a value as tables show it.

    >>> [cell_text(value) for value in (True, 12_345, 0.25, None, "red", (0.25, 7))]
    ['yes', '12,345', '0.2500', '', 'red', '0.2500, 7']
    """
    value = value.tolist() if hasattr(value, "tolist") else value  # of NumPy
    if isinstance(value, list | tuple):
        return ", ".join(map(cell_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return number_text(value)
    return "" if value is None else str(value)


def epoch_text(epoch: float) -> str:
    """Return an epoch, counted from 1: whole, or with one decimal within an epoch; near the start with the first digit that is not 0.

    >>> epoch_text(12.0), epoch_text(12.5408), epoch_text(1500.0), epoch_text(0.0213)
    ('12', '12.5', '1,500', '0.02')
    """
    if 0 < epoch < 0.1:
        return f"{epoch:.1g}"
    return f"{epoch:,.1f}".removesuffix(".0")


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "seed"), counted(2000, "network"), counted(2, "class")
    ('1 seed', '2,000 networks', '2 classes')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}{'es' if noun.endswith('s') else 's'}"


def listed(values: Iterable[object], most: int = 8, *, between: str = ", ") -> str:
    """Return the first `most` of some values as a text, with the number of the others.

    >>> listed(["red", "blue"]), listed(["red", "blue", "green", "grey"], 2), listed("abc", 2, between="; ")
    ('red, blue', 'red, blue and 2 more', 'a; b; and 1 more')
    """
    found = values if isinstance(values, Sized) else list(values)
    shown = between.join(map(str, itertools.islice(found, most)))
    return shown if len(found) <= most else f"{shown}{between.strip(', ')} and {len(found) - most:,} more"


def is_number(value: object) -> bool:
    """Return whether a value is a single number, of Python or NumPy; True and False are not."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def is_finite(value: object) -> bool:
    """Return whether a value is a single number (`is_number`) and finite.

    >>> is_finite(3), is_finite(math.inf), is_finite(True)
    (True, False, False)
    """
    return is_number(value) and -math.inf < value < math.inf  # type: ignore[operator]


def mean_texts(mean: float, spread: float) -> tuple[str, str]:
    """Return a mean and its standard deviation with the same decimals: those of `number_text` for the larger of the two.

    >>> mean_texts(0.013, 0.000697), mean_texts(9.935e-05, 0.0003798), mean_texts(20231.6, 12.3), mean_texts(-1e-5, 0.0015)
    (('0.0130', '0.0007'), ('0.000099', '0.000380'), ('20,232', '12'), ('0.0000', '0.0015'))
    """
    larger = max(abs(mean), abs(spread))
    if not math.isfinite(larger) or larger >= 1e15 or 0 < larger < 1e-6:
        return number_text(mean), number_text(spread)
    if 0 < larger < 1e-3:
        decimals = 2 - math.floor(math.log10(larger))
    else:
        decimals = len(number_text(larger).partition(".")[2])
    return f"{round(mean, decimals) + 0.0:,.{decimals}f}", f"{spread:,.{decimals}f}"  # not -0.0


def bytes_text(count: float) -> str:
    """Return a number of bytes in the unit that fits.

    >>> bytes_text(512), bytes_text(51_200), bytes_text(3_400_000_000)
    ('512 bytes', '51.2 kB', '3.4 GB')
    """
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count:.0f} bytes"


def aligned(names: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a table; whole numbers are aligned to the right, None is left blank.

    >>> aligned(["layer", "size"], [("hidden0", 1200), ("output", 8)])
    ['layer     size', 'hidden0  1,200', 'output       8']
    """
    rows = [*rows]
    texts = [["" if cell is None else f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    right = [all(row[i] is None or isinstance(row[i], int) for row in rows) for i in range(len(names))]
    widths = [max(len(line[i]) for line in [names, *texts]) for i in range(len(names))]
    lines = []
    for line in [names, *texts]:
        cells = (text.rjust(width) if end else text.ljust(width) for text, width, end in zip(line, widths, right, strict=True))
        lines.append("  ".join(cells).rstrip())
    return lines


class History(dict[str, list[float]]):
    """The columns of a training history by name; a notebook shows them as a table.

    >>> history = History(epoch=[1.0, 2.0], loss=[0.5, 0.25])
    >>> history["loss"], history._repr_html_()[:55]
    ([0.5, 0.25], '<table><caption style="text-align:left">2 evaluations</')
    """

    def _repr_html_(self) -> str:
        count = max(map(len, self.values()), default=0)
        shown = list(range(count)) if count <= MOST_LINES else [*range(MOST_LINES // 2), *range(count - MOST_LINES // 2, count)]
        rows: list[tuple[object, ...]] = [tuple(column[i] for column in self.values()) for i in shown]
        if len(shown) < count:
            rows.insert(MOST_LINES // 2, ("...",) * len(self))
        return html_table(list(self), rows, title=f"{count:,} evaluations")


T = TypeVar("T")


class Records(list[T]):
    """A list of dataclasses of one kind; a notebook shows it as a table, without the fields that have their default in all of them.

    >>> from manynets.explain import MeanError
    >>> Records([MeanError("size", "61 to 80", rows=40, mean=-1.5, standard_error=0.5, absolute=2.0)])._repr_html_()[:66]
    '<table><thead><tr><th>column</th><th>group</th><th>rows</th><th>me'
    """

    def _repr_html_(self) -> str:
        if not self:
            return "none"
        fields = [
            field.name
            for field in dataclasses.fields(self[0])  # type: ignore[arg-type]
            if field.default is dataclasses.MISSING or any(getattr(one, field.name) != field.default for one in self)
        ]
        lines = [[getattr(one, name) for name in fields] for one in self[:MOST_LINES]]
        names = [name.replace("_", " ") for name in fields]
        return html_table(names, lines, title=f"the first {MOST_LINES} of {len(self):,}" if len(self) > MOST_LINES else "")


def layers_text(hidden: Sequence[int], activation: str) -> str:
    """Return the hidden layers in a few words.

    >>> layers_text((64, 32), "relu"), layers_text((), "relu")
    ('64-32 relu', 'linear')
    """
    return f"{'-'.join(map(str, hidden))} {activation}" if hidden else "linear"


def networks_text(networks: int, linear: int = 0, *, layers: str = "") -> str:
    """Return how many networks there are, of which some are linear models. layers: those of each network.

    >>> networks_text(16, 8), networks_text(8, 8), networks_text(16, 8, layers="64 relu")
    ('8 networks and 8 linear models', '8 linear models', '8 networks 64 relu and 8 linear models')
    """
    own = f"{counted(networks - linear, 'network')} {layers}".rstrip()
    models = counted(linear, "linear model")
    return own if not linear else f"{own} and {models}" if linear < networks else models


def html_table(names: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> str:
    """Return an HTML table; numbers are aligned to the right.

    >>> html_table(["", "loss"], [("test", 0.25)])
    '<table><thead><tr><th></th><th>loss</th></tr></thead><tbody><tr><td>test</td><td style="text-align:right">0.2500</td></tr></tbody></table>'
    """
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(map(_html_cell, row))}</tr>" for row in rows)
    caption = f'<caption style="text-align:left">{html.escape(title)}</caption>' if title else ""
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _html_cell(value: object) -> str:
    style = ' style="text-align:right"' if is_number(value) else ""
    return f"<td{style}>{html.escape(cell_text(value))}</td>"
