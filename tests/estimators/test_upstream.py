"""scikit-learn's own tests of its MLP, run on ours: the source of the installed test module with the two classes swapped.

What is not run, and why, is in NOT_RUN and in docs/sklearn.md.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

# Their tests expect warnings of unfinished training here and there, and do not turn warnings into errors.
pytestmark = pytest.mark.filterwarnings("default")

PRIVATE = {
    "test_gradient": "calls the private `_loss_grad_lbfgs` of scikit-learn's own backward pass",
    "test_learning_rate_warmstart": "reads the private `_optimizer.learning_rate`",
    "test_adaptive_learning_rate": "reads the private `_optimizer.learning_rate`",
}
PROMISED_OTHERWISE = {
    "test_early_stopping_stratified": "expects an error where a class has one member; here it stays in training, with a warning",
    "test_minimum_input_sample_size": "expects an error for 2 rows; here they are fitted without a split, with a warning",
}
NOT_RUN = PRIVATE | PROMISED_OTHERWISE


def _swapped() -> dict[str, object]:
    spec = importlib.util.find_spec("sklearn.neural_network.tests.test_mlp")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text(encoding="utf-8")
    theirs = "from sklearn.neural_network import MLPClassifier, MLPRegressor"
    assert source.count(theirs) == 1
    names: dict[str, object] = {"__name__": __name__}
    exec(compile(source.replace(theirs, "from manynets.estimators import MLPClassifier, MLPRegressor"), spec.origin, "exec"), names)
    return names


_found = _swapped()
globals().update({name: value for name, value in _found.items() if name.startswith("test_") and name not in NOT_RUN})


@pytest.fixture
def global_random_seed() -> int:
    """Theirs comes from their conftest."""
    return 42


def test_it_is_ours_that_is_tested() -> None:
    assert _found["MLPClassifier"].__module__.startswith("manynets.")  # type: ignore[attr-defined]
    assert _found["MLPRegressor"].__module__.startswith("manynets.")  # type: ignore[attr-defined]
    assert set(NOT_RUN) <= set(_found)


def test_the_documentation_lists_what_is_not_run() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "sklearn.md").read_text(encoding="utf-8")
    assert [name for name in NOT_RUN if f"`{name}`" not in text] == []
