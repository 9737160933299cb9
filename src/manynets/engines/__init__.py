"""The same specification trained by other libraries: NumPy with gradients by hand, JAX, Keras.

Each engine gets plain arrays and gives plain arrays; none of them knows torch. From the same initial weights and the same batches
all give the same loss history as the torch loop.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Literal, TypeAlias

from manynets.engines.loop import ArrayRows, EngineOutcome, Watcher
from manynets.errors import OptionError

__all__ = ["ENGINES", "ArrayRows", "EngineName", "EngineOutcome", "Watcher", "engine_named"]

EngineName: TypeAlias = Literal["torch", "numpy", "jax", "keras"]
ENGINES: tuple[EngineName, ...] = ("torch", "numpy", "jax", "keras")


def engine_named(name: EngineName) -> Callable[..., EngineOutcome]:
    """Return the `train` of manynets.engines.numpy, .jax or .keras; torch is the library's own loop and not among them."""
    if name == "torch" or name not in ENGINES:
        raise OptionError(f"engine is {name!r}, but must be one of {', '.join(ENGINES[1:])}")
    train: Callable[..., EngineOutcome] = importlib.import_module(f"manynets.engines.{name}").train
    return train
