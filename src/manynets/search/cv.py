"""`MLPSearchCV`: scikit-learn's searches, with all candidates and folds trained together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn import get_config
from sklearn.base import clone, is_classifier
from sklearn.metrics._scorer import _MultimetricScorer
from sklearn.model_selection import ParameterGrid, ParameterSampler, check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.model_selection._validation import _check_method_params
from sklearn.utils import estimator_html_repr, indexable
from sklearn.utils.metadata_routing import _routing_enabled
from sklearn.utils.validation import _num_samples

from manynets.data.check import check_container, is_frame
from manynets.data.duplicates import count_held_out, report_copies
from manynets.display import html_table
from manynets.errors import OptionError, one_of, warned_once
from manynets.estimators import MLPClassifier, MLPRegressor, TabularClassifier, TabularRegressor, inputs
from manynets.estimators.settings import take_parameters
from manynets.search.evaluation import Evaluation, memory_limit_of
from manynets.search.fits import last_step
from manynets.search.halving import EPOCHS, halve
from manynets.search.optuna import run_study
from manynets.spec import MLP
from manynets.spec.metadata import AT_LEAST_ONE
from manynets.tables.frames import frame_hashes
from manynets.training.groups import check_limits

STRATEGIES = ("full", "halving")


class MLPSearchCV(BaseSearchCV):
    """Search for the best parameters of an `MLPClassifier` or `MLPRegressor` by cross-validation, all fits trained at once.

    The interface, attributes and results are those of scikit-learn's GridSearchCV, RandomizedSearchCV and HalvingGridSearchCV.
    The estimator may be a Pipeline that ends in one of ours: its first steps are fitted once for each fold (and each setting of
    their parameters). Any other estimator, solver="lbfgs", verbose or callbacks are fitted one by one, as scikit-learn does.

    estimator: what to fit. Candidates have its parameters, except for those that the search changes.
    param_grid: dict of lists, or a list of such dicts: every combination is a candidate.
    param_distributions, n_iter: instead of param_grid: n_iter candidates are drawn, from lists or from distributions with `rvs`;
        with `sampler`, from Optuna's distributions or lists.
    scoring, refit, cv, error_score, return_train_score, verbose, pre_dispatch: as in GridSearchCV.
    n_jobs: processes of joblib's backend among which the networks are divided in groups (None: this one; -1: one for each core); within
        `joblib.parallel_config("dask")` all workers of the cluster. Groups of a process that dies are trained again. Networks that
        the compiled core trains stay in this process where it has just as many threads, which divide them without sending anything. On
        a GPU one process trains all.
    strategy: "full", or "halving": all candidates get a little of the resource, the best 1 / factor of them more, and so on.
    resource, factor, min_resources, max_resources, aggressive_elimination: as in HalvingGridSearchCV; the resource is "max_iter"
        (epochs: networks continue where they were, with the same result as if trained anew; by default up to the estimator's own
        max_iter), "n_samples", or any parameter that is a whole number. With halving, best_* are those of the last round.
    random_state: for drawn candidates and subsampled rows.
    sampler: an Optuna sampler, which suggests n_iter trials in batches of `batch` (extra: optuna). storage, study_name,
        load_if_exists: of the study; the trials that are in it count towards n_iter, and the scores of all of them are in
        cv_results_. With strategy="halving" each batch is halved, and the trials that drop out are reported as pruned. A sampler with a seed draws
        from its beginning each time: give another seed, or none, to go on with a study.
    progress: "auto" shows a live display (with n_jobs it advances when a group is finished), False nothing. memory_limit: bytes, or such
        as "2GB"; networks that would take more are trained in parts.

    Fitted attributes: cv_results_, best_estimator_, best_params_, best_score_, best_index_, refit_time_, scorer_, n_splits_,
    multimetric_, classes_, n_features_in_, feature_names_in_; with halving n_resources_, n_candidates_, n_iterations_,
    n_required_iterations_, n_possible_iterations_, n_remaining_candidates_, min_resources_, max_resources_; with a sampler study_.

    Differs: fit_time and score_time are equal shares of the time that networks took together. One ConvergenceWarning counts the
    fits that did not converge. Fits with invalid parameters, divergence or too little memory get error_score, with scikit-learn's
    FitFailedWarning; the others are complete.

    >>> import warnings
    >>> import manynets as mn
    >>> X, y = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 2
    >>> grid = {"alpha": [0.0, 0.1], "learning_rate_init": [0.01, 0.1]}
    >>> net = mn.MLPClassifier(8, max_iter=5, tol=0.0, n_iter_no_change=np.inf, random_state=0)
    >>> with warnings.catch_warnings(action="ignore"):
    ...     search = mn.MLPSearchCV(net, grid, cv=3, progress=False).fit(X, y)
    >>> sorted(search.best_params_), len(search.cv_results_["mean_test_score"])
    (['alpha', 'learning_rate_init'], 4)
    """

    def __init__(
        self,
        estimator: Any,
        param_grid: Any = None,
        *,
        param_distributions: Any = None,
        n_iter: int = 10,
        scoring: Any = None,
        refit: Any = True,
        cv: Any = None,
        strategy: str = "full",
        resource: str = EPOCHS,
        factor: float = 3,
        min_resources: Any = "exhaust",
        max_resources: Any = "auto",
        aggressive_elimination: bool = False,
        random_state: Any = None,
        sampler: Any = None,
        batch: int = 16,
        storage: Any = None,
        study_name: str | None = None,
        load_if_exists: bool = False,
        error_score: Any = np.nan,
        return_train_score: bool = False,
        n_jobs: int | None = None,
        pre_dispatch: Any = "2*n_jobs",
        verbose: Any = 0,
        progress: Any = False,
        memory_limit: int | str | None = None,
    ) -> None:
        take_parameters(self, locals())

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Train all candidates on all folds, and the best on all rows.

        params: of the estimator's fit (sample_weight), the scorer, and the splitter (groups), as in GridSearchCV. Our estimators are
        given the groups too, which they keep together where they hold out rows (early_stopping, or the folds of an ensemble).
        """
        with warned_once():
            return self._fit(X, y, params)

    def _fit(self, X: Any, y: Any, params: dict[str, Any]) -> Self:
        self._check()
        if X is not None:
            check_container(X)
        scorers, refit_metric = self._get_scorers()
        X, y = indexable(X, y)
        inputs.refuse_name(params.get("groups"))
        params = _check_method_params(X, params=params)
        routed = self._get_routed_params_for_fit(params)
        if not _routing_enabled():
            self._hand_on_groups(routed)
        cv = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        self.n_splits_ = cv.get_n_splits(X, y, **routed.splitter.split)
        splits = list(cv.split(X, y, **routed.splitter.split))
        if len(splits) != self.n_splits_:
            raise ValueError(f"cv gives {len(splits)} splits, but said {self.n_splits_}")
        tested = np.zeros(_num_samples(X), dtype=bool)
        for _, test in splits:  # row numbers or masks
            tested[test] = True
        report_copies(_copies_held_out(X, y, splits), int(tested.sum()), what="test")
        evaluation = Evaluation(self, X, y, scorers, routed, splits)
        if self.sampler is not None:
            self.study_ = run_study(evaluation)
        elif self.strategy == "halving":
            for _ in halve(evaluation, self._candidates()):
                pass
        else:
            evaluation.evaluate(self._candidates())
        self.cv_results_ = self._format_results(list(evaluation.candidates), len(splits), evaluation.out, evaluation.more)
        self._choose(evaluation.out[0]["test_scores"], refit_metric)
        if self.refit:
            self._refit(X, y, routed.estimator.fit)
        self.scorer_ = scorers._scorers if isinstance(scorers, _MultimetricScorer) else scorers
        return self

    def _hand_on_groups(self, routed: Any) -> None:
        """Let an estimator that holds out rows itself keep the splitter's groups together, too."""
        groups, (prefix, last) = routed.splitter.split.get("groups"), last_step(self.estimator)
        if groups is not None and isinstance(last, MLPClassifier | MLPRegressor | TabularClassifier | TabularRegressor):
            routed.estimator.fit = {f"{prefix}groups": groups} | routed.estimator.fit

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Return what a notebook shows, which is `_html_repr` with older releases of scikit-learn too."""
        html = {"text/html": self._html_repr()} if get_config()["display"] == "diagram" else {}
        return {"text/plain": repr(self)} | html

    def _repr_html_inner(self) -> str:
        return self._html_repr()

    def _html_repr(self) -> str:
        """Return scikit-learn's diagram, and once fitted the best ten candidates beneath it."""
        diagram = str(estimator_html_repr(self))
        if not hasattr(self, "cv_results_"):
            return diagram
        metric = self.refit if self.multimetric_ and isinstance(self.refit, str) else "score"
        ranks = self.cv_results_.get(f"rank_test_{metric}")
        if ranks is None:
            return diagram
        means, spreads = (self.cv_results_[f"{what}_test_{metric}"].tolist() for what in ("mean", "std"))
        best = np.argsort(ranks, kind="stable")[:10].tolist()
        found = [dict(self.cv_results_["params"][i]) for i in best]
        names = sorted({name for params in found for name in params})
        rows = [
            (int(ranks[i]), *(params.get(name) for name in names), means[i], spreads[i])
            for i, params in zip(best, found, strict=True)
        ]
        return diagram + html_table(["rank", *names, f"mean {metric}", "std"], rows, title=f"Best of {len(ranks)} candidates")

    def _check(self) -> None:
        if isinstance(self.estimator, MLP):
            raise OptionError(
                f"estimator is an MLP, which describes a network; give an estimator: mn.MLPClassifier(hidden_layer_sizes={self.estimator.hidden}),"
                " or compare pairs (MLP, Recipe) with mn.train_many"
            )
        self._validate_params()
        one_of(self.strategy, STRATEGIES, what="strategy")
        if (self.param_grid is None) == (self.param_distributions is None):
            raise OptionError("give one of param_grid (all combinations) and param_distributions (n_iter of them are drawn)")
        if self.sampler is not None and self.param_distributions is None:
            raise OptionError("a sampler needs param_distributions; give those instead of param_grid")
        if self.strategy == "halving" and not self.factor > 1:
            raise OptionError(f"factor is {self.factor!r}, but must be a number above 1")
        check_limits(memory_limit=memory_limit_of(self))
        for name in ("n_iter", "batch"):
            AT_LEAST_ONE.check(getattr(self, name), what=name)

    def _candidates(self) -> list[dict[str, Any]]:
        if self.param_grid is not None:
            return list(ParameterGrid(self.param_grid))
        return list(ParameterSampler(self.param_distributions, self.n_iter, random_state=self.random_state))

    def _choose(self, scores: Any, refit_metric: str) -> None:
        """Choose the best candidate; `scores` are those of any fit, which show the names of several metrics."""
        self.multimetric_ = isinstance(scores, dict)
        if callable(self.scoring) and self.multimetric_:
            self._check_refit_for_multimetric(scores)
            refit_metric = self.refit
        if not self.refit and self.multimetric_:
            return
        results = self.cv_results_
        if "iter" in results and not callable(self.refit):
            self.best_index_ = _best_of_last_round(results, refit_metric)
        else:
            self.best_index_ = self._select_best_index(self.refit, refit_metric, results)
        if not callable(self.refit):
            self.best_score_ = results[f"mean_test_{refit_metric}"][self.best_index_]
        self.best_params_ = results["params"][self.best_index_]

    def _refit(self, X: Any, y: Any, fit_params: Any) -> None:
        self.best_estimator_ = clone(self.estimator).set_params(**clone(self.best_params_, safe=False))
        began = time.time()
        self.best_estimator_.fit(X, **fit_params) if y is None else self.best_estimator_.fit(X, y, **fit_params)
        self.refit_time_ = time.time() - began
        if hasattr(self.best_estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.best_estimator_.feature_names_in_


def _best_of_last_round(results: dict[str, Any], metric: str) -> int:
    last = np.flatnonzero(results["iter"] == np.max(results["iter"]))
    scores = results[f"mean_test_{metric}"][last]
    return int(last[0 if np.isnan(scores).all() else np.nanargmax(scores)])


def _copies_held_out(X: Any, y: Any, splits: Sequence[tuple[Any, Any]]) -> int:
    """Return how many rows are identical to one that is trained on where they are tested on; 0 for what is no table of cells."""
    try:
        rows = frame_hashes(X) if is_frame(X) else np.zeros(()) if sparse.issparse(X) else np.asarray(X)
        target = None if y is None else np.unique(np.asarray(y), return_inverse=True)[1].reshape(np.shape(y))
    except Exception:  # cells that no library compares
        return 0
    return count_held_out(rows, splits, target=target) if rows.dtype.kind in "fiub" and rows.ndim in (1, 2) else 0
