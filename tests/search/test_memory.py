"""A candidate that does not fit in memory fails alone, and limits that allow nothing are refused."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import FitFailedWarning

import manynets as mn
from manynets.errors import OptionError
from manynets.search.candidates import plan_candidates, train_plan

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
SMALL = (mn.MLP(hidden=(8,)), mn.Recipe(epochs=2))
HUGE = (mn.MLP(hidden=(3_000_000, 3_000_000)), mn.Recipe(epochs=2))


def test_train_many_finishes_the_others():
    found = mn.train_many(X, Y, [SMALL, HUGE, SMALL], cv=2, scaling=False, progress=False)
    assert [result.stopped for result in found] == ["done", "done", "failed", "failed", "done", "done"]
    for result in found[2:4]:
        assert isinstance(result.error, MemoryError)
        assert "hidden=(3000000, 3000000) take 72,000.1 GB" in str(result.error)
    assert found[0].score == found[4].score


def test_a_search_finishes_the_others():
    net = mn.MLPClassifier(8, max_iter=2, random_state=0, tol=0.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        search = mn.MLPSearchCV(net, {"hidden_layer_sizes": [(8,), (3_000_000, 3_000_000)]}, cv=2, refit=False).fit(X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).tolist() == [True, False]
    assert any(entry.category is FitFailedWarning and "use smaller layers" in str(entry.message) for entry in caught)


def test_one_network_says_how_much_it_takes():
    with pytest.raises(MemoryError, match=r"72,000.1 GB"):
        mn.train(X, Y, *HUGE, scaling=False, progress=False)


@pytest.mark.parametrize("limit", [-5, 0, float("nan"), "lots", True])
def test_limits_that_allow_nothing(limit):
    with pytest.raises(OptionError, match=r"memory_limit is .*, but must be "):
        mn.train_many(X, Y, [SMALL], memory_limit=limit, scaling=False, progress=False)
    with pytest.raises(OptionError, match=r"memory_limit is"):
        mn.MLPSearchCV(mn.MLPClassifier(8), {"alpha": [0.1]}, memory_limit=limit).fit(X, Y)
    with pytest.raises(OptionError, match=r"max_networks is .*, but must be None or a number of networks of at least 1"):
        train_plan(plan_candidates(X, Y, [SMALL]), max_networks=limit, progress=False)
