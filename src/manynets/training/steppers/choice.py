"""Which stepper trains a network: chosen by its shape, batch size, type and device."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from manynets import core
from manynets.errors import OptionError
from manynets.spec import MLP, Periodic
from manynets.steps import batch_rows
from manynets.training.steppers.autograd import Autograd
from manynets.training.steppers.base import Stepper
from manynets.training.steppers.closed_form import ClosedForm
from manynets.training.steppers.compiled import Compiled
from manynets.training.torch_settings import torch_modes
from manynets.training.trial import Member, Problem

STEPPERS: dict[str, type[Stepper]] = {kind.name: kind for kind in (Autograd, ClosedForm, Compiled)}

# Measured by `python -m bench.steppers` (docs/benchmarks.md): on one thread the core takes 0.1 to 0.8 of the time of the closed form for
# matrices of up to 512 x 512, on some processors more for those of 1024 x 1024. For larger steps torch's threads help.
CORE_MATRIX = 1 << 19  # numbers in the largest matrix that the core takes
CORE_STEP = 2.4e8  # multiplications in the largest step that it takes, where those of float64 count twice


def choose(problem: Problem, member: Member) -> str:
    """Return the name of the stepper for a network. It does not depend on how many others are trained with it.

    The core knows no periodic embedding, and no several quantiles: on the CPU such a network is trained by the closed form.
    """
    recipe, spec, on_cpu = member.recipe, member.spec, problem.rows.x.device.type == "cpu"
    if not isinstance(spec, MLP) or problem.loss is not None:
        return "autograd"
    limit = "no Periodic embedding" if isinstance(spec.embedding, Periodic) else "one quantile only" if recipe.quantiles else ""
    if recipe.gradient == "compiled" and limit:
        raise OptionError(f"gradient is 'compiled', but the core knows {limit}; use 'auto' or 'closed_form'")
    if recipe.gradient == "compiled" and (core.load() is None or not on_cpu):
        raise OptionError("gradient is 'compiled', but there is no compiled core here, or the device is not the CPU; use 'auto'")
    if recipe.precision == "bf16" and recipe.gradient in ("auto", "compiled"):  # which the core does not know
        return "autograd" if on_cpu else "closed_form"
    if recipe.gradient != "auto":
        return recipe.gradient
    if not on_cpu or core.load() is None or limit:
        return "closed_form"
    shape, rows = problem.shape_of(spec), batch_rows(recipe, member.row_count(problem))
    step = 3.0 * rows * shape.multiplications * (2 if recipe.dtype == "float64" else 1)
    return "compiled" if step <= CORE_STEP and shape.largest_matrix <= CORE_MATRIX else "closed_form"


def modes_for(problem: Problem, member: Member) -> AbstractContextManager[None]:
    """Return the context in which a network is trained; see `torch_modes`."""
    return torch_modes(problem.rows.x.device, autograd=choose(problem, member) == "autograd")


def make_stepper(problem: Problem, members: Sequence[Member]) -> Stepper:
    """Return the stepper of networks that can share their steps."""
    return STEPPERS[choose(problem, members[0])](problem, members)
