"""Estimators with callbacks that cannot be copied or pickled, such as a lambda or an object with an open file."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Mapping
from typing import Any, Self

from joblib import wrap_non_picklable_objects
from sklearn.base import BaseEstimator

from manynets.errors import OptionError


class KeepsCallbacks(BaseEstimator):
    """An estimator whose copies share a callback that cannot be copied, and whose pickles hold functions defined anywhere."""

    callbacks: Any

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if state.get("callbacks"):
            state["callbacks"] = _Carried(state["callbacks"])
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        carried = state.get("callbacks")
        super().__setstate__(dict(state) | ({"callbacks": carried.callbacks} if isinstance(carried, _Carried) else {}))

    def __sklearn_clone__(self) -> Self:
        bare = copy.copy(self)
        bare.callbacks = None
        made: Self = super(KeepsCallbacks, bare).__sklearn_clone__()
        made.callbacks = _copied(self.callbacks, {})
        return made


class _Carried:
    """Callbacks on their way into a copy or a pickle."""

    def __init__(self, callbacks: Any) -> None:
        self.callbacks = callbacks

    def __deepcopy__(self, memo: dict[int, Any]) -> _Carried:
        return _Carried(_copied(self.callbacks, memo))

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        try:
            return _unpacked, (pickle.dumps(self.callbacks, pickle.HIGHEST_PROTOCOL),)
        except Exception:  # a lambda, or something that has no pickle at all; each type has its own error
            pass
        try:
            return _unpacked, (pickle.dumps(wrap_non_picklable_objects(self.callbacks, keep_wrapper=False)),)
        except Exception as error:
            raise OptionError(
                f"callbacks cannot be pickled ({error}); leave them out with set_params(callbacks=()) before the estimator is saved or sent to"
                " another process"
            ) from error


def _unpacked(packed: bytes) -> _Carried:
    return _Carried(pickle.loads(packed))


def _copied(callbacks: Any, memo: dict[int, Any]) -> Any:
    """Return a deep copy of the callbacks; one that cannot be copied is the same in both."""
    if not isinstance(callbacks, list | tuple):
        return _copy_of(callbacks, memo)
    return type(callbacks)(_copy_of(one, memo) for one in callbacks)


def _copy_of(one: Any, memo: dict[int, Any]) -> Any:
    try:
        return copy.deepcopy(one, memo)
    except Exception:  # each type has its own error
        return one
