"""The network, the training and the initial weights of the default for tables, as `manynets.tabular` describes them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets.data.split import SplitBy
from manynets.tabular import encoder_options, tabular_network, train_tabular
from manynets.tabular.recipe import Setting, initial_weights, tabular_recipe, varied
from manynets.training.trial import Member
from tests.tolerances import assert_close

NUMBERS, TWO, THREE = mn.Regression((0.0,), (1.0,)), mn.Binary((0, 1)), mn.Multiclass((0, 1, 2))
VARIANCES = np.full(10, 0.9)
BASE = mn.Recipe()


def recipe_of(rows: int, task: Any = NUMBERS, variances: Any = VARIANCES) -> mn.Recipe:
    return tabular_recipe(tabular_network(task, rows), task, variances, rows, BASE, steps=1500)


@pytest.mark.parametrize(("rows", "steps", "batch"), [(40, 1500, 40), (8_000, 1500, 64), (32_000, 3000, 128), (10**6, 6000, 256)])
def test_steps_and_batches_grow_with_the_root_of_the_rows(rows: int, steps: int, batch: int) -> None:
    recipe = recipe_of(rows)
    assert (recipe.iterations, recipe.batch_size, recipe.evaluate_every) == (steps, batch, math.ceil(steps / 24))


@pytest.mark.parametrize(("rows", "dropout"), [(100, 0.25), (2_000, 0.2), (8_000, 0.1), (10**6, 0.1)])
def test_dropout_grows_where_there_are_few_rows(rows: int, dropout: float) -> None:
    assert tabular_network(NUMBERS, rows).dropout == pytest.approx(dropout)


def test_the_rates_of_numbers_and_classes_and_of_each_layer() -> None:
    assert [recipe_of(100, task).lr for task in (NUMBERS, TWO, THREE)] == [0.04, 0.08, 0.08]
    assert [recipe_of(100, task).label_smoothing for task in (NUMBERS, TWO, THREE)] == [0.0, 0.1, 0.1]
    assert [tabular_network(task, 100).hidden for task in (NUMBERS, TWO, THREE)] == [(128, 128), (128, 128), (256, 256)]
    for variances, first in ((VARIANCES, 9.0), (VARIANCES[:2], 4.0)):
        groups = {group.names: group for group in recipe_of(100, variances=variances).groups}
        factors = {name: group.lr_factor for name, group in groups.items()}
        weights = {"hidden0.weight": first**-0.5, "hidden1.weight": 128**-0.5, "output.weight": 128**-0.5}
        assert factors == pytest.approx(weights | {"input_scale.weight": 6.0, "*.bias": 0.1})
        assert [name for name, group in groups.items() if group.decay_factor == 0.0] == ["*.bias"]


def test_initial_weights_have_the_spread_that_is_described() -> None:
    variances = np.concatenate([np.full(40, 0.5), np.full(20, 4.0), np.full(20, 9.0)])
    piecewise, hashed = np.arange(80) // 20 == 2, np.arange(80) // 20 == 3
    spec, prior = mn.MLP(hidden=(128, 64), input_scale=True), np.array([0.25])
    columns: dict[str, Any] = {"piecewise": piecewise, "hashed": hashed}
    found = initial_weights(spec, 1, variances, prior, 0, **columns)
    first, plain = found["hidden0.weight"], np.arange(80) < 40
    assert not first[:, ~plain].any()
    assert first[:, plain].std() == pytest.approx(20**-0.5, rel=0.05)  # 20: the sum of the plain columns' variances
    assert found["hidden1.weight"].std() == pytest.approx((2 / 128) ** 0.5, rel=0.05)
    assert found["output.weight"].std() == pytest.approx((0.01 / 64) ** 0.5, rel=0.25)
    assert not found["hidden0.bias"].any()
    assert not found["hidden1.bias"].any()
    assert_close(found["output.bias"], prior, "bits")
    assert_close(found["input_scale.weight"], np.where(hashed, 0.25, 1.0), "bits")
    without = initial_weights(spec, 1, variances, prior, 0, **columns, setting=Setting(text=False))
    assert_close(without["input_scale.weight"], np.where(hashed, 0.0, 1.0), "bits")
    without = initial_weights(spec, 1, variances, prior, 0, **columns, setting=Setting(piecewise=False))
    assert_close(without["input_scale.weight"], np.where(piecewise, 0.0, np.where(hashed, 0.25, 1.0)), "bits")
    other = initial_weights(spec, 1, variances, prior, 1, **columns)
    assert not np.isclose(other["hidden0.weight"][:, plain], first[:, plain]).any()


def test_rare_categories_share_a_column_from_200_rows_on() -> None:
    assert [encoder_options(rows, 5)["min_count"] for rows in (199, 200)] == [1, 3]


def test_where_there_are_more_columns_than_rows_none_is_piecewise_linear() -> None:
    assert [encoder_options(100, columns)["embedding"] is None for columns in (100, 101)] == [False, True]


@pytest.fixture
def members(monkeypatch: pytest.MonkeyPatch) -> list[Member]:
    """The networks that `train_tabular` plans; it is interrupted before it trains them."""
    out: list[Member] = []

    def stop(_problem: Any, planned: list[Member], **_options: Any) -> None:
        out.extend(planned)
        raise KeyboardInterrupt

    monkeypatch.setattr("manynets.tabular.training.train_members", stop)
    return out


def test_each_network_has_a_fold_and_a_seed_of_its_own(members: list[Member]) -> None:
    X, y, networks = np.arange(12.0).reshape(6, 2), np.arange(6.0), 5
    with pytest.raises(KeyboardInterrupt):
        train_tabular(X, y, n_networks=networks, seed=20, progress=False)
    both = 2 * networks  # with and without piecewise-linear columns
    assert [member.recipe.seed for member in members] == list(range(20, 20 + both))
    assert [member.team for member in members] == [0] * networks + [1] * networks
    first = members[:networks]
    held_out = [set(np.asarray(member.validation_rows).tolist()) for member in first]
    assert sorted(row for rows in held_out[:3] for row in rows) == list(range(6))  # 3 folds, as each has 2 rows at least
    assert held_out[3:] == held_out[:2]
    for member, rows in zip(first, held_out, strict=True):
        assert set(np.asarray(member.rows).tolist()) == set(range(6)) - rows


def test_networks_of_all_settings_race_whatever_the_groups(members: list[Member]) -> None:
    """Groups make the folds of one setting a few rows larger than those of the other, by which the steps of each were found."""
    draws, rows = np.random.default_rng(2), 9600
    by, y = SplitBy.of(rows, groups=draws.integers(0, 100, rows)), draws.integers(0, 4, rows)
    with pytest.raises(KeyboardInterrupt):
        train_tabular(draws.normal(size=(rows, 1)), y, by=by, progress=False)
    fewest = [min(len(np.asarray(member.rows)) for member in members if member.team == team) for team in (0, 1)]
    steps = [round(1500 * math.sqrt(count / 8000)) for count in fewest]
    assert steps[0] != steps[1]
    assert {(member.recipe.iterations, member.recipe.batch_size) for member in members} == {(min(steps), 65)}


@pytest.mark.parametrize(("seconds", "teams"), [(None, {0, 1}), (600.0, {0, 1}), (0.01, {0})])
@pytest.mark.filterwarnings("ignore:time_limit is")
def test_where_time_is_short_networks_have_the_usual_columns(seconds: float | None, teams: set[int], members: list[Member]) -> None:
    X = np.random.default_rng(0).standard_normal((300, 3))
    with pytest.raises(KeyboardInterrupt):
        train_tabular(X, X.sum(axis=1), n_networks=2, time_limit=seconds, progress=False)
    assert {member.team for member in members} == teams
    assert len(members) == 2 * len(teams)


@pytest.mark.parametrize(("dropout", "expected"), [(0.2, 0.3), (0.5, 0.75), (0.8, 0.9)])
def test_more_dropout_leaves_units(dropout: float, expected: float) -> None:
    spec, recipe = mn.MLP(hidden=(8, 8), dropout=dropout), mn.Recipe(optimizer=mn.AdamW())
    assert varied(spec, recipe, Setting(dropout=1.5))[0].dropouts == pytest.approx((expected, expected))
