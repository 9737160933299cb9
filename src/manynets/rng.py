"""Random numbers as functions of their coordinates: a seed, a purpose, an epoch or a step. NumPy only.

There is no state to store: the permutation of epoch 7 or the dropout mask of step 1,234 of a network follow from its seed alone. So
every engine sees the same batches and masks, K networks together see what each sees alone, and a resumed run continues exactly.

Source: counter-based generators, Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"; the bit mixer is the
finaliser of SplitMix64, Steele et al. 2014.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from manynets import core

Purpose = Literal["init", "permutation", "dropout", "split", "bootstrap", "data", "search", "embedding"]
PURPOSES: dict[Purpose, int] = {
    "init": 1, "permutation": 2, "dropout": 3, "split": 4, "bootstrap": 5, "data": 6, "search": 7, "embedding": 8,
}  # fmt: skip

GOLDEN = 0x9E3779B97F4A7C15  # 2**64 / golden ratio: the step between neighbouring counters
MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))  # (shift, factor) of the two rounds; a last shift of 31 follows
_WORD = (1 << 64) - 1
FEW = 8  # fewer stream keys are made faster one by one
MANY = 1 << 17  # rows above which several threads share the permutations


def mix64(word: int) -> int:
    """Return the SplitMix64 finaliser of a 64-bit word: a bijection that scatters neighbouring words.

    >>> hex(mix64(0x9E3779B97F4A7C15))
    '0xe220a8397b1dcdaf'
    """
    word &= _WORD
    for shift, factor in MIX:
        word = ((word ^ (word >> shift)) * factor) & _WORD
    return word ^ (word >> 31)


_mine = threading.local()  # a thread's generator for permutations
_ZEROS = np.zeros(4, dtype=np.uint64)


def stream_key(seed: int, purpose: Purpose, *path: int) -> int:
    """Return the 64-bit key of a stream: equal coordinates give equal keys, different ones give unrelated keys."""
    key = mix64(seed + GOLDEN)
    for coordinate in (PURPOSES[purpose], *path):
        key = mix64(key + GOLDEN * (coordinate + 1))
    return key


def generator(seed: int, purpose: Purpose, *path: int) -> np.random.Generator:
    """Return a private NumPy generator (Philox) for the stream at these coordinates."""
    return np.random.Generator(np.random.Philox(key=stream_key(seed, purpose, *path)))


def permutation(seed: int, epoch: int, rows: int) -> NDArray[np.int64]:
    """Return the order, shape (rows,), in which a network with this seed visits its rows in this epoch (the first is 0).

    It equals that of `generator`, but reuses a Philox and sets its key: making a new one takes longer than permuting 500 rows.
    """
    if not hasattr(_mine, "generator"):
        _mine.generator = np.random.Generator(np.random.Philox(0))
    key = np.array([stream_key(seed, "permutation", epoch), 0], dtype=np.uint64)
    blank = {"bit_generator": "Philox", "buffer": _ZEROS, "buffer_pos": 4, "has_uint32": 0, "uinteger": 0}
    _mine.generator.bit_generator.state = blank | {"state": {"counter": _ZEROS, "key": key}}
    order: NDArray[np.int64] = _mine.generator.permutation(rows)
    return order


def permutations(seeds: Sequence[int], epochs: Sequence[int], rows: int, *, threads: int = 1) -> NDArray[np.int64]:
    """Return the orders of `permutation` for several epochs and seeds, shape (E, U, rows).

    The compiled core computes them if there is one, on at most so many threads.
    """
    if core.load() is None:
        return np.array([[permutation(seed, epoch, rows) for seed in seeds] for epoch in epochs])
    if len(seeds) * len(epochs) < FEW:
        keys = np.array([stream_key(seed, "permutation", epoch) for epoch in epochs for seed in seeds], dtype=np.uint64)
    else:
        keys = _permutation_keys(seeds, epochs).reshape(-1)
    out = np.empty((len(keys), rows), dtype=np.int64)
    core.permutations(keys, rows, out, threads=threads if out.size > MANY else 1)
    return out.reshape(len(epochs), len(seeds), rows)


def _permutation_keys(seeds: Sequence[int], epochs: Sequence[int]) -> NDArray[np.uint64]:
    """Return the `stream_key` of each epoch and seed, shape (E, U)."""
    keys = np.array([[(seed + GOLDEN) & _WORD for seed in seeds]], dtype=np.uint64)
    _mix(keys)
    keys += np.uint64((GOLDEN * (PURPOSES["permutation"] + 1)) & _WORD)
    _mix(keys)
    keys = keys + np.array([[(GOLDEN * (epoch + 1)) & _WORD] for epoch in epochs], dtype=np.uint64)
    _mix(keys)
    return keys


@final
class Shuffles:
    """The orders in which scikit-learn's MLP visits its rows: each epoch shuffles the order of the epoch before.

    random: the generator before the first epoch, a Mersenne Twister, or another one from which to seed one. Objects with equal states
    compare equal and give equal orders. Any epoch may be requested; the epoch after the last request is the fastest.
    """

    def __init__(self, random: np.random.RandomState) -> None:
        state: Any = random.get_state(legacy=False)
        if state["bit_generator"] != "MT19937":
            state = np.random.RandomState(random.randint(2**31 - 1)).get_state(legacy=False)
        self._start = state["state"]["key"].tobytes(), int(state["state"]["pos"])
        self._random: np.random.RandomState | None = None
        self._epoch = -1
        self._order: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def order(self, epoch: int, rows: int) -> NDArray[np.int64]:
        """Return the order, shape (rows,), of an epoch (the first is 0)."""
        if self._random is None or epoch < self._epoch or rows != len(self._order):
            key, position = self._start
            self._random = np.random.RandomState(0)
            self._random.set_state({"bit_generator": "MT19937", "state": {"key": np.frombuffer(key, np.uint32), "pos": position}})
            self._epoch, self._order = -1, np.arange(rows)
        while self._epoch < epoch:
            self._order = self._order.copy()
            self._random.shuffle(self._order)
            self._epoch += 1
        return self._order

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shuffles) and self._start == other._start

    def __hash__(self) -> int:
        return hash(self._start)


Order: TypeAlias = int | Shuffles | None
"""What decides the order of a network's rows: a seed (`permutation`), scikit-learn's shuffles, or None for that of the data."""


def orders_of(orders: Sequence[Order], epoch: int, rows: int, *, threads: int = 1) -> list[NDArray[np.int64]]:
    """Return the order, shape (rows,), of an epoch (the first is 0) for each."""
    seeds = list(dict.fromkeys(order for order in orders if isinstance(order, int)))
    drawn = dict(zip(seeds, permutations(seeds, [epoch], rows, threads=threads)[0], strict=True)) if seeds else {}
    plain = np.arange(rows)
    return [plain if by is None else by.order(epoch, rows) if isinstance(by, Shuffles) else drawn[by] for by in orders]


def _mix(word: NDArray[np.uint64]) -> None:
    """Replace each word by mix64 of it."""
    spare = np.empty_like(word)
    for shift, factor in MIX:
        np.right_shift(word, np.uint64(shift), out=spare)
        np.bitwise_xor(word, spare, out=word)
        np.multiply(word, np.uint64(factor), out=word)
    np.right_shift(word, np.uint64(31), out=spare)
    np.bitwise_xor(word, spare, out=word)


def step_words(keys: NDArray[np.uint64], step: int, count: int) -> NDArray[np.uint64]:
    """Return one random word for each of `count` steps from `step` on and each key, shape (count, K)."""
    words = keys[None, :] + np.arange(step + 1, step + count + 1, dtype=np.uint64)[:, None] * np.uint64(GOLDEN)
    _mix(words)
    return words


def drop_levels(words: NDArray[np.uint64], rates: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the level, out of 256, below which a random byte drops its unit, shape (count, K, L), for step_words (count, K).

    rates (K, L) are probabilities. The level is 256 p, rounded down or up at random in each step, so that its mean is exactly 256 p.
    """
    layers = np.arange(1, rates.shape[1] + 1, dtype=np.uint64) * np.uint64(GOLDEN)
    draw = ~words[:, :, None] + layers
    _mix(draw)
    level = np.floor(256 * rates + (draw >> np.uint64(11)) * 2.0**-53)
    return np.minimum(level, 255).astype(np.uint8)


def random_bytes(words: NDArray[np.uint64], numbers: range) -> NDArray[np.uint8]:
    """Return the random words with these W numbers, for step_words (count, K), as bytes (count, K, 8 W).

    Word i is mix64(step word + GOLDEN * (i + 1)).
    """
    drawn = words[:, :, None] + np.arange(numbers.start + 1, numbers.stop + 1, dtype=np.uint64) * np.uint64(GOLDEN)
    _mix(drawn)
    return drawn.view(np.uint8)
