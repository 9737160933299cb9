"""From the outcomes of a training to a fitted estimator: the Model, and scikit-learn's fitted attributes."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from manynets.errors import DataError, warn_user
from manynets.estimators.plan import FitPlan
from manynets.results import mean_curve, model_of, with_residuals
from manynets.tasks import Regression, Task
from manynets.training.events import Evaluated
from manynets.training.trial import Outcome

NOT_FINITE = "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."


def accept(e: Any, plan: FitPlan, outcomes: Sequence[Outcome]) -> None:
    """Make an estimator the fitted one that the outcomes of its plan describe."""
    for outcome in outcomes:
        check_finite(e, outcome, plan.held_out)
    assert plan.prepared is not None
    e.model_ = with_residuals(model_of(plan.network, plan.recipe, plan.prepared, outcomes), plan.prepared, plan.members)
    if e.solver == "lbfgs":  # which no recipe describes
        e.model_.info["lbfgs"] = {"max_iter": int(e.max_iter), "max_fun": int(e.max_fun), "tol": float(e.tol)}
    if e.encoder_ is None and hasattr(e, "feature_names_in_"):
        e.model_.info["columns"] = e.feature_names_in_.tolist()
    set_weights(e)
    _set_curves(e, plan, outcomes)


def check_finite(e: Any, outcome: Outcome, held_out: bool) -> None:
    """Raise DataError for a network whose loss or weights are not finite, unless an earlier epoch was chosen on held-out rows."""
    at = outcome.divergence
    if at is not None and not (held_out and outcome.best >= 0):
        names = getattr(e, "feature_names_in_", None) if e.encoder_ is None else e.encoder_.feature_names
        where = at.where(names).replace("the loss", "The loss", 1)
        raise DataError(f"{NOT_FINITE} {where}; scale X, or use a smaller learning_rate_init or clip_norm=1.0.")
    if at is None and not all(np.isfinite(value).all() for value in outcome.parameters.values()):
        raise DataError(NOT_FINITE)


def set_weights(e: Any) -> None:
    """Set the weights of each layer, of several networks stacked."""
    task, members = e.model_.task, e.model_.members
    names = [f"hidden{i}" for i in range(len(e.model_.spec.hidden))] + ["output"]

    def stacked(layer: list[NDArray[Any]]) -> NDArray[Any]:
        return layer[0] if e.n_networks == 1 else np.stack(layer)

    e.coefs_ = [stacked([parameters[f"{name}.weight"].T for parameters in members]) for name in names]
    e.intercepts_ = [stacked([parameters[f"{name}.bias"] for parameters in members]) for name in names]
    e.n_layers_, e.n_outputs_ = len(names) + 1, task.outputs
    e.out_activation_ = _out_activation(task, e.model_.recipe.loss)


def _out_activation(task: Task, loss: str | None) -> str:
    if isinstance(task, Regression):
        return "exp" if loss == "poisson" else "identity"
    return "softmax" if task.name == "multiclass" else "logistic"


def _set_curves(e: Any, plan: FitPlan, outcomes: Sequence[Outcome]) -> None:
    """Set or continue the curves, of several networks their means, and what follows from them."""
    each = []
    for outcome in outcomes:
        found = outcome.history.get("loss", [])  # none where Ctrl-C came before the first step
        penalty = outcome.history.get("penalty", [0.0] * len(found))
        each.append([loss * plan.scale + more for loss, more in zip(found, penalty, strict=True)])
    losses = mean_curve(each)
    e.loss_ = losses[-1] if losses else math.nan
    e.n_iter_ = max(round(outcome.history.get("epoch", [0])[-1]) for outcome in outcomes)
    if e.solver == "lbfgs":
        return
    if plan.fresh or not hasattr(e, "loss_curve_"):
        e.loss_curve_ = []
        e.validation_scores_ = e.validation_loss_curve_ = None
        e.best_validation_score_ = e.best_loss_ = None
    e.t_ += plan.rows * len(losses)
    e.loss_curve_ = [*e.loss_curve_, *losses]
    if any("val_loss" in outcome.history for outcome in outcomes):
        found = mean_curve([outcome.history.get(f"val_{plan.task.metric}", []) for outcome in outcomes])
        scores = [score if math.isfinite(score) else math.nan for score in found]
        e.validation_scores_ = [*(e.validation_scores_ or []), *scores]
        val_losses = mean_curve([outcome.history.get("val_loss", []) for outcome in outcomes])
        e.validation_loss_curve_ = [*(e.validation_loss_curve_ or []), *(loss * plan.scale for loss in val_losses)]
        e.best_validation_score_ = max((s for s in e.validation_scores_ if not math.isnan(s)), default=math.nan)
    so_far = losses if e.best_loss_ is None else [e.best_loss_, *losses]
    e.best_loss_ = None if plan.held_out else min(so_far, default=None)
    progress = [outcome.progress for outcome in outcomes if outcome.progress is not None]
    if progress:
        e._progress, e._no_improvement_count = progress, min(one.bad for one in progress)


# ------------------------------------------------------------------------------------------------------ scikit-learn's lines


def report_end(e: Any, plan: FitPlan) -> None:
    """Print why a fit stopped (with verbose), or warn that it did not converge."""
    stopped = e._no_improvement_count > e.n_iter_no_change
    if stopped and e.verbose:
        what = "Validation score" if plan.held_out else "Training loss"
        _print(f"{what} did not improve more than tol={e.tol:f} for {e.n_iter_no_change} consecutive epochs. Stopping.")
    if not stopped and e.n_iter_ == e.max_iter:
        warn_user(
            f"Stochastic Optimizer: Maximum iterations ({e.max_iter}) reached and the optimization hasn't converged yet.",
            ConvergenceWarning,
        )


def iteration_printer(iteration: int, loss: float) -> None:
    """Print the loss of an iteration."""
    _print(f"Iteration {iteration}, loss = {loss:.8f}")


def epoch_printer(scale: float) -> Callable[[Any], None]:
    """Return a callback that prints the loss, times `scale`, and the validation score of each epoch."""
    epoch = 0

    def listen(event: Any) -> None:
        nonlocal epoch
        if isinstance(event, Evaluated):
            epoch += 1
            entry = {name: float(np.mean(values)) for name, values in event.columns.items()}
            iteration_printer(epoch, entry["loss"] * scale + entry.get("penalty", 0.0))
            score = [value for name, value in entry.items() if name.startswith("val_") and name != "val_loss"]
            if score:
                _print(f"Validation score: {score[0]:f}")

    return listen


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
