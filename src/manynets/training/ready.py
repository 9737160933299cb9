"""Make a user's own module ready to be trained on a problem, or say why it cannot be."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from manynets.errors import DataError, OptionError
from manynets.training.module import two_axes, whole_numbers
from manynets.training.torch_settings import private_generators, seeded_states
from manynets.training.trial import Problem

__all__ = ["ready_for"]

ROWS = 2  # that the module sees beforehand


def ready_for(module: nn.Module, problem: Problem, *, seed: int) -> Problem:
    """Return the problem that a module is trained on: with whole numbers in X as integers, if the module takes only those.

    Lazy layers are initialised by the first rows, by `seed`. Parameters made in torch.inference_mode() are replaced by copies that can
    be trained. Raises OptionError for parameters without data, and DataError for a module that does not take these rows.
    """
    with torch.inference_mode(mode=False):
        _copy_inference_tensors(module)
        for name, value in (*module.named_parameters(), *module.named_buffers()):
            if value.is_meta:
                raise OptionError(
                    f"{name} of {type(module).__name__} is on the device 'meta' and has no data; give it some, with"
                    " module.to_empty(device='cpu') and initial values"
                )
        x = problem.rows.x[:ROWS].clone()
        module.to(x.device)
        if not any(_is_lazy(value) for value in (*module.parameters(), *module.buffers())):
            module.to(x.dtype)
        problem, error = _tried(module, problem, x, seed)
    if error is not None:
        kind = str(x.dtype).removeprefix("torch.")
        raise DataError(
            f"{type(module).__name__} does not take X, rows of {x.shape[1]} numbers of the type {kind}: {error}"
        ) from error
    return problem


def _is_lazy(value: Tensor) -> bool:
    return isinstance(value, UninitializedParameter | UninitializedBuffer)


def _tried(module: nn.Module, problem: Problem, x: Tensor, seed: int) -> tuple[Problem, Exception | None]:
    """Call the module on some rows, as they are and as integers; return the problem for what it takes, or its first error."""
    first = None
    for integers in (False, True):
        if integers and not bool((problem.rows.x == problem.rows.x.round()).all()):
            break
        training = module.training
        try:
            with torch.no_grad(), private_generators(seeded_states(seed, x.device), x.device):
                two_axes(module.eval()(whole_numbers(x) if integers else x), len(x))
        except (RuntimeError, IndexError, TypeError) as error:
            if first is None or isinstance(error, IndexError):  # of an embedding
                first = error
        else:
            return dataclasses.replace(problem, integers=integers), None
        finally:
            module.train(training)
    return problem, first


def _copy_inference_tensors(module: nn.Module) -> None:
    """Replace parameters and buffers made in inference mode, which autograd refuses, by copies; shared ones stay shared."""
    copies: dict[int, Tensor] = {}
    for part in module.modules():
        for own in (part._parameters, part._buffers):
            for name, value in own.items():
                if value is None or _is_lazy(value) or not value.is_inference():
                    continue
                if id(value) not in copies:
                    copy = value.detach().clone()
                    copies[id(value)] = nn.Parameter(copy, value.requires_grad) if isinstance(value, nn.Parameter) else copy
                own[name] = copies[id(value)]  # type: ignore[assignment]
