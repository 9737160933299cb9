"""scikit-learn's own checks of an estimator, over the defaults and the options that change how a fit goes.

No check may fail, and none is expected to: `parametrize_with_checks` is given no list of expected failures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from manynets.estimators import MLPClassifier, MLPRegressor

# The checks fit tiny, unscaled data for few epochs: scikit-learn's own MLP warns on them as well.
pytestmark = pytest.mark.filterwarnings("default")

BOTH: dict[str, dict[str, Any]] = {
    "batch_norm": {"batch_norm": True},
    "dropout": {"dropout": 0.2},
    "early_stopping": {"early_stopping": True},
    "adamw": {"solver": "adamw"},
    "lbfgs": {"solver": "lbfgs"},
    "all": {"batch_norm": True, "dropout": 0.1, "early_stopping": True, "solver": "nadam", "learning_rate": "cosine", "l1": 1e-4},
}
VARIANTS = [
    *(MLPClassifier(max_iter=100, **options) for options in BOTH.values()),
    MLPClassifier(max_iter=100, class_weight="balanced"),
    *(MLPRegressor(max_iter=100, **options) for options in BOTH.values()),
    MLPRegressor(max_iter=100, loss="huber", standardise_target=True),
]


@parametrize_with_checks([MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)])
def test_defaults(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(VARIANTS)
def test_variants(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)
