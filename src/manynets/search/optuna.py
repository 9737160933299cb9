"""Search with Optuna: it suggests trials, they are trained in batches, and their scores are reported back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from manynets.errors import OptionError, optional_module
from manynets.search.evaluation import Evaluation
from manynets.search.halving import halve

STORED = "manynets"  # the attribute of a trial that has its scores by fold


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


def run_study(evaluation: Evaluation) -> Any:
    """Ask for trials in batches, evaluate and report them until there are n_iter; return the study.

    Trials that the study has already are taken over: each one stores its scores by fold for a later search.
    """
    optuna = optional_module("optuna", extra="optuna", purpose="MLPSearchCV with a sampler")
    search = evaluation.search
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

    if study.directions != [optuna.study.StudyDirection.MAXIMIZE]:
        raise OptionError("the study does not maximize one score, as a search does; give another study_name")
    known = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished() and STORED in trial.user_attrs]
    for trial in known:
        stored = trial.user_attrs[STORED]
        if len(stored["out"]) != len(evaluation.splits):
            raise OptionError(
                f"the study has trials of {len(stored['out'])} folds, but cv has {len(evaluation.splits)}; give another study_name"
            )
        try:
            found = parameters(trial.params)
            same = _texts(found) == stored.get("params", _texts(found))
        except LookupError:
            same = False
        if not same:
            raise OptionError("the study has trials of other param_distributions; give the same ones, or another study_name")
        evaluation.add([found | stored["resource"]], stored["out"], stored["more"])
    left = search.n_iter - len(known)
    exhausted: list[bool] = []
    study.stop = lambda: exhausted.append(True)  # called by samplers that have tried all; Optuna's own is for study.optimize alone
    try:
        while left > 0 and not exhausted:
            trials = [study.ask(spaces) for _ in range(min(left, search.batch))]
            left -= len(trials)
            candidates = [parameters(trial.params) for trial in trials]
            if search.strategy == "halving":
                _halve_batch(evaluation, study, trials, candidates)
                continue
            first = len(evaluation.candidates)
            scores, _ = evaluation.evaluate(candidates)
            for k, trial in enumerate(trials):
                _report(evaluation, study, trial, first + k, float(scores[k]))
    finally:
        del study.stop
    return study


def _texts(params: Mapping[str, Any]) -> dict[str, str]:
    """Return parameters by which a trial is known again; the text of other objects may differ from process to process."""
    return {name: str(value) for name, value in params.items() if isinstance(value, bool | int | float | str | tuple | None)}


def _halve_batch(evaluation: Evaluation, study: Any, trials: list[Any], candidates: list[dict[str, Any]]) -> None:
    """Halve a batch of trials; those that drop out are reported as pruned."""
    running: dict[int, tuple[int, float]] = {}  # by index in `trials`: the candidate of the evaluation, and its score
    for alive, scores, amount, is_last in halve(evaluation, candidates):
        for k in set(running) - set(alive):
            _report(evaluation, study, trials[k], *running.pop(k), pruned=True)
        first = len(evaluation.candidates) - len(alive)
        for position, k in enumerate(alive):
            running[k] = first + position, float(scores[position])
            if np.isfinite(scores[position]):
                trials[k].report(float(scores[position]), amount)
            if is_last:
                _report(evaluation, study, trials[k], *running[k])


def _report(evaluation: Evaluation, study: Any, trial: Any, candidate: int, score: float, *, pruned: bool = False) -> None:
    """Report the score of a trial, a candidate of the evaluation, to the study; store its scores by fold in the trial."""
    from optuna.trial import TrialState

    folds = len(evaluation.splits)
    out = [{**one, "fit_error": None} for one in evaluation.out[candidate * folds : (candidate + 1) * folds]]
    candidate_params = evaluation.candidates[candidate]
    params = _texts({name: candidate_params[name] for name in trial.params})
    resource = {name: value for name, value in candidate_params.items() if name not in trial.params}
    columns = evaluation.more if evaluation.search.strategy == "halving" else {}
    more = {name: [values[candidate]] for name, values in columns.items()}
    trial.set_user_attr(STORED, {"out": out, "resource": resource, "more": more, "params": params})
    if not np.isfinite(score):
        study.tell(trial, state=TrialState.FAIL)
    elif pruned:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, score)
