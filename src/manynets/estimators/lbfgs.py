"""Limited-memory BFGS on the whole batch: SciPy's, on the flat parameters, with the engine's gradient.

Source: Byrd, Lu, Nocedal & Zhu 1995; scipy.optimize.minimize(method="L-BFGS-B").
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from manynets.errors import warn_user
from manynets.nn.population import Population
from manynets.training.steppers.closed_form import ClosedForm
from manynets.training.torch_settings import torch_settings
from manynets.training.trial import Member, Outcome, Problem


def train_lbfgs(
    problem: Problem, member: Member, *, max_iter: int, max_fun: int, tol: float, tell: Callable[[int, float], None]
) -> Outcome:
    """Minimise a member's mean loss + l1 sum |w| + l2 / 2 sum w^2 over all its rows.

    The member's recipe has shuffle=False and a batch of all rows. It stops when no component of the gradient exceeds tol, or, with
    a ConvergenceWarning, after max_iter iterations or max_fun evaluations of the loss. tell(iteration, objective) is called after
    every iteration. The history has one entry, the last.
    """
    stepper = ClosedForm(problem, [member])
    population = stepper.population
    assert isinstance(population, Population)

    def objective(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        population.flat.copy_(torch.from_numpy(point).view_as(population.flat))
        value, gradient, _ = stepper.gradient()
        return float(value[0]), gradient[0].copy()

    iteration = 0

    def after(intermediate_result: Any) -> None:
        nonlocal iteration
        iteration += 1
        tell(iteration, float(intermediate_result.fun))

    began = time.perf_counter()
    with torch_settings(threads=stepper.threads(max_iter)), torch.no_grad(), np.errstate(all="ignore"):
        start = population.flat[0].double().cpu().numpy().copy()
        options: Any = {"maxiter": max_iter, "maxfun": max_fun, "gtol": tol}
        result = minimize(objective, start, method="L-BFGS-B", jac=True, callback=after, options=options)
        objective(result.x)
        loss, weight, penalty = stepper.gradient()[2][0, :3].tolist()
    history = {"epoch": [float(result.nit)], "loss": [loss / (weight or 1.0)], "penalty": [penalty]}
    if result.status != 0:
        message = result.message.decode() if isinstance(result.message, bytes) else result.message
        warn_user(
            f"lbfgs failed to converge after {result.nit} iteration(s) (status={result.status}):\n{message}\n"
            f"Increase the number of iterations (max_iter={max_iter}) or of evaluations (max_fun={max_fun}), or scale the data.",
            ConvergenceWarning,
        )
    return Outcome(member.number, population.network(0), history, 0, "done", None, time.perf_counter() - began)
