"""The state of an encoder as JSON, and back. What comes back may come from a hostile file: closed sets of names, all checked."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from manynets.errors import DataError
from manynets.tables.clocks import is_zone
from manynets.tables.columns import CategoricalColumn, ColumnEncoder, DateColumn, NumericColumn
from manynets.tables.dates import DATE_ORDERS, PARTS, DateForm
from manynets.tables.hashed import MOST_HASHED, TextColumn
from manynets.tables.means import LevelMeans
from manynets.tables.parts import PARTS_OF_CODES
from manynets.tables.piecewise import MOST_EDGES, Pieces
from manynets.tables.scaling import MOST_KNOTS, Spread
from manynets.tables.written import DECIMALS, PLAIN, THOUSANDS, Reading, is_unit

VERSION, USUAL_VERSION = 7, 6
"""2: numeric columns have limits. 3: numeric columns have a reading, dates a zone. 4: numeric columns have pieces, readings digits, spreads
`smooth`, categorical columns a part, and there are columns of text. 5: categorical columns have means. 6: spreads `robust`. 7: readings
`lenient`; without such a one the version is 6. Older versions are read too."""
T = TypeVar("T")
Dropped = tuple[tuple[str, str], ...]


def state_to_json(columns: Sequence[ColumnEncoder], dropped: Dropped, positional: bool) -> dict[str, Any]:
    """Return the state of an encoder as dicts, lists, text, numbers and bools."""
    lenient = any(column.kind == "numeric" and column.reading.lenient for column in columns)
    version = VERSION if lenient else USUAL_VERSION
    return {
        "version": version,
        "positional": positional,
        "columns": [_column_to_json(column, version) for column in columns],
        "dropped": [[name, why] for name, why in dropped],
    }


def _column_to_json(column: ColumnEncoder, version: int) -> dict[str, Any]:
    state: dict[str, Any] = {"kind": column.kind, "name": column.name, "gaps": column.gaps}
    if column.kind == "numeric":
        limits = None if column.limits is None else list(column.limits)
        reading = None if column.reading == PLAIN else asdict(column.reading)
        if reading is not None and version < VERSION:
            del reading["lenient"]
        state |= {"fill": column.fill, "spread": _spread_to_json(column.spread), "limits": limits}
        return state | {"reading": reading, "pieces": _pieces_to_json(column.pieces)}
    if column.kind == "categorical":
        means = [
            one._asdict()
            | {"values": list(one.values), "spread": _spread_to_json(one.spread), "pieces": _pieces_to_json(one.pieces)}
            for one in column.means
        ]
        return state | {"levels": list(column.levels), "rare": list(column.rare), "part": column.part, "means": means}
    if column.kind == "text":
        return state | {"width": column.width}
    parts = [{"part": part, "fill": fill, "spread": _spread_to_json(spread)} for part, spread, fill in column.parts]
    return state | {"order": column.form.order, "zone": column.form.zone, "parts": parts}


def _pieces_to_json(pieces: Pieces | None) -> dict[str, list[float]] | None:
    return None if pieces is None else {name: list(values) for name, values in pieces._asdict().items()}


def _spread_to_json(spread: Spread) -> dict[str, Any]:
    return spread._asdict() | {"knots": list(spread.knots), "normal": list(spread.normal)}


def state_from_json(state: Any) -> tuple[tuple[ColumnEncoder, ...], Dropped, bool]:
    """Return columns, dropped and positional of a state.

    Errors: DataError that names the entry for whatever `state_to_json` does not write.
    """
    version = state.get("version") if isinstance(state, Mapping) else None
    if type(version) is not int or not 1 <= version <= VERSION:
        raise DataError(f"the table encoder has the version {version!r}, but this manynets reads the versions 1 to {VERSION}")
    _keys(state, {"version", "positional", "columns", "dropped"}, "encoder")
    columns = tuple(_column(item, f"columns[{i}]", version) for i, item in enumerate(_list(state["columns"], "columns")))
    if not columns:
        raise DataError("encoder.columns is empty, but at least one column is needed")
    dropped = []
    for i, item in enumerate(_list(state["dropped"], "dropped")):
        pair = _list(item, f"dropped[{i}]")
        if len(pair) != 2:
            raise DataError(f"dropped[{i}] must be a name and a reason, but has {len(pair)} entries")
        dropped.append((_text(pair[0], f"dropped[{i}]"), _text(pair[1], f"dropped[{i}]")))
    names = [column.name for column in columns] + [name for name, _ in dropped]
    _unique(names, "column names")
    positional = _bool(state["positional"], "positional")
    if positional and set(names) != {f"x{j}" for j in range(len(names))}:
        raise DataError("a positional encoder must have the columns x0, x1, ... without a gap")
    return columns, tuple(dropped), positional


def _column(state: Any, where: str, version: int) -> ColumnEncoder:
    kind = state.get("kind") if isinstance(state, Mapping) else None
    common = {"kind", "name", "gaps"}
    if kind == "numeric":
        _keys(state, common | {"fill", "spread"}, where, version, limits=2, reading=3, pieces=4)
        fill = None if state["fill"] is None else _number(state["fill"], f"{where}.fill")
        if _bool(state["gaps"], f"{where}.gaps") and fill is None:
            raise DataError(f"{where} has gaps but no fill")
        return NumericColumn(
            **_named(state, where),
            fill=fill,
            spread=_spread(state["spread"], f"{where}.spread", version),
            limits=_limits(state.get("limits"), f"{where}.limits"),
            reading=_reading(state.get("reading"), f"{where}.reading", version),
            pieces=_pieces(state.get("pieces"), f"{where}.pieces"),
        )
    if kind == "categorical":
        _keys(state, common | {"levels", "rare"}, where, version, part=4, means=5)
        levels, rare = (
            tuple(_text(item, f"{where}.{name}") for item in _list(state[name], f"{where}.{name}")) for name in ("levels", "rare")
        )
        _unique([*levels, *rare], f"{where}: levels")
        return CategoricalColumn(
            **_named(state, where),
            levels=levels,
            rare=rare,
            part=_among(state.get("part", ""), PARTS_OF_CODES, f"{where}.part"),
            means=_means(state.get("means", []), len(levels) + len(rare), f"{where}.means", version),
        )
    if kind == "text" and version > 3:
        _keys(state, common | {"width"}, where)
        width = state["width"]
        if type(width) is not int or not 1 <= width <= MOST_HASHED:
            raise DataError(f"{where}.width is {width!r}, but must be a whole number from 1 to {MOST_HASHED}")
        return TextColumn(**_named(state, where), width=width)
    if kind == "date":
        _keys(state, common | {"order", "parts"}, where, version, zone=3)
        parts = tuple(_part(item, f"{where}.parts[{i}]", version) for i, item in enumerate(_list(state["parts"], f"{where}.parts")))
        _unique([part for part, _, _ in parts], f"{where}: parts")
        order = _among(state["order"], DATE_ORDERS, f"{where}.order")
        form = DateForm(order=order, zone=_zone(state.get("zone", ""), f"{where}.zone"))
        return DateColumn(**_named(state, where), form=form, parts=parts)
    raise DataError(f"{where}.kind is {kind!r}, but must be one of numeric, categorical, date, text")


def _named(state: Any, where: str) -> dict[str, Any]:
    """Return what columns of all kinds have."""
    return {"name": _text(state["name"], f"{where}.name"), "gaps": _bool(state["gaps"], f"{where}.gaps")}


def _means(state: Any, levels: int, where: str, version: int) -> tuple[LevelMeans, ...]:
    out = []
    for i, item in enumerate(_list(state, where)):
        _keys(item, set(LevelMeans._fields), f"{where}[{i}]")
        values = _numbers(item["values"], f"{where}[{i}].values")
        if len(values) != levels:
            raise DataError(f"{where}[{i}].values has {len(values)} numbers, but the column has {levels} levels")
        missing, prior = (_number(item[name], f"{where}[{i}].{name}") for name in ("missing", "prior"))
        spread = _spread(item["spread"], f"{where}[{i}].spread", version)
        out.append(LevelMeans(values, missing, prior, spread, _pieces(item["pieces"], f"{where}[{i}].pieces")))
    return tuple(out)


def _reading(state: Any, where: str, version: int) -> Reading:
    if state is None:
        return PLAIN
    _keys(state, {"decimal", "thousands", "unit", "magnitudes", "duration"}, where, version, digits=4, lenient=7)
    reading = Reading(
        decimal=_among(state["decimal"], DECIMALS, f"{where}.decimal"),
        thousands=_among(state["thousands"], THOUSANDS, f"{where}.thousands"),
        unit=_text(state["unit"], f"{where}.unit"),
        magnitudes=_bool(state["magnitudes"], f"{where}.magnitudes"),
        duration=_bool(state["duration"], f"{where}.duration"),
        digits=_bool(state.get("digits", False), f"{where}.digits"),
        lenient=_bool(state.get("lenient", False), f"{where}.lenient"),
    )
    if not is_unit(reading.unit):
        raise DataError(f"{where}.unit is {reading.unit[:40]!r}, but must be a unit such as kg, $ or km/h")
    if reading.decimal == reading.thousands:
        raise DataError(f"{where} has {reading.decimal!r} before decimals and between thousands, but they must differ")
    return reading


def _zone(state: Any, where: str) -> str:
    zone = _text(state, where)
    if zone and not is_zone(zone):
        raise DataError(f"{where} is {zone!r}, but must be UTC, an offset such as +02:00, or a name such as Europe/Berlin")
    return zone


def _limits(state: Any, where: str) -> tuple[float, float] | None:
    if state is None:
        return None
    numbers = _numbers(state, where)
    if len(numbers) != 2 or numbers[0] > numbers[1]:
        raise DataError(f"{where} must be the least and the largest value, but is {list(numbers)}")
    return numbers[0], numbers[1]


def _part(state: Any, where: str, version: int) -> tuple[str, Spread, float]:
    _keys(state, {"part", "fill", "spread"}, where)
    part = _among(state["part"], PARTS, f"{where}.part")
    return part, _spread(state["spread"], f"{where}.spread", version), _number(state["fill"], f"{where}.fill")


def _pieces(state: Any, where: str) -> Pieces | None:
    if state is None:
        return None
    _keys(state, {"edges", "centers"}, where)
    edges, centers = _numbers(state["edges"], where), _numbers(state["centers"], where)
    if not 3 <= len(edges) == len(centers) + 1 <= MOST_EDGES or any(a >= b for a, b in itertools.pairwise(edges)):
        raise DataError(f"{where} must be 3 to {MOST_EDGES} increasing edges with a centre between each two, but are {len(edges)}")
    return Pieces(edges, centers)


def _spread(state: Any, where: str, version: int) -> Spread:
    _keys(state, {"center", "scale", "knots", "normal"}, where, version, smooth=4, robust=6)
    knots, normal = _numbers(state["knots"], f"{where}.knots"), _numbers(state["normal"], f"{where}.normal")
    if len(knots) != len(normal) or len(knots) > MOST_KNOTS:
        raise DataError(
            f"{where} has {len(knots)} knots and {len(normal)} normal quantiles, but must have as many of both, {MOST_KNOTS} at most"
        )
    if any(a >= b for values in (knots, normal) for a, b in itertools.pairwise(values)):
        raise DataError(f"{where}: knots and their normal quantiles must increase")
    scale = _number(state["scale"], f"{where}.scale")
    if not scale > 0.0:
        raise DataError(f"{where}.scale is {scale!r}, but must be above 0")
    return Spread(
        center=_number(state["center"], f"{where}.center"),
        scale=scale,
        knots=knots,
        normal=normal,
        smooth=_bool(state.get("smooth", False), where),
        robust=_bool(state.get("robust", False), where),
    )


def _keys(state: Any, expected: set[str], where: str, version: int = VERSION, **since: int) -> None:
    """Raise DataError for other fields than these. since: fields that there are from a version on."""
    if not isinstance(state, Mapping):
        raise DataError(f"{where} must be an object, but is {type(state).__name__}")
    expected = expected | {name for name, first in since.items() if first <= version}
    if set(state) != expected:
        wrong = sorted(str(key) for key in set(state) ^ expected)
        raise DataError(
            f"{where} must have exactly the fields {', '.join(sorted(expected))}; missing or unknown: {', '.join(wrong)}"
        )


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise DataError(f"{where} must be a list, but is {type(value).__name__}")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{where} must be text, but is {type(value).__name__}")
    return value


def _bool(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise DataError(f"{where} must be true or false, but is {type(value).__name__}")
    return value


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{where} must be a number, but is {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise DataError(f"{where} must be a finite number")
    return number


def _numbers(value: Any, where: str) -> tuple[float, ...]:
    return tuple(_number(item, where) for item in _list(value, where))


def _among(value: Any, allowed: tuple[T, ...], where: str) -> T:
    for name in allowed:
        if value == name:
            return name
    raise DataError(f"{where} is {value!r}, but must be one of {', '.join(map(str, allowed))}")


def _unique(names: Sequence[str], what: str) -> None:
    if len(set(names)) != len(names):
        raise DataError(f"{what} must be unique, but some occur twice")
