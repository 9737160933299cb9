"""`train` with rows split by group, by time or by a column, and with a target on a log scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

import manynets as mn
from manynets.data.split import SplitBy
from manynets.prepare import Split, copies_held_out, cv_splits, holdout, network_splits, prepare
from manynets.targets import find_target
from tests.tolerances import assert_close

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(120, 3))
Y = X[:, 0] + 0.1 * RANDOM.normal(size=120)
GROUPS = np.array([f"g{i % 12}" for i in range(120)])
DAYS = np.datetime64("2024-01-01") + RANDOM.permutation(120)
RECIPE = mn.Recipe(epochs=2)


def test_groups_and_times_reach_the_split() -> None:
    data = prepare(X, Y, RECIPE, validation=0.25, by=SplitBy.of(120, groups=GROUPS))
    assert data.rows is not None
    assert not set(GROUPS[data.rows]) & set(GROUPS[data.validation_rows])
    late = prepare(X, Y, RECIPE, validation=0.25, by=SplitBy.of(120, times=DAYS))
    assert late.rows is not None
    assert DAYS[late.rows].max() < DAYS[late.validation_rows].min()
    assert len(late.rows) == 90


def test_the_networks_of_an_ensemble() -> None:
    problem = prepare(X, Y, RECIPE).problem
    for split in network_splits(problem, 4, seed=0, by=SplitBy.of(120, groups=GROUPS)):
        assert not set(GROUPS[split.train]) & set(GROUPS[split.held_out])
    splits = network_splits(problem, 4, seed=0, by=SplitBy.of(120, times=DAYS))
    assert all(split.held_out is splits[0].held_out for split in splits)
    assert DAYS[splits[0].train].max() < DAYS[splits[0].held_out].min()


@pytest.mark.parametrize("column", ["none", "groups", "times"])
def test_rows_of_weight_0_are_split_as_if_left_out(column: str) -> None:
    columns = {"none": {}, "groups": {"groups": GROUPS}, "times": {"times": DAYS}}[column]
    by, kept = SplitBy.of(120, **columns), np.flatnonzero(np.arange(120) % 3 == 0)
    weight = np.zeros(120)
    weight[kept] = 2.0
    part = prepare(X, Y, RECIPE, validation=0.25, by=by, sample_weight=weight)
    alone = prepare(X[kept], Y[kept], RECIPE, validation=0.25, by=by.take(kept))
    assert np.array_equal(part.rows, kept[alone.rows])
    assert np.array_equal(part.validation_rows, kept[alone.validation_rows])
    whole = prepare(X, Y, RECIPE, sample_weight=weight).problem
    shorter = prepare(X[kept], Y[kept], RECIPE).problem
    expected = network_splits(shorter, 4, seed=0, by=by.take(kept), by_value=True)
    for split, other in zip(network_splits(whole, 4, seed=0, by=by, by_value=True), expected, strict=True):
        assert np.array_equal(split.train, kept[other.train])
        assert np.array_equal(split.held_out, kept[other.held_out])


def test_weights_above_0_leave_the_folds_as_they_are() -> None:
    plain, weighted = (prepare(X, Y, RECIPE, sample_weight=one).problem for one in (None, np.linspace(1, 2, 120)))
    for one, other in zip(network_splits(plain, 7, seed=3), network_splits(weighted, 7, seed=3), strict=True):
        assert np.array_equal(one.train, other.train)
        assert np.array_equal(one.held_out, other.held_out)


def test_copies_count_once_and_without_weight_not_at_all() -> None:
    x, y = np.r_[X[:19], X[:2]], np.r_[Y[:19], Y[:2]]  # 21 rows in two folds, both of which hold out row 9
    for weight, shared, total in ((None, 4, 21), (np.arange(21) != 20, 2, 20), (np.arange(21) < 19, 0, 19)):
        data = prepare(x, y, RECIPE, sample_weight=weight)
        splits = [Split(np.setdiff1d(np.arange(21), held), held) for held in (np.arange(10), np.arange(9, 21))]
        assert copies_held_out(data, splits) == (shared, total)


def test_copies_of_a_row_of_a_large_category_are_found() -> None:
    shop, half = np.arange(120) % 60, np.arange(120)  # the second 120 rows are those of the first
    frame = polars.DataFrame({"shop": [f"s{code}" for code in shop] * 2, "size": [*half % 4, *half % 4]})
    y = np.tile(shop % 7 + half % 11 / 11, 2)
    own, held = (frame[:100], y[:100]), np.arange(100)
    options: dict[str, Any] = {"category_means": True, "declared": {"categorical": ["shop"]}}
    data = prepare(frame, y, RECIPE, **options)
    assert copies_held_out(data, [Split(np.arange(100, 240), held)]) == (100, 100)
    x = data.problem.rows.x.numpy()
    assert (x[:120] != x[120:]).any()  # copies in other folds have other means
    other = prepare(frame[60:], y[60:], RECIPE, validation=own, **options)
    assert copies_held_out(other, [Split(None, None)]) == (100, 100)


def test_folds_and_parts_of_the_rows() -> None:
    target = find_target(Y, None)
    for split in cv_splits(target, 3, groups=GROUPS):
        assert not set(GROUPS[split.train]) & set(GROUPS[split.held_out])
    rows = np.arange(60)
    split = holdout(target, 0.5, seed=0, rows=rows, by=SplitBy.of(120, times=DAYS))
    assert sorted([*split.train, *split.held_out]) == rows.tolist()
    assert DAYS[split.train].max() < DAYS[split.held_out].min()


@pytest.mark.parametrize("validation", [0.25, "folds"])
@pytest.mark.parametrize("how", [{"groups": GROUPS}, {"times": DAYS}, {"stratify": GROUPS}])
def test_train(how: dict[str, Any], validation: Any) -> None:
    model = mn.train(X, Y, mn.MLP(hidden=(4,)), RECIPE, validation=validation, n_networks=3, scaling=False, progress=False, **how)
    assert model.size == 3
    assert "val_loss" in model.history or "validation_loss" in model.history


FRAME = polars.DataFrame({"group": GROUPS, "day": DAYS.astype("M8[ms]"), "size": X[:, 0], "cost": Y})
HOW: dict[str, Any] = {"spec": mn.MLP(hidden=(4,)), "recipe": RECIPE, "validation": 0.25, "progress": False, "target": "cost"}


@pytest.mark.parametrize(("option", "name"), [("groups", "group"), ("times", "day"), ("stratify", "group")])
def test_columns_to_split_by_are_named(option: str, name: str, tmp_path: Path) -> None:
    FRAME.write_csv(tmp_path / "t.csv")
    frame = FRAME.drop("group") if option == "groups" else FRAME  # whose column is no feature
    given = mn.train(frame, **{option: FRAME[name]}, **HOW)
    for table in (FRAME, FRAME.to_pandas(), str(tmp_path / "t.csv")):
        model = mn.train(table, **{option: name}, **HOW)
        assert model.encoder is not None
        assert ("group" in model.encoder.column_names) == (option != "groups")
        assert "day" in model.encoder.column_names
        np.testing.assert_array_equal(model.predict(FRAME), given.predict(FRAME))
    some = polars.col("size") > -1
    kept = mn.train(FRAME.with_columns(cost=polars.when(some).then("cost")), **{option: name}, drop_missing_target=True, **HOW)
    np.testing.assert_array_equal(kept.predict(FRAME), mn.train(FRAME.filter(some), **{option: name}, **HOW).predict(FRAME))
    [result] = mn.train_many(
        FRAME, candidates=[(HOW["spec"], RECIPE)], target="cost", validation=0.25, progress=False, **{option: name}
    )
    assert result.model is not None
    assert result.model.encoder is not None
    assert ("group" in result.model.encoder.column_names) == (option != "groups")


def test_an_encoder_decides_about_the_column_of_the_groups() -> None:
    encoder = mn.tables.fit_encoder(FRAME.drop("cost"))
    model = mn.train(FRAME, groups="group", encoder=encoder, **HOW)
    assert model.encoder == encoder
    assert "group" in encoder.column_names


def test_names_that_are_no_column_to_split_by() -> None:
    with pytest.raises(mn.DataError, match="column to split by 'gruop' does not exist; did you mean 'group'"):
        mn.train(FRAME, groups="gruop", **HOW)
    with pytest.raises(mn.DataError, match="times is 'group', but that column holds 'g0', and must hold dates or numbers"):
        mn.train(FRAME, times="group", **HOW)
    with pytest.raises(mn.DataError, match="groups is 'group', but must be one value for each row"):
        mn.train(X, Y, groups="group", validation=0.25, progress=False)


def test_a_stream_takes_the_name_of_the_groups(tmp_path: Path) -> None:
    rows = 13_000
    frame = polars.DataFrame(
        {f"x{j}": RANDOM.normal(size=rows) for j in range(6)} | {"owner": [f"o{i % 397}" for i in range(rows)]}
    )
    frame = frame.with_columns(y=polars.col("x0") * polars.col("x1"))
    frame.write_parquet(tmp_path / "t.parquet", row_group_size=300)
    options: dict[str, Any] = {"target": "y", "memory_limit": "1MB", "progress": False, "groups": "owner"}
    spec, recipe = mn.MLP(hidden=(8,)), mn.Recipe(epochs=1, batch_size=100)
    model = mn.train(tmp_path / "t.parquet", spec=spec, recipe=recipe, validation=0.02, **options)
    assert model.encoder is not None
    assert model.encoder.column_names == tuple(f"x{j}" for j in range(6))
    assert model.info["stream"]["windows"] > 1
    [found] = mn.train_many(tmp_path / "t.parquet", candidates=[(spec, recipe)], validation=0.02, **options)
    assert_close(found.parameters, model.members[0], "bits")
    with pytest.raises(
        mn.OptionError, match="groups is 'owner', which says how to split the rows, but there are none to validate on"
    ):
        mn.train(tmp_path / "t.parquet", spec=spec, recipe=recipe, **options)
    with pytest.raises(mn.OptionError, match=r"groups was given, but .* and a stream does not take it"):
        mn.train(tmp_path / "t.parquet", spec=spec, recipe=recipe, validation=0.02, **(options | {"groups": frame["owner"]}))


def test_what_does_not_go_together() -> None:
    with pytest.raises(mn.OptionError, match="groups says how to split the rows, which needs a fraction or 'folds'"):
        mn.train(X, Y, mn.MLP(), groups=GROUPS, scaling=False, progress=False)
    with pytest.raises(mn.OptionError, match="by times and by groups"):
        mn.train(X, Y, groups=GROUPS, times=DAYS, validation=0.2, progress=False)
    with pytest.raises(mn.DataError, match=r"groups has shape \(3,\)"):
        mn.train(X, Y, groups=[1, 2, 3], validation=0.2, progress=False)
    for more in ({"task": mn.Regression.of(Y)}, {"recipe": mn.Recipe(loss="poisson")}):
        with pytest.raises(mn.OptionError, match="target_transform is 'log', but does not go with"):
            mn.train(X, np.exp(Y), target_transform="log", progress=False, **more)  # type: ignore[arg-type]


def test_a_target_on_a_log_scale() -> None:
    model = mn.train(X, np.exp(5 * Y), mn.MLP(hidden=(4,)), RECIPE, target_transform="auto", scaling=False, progress=False)
    assert isinstance(model.task, mn.Regression)
    assert model.task.transform == "log"
    assert (model.predict(X) > 0).all()


def test_a_frame_is_encoded_with_the_target_in_mind() -> None:
    frame = polars.DataFrame({"key": [f"{'ab'[int(y > 0)]}{i * 7919 % 1000:03}" for i, y in enumerate(Y)], "noise": X[:, 2]})
    with pytest.warns(UserWarning, match="column 'key' is used, though"):
        model = mn.train(frame, Y, mn.MLP(hidden=(4,)), RECIPE, progress=False)
    assert model.encoder is not None
    assert model.encoder.column_names == ("key", "noise")
