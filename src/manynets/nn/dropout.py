"""Dropout masks for K networks, many steps at once, as a function of (seed, layer, step, row in the batch, unit).

A unit is dropped where its random byte is below a level (`manynets.rng.drop_levels`); the bytes of a layer and step lie in rows
of the batch, each padded to a multiple of eight units. Layer i (0: the input) has the stream stream_key(seed, "dropout", i). A
network's masks do not depend on the other networks, nor on which other layers drop anything, on the device or on how many steps
are made at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manynets import rng

__all__ = ["Masks"]

BLOCK_WORDS = 1 << 15  # words mixed at a time: enough for each call to pay, few enough to stay within the cache of a core


def _signed(word: int) -> int:
    return word - (1 << 64) if word >= 1 << 63 else word


def mix64(x: Tensor, spare: Tensor) -> None:
    """Replace each word of x (int64) by rng.mix64 of it; spare is a buffer of the same shape."""
    for shift, factor in rng.MIX:
        torch.bitwise_right_shift(x, shift, out=spare)
        x.bitwise_xor_(spare.bitwise_and_((1 << (64 - shift)) - 1)).mul_(_signed(factor))
    torch.bitwise_right_shift(x, 31, out=spare)
    x.bitwise_xor_(spare.bitwise_and_((1 << 33) - 1))


@dataclasses.dataclass(frozen=True, eq=False)
class _Layer:
    """One layer's buffers for batches of one size: words as they are drawn (block, K, W), kept (S, K, b, units), its slots."""

    base: Tensor
    drawn: Tensor
    spare: Tensor
    kept: Tensor
    slots: list[Tensor]


class Masks:
    """Masks of the layers whose dropout probability is above 0 in any network.

    seeds: of the K networks; widths: units of the input and of each hidden layer; rates (K, layers): probabilities.
    After `fill`, `layers[i][s]` says which units of layer i are kept at step s: 1 or 0 in bytes, shape (K, b, units) (or (b, units)
    for K = 1); None for a layer without dropout. Kept units are to be multiplied by `scales[i]` = 1 / (1 - p); where p differs by
    network that factor is `columns[i]` (K, 1, 1) and `scales[i]` is 1.
    """

    def __init__(self, seeds: Sequence[int], widths: Sequence[int], rates: NDArray[np.float64], like: Tensor) -> None:
        self.active = [i for i in range(len(widths)) if rates[:, i].any()]
        self.networks, self.widths, self.rates, self.like = len(seeds), list(widths), rates, like
        self.keys = {i: np.array([rng.stream_key(seed, "dropout", i) for seed in seeds], dtype=np.uint64) for i in self.active}
        alike = [bool((rates[:, i] == rates[0, i]).all()) for i in range(len(widths))]
        self.scales = [1 / (1 - float(rates[0, i])) if alike[i] else 1.0 for i in range(len(widths))]
        columns = torch.from_numpy(1 / (1 - rates)).to(like.device, like.dtype)
        self.columns = [None if alike[i] else columns[:, i].view(-1, 1, 1) for i in range(len(widths))]
        self.layers: list[list[Tensor] | None] = [None] * len(widths)
        self._made: dict[tuple[int, int], list[_Layer]] = {}

    def _buffers(self, count: int, size: int) -> list[_Layer]:
        """Return what batches of this size need, made once: a captured CUDA graph goes on reading the same masks."""
        if (count, size) not in self._made:
            k, device, made = self.networks, self.like.device, []
            for i in self.active:
                padded = -(-self.widths[i] // 8) * 8
                words = size * padded // 8
                block = max(1, min(count, BLOCK_WORDS // (k * words))) if device.type == "cpu" else count
                base = torch.arange(1, words + 1, device=device) * torch.tensor(_signed(rng.GOLDEN), device=device)
                drawn = torch.empty(block, k, words, dtype=torch.int64, device=device)
                kept = torch.empty(count, k, size, self.widths[i], dtype=torch.uint8, device=device)
                made.append(_Layer(base, drawn, torch.empty_like(drawn), kept, list(kept[:, 0] if k == 1 else kept)))
            self._made[count, size] = made
        return self._made[count, size]

    def fill(self, step: int, count: int, size: int, most: int) -> None:
        """Make the masks of `count` steps of `size` rows from `step` on; `most` steps is the largest count that will come."""
        fill = _on_host if self.like.device.type == "cpu" else _on_device
        for i, layer in zip(self.active, self._buffers(most, size), strict=True):
            words = rng.step_words(self.keys[i], step, count)
            levels = rng.drop_levels(words, self.rates[:, i : i + 1])
            block = len(layer.drawn)
            for start in range(0, count, block):
                cut = slice(start, min(start + block, count))
                fill(words[cut], levels[cut], layer, layer.kept[cut])
            self.layers[i] = layer.slots

    def kept(self, s: int, size: int) -> list[Tensor | None]:
        """Return which units of each layer are kept in slot s of `size` rows: the first of those that it was made for."""
        slots = [None if layer is None else layer[s] for layer in self.layers]
        return [slot if slot is None or slot.shape[-2] == size else slot[..., :size, :] for slot in slots]

    def of(self, s: int, size: int) -> list[Tensor | None]:
        """Return what each layer of slot s is multiplied by beside `scales`: a number for each unit, 0 for those that are dropped."""
        masks = [None if kept is None else kept.to(self.like.dtype) for kept in self.kept(s, size)]
        return [mask if mask is None or column is None else mask * column for mask, column in zip(masks, self.columns, strict=True)]


def _on_host(words: NDArray[np.uint64], levels: NDArray[np.uint8], layer: _Layer, kept: Tensor) -> None:
    """NumPy, which compares bytes several times faster than torch on the CPU."""
    n, k, size, units = kept.shape
    base, out, spare = (x.numpy().view(np.uint64) for x in (layer.base, layer.drawn[:n], layer.spare[:n]))
    drawn = rng.random_bytes(words, base, out, spare).reshape(n, k, size, -1)
    np.greater_equal(drawn[..., :units], levels[..., None], out=kept.numpy().view(np.bool_))


def _on_device(words: NDArray[np.uint64], levels: NDArray[np.uint8], layer: _Layer, kept: Tensor) -> None:
    n, k, size, units = kept.shape
    out = layer.drawn[:n]
    torch.add(layer.base, torch.from_numpy(words.view(np.int64)).to(kept.device).unsqueeze(-1), out=out)
    mix64(out, layer.spare[:n])
    drawn = out.view(torch.uint8).view(n, k, size, -1)
    kept.copy_(drawn[..., :units] >= torch.from_numpy(levels).to(kept.device)[..., None])
