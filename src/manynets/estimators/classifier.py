"""`MLPClassifier`: classes, two or more, or several labels a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import compute_sample_weight

from manynets.display import listed
from manynets.errors import DataError, warn_user
from manynets.estimators import inputs
from manynets.estimators.base import BaseMLP, where_partial_fit_is
from manynets.estimators.lessons import OF_MLP, OF_MLP_FIT, with_lessons
from manynets.estimators.settings import take_parameters
from manynets.targets import no_class_weight
from manynets.tasks import Binary, Multiclass, Multilabel, Task
from manynets.tasks.base import plain


class OneClassWarning(RuntimeWarning):
    """The target has one class only, so the prediction is constant."""


class MLPClassifier(inputs.ScoresLabels, BaseMLP):
    """A classifier with scikit-learn's parameters, methods and fitted attributes, and more: docs/sklearn.md.

    The loss is the log-loss: of a softmax over several classes, of a sigmoid for two, and summed over the sigmoids of several
    labels. With an array or a frame of clean numbers it is scikit-learn's MLPClassifier; a frame (pandas, polars, pyarrow) with
    text, categories, dates or gaps is encoded, and standardised, by the estimator itself.

    Parameters, those of scikit-learn:

    hidden_layer_sizes: units of each hidden layer, one number or several; () is a linear model.
    activation: of the hidden layers: "identity", "logistic", "tanh", "relu"; beyond scikit-learn "leaky_relu", "elu", "selu",
        "gelu", "silu", "mish", "softplus", "hard_swish" ("sigmoid" is "logistic" with the wider initial weights of the others).
    solver: "sgd", "adam", "lbfgs" (whole batch, SciPy's L-BFGS-B); beyond scikit-learn "adamw", "nadam", "rmsprop", "adagrad",
        "lion" (with a learning rate of a third to a tenth of adam's).
    alpha: strength of the penalty alpha / 2 * sum w^2 on the weight matrices, divided by the (weighted) rows of a batch.
    batch_size: rows of a step; "auto" is min(200, rows).
    learning_rate: "constant"; for solver="sgd" "invscaling" (learning_rate_init / (rows seen + 1)^power_t) and "adaptive"
        (divided by 5 where a fit would stop, down to 1e-6); beyond scikit-learn, for every solver but lbfgs, "cosine",
        "one_cycle", "warmup", "step", "exponential", "plateau", or a schedule such as mn.Cosine(warmup=0.1).
    learning_rate_init: the learning rate, before the schedule.
    power_t: the exponent of "invscaling".
    max_iter: maximum number of epochs; of iterations for lbfgs.
    shuffle: visit the rows in a new order each epoch.
    random_state: seeds initial weights, split, order and dropout: a whole number, a RandomState, or None for a new one each time.
    tol: an epoch improves if the loss falls (the validation score rises) by tol; for lbfgs, the largest gradient to stop at.
    verbose: print the loss of every epoch.
    warm_start: fit continues from the weights of the last fit.
    momentum, nesterovs_momentum: for solver="sgd"; momentum in [0, 1).
    early_stopping: hold out validation_fraction of the rows (or use X_val), stop when the score on them no longer rises, and
        return to the weights of the best epoch. lbfgs ignores it.
    validation_fraction: see early_stopping.
    beta_1, beta_2, epsilon: for adam, adamw and nadam; lion uses both betas, rmsprop beta_2 (as its smoothing constant) and epsilon,
        adagrad epsilon.
    n_iter_no_change: stop after more than this many epochs in a row without improvement; may be np.inf.
    max_fun: maximum number of evaluations of the loss, for lbfgs.

    Beyond scikit-learn:

    dropout: probability that a hidden unit is dropped in a step, one number or one for each hidden layer. input_dropout: the same
        for the columns of X.
    batch_norm: normalise each hidden unit over the batch, before the activation.
    l1: like alpha, for the penalty l1 * sum |w|.
    weight_decay: for solver="adamw" and "lion", decoupled from the loss.
    clip_norm: the largest Euclidean norm of the gradient, or None.
    init: initial weights: "sklearn" (exactly those that scikit-learn draws), or one of `manynets.spec.Init`, such as
        "kaiming_normal".
    n_networks: an ensemble of this many networks, which differ in their seeds and are trained at once; the first equals the one
        that n_networks=1 trains. Prediction is their mean; coefs_ and intercepts_ have a first axis for the networks, and the
        curves are means.
    bootstrap: each network trains on as many rows, drawn with replacement.
    device: "cpu", "cuda", "cuda:N", or "auto" (CUDA if available). Prediction is on the CPU.
    callbacks: functions that are called with each event of a training run (`mn.Event`); events are read-only. One that raises StopIteration
        ends the training.
    prior: start the output biases at the scores that predict the shares of the classes.
    embedding: of numeric columns, `mn.PiecewiseLinear()` or `mn.Periodic()`, or None.
    scaling: of numeric columns, "standard", "robust", "quantile", "smooth" or "none"; None: "standard" for a table that needs encoding,
        "none" for any other X.
    category_means: a categorical column with many levels also gets the mean of y over the rows of a level.
    checkpoint: a folder, or an `mn.Checkpoint`, for the state of training, by default written after every epoch. If it has one for
        the same data and parameters (with a number as random_state), fit continues from it, bit for bit; a state of other data or
        parameters is an OptionError. In a search only the final fit, of the best candidate, writes one.
    label_smoothing: the share of a label that is spread over all classes.
    class_weight: how much the rows of a class count: a dict from class to weight, or "balanced" to make all classes count the same.
        For several labels a row: "balanced", or a list of a dict for each label; the weights are multiplied. With class weights,
        early stopping watches the loss on the validation rows, because weighted accuracy soon stops rising.

    Fitted attributes:

    loss_, best_loss_, loss_curve_: the last, the lowest, and each epoch's training loss with its penalty; best_loss_ is None with
        early stopping.
    validation_scores_, best_validation_score_: accuracy on the validation rows after each epoch, and the best; None without.
    validation_loss_curve_: loss on the validation rows after each epoch, without the penalty; None without.
    coefs_, intercepts_: weights (d_in, d_out) and biases (d_out,) of each layer. n_layers_, n_outputs_, out_activation_.
    n_iter_: epochs of the last fit. t_: rows seen in training so far.
    n_features_in_, feature_names_in_: of X.
    encoder_: what turns a table into columns (`manynets.tables.TableEncoder`), or None. model_: the `manynets.Model`.
    classes_: the labels, sorted; for several labels a row their column numbers.

    >>> import manynets as mn
    >>> X, y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]] * 10, ["same", "other", "other", "same"] * 10
    >>> model = mn.MLPClassifier(hidden_layer_sizes=16, solver="lbfgs", random_state=0).fit(X, y)
    >>> model.predict([[0.0, 1.0], [1.0, 1.0]]).tolist(), model.score(X, y)
    (['other', 'same'], 1.0)
    """

    @with_lessons(OF_MLP)
    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: Any = 0.0,
        input_dropout: float = 0.0,
        batch_norm: bool = False,
        l1: float = 0.0,
        weight_decay: float = 0.01,
        clip_norm: float | None = None,
        init: str = "sklearn",
        label_smoothing: float = 0.0,
        class_weight: Any = None,
        n_networks: int = 1,
        bootstrap: bool = False,
        device: str = "cpu",
        callbacks: Any = None,
        checkpoint: Any = None,
        embedding: Any = None,
        scaling: Any = None,
        category_means: bool = False,
        prior: bool = False,
    ) -> None:
        take_parameters(self, locals())

    @with_lessons(OF_MLP_FIT)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None, X_val: Any = None, y_val: Any = None) -> Self:
        """Fit to X (N, D), an array, a sparse matrix or a frame, and y: labels (N,), or 0 and 1 (N, L) for several labels.

        sample_weight: (N,), how much each row counts. groups: (N,), with early_stopping: the rows of a group are all trained on or
        all validated on. X_val, y_val: a validation set of your own, for the validation curve and, with early_stopping, for
        stopping. Raises ValueError for invalid data or parameters, and leaves the estimator unchanged.
        """
        return self._fit(X, y, sample_weight, groups=groups, X_val=X_val, y_val=y_val)

    @where_partial_fit_is
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train for one epoch on these rows, continuing from the current weights and state of the optimizer.

        classes: all labels that will ever occur; needed at the first call.
        """
        known = getattr(self, "classes_", None)
        if known is None and classes is None:
            raise DataError("classes must be passed on the first call to partial_fit: all labels that will ever occur")
        if classes is not None:
            classes = np.unique(np.asarray(classes))
            if known is not None and not np.array_equal(known, classes):
                raise DataError(f"classes={classes!r} is not the same as on the last call to partial_fit, was: {known!r}")
        return self._fit(X, y, sample_weight, incremental=True, classes=classes)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return labels (N,), or 0 and 1 (N, L) for several labels, of X (N, D)."""
        proba, task = self.predict_proba(X), self.model_.task
        if not isinstance(task, Binary | Multiclass):
            return (proba > 0.5).astype(np.int64)
        return self.classes_[task.chosen(proba)]

    def predict_proba(self, X: Any, *, return_members: bool = False) -> NDArray[Any]:
        """Return probabilities (N, C) in the order of classes_, or (N, L) of each label, of X (N, D); the mean over networks.

        return_members: return those of each network, (K, N, C) or (K, N, L), instead.
        """
        if return_members:
            return self._predicted(X, lambda scores: self.model_.task.proba(scores), axis=1)
        return self._predicted(X, lambda scores: self.model_.task.proba(scores).mean(axis=0))

    # ------------------------------------------------------------------------------------------------- for BaseMLP

    def _read_target(self, y: Any, x: Any, *, first: bool, incremental: bool) -> NDArray[Any]:
        found = inputs.labels(self, y, x)
        if incremental or (not first and self.warm_start and hasattr(self, "classes_")):
            return self._known(found, incremental=incremental)
        self.classes_ = np.unique(found) if found.ndim == 1 else np.arange(found.shape[1])
        return found

    def _known(self, found: NDArray[Any], *, incremental: bool) -> NDArray[Any]:
        """Return labels that must be among classes_; with warm_start they must be all of them."""
        labels = np.unique(found) if found.ndim == 1 else np.arange(found.shape[1])
        if not incremental:
            if set(labels.tolist()) != set(self.classes_.tolist()):
                raise DataError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {self.classes_}, `y` has {labels}"
                )
            return found
        new = sorted(set(labels.tolist()) - set(self.classes_.tolist()), key=repr)
        if new:
            shown = listed(map(repr, new), 10)
            raise DataError(f"`y` has classes not in `self.classes_`: {shown}; the known ones are {self.classes_.tolist()}")
        return found

    def _task(self, y: NDArray[Any]) -> Task:
        if y.ndim == 2:
            return Multilabel(y.shape[1])
        classes = tuple(plain(label) for label in self.classes_)
        if len(classes) == 1:
            warn_user(f"y has one class only, {classes[0]!r}: it will be predicted for every row", OneClassWarning)
        return Binary(classes) if len(classes) == 2 else Multiclass(classes)

    def _recipe_fields(self) -> dict[str, Any]:
        weight = self.class_weight
        if not (weight is None or isinstance(weight, Mapping | list) or (isinstance(weight, str) and weight == "balanced")):
            raise no_class_weight(weight)
        return {"loss": "log_loss", "label_smoothing": float(self.label_smoothing)}

    def _class_weights(self, data: Any) -> tuple[NDArray[np.float64] | None, Any]:
        if data.y.ndim == 1 or self.class_weight is None:
            return data.weight, self.class_weight
        each = compute_sample_weight(self.class_weight, data.y)  # the product over labels
        return each if data.weight is None else each * data.weight, None

    def _split_names(self, task: Task) -> NDArray[Any] | None:
        return None if task.name == "multilabel" else self.classes_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
