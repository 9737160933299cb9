"""Read JSON files that people may have edited, or a disk damaged: one check of their fields, one wording of the errors."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manynets.errors import ModelFileError

Shape = Any
"""What a JSON value must look like: a type, or a tuple of what is allowed; [shape] for a list; {name: shape} for an object, in which a name
that begins with "?" may be missing or null, with "~" missing only, and the key `str` stands for any other name; `object` for anything."""

LARGEST = 64 << 20
_WORDS = {
    str: "a text", int: "a whole number", float: "a number", bool: "true or false", dict: "an object", list: "a list",
    type(None): "null",
}  # fmt: skip


def read_json(path: str | os.PathLike[str], shape: Shape, *, remedy: str = "train again, or use another copy") -> dict[str, Any]:
    """Return the JSON object in a file whose fields are as `shape` says.

    Raises ModelFileError that names the file and the field, and FileNotFoundError where there is no file.
    """
    file = Path(path)
    status, value = file.stat(), dict[str, Any]()
    if not stat.S_ISREG(status.st_mode):
        wrong: str | None = "it is not a regular file"
    elif status.st_size > LARGEST:
        wrong = f"it has {status.st_size:,} bytes, but at most {LARGEST:,} are read"
    else:
        try:
            value = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse)
            wrong = check_shape(value, shape) if isinstance(value, dict) else "it does not hold a JSON object"
        except RecursionError:
            wrong = "it is nested too deeply"
        except ValueError as error:
            wrong = str(error)
    if wrong:
        raise ModelFileError(f"{file} is damaged: {wrong}; {remedy}")
    return value


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def check_shape(value: Any, shape: Shape, name: str = "") -> str | None:
    """Return what is wrong with a JSON value, None for nothing.

    >>> check_shape({"data": 5}, {"data": {"kind": str}})
    "field 'data' is 5, but must be an object"
    >>> check_shape({"data": {}}, {"data": {"kind": str}})
    "field 'data.kind' is missing"
    >>> check_shape({"data": {"kind": "table"}}, {"data": {"kind": str, "?seed": int}})
    """
    if shape is object:
        return None
    if isinstance(shape, tuple) and not all(isinstance(kind, type) for kind in shape):
        wrong = [check_shape(value, one, name) for one in shape]
        return None if None in wrong else wrong[-1]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return _wrong(name, value, "a list")
        items = (check_shape(item, shape[0], f"{name}[{i}]") for i, item in enumerate(value))
        return next(filter(None, items), None)
    if isinstance(shape, Mapping):
        return _check_object(value, shape, name) if isinstance(value, dict) else _wrong(name, value, "an object")
    kinds = shape if isinstance(shape, tuple) else (shape,)
    if type(value) in kinds or (float in kinds and type(value) is int):
        return None
    return _wrong(name, value, " or ".join(_WORDS[kind] for kind in kinds))


def _check_object(value: dict[str, Any], shape: Mapping[Any, Shape], name: str) -> str | None:
    dot = f"{name}." if name else ""
    known = {str(key).lstrip("?~") for key in shape if key is not str}
    for key, inner in shape.items():
        if key is str:
            continue
        field = key.lstrip("?~")
        if key != field and (field not in value or (key[0] == "?" and value[field] is None)):
            continue
        if field not in value:
            return f"field {dot + field!r} is missing"
        wrong = check_shape(value[field], inner, dot + field)
        if wrong:
            return wrong
    others = [] if str not in shape else [key for key in value if key not in known]
    return next(filter(None, (check_shape(value[key], shape[str], dot + key) for key in others)), None)


def _wrong(name: str, value: Any, allowed: str) -> str:
    shown = _WORDS[type(value)] if isinstance(value, dict | list) else json.dumps(value, ensure_ascii=False)
    return f"field {name!r} is {shown[:60]}, but must be {allowed}"
