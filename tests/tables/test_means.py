"""Means of the target over the levels of large categories: by hand, without a row's own target, in a file, in every training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
import torch

import manynets as mn
from manynets import rng
from manynets.prepare import encode_table
from manynets.spec import PiecewiseLinear
from manynets.tables import TableEncoder, fit_encoder
from manynets.tables.means import FOLDS, add_rows, fold_means, other_folds
from tests.tolerances import assert_close

random = np.random.default_rng(0)
LEVELS = 300
CODES = random.integers(LEVELS, size=1200)
EFFECT = random.standard_normal(LEVELS)
Y = EFFECT[CODES] + 0.3 * random.standard_normal(1200)
FRAME = polars.DataFrame({"shop": [f"s{code}" for code in CODES], "size": random.standard_normal(1200)})
OPTIONS: dict[str, Any] = {"categorical": ["shop"], "max_levels": 20, "category_means": True, "scaling": "none"}


def means_by_torch(codes: Any, y: Any) -> Any:
    sums = torch.zeros(LEVELS, dtype=torch.float64).index_add_(0, torch.from_numpy(codes), torch.from_numpy(y))
    counts = torch.bincount(torch.from_numpy(codes), minlength=LEVELS)
    return ((sums + 10 * y.mean()) / (counts + 10)).numpy()


def test_the_means_are_those_of_plain_torch_and_unseen_levels_have_that_of_all_rows() -> None:
    encoder = fit_encoder(FRAME, target=Y, **OPTIONS)
    at = encoder.feature_names.index("shop, mean of the target")
    new = polars.DataFrame({"shop": ["s7", "s250", "never seen", None], "size": [0.0] * 4})
    expected = np.append(means_by_torch(CODES, Y)[[7, 250]], [Y.mean(), Y.mean()])
    assert_close(encoder.transform(new)[:, at], expected.astype(np.float32), "float32")


def test_gaps_have_their_own_mean() -> None:
    gap = np.arange(1200) % 4 == 0
    y = np.where(gap, 5.0, Y)
    shops = polars.Series([None if gap[i] else f"s{code}" for i, code in enumerate(CODES)])
    encoder = fit_encoder(FRAME.with_columns(shop=shops), target=y, **OPTIONS)
    at = encoder.feature_names.index("shop, mean of the target")
    found = encoder.transform(polars.DataFrame({"shop": [None, "never seen"], "size": [0.0] * 2}))[:, at]
    expected = [(300 * 5.0 + 10 * y.mean()) / (300 + 10), y.mean()]
    assert_close(found, np.array(expected, dtype=np.float32), "float32")


def test_rows_that_are_trained_on_do_not_see_their_own_target() -> None:
    y = Y.copy()
    y[5] = 1e6
    rows = np.arange(1000)
    matrix, encoder, _ = encode_table(FRAME, y, rows=rows, target=y, **OPTIONS)
    at = encoder.feature_names.index("shop, mean of the target")
    same = np.flatnonzero(CODES[:1000] == CODES[5])
    assert abs(matrix[5, at]) < abs(matrix[same, at]).max()  # other rows of the level see it, unless they are in its fold
    assert_close(matrix[:1000, at], other_folds(CODES[:1000], y[:1000]).astype(np.float32), "float32")
    assert_close(matrix[1000:], encoder.transform(FRAME[1000:]), "bits")


def test_rows_that_come_part_by_part_have_the_same_means() -> None:
    folds = rng.generator(0, "split", FOLDS).permutation(len(CODES)) % FOLDS
    sums = np.zeros((2, FOLDS, LEVELS + 2))
    for part in (slice(700), slice(700, None)):
        add_rows(sums, folds[part], CODES[part], Y[part, None])
    (means,) = fold_means(sums)
    assert_close(means[folds, CODES], other_folds(CODES, Y), "float64")
    assert_close(means[FOLDS, :LEVELS], means_by_torch(CODES, Y), "float64")
    unseen = np.full(900, LEVELS + 1)
    add_rows(sums, folds[:900], unseen, np.full((900, 1), 100.0))
    (means,) = fold_means(sums)
    assert_close(means[FOLDS, -1], np.mean([*Y, *np.full(900, 100.0)]), "float64")  # as of a level that no row has


def test_means_have_pieces_and_survive_json() -> None:
    gaps = FRAME.with_columns(polars.when(polars.col("size") > 1).then(None).otherwise("shop").alias("shop"))
    three = random.integers(3, size=1200)
    options = {**OPTIONS, "scaling": "smooth", "embedding": PiecewiseLinear(bins=4)}
    encoder = fit_encoder(gaps, target=three, **options)
    assert encoder.piecewise.sum() == 4 * (3 + 1)
    assert sum("mean of the target" in name for name in encoder.feature_names) == 3 * 5
    again = TableEncoder.from_json(json.loads(json.dumps(encoder.to_json(), allow_nan=False)))
    assert again == encoder
    assert again.transform(gaps).tobytes() == encoder.transform(gaps).tobytes()
    state = encoder.to_json()
    state["columns"][0]["means"][0]["values"].pop()
    with pytest.raises(mn.DataError, match=r"columns\[0\].means\[0\].values has [0-9]+ numbers, but the column has"):
        TableEncoder.from_json(state)


@pytest.mark.parametrize("levels", [50, 51])
def test_a_column_with_more_than_50_levels_has_means_beside_its_own_outputs(levels: int) -> None:
    frame = polars.DataFrame({"shop": [f"shop {i % levels}" for i in range(600)]})
    plain, means = (
        fit_encoder(frame, target=np.arange(600.0), **{**OPTIONS, "max_levels": 300, "category_means": used})
        for used in (False, True)
    )
    assert plain.width == levels
    assert means.width == levels + (levels > 50)


@pytest.mark.filterwarnings("ignore:.* is used, though|Stochastic Optimizer")
def test_every_training_learns_more_with_them(tmp_path: Path) -> None:
    spec, recipe = mn.MLP(hidden=(16,)), mn.Recipe(epochs=20, optimizer=mn.Adam(lr=0.01))
    frame = FRAME.with_columns(polars.col("shop").cast(polars.Categorical))
    train, test = np.arange(900), np.arange(900, 1200)
    scores = []
    for means in (False, True):
        model = mn.train(frame[:900], Y[:900], spec, recipe, category_means=means, progress=False)
        many = mn.train_many(frame, Y, [(spec, recipe)], cv=[(train, test)], category_means=means, task=model.task, progress=False)[
            0
        ]
        assert_close(many.model.predict(frame[900:]), model.predict(frame[900:]), "float32_run")  # type: ignore[union-attr]
        own = mn.MLPRegressor(category_means=means, max_iter=20, random_state=0, learning_rate_init=0.01)
        own.fit(frame[:900], Y[:900])
        scores.append([model.score(frame[900:], Y[900:]), own.score(frame[900:], Y[900:])])
    assert (np.array(scores[1]) > np.array(scores[0]) + 0.2).all()
    model.save(tmp_path / "means.mn")
    assert_close(mn.load(tmp_path / "means.mn").predict(frame), model.predict(frame), "bits")
    assert mn.estimator(model).category_means
    assert_close(model.fit(frame[:900], Y[:900]).score(frame[900:], Y[900:]), scores[1][0], "float32_run")
    default = mn.TabularRegressor(n_networks=2, preset="fast", random_state=0).fit(frame[:900], Y[:900])
    assert default.score(frame[900:], Y[900:]) > max(scores[1]) - 0.1
