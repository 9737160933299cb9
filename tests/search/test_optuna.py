"""Optuna asks in batches; its storage makes a search resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris

import manynets as mn

optuna = pytest.importorskip("optuna")
X, Y = load_iris(return_X_y=True)
NET = mn.MLPClassifier(5, max_iter=9, random_state=0)
SPACE: dict[str, Any] = {
    "learning_rate_init": optuna.distributions.FloatDistribution(1e-3, 1e-1, log=True),
    "hidden_layer_sizes": [(4,), (6, 3)],
}

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::manynets.errors.LeakWarning"),  # two rows of iris are the same
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]


@pytest.fixture(autouse=True)
def quiet() -> Any:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(level)


def search(n_iter: int, **options: Any) -> Any:
    return mn.MLPSearchCV(
        NET, param_distributions=SPACE, n_iter=n_iter, cv=2, sampler=optuna.samplers.RandomSampler(seed=1), batch=4, **options
    )


def test_batches_are_told_with_the_scores_that_fits_alone_have() -> None:
    found = search(10).fit(X, Y)
    trials = found.study_.trials
    assert len(trials) == len(found.cv_results_["params"]) == 10
    assert [trial.value for trial in trials] == pytest.approx(found.cv_results_["mean_test_score"].tolist())
    assert found.best_score_ == found.study_.best_value
    assert {type(params["hidden_layer_sizes"]) for params in found.cv_results_["params"]} == {tuple}
    from sklearn.model_selection import GridSearchCV

    alone = GridSearchCV(NET, [{name: [value] for name, value in found.best_params_.items()}], cv=2).fit(X, Y)
    assert found.best_score_ == pytest.approx(alone.best_score_, rel=1e-12)


def test_a_storage_is_gone_on_with(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    kwargs: dict[str, Any] = {"storage": storage, "study_name": "iris", "load_if_exists": True, "refit": False}
    first = search(5, **kwargs).fit(X, Y)
    second = search(8, **kwargs).fit(X, Y)
    assert len(second.study_.trials) == 8
    assert second.cv_results_["params"][:5] == first.cv_results_["params"]
    np.testing.assert_array_equal(second.cv_results_["mean_test_score"][:5], first.cv_results_["mean_test_score"])
    again = search(8, **kwargs).fit(X, Y)
    assert len(again.study_.trials) == 8
    assert again.best_params_ == second.best_params_
    fewer = search(3, **kwargs).fit(X, Y)  # than there are, which all count
    assert fewer.cv_results_["params"] == second.cv_results_["params"]
    assert fewer.best_score_ == second.best_score_ == fewer.study_.best_value
    with pytest.raises(ValueError, match="trials of 2 folds"):
        search(9, **kwargs).set_params(cv=3).fit(X, Y)


def test_a_storage_with_trials_of_something_else_is_refused(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    kwargs: dict[str, Any] = {"storage": storage, "study_name": "iris", "load_if_exists": True, "refit": False}
    search(1, **kwargs).fit(X, Y)
    for space in (SPACE | {"hidden_layer_sizes": [(6, 3), (4,)]}, SPACE | {"hidden_layer_sizes": [(5,)]}, {"alpha": [0.0, 1.0]}):
        with pytest.raises(mn.OptionError, match="the study has trials of other param_distributions; give the same ones"):
            search(2, **kwargs).set_params(param_distributions=space).fit(X, Y)
    optuna.create_study(storage=storage, study_name="loss", direction="minimize")
    with pytest.raises(mn.OptionError, match="does not maximize one score"):
        search(1, **kwargs).set_params(study_name="loss").fit(X, Y)


def test_a_sampler_that_has_tried_all_ends_the_search() -> None:
    grid = {"alpha": [0.0, 1.0], "max_iter": [1, 2]}
    space = {name: optuna.distributions.CategoricalDistribution(values) for name, values in grid.items()}
    found = (
        search(9, refit=False).set_params(param_distributions=space, sampler=optuna.samplers.GridSampler(grid, seed=0)).fit(X, Y)
    )
    assert len(found.cv_results_["params"]) == len({str(params) for params in found.cv_results_["params"]}) == 4
    assert "stop" not in vars(found.study_)  # it is as Optuna has it again


def test_a_search_that_fails_leaves_the_study_as_optuna_has_it() -> None:
    seen: list[Any] = []

    class Refusing(optuna.samplers.RandomSampler):  # type: ignore[misc,name-defined]
        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
            seen.append(study)
            assert "stop" in vars(study)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(2).set_params(sampler=Refusing()).fit(X, Y)
    assert "stop" not in vars(seen[0])


def test_a_halved_batch_prunes_what_is_left_behind() -> None:
    found = search(8, strategy="halving", factor=2).fit(X, Y)
    states = [trial.state.name for trial in found.study_.trials]
    assert states.count("PRUNED") == 6 or states.count("PRUNED") == 4
    assert states.count("COMPLETE") == 8 - states.count("PRUNED")
    assert set(found.cv_results_["iter"]) == {0, 1, 2}
    assert found.best_params_["max_iter"] == found.n_resources_[-1]
    assert all(trial.intermediate_values for trial in found.study_.trials)


def test_a_distribution_that_is_none() -> None:
    with pytest.raises(ValueError, match="learning_rate_init"):
        search(2).set_params(param_distributions={"learning_rate_init": 0.1}).fit(X, Y)
