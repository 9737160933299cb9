"""The rows of a stream as `Rows`: a buffer that holds one window, and batches that see to it that it is the right one."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manynets.data.batches import Batches, Rows
from manynets.data.stream.windows import Encoded, Layout, WindowReader
from manynets.errors import OptionError


@dataclasses.dataclass
class StreamedRows(Rows):
    """Rows of which a window is in memory: x (C, D), target and weight hold that window, in their first rows.

    Its length is the number of rows of an epoch, over all processes. identity: what decides about all rows, for checkpoints. spread (O,): the variance of
    the target, see `Loss.spread`.
    """

    layout: Layout
    reader: WindowReader
    identity: Any
    spread: NDArray[np.float64]

    def __post_init__(self) -> None:
        self.shown = -1
        on_host = self.x.device.type == "cpu"
        self._host = [None if part is None else part.numpy() if on_host else _pinned(part) for part in self._parts]

    def __len__(self) -> int:
        return self.layout.total

    @property
    def _parts(self) -> tuple[Tensor, Tensor, Tensor | None]:
        return self.x, self.target, self.weight

    def show(self, number: int) -> None:
        """Have the buffer hold window `number`, counted through all epochs."""
        if number == self.shown:
            return
        self.shown = -1
        rows = self.reader.fill(number, Encoded(*self._host))  # type: ignore[arg-type]
        if self.x.device.type != "cpu":
            for part, source in zip(self._parts, self._host, strict=True):
                if part is not None and source is not None:
                    part[:rows].copy_(torch.from_numpy(source[:rows]))
        self.shown = number


def _pinned(part: Tensor) -> NDArray[Any]:
    return torch.empty(part.shape, dtype=part.dtype, pin_memory=True).numpy()


class WindowBatches(Batches):
    """The batches of networks that train on a stream; an order covers a window instead of an epoch."""

    def __init__(self, rows: StreamedRows, **options: Any) -> None:
        if any(own is not None for own in options["own"]) or any(weight is not None for weight in options["weights"]):
            raise OptionError("networks that train on a stream share its rows; give them no rows or weights of their own")
        super().__init__(rows, **options)
        self.stream, layout = rows, rows.layout
        self.divided = layout.world_size > 1
        if (self.batch_size, self.steps) != (layout.batch_size, layout.steps):
            raise OptionError(
                f"the stream is cut for batches of {layout.batch_size} rows, {layout.steps} an epoch, but the networks take batches of"
                f" {self.batch_size}, {self.steps} an epoch"
            )
        self.orders_at_once, self.batch_size = 1, layout.size
        self._set(0)

    def located(self, step: int) -> tuple[int, int]:
        layout = self.stream.layout
        epoch, in_epoch = divmod(step, self.steps)
        window = min(in_epoch // layout.window_steps, layout.windows - 1)
        number = epoch * layout.windows + window
        self.stream.show(number)
        self._set(window)
        return number, in_epoch - window * layout.window_steps

    def whole(self, step: int) -> int:
        return self.stream.layout.whole(self._first_step + step)

    def _set(self, window: int) -> None:
        """Have all that depends on its rows fit a window of an epoch."""
        layout = self.stream.layout
        self._first_step = window * layout.window_steps
        start, stop = layout.span(window)
        self.most = stop - start
        self.counts[:] = self.most
        last = window == layout.windows - 1
        self.order_steps = layout.steps - self._first_step if last else layout.window_steps
