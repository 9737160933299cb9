"""A specification as a plain torch.nn.Module, for those who bring their own loop."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from manynets.nn.activations import ACTIVATIONS
from manynets.nn.embeddings import PeriodicEmbedding
from manynets.nn.initial import initial_parameters
from manynets.nn.shape import Shape
from manynets.spec import MLP, Periodic
from manynets.spec.metadata import AT_LEAST_ONE, AT_LEAST_ZERO


class InputScale(nn.Module):
    """Multiply each input column by a learned factor: weight (D,). See `MLP.input_scale`."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(in_features))

    def forward(self, x: Tensor) -> Tensor:
        """Return x (N, D) times the factors."""
        return x * self.weight

    def extra_repr(self) -> str:
        return f"in_features={len(self.weight)}"


def network(spec: MLP, *, in_features: int, out_features: int, seed: int = 0) -> nn.Sequential:
    """Return a plain nn.Sequential of nn.Linear, nn.BatchNorm1d, activation and nn.Dropout modules, float32, on the CPU.

    It takes (N, in_features) and gives raw scores (N, out_features). Its parameters start as `train` starts them with this seed,
    and have the names of a model file: hidden0.weight, norm0.weight, ..., output.bias. Piecewise-linear columns are made by an encoder
    (`manynets.tables.fit_encoder`), not by the module: in_features counts them.

    >>> import manynets as mn
    >>> mn.network(mn.MLP(hidden=(3, 5)), in_features=2, out_features=6)
    Sequential(
      (hidden0): Linear(in_features=2, out_features=3, bias=True)
      (activation0): ReLU()
      (hidden1): Linear(in_features=3, out_features=5, bias=True)
      (activation1): ReLU()
      (output): Linear(in_features=5, out_features=6, bias=True)
    )
    """
    AT_LEAST_ONE.check(in_features, what="in_features")
    AT_LEAST_ONE.check(out_features, what="out_features")
    AT_LEAST_ZERO.check(seed, what="seed")
    d_in, d_out = int(in_features), int(out_features)  # which may be NumPy's
    return build(spec, d_in, d_out, initial_parameters(spec, d_in, d_out, seed=int(seed)))


def build(spec: MLP, in_features: int, out_features: int, parameters: Mapping[str, ArrayLike]) -> nn.Sequential:
    """Return the module of `network` with these parameters (and, with batch norm, running statistics), by name."""
    shape, parts = Shape.of(spec, in_features, out_features), OrderedDict[str, nn.Module]()
    if isinstance(spec.embedding, Periodic):
        parts["embedding"] = PeriodicEmbedding(spec.embedding, in_features)
    if spec.input_scale:
        parts["input_scale"] = InputScale(shape.inputs)
    if spec.input_dropout:
        parts["input_dropout"] = nn.Dropout(spec.input_dropout)
    for i, (name, d_in, d_out) in enumerate(shape.layers):
        # meta: the tensors are made below from the given values, so the global generator is not touched
        parts[name] = nn.Linear(d_in, d_out, bias=spec.bias, device="meta")
        if name == "output":
            break
        if spec.batch_norm:
            parts[f"norm{i}"] = nn.BatchNorm1d(d_out)
        parts[f"activation{i}"] = ACTIVATIONS[spec.activation].module()
        if spec.dropouts[i]:
            parts[f"dropout{i}"] = nn.Dropout(spec.dropouts[i])
    module = nn.Sequential(parts)
    state = {name: torch.tensor(value, dtype=torch.float32) for name, value in parameters.items()}
    for name, buffer in module.named_buffers():
        state.setdefault(name, buffer)
    module.load_state_dict(state, assign=True)
    return module
