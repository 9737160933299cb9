"""`MLPRegressor`: one or several numbers a row."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from manynets.display import short
from manynets.errors import DataError, OptionError, one_of
from manynets.estimators import inputs
from manynets.estimators.base import BaseMLP, where_partial_fit_is
from manynets.estimators.lessons import OF_MLP, OF_MLP_FIT, with_lessons
from manynets.estimators.scales import LARGE, warn_of_target_scale
from manynets.estimators.settings import take_parameters
from manynets.tasks import Regression, Task

LOSSES = {"squared_error": "half_squared_error", **{name: name for name in ("poisson", "absolute_error", "huber", "quantile")}}


class MLPRegressor(inputs.ScoresNumbers, BaseMLP):
    """A regressor with scikit-learn's parameters, methods and fitted attributes, and more: docs/sklearn.md.

    With an array or a frame of clean numbers it is scikit-learn's MLPRegressor; a frame (pandas, polars, pyarrow) with text,
    categories, dates or gaps is encoded, and standardised, by the estimator itself.

    Parameters, those of scikit-learn:

    loss: "squared_error" (half of it, as in scikit-learn) or "poisson" (half the deviance; the network gives the logarithm of the
        rate, y must not be negative); beyond scikit-learn "absolute_error", "huber" and "quantile".
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
    prior: start the output biases at the scores that predict the mean of y.
    clamp: keep predictions within the range of y in training.
    embedding: of numeric columns, `mn.PiecewiseLinear()` or `mn.Periodic()`, or None.
    scaling: of numeric columns, "standard", "robust", "quantile", "smooth" or "none"; None: "standard" for a table that needs encoding,
        "none" for any other X.
    category_means: a categorical column with many levels also gets the mean of y over the rows of a level.
    checkpoint: a folder, or an `mn.Checkpoint`, for the state of training, by default written after every epoch. If it has one for
        the same data and parameters (with a number as random_state), fit continues from it, bit for bit; a state of other data or
        parameters is an OptionError. In a search only the final fit, of the best candidate, writes one.
    quantile: what loss="quantile" predicts, in (0, 1), or several in increasing order, such as (0.05, 0.5, 0.95): `predict` then returns the
        median, and `predict_quantiles` all of them. delta: where loss="huber" turns from squared to absolute.
    standardise_target: train on (y - mean) / standard deviation, of the rows that are trained on, and return predictions in y's own unit.
        True, False, or "auto": where the estimator encodes a table by itself. loss="poisson" never does.

    Fitted attributes:

    loss_, best_loss_, loss_curve_: the last, the lowest, and each epoch's training loss with its penalty; best_loss_ is None with
        early stopping.
    validation_scores_, best_validation_score_: R2 on the validation rows after each epoch, and the best; None without.
    validation_loss_curve_: loss on the validation rows after each epoch, without the penalty; None without.
    coefs_, intercepts_: weights (d_in, d_out) and biases (d_out,) of each layer. n_layers_, n_outputs_, out_activation_.
    n_iter_: epochs of the last fit. t_: rows seen in training so far.
    n_features_in_, feature_names_in_: of X.
    encoder_: what turns a table into columns (`manynets.tables.TableEncoder`), or None. model_: the `manynets.Model`.

    >>> import manynets as mn
    >>> X, y = [[float(i)] for i in range(10)], [2.0 * i + 1.0 for i in range(10)]
    >>> model = mn.MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0.0, random_state=0).fit(X, y)
    >>> model.predict([[20.0]]).round(2).tolist()
    [41.0]
    """

    @with_lessons(OF_MLP)
    def __init__(
        self,
        loss: str = "squared_error",
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
        quantile: Any = 0.5,
        delta: float = 1.0,
        standardise_target: Any = "auto",
        n_networks: int = 1,
        bootstrap: bool = False,
        device: str = "cpu",
        callbacks: Any = None,
        checkpoint: Any = None,
        embedding: Any = None,
        scaling: Any = None,
        category_means: bool = False,
        prior: bool = False,
        clamp: bool = False,
    ) -> None:
        take_parameters(self, locals())

    @with_lessons(OF_MLP_FIT)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None, X_val: Any = None, y_val: Any = None) -> Self:
        """Fit to X (N, D), an array, a sparse matrix or a frame, and y: numbers (N,) or (N, O).

        sample_weight: (N,), how much each row counts. groups: (N,), with early_stopping: the rows of a group are all trained on or
        all validated on. X_val, y_val: a validation set of your own, for the validation curve and, with early_stopping, for
        stopping. Raises ValueError for invalid data or parameters, and leaves the estimator unchanged.
        """
        return self._fit(X, y, sample_weight, groups=groups, X_val=X_val, y_val=y_val)

    @where_partial_fit_is
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch on these rows, continuing from the current weights and state of the optimizer."""
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any, *, return_std: bool = False) -> Any:
        """Return numbers (N,) or (N, O) in the unit of y for X (N, D); the mean over networks.

        return_std: return (mean, standard deviation over networks); it is 0 for one network.
        """
        if return_std:
            each = self._predicted(X, self._each_prediction, axis=1)
            return each.mean(axis=0), each.std(axis=0)
        return self._predicted(X, self._mean_prediction)

    def predict_quantiles(self, X: Any) -> NDArray[Any]:
        """Return the quantiles (N, J) for X (N, D) of loss="quantile", in increasing order, of several targets (N, O, J).

        See `manynets.Model.predict_quantiles`.
        """
        return self._predicted(X, lambda scores: self.model_.quantiles(scores))

    def predict_interval(self, X: Any, coverage: float = 0.9) -> NDArray[Any]:
        """Return lower and upper limits (N, 2) for X (N, D), of several targets (N, O, 2), from the errors on the rows that were held out.

        It needs early_stopping=True, or X_val and y_val. See `manynets.Model.predict_interval`.
        """
        return self._predicted(X, lambda scores: self.model_.interval(scores, coverage))

    def _each_prediction(self, scores: NDArray[Any]) -> NDArray[Any]:
        task: Any = self.model_.task
        return np.asarray(task.in_type_of(scores, np.stack([task.predict(one, loss=self.model_.recipe.loss) for one in scores])))

    def _mean_prediction(self, scores: NDArray[Any]) -> NDArray[Any]:
        task: Any = self.model_.task
        return np.asarray(task.in_type_of(scores, self.model_.predicted(scores)))

    # ------------------------------------------------------------------------------------------------- for BaseMLP

    def _read_target(self, y: Any, x: Any, *, first: bool, incremental: bool) -> NDArray[Any]:
        return inputs.numbers(self, y, x)

    def _task(self, y: NDArray[Any]) -> Task:
        if isinstance(self.loss, tuple | list | int):
            names = ", ".join(LOSSES)
            raise OptionError(f"loss is {self.loss!r}, but must be one of {names}; did you mean hidden_layer_sizes={self.loss!r}?")
        if callable(self.loss):
            raise OptionError(
                f"loss is {short(self.loss)}, but must be one of {', '.join(LOSSES)}; give a function of your own to mn.train, as loss="
            )
        one_of(self.loss, LOSSES, what="loss")
        if self.loss == "poisson" and (y < 0).any():
            raise DataError(f"y holds {y.min():g}, but loss='poisson' is for counts and rates, which are not negative")
        wanted = self.standardise_target
        if wanted not in (True, False, "auto"):
            raise OptionError(f"standardise_target is {wanted!r}, but must be True, False or 'auto'")
        task = Regression.of(y, standardise=False)
        if isinstance(self.quantile, tuple | list) and len(self.quantile) > 1:
            return task.with_quantiles(tuple(map(float, self.quantile)))
        return task

    def _standardised(self, task: Any, y: NDArray[Any], weight: NDArray[np.float64] | None) -> Task:
        wanted = self._encodes if self.standardise_target == "auto" else self.standardise_target
        if wanted and self.loss != "poisson":
            columns = y.reshape(len(y), -1)
            size = inputs.safe_size(columns)
            columns = columns / size
            center = np.average(columns, axis=0, weights=weight) * size
            spread = np.sqrt(np.average((columns - center / size) ** 2, axis=0, weights=weight)) * size
            scale = np.where(spread <= 1e-12 * np.abs(center), 1.0, spread)
            task = dataclasses.replace(task, center=tuple(center.tolist()), scale=tuple(scale.tolist()))
        return task.clamped_to(task.encode(y)) if self.clamp else task

    def _warn_of_target(self, y: NDArray[Any]) -> None:
        if self.standardise_target == "auto" and not self._encodes and self.loss != "poisson":  # which learns the logarithm
            warn_of_target_scale(y, large=np.inf if self.solver == "lbfgs" else LARGE)  # lbfgs makes steps as large as they must be

    def _recipe_fields(self) -> dict[str, Any]:
        return {"loss": LOSSES[self.loss], "quantile": self.quantile, "delta": float(self.delta)}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
