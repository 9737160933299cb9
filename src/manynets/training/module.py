"""A user's own torch module: made ready to be trained on a problem, and then a population of one network."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from manynets.errors import DataError, OptionError, warn_user
from manynets.nn.population import Population, all_finite
from manynets.tasks import Binary, Regression, Task
from manynets.training.torch_settings import private_generators, seeded_states
from manynets.training.trial import Problem

Networks: TypeAlias = "Population | ModulePopulation"
ROWS = 2  # that the module sees beforehand
SQUASHED = {"SoftmaxBackward0": "softmax", "SigmoidBackward0": "sigmoid"}
RESHAPED = ("Alias", "Reshape", "Select", "Slice", "Squeeze", "Unsqueeze", "View")


class ModulePopulation:
    """A user's module as a population of one, which is trained in place.

    Its parameters become views of `flat` (1, P), those of two axes or more first, and its floating-point buffers and frozen parameters
    views of `statistics` (1, Q). integers: whether the module gets x as integers. unsound: the names of those of which numbers are not
    finite from the start, such as a mask of -inf. generators: the states of torch's generators, from which the module may draw in
    training, at first those of the seed (`seeded_states`).
    """

    size = 1
    widest = 1024  # units of its widest layer, which is not known

    def __init__(self, module: nn.Module, *, device: torch.device, dtype: torch.dtype, integers: bool, seed: int) -> None:
        self.module, self.integers, self.seed = moved(module, device, dtype), integers, seed
        self.generators = seeded_states(seed, device)
        named = {name: p for name, p in module.named_parameters() if p.requires_grad}
        if not named:
            raise DataError(f"{type(module).__name__} has no parameter that requires a gradient; there is nothing to train")
        self.shapes = {name: tuple(named[name].shape) for name in sorted(named, key=lambda name: named[name].ndim < 2)}
        parameters = [named[name] for name in self.shapes]
        self.weight_count = sum(parameter.numel() for parameter in parameters if parameter.ndim >= 2)
        self._parameters, kept = parameters, _not_trained(module)
        buffers = list(kept.values())
        self.flat, self.statistics = (_joined(tensors, device, dtype) for tensors in (parameters, buffers))
        self._finite = torch.isfinite(self.statistics[0])
        self.unsound = frozenset(name for name, value in kept.items() if not torch.isfinite(value).all())
        views = [*_views(self.flat, parameters), *_views(self.statistics, buffers)]
        self._places = list(zip([*parameters, *buffers], views, strict=True))
        for tensor, view in self._places:
            tensor.data = view
        known = {id(buffer) for buffer in buffers}
        held = [(part, name, one) for part in module.modules() for name, one in part._buffers.items()]
        self._buffers = [(part, name, one) for part, name, one in held if one is not None and id(one) in known]
        self._owned = [
            (at, part._parameters, name, one) for at, part in module.named_modules() for name, one in part._parameters.items()
        ]
        layers = [(at, part._modules, name, one) for at, part in module.named_modules() for name, one in part.named_children()]
        self._owned += [layer for layer in layers if any(True for _ in layer[-1].parameters())]

    def take_replaced(self) -> None:
        """Copy what the module has replaced, as in `self.mean = 0.9 * self.mean + ...` or `self.weight.data = ...`, to its place.

        DataError where it holds another parameter than at first, or another layer with parameters.
        """
        for at, held, name, one in self._owned:
            if held.get(name) is not one:
                path = f"{at}.{name}" if at else name
                what, place = ("layer", f"{path}.weight") if isinstance(one, nn.Module) else ("parameter", path)
                raise DataError(
                    f"{type(self.module).__name__} replaces its {what} {path} in forward by another one, which would be neither trained nor"
                    f" kept; change it in place instead, with self.{place}.data = ..."
                )
        for part, name, view in self._buffers:
            new = part._buffers[name]
            if new is not None and new is not view:
                if new.shape != view.shape:
                    raise DataError(
                        f"{type(self.module).__name__} changes the shape of its buffer {name} from {tuple(view.shape)} to {tuple(new.shape)};"
                        " keep it as a plain attribute, which is not part of the model"
                    )
                view.copy_(new.detach())
                part._buffers[name] = view
        for tensor, view in self._places:
            if tensor.data_ptr() != view.data_ptr():
                view.copy_(tensor.detach())
                tensor.data = view

    def finite(self) -> NDArray[np.bool_]:
        """Return whether the numbers of the module are finite, (1,); what was infinite to begin with may stay so."""
        return all_finite(self.flat) & all_finite(self.statistics[:, self._finite])

    def state(self) -> dict[str, Tensor]:
        """Return what decides about later steps besides `flat` and `statistics`, by name."""
        others = {f"buffer/{name}": one for name, one in self.module.named_buffers() if not one.is_floating_point()}
        return {f"generator/{name}": state for name, state in self.generators.items()} | others

    def write_gradient_to(self, grad: Tensor) -> None:
        """Have autograd add the gradient of the parameters to views of a tensor (1, P)."""
        for parameter, view in zip(self._parameters, _views(grad, self._parameters), strict=True):
            parameter.grad = view

    def network(self, k: int = 0) -> dict[str, NDArray[Any]]:
        """Return copies of the module's parameters and buffers, by name."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.module.state_dict().items()}

    def copied(self, flat: Tensor, statistics: Tensor) -> nn.Module:
        """Return a copy of the module with these parameters (1, P) and buffers (1, Q)."""
        module = copy.deepcopy(self.module)
        _fill([module.get_parameter(name).data for name in self.shapes], flat)
        _fill([value.data for value in _not_trained(module).values()], statistics)
        return module

    def _called(self, x: Tensor) -> Tensor:
        """Return what the module gives for x (N, D)."""
        if not self.integers:
            return self.module(x)
        try:
            return self.module(whole_numbers(x))
        except (IndexError, RuntimeError) as error:
            if not isinstance(error, IndexError) and "range" not in str(error):
                raise
            name, low, high = type(self.module).__name__, int(x.min()), int(x.max())
            raise DataError(f"{name} does not accept X, whole numbers from {low} to {high}: {error}") from error

    def scores(self, x: Tensor) -> Tensor:
        """Return raw scores (1, N, O) in prediction mode for x (N, D)."""
        training = self.module.training
        self.module.eval()
        out = self._called(x.clone())  # x may be the user's own rows, and a module may change what it is given
        self.module.train(training)
        self.take_replaced()
        return two_axes(out, len(x)).detach().unsqueeze(0)

    def scorer(self) -> Callable[[Tensor], Tensor]:
        """Return `scores` of part after part of the rows; what the module draws for them follows from the seed, the same each time."""
        states, device = seeded_states(self.seed, self.flat.device), self.flat.device

        def scores(x: Tensor) -> Tensor:
            with private_generators(states, device):
                return self.scores(x)

        return scores

    def scored(self, x: Tensor, outputs: int) -> Tensor:
        """Return raw scores (N, O) in the mode that the module is in, for autograd; DataError unless there are that many outputs."""
        scores, name = two_axes(self._called(x), len(x)), type(self.module).__name__
        if scores.shape[1] != outputs:
            raise DataError(f"the module returns {scores.shape[1]} scores a row, but this target needs {outputs}")
        if torch.is_grad_enabled() and not scores.requires_grad:
            raise DataError(
                f"the scores of {name}, of type {str(scores.dtype).removeprefix('torch.')}, have no gradient; remove torch.no_grad(),"
                " detach(), argmax, round and the like from forward"
            )
        return scores


