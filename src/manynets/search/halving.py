"""Successive halving: all candidates get a little of the resource, the best 1 / factor of them more, and so on.

Source: Karnin, Koren & Somekh 2013; scikit-learn's HalvingGridSearchCV, whose fitted attributes these are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.utils import resample
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import _num_samples

from manynets.errors import OptionError
from manynets.search.evaluation import Evaluation
from manynets.search.fits import CandidateFit, last_step

EPOCHS = "max_iter"


class Round(NamedTuple):
    """A round of a halving: the indices of the candidates that took part, their scores, and how much of the resource each had."""

    alive: list[int]
    scores: NDArray[np.float64]
    amount: int
    is_last: bool


def resource_name(search: Any) -> str:
    """Return what a search divides between its candidates: "n_samples" or a parameter of its estimator."""
    name: str = search.resource
    if name == EPOCHS:
        name = last_step(search.estimator)[0] + EPOCHS
    if name != "n_samples" and name not in search.estimator.get_params():
        raise OptionError(f"resource is {name!r}, but must be 'n_samples' or a parameter of the estimator")
    return name


def halve(evaluation: Evaluation, candidates: list[dict[str, Any]]) -> Iterator[Round]:
    """Evaluate candidates with more and more of the resource, each time the best 1 / factor of those before; yield each round."""
    search = evaluation.search
    name = resource_name(search)
    if name != "n_samples" and any(name in candidate for candidate in candidates):
        raise OptionError(f"{name} is the resource of the halving, so it cannot be searched too; leave it out")
    amounts = _amounts(evaluation, name, len(candidates))
    search.n_resources_, search.n_candidates_ = [], []
    alive = np.arange(len(candidates))
    earlier: dict[tuple[int, int], CandidateFit] = {}
    folds, by_epochs = evaluation.folds(), name.endswith(EPOCHS)
    for number, amount in enumerate(amounts):
        is_last = number == len(amounts) - 1
        search.n_resources_.append(amount)
        search.n_candidates_.append(len(alive))
        chosen = [dict(candidates[c]) for c in alive]
        if name == "n_samples":
            fraction = amount / _num_samples(evaluation.X)
            folds = evaluation.folds([_subsample(pair, fraction, search.random_state) for pair in evaluation.splits])
        else:
            for candidate in chosen:
                candidate[name] = amount
        scores, fits = evaluation.evaluate(
            chosen,
            folds,
            more={"iter": [number] * len(alive), "n_resources": [amount] * len(alive)},
            earlier={
                (i, f): earlier[c, f] for i, c in enumerate(alive.tolist()) for f in range(len(folds.splits)) if (c, f) in earlier
            },
            resumable=by_epochs and not is_last,
        )
        if by_epochs:
            earlier = {(int(alive[fit.candidate]), fit.fold): fit for fit in fits if fit.error is None}
        yield Round(alive.tolist(), scores, amount, is_last)
        order = np.roll(np.argsort(scores), np.count_nonzero(np.isnan(scores)))
        alive = alive[order[-math.ceil(len(alive) / search.factor) :]]
    search.n_remaining_candidates_ = len(alive)


def _amounts(evaluation: Evaluation, name: str, candidates: int) -> list[int]:
    """Return the resource of each round; set the attributes of the search that say so."""
    search = evaluation.search
    most = search.max_resources
    if most == "auto":
        most = _num_samples(evaluation.X) if name == "n_samples" else search.estimator.get_params().get(name)
        if isinstance(most, bool) or not isinstance(most, int | np.integer):
            raise OptionError(f"max_resources='auto' needs a whole number, but the estimator has {name}={most!r}; give it")
    least = search.min_resources
    if least in ("smallest", "exhaust"):
        least = 1
        if name == "n_samples":
            classes = 1
            if is_classifier(search.estimator) and type_of_target(evaluation.y) in ("binary", "multiclass"):
                classes = len(np.unique(evaluation.y))
            least = min(2 * len(evaluation.splits) * classes, most)
    required = 1 + math.floor(math.log(candidates, search.factor))
    if search.min_resources == "exhaust":
        least = max(least, int(most // search.factor ** (required - 1)))
    if least > most:
        raise OptionError(f"min_resources is {least}, more than max_resources={most}")
    possible = 1 + math.floor(math.log(most // least, search.factor))
    rounds = required if search.aggressive_elimination else min(possible, required)
    search.min_resources_, search.max_resources_ = least, most
    search.n_required_iterations_, search.n_possible_iterations_, search.n_iterations_ = required, possible, rounds
    powers = [max(0, k - required + possible) if search.aggressive_elimination else k for k in range(rounds)]
    return [min(int(search.factor**power * least), most) for power in powers]


def _subsample(pair: tuple[Any, Any], fraction: float, random_state: Any) -> tuple[Any, Any]:
    """Return this fraction of a fold's training and test rows, as HalvingGridSearchCV takes it."""
    train, test = pair
    first, second = (
        resample(rows, replace=False, random_state=random_state, n_samples=int(fraction * len(rows))) for rows in (train, test)
    )
    return first, second
