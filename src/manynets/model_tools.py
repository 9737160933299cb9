"""What a Model has besides its predictions: texts and pictures of it, and what scikit-learn's tools ask of an estimator."""

from __future__ import annotations

import abc
import copy
import dataclasses
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from manynets.data.check import as_weights
from manynets.display import aligned, bytes_text, counted, epoch_text, html_table, layers_text, listed, networks_text
from manynets.errors import DataError, OptionError, check_rows
from manynets.hooks import hook
from manynets.intervals import residuals_of
from manynets.nn.shape import layer_rows
from manynets.predictor import Predictor
from manynets.spec.own import is_own
from manynets.tasks import Binary, Regression, Task
from manynets.tasks.temperature import best_temperature, cooled_parameters
from manynets.tasks.thresholds import with_threshold

if TYPE_CHECKING:
    from manynets.export import ExportCheck

Tools = TypeVar("Tools", bound="ModelTools")
LAYER_NAMES = ("layer", "inputs", "outputs", "parameters", "multiplications", "then")
PART_NAMES = ("layer", "parameters", "kind")  # of a user's module


class ModelTools(Predictor):
    """The base of `Model`: `summary` and `plot`, and the methods with which scikit-learn's tools take a model for an estimator."""

    module: Any

    @property
    @abc.abstractmethod
    def parameters(self) -> int:
        """Trainable parameters of one network."""

    @property
    @abc.abstractmethod
    def members(self) -> list[dict[str, NDArray[Any]]]:
        """Parameters (and running statistics) of each network, by name."""

    @abc.abstractmethod
    def evaluate(self, x: Any, y: Any, *, sample_weight: Any = None) -> dict[str, Any]:
        """Return loss and metrics on X and y."""

    # ---------------------------------------------------------------------------------------------------- texts, pictures

    def __repr__(self) -> str:
        return f"<Model: {task_text(self.task)}, {self._network_text()}, {counted(len(self.column_names), 'column')}>"

    def _network_text(self) -> str:
        if self.spec is None:
            own = type(self.module).__name__
            return f"{self.size} networks {own}" if self.size > 1 else own
        layers, linear = layers_text(self.spec.hidden, self.spec.activation), self.info.get("linear", 0)
        return networks_text(self.size, linear, layers=layers) if self.size > 1 or linear else layers

    def _repr_html_(self) -> str:
        return html_table(["", ""], self.summary_rows(), title=task_text(self.task))

    def summary(self) -> None:
        """Print what the model is, what it was trained on, how its training ended, what a prediction costs, and its layers.

        >>> import manynets as mn
        >>> model = mn.train([[0.0], [1.0]] * 8, [0, 1] * 8, mn.MLP(hidden=(4,)), mn.Recipe(epochs=1), progress=False)
        >>> model.summary()
        Binary classifier
          network          4 relu, 13 parameters
          columns          1, scaled
          optimizer        AdamW, lr 0.001
          trained          1 epoch in ... s on cpu
          best epoch       1
          multiplications  8 for each row
          memory           52 bytes of weights
          layer    inputs  outputs  parameters  multiplications  then
          hidden0       1        4           8                4  relu
          output        4        1           5                4
        """
        rows = self.summary_rows()
        width = max(len(name) for name, _ in rows)
        lines = [task_text(self.task), *(f"  {name:{width}}  {text}" for name, text in rows)]
        lines += [f"  {line}".rstrip() for line in aligned(self.layer_names, self.layer_rows())]
        sys.stdout.write("\n".join(lines) + "\n")

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The headings of `layer_rows`."""
        return PART_NAMES if self.spec is None else LAYER_NAMES

    def layer_rows(self) -> list[tuple[Any, ...]]:
        """Return the layers as `summary` prints them; for a module of your own, its parts that have parameters."""
        if self.spec is None:
            parts = self.module.named_children()
            return [(name, sum(p.numel() for p in part.parameters()), type(part).__name__) for name, part in parts]
        found = layer_rows(self.spec, self.in_features, self.task.outputs)
        return [(one.name, one.inputs, one.outputs, one.parameters, one.multiplications, one.then) for one in found]

    def summary_rows(self) -> list[tuple[str, str]]:
        """Return what `summary` prints, by name."""
        each = " each" if self.size > 1 else ""
        rows = [("network", f"{self._network_text()}, {self.parameters:,} parameters{each}{self._frozen_text()}")]
        if self.encoder is None:
            known = f" ({listed(self.column_names, 6)})" if "columns" in self.info else ""
            rows.append(("columns", f"{self.in_features:,}{known}"))
        elif self.encoder.positional and self.in_features == len(self.encoder.column_names):
            rows.append(("columns", f"{self.in_features:,}, scaled"))
        else:
            names = self.encoder.column_names
            rows.append(("columns", f"{len(names):,} ({listed(names, 6)}), encoded as {self.in_features:,} numbers"))
        rows.append(("optimizer", f"{type(self.recipe.optimizer).__name__.removeprefix('Sklearn')}, lr {self.recipe.lr:g}"))
        rows += [("loss", f"{self.recipe.loss}, a function of your own")] if is_own(self.recipe.loss) else []
        rows.append(("trained", training_text(self.history, self.info)))
        best = best_epoch_text(self.history, self.info)
        rows += [("best epoch", best)] if best else []
        if self.spec is not None:
            cost = sum(one.multiplications for one in layer_rows(self.spec, self.in_features, self.task.outputs))
            rows.append(("multiplications", f"{self.size * cost:,} for each row"))
        itemsize = 8 if self.recipe.dtype == "float64" else 4
        weights = self.size * self.parameters * itemsize
        if self.spec is None:  # with those that are not trained
            weights = sum(value.nbytes for value in self.members[0].values())
        rows.append(("memory", f"{bytes_text(weights)} of weights"))
        return rows

    def _frozen_text(self) -> str:
        """Return how many parameters of a user's module were not trained."""
        frozen = 0 if self.spec is not None else sum(p.numel() for p in self.module.parameters()) - self.parameters
        return f" and {frozen:,} that were not trained" if frozen else ""

    def plot(self, X: Any = None, y: Any = None) -> Any:
        """Return a figure of the training history or, with X and y, of how the model predicts these rows.

        The second is a confusion matrix for classes, and predicted against true values for numbers. A notebook shows the figure,
        `manynets.plots.save(figure, "model.png")` writes it.
        """
        if X is None and y is None:
            return hook("model_history")(self)
        if X is None or y is None:
            raise OptionError("only one of X and y was given; give both to see predictions, or none to see the training history")
        return hook("model_predictions")(self, *self.read_given(X, y)[:2])

    # ---------------------------------------------------------------------------------------------------------------- export

    def to_onnx(
        self, path: str | os.PathLike[str], *, X: Any = None, coverage: float | None = None, overwrite: bool = True
    ) -> ExportCheck:
        """Write the model as an ONNX graph that takes the columns of the table as they are; see `manynets.export.to_onnx`."""
        check: ExportCheck = hook("to_onnx")(self, path, X=X, coverage=coverage, overwrite=overwrite)
        return check

    def to_python(self, path: str | os.PathLike[str], *, X: Any = None, overwrite: bool = True) -> ExportCheck:
        """Write the model as a Python module that needs NumPy only; see `manynets.export.to_python`."""
        check: ExportCheck = hook("to_python")(self, path, X=X, overwrite=overwrite)
        return check

    # ---------------------------------------------------------------------------------------------------------- calibration

    @abc.abstractmethod
    def logits(self, x: Any) -> NDArray[Any]:
        """Return the raw scores (K, N, O) of every network."""

    def calibrated(self, X: Any, y: Any, *, sample_weight: Any = None) -> Self:
        """Return a model like this one whose probabilities, or for numbers whose intervals, are right for rows X (N, D) and y.

        The model must not have been trained on these rows, such as its validation set. Of a classifier the probabilities become p(s / T) in place of
        p(s). For numbers, predict_interval goes by the errors on these rows; predictions stay the same.

        The temperature T minimises the log loss on X and y. The
        output layers are divided by it, and `info["calibration"]` has it; the predicted classes of a single network stay the same.
        Source: Guo et al. 2017.

        >>> import manynets as mn
        >>> model = mn.train([[0.0], [1.0]] * 8, [0, 1] * 8, mn.MLP(hidden=()), mn.Recipe(epochs=50, optimizer=mn.SGD(lr=9.0)), progress=False)
        >>> calm = model.calibrated([[0.0], [1.0]] * 8, [0, 1, 1, 0] + [0, 1] * 6)
        >>> calm.info["calibration"] > 1, calm.predict([[1.0]]).tolist()
        (True, [1])
        """
        if self.spec is None and not isinstance(self.task, Regression):
            raise OptionError("the model is a module of your own, whose last layer is not known; divide its scores yourself")
        X, y, sample_weight = self.read_given(X, y, sample_weight)
        logits, target = self.logits(X), self.task.encode(self.targets_in_order(y))
        check_rows(logits.shape[1], len(target))
        weight = as_weights(sample_weight, len(target))
        if isinstance(self.task, Regression):
            residuals = residuals_of(self.task, logits, target, loss=self.recipe.loss, weight=weight)
            if residuals is None:
                raise DataError(f"X has {len(target)} rows; intervals need at least 10 that count, and at most 64 targets")
            return with_fields(self, residuals=residuals)
        temperature = best_temperature(self.task, logits, target, weight)
        members = [cooled_parameters(one, temperature) for one in self.members]
        return with_fields(
            self, members=members, info={**self.info, "calibration": temperature * self.info.get("calibration", 1.0)}
        )

    def with_threshold(self, threshold: Any, X: Any = None, *, y: Any = None, sample_weight: Any = None) -> Self:
        """Return a classifier like this one, which predicts the second of two classes above another probability, or the class that costs least.

        threshold: the probability; or "f1" or "accuracy", for what is best on rows X (N, D) and y that the model was not trained on; or what
        predictions cost, [true class][predicted class], such as [[0, 1], [5, 0]] where a missed row of the second class costs five times as much as
        a false alarm (`manynets.tasks.thresholds.cost_threshold`). Of more than two classes it is costs (C, C), and the class with the least
        expected cost is predicted. With costs `evaluate` has the mean `cost` of a row. The rows and columns of a pandas frame are named by the classes, in
        any order. Costs presume that probabilities mean what they say (`calibrated`).

        Errors: OptionError if the model cannot have this threshold.

        >>> import manynets as mn
        >>> model = mn.train([[0.0], [1.0]] * 8, [0, 1] * 8, recipe=mn.Recipe(epochs=1), progress=False)
        >>> model.with_threshold([[0, 1], [4, 0]]).task.threshold
        0.2
        >>> kinds = mn.train([[0.0], [1.0], [2.0]] * 8, ["a", "b", "c"] * 8, recipe=mn.Recipe(epochs=1), progress=False)
        >>> kinds.with_threshold([[0, 1, 1], [1, 0, 1], [99, 99, 0]]).predict([[0.0], [2.0]]).tolist()
        ['c', 'c']
        """
        probability, positive = None, None
        if X is not None and isinstance(self.task, Binary):
            X, y, sample_weight = self.read_given(X, y, sample_weight)
            probability, positive = self.probabilities(self.logits(X))[:, 1], self.task.encode(y)[:, 0] > 0.5
            check_rows(len(probability), len(positive))
        weight = None if positive is None else as_weights(sample_weight, len(positive))
        return with_fields(self, task=with_threshold(self.task, threshold, probability, positive, weight))

    # ---------------------------------------------------------------------------------------------------------- scikit-learn

    @property
    def classes_(self) -> NDArray[Any]:
        """The classes (C,), in the order of the columns of `predict_proba`; a regression has none."""
        if not hasattr(self.task, "classes"):
            raise AttributeError(f"a model for {self.task.name} has no classes_")
        return np.array(self.task.classes)

    @property
    def n_features_in_(self) -> int:
        """The columns of X."""
        if self.encoder is None:
            return self.in_features
        return self.encoder.array_width if self.encoder.positional else len(self.encoder.columns)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return accuracy, or R2 for numbers."""
        return float(self.evaluate(X, y, sample_weight=sample_weight)[self.task.metric])

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train anew from the start, with the same network and recipe, on other rows; this model becomes the result.

        Threshold and costs stay as they are where the classes are the same. It is for tools such as scikit-learn's `cross_val_predict`, which
        fit a copy for each fold. `manynets.train(X, y, model)` trains a model further and returns another one.
        """
        made = hook("refit")(self, X, y, sample_weight=sample_weight)
        if getattr(made.task, "classes", None) == getattr(self.task, "classes", None):
            rule = {name: getattr(self.task, name) for name in ("threshold", "costs") if hasattr(self.task, name)}
            made.task = dataclasses.replace(made.task, **rule)
        vars(self).clear()
        vars(self).update(vars(made))
        return self

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return no parameters: what a model is made of is fixed."""
        return {}

    def set_params(self, **parameters: Any) -> Self:
        """Refuse parameters; see `get_params`."""
        if parameters:
            raise OptionError(
                f"a Model has no parameter {next(iter(parameters))!r}; tune an estimator, such as TabularClassifier()"
            )
        return self

    def __sklearn_clone__(self) -> Self:
        return copy.deepcopy(self)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags

        if list(getattr(self.task, "classes", ())) != sorted(getattr(self.task, "classes", ())):
            raise OptionError(
                f"the classes of this model are in the order {', '.join(map(repr, self.task.classes))}, but scikit-learn's tools"  # type: ignore[attr-defined]
                " read probabilities in sorted order; give them mn.estimator(model)"
            )
        numbers = isinstance(self.task, Regression)
        frames = self.encoder is not None and not self.encoder.positional
        return Tags(
            estimator_type="regressor" if numbers else "classifier",
            target_tags=TargetTags(required=True, multi_output=numbers or self.task.name == "multilabel"),
            classifier_tags=None if numbers else ClassifierTags(multi_label=self.task.name == "multilabel"),
            regressor_tags=RegressorTags() if numbers else None,
            input_tags=InputTags(allow_nan=self.encoder is not None, string=frames, categorical=frames),
        )


def with_fields(model: Tools, **changed: Any) -> Tools:
    """Return a model like this one with other fields."""
    fields: Any = model.__getstate__()
    return type(model)(**fields | changed)


def task_text(task: Task) -> str:
    """Return the name for a model of this task.

    >>> from manynets.tasks import Multiclass
    >>> task_text(Multiclass(("a", "b", "c")))
    'Multiclass classifier, 3 classes'
    >>> task_text(Regression((0.0,), (1.0,), quantiles=(0.1, 0.5, 0.9)))
    'Regression model, 3 quantiles'
    """
    words = {"regression": "Regression model", "binary": "Binary classifier", "multiclass": "Multiclass classifier"}
    text = words.get(task.name, f"{task.name.capitalize()} classifier")
    if isinstance(task, Regression) and task.quantiles:
        return f"{text}, {len(task.quantiles)} quantiles"
    return f"{text}, {counted(task.outputs, 'class')}" if task.name == "multiclass" else text


def training_text(history: Mapping[str, list[float]], info: Mapping[str, Any]) -> str:
    """Return the epochs, seconds and device of a training, and why it ended."""
    epochs, stopped = history.get("epoch") or [0], info.get("stopped", ["done"])
    text = f"{epoch_text(epochs[-1])} epoch{'' if epochs[-1] == 1 else 's'} in {info.get('seconds', 0):.1f} s on {info.get('device', 'cpu')}"
    words = {
        "early": "stopped early",
        "diverged": "diverged",
        "interrupted": "interrupted",
        "callback": "stopped by a callback",
        "done": "finished",
    }
    if set(stopped) == {"done"}:
        return text if epochs[-1] == 1 else f"all {text}"
    if len(set(stopped)) == 1:
        return f"{text}; {words[stopped[0]]}"
    ends = [f"{stopped.count(word)} {end}" for word, end in words.items() if word in stopped]
    return f"{text}; of {len(stopped)} networks {', '.join(ends)}"


def best_epochs(history: Mapping[str, list[float]], info: Mapping[str, Any]) -> list[float]:
    """Return the epochs with the best weights, one for each network that has been trained for a step."""
    epochs, best = history.get("epoch", []), info.get("best", -1)
    return [epochs[entry] for entry in (best if isinstance(best, list) else [best]) if 0 <= entry < len(epochs)]


def best_epoch_text(history: Mapping[str, list[float]], info: Mapping[str, Any]) -> str | None:
    """Return the epoch with the best weights; for several networks the range of these epochs."""
    found = best_epochs(history, info)
    return " to ".join(epoch_text(epoch) for epoch in dict.fromkeys((min(found), max(found)))) if found else None