def _not_trained(module: nn.Module) -> dict[str, Tensor]:
    """Return the floating-point buffers of a module, and the parameters that ask for no gradient, by name."""
    frozen = {name: p for name, p in module.named_parameters() if not p.requires_grad}
    return {name: value for name, value in (*module.named_buffers(), *frozen.items()) if value.is_floating_point()}


def moved(module: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Move a module to a device, and its floating-point numbers to a type; return it. Complex buffers stay complex, unlike in `Module.to`."""
    module._apply(lambda value: value.to(device, dtype if value.is_floating_point() else None))  # type: ignore[no-untyped-call]
    return module


def _joined(parts: Sequence[Tensor], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return a copy of all numbers of some tensors, one after the other, (1, n)."""
    flat = [part.detach().reshape(-1).to(device, dtype) for part in parts]
    return torch.cat([torch.empty(0, device=device, dtype=dtype), *flat]).unsqueeze(0)


def _views(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Return views of a flat tensor (1, n) in the shapes of others, one after the other."""
    parts = torch.split(flat[0], [one.numel() for one in like])
    return [part.view(one.shape) for part, one in zip(parts, like, strict=True)]


def _fill(targets: Sequence[Tensor], flat: Tensor) -> None:
    """Copy a flat tensor (1, n) into others, one after the other."""
    for target, value in zip(targets, _views(flat, targets), strict=True):
        target.copy_(value)


def whole_numbers(x: Tensor) -> Tensor:
    """Return x as integers; DataError for numbers that are not whole, or so large that their type may have rounded them."""
    most = 2 / torch.finfo(x.dtype).eps
    if bool((x != x.round()).any()) or float(x.abs().max()) > most:
        raise DataError(f"X holds numbers that are not whole or beyond {most:.0f}, but this module takes integers")
    return x.long()


def two_axes(scores: Tensor, rows: int) -> Tensor:
    """Return a module's scores for so many rows as (rows, outputs); DataError for what cannot be that."""
    if not isinstance(scores, Tensor):
        raise DataError(f"the module returned a {type(scores).__name__}, but must return a tensor of raw scores (rows, outputs)")
    out = scores.unsqueeze(-1) if scores.ndim == 1 else scores
    if out.ndim != 2 or out.shape[0] != rows:
        raise DataError(f"the module returned scores of shape {tuple(scores.shape)} for {rows} rows; (rows, outputs) is needed")
    return out


# --------------------------------------------------------------------------------------------------- before the first step


def ready_for(module: nn.Module, problem: Problem, *, seed: int) -> Problem:
    """Return the problem that a module is trained on: with whole numbers in X as integers, if the module takes only those.

    Lazy layers are initialised by the first rows, by `seed`. Parameters made in torch.inference_mode() are replaced by copies that can
    be trained. Raises OptionError for parameters without data, and DataError for a module that does not take these rows.
    """
    with torch.inference_mode(mode=False):
        if isinstance(module, torch.jit.ScriptModule):
            raise OptionError("the module was made by torch.jit, which hides its parameters; give the module that it was made of")
        _copy_inference_tensors(module)
        for name, value in (*module.named_parameters(), *module.named_buffers()):
            if value.is_meta:
                raise OptionError(
                    f"{name} of {type(module).__name__} is on the device 'meta' and has no data; give it some, with"
                    " module.to_empty(device='cpu') and initial values"
                )
            if value.is_complex() and isinstance(value, nn.Parameter):
                raise OptionError(
                    f"{name} of {type(module).__name__} is complex, but only real parameters are trained; hold its real and imaginary"
                    " parts in a parameter with a last axis of 2, and use torch.view_as_complex in forward"
                )
            if value.is_complex() and value.dtype != torch.complex64:
                raise OptionError(
                    f"{name} of {type(module).__name__} is {str(value.dtype).removeprefix('torch.')}, but model files hold complex numbers as"
                    " complex64 only; give it that type"
                )
        x = problem.rows.x[:ROWS].clone()
        module.to(x.device)
        if not any(_is_lazy(value) for value in (*module.parameters(), *module.buffers())):
            moved(module, x.device, x.dtype)
        problem, error = _tried(module, problem, x, seed)
        for name, state in module.state_dict().items():
            if not isinstance(state, Tensor):
                raise OptionError(
                    f"{name} of {type(module).__name__} is a {type(state).__name__}, but a model holds tensors only; remove"
                    " get_extra_state, or have it return a tensor"
                )
    if error is not None:
        kind = str(x.dtype).removeprefix("torch.")
        raise DataError(
            f"{type(module).__name__} does not accept X, rows of {x.shape[1]} numbers of type {kind}: {error}"
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
            with torch.enable_grad(), private_generators(seeded_states(seed, x.device), x.device):
                scores = two_axes(module.eval()(whole_numbers(x) if integers else x), len(x))
        except (RuntimeError, IndexError, TypeError) as error:
            if first is None or isinstance(error, IndexError) or "Long, Int" in str(first):  # of an embedding
                first = error
        else:
            check_scores(module, scores, problem.task)
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
                    own_copy = value.detach().clone()
                    copies[id(value)] = nn.Parameter(own_copy, value.requires_grad) if isinstance(value, nn.Parameter) else own_copy
                own[name] = copies[id(value)]  # type: ignore[assignment]


# ------------------------------------------------------------------------------------------------------------- its scores


def check_scores(module: nn.Module, scores: Tensor, task: Task) -> None:
    """Raise DataError for scores (n, O) of a wrong number a row; warn of probabilities, as the loss takes the softmax or sigmoid of scores.

    The warning is for classes, and goes by the last function that autograd knows of.
    """
    name, found, needed = type(module).__name__, scores.shape[1], task.outputs
    if found != needed:
        raise DataError(
            f"the module returns {found} score{'' if found == 1 else 's'} a row, but this target needs {needed}; {_why(task, found)}"
        )
    squashed = None if isinstance(task, Regression) else SQUASHED.get(_last_function(scores))
    if squashed is not None:
        warn_user(
            f"the last function of {name} is a {squashed}, but the loss takes raw scores and applies its own, so that {name} learns little;"
            f" leave it out: predict_proba returns probabilities"
        )


def _why(task: Task, found: int) -> str:
    """Return why the task needs as many scores as it does, and what to do about it."""
    if isinstance(task, Regression):
        if task.quantiles:
            return "one for each target and quantile; change its last layer"
        return "one for each column of y; change its last layer, or give a task, such as task='multiclass', if y holds classes"
    if isinstance(task, Binary):
        return "one for two classes; change its last layer" + (", or give task='multiclass'" if found == 2 else "")
    numbers = all(isinstance(label, int | float) for label in getattr(task, "classes", ("",)))
    regression = ", or give task='regression' if y holds numbers to predict" if found == 1 and numbers else ""
    return f"one for each class; change its last layer{regression}"


def _last_function(scores: Tensor) -> str:
    """Return autograd's name of the function that made the scores, whatever their shape was changed to; "" where it knows of none."""
    node = scores.grad_fn
    while node is not None and node.name().startswith(RESHAPED) and node.next_functions:
        node = node.next_functions[0][0]
    return "" if node is None else node.name()
