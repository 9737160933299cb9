"""How near two numbers must be: the one table of tolerances for all tests, and the one comparison."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["TOLERANCES", "Tolerance", "assert_close"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tolerance:
    """|actual - expected| <= absolute + relative * |expected|."""

    relative: float
    absolute: float


TOLERANCES = {
    "bits": Tolerance(relative=0.0, absolute=0.0),  # the same operations in the same order
    "float64": Tolerance(relative=1e-10, absolute=1e-10),  # the same formula, in another order
    "float64_run": Tolerance(relative=1e-9, absolute=1e-9),  # some dozens of steps of it
    "float32": Tolerance(relative=1e-5, absolute=1e-6),  # one forward pass or one step
    "float32_run": Tolerance(relative=1e-3, absolute=1e-4),  # some dozens of steps
    "numeric": Tolerance(relative=1e-6, absolute=1e-7),  # central differences in float64
    "sampled": Tolerance(relative=0.03, absolute=0.01),  # a mean over tens of thousands of draws
}


def assert_close(actual: Any, expected: Any, kind: str, *, what: str = "") -> None:
    """Fail unless both have the same shape, type and finite values within TOLERANCES[kind]; mappings and lists by entry.

    Arrays, torch tensors and numbers are compared as they are: a float32 array is not close to a float64 array.
    """
    tolerance = TOLERANCES[kind]
    if isinstance(expected, Mapping):
        assert isinstance(actual, Mapping), f"{what}: {type(actual).__name__} instead of a mapping"
        assert set(actual) == set(expected), f"{what}: {sorted(actual)} instead of {sorted(expected)}"
        for name in expected:
            assert_close(actual[name], expected[name], kind, what=f"{what}[{name!r}]")
        return
    a, b = _array(actual), _array(expected)
    assert a.shape == b.shape, f"{what}: shape {a.shape} instead of {b.shape}"
    assert a.dtype == b.dtype, f"{what}: type {a.dtype} instead of {b.dtype}"
    assert np.isfinite(a).all(), f"{what}: the actual values are not all finite"
    assert np.isfinite(b).all(), f"{what}: the expected values are not all finite"
    excess = np.abs(a.astype(np.float64) - b.astype(np.float64)) - tolerance.relative * np.abs(b.astype(np.float64))
    if excess.size and (worst := excess.max()) > tolerance.absolute:
        place = tuple(int(i) for i in np.unravel_index(excess.argmax(), excess.shape))
        raise AssertionError(f"{what}: {a[place]!r} instead of {b[place]!r} at {place}, {worst:.3g} beyond {kind}")


def _array(value: Any) -> np.ndarray[Any, Any]:
    return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
