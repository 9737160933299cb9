"""Functions of the user's own, of which a recipe, which is data, has the name only: "my_loss()"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard


def own_name(function: Callable[..., Any]) -> str:
    """Return the name that a function has in a recipe.

    >>> own_name(max)
    'max()'
    """
    named = getattr(function, "func", function)  # of a functools.partial
    return f"{getattr(named, '__name__', type(named).__name__)}()"


def is_own(name: Any) -> TypeGuard[str]:
    """Return whether a name in a recipe is that of a function of the user's own.

    >>> is_own("my_loss()"), is_own("huber"), is_own(None)
    (True, False, False)
    """
    return isinstance(name, str) and len(name) > len("()") and name.endswith("()")


def without_function(name: str, *, field: str = "loss", option: str = "loss") -> str:
    """Return the message for a recipe with the name of a function that was not given. option: the argument of `train` for it."""
    return (
        f"Recipe.{field} is {name!r}, a function of your own, which neither a recipe nor a model file has; give it to mn.train, as"
        f" {option}={name.removesuffix('()')}"
    )
