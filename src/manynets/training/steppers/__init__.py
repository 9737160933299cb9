"""Three ways to make the steps of a training, of which one is chosen by the network's shape, batch size, type and device."""

from __future__ import annotations

from collections.abc import Sequence

from manynets.spec import MLP
from manynets.training.members import Member, Problem, batch_rows
from manynets.training.steppers import core
from manynets.training.steppers.autograd import Autograd
from manynets.training.steppers.base import Stepper
from manynets.training.steppers.closed_form import ClosedForm
from manynets.training.steppers.compiled import Compiled

__all__ = ["choose", "make_stepper"]

STEPPERS: dict[str, type[Stepper]] = {kind.name: kind for kind in (Autograd, ClosedForm, Compiled)}

# The compiled core takes networks with up to this many multiplications in the forward pass of a row.
CORE_MULTIPLICATIONS = {"float32": 1 << 16, "float64": 1 << 16}


def choose(problem: Problem, member: Member) -> str:
    """Return the name of the stepper for a network. It does not depend on how many others are trained with it."""
    recipe, spec = member.recipe, member.spec
    if not isinstance(spec, MLP) or recipe.precision == "bf16":
        return "autograd"
    if recipe.gradient != "auto":
        return recipe.gradient
    if problem.rows.x.device.type != "cpu" or core.load() is None:
        return "closed_form"
    widths = (problem.rows.x.shape[1], *spec.hidden, problem.task.outputs)
    work = sum(a * b for a, b in zip(widths, widths[1:], strict=False))
    return "compiled" if work <= CORE_MULTIPLICATIONS[recipe.dtype] else "closed_form"


def make_stepper(problem: Problem, members: Sequence[Member]) -> Stepper:
    """Return the stepper of networks that can share their steps."""
    return STEPPERS[choose(problem, members[0])](problem, members)
