"""The table encoder as ONNX nodes, from one input for each column of the table to the float32 matrix that the networks read.

Numbers are float64 (NaN where missing), all other columns text ("" where missing): categories as `plain_label` writes them, dates as
2024-12-31 or 2024-12-31T23:59:00 on the clock of the column, times of day as 23:59:00.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.errors import OptionError
from manynets.export.graph import Graph
from manynets.tables import TableEncoder
from manynets.tables.columns import CategoricalColumn, DateColumn, NumericColumn
from manynets.tables.dates import CYCLES
from manynets.tables.labels import other_spellings
from manynets.tables.missing import MISSING_TOKENS, TEXT_MISSING
from manynets.tables.parts import CodePart
from manynets.tables.piecewise import SIZE
from manynets.tables.scaling import CLIP

NO_WORD = r"[^\pL\pN]"
"""A sign that is part of no word, in the regular expressions of ONNX."""
DAY = r"\s*[0-9]{4,}-(0?[1-9]|1[0-2])-(0?[1-9]|[12][0-9]|3[01])"
CLOCK = r"([01]?[0-9]|2[0-3]):[0-5]?[0-9](:[0-5]?[0-9](\.[0-9]*)?)?"
"""Dates and times, in the regular expressions of ONNX."""


@dataclasses.dataclass(frozen=True)
class _Part:
    """Some columns (N, width) of the matrix, and which of its columns they are; -1 for one that is not used."""

    value: str
    columns: Sequence[int]


def _refuse_text(encoder: TableEncoder) -> None:
    hashed = [column.name for column in encoder.columns if column.kind == "text"]
    if hashed:
        raise OptionError(
            f"column {hashed[0]!r} is text of many words, whose hashing ONNX cannot express; export a Python module, or train without it"
            f" (--drop {hashed[0]!r})"
        )


def encoded(graph: Graph, encoder: TableEncoder) -> str:
    """Add an input for each column, and return the matrix (N, D), float32, of `TableEncoder.transform`."""
    _refuse_text(encoder)
    if encoder.positional:
        others = [column.name for column in encoder.columns if not isinstance(column, NumericColumn)]
        if others:
            raise OptionError(
                f"column {others[0]!r} of the array holds categories, and an ONNX graph that takes an array takes numbers only;"
                " train on a frame, or use to_python"
            )
        matrix = graph.input("X", np.float64, "the columns, in the order of training", encoder.array_width)
        inputs = {column.name: graph.take(matrix, [int(column.name[1:])]) for column in encoder.columns}
    else:
        inputs = {column.name: _input(graph, column) for column in encoder.columns}
    starts = {block.name: block.start for block in encoder.blocks}
    numbers = [column for column in encoder.columns if isinstance(column, NumericColumn) and column.fill is not None]
    parts = _numbers(graph, numbers, inputs, starts) if numbers else []
    for column in encoder.columns:
        if isinstance(column, CategoricalColumn):
            parts += _categories(graph, column, inputs[column.name], starts[column.name])
        elif isinstance(column, DateColumn):
            parts.append(_date(graph, column, inputs[column.name], starts[column.name]))
    if not parts:
        raise OptionError(
            "no column had a value when the model was trained, so its answer is always the same; there is no graph to write"
        )
    order = np.concatenate([np.asarray(part.columns) for part in parts])
    place = np.full(encoder.width, len(order))  # columns without any value at fit are 0
    place[order[order >= 0]] = np.flatnonzero(order >= 0)
    values = [part.value for part in parts]
    if (place == len(order)).any():
        values.append(graph.node("Mul", graph.take(values[0], [0]), np.float32(0)))
    return graph.take(graph.joined(values), place)


def _input(graph: Graph, column: Any) -> str:
    if isinstance(column, NumericColumn):
        unit = f" in {column.reading.unit}" if column.reading.unit else ""
        what = "the last digits of a code, as a number" if column.reading.digits else f"a number{unit}"
        return graph.input(column.name, np.float64, f"{what}; NaN if missing")
    if isinstance(column, DateColumn):
        return graph.input(column.name, np.str_, f"{_example(column)}; empty if missing")
    return graph.input(column.name, np.str_, "a category; empty if missing")


def _example(column: DateColumn) -> str:
    return "a time of day such as 23:59:00" if column.form.order == "time" else "a date such as 2024-12-31 or 2024-12-31T23:59:00"


# ---------------------------------------------------------------------------------------------------------------- numbers


def _numbers(graph: Graph, columns: list[NumericColumn], inputs: dict[str, str], starts: dict[str, int]) -> list[_Part]:
    """Return all numeric columns: filled, limited and scaled, those of gaps, and the piecewise-linear ones."""
    x = graph.joined([inputs[column.name] for column in columns])
    gone = graph.node("IsNaN", x)
    x = graph.node("Where", gone, [[column.fill for column in columns]], x)
    limits = np.array([column.limits or (-math.inf, math.inf) for column in columns]).T
    x = graph.node("Min", graph.node("Max", x, limits[:1]), limits[1:])
    centred = graph.node("Sub", x, [[column.spread.center for column in columns]])
    z = graph.node("Div", centred, [[column.spread.scale for column in columns]])
    clip = np.array([[1 / CLIP if column.spread.smooth else 0.0 for column in columns]])
    if clip.any():  # z / sqrt(1 + (z / 3)^2)
        square = graph.node("Pow", graph.node("Mul", z, clip), 2.0)
        z = graph.node("Div", z, graph.node("Sqrt", graph.node("Add", square, 1.0)))
    plain = [j for j, column in enumerate(columns) if not column.spread.knots]
    parts = []
    if plain:
        scaled = graph.cast(graph.take(z, plain), np.float32)
        parts.append(_Part(scaled, [starts[columns[j].name] for j in plain]))
    for j, column in enumerate(columns):
        if column.spread.knots:
            line = _line(graph, graph.take(x, [j]), np.array(column.spread.knots), np.array(column.spread.normal))
            parts.append(_Part(graph.cast(line, np.float32), [starts[column.name]]))
    gaps = [j for j, column in enumerate(columns) if column.gaps]
    if gaps:
        parts.append(_Part(graph.cast(graph.take(gone, gaps), np.float32), [starts[columns[j].name] + 1 for j in gaps]))
    if any(column.pieces is not None for column in columns):
        parts.append(_pieces(graph, columns, x, starts))
    return parts


def _line(graph: Graph, x: str, knots: NDArray[np.float64], heights: NDArray[np.float64]) -> str:
    """Return the line through (knots, heights), and beyond the knots the outermost height, of x (N, 1)."""
    share = _share(graph, x, knots[:-1], np.diff(knots), 1.0)
    return graph.node("Add", graph.node("MatMul", share, np.diff(heights)[:, None]), heights[0])


def _share(graph: Graph, x: str, low: NDArray[np.float64], width: NDArray[np.float64], size: Any) -> str:
    """Return how far x / size is through each range, from 0 to 1."""
    way = graph.node("Div", graph.node("Sub", graph.node("Div", x, size), low), width)
    return graph.node("Clip", way, 0.0, 1.0)


def _pieces(graph: Graph, columns: list[NumericColumn], x: str, starts: dict[str, int]) -> _Part:
    """Return the piecewise-linear columns of all numeric columns; see `manynets.tables.piecewise`."""
    source: list[int] = []
    places: list[int] = []
    low, width, sizes, centers = [], [], [], []
    for j, column in enumerate(columns):
        if column.pieces is None:
            continue
        edges = np.array(column.pieces.edges)
        size = max(float(np.abs(edges).max()), 1e-300)
        count = len(edges) - 1
        source += [j] * count
        low.append(edges[:-1] / size)
        width.append(np.diff(edges / size))
        sizes.append(np.full(count, size))
        centers.append(np.array(column.pieces.centers))
        first = starts[column.name] + 1 + column.gaps
        places += range(first, first + count)
    share = _share(graph, graph.take(x, source), np.concatenate(low), np.concatenate(width), np.concatenate(sizes))
    centred = graph.node("Sub", share, np.concatenate(centers))
    return _Part(graph.cast(graph.node("Mul", centred, SIZE), np.float32), places)


# ------------------------------------------------------------------------------------------------------------- categories


def _categories(graph: Graph, column: CategoricalColumn, x: str, start: int) -> list[_Part]:
    """Return the one-hot columns of a categorical column, and one more that is not used, for values without a column, and its means."""
    width = len(column.levels) + bool(column.rare) + column.gaps
    other = len(column.levels) if column.rare else width
    missing = width - 1 if column.gaps else other
    if column.part:
        position = _positions_of_parts(graph, column, x, other=other, missing=missing)
    else:
        keys = {level: number for number, level in enumerate(column.levels)} | dict.fromkeys(column.rare, other)
        position = _numbered(graph, column, x, keys, other=other, missing=missing)
    flat = graph.node("Reshape", position, [-1])
    one_hot = graph.node("OneHot", flat, width + 1, np.array([0, 1], dtype=np.float32))
    parts = [_Part(one_hot, [*range(start, start + width), -1])]
    return parts + _means(graph, column, x, start + width) if column.means else parts


def _means(graph: Graph, column: CategoricalColumn, x: str, start: int) -> list[_Part]:
    """Return the means of the target over the levels of a column, scaled as numbers are."""
    keys = {level: number for number, level in enumerate(column.known)}
    code = _numbered(graph, column, x, keys, other=len(keys) + 1, missing=len(keys))
    flat = graph.node("Reshape", code, [-1])
    numbers, inputs, starts = [], {}, {}
    for i, one in enumerate(column.means):
        name = f"{column.name} {i}"
        numbers.append(NumericColumn(name=name, spread=one.spread, fill=one.prior, gaps=False, pieces=one.pieces))
        table = np.array([*one.values, one.missing, one.prior])[:, None]
        inputs[name], starts[name] = graph.node("Gather", table, flat, axis=0), start
        start += one.width
    return _numbers(graph, numbers, inputs, starts)


def _numbered(graph: Graph, column: CategoricalColumn, x: str, keys: dict[str, int], *, other: int, missing: int) -> str:
    """Return the number of the level of each value, also in another spelling, such as true for True and 1 for 1.0."""
    bools = {text: label for label in ("True", "False") if label in keys for text in (label.lower(), label.upper())}
    spelled = {text: keys[label] for text, label in (bools | other_spellings(column.known)).items()}
    tokens = dict.fromkeys(_in_any_case(MISSING_TOKENS if column.of_numbers else TEXT_MISSING), missing)
    return _looked_up(graph, x, tokens | keys | spelled, default=other)


def _in_any_case(tokens: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(text for token in tokens for text in (token, token.upper(), token.capitalize())))


def _looked_up(graph: Graph, x: str, keys: dict[str, int], *, default: int) -> str:
    attributes: dict[str, Any] = {"keys_strings": list(keys), "values_int64s": list(keys.values()), "default_int64": default}
    return graph.node("LabelEncoder", x, domain="ai.onnx.ml", **attributes)


def _positions_of_parts(graph: Graph, column: CategoricalColumn, x: str, *, other: int, missing: int) -> str:
    """Return the position of each value, by one regular expression for each level: ONNX cannot cut texts."""
    position = graph.node("Expand", [[other]], graph.node("Shape", x))
    for index, level in enumerate(column.levels):
        found = graph.node("RegexFullMatch", x, pattern=_pattern(level, column.part))
        position = graph.node("Where", found, index, position)
    gone = _looked_up(graph, x, dict.fromkeys(_in_any_case(TEXT_MISSING), 1), default=0)
    return graph.node("Where", graph.cast(gone, np.bool_), missing, position)


def _pattern(level: str, part: CodePart) -> str:
    """Return the regular expression of the labels whose part is this level; see `manynets.tables.parts`."""
    text = re.escape(level)
    if part == "length":
        return f"(?s).{{{level}}}"
    end, what = part.split()
    if what == "word":
        if not level:
            return f"(?s){NO_WORD}*"
        return f"(?s){NO_WORD}*{text}({NO_WORD}.*)?" if end == "first" else f"(?s)(.*{NO_WORD})?{text}{NO_WORD}*"
    if len(level) < int(what):  # the whole label is shorter
        return f"(?s){text}"
    return f"(?s){text}.*" if end == "first" else f"(?s).*{text}"


# ------------------------------------------------------------------------------------------------------------------ dates


def _date(graph: Graph, column: DateColumn, x: str, start: int) -> _Part:
    """Return the parts of a date, scaled, with sine and cosine where they come round, and the column of gaps."""
    time = column.form.order == "time"
    gone = graph.cast(_looked_up(graph, x, dict.fromkeys(_in_any_case(MISSING_TOKENS), 1), default=0), np.bool_)
    x = graph.node("Where", gone, ["00:00:00" if time else "1970-01-01"], x)
    x = _checked(graph, x, CLOCK if time else f"{DAY}(T{CLOCK})?", f"{column.name} must hold {_example(column)}, or be empty")
    if time:
        x = graph.node("StringConcat", ["1970-01-01T"], x)
    parts = _date_parts(graph, x)
    columns = []
    for part, fill, spread in column.parts:
        value = graph.node("Where", gone, fill, graph.cast(parts[part], np.float64))
        columns.append(graph.node("Div", graph.node("Sub", value, spread.center), spread.scale))
        if part in CYCLES:
            angle = graph.cast(graph.node("Mul", value, 2.0 * math.pi / CYCLES[part]), np.float32)
            columns += [graph.cast(graph.node(wave, angle), np.float64) for wave in ("Sin", "Cos")]
    if column.gaps:
        columns.append(graph.cast(gone, np.float64))
    return _Part(graph.cast(graph.joined(columns), np.float32), range(start, start + len(columns)))


def _checked(graph: Graph, x: str, pattern: str, must: str) -> str:
    """Return texts (N, 1) that match a pattern as they are. For others the graph fails, in a node that is called as what must be."""
    other = graph.cast(graph.node("Not", graph.node("RegexFullMatch", x, pattern=pattern)), np.int64)
    nothing = graph.node("Gather", [""], other, name=must)  # a list of one has no second
    return graph.node("StringConcat", x, nothing)


def _date_parts(graph: Graph, x: str) -> dict[str, str]:
    """Return year, month (1-12), day (1-31), weekday (Monday 0), hour, minute and second of ISO texts, each (N, 1), int64."""
    x = graph.node("StringConcat", x, ["T00:00:00"])  # so that there is a time, perhaps a second one
    halves = graph.node("StringSplit", x, outputs=2, delimiter="T")
    numbers: list[str] = []
    for half, (sign, end) in enumerate((("-", ""), (":", ":00"))):
        text = graph.node("Gather", halves, half, axis=2)
        text = graph.node("StringConcat", text, [end]) if end else text
        cut = graph.node("StringSplit", text, outputs=2, delimiter=sign)
        numbers += [graph.cast(graph.node("Gather", cut, i, axis=2), np.int64) for i in range(3)]
    parts = dict(zip(("year", "month", "day", "hour", "minute", "second"), numbers, strict=True))
    return parts | {"weekday": _weekday(graph, parts)}


def _weekday(graph: Graph, parts: dict[str, str]) -> str:
    """Return the weekday, by Sakamoto's rule: (y + y/4 - y/100 + y/400 + t_month + day) mod 7 is 0 on Sundays, with y the year from March."""

    def over(year: str, count: int) -> str:
        return graph.node("Div", year, count)

    month = graph.node("Sub", parts["month"], 1)
    early = graph.cast(graph.node("Less", parts["month"], 3), np.int64)
    year = graph.node("Sub", parts["year"], early)
    shift = graph.node("Gather", [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4], month)
    leap = graph.node("Sub", graph.node("Add", over(year, 4), over(year, 400)), over(year, 100))
    days = graph.node("Add", graph.node("Add", year, leap), graph.node("Add", shift, parts["day"]))
    return graph.node("Mod", graph.node("Add", days, 6), 7)
