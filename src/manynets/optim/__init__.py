"""Optimizers on the flat parameters (K, P) of K networks, with penalties and clipping."""

from manynets.optim.optimizers import Coefficient, coefficient, step_coefficients
from manynets.optim.update import GroupedOptimizer, Update

__all__ = ["Coefficient", "GroupedOptimizer", "Update", "coefficient", "step_coefficients"]
