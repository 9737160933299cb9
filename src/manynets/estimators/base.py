"""What both estimators share: fit (read, plan, train, accept) and prediction."""

from __future__ import annotations

import functools
import types
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from manynets.estimators import inputs, settings
from manynets.estimators.callbacks import KeepsCallbacks
from manynets.estimators.fitted import accept, epoch_printer, iteration_printer, report_end
from manynets.estimators.lbfgs import train_lbfgs
from manynets.estimators.lessons import Lessons
from manynets.estimators.plan import FitData, FitPlan, plan_fit, read_fit
from manynets.estimators.scales import warn_of_scales
from manynets.model import Model
from manynets.results import checkpoints_of, with_target_names
from manynets.tables import TableEncoder
from manynets.tasks import Task
from manynets.training.checkpoint import Checkpoint, checkpoint_files
from manynets.training.groups import train_members
from manynets.training.trial import Outcome

AT_ONCE = 1 << 22  # numbers in the widest layer of what is predicted at a time


class PartialFitError(AttributeError, ValueError):
    """These parameters allow no partial_fit: `hasattr` is False, and calling it says why."""


class where_partial_fit_is:
    """A method that exists unless `_check_partial_fit` raises; like scikit-learn's `available_if`, with a reason."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.method = method
        functools.update_wrapper(self, method)  # type: ignore[arg-type]

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        if owner is None:
            return self.method
        owner._check_partial_fit()
        return types.MethodType(self.method, owner)


class BaseMLP(Lessons, KeepsCallbacks):
    """The fit of both estimators; see `MLPClassifier` and `MLPRegressor`."""

    classes_: NDArray[Any]
    model_: Model
    encoder_: TableEncoder | None
    coefs_: list[NDArray[Any]]
    intercepts_: list[NDArray[Any]]
    n_iter_: int
    t_: int
    _task_: Task | None

    @classmethod
    @functools.cache  # a search asks hundreds of times
    def _get_param_names(cls) -> list[str]:
        return list(super()._get_param_names())

    # ------------------------------------------------------------------------------------- what the subclasses add

    @abstractmethod
    def _read_target(self, y: Any, x: Any, *, first: bool, incremental: bool) -> NDArray[Any]:
        """Return y checked; set the classes."""

    @abstractmethod
    def _task(self, y: NDArray[Any]) -> Task:
        """Return the task for y."""

    def _standardised(self, task: Task, y: NDArray[Any], weight: NDArray[np.float64] | None) -> Task:
        """Return the task of a first fit; one of numbers by the mean and standard deviation of y and row weights, if that is asked for."""
        return task

    def _warn_of_target(self, y: NDArray[Any]) -> None:
        """Warn of a target whose size ruins the network."""

    @abstractmethod
    def _recipe_fields(self) -> dict[str, Any]:
        """Return the fields of the recipe that only this kind of estimator has, the loss among them."""

    def _class_weights(self, data: FitData) -> tuple[NDArray[np.float64] | None, Any]:
        """Return the weights of the rows, and the class weights that `prepare` is to apply."""
        return data.weight, None

    def _split_names(self, task: Task) -> NDArray[Any] | None:
        """Return the classes, where a row has one."""
        return None

    # ----------------------------------------------------------------------------------------------------- fit

    def _fit(self, X: Any, y: Any, sample_weight: Any, *, incremental: bool = False, **more: Any) -> Self:
        """Fit, or leave the estimator unchanged."""
        before = dict(self.__dict__)
        try:
            self._fit_in_place(X, y, sample_weight, incremental=incremental, **more)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        return self

    def _fit_in_place(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        incremental: bool,
        groups: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        classes: Any = None,
    ) -> None:
        settings.check(self)
        if classes is not None:
            self.classes_ = classes
        fresh = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        y, names = inputs.targets_by_name(y, self.model_.target_names if not fresh and hasattr(self, "model_") else ())
        y_val = inputs.validation_target(names, X_val, y_val, groups)
        if fresh or not hasattr(self, "encoder_"):
            self.encoder_ = None
        x, target = read_fit(self, X, y, fresh=fresh, incremental=incremental)
        inputs.refuse_name(groups)
        check_consistent_length(x, groups)
        data = FitData(x, target, inputs.weights(sample_weight, x.shape[0]), groups=groups, targets=names)
        plan = plan_fit(self, data, fresh=fresh, incremental=incremental, X_val=X_val, y_val=y_val)
        if fresh and not incremental and self.encoder_ is None:
            warn_of_scales(data.x, getattr(self, "feature_names_in_", None), estimator=type(self).__name__)
            self._warn_of_target(data.y)
        accept(self, plan, self._run(plan, None if incremental else settings.checkpoint_of(self)))
        with_target_names(self.model_, names)
        if self.solver != "lbfgs" and not incremental:
            report_end(self, plan)

    def _run(self, plan: FitPlan, checkpoint: Checkpoint | None) -> list[Outcome]:
        """Train what was planned; continue from its checkpoints, if there are any."""
        assert plan.prepared is not None
        problem = plan.prepared.problem
        if self.solver == "lbfgs":
            tell = iteration_printer if self.verbose else lambda iteration, loss: None
            most: dict[str, Any] = {"max_iter": int(self.max_iter), "max_fun": int(self.max_fun), "tol": float(self.tol)}
            outcomes = []
            for member in plan.members:
                outcomes.append(train_lbfgs(problem, member, **most, tell=tell))  # noqa: PERF401  # its warnings count the frames
            return outcomes
        callbacks = list(self.callbacks or ())
        if self.verbose:
            callbacks.insert(0, epoch_printer(plan.scale))
        resume = None
        if checkpoint is not None and checkpoint_files(checkpoint.folder):
            resume = checkpoint.folder
        keeper = checkpoints_of(plan.prepared, checkpoint=checkpoint, resume=resume)
        return train_members(problem, plan.members, callbacks=callbacks, keeper=keeper)

    # ------------------------------------------------------------------------------------------------- predict

    def _scores(self, X: Any) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Yield raw scores (K, n, O) of some rows of X at a time, so that memory stays flat."""
        check_is_fitted(self, "model_")
        x = inputs.read_rows(self, X, reset=False)
        model = self.model_
        if self.encoder_ is not None and not self.encoder_.positional:  # the model has one for arrays, too
            x = model.encoded(x)
        widest = max(model.in_features, model.task.outputs, *(weight.shape[-1] for weight in self.coefs_))
        step = max(1, AT_ONCE // (widest * model.size))
        for start in range(0, max(x.shape[0], 1), step):  # no rows: the model says so
            part = x[start : start + step]
            yield slice(start, start + part.shape[0]), model.logits(inputs.dense(part))

    def _predicted(self, X: Any, finish: Callable[[NDArray[Any]], NDArray[Any]], *, axis: int = 0) -> NDArray[Any]:
        """Return finish(raw scores) of all rows, which are its axis `axis`."""
        parts = []
        for rows, scores in self._scores(X):
            self.model_.refuse_lost(scores, first=rows.start)
            parts.append(finish(scores))
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
