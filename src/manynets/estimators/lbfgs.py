"""Limited-memory BFGS on the whole batch: SciPy's, on the flat parameters, with the engine's gradient.

Source: Byrd, Lu, Nocedal & Zhu 1995; scipy.optimize.minimize(method="L-BFGS-B").
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from manynets.training.loop import Run
from manynets.training.members import Member, Outcome, Problem
from manynets.training.settings import torch_settings

__all__ = ["train_lbfgs"]


def train_lbfgs(
    problem: Problem, member: Member, *, max_iter: int, max_fun: int, tol: float, tell: Callable[[int, float], None]
) -> Outcome:
    """Minimise a member's mean loss + l1 sum |w| + l2 / 2 sum w^2 over all its rows.

    The member's recipe has shuffle=False and a batch of all rows. It ends when the largest part of the gradient is at most tol,
    after max_iter iterations or max_fun evaluations of the loss; the last two with a ConvergenceWarning. tell(iteration,
    objective) is called after every iteration. The history has one entry, the last.
    """
    run = Run(problem, [member])
    [chunk] = run.batches.chunks(0, 0, 1)
    slots, flat, recipe = chunk.slots, run.population.flat, member.recipe
    grad, matrices = run.update.grad, run.population.weight_count
    slots.load(problem.rows, 0)
    slot = slots.parts[0].slots[0]
    weight = slot.weight
    row_weight = weight.squeeze(-1) if weight.ndim else weight

    def mean_loss(of: Callable[..., torch.Tensor]) -> float:
        return float((of(slot.scores, slot.target) * row_weight).sum())

    def penalty() -> float:
        out = run.population.flat.new_zeros(1)
        run.update.penalty(out)
        return float(out)

    def objective(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        flat.copy_(torch.from_numpy(point).view_as(flat))
        run.stacks.step(slots, 0)
        w = flat[:, :matrices]
        grad[:, :matrices].add_(w, alpha=recipe.l2).add_(w.sign(), alpha=recipe.l1)
        return mean_loss(run.objective.rows) + penalty(), grad[0].double().cpu().numpy().copy()

    iteration = 0

    def after(intermediate_result: Any) -> None:
        nonlocal iteration
        iteration += 1
        tell(iteration, float(intermediate_result.fun))

    began = time.perf_counter()
    rows = len(slot.x)
    with torch_settings(3.0 * rows * matrices, rows * run.widest), torch.no_grad(), np.errstate(all="ignore"):
        run.stacks.prepare(slots, 0, 1)
        start = flat[0].double().cpu().numpy().copy()
        options: Any = {"maxiter": max_iter, "maxfun": max_fun, "gtol": tol}
        result = minimize(objective, start, method="L-BFGS-B", jac=True, callback=after, options=options)
        objective(result.x)
        figures = {"epoch": [float(result.nit)], "loss": [mean_loss(run.objective.report)], "penalty": [penalty()]}
    if result.status != 0:
        message = result.message.decode() if isinstance(result.message, bytes) else result.message
        warnings.warn(
            f"lbfgs failed to converge after {result.nit} iteration(s) (status={result.status}):\n{message}\n"
            f"Increase the number of iterations (max_iter={max_iter}) or of evaluations (max_fun={max_fun}), or scale the data.",
            ConvergenceWarning,
            stacklevel=6,
        )
    assert not isinstance(member.spec, torch.nn.Module)
    parameters = run.population.network(0)  # type: ignore[union-attr]
    return Outcome(member.number, parameters, figures, 0, "done", None, time.perf_counter() - began)
