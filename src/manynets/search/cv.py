"""`MLPSearchCV`: scikit-learn's searches, with all candidates and folds trained together."""

from __future__ import annotations

import math
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics._scorer import _MultimetricScorer
from sklearn.model_selection import ParameterGrid, ParameterSampler, check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.model_selection._validation import (
    _check_method_params,
    _fit_and_score,
    _insert_error_scores,
    _warn_or_raise_about_fit_failures,
)
from sklearn.pipeline import Pipeline
from sklearn.utils import indexable, resample
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _num_samples

from manynets.errors import OptionError, one_of
from manynets.search.together import Fit, Folds, can_share, fit_together, score_together
from manynets.training.progress import progress_callbacks

__all__ = ["MLPSearchCV"]

Params = Mapping[str, Any]
STRATEGIES = ("full", "halving")
EPOCHS = "max_iter"


class MLPSearchCV(BaseSearchCV):
    """Search for the best parameters of an `MLPClassifier` or `MLPRegressor` by cross-validation, all fits trained at once.

    The interface, attributes and results are those of scikit-learn's GridSearchCV, RandomizedSearchCV and HalvingGridSearchCV.
    The estimator may be a Pipeline that ends in one of ours: its first steps are fitted once for each fold (and each setting of
    theirs). Any other estimator, solver="lbfgs", verbose or callbacks are fitted one by one, as scikit-learn does.

    estimator: what to fit. Its parameters are those of each candidate where the search does not change them.
    param_grid: dict of lists, or a list of such dicts: every combination is a candidate.
    param_distributions, n_iter: instead of param_grid: n_iter candidates are drawn, from lists or from distributions with `rvs`;
        with `sampler` from Optuna's distributions or lists.
    scoring, refit, cv, error_score, return_train_score, verbose, pre_dispatch: as in GridSearchCV.
    n_jobs: processes that share the networks between them, each with about the same work (None: this one; -1: one for each core).
        It pays for hundreds of small networks on several cores; a few, or large ones, are as quick in one process, which uses
        all cores for large products. On a GPU one process trains all.
    strategy: "full", or "halving": all candidates get a little of the resource, the best 1 / factor of them more, and so on.
    resource, factor, min_resources, max_resources, aggressive_elimination: as in HalvingGridSearchCV; the resource is "max_iter"
        (epochs; networks go on from where they were, with the same result as trained anew; by default up to the estimator's own
        max_iter), "n_samples", or any parameter that is a whole number. With halving, best_* are of the last round.
    random_state: of drawn candidates, and of subsampled rows.
    sampler: an Optuna sampler. n_iter trials are asked and told in batches of `batch` (extra: optuna). storage, study_name,
        load_if_exists: of the study; trials that are in it count towards n_iter, and their scores are in cv_results_. With
        strategy="halving" each batch is halved, and trials that are left behind are told as pruned.
    progress: "auto" shows a live display (with n_jobs it moves on when a process is through), False nothing. memory_limit: bytes;
        what would take more is trained in parts.

    Fitted attributes: cv_results_, best_estimator_, best_params_, best_score_, best_index_, refit_time_, scorer_, n_splits_,
    multimetric_, classes_, n_features_in_, feature_names_in_; with halving n_resources_, n_candidates_, n_iterations_,
    n_required_iterations_, n_possible_iterations_, n_remaining_candidates_, min_resources_, max_resources_; with a sampler study_.

    Differs: fit_time and score_time are equal shares of what networks took together. One ConvergenceWarning counts the fits that
    did not converge. Parameters that are not allowed, divergence and lack of memory give error_score, with scikit-learn's
    FitFailedWarning, and the others are complete.

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
        memory_limit: int | None = None,
    ) -> None:
        super().__init__(
            estimator=estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.param_grid = param_grid
        self.param_distributions = param_distributions
        self.n_iter = n_iter
        self.strategy = strategy
        self.resource = resource
        self.factor = factor
        self.min_resources = min_resources
        self.max_resources = max_resources
        self.aggressive_elimination = aggressive_elimination
        self.random_state = random_state
        self.sampler = sampler
        self.batch = batch
        self.storage = storage
        self.study_name = study_name
        self.load_if_exists = load_if_exists
        self.progress = progress
        self.memory_limit = memory_limit

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Train all candidates on all folds, and the best on all rows.

        params: of the estimator's fit (sample_weight), the scorer, and the splitter (groups), as in GridSearchCV.
        """
        self._check()
        scorers, refit_metric = self._get_scorers()
        X, y = indexable(X, y)
        params = _check_method_params(X, params=params)
        routed = self._get_routed_params_for_fit(params)
        cv = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        self.n_splits_ = cv.get_n_splits(X, y, **routed.splitter.split)
        trials = _Trials(self, X, y, scorers, routed, list(cv.split(X, y, **routed.splitter.split)))
        if len(trials.splits) != self.n_splits_:
            raise ValueError(f"cv gives {len(trials.splits)} splits, but said {self.n_splits_}")
        if self.sampler is not None:
            from manynets.search.optuna import run_study

            self.study_ = run_study(self, trials)
        elif self.strategy == "halving":
            self._halve(trials, self._candidates(), self.n_splits_)
        else:
            trials.evaluate(self._candidates())
        self.cv_results_ = results = trials.results()
        self._finish(trials, X, y, scorers, refit_metric, results, routed)
        return self

    def _check(self) -> None:
        self._validate_params()
        one_of(self.strategy, STRATEGIES, what="strategy")
        if (self.param_grid is None) == (self.param_distributions is None):
            raise OptionError("give one of param_grid (all combinations) and param_distributions (n_iter of them are drawn)")
        if self.sampler is not None and self.param_distributions is None:
            raise OptionError("a sampler needs param_distributions; give those instead of param_grid")
        if self.strategy == "halving" and not self.factor > 1:
            raise OptionError(f"factor is {self.factor!r}, but must be a number above 1")
        for name in ("n_iter", "batch"):
            if isinstance(getattr(self, name), bool) or not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)!r}, but must be a whole number of at least 1")

    def _candidates(self) -> list[dict[str, Any]]:
        if self.param_grid is not None:
            return list(ParameterGrid(self.param_grid))
        return list(ParameterSampler(self.param_distributions, self.n_iter, random_state=self.random_state))

    def _finish(
        self, trials: _Trials, X: Any, y: Any, scorers: Any, refit_metric: str, results: dict[str, Any], routed: Any
    ) -> None:
        """Choose the best candidate and fit it to all rows."""
        first = trials.out[0]["test_scores"]
        self.multimetric_ = isinstance(first, dict)
        if callable(self.scoring) and self.multimetric_:
            self._check_refit_for_multimetric(first)
            refit_metric = self.refit
        if self.refit or not self.multimetric_:
            if "iter" in results and not callable(self.refit):
                self.best_index_ = _best_of_last_round(results, refit_metric)
            else:
                self.best_index_ = self._select_best_index(self.refit, refit_metric, results)
            if not callable(self.refit):
                self.best_score_ = results[f"mean_test_{refit_metric}"][self.best_index_]
            self.best_params_ = results["params"][self.best_index_]
        if self.refit:
            self.best_estimator_ = clone(self.estimator).set_params(**clone(self.best_params_, safe=False))
            began = time.time()
            fit_params = routed.estimator.fit
            self.best_estimator_.fit(X, **fit_params) if y is None else self.best_estimator_.fit(X, y, **fit_params)
            self.refit_time_ = time.time() - began
            if hasattr(self.best_estimator_, "feature_names_in_"):
                self.feature_names_in_ = self.best_estimator_.feature_names_in_
        self.scorer_ = scorers._scorers if isinstance(scorers, _MultimetricScorer) else scorers

    # ------------------------------------------------------------------------------------------------------- halving

    def _halve(
        self, trials: _Trials, candidates: list[dict[str, Any]], splits: int, told: Callable[..., None] | None = None
    ) -> None:
        """Evaluate candidates with more and more of the resource, each time the best 1 / factor of those before.

        told(places, scores, resources, is_last): after each round, the candidates by their places in `candidates`.
        Source: Karnin, Koren & Somekh 2013; scikit-learn's HalvingGridSearchCV.
        """
        name = self._resource_name()
        if name != "n_samples" and any(name in candidate for candidate in candidates):
            raise OptionError(f"{name} is the resource of the halving, so it cannot be searched too; leave it out")
        rows = _num_samples(trials.X)
        most = self.max_resources
        if most == "auto":
            most = rows if name == "n_samples" else self.estimator.get_params().get(name)
            if isinstance(most, bool) or not isinstance(most, int | np.integer):
                raise OptionError(f"max_resources='auto' needs a whole number, but the estimator has {name}={most!r}; give it")
        least = self.min_resources
        if least in ("smallest", "exhaust"):
            least = 1
            if name == "n_samples":
                classes = 1
                if is_classifier(self.estimator) and type_of_target(trials.y) in ("binary", "multiclass"):
                    classes = len(np.unique(trials.y))
                least = min(2 * splits * classes, most)
        required = 1 + math.floor(math.log(len(candidates), self.factor))
        if self.min_resources == "exhaust":
            least = max(least, int(most // self.factor ** (required - 1)))
        if least > most:
            raise OptionError(f"min_resources is {least}, more than max_resources={most}")
        possible = 1 + math.floor(math.log(most // least, self.factor))
        rounds = required if self.aggressive_elimination else min(possible, required)
        self.min_resources_, self.max_resources_ = least, most
        self.n_required_iterations_, self.n_possible_iterations_, self.n_iterations_ = required, possible, rounds
        self.n_resources_, self.n_candidates_ = [], []
        places = np.arange(len(candidates))
        kept: dict[tuple[int, int], Fit] = {}
        folds = trials.folds()
        for number in range(rounds):
            power = max(0, number - required + possible) if self.aggressive_elimination else number
            amount = min(int(self.factor**power * least), most)
            self.n_resources_.append(amount)
            self.n_candidates_.append(len(places))
            chosen = [dict(candidates[place]) for place in places]
            if name == "n_samples":
                folds = trials.folds([_subsample(pair, amount / rows, self.random_state) for pair in trials.splits])
            else:
                for candidate in chosen:
                    candidate[name] = amount
            before = {(int(np.flatnonzero(places == c)[0]), f): fit for (c, f), fit in kept.items() if c in places}
            more = {"iter": [number] * len(places), "n_resources": [amount] * len(places)}
            epochs = name.endswith(EPOCHS)
            goes_on = epochs and number < rounds - 1
            scores, fits = trials.evaluate(chosen, folds, more=more, kept=before if epochs else {}, goes_on=goes_on)
            kept = {(int(places[fit.candidate]), fit.fold): fit for fit in fits if fit.error is None}
            if told is not None:
                told(places, scores, amount, number == rounds - 1)
            keep = math.ceil(len(places) / self.factor)
            order = np.roll(np.argsort(scores), np.count_nonzero(np.isnan(scores)))
            places = places[order[-keep:]]
        self.n_remaining_candidates_ = len(places)

    def _resource_name(self) -> str:
        name = self.resource
        if name == EPOCHS and isinstance(self.estimator, Pipeline):
            name = f"{self.estimator.steps[-1][0]}__{EPOCHS}"
        if name != "n_samples" and name not in self.estimator.get_params():
            raise OptionError(f"resource is {name!r}, but must be 'n_samples' or a parameter of the estimator")
        return name


class _Trials:
    """Evaluates candidates and remembers what came of them, as scikit-learn formats it."""

    def __init__(self, search: MLPSearchCV, X: Any, y: Any, scorers: Any, routed: Any, splits: list[Any]) -> None:
        self.search, self.X, self.y, self.scorers, self.routed = search, X, y, scorers, routed
        self.splits = splits
        self.candidates: list[Params] = []
        self.out: list[dict[str, Any]] = []
        self.more: dict[str, list[Any]] = defaultdict(list)

    def folds(self, splits: list[Any] | None = None) -> Folds:
        """Return folds (None: those of the search) that nobody has read yet."""
        return Folds(self.X, self.y, self.splits if splits is None else splits, self.routed.estimator.fit)

    def evaluate(
        self,
        candidates: Sequence[Params],
        folds: Folds | None = None,
        *,
        more: Mapping[str, list[Any]] | None = None,
        kept: Mapping[tuple[int, int], Fit] | None = None,
        goes_on: bool = False,
    ) -> tuple[NDArray[np.float64], list[Fit]]:
        """Fit and score candidates; return the mean of each's scores (that of refit, of several metrics), and the fits.

        folds: what of them was read before is not read again (None: those of the search, anew). goes_on: whether later ones may go
        on from these fits.
        """
        search, folds = self.search, self.folds() if folds is None else folds
        splits = folds.splits
        if not candidates or not splits:
            raise ValueError("No fits were performed. Was the CV iterator empty? Were there no candidates?")
        if search.verbose > 0:
            print(  # noqa: T201  # as scikit-learn does
                f"Fitting {len(splits)} folds for each of {len(candidates)} candidates, "
                f"totalling {len(candidates) * len(splits)} fits"
            )
        fit_params, score_params = self.routed.estimator.fit, self.routed.scorer.score
        shared = [place for place, candidate in enumerate(candidates) if self._can_share(candidate, fit_params)]
        out: dict[tuple[int, int], dict[str, Any]] = {}
        fits: list[Fit] = []
        if shared:
            places = {place: number for number, place in enumerate(shared)}
            earlier = {(places[c], f): fit for (c, f), fit in (kept or {}).items() if c in places}
            fits = fit_together(
                search.estimator,
                folds,
                [candidates[place] for place in shared],
                kept=earlier,
                goes_on=goes_on,
                n_jobs=search.n_jobs,
                callbacks=progress_callbacks(search.progress),
                memory_limit=search.memory_limit,
            )
            found = score_together(
                fits,
                folds,
                self.scorers,
                score_params=score_params,
                error_score=search.error_score,
                train_scores=search.return_train_score,
            )
            for fit, result in zip(fits, found, strict=True):
                fit.candidate = shared[fit.candidate]
                out[fit.candidate, fit.fold] = result
            _tell_of_convergence(fits)
        alone = [(c, f) for c in range(len(candidates)) if c not in shared for f in range(len(splits))]
        parallel = Parallel(n_jobs=search.n_jobs, pre_dispatch=search.pre_dispatch)
        one_by_one = parallel(
            delayed(_fit_and_score)(
                clone(search.estimator),
                self.X,
                self.y,
                scorer=self.scorers,
                train=splits[f][0],
                test=splits[f][1],
                verbose=search.verbose,
                parameters=candidates[c],
                fit_params=fit_params,
                score_params=score_params,
                return_train_score=search.return_train_score,
                return_n_test_samples=True,
                return_times=True,
                error_score=search.error_score,
            )
            for c, f in alone
        )
        out |= dict(zip(alone, one_by_one, strict=True))
        ordered = [out[c, f] for c in range(len(candidates)) for f in range(len(splits))]
        _warn_or_raise_about_fit_failures(ordered, search.error_score)
        if callable(search.scoring):
            _insert_error_scores(ordered, search.error_score)
        self.add(candidates, ordered, more)
        return self._means(ordered, len(candidates)), fits

    def add(self, candidates: Sequence[Params], out: list[dict[str, Any]], more: Mapping[str, list[Any]] | None = None) -> None:
        """Remember candidates and what came of them."""
        self.candidates.extend(candidates)
        self.out.extend(out)
        for name, values in (more or {}).items():
            self.more[name].extend(values)

    def _can_share(self, candidate: Params, fit_params: Params) -> bool:
        try:
            return can_share(clone(self.search.estimator).set_params(**clone(candidate, safe=False)), fit_params)
        except ValueError:  # a parameter that the estimator does not have: scikit-learn's way says so
            return False

    def _means(self, out: list[dict[str, Any]], candidates: int) -> NDArray[np.float64]:
        scores = [one["test_scores"] for one in out]
        if isinstance(scores[0], dict):
            name = self.search.refit if isinstance(self.search.refit, str) else next(iter(scores[0]))
            scores = [score[name] for score in scores]
        return np.asarray(np.array(scores, dtype=np.float64).reshape(candidates, -1).mean(axis=1))

    def results(self) -> dict[str, Any]:
        """Return cv_results_ of all candidates so far."""
        splits = len(self.splits)
        found: dict[str, Any] = self.search._format_results(list(self.candidates), splits, self.out, self.more)
        return found


def _best_of_last_round(results: dict[str, Any], metric: str) -> int:
    last = np.flatnonzero(results["iter"] == np.max(results["iter"]))
    scores = results[f"mean_test_{metric}"][last]
    return int(last[0 if np.isnan(scores).all() else np.nanargmax(scores)])


def _subsample(pair: tuple[Any, Any], fraction: float, random_state: Any) -> tuple[Any, Any]:
    """Return this fraction of a fold's training and test rows, as HalvingGridSearchCV takes it."""
    train, test = pair
    first, second = (
        resample(rows, replace=False, random_state=random_state, n_samples=int(fraction * len(rows))) for rows in (train, test)
    )
    return first, second


def _tell_of_convergence(fits: Sequence[Fit]) -> None:
    """Warn once of fits that made all their epochs and still got better."""
    short = 0
    for fit in fits:
        if fit.error is None and fit.plan is not None:
            short += any(outcome.stopped == "done" and math.isfinite(fit.estimator.n_iter_no_change) for outcome in fit.outcomes)
    if short:
        warnings.warn(
            f"Stochastic Optimizer: Maximum iterations reached and the optimization hasn't converged yet in {short} of "
            f"{len(fits)} fits.",
            ConvergenceWarning,
            stacklevel=4,
        )
