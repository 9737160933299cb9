"""The messages of the page: JSON, with a check of each field."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from manynets.errors import OptionError, one_of

MOST_MESSAGE = 256 << 10
"""Bytes of a message."""
MOST_PIXELS, MOST_SLIDERS, LONGEST = 784, 200, 200
LARGEST_RATE = 1e6

Fields = Mapping[str, Any]


def read_message(text: str) -> dict[str, Any]:
    """Return a message with its fields. Errors: OptionError for anything that the page would never send.

    >>> read_message('{"type": "rate", "lr": 0.1}')
    {'type': 'rate', 'lr': 0.1}
    """
    if len(text) > MOST_MESSAGE:
        raise OptionError(f"the message is longer than {MOST_MESSAGE:,} characters")
    try:
        found = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise OptionError("the message is not JSON") from None
    if not isinstance(found, dict):
        raise OptionError("a message must be a JSON object")
    kind = one_of(found.get("type"), CHECKS, what="type of message")
    fields = CHECKS[kind]
    for name in found:
        if name != "type" and name not in fields:
            raise OptionError(f"a message {kind!r} has no field {name[:40]!r}")
    for name, check in fields.items():
        if name not in found:
            raise OptionError(f"a message {kind!r} needs the field {name!r}")
        if not check(found[name]):
            raise OptionError(f"the field {name!r} of a message {kind!r} has a value that is not allowed")
    return found


def _refuse(name: str) -> Any:
    raise ValueError(name)


def _number(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: type(value) in (int, float) and math.isfinite(value) and low <= value <= high


def _whole(low: int, high: int, *, optional: bool = False) -> Callable[[Any], bool]:
    return lambda value: (optional and value is None) or (type(value) is int and low <= value <= high)


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST


def _is(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind)


def _sliders(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= MOST_SLIDERS
        and all(_text(name) and (item is None or type(item) in (int, float, bool) or _text(item)) for name, item in value.items())
    )


def _pixels(value: Any) -> bool:
    share = _number(0.0, 1.0)
    return isinstance(value, list) and len(value) <= MOST_PIXELS and all(map(share, value))


LANGUAGES = ("manynets", "pytorch", "sklearn")

CHECKS: Mapping[str, Mapping[str, Callable[[Any], bool]]] = {
    "setup": {"setup": _is(dict)},
    "play": {},
    "pause": {},
    "reset": {},
    "step": {"steps": _whole(1, 100_000)},
    "epoch": {},
    "rate": {"lr": _number(0.0, LARGEST_RATE)},
    "view": {"network": _whole(0, 100_000), "step": _whole(0, 2**53, optional=True), "details": _is(bool), "wall": _is(bool)},
    "sliders": {"values": _sliders},
    "seen": {"frame": _whole(0, 2**53)},
    "probe": {"pixels": _pixels},
    "code": {"language": lambda value: value in LANGUAGES},
    "schema": {"file": _text, "target": _text},
    "save": {},
}
"""The messages by type: a check of each field."""
