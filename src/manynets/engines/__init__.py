"""The same specification trained by other libraries: NumPy with gradients by hand, JAX, Keras.

Each engine gets plain arrays and gives plain arrays; none of them knows torch. From the same initial weights and the same batches
all give the same loss history as the torch loop.
"""

from __future__ import annotations

import importlib
from contextlib import AbstractContextManager
from typing import Literal, TypeAlias

from manynets.engines.loop import ArrayRows, Engine, EngineProblem, refuse, run

__all__ = ["ENGINES", "ArrayRows", "Engine", "EngineName", "EngineProblem", "opened", "run"]

EngineName: TypeAlias = Literal["torch", "numpy", "jax", "keras"]
ENGINES: tuple[EngineName, ...] = ("torch", "numpy", "jax", "keras")


def opened(name: EngineName, problem: EngineProblem) -> AbstractContextManager[Engine]:
    """Return the context in which an engine other than torch, which is the library's own loop, can `run` a problem.

    Errors: OptionError for what the engine does not have, MissingExtraError where it is not installed.
    """
    refuse(name, problem.spec, problem.recipe)
    found: AbstractContextManager[Engine] = importlib.import_module(f"manynets.engines.{name}").opened(problem)
    return found
