"""Metrics of the user's own, which decide when a training stops and which weights are best."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np

from manynets.display import short
from manynets.errors import OptionError, one_of
from manynets.spec import LOWER_IS_BETTER, METRICS
from manynets.spec.own import own_name
from manynets.tasks.base import Task, Values
from manynets.tasks.classification import Multilabel
from manynets.tasks.regression import Regression

_HIGHER, _LOWER = ("_score",), ("_error", "_loss", "_deviance")
"""How scikit-learn's functions end that are to be large, and to be small."""
_OF_PROBABILITIES = ("y_score", "y_prob", "y_proba")
"""What it calls the second parameter of those that take probabilities."""


@final
@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric of your own, for `metric` of `manynets.train`: it decides which weights are best, and when to stop.

    function: of y_true and y_pred, labels or numbers as in y, (N,) or (N, O), such as those of sklearn.metrics. It returns a number, NaN where it
        is not defined. If it has a parameter sample_weight, it gets the weights of the rows, where these have any.
    higher_is_better: whether a large value is a good one.
    proba: whether y_pred is probabilities: of the second of two classes (N,), of several classes or of labels (N, C).

    >>> import manynets as mn
    >>> def worst(y_true, y_pred):
    ...     return np.abs(y_true - y_pred).max()
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> metric = mn.Metric(worst, higher_is_better=False)
    >>> recipe = mn.Recipe(epochs=3)
    >>> model = mn.train(X, X[:, 0] ** 2, mn.MLP(hidden=(8,)), recipe, validation=0.2, metric=metric, progress=False)
    >>> model.recipe.watch, len(model.history["val_worst"])
    ('worst()', 3)
    """

    function: Callable[..., Any]
    _: dataclasses.KW_ONLY
    higher_is_better: bool
    proba: bool = False

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise OptionError(f"Metric.function is {short(self.function)}, but must be a function of y_true and y_pred")
        for name in ("higher_is_better", "proba"):
            if not isinstance(getattr(self, name), bool):
                raise OptionError(f"Metric.{name} is {getattr(self, name)!r}, but must be True or False")
        if self.name in ("loss", "metric", "objective", *METRICS):
            raise OptionError(
                f"Metric.function is called {self.name!r}, as a metric of manynets is; give it another name, or write metric={self.name!r}"
            )

    @property
    def name(self) -> str:
        """The name of the function, as the history has it."""
        return own_name(self.function).removesuffix("()")

    def measure(
        self, task: Task, logits: Values, target: Values, *, loss: str | None = None, weight: Values | None = None
    ) -> float:
        """Return the metric of logits (raw scores) (N, O) against an encoded target."""
        if isinstance(task, Regression):
            truth = task.own_unit(target)
        else:
            truth = target.astype(np.int64)
            truth = truth if isinstance(task, Multilabel) else np.array(task.classes)[truth.reshape(-1)]  # type: ignore[attr-defined]
        predicted = task.proba(logits) if self.proba else task.predict(logits, loss=loss)
        if self.proba and task.name == "binary":
            predicted = predicted[:, 1]
        given = {} if weight is None or "sample_weight" not in _parameters(self.function) else {"sample_weight": weight}
        value = self.function(truth, predicted, **given)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise OptionError(f"the metric {self.name} returned {short(value)}, but must return a number") from None


def own_metric(metric: Any) -> Metric | None:
    """Return a metric of the user's own; None for None and for a name.

    Which way a function is better is told by its name, as in scikit-learn: those that end in _score are to be large; _error, _loss and
    _deviance are to be small. One whose second parameter is y_score or y_proba gets probabilities. Errors: OptionError for any other, for a
    class, and for what is neither a function nor a name.
    """
    if metric is None or isinstance(metric, str | Metric):
        return metric if isinstance(metric, Metric) else None
    if metric is Metric:
        raise OptionError(
            "metric is the class mn.Metric itself; give it a function: metric=mn.Metric(function, higher_is_better=True)"
        )
    if isinstance(metric, type) or not callable(metric):
        raise OptionError(
            f"metric is {short(metric)}, but must be one of {', '.join(METRICS)}, a function of y_true and y_pred, or an mn.Metric of one"
        )
    name = own_name(metric).removesuffix("()")
    if not name.endswith((*_HIGHER, *_LOWER)):
        raise OptionError(
            f"metric is {name}, a function of which it is not known whether higher is better; write metric=mn.Metric({name}, higher_is_better=...)"
        )
    proba = _parameters(metric)[1:2]
    return Metric(metric, higher_is_better=name.endswith(_HIGHER), proba=bool(proba) and proba[0] in _OF_PROBABILITIES)


def _parameters(function: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # of some functions that are built in
        return []


def named_metric(metric: Any, names: Sequence[str]) -> str:
    """Return a metric that is one of these names; OptionError for any other, and for one of the user's own, which only trainings take."""
    if not isinstance(metric, str) and (callable(metric) or isinstance(metric, Metric)):
        given = metric.name if isinstance(metric, Metric) else getattr(metric, "__name__", short(metric))
        raise OptionError(
            f"metric is {given}, but must be one of the names {', '.join(names)}; a metric of your own is for trainings, such as mn.train"
        )
    return one_of(metric, names, what="metric")


def measured(
    metric: str | Metric, task: Task, logits: Values, target: Values, *, loss: str | None = None, weight: Values | None = None
) -> float:
    """Return a metric, by its name or of the user's own, of logits (N, O) against an encoded target; NaN where it is not defined."""
    if isinstance(metric, Metric):
        return metric.measure(task, logits, target, loss=loss, weight=weight)
    return float(task.measure(metric, logits, target, loss=loss, weight=weight))


def lower_is_better(metric: str | Metric) -> bool:
    """Return whether a small value of a metric is a good one."""
    return not metric.higher_is_better if isinstance(metric, Metric) else metric in LOWER_IS_BETTER
