"""Randomness is a function of its coordinates."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils import shuffle

from manynets import rng

WORD = st.integers(0, 2**64 - 1)


def test_the_mixer_is_splitmix64() -> None:
    """The first outputs of SplitMix64 from seed 0 (Steele et al. 2014; the same in java.util.SplittableRandom)."""
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC, 0x1B39896A51A8749B]
    assert [rng.mix64(rng.GOLDEN * (i + 1)) for i in range(5)] == published


@given(WORD, st.integers(0, 1000), st.integers(1, 40))
def test_step_words_are_the_mixer_of_their_coordinates(key: int, step: int, count: int) -> None:
    words = rng.step_words(np.array([key, 5], dtype=np.uint64), step, count)
    assert words.shape == (count, 2)
    for t in range(count):
        assert int(words[t, 0]) == rng.mix64(key + rng.GOLDEN * (step + t + 1))


@given(WORD)
def test_random_bytes_are_the_mixer_of_their_coordinates(word: int) -> None:
    drawn = rng.random_bytes(np.array([[word]], dtype=np.uint64), range(3, 8))
    expected = b"".join(rng.mix64(word + rng.GOLDEN * (i + 1)).to_bytes(8, "little") for i in range(3, 8))
    assert drawn.shape == (1, 1, 40)
    assert drawn.tobytes() == expected


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.1, 0.2, 0.5, 0.7, 0.999])
def test_levels_have_the_mean_that_is_asked(rate: float) -> None:
    levels = rng.drop_levels(rng.step_words(np.array([3], dtype=np.uint64), 0, 20_000), np.array([[rate]]))
    assert set(np.unique(levels)) <= {int(256 * rate), min(int(256 * rate) + 1, 255)}
    if 256 * rate < 255:
        assert levels.mean() == pytest.approx(256 * rate, abs=0.02)


def test_streams_differ_in_every_coordinate() -> None:
    keys = [
        rng.stream_key(seed, purpose, *path)
        for seed, purpose, path in itertools.product(range(5), rng.PURPOSES, [(), (0,), (1,), (0, 0), (0, 1)])
    ]
    assert len(set(keys)) == len(keys)
    assert rng.stream_key(3, "init", 2) == rng.stream_key(3, "init", 2)


def test_generators_agree_with_themselves_only() -> None:
    draws = [rng.generator(seed, "init", layer).random(4).tolist() for seed in (0, 1) for layer in (0, 1)]
    assert rng.generator(1, "init", 1).random(4).tolist() == draws[3]
    assert len({tuple(draw) for draw in draws}) == 4


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 300))
def test_a_permutation_holds_each_row_once(seed: int, epoch: int, rows: int) -> None:
    order = rng.permutation(seed, epoch, rows)
    assert sorted(order.tolist()) == list(range(rows))
    assert order.tolist() == rng.permutation(seed, epoch, rows).tolist()
    assert order.tolist() == rng.generator(seed, "permutation", epoch).permutation(rows).tolist()


def test_permutations_differ_by_seed_and_epoch() -> None:
    orders = {tuple(rng.permutation(seed, epoch, 50).tolist()) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16


def test_nothing_global_is_touched() -> None:
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # type: ignore[index, union-attr]  # noqa: NPY002
    rng.permutation(0, 0, 100)
    rng.generator(0, "split").random(5)
    assert np.array_equal(before, np.random.get_state()[1])  # type: ignore[index, arg-type]  # noqa: NPY002


def test_shuffles_are_scikit_learns_in_whatever_order_they_are_asked_for() -> None:
    random = np.random.RandomState(5)
    random.uniform(size=7)
    shuffles, same = rng.Shuffles(random), rng.Shuffles(random)
    assert shuffles == same
    assert hash(shuffles) == hash(same)
    rows = np.arange(30)
    expected = []
    for _ in range(4):
        rows = shuffle(rows, random_state=random)
        expected.append(rows)
    for epoch in (0, 1, 3, 3, 2):
        np.testing.assert_array_equal(shuffles.order(epoch, 30), expected[epoch])
    assert sorted(shuffles.order(0, 12)) == list(range(12))
    assert rng.Shuffles(random) != same


def test_shuffles_of_another_kind_of_generator() -> None:
    one, other, third = (rng.Shuffles(np.random.RandomState(np.random.PCG64(seed))) for seed in (1, 1, 2))
    assert one == other != third
    np.testing.assert_array_equal(one.order(2, 9), other.order(2, 9))


def test_orders_by_seed_by_shuffles_and_as_they_lie() -> None:
    shuffles = rng.Shuffles(np.random.RandomState(0))
    for found, expected in zip(
        rng.orders_of([3, shuffles, None, 5, 3], 1, 8),
        [rng.permutation(3, 1, 8), shuffles.order(1, 8), np.arange(8), rng.permutation(5, 1, 8), rng.permutation(3, 1, 8)],
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("rows", [1, 2, 100, 70_000])
def test_many_permutations_are_each_alone(rows: int, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiled:
        monkeypatch.setenv("MANYNETS_NO_CORE", "1")
    seeds = [0, 1, 5, 2**40]
    for seed, order in zip(seeds, rng.permutations(seeds, [6, 7], rows)[1], strict=True):
        np.testing.assert_array_equal(order, rng.permutation(seed, 7, rows))
