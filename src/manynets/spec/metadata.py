"""Metadata of the specification's fields: the values allowed, and the name and help text of the option that sets a field.

The command line, the grid of a sweep, the ranges of the estimators and docs/options.md are generated from it.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
import textwrap
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from manynets.errors import OptionError, one_of
from manynets.spec.lessons import by_name

T = TypeVar("T")
_KEY = "manynets"


@dataclasses.dataclass(frozen=True)
class Interval:
    """The finite numbers from low to high, without an end that is open.

    >>> 1 in Interval(0, 1, high_open=True), Interval(0, 1, high_open=True)
    (False, a number in [0, 1))
    >>> 2 in Interval(1, whole=True), Interval(1, whole=True)
    (True, a whole number of at least 1)
    """

    low: float = 0.0
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    whole: bool = False

    def __contains__(self, value: object) -> bool:
        plain = (int,) if self.whole else (float, int)  # asking the abstract classes takes longer
        kind = numbers.Integral if self.whole else numbers.Real
        if type(value) not in plain and (isinstance(value, bool) or not isinstance(value, kind)):
            return False
        number: Any = value  # float() would overflow for a large seed
        above = number > self.low if self.low_open else number >= self.low
        below = number < self.high if self.high_open or math.isinf(self.high) else number <= self.high
        return bool(above and below)

    def __repr__(self) -> str:
        if self.whole:
            end = "of at least" if math.isinf(self.high) else "from"
            return f"a whole number {end} {self.low:g}" + ("" if math.isinf(self.high) else f" to {self.high:,.0f}")
        high_open = self.high_open or math.isinf(self.high)
        return f"a number in {'(' if self.low_open else '['}{self.low:g}, {self.high:g}{')' if high_open else ']'}"

    def check(self, value: object, *, what: str) -> None:
        """Raise OptionError for a value outside the interval."""
        if value not in self:
            raise OptionError(f"{what} is {value!r}, but must be {self}")


NOT_NEGATIVE, ABOVE_ZERO = Interval(), Interval(low_open=True)
BELOW_ONE, SHARE = Interval(high=1, high_open=True), Interval(high=1)
AT_LEAST_ZERO, AT_LEAST_ONE = Interval(whole=True), Interval(1, whole=True)
LENGTH = Interval(1, 10**12, whole=True)
"""The epochs or steps of a training: more than any training makes. A number such as 9e40 is a mistake, and would never end."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchRange:
    """What a random search draws: one of `choices`, or a number from low to high, with log evenly on a logarithmic scale.

    relative: the numbers are multiples of the default.
    """

    low: float = 0.0
    high: float = 1.0
    log: bool = False
    relative: bool = False
    choices: tuple[Any, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metadata:
    """The values that a field may have, and the option that sets it.

    help: what the field does. A text that ends in a colon is followed by the allowed names.
    allowed: an Interval, names, or bool; None: the class checks the value itself.
    several: whether the field takes several such numbers, which its class checks.
    none: what a default of None stands for.
    option: the name of the option where it is not that of the field, "" for no option; metavar: what help calls its value, N for a whole
    number and NAME for a name if left out; panel: where help lists it.
    searched: whether a sweep may vary it. search: what a random search draws for it; None where it leaves the option as it is.
    """

    help: str
    allowed: Interval | tuple[str, ...] | type[bool] | None = None
    several: bool = False
    none: str = ""
    option: str | None = None
    metavar: str = ""
    panel: str = ""
    searched: bool = True
    search: SearchRange | None = None


def setting(default: Any = None, *, factory: Callable[[], Any] | None = None, **metadata: Any) -> Any:
    """Return a dataclass field with `Metadata`; factory: makes the default."""
    found = {_KEY: Metadata(**metadata)}
    if factory is not None:
        return dataclasses.field(default_factory=factory, metadata=found)
    return dataclasses.field(default=default, metadata=found)


def metadata_of(field: dataclasses.Field[Any]) -> Metadata:
    """Return the metadata that `setting` gave a field."""
    found: Metadata = field.metadata[_KEY]
    return found


@typing.dataclass_transform(frozen_default=True, kw_only_default=True)
def specified(kind: type[T]) -> type[T]:
    """Make a class a frozen dataclass that takes its fields by name; one without `__post_init__` has them checked by `check_fields`.

    Its docstring then lists the fields with their help texts, and TypeErrors show the right call.
    """
    if not hasattr(kind, "__post_init__"):
        kind.__post_init__ = check_fields  # type: ignore[attr-defined]
    kind = dataclasses.dataclass(frozen=True, kw_only=True)(kind)
    lines = []
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        metadata = metadata_of(field)
        text = metadata.help
        if text.endswith(":") and isinstance(metadata.allowed, tuple):
            text += " " + ", ".join(map(repr, metadata.allowed))
        text = text.removesuffix(":")
        if metadata.none:
            text += f" (None: {metadata.none})"
        lines.append(textwrap.fill(f"{field.name}: {text}.", width=120, initial_indent="    ", subsequent_indent=" " * 8))
    if lines:
        kind.__doc__ = "\n".join([f"{(kind.__doc__ or '').rstrip()}\n", *lines, "    "])
    return by_name(kind)


def check_fields(owner: Any, *, besides: Sequence[str] = ()) -> None:
    """Raise OptionError for the first field with a value that is not allowed; NumPy's numbers become Python's.

    besides: the fields that the class checks itself.
    """
    kind: Any = type(owner)
    for name, what, allowed, optional in _checked(kind):
        value = getattr(owner, name)
        if (value is None and optional) or name in besides:
            continue
        if isinstance(allowed, Interval):
            plain = plain_number(value)
            allowed.check(plain, what=what)
            if plain is not value:
                object.__setattr__(owner, name, plain)
        elif isinstance(allowed, tuple):
            one_of(value, allowed, what=what)
        elif not isinstance(value, bool):
            raise OptionError(f"{what} is {value!r}, but must be True or False")


@functools.cache
def _checked(kind: type[Any]) -> list[tuple[str, str, Any, bool]]:
    """Return name, name for messages, allowed values and whether None is allowed too, of the fields that `check_fields` checks."""
    found = [(field, metadata_of(field)) for field in dataclasses.fields(kind)]
    return [
        (field.name, f"{kind.__name__}.{field.name}", metadata.allowed, field.default is None)
        for field, metadata in found
        if metadata.allowed is not None and not metadata.several
    ]


def plain_number(value: Any) -> Any:
    """Return a NumPy number as the Python number that JSON and hashing need; anything else as it is."""
    if type(value) in (float, int, str):
        return value
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) and not isinstance(value, int) else value


def plain_tuple(owner: object, name: str) -> tuple[Any, ...]:
    """Return a field as a tuple of Python numbers."""
    value = getattr(owner, name)
    if isinstance(value, str) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0:
        raise OptionError(f"{type(owner).__name__}.{name} is {value!r}, but must be a number or a tuple of numbers")
    return tuple(map(plain_number, value))


def check_device(name: object, *, what: str) -> None:
    """Raise OptionError for what cannot be the name of a device."""
    kind, _, index = str(name).partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and not (kind == "cuda" and index.isdigit())):
        raise OptionError(f"{what} is {name!r}, but must be auto, cpu, cuda or cuda:N")
