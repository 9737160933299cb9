"""Errors for the parts of a script for torch or Keras where a recipe takes its own: what to write instead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from manynets.display import short
from manynets.errors import OptionError, nearest
from manynets.spec.own import is_own

OWN_LOOP = "one of your own needs a training loop of your own, around the module that mn.network returns"
LOSSES = {
    "bceloss": "cross_entropy",
    "bcewithlogitsloss": "cross_entropy",
    "binarycrossentropy": "cross_entropy",
    "binarycrossentropywithlogits": "cross_entropy",
    "categoricalcrossentropy": "cross_entropy",
    "crossentropy": "cross_entropy",
    "crossentropyloss": "cross_entropy",
    "huber": "huber",
    "huberloss": "huber",
    "l1loss": "absolute_error",
    "mae": "absolute_error",
    "meanabsoluteerror": "absolute_error",
    "meansquarederror": "squared_error",
    "mse": "squared_error",
    "mseloss": "squared_error",
    "nllloss": "cross_entropy",
    "poisson": "poisson",
    "poissonnllloss": "poisson",
    "smoothl1loss": "huber",
    "sparsecategoricalcrossentropy": "cross_entropy",
}
"""What torch and Keras call some losses, in small letters without underscores."""
SCHEDULES = {
    "cosineannealinglr": "Cosine()",
    "cosinedecay": "Cosine()",
    "exponentiallr": "Exponential(gamma=0.95)",
    "lambdalr": "PiecewiseConstant(steps=..., factors=...), with a factor for each step",
    "multisteplr": "PiecewiseConstant(steps=(500, 800), factors=(0.1, 0.01))",
    "onecyclelr": "OneCycle()",
    "piecewiseconstantdecay": "PiecewiseConstant(steps=(500, 800), factors=(0.1, 0.01))",
    "reducelronplateau": "ReduceOnPlateau()",
    "steplr": "StepDecay(every=10, gamma=0.1)",
}
"""The same of schedules, and what to write."""


def no_part(field: str, value: Any, kinds: Iterable[type[Any]]) -> str:
    """Return what is wrong with a value given as a part of a recipe. kinds: the classes of which it must be.

    >>> from manynets.spec.optimizers import SGD, Adam
    >>> no_part("optimizer", "adam", (SGD, Adam))
    "Recipe.optimizer is 'adam', but must be an instance of SGD, Adam; write mn.Adam()"
    """
    named = {kind.__name__: kind for kind in kinds}
    text = f"Recipe.{field} is {short(value)}, but must be an instance of {', '.join(named)}"
    name = _name(value)
    same = next((known for known in named if known.lower() == name), None)
    if same is not None:
        lr = getattr(value, "defaults", {}).get("lr")
        return f"{text}; write mn.{same}({'' if lr is None else f'lr={lr:g}'})"
    if field == "schedule" and name in SCHEDULES:
        return f"{text}; write mn.{SCHEDULES[name]}"
    if field == "schedule" and callable(value):
        return f"{text}; write mn.{SCHEDULES['lambdalr']}"
    near = nearest(value.title(), named) if isinstance(value, str) else None
    if near is not None:
        return f"{text}; did you mean mn.{near}()?"
    return f"{text}; {OWN_LOOP}" if callable(value) or hasattr(value, "step") else text


def loss_called(value: Any) -> str | None:
    """Return the name of a loss that torch or Keras has as a function, as a class or under this name; None for one that is not known.

    >>> loss_called("mse"), loss_called("binary_crossentropy"), loss_called(max)
    ('squared_error', 'cross_entropy', None)
    """
    return LOSSES.get(_name(value))


def check_loss(value: Any, names: Sequence[str]) -> None:
    """Raise OptionError for what is not None, one of the names of the losses, or that of a function of the user's own.

    >>> check_loss("mse", ["squared_error", "cross_entropy"])
    Traceback (most recent call last):
        ...
    manynets.errors.OptionError: Recipe.loss is 'mse', but must be one of squared_error, cross_entropy; write loss='squared_error'
    """
    if value is None or (isinstance(value, str) and value in names) or is_own(value):
        return
    text = f"Recipe.loss is {short(value)}, but must be one of {', '.join(names)}"
    known = loss_called(value)
    near = nearest(value, names) if isinstance(value, str) else None
    if known is not None:
        text += f"; write loss={known!r}"
    elif near is not None:
        text += f"; did you mean {near!r}?"
    elif callable(value):
        text += "; give a function of your own to mn.train, as loss="
    raise OptionError(text)


def check_watch(value: Any, names: Sequence[str], *, what: str) -> None:
    """Raise OptionError for what is not one of the names of what a training may go by. what: the name of the argument.

    >>> check_watch("val_loss", ["loss", "metric"], what="watch")
    Traceback (most recent call last):
        ...
    manynets.errors.OptionError: watch is 'val_loss', but must be one of loss, metric; write 'loss', which is that of the validation rows, if any
    """
    if isinstance(value, str) and (value in names or is_own(value)):
        return
    text = f"{what} is {short(value)}, but must be one of {', '.join(names)}"
    plain = value.removeprefix("val_") if isinstance(value, str) else ""
    near = nearest(plain, names)
    if callable(value) or hasattr(value, "higher_is_better"):
        text += "; give a function of your own to mn.train, as metric="
    elif plain != value and plain in names:
        text += f"; write {plain!r}, which is that of the validation rows, if any"
    elif near is not None:
        text += f"; did you mean {near!r}?"
    raise OptionError(text)


def _name(value: Any) -> str:
    """Return the name of a function, a class or the class of a value, or a text, in small letters without underscores."""
    name = value if isinstance(value, str) else getattr(value, "__name__", type(value).__name__)
    return str(name).lower().replace("_", "")
