"""Splits by group and by time, and rows that occur on both sides of one."""

from __future__ import annotations

import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manynets.data.duplicates import count_held_out, count_shared, row_hashes
from manynets.data.groups import as_groups, as_strata, as_times
from manynets.data.split import SplitBy, deal_rows, even_folds, split_rows
from manynets.errors import DataError, OptionError


@given(st.lists(st.integers(1, 12), min_size=2, max_size=30), st.floats(0.05, 0.95), st.integers(0, 5))
def test_a_group_is_on_one_side(sizes: list[int], fraction: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    groups = random.permutation(np.repeat([f"g{i}" for i in range(len(sizes))], sizes))
    train, held = split_rows(len(groups), fraction, by=SplitBy.of(len(groups), groups=groups), seed=seed)
    assert sorted([*train, *held]) == list(range(len(groups)))
    assert not set(groups[train]) & set(groups[held])
    assert len(train)
    assert len(held)
    assert abs(len(held) - fraction * len(groups)) <= max(sizes)
    assert held.tolist() == split_rows(len(groups), fraction, by=SplitBy.of(len(groups), groups=groups), seed=seed)[1].tolist()


@given(st.lists(st.integers(1, 12), min_size=5, max_size=30), st.integers(2, 5), st.booleans())
def test_group_folds(sizes: list[int], folds: int, even: bool) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    dealt = (even_folds if even else deal_rows)(len(groups), folds, by=SplitBy.of(len(groups), groups=groups))
    assert sorted(np.concatenate([held for _, held in dealt]).tolist()) == list(range(len(groups)))
    for train, held in dealt:
        assert not set(groups[train]) & set(groups[held])
        assert len(held)
        assert len(held) <= len(groups) / folds + max(sizes)


@pytest.mark.parametrize("seed", range(5))
def test_groups_keep_the_shares_of_the_classes(seed: int) -> None:
    random = np.random.default_rng(seed)
    groups = random.integers(0, 100, 1000)
    strata = (random.random(1000) < 0.1).astype(int) + (groups < 10)  # class 2 is in few groups
    by = SplitBy.of(1000, groups=groups, stratify=strata)
    for train, held in deal_rows(1000, 5, by=by, seed=seed):
        assert abs(len(held) - 200) <= 25
        for code in range(3):
            share, whole = np.mean(strata[held] == code), np.mean(strata == code)
            assert abs(share - whole) < 0.03
        assert not set(groups[train]) & set(groups[held])
    held = split_rows(1000, 0.2, by=by, seed=seed)[1]
    assert abs(np.mean(strata[held] == 1) - np.mean(strata == 1)) < 0.03
    assert split_rows(1000, 0.2, by=by, seed=seed + 1)[1].tolist() != held.tolist()


def test_what_groups_must_be() -> None:
    with pytest.raises(DataError, match=r"groups has shape \(2,\), but must be \(3,\)"):
        SplitBy.of(3, groups=np.array([1, 2]))
    with pytest.raises(
        DataError, match=r"groups is 'patient', but must be one value for each row, such as the column table\['patient'\]"
    ):
        SplitBy.of(3, groups="patient")
    with pytest.raises(
        DataError, match=r"times holds '2024-01-01', but must be .*; make texts dates, such as by pandas.to_datetime"
    ):
        SplitBy.of(2, times=np.array(["2024-01-01", "2024-01-02"]))
    with pytest.raises(DataError, match="missing in 1 of 3 rows, the first in row 1"):
        SplitBy.of(3, groups=np.array(["a", None, "b"], dtype=object))
    with pytest.raises(DataError, match="same value, 'a', in all rows"):
        SplitBy.of(2, groups=np.array(["a", "a"]))
    with pytest.raises(DataError, match="there are 2 groups, but 3 parts"):
        deal_rows(4, 3, by=SplitBy.of(4, groups=np.array([1, 1, 2, 2])))
    assert as_groups(np.array([2.5, 1.0]), 2).tolist() == [1, 0]


@given(st.lists(st.integers(0, 9), min_size=2, max_size=60).filter(lambda times: len(set(times)) > 1), st.floats(0.05, 0.95))
def test_the_latest_rows_are_held_out(times: list[int], fraction: float) -> None:
    array = np.array(times)
    train, held = split_rows(len(array), fraction, by=SplitBy.of(len(array), times=array))
    assert sorted([*train, *held]) == list(range(len(array)))
    assert array[train].max() < array[held].min()
    most = int(np.bincount(array).max())
    assert abs(len(held) - fraction * len(array)) <= most


def test_times() -> None:
    days = np.array(["2024-03-01", "2024-01-01", "2024-02-01", "2024-04-01"], dtype="M8[D]")
    by = SplitBy.of(4, times=days)
    assert split_rows(4, 0.25, by=by)[1].tolist() == [3]
    folds = deal_rows(4, 3, by=by)
    assert [(train.tolist(), held.tolist()) for train, held in folds] == [([1], [2]), ([1, 2], [0]), ([0, 1, 2], [3])]
    wrong: list[tuple[Any, str]] = [
        (["b", "a"], "holds 'b', but must be numbers or dates"),
        ([1, 1], "the same in all rows"),
        ([1.0, np.nan], "missing in 1 of 2 rows"),
        (np.array(["2024-01-01", "NaT"], dtype="M8[D]"), "missing in 1 of 2 rows"),
    ]
    for times, message in wrong:
        with pytest.raises(DataError, match=message):
            as_times(times, 2)
    with pytest.raises(DataError, match="3 folds by time need 4 different times"):
        deal_rows(4, 3, by=SplitBy.of(4, times=np.array([1, 1, 1, 2])))


@pytest.mark.parametrize(
    "times",
    [
        pandas.Series(pandas.to_datetime(["2024-03-01 00:30", "2024-02-29 23:00"])).dt.tz_localize("Europe/Zurich"),
        [
            datetime.datetime(2024, 3, 1, 0, 30, tzinfo=ZoneInfo("Europe/Zurich")),
            datetime.datetime(2024, 2, 29, 22, tzinfo=datetime.UTC),
        ],
        polars.Series([datetime.datetime(2024, 2, 29, 23, 30), datetime.datetime(2024, 2, 29, 22)]).dt.replace_time_zone("UTC"),
    ],
    ids=["pandas", "objects", "polars"],
)
def test_times_in_a_zone_are_moments(times: Any) -> None:
    assert as_times(times, 2).tolist() == [1709249400.0, 1709244000.0]


def test_times_of_days_and_periods() -> None:
    for times in (
        [datetime.date(1970, 1, 2), datetime.date(1970, 2, 1)],
        pandas.PeriodIndex(["1970-01-02", "1970-02-01"], freq="D"),
    ):
        assert as_times(times, 2).tolist() == [86400.0, 31 * 86400.0]


@pytest.mark.parametrize("column", [as_groups, as_strata])
def test_a_missing_flag_is_counted(column: Any) -> None:
    with pytest.raises(DataError, match="is missing in 1 of 3 rows, the first in row 1"):
        column(pandas.array([True, None, False], dtype="boolean"), 3)


def test_a_column_to_stratify_by() -> None:
    assert as_strata(["b", "a", "b"], 3).tolist() == [1, 0, 1]
    assert as_strata([5, 1, 5], 3).tolist() == [1, 0, 1]
    assert np.bincount(as_strata(np.random.default_rng(0).normal(size=1000), 1000)).tolist() == [100] * 10
    strata = as_strata(np.repeat([0, 1], [900, 100]), 1000)
    assert np.bincount(strata[split_rows(1000, 0.2, by=SplitBy(strata=strata))[1]]).tolist() == [180, 20]


def test_split_by() -> None:
    with pytest.raises(OptionError, match="by times and by stratify"):
        SplitBy.of(2, times=[1, 2], stratify=[1, 2])
    with pytest.raises(OptionError, match="by times and by groups"):
        SplitBy.of(2, times=[1, 2], groups=[1, 2])
    by = SplitBy.of(6, groups=list("aabbcc"), stratify=[0, 1] * 3)
    assert (groups := by.take(np.array([4, 0])).groups) is not None
    assert groups.tolist() == [2, 0]
    assert by.with_classes(np.zeros(6)) is by
    assert (strata := SplitBy.of(2).with_classes(np.ones(2)).strata) is not None
    assert strata.tolist() == [1.0, 1.0]
    assert len(deal_rows(6, 3, by=by)) == 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_identical_rows_are_counted(dtype: Any) -> None:
    random = np.random.default_rng(0)
    one = random.integers(0, 5, (400, 4)).astype(dtype)
    other = random.integers(0, 5, (200, 4)).astype(dtype)
    known = {tuple(row) for row in one.tolist()}
    assert count_shared(one, other) == sum(tuple(row) in known for row in other.tolist()) > 0
    y, z = random.integers(0, 2, 400), random.integers(0, 2, 200)
    both = {(*row, label) for row, label in zip(one.tolist(), y.tolist(), strict=True)}
    alike = sum((*row, label) in both for row, label in zip(other.tolist(), z.tolist(), strict=True))
    assert count_shared(one, other, target=y, other_target=z) == alike < count_shared(one, other)
    rows = np.concatenate([one, other])
    split = [(np.arange(400), np.arange(400, 600)), (np.arange(400, 600), None)]
    assert count_held_out(rows, split, target=np.concatenate([y, z])) == alike
    assert count_held_out(rows, split) == count_held_out(row_hashes(rows), split) == count_shared(one, other)
    wide = random.normal(size=(300, 200)).astype(dtype)
    wide[200:] = wide[:100]
    wide[:50, 199] += 1
    assert count_held_out(wide, [(np.arange(200), np.arange(200, 300))]) == count_shared(wide[:200], wide[200:]) == 50
    assert len(np.unique(row_hashes(random.normal(size=(50_000, 2))))) == 50_000
    assert len(np.unique(row_hashes(np.stack(np.meshgrid(range(200), range(200)), axis=-1).reshape(-1, 2)))) == 40_000
    signs = np.where(random.integers(0, 2, (300_000, 64), dtype=np.int8), 1, -1).astype(dtype)  # which differ in one bit
    assert len(np.unique(row_hashes(signs))) == 300_000
