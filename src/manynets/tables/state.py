"""The state of an encoder as JSON, and back. What comes back may come from a hostile file: closed sets of names, all checked.

The fields of the classes say what a state has, and their types what is read.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from manynets.errors import DataError
from manynets.tables.columns import CategoricalColumn, ColumnEncoder, DateColumn, DatePart, NumericColumn
from manynets.tables.dates import is_zone
from manynets.tables.hashed import MOST_HASHED, TextColumn
from manynets.tables.means import LevelMeans
from manynets.tables.piecewise import MOST_EDGES, Pieces
from manynets.tables.scaling import MOST_KNOTS, Spread
from manynets.tables.written import PLAIN, Reading, is_unit

VERSION, USUAL_VERSION = 7, 6
"""Older versions are read too. A state is of version 7 where a reading is lenient, else of version 6."""
_SINCE = {
    "NumericColumn.limits": 2, "NumericColumn.reading": 3, "NumericColumn.pieces": 4, "CategoricalColumn.part": 4,
    "CategoricalColumn.means": 5, "DateColumn.zone": 3, "Reading.digits": 4, "Reading.lenient": 7, "Spread.smooth": 4, "Spread.robust": 6,
}  # fmt: skip
"""The version that first had a field; columns of text are since 4."""
Dropped = tuple[tuple[str, str], ...]


_KINDS: dict[str, Any] = {"numeric": NumericColumn, "categorical": CategoricalColumn, "date": DateColumn, "text": TextColumn}
_TYPES: dict[Any, dict[str, Any]] = {
    kind: get_type_hints(kind) for kind in (*_KINDS.values(), DatePart, LevelMeans, Pieces, Reading, Spread)
}
"""The types of all fields, found here so that no annotation is compiled while a file is read."""


def _fields(kind: Any, version: int) -> dict[str, Any]:
    """Return the fields of a dataclass or a named tuple that a state of a version has, with their types."""
    names = [field.name for field in dataclasses.fields(kind) if field.init] if dataclasses.is_dataclass(kind) else kind._fields
    types = _TYPES[kind]
    return {name: types[name] for name in names if _SINCE.get(f"{kind.__name__}.{name}", 1) <= version}


def state_to_json(columns: Sequence[ColumnEncoder], dropped: Dropped, positional: bool) -> dict[str, Any]:
    """Return the state of an encoder as dicts, lists, text, numbers and bools."""
    lenient = any(column.kind == "numeric" and column.reading.lenient for column in columns)
    version = VERSION if lenient else USUAL_VERSION
    return {
        "version": version,
        "positional": positional,
        "columns": [{"kind": column.kind} | _to_json(column, version) for column in columns],
        "dropped": [[name, why] for name, why in dropped],
    }


def _to_json(value: Any, version: int) -> Any:
    if value == PLAIN:
        return None
    if dataclasses.is_dataclass(value) or hasattr(value, "_fields"):
        return {name: _to_json(getattr(value, name), version) for name in _fields(value.__class__, version)}
    return [_to_json(item, version) for item in value] if isinstance(value, tuple) else value


def state_from_json(state: Any) -> tuple[tuple[ColumnEncoder, ...], Dropped, bool]:
    """Return columns, dropped and positional of a state.

    Errors: DataError that names the entry for whatever `state_to_json` does not write.
    """
    version = state.get("version") if isinstance(state, Mapping) else None
    if type(version) is not int or not 1 <= version <= VERSION:
        raise DataError(f"the table encoder has the version {version!r}, but this manynets reads the versions 1 to {VERSION}")
    _refuse_other_keys(state, {"version", "positional", "columns", "dropped"}, "encoder")
    columns = tuple(_column(item, f"columns[{i}]", version) for i, item in enumerate(_list(state["columns"], "columns")))
    if not columns:
        raise DataError("encoder.columns is empty, but at least one column is needed")
    dropped: Dropped = _read(Dropped, state["dropped"], "dropped", version)
    names = [column.name for column in columns] + [name for name, _ in dropped]
    _unique(names, "column names")
    positional = _read(bool, state["positional"], "positional", version)
    if positional and set(names) != {f"x{j}" for j in range(len(names))}:
        raise DataError("a positional encoder must have the columns x0, x1, ... without a gap")
    return columns, dropped, positional


def _column(state: Any, where: str, version: int) -> ColumnEncoder:
    kind = state.get("kind") if isinstance(state, Mapping) else None
    if not isinstance(kind, str) or kind not in _KINDS or (kind == "text" and version < 4):
        raise DataError(f"{where}.kind is {kind!r}, but must be one of numeric, categorical, date, text")
    made: ColumnEncoder = _made(_KINDS[kind], {name: value for name, value in state.items() if name != "kind"}, where, version)
    return made


# ------------------------------------------------------------------------------------------------------------- by their types


def _made(kind: Any, state: Any, where: str, version: int) -> Any:
    """Return a dataclass or a named tuple of a state, whose fields are those of the version."""
    fields = _fields(kind, version)
    _refuse_other_keys(state, set(fields), where)
    made = kind(**{name: _read(type_, state[name], f"{where}.{name}", version) for name, type_ in fields.items()})
    if kind in _CHECKS:
        _CHECKS[kind](made, where)
    return made


def _read(kind: Any, value: Any, where: str, version: int) -> Any:
    """Return a value of JSON as one of a type."""
    origin, args = get_origin(kind), get_args(kind)
    if kind is Reading and value is None:
        return PLAIN
    if origin is UnionType:  # with None
        return None if value is None else _read(args[0], value, where, version)
    if origin is Literal:
        if isinstance(value, str) and value in args:
            return value
        raise DataError(f"{where} is {value!r}, but must be one of {', '.join(args)}")
    if origin is tuple:
        items = _list(value, where)
        if args[-1] is not ... and len(items) != len(args):
            raise DataError(f"{where} must have {len(args)} entries, but has {len(items)}")
        return tuple(_read(args[0], item, where, version) for item in items)
    if kind is float:
        return _number(value, where)
    if kind in _NAMES:
        if type(value) is not kind:
            raise DataError(f"{where} must be {_NAMES[kind]}, but is {type(value).__name__}")
        return value
    return _made(kind, value, where, version)


_NAMES = {str: "text", bool: "true or false", int: "a whole number"}


def _check_numeric(column: NumericColumn, where: str) -> None:
    if column.gaps and column.fill is None:
        raise DataError(f"{where} has gaps but no fill")
    if column.limits is not None and column.limits[0] > column.limits[1]:
        raise DataError(f"{where}.limits must be the least and the largest value, but is {list(column.limits)}")


def _check_categorical(column: CategoricalColumn, where: str) -> None:
    _unique(column.known, f"{where}: levels")
    for i, one in enumerate(column.means):
        if len(one.values) != len(column.known):
            raise DataError(
                f"{where}.means[{i}].values has {len(one.values)} numbers, but the column has {len(column.known)} levels"
            )


def _check_dates(column: DateColumn, where: str) -> None:
    _unique([one.part for one in column.parts], f"{where}: parts")
    if column.zone and not is_zone(column.zone):
        raise DataError(
            f"{where}.zone is {column.zone!r}, but must be UTC, an offset such as +02:00, or a name such as Europe/Berlin"
        )


def _check_text(column: TextColumn, where: str) -> None:
    if not 1 <= column.width <= MOST_HASHED:
        raise DataError(f"{where}.width is {column.width}, but must be a whole number from 1 to {MOST_HASHED}")


def _check_reading(reading: Reading, where: str) -> None:
    if not is_unit(reading.unit):
        raise DataError(f"{where}.unit is {reading.unit[:40]!r}, but must be a unit such as kg, $ or km/h")
    if reading.decimal == reading.thousands:
        raise DataError(f"{where} has {reading.decimal!r} before decimals and between thousands, but they must differ")


def _check_pieces(pieces: Pieces, where: str) -> None:
    edges, centers = pieces
    if not 3 <= len(edges) == len(centers) + 1 <= MOST_EDGES or any(a >= b for a, b in itertools.pairwise(edges)):
        raise DataError(f"{where} must be 3 to {MOST_EDGES} increasing edges with a centre between each two, but are {len(edges)}")


def _check_spread(spread: Spread, where: str) -> None:
    knots, normal = spread.knots, spread.normal
    if len(knots) != len(normal) or len(knots) > MOST_KNOTS:
        raise DataError(
            f"{where} has {len(knots)} knots and {len(normal)} normal quantiles, but must have as many of both, {MOST_KNOTS} at most"
        )
    if any(a >= b for values in (knots, normal) for a, b in itertools.pairwise(values)):
        raise DataError(f"{where}: knots and their normal quantiles must increase")
    if not spread.scale > 0.0:
        raise DataError(f"{where}.scale is {spread.scale!r}, but must be above 0")


_CHECKS: dict[Any, Any] = {
    NumericColumn: _check_numeric, CategoricalColumn: _check_categorical, DateColumn: _check_dates, TextColumn: _check_text,
    Reading: _check_reading, Pieces: _check_pieces, Spread: _check_spread,
}  # fmt: skip


def _refuse_other_keys(state: Any, expected: set[str], where: str) -> None:
    if not isinstance(state, Mapping):
        raise DataError(f"{where} must be an object, but is {type(state).__name__}")
    if set(state) != expected:
        wrong = sorted(str(key) for key in set(state) ^ expected)
        raise DataError(
            f"{where} must have exactly the fields {', '.join(sorted(expected))}; missing or unknown: {', '.join(wrong)}"
        )


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise DataError(f"{where} must be a list, but is {type(value).__name__}")
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


def _unique(names: Sequence[str], what: str) -> None:
    if len(set(names)) != len(names):
        raise DataError(f"{what} must be unique, but some occur twice")
