"""Checks of the arguments of `manynets.train`, before any data are read."""

from __future__ import annotations

import dataclasses
import numbers
import os
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from manynets.display import listed, short
from manynets.distributed import current_ranks
from manynets.engines import ENGINES
from manynets.errors import OptionError, check_count, one_of
from manynets.modelfile import leads_to_itself
from manynets.nn.shape import Shape
from manynets.spec import MLP, Recipe
from manynets.spec.lessons import no_callback, no_spec
from manynets.spec.own import is_own, own_name, without_function
from manynets.tasks.objectives import OwnLoss
from manynets.training.checkpoint import Checkpoint

LISTED = 20  # names of parameters that an error lists


def check_callbacks(callbacks: Any) -> None:
    """Raise OptionError for callbacks that are not functions."""
    if not isinstance(callbacks, Iterable):
        raise OptionError(f"callbacks is {callbacks!r}, but must be several functions, such as [print]")
    for one in callbacks if isinstance(callbacks, Sequence) else ():
        if not callable(one):
            raise OptionError(no_callback(one))


def check_n_jobs(n_jobs: Any) -> None:
    """Raise OptionError unless this can be a number of processes."""
    if n_jobs is not None and (isinstance(n_jobs, bool) or not isinstance(n_jobs, numbers.Integral) or n_jobs == 0):
        raise OptionError(
            f"n_jobs is {n_jobs!r}, but must be None, a whole number of at least 1, or a negative one: -1 for all processors, -2 for all but one"
        )


def check_patterns(networks: Iterable[tuple[MLP | nn.Module, Recipe]]) -> None:
    """Raise OptionError for a pattern of a `ParameterGroup` that matches no parameter of any of the networks that have it."""
    found: dict[str, dict[str, None]] = {}
    for spec, recipe in networks:
        for group in recipe.groups:
            names = dict(spec.named_parameters()) if isinstance(spec, nn.Module) else Shape.of(spec, 1, 1).parameters()
            found.setdefault(group.names, {}).update(dict.fromkeys(names))
    for pattern, parameters in found.items():
        if not any(fnmatchcase(name, pattern) for name in parameters):
            known = listed(parameters, LISTED)
            raise OptionError(f"ParameterGroup(names={pattern!r}) matches no parameter; the parameters are {known}")


def check_options(spec: Any, recipe: Any, *, engine: str, n_networks: Any, initial: Any, checkpoint: Any, resume: Any) -> None:
    """Raise OptionError for arguments of `train` that cannot be used, or not together."""
    if not isinstance(spec, MLP | nn.Module):
        raise OptionError(no_spec(spec))
    if not isinstance(recipe, Recipe):
        raise OptionError(f"recipe is {recipe!r}, but must be a Recipe, such as Recipe(epochs=20)")
    check_patterns([(spec, recipe)])
    module = isinstance(spec, nn.Module)
    if module and recipe.gradient in ("closed_form", "compiled"):
        raise OptionError(f"gradient={recipe.gradient!r} is for an MLP; a module of your own is trained with 'auto' or 'autograd'")
    one_of(engine, ENGINES, what="engine")
    if engine != "torch" and current_ranks().size > 1:
        raise OptionError(f"engine is {engine!r}, which trains in one process, and there are {current_ranks().size}; use 'torch'")
    for name, path in (("checkpoint", getattr(checkpoint, "folder", None)), ("resume", resume)):
        if path is not None and leads_to_itself(path):
            raise OptionError(f"{name} is {os.fspath(path)!r}, a symbolic link that leads back to itself; give a folder")
    if engine != "torch" and (checkpoint is not None or resume is not None):
        raise OptionError(
            f"checkpoints hold the state of torch's training, which the engine {engine!r} does not have; use engine='torch', or leave "
            "out checkpoint and resume"
        )
    if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
        raise OptionError(f"checkpoint is {checkpoint!r}, but must be a Checkpoint, such as Checkpoint(folder='run')")
    check_count(n_networks, what="n_networks")
    if isinstance(initial, list | tuple) and len(initial) != n_networks:
        raise OptionError(f"initial has the parameters of {len(initial)} networks, but n_networks is {n_networks}; give as many")
    alone = isinstance(initial, Mapping)
    if n_networks > 1 and (module or alone or engine != "torch"):
        what = "a module of your own" if module else "initial" if alone else f"engine={engine!r}"
        raise OptionError(f"n_networks is {n_networks}, but with {what} only one network is trained; leave out n_networks")
    if module and initial is not None:
        raise OptionError("initial is for an MLP; load the weights into your module before you give it to train")


def with_loss(recipe: Recipe, loss: Any, *, engine: str = "torch") -> tuple[Recipe, OwnLoss | None]:
    """Return the recipe with the loss that was given to `train`, a name or a function, and the function; None for a name.

    Errors: OptionError for what is no loss, for options that do not go with a function, and for a recipe whose function is not given.
    """
    if loss is None or isinstance(loss, str):
        recipe = recipe if loss is None else dataclasses.replace(recipe, loss=loss)
        if is_own(recipe.loss):
            raise OptionError(without_function(recipe.loss))
        return recipe, None
    if isinstance(loss, type):
        raise OptionError(f"loss is the class {loss.__name__}; give an instance: {loss.__name__}(...)")
    if not callable(loss):
        raise OptionError(
            f"loss is {short(loss)}, but must be a name, such as 'huber', or a function of scores (N, O) and targets that returns the loss of each row"
        )
    name = own_name(loss)
    refused = {
        f"engine={engine!r}": "torch alone computes it" if engine != "torch" else "",
        f"gradient={recipe.gradient!r}": "its gradient comes from autograd" if recipe.gradient not in ("auto", "autograd") else "",
        f"label_smoothing={recipe.label_smoothing:g}": "it gets the labels as they are" if recipe.label_smoothing else "",
    }
    for option, why in refused.items():
        if why:
            raise OptionError(f"loss is {name}, a function of your own, which does not go with {option}, as {why}; leave that out")
    return dataclasses.replace(recipe, loss=name), loss


def with_one_loss(candidates: Iterable[tuple[MLP, Recipe]], loss: Any) -> tuple[list[tuple[MLP, Recipe]], OwnLoss | None]:
    """Return candidates with the loss that was given for all of them, and the function, None for a name; see `with_loss`."""
    candidates = list(candidates)
    for _, recipe in candidates:
        if is_own(recipe.watch):
            raise OptionError(without_function(recipe.watch, field="watch", option="metric"))
    found = [(spec, *with_loss(recipe, loss)) for spec, recipe in candidates]
    return [(spec, recipe) for spec, recipe, _ in found], found[0][2]
