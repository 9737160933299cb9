"""Callbacks that cannot be copied or pickled: copies share them, pickles hold functions, and refuse the rest."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import manynets as mn

X = np.random.default_rng(0).normal(size=(60, 2))
Y = (X[:, 0] > 0).astype(int)


class Locked:
    """A callback that can be neither copied nor pickled."""

    def __init__(self) -> None:
        self.lock, self.events = threading.Lock(), 0

    def __call__(self, event: Any) -> None:
        self.events += 1


class Counting:
    """A callback that can be copied."""

    def __call__(self, event: Any) -> None:
        pass


def networks(callback: Any) -> list[Any]:
    return [
        mn.MLPClassifier((4,), max_iter=2, callbacks=[callback]),
        mn.TabularClassifier(preset="fast", n_networks=1, callbacks=(callback,)),
    ]


@pytest.mark.parametrize("index", [0, 1])
def test_copies_share_a_callback_that_cannot_be_copied(index: int) -> None:
    callback = Locked()
    net = networks(callback)[index]
    for made in (clone(net), copy.deepcopy(net), copy.copy(net)):
        assert made.callbacks[0] is callback
        assert type(made.callbacks) is type(net.callbacks)
    assert clone(net).get_params() == net.get_params()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_grid_search_takes_such_callbacks() -> None:
    callback = Locked()
    GridSearchCV(networks(callback)[0], {"alpha": [0.0, 1.0]}, cv=2).fit(X, Y)
    assert callback.events > 0


def test_other_callbacks_are_copied() -> None:
    callback = Counting()
    assert clone(mn.MLPClassifier(callbacks=[callback])).callbacks[0] is not callback


@pytest.mark.parametrize("index", [0, 1])
def test_a_pickle_holds_a_lambda(index: int) -> None:
    seen: list[str] = []
    found = pickle.loads(pickle.dumps(networks(lambda event: seen.append("seen"))[index]))
    assert callable(found.callbacks[0])
    with pytest.raises(mn.OptionError, match=r"callbacks cannot be pickled \(.*lock.*\); leave them out with set_params"):
        pickle.dumps(networks(Locked())[index])
    assert pickle.loads(pickle.dumps(mn.MLPClassifier((4,)))).callbacks is None
