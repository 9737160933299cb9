"""`TabularClassifier` and `TabularRegressor`: the default for tables (`manynets.tabular`) as scikit-learn estimators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from manynets.data.check import check_container, is_frame
from manynets.errors import DataError, OptionError
from manynets.estimators import inputs
from manynets.estimators.callbacks import KeepsCallbacks
from manynets.estimators.lessons import OF_FIT, OF_TABULAR, Lessons, with_lessons
from manynets.estimators.settings import take_parameters
from manynets.given import named_splits
from manynets.model import Model
from manynets.prepare import SplitBy
from manynets.results import with_target_names
from manynets.tables import TableEncoder
from manynets.tables.frames import open_table
from manynets.tabular import PresetName, TabularFit, train_tabular
from manynets.tasks import Binary, Multiclass, Multilabel, Regression, Task
from manynets.tasks.base import plain
from manynets.tasks.own_metric import Metric
from manynets.train_arguments import check_callbacks
from manynets.training.events import Callback


class _Tabular(Lessons, KeepsCallbacks):
    """What both estimators share."""

    model_: Model
    encoder_: TableEncoder
    oof_prediction_: NDArray[Any] | None

    def _fit(
        self,
        X: Any,
        y: Any,
        task: str | Task,
        sample_weight: Any,
        groups: Any,
        X_val: Any,
        y_val: Any,
        *,
        names: Sequence[str],
        **options: Any,
    ) -> TabularFit:
        """Train on what was read, and set the fitted attributes. names: of several targets."""
        check_callbacks(self.callbacks or ())
        columns, left_out = named_splits(X, {"groups": groups})
        validation = None
        if X_val is not None:
            validation = inputs.validation_rows(lambda rows: self._read(rows, reset=False, fitted=False), X_val), y_val
        fit = train_tabular(
            X,
            y,
            task=task,
            declared={"target_names": names, "drop": left_out},
            n_networks=self.n_networks,
            preset=self.preset,
            metric=self.metric,
            time_limit=self.time_limit,
            validation=validation,
            sample_weight=inputs.weights(sample_weight, len(y)),
            by=None if groups is None else SplitBy.of(len(y), **columns),
            seed=self._seed(),
            device=self.device,
            progress="auto" if self.verbose else False,
            callbacks=self.callbacks or (),
            warn_of_copies=False,
            **options,
        )
        assert fit.model.encoder is not None
        self.model_, self.encoder_ = with_target_names(fit.model, names), fit.model.encoder
        return fit

    def _read(self, X: Any, *, reset: bool, fitted: bool = True) -> Any:
        """Return a frame as it is, anything else (sparse matrices, too) as an array (N, D) in which NaN is a gap; for an estimator that was
        fitted to a table, as a frame.
        """
        if is_frame(X):
            open_table(X)  # refuses names that occur twice
            return validate_data(self, X, reset=reset, skip_check_array=True)
        if X is not None:  # of which scikit-learn has its own error
            check_container(X)
        if fitted and not reset and inputs.by_name(self, X):
            return inputs.with_names(self, X)
        options = {"accept_sparse": inputs.SPARSE, "ensure_all_finite": "allow-nan", "ensure_min_samples": 2 if reset else 1}
        return inputs.dense(inputs.numeric_rows(self, X, reset=reset, **options))

    def _seed(self) -> int:
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _fitted(self) -> Model:
        check_is_fitted(self, "model_")
        return self.model_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.sparse = True
        tags.input_tags.string = tags.input_tags.categorical = True
        return tags


class TabularClassifier(inputs.ScoresLabels, _Tabular):
    """The best default for classes: an ensemble of small networks on any frame or array (N, D).

    Frames (pandas, polars, pyarrow) may hold text, categories, dates and gaps. Numbers need no scaling, and in arrays NaN is a gap. Sparse
    matrices are made dense.

    n_networks: members of the ensemble; each validates on another fold of the rows. Except with the preset "fast", as many again are trained without
        piecewise-linear columns (`manynets.tabular`), and kept where they are clearly better.
    preset: "default"; "fast", which takes a quarter of its steps; or "best", which trains this many networks in each of three settings and
        keeps the settings whose mean is best out of fold.
    metric: decides when training stops: "accuracy", "f1", "log_loss" or "roc_auc" (of numbers "r2", "rmse" or "mae"); with "f1", predict takes
        the threshold of two classes that is best out of fold. Or a `Metric` of your own, or a function, as for `manynets.train`. None: the loss.
    time_limit: seconds that a fit may take; fewer steps are made where the preset's would take longer. Where reading the table takes longer,
        a warning says so, and the fit ends with a short training.
    calibrate: "auto" divides the scores by one temperature, found on out-of-fold scores, so that probabilities mean what they say; where the
        columns say little, it also shrinks them towards the class frequencies. None: the probabilities of the networks as they are.
    class_weight: None, "balanced" or a dict from class to weight.
    random_state: of initial weights, folds, order and dropout: a whole number, a RandomState, or None for a new one each time.
    device: "auto" (CUDA if there is one), "cpu", "cuda" or "cuda:N". verbose: show progress.
    callbacks: functions that are called with each event of a training run (`mn.Event`). One that raises StopIteration ends the training.

    Fitted: classes_, model_ (a `manynets.Model`), encoder_, oof_prediction_ (the probabilities (N, C) of the training rows by the networks
    that did not train on them, NaN where there is none; None with a validation set), n_features_in_, feature_names_in_.

    >>> import manynets as mn
    >>> X, y = [[0.0, 1.0], [1.0, 0.0]] * 20, ["a", "b"] * 20
    >>> mn.TabularClassifier(preset="fast", random_state=0).fit(X, y).predict([[0.0, 1.0]]).tolist()
    ['a']
    """

    @with_lessons(OF_TABULAR)
    def __init__(
        self,
        *,
        n_networks: int = 8,
        preset: PresetName = "default",
        metric: str | Metric | Callable[..., Any] | None = None,
        time_limit: float | None = None,
        calibrate: str | None = "auto",
        class_weight: Any = None,
        random_state: Any = None,
        device: str = "auto",
        verbose: Any = 0,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        take_parameters(self, locals())

    @with_lessons(OF_FIT)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None, X_val: Any = None, y_val: Any = None) -> Self:
        """Fit to X (N, D) and y: labels (N,), or 0 and 1 (N, L) for several labels.

        sample_weight: (N,), how much each row counts. groups: (N,), the rows of a group are all in one fold; or the name of a column of a
        frame X, which is then no feature. X_val, y_val: a validation set of your own, in place of the folds.
        """
        if self.calibrate not in ("auto", None):
            raise OptionError(f"calibrate is {self.calibrate!r}, but must be 'auto' or None")
        y, names = inputs.targets_by_name(y, ())
        y_val = inputs.validation_target(names, X_val, y_val, groups)
        X = self._read(X, reset=True)
        labels = inputs.labels(self, y, X)
        classes = np.unique(labels) if labels.ndim == 1 else np.arange(labels.shape[1])
        task: Task
        if labels.ndim == 2:
            task = Multilabel(labels.shape[1])
        elif len(classes) < 2:
            raise DataError(f"y has one class only, {plain(classes[0])!r}; a classifier needs at least two")
        else:
            words = tuple(plain(label) for label in classes)
            task = Binary(words) if len(words) == 2 else Multiclass(words)
        weights = {"class_weight": self.class_weight, "calibrate": self.calibrate == "auto"}
        fit = self._fit(X, labels, task, sample_weight, groups, X_val, y_val, names=names, **weights)
        self.classes_ = classes
        self.oof_prediction_ = None if fit.out_of_fold is None else task.proba(fit.out_of_fold)
        return self

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return probabilities (N, C) in the order of classes_, or (N, L) of each label."""
        return self._fitted().predict_proba(self._read(X, reset=False))

    def decision_function(self, X: Any) -> NDArray[Any]:
        """Return the log-odds of the second class against its threshold (N,), or the log-probability (N, C) of each class, or where errors have
        costs minus what its prediction is expected to cost, or (N, L) the log-odds of each label.
        """
        model = self._fitted()
        scores, task = model.mean_logits(model.logits(model.encoded(self._read(X, reset=False)))), model.task
        if isinstance(task, Multiclass) and task.costs is not None:
            return -np.asarray(task.expected_costs(task.proba(scores)))
        return np.asarray(scores[:, 0] - task.cut) if isinstance(task, Binary) else scores

    def predict(self, X: Any) -> NDArray[Any]:
        """Return labels (N,), or 0 and 1 (N, L) for several labels."""
        scores = self.decision_function(X)
        if self.model_.task.name == "multilabel":
            return (scores > 0).astype(np.int64)
        return np.asarray(self.classes_[(scores > 0).astype(np.int64) if scores.ndim == 1 else scores.argmax(axis=1)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class TabularRegressor(inputs.ScoresNumbers, _Tabular):
    """The best default for numbers: an ensemble of small networks on any frame or array (N, D).

    It is `TabularClassifier` for one or several numbers a row: the same parameters but calibrate and class_weight, and the same
    fitted attributes but classes_; oof_prediction_ holds values (N,) or (N, O). Predictions stay within the range of y in training.

    >>> import manynets as mn
    >>> X = [[float(i)] for i in range(100)]
    >>> model = mn.TabularRegressor(preset="fast", random_state=0).fit(X, [2.0 * i for i in range(100)])
    >>> model.score(X, [2.0 * i for i in range(100)]) > 0.99
    True
    """

    @with_lessons(OF_TABULAR)
    def __init__(
        self,
        *,
        n_networks: int = 8,
        preset: PresetName = "default",
        metric: str | Metric | Callable[..., Any] | None = None,
        time_limit: float | None = None,
        random_state: Any = None,
        device: str = "auto",
        verbose: Any = 0,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        take_parameters(self, locals())

    @with_lessons(OF_FIT)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None, X_val: Any = None, y_val: Any = None) -> Self:
        """Fit to X (N, D) and y: numbers (N,) or (N, O).

        sample_weight: (N,), how much each row counts. groups: (N,), the rows of a group are all in one fold; or the name of a column of a
        frame X, which is then no feature. X_val, y_val: a validation set of your own, in place of the folds.
        """
        y, names = inputs.targets_by_name(y, ())
        y_val = inputs.validation_target(names, X_val, y_val, groups)
        X = self._read(X, reset=True)
        target = inputs.numbers(self, y, X)
        fit = self._fit(X, target, "regression", sample_weight, groups, X_val, y_val, names=names)
        task = fit.model.task
        self.oof_prediction_ = None if fit.out_of_fold is None else task.predict(fit.out_of_fold)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return numbers (N,) or (N, O) in the unit of y: (N,) in float32, as the networks compute, unless that would lose digits."""
        model = self._fitted()
        out = model.predict(self._read(X, reset=False))
        assert isinstance(model.task, Regression)
        return model.task.in_type_of(np.empty(0, dtype=np.float32), out) if model.task.flat else out

    def predict_interval(self, X: Any, coverage: float = 0.9) -> NDArray[Any]:
        """Return lower and upper limits (N, 2) for X (N, D), of several targets (N, O, 2); see `manynets.Model.predict_interval`."""
        return self._fitted().predict_interval(self._read(X, reset=False), coverage)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
