"""The shape of a network: names and sizes of its parameters. Knows no torch."""

from __future__ import annotations

import dataclasses
import functools

from manynets.nn.initial import layer_sizes
from manynets.spec import MLP, Activation

__all__ = ["Shape"]


@dataclasses.dataclass(frozen=True)
class Shape:
    """What networks must have in common to be one population: sizes, activation, norm and bias, not dropout or init."""

    in_features: int
    out_features: int
    hidden: tuple[int, ...]
    activation: Activation
    batch_norm: bool
    bias: bool
    input_scale: bool = False

    @classmethod
    def of(cls, spec: MLP, in_features: int, out_features: int) -> Shape:
        """Return the shape of a specification for data of this width."""
        return cls(in_features, out_features, spec.hidden, spec.activation, spec.batch_norm, spec.bias, spec.input_scale)

    @functools.cached_property
    def layers(self) -> list[tuple[str, int, int]]:
        """(name, d_in, d_out) of each linear layer."""
        return layer_sizes(MLP(hidden=self.hidden), self.in_features, self.out_features)

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of each parameter, in the order of the flat tensor: weight matrices first."""
        layers = self.layers
        out: dict[str, tuple[int, ...]] = {f"{name}.weight": (d_out, d_in) for name, d_in, d_out in layers}
        if self.bias:
            out |= {f"{name}.bias": (d_out,) for name, _, d_out in layers}
        if self.batch_norm:
            for i, units in enumerate(self.hidden):
                out |= {f"norm{i}.weight": (units,), f"norm{i}.bias": (units,)}
        if self.input_scale:
            out["input_scale.weight"] = (self.in_features,)
        return out

    def buffers(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of each running statistic of batch norm."""
        out: dict[str, tuple[int, ...]] = {}
        if self.batch_norm:
            for i, units in enumerate(self.hidden):
                out |= {f"norm{i}.running_mean": (units,), f"norm{i}.running_var": (units,)}
        return out

    @property
    def multiplications(self) -> int:
        """Multiplications that one row costs in a forward pass."""
        return sum(d_in * d_out for _, d_in, d_out in self.layers)
