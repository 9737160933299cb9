"""The scores that predict the mean of a target: where the output biases start with `MLP.prior`."""

from __future__ import annotations

import numpy as np

from manynets.tasks.base import Task, Values
from manynets.tasks.classification import Multiclass
from manynets.tasks.regression import Regression


def prior_scores(task: Task, target: Values, weight: Values | None = None, *, loss: str | None = None) -> Values:
    """Return the scores (O,) that predict the (weighted) mean of an encoded target, or the shares of its classes.

    That is the mean of numbers, or its logarithm for loss="poisson", or the quantiles of the target where these are predicted; log p_c of
    several classes, and log(p / (1 - p)) of two or of a label. A share p is at least that of half a row.
    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", section 3.3.

    >>> from manynets.tasks import Multiclass
    >>> prior_scores(Multiclass(("a", "b", "c")), np.array([0, 0, 1, 2])).round(3).tolist()
    [-0.693, -1.386, -1.386]
    """
    rows = len(target)
    if isinstance(task, Regression) and task.quantiles:
        return np.quantile(target, task.quantiles, axis=0, weights=weight, method="inverted_cdf").T.ravel()
    if isinstance(task, Regression):
        mean = np.asarray(np.average(target, axis=0, weights=weight), dtype=np.float64)
        return np.log(np.maximum(mean, np.finfo(np.float32).tiny)) if loss == "poisson" else mean
    if isinstance(task, Multiclass):
        counts = np.bincount(target, weights=weight, minlength=task.outputs)
        return np.log(np.maximum(counts / counts.sum(), 0.5 / rows))
    share = np.clip(np.average(target, axis=0, weights=weight), 0.5 / rows, 1 - 0.5 / rows)
    return np.asarray(np.log(share / (1 - share)))
