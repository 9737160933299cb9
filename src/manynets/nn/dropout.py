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


def stream_keys(seeds: Sequence[int], layers: int) -> NDArray[np.uint64]:
    """Return the keys (K, layers) of the streams that the masks of each layer's input are drawn from."""
    return np.array([[rng.stream_key(seed, "dropout", i) for i in range(layers)] for seed in seeds], dtype=np.uint64)


def dropout_rates(specs: Sequence[MLP]) -> NDArray[np.float64]:
    """Return the dropout probabilities (K, layers) of each layer's input."""
    return np.array([(spec.input_dropout, *spec.dropouts) for spec in specs], dtype=np.float64)


def _signed(word: int) -> int:
    return word - (1 << 64) if word >= 1 << 63 else word


def mix64(x: Tensor) -> None:
    """Replace each word of x (int64) by rng.mix64 of it."""
    spare = torch.empty_like(x)
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
        self.widths, self.rates, self.device = list(widths), rates, like.device
        self.keys = stream_keys(seeds, len(widths)) if self.active else np.empty((len(seeds), 0), dtype=np.uint64)
        self.scales = list(torch.from_numpy(1 / (1 - rates)).to(like.device, like.dtype).T.reshape(len(widths), -1, 1, 1))

    def make(self, step: int, count: int, size: int, part: slice | None = None) -> dict[int, Tensor]:
        """Return for each active layer which units are kept in `count` steps of `size` rows from `step` on: 1 or 0, in bytes,
        (count, K, size, units). part: of these rows of each batch only."""
        kept, rows = {}, range(size)[part or slice(None)]
        for i in self.active:
            words = rng.step_words(self.keys[:, i], step, count)
            levels = rng.drop_levels(words, self.rates[:, i : i + 1])
            if self.device.type == "cpu":
                kept[i] = kept_on_host(words, levels, rows, self.widths[i])
            else:
                kept[i] = kept_on_device(words, levels, rows, self.widths[i], self.device)
        return kept


def kept_on_host(words: NDArray[np.uint64], levels: NDArray[np.uint8], rows: range, units: int) -> Tensor:
    """Return which units of these rows are kept, by NumPy, which compares bytes several times faster than torch on the CPU."""
    of_row = -(-units // 8)  # random words
    drawn = rng.random_bytes(words, range(rows.start * of_row, rows.stop * of_row))
    drawn = drawn.reshape(*words.shape, len(rows), 8 * of_row)
    kept = torch.empty(*words.shape, len(rows), units, dtype=torch.uint8, device="cpu")
    np.greater_equal(drawn[..., :units], levels[..., None], out=kept.numpy().view(np.bool_))
    return kept


def kept_on_device(words: NDArray[np.uint64], levels: NDArray[np.uint8], rows: range, units: int, device: torch.device) -> Tensor:
    """Return the same by torch, on the device."""
    of_row = -(-units // 8)
    base = torch.arange(rows.start * of_row + 1, rows.stop * of_row + 1, device=device) * _signed(rng.GOLDEN)
    out = base + torch.from_numpy(words.view(np.int64)).to(device).unsqueeze(-1)
    mix64(out)
    drawn = out.view(torch.uint8).view(*words.shape, len(rows), 8 * of_row)
    return (drawn[..., :units] >= torch.from_numpy(levels).to(device)[..., None]).view(torch.uint8)
