"""Fit and score candidates, and collect what scikit-learn makes `cv_results_` of."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection._validation import _fit_and_score, _insert_error_scores, _warn_or_raise_about_fit_failures
from sklearn.utils.parallel import Parallel, delayed

from manynets.data.stream.limit import memory_bytes
from manynets.errors import OptionError, warn_user
from manynets.progress import progress_callbacks
from manynets.search.fits import CandidateFit, can_share, plan_fits, train_fits
from manynets.search.folds import SearchFolds
from manynets.search.scoring import score_fits

Params: TypeAlias = Mapping[str, Any]
Scored: TypeAlias = dict[tuple[int, int], dict[str, Any]]  # by (candidate, fold): what scikit-learn's `_fit_and_score` returns


class Evaluation:
    """Evaluates candidates of a search, and remembers their results as scikit-learn formats them.

    candidates, out, more: the candidates so far, what `_fit_and_score` returns for each and each fold, and additional columns.
    """

    def __init__(self, search: Any, X: Any, y: Any, scorers: Any, routed: Any, splits: list[Any]) -> None:
        self.search, self.X, self.y, self.scorers, self.routed = search, X, y, scorers, routed
        self.splits = splits
        self.candidates: list[Params] = []
        self.out: list[dict[str, Any]] = []
        self.more: dict[str, list[Any]] = defaultdict(list)

    def folds(self, splits: list[Any] | None = None) -> SearchFolds:
        """Return folds (None: those of the search) that nothing has read yet."""
        return SearchFolds(self.X, self.y, self.splits if splits is None else splits, self.routed.estimator.fit)

    def evaluate(
        self,
        candidates: Sequence[Params],
        folds: SearchFolds | None = None,
        *,
        more: Mapping[str, list[Any]] | None = None,
        earlier: Mapping[tuple[int, int], CandidateFit] | None = None,
        resumable: bool = False,
    ) -> tuple[NDArray[np.float64], list[CandidateFit]]:
        """Fit and score candidates; return the mean score of each (of several metrics the one to refit by), and the fits.

        folds: what has been read of them is not read again (None: those of the search, anew). earlier, resumable: see `train_fits`.
        """
        search, folds = self.search, self.folds() if folds is None else folds
        trials = [(c, f) for c in range(len(candidates)) for f in range(len(folds.splits))]
        if not trials:
            raise ValueError("No fits were performed. Was the CV iterator empty? Were there no candidates?")
        if search.verbose > 0:
            print(  # noqa: T201  # as scikit-learn does
                f"Fitting {len(folds.splits)} folds for each of {len(candidates)} candidates, totalling {len(trials)} fits"
            )
        fits = plan_fits(self._shared(candidates), candidates, folds)
        train_fits(
            fits,
            folds,
            earlier=earlier or {},
            resumable=resumable,
            n_jobs=search.n_jobs,
            callbacks=progress_callbacks(search.progress) if fits else (),
            memory_limit=memory_limit_of(search),
        )
        scored = score_fits(
            fits,
            folds,
            self.scorers,
            score_params=self.routed.scorer.score,
            error_score=search.error_score,
            train_scores=search.return_train_score,
        )
        if not resumable:
            _warn_about_convergence(fits)
        scored |= self._fit_alone(candidates, [trial for trial in trials if trial not in scored], folds.splits)
        out = [scored[trial] for trial in trials]
        _warn_or_raise_about_fit_failures(out, search.error_score)
        if callable(search.scoring):
            _insert_error_scores(out, search.error_score)
            _check_names([*self.out[:1], *out])
        self.add(candidates, out, more)
        return self._means(out, len(candidates)), fits

    def add(self, candidates: Sequence[Params], out: list[dict[str, Any]], more: Mapping[str, list[Any]] | None = None) -> None:
        """Remember candidates and their results."""
        self.candidates.extend(candidates)
        self.out.extend(out)
        for name, values in (more or {}).items():
            self.more[name].extend(values)

    def _shared(self, candidates: Sequence[Params]) -> dict[int, Any]:
        """Return the estimators, by candidate, whose fits can be trained together."""
        out = {}
        for c, candidate in enumerate(candidates):
            try:
                estimator = clone(self.search.estimator).set_params(**clone(candidate, safe=False))
            except ValueError:  # a parameter that the estimator does not have: scikit-learn's way says so
                continue
            if can_share(estimator, self.routed.estimator.fit):
                out[c] = estimator
        return out

    def _fit_alone(self, candidates: Sequence[Params], alone: Sequence[tuple[int, int]], splits: Sequence[Any]) -> Scored:
        """Fit and score candidates on folds one by one, as scikit-learn does."""
        if not alone:
            return {}
        search = self.search
        parallel = Parallel(n_jobs=search.n_jobs, pre_dispatch=search.pre_dispatch)
        results = parallel(
            delayed(_fit_and_score)(
                clone(search.estimator),
                self.X,
                self.y,
                scorer=self.scorers,
                train=splits[f][0],
                test=splits[f][1],
                verbose=search.verbose,
                parameters=candidates[c],
                fit_params=self.routed.estimator.fit,
                score_params=self.routed.scorer.score,
                return_train_score=search.return_train_score,
                return_n_test_samples=True,
                return_times=True,
                error_score=search.error_score,
            )
            for c, f in alone
        )
        return dict(zip(alone, results, strict=True))

    def _means(self, out: list[dict[str, Any]], candidates: int) -> NDArray[np.float64]:
        scores = [one["test_scores"] for one in out]
        if isinstance(scores[0], dict):
            name = self.search.refit if isinstance(self.search.refit, str) else next(iter(scores[0]))
            scores = [score[name] for score in scores]
        return np.asarray(np.array(scores, dtype=np.float64).reshape(candidates, -1).mean(axis=1))


def _check_names(out: Sequence[Mapping[str, Any]]) -> None:
    """Raise OptionError where a scoring function returned other scores for one fit than for another."""
    found = [one[side] for side in ("test_scores", "train_scores") for one in out if side in one]
    names = [sorted(scores) if isinstance(scores, dict) else None for scores in found]
    if names.count(names[0]) < len(names):
        odd = next(i for i, one in enumerate(names) if one != names[0])
        both = f"{names[0] or found[0]} for one fit and {names[odd] or found[odd]} for another"
        raise OptionError(f"scoring returns {both}; return the same scores for each")


def memory_limit_of(search: Any) -> Any:
    """Return the memory limit of a search, a text such as "2GB" as bytes."""
    return memory_bytes(search.memory_limit) if isinstance(search.memory_limit, str) else search.memory_limit


def _warn_about_convergence(fits: Sequence[CandidateFit]) -> None:
    """Warn once about all fits that used up their epochs and were still improving."""
    trained = [fit for fit in fits if fit.error is None and math.isfinite(fit.estimator.n_iter_no_change)]
    short = sum(any(outcome.stopped == "done" for outcome in fit.outcomes) for fit in trained)
    if short:
        warn_user(
            f"Stochastic Optimizer: Maximum iterations reached and the optimization hasn't converged yet in {short} of "
            f"{len(fits)} fits.",
            ConvergenceWarning,
        )
