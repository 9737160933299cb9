"""What both estimators share: one fit, from what the user gives to a Model and scikit-learn's fitted attributes."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import sys
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from manynets import rng
from manynets.data.check import is_frame
from manynets.errors import DataError
from manynets.estimators import inputs, settings
from manynets.estimators.lbfgs import train_lbfgs
from manynets.estimators.partial import PartialFitError
from manynets.estimators.plan import Data, Drawn, Plan, Ready, merge_copies, ready, rows_of
from manynets.fitting import mean_curve, model_of, system_of
from manynets.model import Model
from manynets.rng import Shuffles
from manynets.spec import MLP, DType, Recipe
from manynets.tables import TableEncoder, fit_encoder
from manynets.tasks import Regression, Task
from manynets.training.checkpoint import Checkpoint, Checkpoints, checkpoint_files
from manynets.training.events import Evaluated
from manynets.training.groups import train_members
from manynets.training.trial import Member, Outcome, Progress

__all__ = ["BaseMLP"]

AUTO_BATCH = 200
AT_ONCE = 1 << 22  # numbers in the widest layer of what is predicted at a time
NOT_FINITE = "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."


class BaseMLP(BaseEstimator):
    """The fit of both estimators; see `MLPClassifier` and `MLPRegressor`."""

    model_: Model
    encoder_: TableEncoder | None
    coefs_: list[NDArray[Any]]
    intercepts_: list[NDArray[Any]]
    _task_: Task | None

    @classmethod
    @functools.cache  # a search asks hundreds of times
    def _get_param_names(cls) -> list[str]:
        return list(super()._get_param_names())

    def _take(self, parameters: Mapping[str, Any]) -> None:
        """Keep the arguments of __init__, as they are."""
        for name, value in parameters.items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)

    # ------------------------------------------------------------------------------------- what a task adds

    @abstractmethod
    def _read_target(self, y: Any, x: Any, *, first: bool, incremental: bool) -> NDArray[Any]:
        """Return y checked, and settle the classes."""

    @abstractmethod
    def _task(self, y: NDArray[Any], weight: NDArray[np.float64] | None) -> Task:
        """Return the task for y and row weights."""

    @abstractmethod
    def _recipe_fields(self) -> dict[str, Any]:
        """Return the fields of the recipe that only this kind of estimator has, the loss among them."""

    def _class_weights(self, data: Data) -> tuple[NDArray[np.float64] | None, Any]:
        """Return the rows' weights, and what is left to `prepare` of the weights of classes."""
        return data.weight, None

    def _split_names(self, task: Task) -> NDArray[Any] | None:
        """Return the classes, where a row has one."""
        return None

    # ----------------------------------------------------------------------------------------------------- fit

    def _fit(self, X: Any, y: Any, sample_weight: Any, *, X_val: Any = None, y_val: Any = None, incremental: bool = False) -> Self:
        """Fit, or leave the estimator as it was."""
        before = dict(self.__dict__)
        try:
            self._fit_in_place(X, y, sample_weight, X_val, y_val, incremental)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        return self

    def _fit_in_place(self, X: Any, y: Any, sample_weight: Any, X_val: Any, y_val: Any, incremental: bool) -> None:
        settings.check(self)
        if (X_val is None) != (y_val is None):
            raise DataError("only one of X_val and y_val was given; a validation set needs both")
        fresh = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        if fresh or not hasattr(self, "encoder_"):
            self.encoder_ = None
        x = inputs.read_rows(self, X, reset=fresh)
        target = self._read_target(y, x, first=fresh, incremental=incremental)
        data = Data(x, target, inputs.weights(sample_weight, x.shape[0]))
        plan = self._plan(data, fresh=fresh, incremental=incremental, X_val=X_val, y_val=y_val)
        self._accept(plan, self._run(plan, None if incremental else settings.checkpoint_of(self)))
        if self.solver != "lbfgs" and not incremental:
            self._tell_end(plan)

    def _plan(
        self,
        data: Data,
        *,
        fresh: bool = True,
        incremental: bool = False,
        X_val: Any = None,
        y_val: Any = None,
        get_ready: Callable[..., Ready] = ready,
    ) -> Plan:
        """Return what is to be trained on data that were read; `get_ready` puts them where training finds them."""
        random = settings.random_of(self)
        if fresh:
            self.t_, self._no_improvement_count = 0, 0
            self.__dict__.pop("_progress", None)
            self._task_ = None
        frame = is_frame(data.x)
        if frame:
            task = self._settle_task(data, encoded=True)
            self._hold_out(data, task, random, X_val is not None)
            data.x = self._encoded(data)
        else:
            data.x = inputs.dense(data.x)
            task = self._settle_task(data, encoded=False)
        network = settings.network_of(self)
        # of one network from a number, without rows held out, all that is drawn is known: fits of the same rows draw it once
        known = fresh and isinstance(self.random_state, Integral) and not self.early_stopping and self.n_networks == 1
        key = (self.random_state, self.init, self.activation, network, data.x.shape[1], data.x.dtype, task.outputs)
        if known and key in data.drawn:
            drawn = data.drawn[key]
        else:
            initial = self._start(network, data.x, task, random, fresh)
            if not frame:
                self._hold_out(data, task, random, X_val is not None)
            drawn = initial, *self._draws(random)
            if known:
                data.drawn[key] = drawn
        if X_val is not None:
            data.apart = self._read_validation(X_val, y_val)
        if self.batch_norm or np.any(self.dropout) or self.input_dropout:
            merge_copies(data, task)
        return self._members(network, data, task, drawn, random, get_ready, fresh=fresh, incremental=incremental)

    def _settle_task(self, data: Data, *, encoded: bool) -> Task:
        """Return the task of the first fit; later ones (warm_start, partial_fit) keep it."""
        task = getattr(self, "_task_", None)
        if task is None:
            self._encodes = encoded
            self._task_ = task = self._task(data.y, data.weight)
        return task

    def _encoded(self, data: Data) -> NDArray[Any]:
        """Return the columns of a frame, encoded as its training rows show."""
        if self.encoder_ is None:
            key = b"" if data.train is None else data.train.tobytes()
            if key not in data.encoded:
                encoder = fit_encoder(rows_of(data.x, data.train))
                data.encoded[key] = encoder, encoder.transform(data.x)
            self.encoder_, x = data.encoded[key]
        else:
            x = self.encoder_.transform(data.x)
        data.rows = data.place(x)
        return x

    def _start(
        self, network: MLP, x: NDArray[Any], task: Task, random: np.random.RandomState, fresh: bool, number: int = 0
    ) -> dict[str, NDArray[Any]]:
        """Return the weights that training of one network starts from: new ones, or those that are there."""
        dtype = np.float32 if x.dtype == np.float32 else np.float64
        if fresh:
            return settings.start_of(self, network, x.shape[1], task.outputs, dtype, random)
        out = dict(self.model_.members[number]) if hasattr(self, "model_") and number < self.model_.size else {}
        widths = [x.shape[1], *network.hidden, task.outputs]
        found = [np.shape(weight) for weight in self.coefs_]
        axis = () if self.n_networks == 1 else (self.n_networks,)
        if found != [(*axis, *pair) for pair in itertools.pairwise(widths)]:
            many = f" of {self.n_networks} networks" if axis else ""
            raise DataError(
                f"the weights that are there have shapes {found}, but layers of {widths} units{many} are asked for; "
                "use warm_start=False"
            )
        for layer, (weight, bias) in enumerate(zip(self.coefs_, self.intercepts_, strict=True)):
            name = "output" if layer == len(network.hidden) else f"hidden{layer}"
            mine, my_bias = (weight[number], bias[number]) if axis else (weight, bias)
            out[f"{name}.weight"], out[f"{name}.bias"] = np.asarray(mine, dtype=dtype).T, np.asarray(my_bias, dtype=dtype)
            if network.batch_norm and name != "output":
                out.setdefault(f"norm{layer}.weight", np.ones(widths[layer + 1], dtype))
                out.setdefault(f"norm{layer}.bias", np.zeros(widths[layer + 1], dtype))
        return out

    def _hold_out(self, data: Data, task: Task, random: np.random.RandomState, validated: bool) -> None:
        """Set rows apart for early stopping, where there is no validation set."""
        if not self.early_stopping or validated or self.solver == "lbfgs":
            return
        codes = task.encode(data.y)
        names = self._split_names(task)
        split = inputs.split_for_stopping(
            None if is_frame(data.x) else data.x,
            codes[:, 0] if codes.ndim == 2 and codes.shape[1] == 1 else codes,
            data.weight,
            fraction=float(self.validation_fraction),
            random=random,
            stratify=names is not None and task.outputs == 1,
            names=names,
        )
        if split is not None:
            data.train, data.validation = split

    def _read_validation(self, X_val: Any, y_val: Any) -> tuple[Any, ...]:
        x = inputs.read_rows(self, X_val, reset=False)
        y = self._read_target(y_val, x, first=False, incremental=True)
        if is_frame(x):
            assert self.encoder_ is not None
            return self.encoder_.transform(x), y
        return inputs.dense(x), y

    # --------------------------------------------------------------------------------------------------- train

    def _recipe(
        self, task: Task, rows: int, total: float, *, incremental: bool, base: Recipe, held_out: bool, seed: int
    ) -> tuple[Recipe, float]:
        """Return the recipe for this many training rows that weigh `total`, and what a full batch weighs."""
        lbfgs = self.solver == "lbfgs"
        batch = rows if lbfgs else min(AUTO_BATCH, rows)
        if not lbfgs and self.batch_size != "auto":
            if self.batch_size > rows:
                warnings.warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=7)
            batch = min(int(self.batch_size), rows)
        if self.batch_norm and rows < 2:
            raise DataError("batch_norm needs at least 2 training rows, but there is 1 sample")
        per_row = batch * total / rows  # what scikit-learn divides the penalty of a full batch by
        halves = base.loss == "half_squared_error"
        changes: dict[str, Any] = {"batch_size": batch, "l2": float(self.alpha) / per_row, "l1": float(self.l1) / per_row}
        if not lbfgs:
            changes |= {
                "optimizer": settings.optimizer_of(self),
                "schedule": settings.schedule_of(self, rows=rows, seen=self.t_, incremental=incremental),
                "stopping": settings.stopping_of(self, outputs=task.outputs if halves and not self.early_stopping else 1),
                "epochs": 1 if incremental else int(self.max_iter),
                "clip_norm": None if self.clip_norm is None else float(self.clip_norm),
            }
        recipe = dataclasses.replace(
            base,
            **changes,
            seed=seed,
            shuffle=bool(self.shuffle) and not lbfgs,
            # accuracy that is weighted by class is soon as good as it can get, the loss is not
            watch="objective" if not held_out else ("metric" if getattr(self, "class_weight", None) is None else "loss"),
            keep="best" if held_out else "last",
        )
        return recipe, per_row

    def _members(
        self,
        network: MLP,
        data: Data,
        task: Task,
        drawn: Drawn,
        random: np.random.RandomState,
        get_ready: Callable[..., Ready],
        *,
        fresh: bool,
        incremental: bool,
    ) -> Plan:
        """Return the networks to train; the first of several, with what was `drawn`, is the one that would be trained alone."""
        dtype: DType = "float32" if data.x.dtype == np.float32 else "float64"
        base = Recipe(device=self.device, dtype=dtype, **self._recipe_fields())
        weight, class_weight = self._class_weights(data)
        there = get_ready(data, base, task, weight=weight, class_weight=class_weight, encoder=self.encoder_)
        held_out = bool(self.early_stopping) and (data.apart is not None or data.validation is not None)
        initial, shuffles, seed = drawn
        recipe, per_row = self._recipe(
            task, there.count, there.total, incremental=incremental, base=base, held_out=held_out, seed=seed
        )
        before = getattr(self, "_progress", [])
        members = []
        for number in range(int(self.n_networks)):
            own = recipe
            if number:
                initial = self._start(network, data.x, task, random, fresh, number)
                shuffles, seed = self._draws(random)
                own = dataclasses.replace(recipe, seed=seed)
            rows = there.rows
            if self.bootstrap:
                chosen = rng.generator(seed, "bootstrap").integers(there.count, size=there.count)
                rows = chosen if rows is None else rows[chosen]
            progress = before[number] if number < len(before) else Progress()
            if not incremental:  # warm_start keeps the patience, not the optimizer
                progress = Progress(best=progress.best, bad=progress.bad)
            members.append(
                Member(
                    number, network, own, initial, rows, there.validation_rows, progress, True, there.weight,
                    penalty_rows=per_row, shuffles=shuffles,
                )
            )  # fmt: skip
        scale = 1.0 / task.outputs if base.loss == "half_squared_error" else 1.0  # scikit-learn's loss is a mean over outputs
        return Plan(
            network, members[0].recipe, task, members, there.prepared, rows=there.count, columns=data.x.shape[1], scale=scale,
            held_out=held_out, fresh=fresh,
        )  # fmt: skip

    def _draws(self, random: np.random.RandomState) -> tuple[Shuffles, int]:
        """Return what a network draws while it trains: the orders of its rows, which are scikit-learn's, and the seed of all else."""
        return Shuffles(random), (int(random.randint(2**31 - 1)) + self.t_) % (2**31)

    def _run(self, plan: Plan, checkpoint: Checkpoint | None) -> list[Outcome]:
        """Train what was planned; go on from where its checkpoints are, if there are any."""
        assert plan.prepared is not None
        problem = plan.prepared.problem
        if self.solver == "lbfgs":
            tell = self._printer() if self.verbose else lambda iteration, loss: None
            most: dict[str, Any] = {"max_iter": int(self.max_iter), "max_fun": int(self.max_fun), "tol": float(self.tol)}
            outcomes = []
            for member in plan.members:
                outcomes.append(train_lbfgs(problem, member, **most, tell=tell))  # noqa: PERF401  # its warnings count the frames
            return outcomes
        callbacks = list(self.callbacks or ())
        if self.verbose:
            callbacks.insert(0, self._listener(plan.scale))
        keeper = None
        if checkpoint is not None:
            resume = checkpoint.folder if checkpoint_files(checkpoint.folder) else None
            system = system_of(plan.prepared)
            keeper = Checkpoints(problem, plan.members, checkpoint=checkpoint, resume=resume, system=system)
        return train_members(problem, plan.members, callbacks=callbacks, keeper=keeper)

    def _accept(self, plan: Plan, outcomes: list[Outcome]) -> None:
        """Become the fitted estimator that the outcomes make."""
        for outcome in outcomes:
            self._check_finite(outcome, plan.held_out)
        assert plan.prepared is not None
        self.model_ = model_of(plan.network, plan.recipe, plan.prepared, outcomes)
        self._publish(outcomes, plan.rows, plan.scale, fresh=plan.fresh, held_out=plan.held_out)

    def _check_finite(self, outcome: Outcome, held_out: bool) -> None:
        at = outcome.divergence
        if at is not None and not (held_out and outcome.best >= 0):
            names = getattr(self, "feature_names_in_", None) if self.encoder_ is None else self.encoder_.feature_names
            where = at.where(names).replace("the loss", "The loss", 1)
            raise DataError(f"{NOT_FINITE} {where}; scale X, or use a smaller learning_rate_init or clip_norm=1.0.")
        if at is None and not all(np.isfinite(value).all() for value in outcome.parameters.values()):
            raise DataError(NOT_FINITE)

    def _publish(self, outcomes: list[Outcome], rows: int, scale: float, *, fresh: bool, held_out: bool) -> None:
        """Set scikit-learn's fitted attributes; of several networks the stacked weights and the mean curves."""
        task, members = self.model_.task, self.model_.members
        names = [f"hidden{i}" for i in range(len(parameters_layers(members[0])) - 1)] + ["output"]
        coefs = [[parameters[f"{name}.weight"].T for parameters in members] for name in names]
        intercepts = [[parameters[f"{name}.bias"] for parameters in members] for name in names]
        self.coefs_ = [layer[0] if self.n_networks == 1 else np.stack(layer) for layer in coefs]
        self.intercepts_ = [layer[0] if self.n_networks == 1 else np.stack(layer) for layer in intercepts]
        self.n_layers_, self.n_outputs_ = len(names) + 1, task.outputs
        self.out_activation_ = self._out_activation(task)
        each = []
        for outcome in outcomes:
            found = outcome.history.get("loss", [])  # none where Ctrl-C came before the first step
            penalty = outcome.history.get("penalty", [0.0] * len(found))
            each.append([loss * scale + more for loss, more in zip(found, penalty, strict=True)])
        losses = mean_curve(each)
        self.loss_ = losses[-1] if losses else math.nan
        self.n_iter_ = max(round(outcome.history.get("epoch", [0])[-1]) for outcome in outcomes)
        if self.solver == "lbfgs":
            return
        if fresh or not hasattr(self, "loss_curve_"):
            self.loss_curve_: list[float] = []
            self.validation_scores_: list[float] | None = None
            self.best_validation_score_: float | None = None
            self.best_loss_: float | None = None
            self.validation_loss_curve_: list[float] | None = None
        self.t_ += rows * len(losses)
        self.loss_curve_ = [*self.loss_curve_, *losses]
        if any("val_loss" in outcome.history for outcome in outcomes):
            found = mean_curve([outcome.history.get(f"val_{task.metric}", []) for outcome in outcomes])
            scores = [score if math.isfinite(score) else math.nan for score in found]
            self.validation_scores_ = [*(self.validation_scores_ or []), *scores]
            val_losses = mean_curve([outcome.history.get("val_loss", []) for outcome in outcomes])
            self.validation_loss_curve_ = [*(self.validation_loss_curve_ or []), *(v * scale for v in val_losses)]
            self.best_validation_score_ = max((s for s in self.validation_scores_ if not math.isnan(s)), default=math.nan)
        so_far = losses if self.best_loss_ is None else [self.best_loss_, *losses]
        self.best_loss_ = None if held_out else min(so_far, default=None)
        progress = [outcome.progress for outcome in outcomes if outcome.progress is not None]
        if progress:
            self._progress, self._no_improvement_count = progress, min(one.bad for one in progress)

    def _out_activation(self, task: Task) -> str:
        if isinstance(task, Regression):
            return "exp" if self.model_.recipe.loss == "poisson" else "identity"
        return "softmax" if task.name == "multiclass" else "logistic"

    def _tell_end(self, plan: Plan) -> None:
        stopped = self._no_improvement_count > self.n_iter_no_change
        if stopped and self.verbose:
            what = "Validation score" if plan.held_out else "Training loss"
            sys.stdout.write(
                f"{what} did not improve more than tol={self.tol:f} for {self.n_iter_no_change} consecutive epochs. Stopping.\n"
            )
        if not stopped and self.n_iter_ == self.max_iter:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _printer(self) -> Callable[[int, float], None]:
        return lambda iteration, loss: print_line(f"Iteration {iteration}, loss = {loss:.8f}")

    def _listener(self, scale: float) -> Callable[[Any], None]:
        """Return a callback that prints scikit-learn's lines."""
        epoch = 0

        def listen(event: Any) -> None:
            nonlocal epoch
            if isinstance(event, Evaluated):
                epoch += 1
                entry = {name: float(np.mean(values)) for name, values in event.columns.items()}
                self._printer()(epoch, entry["loss"] * scale + entry.get("penalty", 0.0))
                score = [value for name, value in entry.items() if name.startswith("val_") and name != "val_loss"]
                if score:
                    print_line(f"Validation score: {score[0]:f}")

        return listen

    # ------------------------------------------------------------------------------------------------- predict

    def _scores(self, X: Any) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Yield raw scores (K, n, O) of some rows of X at a time, so that memory stays flat."""
        check_is_fitted(self, "model_")
        x = inputs.read_rows(self, X, reset=False)
        if is_frame(x) or self.encoder_ is not None:
            assert self.encoder_ is not None
            x = self.encoder_.transform(x)
        model = self.model_
        widest = max(model.in_features, model.task.outputs, *(weight.shape[-1] for weight in self.coefs_))
        step = max(1, AT_ONCE // (widest * model.size))
        for start in range(0, max(x.shape[0], 1), step):  # no rows: the model says so
            part = x[start : start + step]
            yield slice(start, start + part.shape[0]), model.logits(inputs.dense(part))

    def _predicted(self, X: Any, finish: Callable[[NDArray[Any]], NDArray[Any]], *, axis: int = 0) -> NDArray[Any]:
        """Return finish(raw scores) of all rows, which are its axis `axis`."""
        parts = [finish(scores) for _, scores in self._scores(X)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=axis)

    def _check_partial_fit(self) -> None:
        """Raise PartialFitError for parameters with which there is no partial_fit."""
        if self.solver == "lbfgs":
            raise PartialFitError("partial_fit is only available for stochastic optimizers. lbfgs is not stochastic.")
        if self.early_stopping:
            raise PartialFitError("partial_fit does not support early_stopping=True")
        if isinstance(getattr(self, "class_weight", None), str):
            raise PartialFitError(
                "partial_fit does not support class_weight='balanced', which needs all rows at once; give a dict of weights"
            )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def parameters_layers(parameters: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return the names of the linear layers among parameters by name."""
    return [name for name in parameters if name.endswith(".weight") and not name.startswith("norm")]


def print_line(text: str) -> None:
    """Write a line to standard output."""
    sys.stdout.write(text + "\n")
