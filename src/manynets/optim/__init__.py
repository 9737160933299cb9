"""Optimizers on the flat parameters (K, P) of K networks, with penalties and clipping."""

from manynets.optim.optimizers import Coefficient, Optimizer, SGDSteps, coefficient, optimizer_for, step_coefficients
from manynets.optim.update import GroupedOptimizer, Update

__all__ = [
    "Coefficient", "GroupedOptimizer", "Optimizer", "SGDSteps", "Update", "coefficient", "optimizer_for", "step_coefficients",
]  # fmt: skip
