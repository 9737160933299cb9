"""What the steps of the closed form read besides the weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from torch import Tensor


@dataclasses.dataclass
class Inputs:
    """What S steps read besides the weights: tensors have the steps as their first axis, which those of one step lack.

    index (S, K, b): rows. target (S, K, b, O). share (S, K, b, 1), or a number: of each row in its batch. weight (S, K, b, 1): of each
    row, None if all count alike; rows and unbiased (S, K, 1, 1), or numbers: what batch norm divides by (`manynets.nn.batch_norm.normalisers`).
    kept: of each layer that drops units, which it keeps (S, K, b, units). now: the optimizer's three coefficients of each step, on CUDA
    as one tensor (S, 3, K, 1). penalty_scale (S, K, 1): what l1 and l2 are multiplied by, None for 1.
    """

    index: Tensor
    target: Tensor
    share: Any
    weight: Any
    rows: Any
    unbiased: Any
    kept: dict[int, Tensor]
    now: Any
    penalty_scale: Tensor | None

    def map(self, change: Callable[[Tensor], Tensor]) -> Inputs:
        """Return the inputs with every tensor changed."""

        def changed(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: change(tensor) for name, tensor in value.items()}
            return change(value) if isinstance(value, Tensor) else value

        return Inputs(*(changed(getattr(self, field.name)) for field in dataclasses.fields(self)))

    def tensors(self) -> list[Tensor]:
        """Return all tensors, in the order of the fields."""
        values = [getattr(self, field.name) for field in dataclasses.fields(self)]
        parts = [list(value.values()) if isinstance(value, dict) else [value] for value in values]
        return [value for part in parts for value in part if isinstance(value, Tensor)]

    def at(self, s: int) -> Inputs:
        """Return the inputs of one step."""
        one = self.map(lambda tensor: tensor[s])
        if not isinstance(self.now, Tensor):
            one.now = self.now[s]
        return one
