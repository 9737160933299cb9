"""A step of the closed form as a CUDA graph: captured once for each size of a batch, and replayed for every later step.

A graph reads and writes the same memory each time. So the inputs of several steps lie in buffers that stay in place, and a counter
on the device says which of the steps is next; each replay moves it on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from manynets.training.steppers.inputs import Inputs

__all__ = ["CapturedStep"]


class CapturedStep:
    """A captured step. step(inputs): makes one step of these inputs and returns its scores (K, b, O) and penalty (K,) or None.

    Without CUDA nothing is captured: a replay makes the step itself.
    """

    def __init__(self, step: Callable[[Inputs], tuple[Tensor, Tensor | None]], like: Inputs, most: int) -> None:
        device = like.index.device
        self.step, self.counter = step, torch.zeros(1, dtype=torch.long, device=device)
        self.inputs = like.map(lambda tensor: tensor.new_zeros(most, *tensor.shape[1:]))
        self.scores = torch.zeros_like(self.inputs.target)
        self.penalties = self.scores.new_zeros(most, self.scores.shape[1])
        self.graph: Any = None
        if device.type == "cuda":
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self._run()

    def _run(self) -> None:
        now = self.inputs.map(lambda tensor: tensor.index_select(0, self.counter)[0])
        scores, penalty = self.step(now)
        self.scores.index_copy_(0, self.counter, scores.unsqueeze(0))
        if penalty is not None:
            self.penalties.index_copy_(0, self.counter, penalty.unsqueeze(0))
        self.counter.add_(1)

    def replay(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Make the steps of these inputs, at most `most`; return their scores (S, K, b, O) and penalties (S, K)."""
        count = len(inputs.index)
        for name in (field.name for field in dataclasses.fields(Inputs)):
            for target, source in zip(_tensors(getattr(self.inputs, name)), _tensors(getattr(inputs, name)), strict=True):
                target[:count].copy_(source)
        self.counter.zero_()
        for _ in range(count):
            if self.graph is None:
                self._run()
            else:
                self.graph.replay()
        return self.scores[:count], self.penalties[:count]


def _tensors(value: Any) -> list[Tensor]:
    """Return the tensors of a field of the inputs: itself, those of a dict, or none of a number."""
    if isinstance(value, dict):
        return list(value.values())
    return [value] if isinstance(value, Tensor) else []
