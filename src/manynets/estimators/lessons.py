"""Errors for estimator calls as other libraries have them, which say what to write here."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

from manynets.errors import nearest
from manynets.spec.lessons import ATTRIBUTES, no_attribute

T = TypeVar("T")
P = ParamSpec("P")

_STOPS = "training stops early by itself, and keeps the best weights"
_LENGTH = "how long it trains follows from the rows; see preset='fast' or 'best', and time_limit in seconds"
_KINDS = "columns of text, bool and category are categories; df['code'].astype('category') makes numbers one"
_NETWORK = (
    "the network is chosen for you; for one of your own use mn.{mlp}, or mn.train(X, y, mn.MLP(hidden=(64,)), mn.Recipe(...))"
)
_QUANTILES = "predict_interval(X, coverage=0.9) has limits; for quantiles write mn.MLPRegressor(loss='quantile', quantile={})"
_THREADS = "it has as many threads as torch; see torch.set_num_threads, or OMP_NUM_THREADS"
_LOSS = "the loss follows from y; for another one use mn.train(X, y, recipe=mn.Recipe(loss=...))"

OF_TABULAR = {
    **dict.fromkeys(("cat_features", "categorical_feature", "categorical_features", "enable_categorical"), _KINDS),
    **dict.fromkeys(("early_stopping", "early_stopping_rounds", "n_iter_no_change", "patience"), _STOPS),
    **dict.fromkeys(("epochs", "iterations", "max_iter", "n_epochs", "num_boost_round"), _LENGTH),
    **dict.fromkeys(("class_weights", "scale_pos_weight"), "write class_weight='balanced', or a dict from class to weight"),
    **dict.fromkeys(("eval_metric", "scoring"), "write metric='roc_auc', or the like"),
    **dict.fromkeys(("loss", "loss_function", "objective"), _LOSS),
    **dict.fromkeys(("n_estimators", "num_networks"), "write n_networks={}"),
    **dict.fromkeys(("quantile", "quantiles"), _QUANTILES),
    **dict.fromkeys(("random_seed", "seed"), "write random_state={}"),
    **dict.fromkeys(("n_jobs", "nthread", "num_threads", "thread_count"), _THREADS),
    **dict.fromkeys(
        ("batch_size", "dropout", "hidden", "hidden_layer_sizes", "layers", "learning_rate", "lr", "optimizer"), _NETWORK
    ),
    "task_type": "write device='cuda', or leave it out: a GPU is used if there is one",
    "validation_fraction": "the networks validate on folds; or give fit a validation set: fit(X, y, X_val=..., y_val=...)",
}
"""Arguments of CatBoost, LightGBM, XGBoost and scikit-learn, and what to write for `TabularClassifier` and `TabularRegressor`."""
OF_MLP = {
    **dict.fromkeys(("epochs", "iterations", "n_epochs"), "write max_iter={}"),
    **dict.fromkeys(("hidden", "layers", "units"), "write hidden_layer_sizes={}"),
    **dict.fromkeys(("lr", "step_size"), "write learning_rate_init={}"),
    **dict.fromkeys(("random_seed", "seed"), "write random_state={}"),
    **dict.fromkeys(("n_estimators", "num_networks"), "write n_networks={}"),
    "class_weights": "write class_weight={}",
    "optimizer": "write solver={}",
    "patience": "write early_stopping=True, n_iter_no_change={}",
    "quantiles": "write mn.MLPRegressor(loss='quantile', quantile={})",
}
"""Arguments of other libraries, and those of `MLPClassifier` and `MLPRegressor` in their stead."""
OF_FIT = {
    **dict.fromkeys(("eval_set", "valid_sets", "validation_data"), "write X_val=X_val, y_val=y_val"),
    **dict.fromkeys(("cat_features", "categorical_feature"), _KINDS),
    **dict.fromkeys(("batch_size", "epochs"), "it follows from the rows"),
    "early_stopping_rounds": _STOPS,
    "sample_weights": "write sample_weight={}",
}
"""Arguments of the `fit` of other libraries, and what to write for `TabularClassifier` and `TabularRegressor`."""
OF_MLP_FIT = {
    **OF_FIT,
    "early_stopping_rounds": "write it in the estimator, as early_stopping=True, n_iter_no_change={}",
    "epochs": "write it in the estimator, as max_iter={}",
}
"""The same for `MLPClassifier` and `MLPRegressor`, which do not stop early by themselves."""


class Lessons:
    """A base of the estimators: the AttributeError for what the estimators of other libraries have says what to use instead."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            if name in ATTRIBUTES["estimator"]:
                raise no_attribute("estimator", name, owner=f"{type(self).__name__!r} object")
            object.__getattribute__(self, name)  # raises once more, with the reason of scikit-learn's `available_if`


def with_lessons(lessons: Mapping[str, str]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a method of an estimator: a TypeError for an unknown argument says what to write.

    >>> import manynets as mn
    >>> mn.TabularClassifier(n_estimators=4)
    Traceback (most recent call last):
        ...
    TypeError: TabularClassifier() has no argument 'n_estimators'; write n_networks=4
    """

    def decorate(method: Callable[P, T]) -> Callable[P, T]:
        known = list(inspect.signature(method).parameters)[1:]

        @functools.wraps(method)
        def call(*args: P.args, **given: P.kwargs) -> T:
            for name, value in given.items():
                if name not in known:
                    raise TypeError(_lesson(lessons, known, name, value, type(args[0]), method.__name__))
            return method(*args, **given)

        return call

    return decorate


def _lesson(lessons: Mapping[str, str], known: list[str], name: str, value: Any, owner: type[Any], method: str) -> str:
    """Return the message for an argument that a method of an estimator does not have."""
    shown = repr(value) if len(repr(value)) < 40 and "<" not in repr(value) else "..."
    near = nearest(name, known)
    called = owner.__name__ if method == "__init__" else f"{owner.__name__}.{method}"
    if method != "__init__" and name in inspect.signature(owner).parameters:
        instead = f"write it in the estimator, as {owner.__name__}({name}={shown})"
    elif name in lessons:
        instead = lessons[name].format(shown, mlp=owner.__name__.replace("Tabular", "MLP"))
    else:
        instead = f"did you mean {near!r}?" if near else f"it has {', '.join(known)}"
    return f"{called}() has no argument {name!r}; {instead}"
