"""Functions of an upper package that a lower one calls without importing it, as `Model.plot` calls `manynets.plots`.

`manynets/__init__.py`, which any import of the package runs first, registers how each of them is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_LOADERS: dict[str, Callable[[], Callable[..., Any]]] = {}


def register(name: str, load: Callable[[], Callable[..., Any]]) -> None:
    """Make a function known by a name; `load` imports and returns it, and runs when the function is called."""
    _LOADERS[name] = load


def hook(name: str) -> Callable[..., Any]:
    """Return the function that was registered by a name.

    >>> register("twice", lambda: lambda x: 2 * x)
    >>> hook("twice")(4)
    8
    """
    return _LOADERS[name]()
