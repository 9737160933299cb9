"""What a trained network needs to predict, whoever computes its scores: `Model` with torch, `SavedModel` with NumPy."""

from __future__ import annotations

import abc
import math
import os
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets.data.check import as_matrix, as_numpy, in_order, is_frame, target_names
from manynets.display import listed
from manynets.errors import DataError, OptionError, warn_user
from manynets.intervals import Residuals, check_coverage, interval_of
from manynets.spec import MLP, Recipe
from manynets.tables.columns import CategoricalColumn
from manynets.tables.labels import shown_unseen
from manynets.tasks import Regression, Task

if TYPE_CHECKING:
    from torch import Tensor

    from manynets.tables import TableEncoder

Array: TypeAlias = NDArray[Any]
LISTED = 8  # columns that a message names
FEW_NUMBERS = 16
"""Up to so many numbers are checked faster as a list than as an array."""


def _all_finite(numbers: Array) -> bool:
    if numbers.size > FEW_NUMBERS:
        return bool(np.isfinite(numbers).all())
    return all(map(math.isfinite, numbers.ravel().tolist()))


def _refuse_empty(x: Any) -> None:
    if 0 in x.shape:
        raise DataError(f"X is empty: it has shape {tuple(x.shape)}")


class Predictor(abc.ABC):
    """From the scores of one network, or of several, to predictions."""

    spec: MLP | None
    task: Task
    recipe: Recipe
    in_features: int
    history: dict[str, list[float]]
    info: dict[str, Any]
    encoder: TableEncoder | None
    residuals: tuple[Residuals, ...] | None

    @property
    def target_names(self) -> tuple[str, ...]:
        """The names of the targets, of a model of several targets that had names in training; else ()."""
        names = self.info.get("targets") or ()
        return tuple(map(str, names)) if len(names) == self.task.targets > 1 else ()

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns that it reads, of a table that is encoded or of the frame that an estimator was fitted to; those of an array are x0, x1, ..."""
        if self.encoder is not None:
            return self.encoder.column_names
        return tuple(map(str, self.info.get("columns") or (f"x{j}" for j in range(self.in_features))))

    def columns_in_order(self, x: Any) -> Any:
        """Return X, the columns of a frame in the order of training where it has the names that an estimator was fitted to.

        DataError where the frame has some of these names, but not all. One with other names is taken as it is.
        """
        wanted, names = self.info.get("columns"), target_names(x) if is_frame(x) else None
        if wanted is None or names is None or names == wanted or not set(names) & set(wanted):
            return x
        if lacking := [name for name in wanted if name not in names]:
            raise DataError(
                f"X lacks {listed(map(repr, lacking), LISTED)}, but the model was trained on {listed(wanted, LISTED)}; give a frame with these columns"
            )
        return x[wanted] if hasattr(x, "loc") else x.select(wanted)

    def targets_in_order(self, y: Any) -> Any:
        """Return y, the columns of a frame in the order of training where the model has the names of its targets.

        DataError where the frame has some of these names, but not all. One with other names is taken as it is.
        """
        return in_order(y, self.target_names)

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """K, the number of networks."""

    @abc.abstractmethod
    def logits(self, x: Any) -> Array:
        """Return logits (raw scores) (K, N, O) of every network for X (N, D)."""

    def inputs_of(self, x: Any) -> Array | Tensor:
        """Return the inputs of the networks (N, in_features) for X (N, D): a frame, or an array that the model scales, is encoded; another array is checked."""
        encoder = self.encoder
        x, _, _ = self.read_given(x)
        if encoder is None:
            return as_matrix(self.columns_in_order(x), columns=self.in_features)
        if is_frame(x):
            _refuse_empty(x)
            x = encoder.transform(x)
        elif encoder.positional:
            return encoder.transform(as_numpy(x, columns=encoder.array_width))  # which checks the numbers
        elif isinstance(x, np.ndarray) and x.dtype.kind in "OUS":
            raise DataError(
                f"X is an array of text, but the model was trained on a table; give a frame with the columns {listed(encoder.column_names, LISTED)}"
                " (scikit-learn's tools turn all frames but those of pandas into arrays: give them one, or use manynets.explain)"
            )
        matrix = as_matrix(x)
        if matrix.shape[1] != self.in_features:
            raise DataError(
                f"X is an array with {matrix.shape[1]} columns, but the model was trained on a table, encoded as {self.in_features} numbers;"
                f" give a frame with the columns {listed(encoder.column_names, LISTED)}"
            )
        return matrix

    def encoded(self, x: Any) -> Any:
        """Return the inputs of a frame or file, and warn of categories not seen in training, once for each column; return an array as it is."""
        x, _, _ = self.read_given(x)
        if self.encoder is None or self.encoder.positional:
            return x
        if not is_frame(x):
            self.warn_of_array(x)
            return x
        _refuse_empty(x)
        unseen: dict[str, Counter[str]] = {}
        matrix = self.encoder.transform(x, unseen=unseen)
        warned, mark = self.__dict__.setdefault("_warned", {}), object()
        new = [
            f"column {column.name!r} holds categories not seen in training: {shown_unseen(found, column.known)}"
            for column in self.encoder.columns
            if isinstance(column, CategoricalColumn)
            and (found := unseen.get(column.name))
            and warned.setdefault(column.name, mark) is mark  # in one step, so that of several threads one warns
        ]
        if new:
            warn_user(
                f"{listed(new, LISTED, between='; ')}; they are predicted as unknown ones (model.encoder.check(X) counts the rows)"
            )
        return matrix

    def read_given(self, x: Any, y: Any = None, sample_weight: Any = None) -> tuple[Any, Any, Any]:
        """Return X, y and sample_weight: read from a file where X is the path of a table, of which y and sample_weight then name columns.

        The columns of X are read as in training, which `read_table` alone cannot know. y may be a list of the names of several targets.
        Labels are spelled as in training, with a warning of what was changed (`manynets.tables.match_labels`).
        """
        if not isinstance(x, str | os.PathLike):
            return x, y, sample_weight
        from manynets.tables.files import open_file
        from manynets.tables.target import row_weights, split_target

        path = os.fspath(x)
        if self.encoder is None or self.encoder.positional:
            raise DataError(f"X is the file {path!r}, but the model was trained on an array; give an array")
        names = y if isinstance(y, list | tuple) else [y]
        if not all(isinstance(name, str | None) for name in (*names, sample_weight)):
            raise OptionError(f"X is the file {path!r}, so y and sample_weight must be names of its columns, such as y='price'")
        table = open_file(path, text=self.encoder.forms)
        weight = None if sample_weight is None else row_weights(table, sample_weight)
        if y is not None:
            y = self.labels_as_trained(in_order(split_target(table, y)[1], self.target_names, names=list(names)))
        return table.as_frame().to_native(), y, weight

    def with_names(self, metrics: dict[str, Any]) -> dict[str, Any]:
        """Return metrics whose entries of each target or label have its name beside its number, where the model has names."""
        for group, number in (("per_target", "target"), ("label_metrics", "label")):
            if group in metrics and self.target_names:
                entries = metrics[group]
                metrics[group] = [{number: one[number], "name": self.target_names[one[number]], **one} for one in entries]
        return metrics

    def labels_as_trained(self, y: Array) -> Array:
        """Return the target (N,) of a file with its labels, if it has such, as training had them; warn of what was changed."""
        if not hasattr(self.task, "classes") or y.ndim > 1:
            return y
        from manynets.tables.target import match_labels

        y, note = match_labels(y, self.task.classes)
        if note:
            warn_user(note)
        return y

    def warn_of_array(self, x: Any) -> None:
        """Warn of an array that may be a table of numbers without the names of its columns, which are not encoded then."""
        encoder = self.encoder
        if encoder is None or encoder.positional or is_frame(x):
            return
        shape = x.shape if hasattr(x, "shape") else as_matrix(x).shape
        if len(shape) == 2 and shape[1] == len(encoder.columns) == self.in_features:
            warn_user(
                f"X is an array, which a model that was trained on a table takes as encoded and scaled already; if it is not, give a frame"
                f" with the columns {listed(encoder.column_names, LISTED)}"
            )

    def predict(self, x: Any) -> Array:
        """Return predictions for X (N, D): labels, or numbers in the target's own unit, (N,) or (N, O).

        Of a frame that holds categories not seen in training, a UserWarning names them, once for each column. Errors: DataError for rows of
        which no class can be told, as their numbers are too large for the networks.
        """
        return self.predicted(self.logits(self.encoded(x)))

    def predicted(self, logits: Array) -> Array:
        """Return the predictions of logits (K, N, O) that are there already; see `predict`."""
        self.refuse_lost(logits)
        if self.size == 1:
            return self.task.predict(logits[0], loss=self.recipe.loss)
        if isinstance(self.task, Regression):
            return self.task.predict_mean(logits, loss=self.recipe.loss)
        return self.task.predict(self.mean_logits(logits))

    def predict_each(self, x: Any) -> Array:
        """Return the predictions of each network (K, N), of several targets (K, N, O); `predict` has those of their mean.

        >>> import manynets as mn
        >>> model = mn.train([[0.0], [1.0]] * 8, [0, 1] * 8, mn.MLP(hidden=(4,)), n_networks=3, progress=False)
        >>> model.predict_each([[0.0], [1.0]]).shape, model.predict_proba_each([[0.0], [1.0]]).shape
        ((3, 2), (3, 2, 2))
        """
        logits = self.logits(self.encoded(x))
        self.refuse_lost(logits)
        return np.stack([self.task.predict(one, loss=self.recipe.loss) for one in logits])

    def predict_proba_each(self, x: Any) -> Array:
        """Return the probabilities by each network (K, N, C), for labels (K, N, O). Regression: DataError."""
        logits = self.logits(self.encoded(x))
        self.refuse_lost(logits)
        return self.task.proba(logits)

    def predict_quantiles(self, x: Any) -> Array:
        """Return the quantiles (N, J) for X (N, D) that a model trained with loss="quantile" predicts, in increasing order and in the target's own
        unit; of several targets (N, T, J). J is the number of levels in `Recipe.quantile`; of several networks it is the mean of each quantile.

        `predict` returns the median: where 0.5 is none of the levels, a point between the two quantiles around it, in proportion to the levels (of
        their logarithms, with target_transform="log"), or the quantile that is nearest to it.

        Errors: DataError for a model that was trained with another loss.

        >>> import numpy as np
        >>> import manynets as mn
        >>> X = np.random.default_rng(0).normal(size=(400, 1)).astype(np.float32)
        >>> y = X[:, 0] + np.random.default_rng(1).normal(size=400)
        >>> recipe = mn.Recipe(loss="quantile", quantile=(0.05, 0.5, 0.95), epochs=20)
        >>> model = mn.train(X, y, mn.MLP(hidden=(8,)), recipe, progress=False)
        >>> found = model.predict_quantiles(X)
        >>> found.shape, bool((np.diff(found) >= 0).all()), bool((model.predict(X) == found[:, 1]).all())
        ((400, 3), True, True)
        """
        return self.quantiles(self.logits(self.encoded(x)))

    def quantiles(self, logits: Array) -> Array:
        """Return the quantiles of logits (K, N, O) that are there already; see `predict_quantiles`."""
        if not isinstance(self.task, Regression) or self.recipe.loss != "quantile":
            raise DataError(
                "this model predicts no quantiles; train with mn.Recipe(loss='quantile', quantile=(0.05, 0.5, 0.95)), or, for limits, use"
                " predict_interval"
            )
        if not self.task.quantiles:
            return self.predicted(logits)[..., None]
        return np.mean([self.task.predict_quantiles(one) for one in logits], axis=0)

    def predict_interval(self, x: Any, coverage: float = 0.9) -> Array:
        """Return lower and upper limits (N, 2) for X (N, D), of several targets (N, O, 2), in the target's own unit.

        Of new rows like those that the model was validated on, a share of about `coverage` has its target within the limits, whatever the
        distribution of the errors: they are quantiles of the errors on rows that were held out in training, wider where the networks disagree
        (`manynets.intervals`). For a model of several quantiles (`Recipe.quantile`) the limits start from the quantiles nearest to them, and so
        follow the spread of the target (conformalized quantile regression). An ensemble whose networks validate on folds has an error for
        every row (cross-conformal prediction).

        No limit is below 0 where no training row had a target below 0, as with counts and prices, if the predictions stay within the range of
        the target in training, as those of the default for tables do.

        Errors: DataError for classes, and for a model that was trained without held-out rows; OptionError for a coverage that is not between 0 and
        1, or that so few held-out rows do not support.

        >>> import numpy as np
        >>> import manynets as mn
        >>> X = np.random.default_rng(0).normal(size=(400, 1)).astype(np.float32)
        >>> y = X[:, 0] + np.random.default_rng(1).normal(size=400)
        >>> model = mn.train(X, y, mn.MLP(hidden=()), mn.Recipe(epochs=20), validation=0.5, progress=False)
        >>> model.predict_interval(X[:1], 0.8).shape
        (1, 2)
        """
        return self.interval(self.logits(self.encoded(x)), coverage)

    def interval(self, logits: Array, coverage: float = 0.9) -> Array:
        """Return the limits of logits (K, N, O) that are there already; see `predict_interval`."""
        check_coverage(coverage)
        if not isinstance(self.task, Regression):
            raise DataError("intervals are for numbers, but this model predicts classes; use predict_proba")
        rows = self.info.get("held_out_rows")
        return interval_of(self.task, self.residuals, logits, coverage=coverage, loss=self.recipe.loss, held_out_rows=rows)

    def predict_proba(self, x: Any) -> Array:
        """Return probabilities (N, C) for classes, (N, O) for labels; the mean over networks. Regression: DataError."""
        return self.probabilities(self.logits(self.encoded(x)))

    def probabilities(self, logits: Array) -> Array:
        """Return the probabilities of logits (K, N, O) that are there already; see `predict_proba`."""
        self.refuse_lost(logits)
        return self.task.proba(logits).mean(axis=0)

    def refuse_lost(self, logits: Array, *, first: int = 0) -> None:
        """Raise DataError where scores (K, N, O) have overflowed, so that a class has no probability. Predicted numbers show it themselves.

        first: the number of the first row.
        """
        if isinstance(self.task, Regression) or _all_finite(logits):
            return
        with np.errstate(over="ignore", invalid="ignore"):
            lost = np.asarray(np.isnan(self.task.proba(logits)).any(axis=(0, 2)))
        if lost.any():
            raise DataError(
                f"row {first + lost.argmax()} of X (counted from 0) has no prediction, as its numbers are so large that scores are beyond"
                f" {logits.dtype}; correct it, or train on scaled columns, or with dtype='float64'"
            )

    def mean_logits(self, logits: Array) -> Array:
        """Return, of logits (K, N, O), those (N, O) that predict the mean of what the networks predict (probabilities, for classes)."""
        if len(logits) == 1:
            return np.asarray(logits[0])
        if isinstance(self.task, Regression):
            poisson = self.recipe.loss == "poisson"  # logits are log-rates
            return np.log(np.exp(logits).mean(axis=0)) if poisson else self.task.mean_logits(logits)
        mean = self.task.proba(logits).mean(axis=0)
        tiny = np.finfo(mean.dtype).tiny
        if self.task.name == "multiclass":
            return np.log(np.maximum(mean, tiny))
        positive = mean[:, 1:] if self.task.name == "binary" else mean
        return np.log(np.maximum(positive, tiny)) - np.log(np.maximum(1 - positive, tiny))
