"""Dropout masks for K networks, many steps at once, as a function of (seed, layer, step, row in the batch, unit).

A unit is dropped where its random byte is below a level (`manynets.rng.drop_levels`); the bytes of a layer and step are stored in rows
of the batch, each padded to a multiple of eight units. Layer i (0: the input) has the stream stream_key(seed, "dropout", i). A
network's masks do not depend on the other networks, nor on which other layers drop anything, on the device or on how many steps
are made at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manynets import rng
from manynets.spec import MLP

BLOCK_WORDS = 1 << 15  # words mixed at a time: enough for each call to pay, few enough to stay within the cache of a core


def stream_keys(seeds: Sequence[int], layers: int) -> NDArray[np.uint64]:
    """Return the keys (K, layers) of the streams that the masks of each layer's input are drawn from."""
    return np.array([[rng.stream_key(seed, "dropout", i) for i in range(layers)] for seed in seeds], dtype=np.uint64)


def dropout_rates(specs: Sequence[MLP]) -> NDArray[np.float64]:
    """Return the dropout probabilities (K, layers) of each layer's input."""
    return np.array([(spec.input_dropout, *spec.dropouts) for spec in specs], dtype=np.float64)


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
    """Masks of the layers whose dropout probability is above 0 in any of K networks.

    seeds: of the K networks; widths: units of the input and of each hidden layer; rates (K, layers): probabilities (`dropout_rates`).
    active: the layers that have masks. scales: of each layer what kept units are multiplied by, 1 / (1 - p), (K, 1, 1).
    """

    def __init__(self, seeds: Sequence[int], widths: Sequence[int], rates: NDArray[np.float64], like: Tensor) -> None:
        self.active = [i for i in range(len(widths)) if rates[:, i].any()]
        self.networks, self.widths, self.rates, self.like = len(seeds), list(widths), rates, like
        self.keys = stream_keys(seeds, len(widths)) if self.active else np.empty((len(seeds), 0), dtype=np.uint64)
        self.scales = list(torch.from_numpy(1 / (1 - rates)).to(like.device, like.dtype).T.reshape(len(widths), -1, 1, 1))

    def make(self, step: int, count: int, size: int, part: slice | None = None) -> dict[int, Tensor]:
        """Return for each active layer which units are kept in `count` steps of `size` rows from `step` on: 1 or 0, in bytes,
        (count, K, size, units). part: of these rows of each batch only."""
        out, on_host = {}, self.like.device.type == "cpu"
        fill = fill_on_host if on_host else fill_on_device
        rows = range(size)[part or slice(None)]
        for i in self.active:
            shape = (count, self.networks, len(rows), self.widths[i])
            out[i] = torch.empty(shape, dtype=torch.uint8, device=self.like.device)
            words = rng.step_words(self.keys[:, i], step, count)
            levels = rng.drop_levels(words, self.rates[:, i : i + 1])
            of_row = -(-self.widths[i] // 8)  # words
            mine = range(rows.start * of_row, rows.stop * of_row)
            block = max(1, BLOCK_WORDS // max(1, self.networks * len(mine))) if on_host else count
            for start in range(0, count, block):
                cut = slice(start, min(start + block, count))
                fill(words[cut], levels[cut], mine, out[i][cut])
        return out


def fill_on_host(words: NDArray[np.uint64], levels: NDArray[np.uint8], mine: range, kept: Tensor) -> None:
    """Write which units are kept, with NumPy, which compares bytes several times faster than torch on the CPU.

    mine: which of the random words of a step are those of these rows.
    """
    n, k, size, units = kept.shape
    base = np.arange(mine.start + 1, mine.stop + 1, dtype=np.uint64) * np.uint64(rng.GOLDEN)
    out, spare = (np.empty((n, k, len(mine)), dtype=np.uint64) for _ in range(2))
    drawn = rng.random_bytes(words, base, out, spare).reshape(n, k, size, 8 * -(-units // 8))
    np.greater_equal(drawn[..., :units], levels[..., None], out=kept.numpy().view(np.bool_))


def fill_on_device(words: NDArray[np.uint64], levels: NDArray[np.uint8], mine: range, kept: Tensor) -> None:
    """Write the same with torch, on the device of `kept`."""
    n, k, size, units = kept.shape
    base = torch.arange(mine.start + 1, mine.stop + 1, device=kept.device) * _signed(rng.GOLDEN)
    out = base + torch.from_numpy(words.view(np.int64)).to(kept.device).unsqueeze(-1)
    mix64(out, torch.empty_like(out))
    drawn = out.view(torch.uint8).view(n, k, size, 8 * -(-units // 8))
    kept.copy_(drawn[..., :units] >= torch.from_numpy(levels).to(kept.device)[..., None])
