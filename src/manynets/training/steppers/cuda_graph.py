"""A step of the closed form as a CUDA graph: captured once for each size of a batch, and replayed for every later step.

A graph reads and writes the same memory each time. So the inputs of several steps are in fixed buffers, and a counter
on the device says which of the steps is next; each replay moves it on.

What is captured must not wait for the device, nor copy from or to the host, nor see a tensor that is made anew for each step. What a
step allocates comes from the graph's own pool of memory, and cuBLAS's workspace for the stream of the capture is made before it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import torch
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


class CapturedStep:
    """A captured step. step(inputs): makes one step of these inputs and returns its scores (K, b, O) and penalty (K,) or None.

    It must have been called before with inputs of this kind, so that its buffers are there. Without CUDA nothing is captured: a
    replay makes the step itself.
    """

    def __init__(self, step: Callable[[Inputs], tuple[Tensor, Tensor | None]], like: Inputs, most: int) -> None:
        device = like.index.device
        self.counter = torch.zeros(1, dtype=torch.long, device=device)
        self.inputs = like.map(lambda tensor: tensor.new_zeros(most, *tensor.shape[1:]))
        self.scores = torch.zeros_like(self.inputs.target)
        self.penalties = self.scores.new_zeros(most, self.scores.shape[1])
        self.again: Callable[[], object] = lambda: self._run(step)
        if device.type == "cuda":
            with torch.cuda.device(device):  # the user's current device may be another
                self.again = self._capture(step, device).replay  # without `step`, which would hold on to the stepper that has us

    def _capture(self, step: Callable[[Inputs], tuple[Tensor, Tensor | None]], device: torch.device) -> Any:
        self._now()  # loads the kernels that only a captured step calls, as the next line does
        self._write(self.scores[0].clone(), self.penalties[0].clone())
        stream, graph = _stream(device), torch.cuda.CUDAGraph()
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):  # makes cuBLAS's workspace for this stream
            torch.bmm(self.scores[0].mT, self.scores[0])
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):  # other threads may go on using CUDA
            self._run(step)
        torch.cuda.current_stream(device).wait_stream(stream)
        return graph

    def _now(self) -> Inputs:
        """Return the inputs of the step that the counter is at."""
        return self.inputs.map(lambda tensor: tensor.index_select(0, self.counter)[0])

    def _write(self, scores: Tensor, penalty: Tensor | None) -> None:
        """Write what a step returned, and move the counter on."""
        self.scores.index_copy_(0, self.counter, scores.unsqueeze(0))
        if penalty is not None:
            self.penalties.index_copy_(0, self.counter, penalty.unsqueeze(0))
        self.counter.add_(1)

    def _run(self, step: Callable[[Inputs], tuple[Tensor, Tensor | None]]) -> None:
        self._write(*step(self._now()))

    def replay(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Make the steps of these inputs, at most `most`; return their scores (S, K, b, O) and penalties (S, K).

        The next call overwrites them.
        """
        count = len(inputs.index)
        for target, source in zip(self.inputs.tensors(), inputs.tensors(), strict=True):
            target[:count].copy_(source)
        self.counter.zero_()
        for _ in range(count):
            self.again()
        return self.scores[:count], self.penalties[:count]


@functools.cache
def _stream(device: torch.device) -> Any:
    """Return the stream on which all steps of a device are captured: cuBLAS keeps some megabytes for each that it has seen."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
