"""Dropout masks for K networks, many steps at once, as a function of (seed, step, row in the batch, unit).

A unit is dropped where its random byte is below a level (`manynets.rng.drop_levels`); the bytes of a step lie in rows of the
batch, the units of all layers with dropout side by side. A network's masks do not depend on the other networks, on the device
or on how many steps are made at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manynets import rng

__all__ = ["Masks"]

BLOCK_WORDS = 1 << 14  # words mixed at a time: they and their spare stay within the cache of a core


def _signed(word: int) -> int:
    return word - (1 << 64) if word >= 1 << 63 else word


def mix64(x: Tensor, spare: Tensor) -> None:
    """Replace each word of x (int64) by rng.mix64 of it; spare is a buffer of the same shape."""
    for shift, factor in rng.MIX:
        torch.bitwise_right_shift(x, shift, out=spare)
        x.bitwise_xor_(spare.bitwise_and_((1 << (64 - shift)) - 1)).mul_(_signed(factor))
    torch.bitwise_right_shift(x, 31, out=spare)
    x.bitwise_xor_(spare.bitwise_and_((1 << 33) - 1))


class Masks:
    """Masks of the layers whose dropout probability is above 0 in any network.

    seeds: of the K networks; widths: units of the input and of each hidden layer; rates (K, layers): probabilities.
    After `fill`, `layers[i][s]` is the mask of layer i at step s, shape (K, b, units) (or (b, units) for K = 1), or None for a
    layer without dropout. A mask is 0 where a unit is dropped. Elsewhere it is 1, and kept units are to be multiplied by
    `scales[i]` = 1 / (1 - p); where p differs by network that factor is in the mask and `scales[i]` is 1.
    """

    def __init__(self, seeds: Sequence[int], widths: Sequence[int], rates: NDArray[np.float64], like: Tensor) -> None:
        self.keys = np.array([rng.stream_key(seed, "dropout") for seed in seeds], dtype=np.uint64)
        self.active = [i for i in range(len(widths)) if rates[:, i].any()]
        self.widths = list(widths)
        self.starts = np.cumsum([0] + [widths[i] for i in self.active])
        self.units = -(-int(self.starts[-1]) // 8) * 8
        self.rates = rates[:, self.active]
        self.like = like
        alike = [bool((rates[:, i] == rates[0, i]).all()) for i in range(len(widths))]
        self.scales = [1 / (1 - float(rates[0, i])) if alike[i] else 1.0 for i in range(len(widths))]
        columns = torch.as_tensor(1 / (1 - rates)).to(like.device, like.dtype)
        self.columns = [None if alike[i] else columns[:, i].view(-1, 1, 1) for i in range(len(widths))]
        self.layers: list[list[Tensor] | None] = [None] * len(widths)
        self._shape = (0, 0)

    def _allocate(self, count: int, size: int) -> None:
        k, device = len(self.keys), self.like.device
        words = size * self.units // 8
        self._block = max(1, min(count, BLOCK_WORDS // (k * words)))
        if device.type != "cpu":
            self._block = count
        self._base = torch.arange(1, words + 1, device=device) * torch.tensor(_signed(rng.GOLDEN), device=device)
        self._words = torch.empty(self._block, k, words, dtype=torch.int64, device=device)
        self._spare = torch.empty_like(self._words)
        self._masks = [self.like.new_empty(count, k, size, self.widths[i]) for i in self.active]
        for i, mask in zip(self.active, self._masks, strict=True):
            self.layers[i] = list(mask[:, 0] if k == 1 else mask)
        self._shape = (count, size)

    def fill(self, step: int, count: int, size: int, most: int) -> None:
        """Make the masks of `count` steps of `size` rows from `step` on; `most` steps is the largest count that will come."""
        if not self.active:
            return
        if self._shape != (most, size):
            self._allocate(most, size)
        words = rng.step_words(self.keys, step, count)
        levels = rng.drop_levels(words, self.rates)
        fill = self._on_host if self.like.device.type == "cpu" else self._on_device
        for start in range(0, count, self._block):
            stop = min(start + self._block, count)
            fill(words[start:stop], levels[start:stop], start, size)
        for i, mask in zip(self.active, self._masks, strict=True):
            column = self.columns[i]
            if column is not None:
                mask[:count].mul_(column)

    def _cut(self, place: int) -> slice:
        return slice(self.starts[place], self.starts[place + 1])

    def _on_host(self, words: NDArray[np.uint64], levels: NDArray[np.uint8], start: int, size: int) -> None:
        """NumPy, which compares and converts bytes several times faster than torch on the CPU."""
        n = len(words)
        base, out, spare = (tensor.numpy().view(np.uint64) for tensor in (self._base, self._words[:n], self._spare[:n]))
        drawn = rng.random_bytes(words, base, out, spare).reshape(n, len(self.keys), size, self.units)
        for place, mask in enumerate(self._masks):
            kept = drawn[..., self._cut(place)] >= levels[:, :, place, None, None]
            np.copyto(mask[start : start + n].numpy(), kept)

    def _on_device(self, words: NDArray[np.uint64], levels: NDArray[np.uint8], start: int, size: int) -> None:
        n, device = len(words), self.like.device
        out = self._words[:n]
        torch.add(self._base, torch.from_numpy(words.view(np.int64)).to(device).unsqueeze(-1), out=out)
        mix64(out, self._spare[:n])
        drawn = out.view(torch.uint8).view(n, len(self.keys), size, self.units)
        bounds = torch.from_numpy(levels).to(device)[..., None, None]
        for place, mask in enumerate(self._masks):
            mask[start : start + n].copy_(drawn[..., self._cut(place)] >= bounds[:, :, place])
