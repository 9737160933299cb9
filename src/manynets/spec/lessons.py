"""What is wrong with the arguments of a specification: TypeErrors that show the right call."""

from __future__ import annotations

import dataclasses
import difflib
import functools
from typing import Any, TypeVar

__all__ = ["by_name"]

T = TypeVar("T")
KINDS: dict[str, type[Any]] = {}
"""The decorated classes by name."""
PARTS = {"Recipe": {"optimizer": "AdamW", "stopping": "EarlyStopping"}}
"""Fields that hold another specification, and the class that an example uses."""
FORMER = {
    "hidden_layer_sizes": "hidden",
    "learning_rate": "lr",
    "learning_rate_init": "lr",
    "max_iter": "epochs",
    "solver": "optimizer",
}
"""Names that scikit-learn and Keras have for fields."""


def by_name(kind: type[T]) -> type[T]:
    """Decorate a dataclass: a TypeError for an unknown argument, or one without a name, says how to write it.

    >>> from manynets.spec import MLP
    >>> MLP((16,))
    Traceback (most recent call last):
        ...
    TypeError: MLP takes its options by name, such as MLP(hidden=(16,))
    """
    KINDS[kind.__name__] = kind
    original: Any = kind.__init__
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]

    @functools.wraps(original)
    def start(self: Any, *args: Any, **given: Any) -> None:
        if args:
            first = "epochs" if "epochs" in names else next(iter(dataclasses.fields(kind))).name  # type: ignore[arg-type]
            raise TypeError(f"{kind.__name__} takes its options by name, such as {kind.__name__}({first}={args[0]!r})")
        for name, value in given.items():
            if name not in names:
                raise TypeError(f"{kind.__name__} has no option {name!r}; {_advice(kind.__name__, name, value)}")
        original(self, **given)

    kind.__init__ = start  # type: ignore[method-assign]
    return kind


def _names(kind: str) -> list[str]:
    return [field.name for field in dataclasses.fields(KINDS[kind])]


def _advice(kind: str, name: str, value: Any) -> str:
    """Say which call has the option that was meant."""
    meant = name if any(name in _names(other) for other in KINDS) else FORMER.get(name, name)
    if meant in _names(kind):
        return f"write {kind}({meant}={value!r})"
    for field, part in PARTS.get(kind, {}).items():
        if meant in _names(part):
            return f"write {kind}({field}={part}({meant}={value!r}))"
    owners = [other for other in KINDS if meant in _names(other)]
    if owners:
        return f"it is one of {owners[0]}, as in {owners[0]}({meant}={value!r})"
    near = difflib.get_close_matches(name, _names(kind), n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}It has {', '.join(_names(kind)) or 'none'}"
