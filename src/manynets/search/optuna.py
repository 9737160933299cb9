"""Optuna asks, we train a batch together, and tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from manynets.errors import MissingExtraError, OptionError

if TYPE_CHECKING:
    from manynets.search.cv import MLPSearchCV, _Trials

__all__ = ["distributions_of", "run_study"]

OUT = "manynets"


def distributions_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return Optuna's distributions for those of a search: its own as they are, lists as choices."""
    from optuna.distributions import BaseDistribution, CategoricalDistribution

    out: dict[str, Any] = {}
    for name, values in given.items():
        if isinstance(values, BaseDistribution):
            out[name] = values
        elif isinstance(values, list | tuple | np.ndarray):
            out[name] = CategoricalDistribution(range(len(values)))
        else:
            raise OptionError(
                f"param_distributions[{name!r}] is {values!r}, but with a sampler it must be a list or one of Optuna's, such as "
                "optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True)"
            )
    return out


def run_study(search: MLPSearchCV, trials: _Trials) -> Any:
    """Ask and tell batches of trials until there are n_iter; return the study.

    What the study holds already is taken over. A trial keeps its scores by fold, so that a later search has them too.
    """
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("optuna", extra="optuna", purpose="MLPSearchCV with a sampler") from error
    given = search.param_distributions
    if not isinstance(given, Mapping):
        raise OptionError("with a sampler param_distributions is one dict, from names to distributions or lists")
    spaces = distributions_of(given)
    study = optuna.create_study(
        storage=search.storage,
        sampler=search.sampler,
        study_name=search.study_name,
        load_if_exists=search.load_if_exists,
        direction="maximize",
    )

    def parameters(drawn: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value if spaces[name] is given[name] else given[name][value] for name, value in drawn.items()}

    known = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished() and OUT in trial.user_attrs]
    for trial in known[: search.n_iter]:
        kept = trial.user_attrs[OUT]
        if len(kept["out"]) != len(trials.splits):
            raise OptionError(
                f"the study has trials of {len(kept['out'])} folds, but cv has {len(trials.splits)}; give another study_name"
            )
        trials.add([parameters(trial.params) | kept["resource"]], kept["out"], kept["more"])
    left = search.n_iter - len(known)
    while left > 0:
        asked = [study.ask(spaces) for _ in range(min(left, search.batch))]
        left -= len(asked)
        candidates = [parameters(trial.params) for trial in asked]
        if search.strategy == "halving":
            _halved(search, trials, study, asked, candidates)
        else:
            start = len(trials.out)
            scores, _ = trials.evaluate(candidates)
            for k, trial in enumerate(asked):
                _tell(trials, study, trial, start + k * len(trials.splits), float(scores[k]), {}, None, pruned=False)
    return study


def _halved(search: MLPSearchCV, trials: _Trials, study: Any, asked: list[Any], candidates: list[dict[str, Any]]) -> None:
    """Halve a batch; trials that are left behind are told as pruned."""
    alive: dict[int, tuple[int, float, int]] = {}  # place in `asked`: (place in trials.out, score, resource)
    name = search._resource_name()

    def told(places: NDArray[np.int64], scores: NDArray[np.float64], amount: int, is_last: bool) -> None:
        folds = len(trials.splits)
        start = len(trials.out) - len(places) * folds
        for gone in set(alive) - set(places.tolist()):
            _tell(trials, study, asked[gone], *alive[gone][:2], *_at(gone), pruned=True)
            del alive[gone]
        for k, place in enumerate(places.tolist()):
            alive[place] = (start + k * folds, float(scores[k]), amount)
            if np.isfinite(scores[k]):
                asked[place].report(float(scores[k]), amount)
        if is_last:
            for place in list(alive):
                _tell(trials, study, asked[place], *alive[place][:2], *_at(place), pruned=False)

    def _at(place: int) -> tuple[dict[str, Any], int]:
        amount = alive[place][2]
        return ({} if name == "n_samples" else {name: amount}), amount

    search._halve(trials, candidates, len(trials.splits), told)


def _tell(
    trials: _Trials, study: Any, trial: Any, start: int, score: float, resource: dict[str, Any], amount: int | None, *, pruned: bool
) -> None:
    from optuna.trial import TrialState

    out = [
        {name: value for name, value in one.items() if name != "fit_error"} | {"fit_error": None}
        for one in trials.out[start : start + len(trials.splits)]
    ]
    more = {} if amount is None else {"iter": [trials.more["iter"][start // len(trials.splits)]], "n_resources": [amount]}
    trial.set_user_attr(OUT, {"out": out, "resource": resource, "more": more})
    if not np.isfinite(score):
        study.tell(trial, state=TrialState.FAIL)
    elif pruned:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, score)
