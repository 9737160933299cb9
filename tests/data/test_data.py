"""Checking data, splitting rows, and batches for K networks."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import manynets as mn
from manynets import rng
from manynets.data import tensors
from manynets.data.batches import Batches, Rows, steps_per_epoch
from manynets.data.check import as_matrix, as_row_numbers, as_weights
from manynets.data.split import SplitBy, deal_rows, even_folds, split_rows
from manynets.data.tensors import column_variances, to_tensor
from tests.tolerances import assert_close


def test_floats_stay_as_they_are_and_share_memory() -> None:
    x = np.ones((3, 2), dtype=np.float32)
    assert as_matrix(x) is x
    assert to_tensor(x, device=torch.device("cpu"), dtype=torch.float32).data_ptr() == x.ctypes.data
    for given_type, wanted in (("u1", "f4"), ("?", "f4"), ("i2", "f4"), ("i8", "f8"), ("f2", "f4"), ("g", "f8")):
        assert as_matrix(np.ones((3, 2), dtype=given_type)).dtype == np.dtype(wanted)


def test_numbers_as_text_are_numbers_and_others_are_named() -> None:
    assert_close(as_matrix(np.array([["1", "2.5"]])), np.array([[1.0, 2.5]]), "bits")
    with pytest.raises(mn.DataError, match=r"X holds .*'x'.* at \(0, 1\)"):
        as_matrix(np.array([["1", "x"]]))


def test_a_bad_value_far_down_is_found() -> None:
    x = np.zeros((1_100_000, 1), dtype=np.float32)
    x[1_099_999] = np.inf
    with pytest.raises(mn.DataError, match="row 1099999, column 0"):
        as_matrix(x)


def test_weights_and_rows() -> None:
    assert as_weights(None, 3) is None
    assert_close(as_weights(torch.ones(3), 3), np.ones(3), "bits")
    assert as_row_numbers([5, 1], 6, what="rows").tolist() == [1, 5]
    assert as_row_numbers(np.array([True, False, True]), 3, what="rows").tolist() == [0, 2]
    with pytest.raises(mn.DataError, match="rows lists no rows"):
        as_row_numbers(np.zeros(3, dtype=bool), 3, what="rows")
    with pytest.raises(mn.DataError, match=r"rows has shape .* type float64"):
        as_row_numbers([0.5], 3, what="rows")


@given(st.integers(2, 200), st.floats(0.01, 0.99), st.integers(0, 5))
def test_a_split_has_every_row_once(rows: int, fraction: float, seed: int) -> None:
    train, validation = split_rows(rows, fraction, seed=seed)
    assert sorted([*train, *validation]) == list(range(rows))
    assert len(train) >= 1
    assert len(validation) == min(max(round(rows * fraction), 1), rows - 1)
    assert train.tolist() == split_rows(rows, fraction, seed=seed)[0].tolist()


@given(st.lists(st.integers(2, 40), min_size=2, max_size=5), st.floats(0.05, 0.95), st.integers(0, 3))
def test_a_split_by_class_keeps_its_shares(counts: list[int], fraction: float, seed: int) -> None:
    codes = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    train, validation = split_rows(len(codes), fraction, by=SplitBy(strata=codes), seed=seed)
    assert sorted([*train, *validation]) == list(range(len(codes)))
    taken = np.bincount(codes[validation], minlength=len(counts))
    for count, take in zip(counts, taken, strict=True):
        assert abs(take - count * fraction) <= 1 or take == count - 1
        assert take < count  # each class is trained on


def test_splits_differ_by_seed() -> None:
    assert split_rows(50, 0.3, seed=0)[1].tolist() != split_rows(50, 0.3, seed=1)[1].tolist()


@pytest.mark.parametrize(
    ("rows", "size", "merge", "steps"),
    [(10, 5, False, 2), (11, 5, False, 3), (11, 5, True, 2), (12, 5, True, 3), (1, 5, True, 1), (3, 1, True, 3), (6, 5, True, 1)],
)
def test_steps_per_epoch(rows: int, size: int, merge: bool, steps: int) -> None:
    assert steps_per_epoch(rows, size, merge_single=merge) == steps


@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize("size", [4, 5, 7, 21])
@pytest.mark.parametrize("folds", ["all", "own", "ragged"])
def test_batches_are_the_permutation_cut(folds: str, size: int, merge: bool) -> None:
    total, seeds = 24, [3, 4]
    own = {
        "all": [None, None],
        "own": [np.arange(21), np.arange(3, 24)],
        "ragged": [np.arange(21), np.arange(4, 24)],
    }[folds]
    counts = [total if mine is None else len(mine) for mine in own]
    if len({steps_per_epoch(count, size, merge_single=merge) for count in counts}) > 1:
        pytest.skip("such members are in different groups")
    rows = Rows(torch.arange(total, dtype=torch.float64).unsqueeze(1), torch.zeros(total, 1), None)
    batches = Batches(rows, own=own, weights=[None, None], orders=seeds, batch_size=size, merge_single=merge)
    for epoch in (0, 1, 0):
        seen: list[list[int]] = [[], []]
        cut: list[list[int]] = [[], []]
        step = 0
        while step < batches.steps:
            chunk = batches.chunk(epoch, step, 3)
            assert 1 <= len(chunk.index) <= 3
            for k in range(2):
                index = chunk.index[:, k]
                real = index if chunk.weight is None else index[chunk.weight[:, k] > 0]  # what fills up has no weight
                seen[k] += real.flatten().tolist()
            step += len(chunk.index)
        for s in range(batches.steps):
            for k in range(2):
                cut[k] += batches.rows_of(k, epoch, s).tolist()
        assert step == batches.steps
        for k, (seed, mine, count) in enumerate(zip(seeds, own, counts, strict=True)):
            order = rng.permutation(seed, epoch, count)
            assert seen[k] == cut[k] == (order if mine is None else mine[order]).tolist()


@given(st.integers(2, 9), st.integers(0, 40), st.integers(0, 3), st.booleans())
def test_even_folds_keep_every_row_apart_and_train_equally_many(folds: int, more: int, seed: int, by_class: bool) -> None:
    total = folds + more
    strata = np.arange(total) % 2 if by_class else None
    made = even_folds(total, folds, by=SplitBy(strata=strata), seed=seed)
    assert len(made) == folds
    for train, held in made:
        assert np.array_equal(np.sort(np.concatenate([train, held])), np.arange(total))
        assert len(held) == -(-total // folds)
    assert np.array_equal(np.unique(np.concatenate([held for _, held in made])), np.arange(total))


@given(counts=st.lists(st.integers(1, 20), min_size=2, max_size=5), folds=st.integers(2, 5), seed=st.integers(0, 5))
def test_folds_by_class_have_even_shares_of_each(counts: list[int], folds: int, seed: int) -> None:
    codes = np.repeat(np.arange(len(counts)), counts)
    codes = np.random.default_rng(seed).permutation(codes)
    dealt = deal_rows(len(codes), min(folds, len(codes)), by=SplitBy(strata=codes), seed=seed)
    for code, count in enumerate(counts):
        shares = [int((codes[test] == code).sum()) for _, test in dealt]
        assert sum(shares) == count
        assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize("width", [1, 2, 3, 7, 100])
def test_variances_of_a_few_columns_at_a_time_are_those_of_all_at_once(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "VARIED", 100)
    x = torch.from_numpy(np.random.default_rng(1).normal(3, 1, size=(997, width)).astype(np.float32))
    for rows in (None, np.arange(0, 997, 3)):
        expected = (x if rows is None else x[rows]).double().var(0, unbiased=False).numpy()
        assert_close(column_variances(x, rows), expected, "bits")


def test_variances_take_little_memory() -> None:
    x = torch.ones(20_000, 100)
    tracemalloc.start()
    try:
        column_variances(x, None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < x.nbytes
