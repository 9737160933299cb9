"""Calibration and slices, against values computed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars
import pytest
from scipy import stats
from scipy.stats import binomtest, spearmanr
from sklearn.calibration import calibration_curve

import manynets as mn
from manynets.errors import DataError, OptionError
from manynets.explain import calibration, permutation_importance, residuals, worst_rows, worst_slices
from tests.tolerances import assert_close


def test_calibration_by_hand() -> None:
    shares = np.array([[0.9, 0.1], [0.8, 0.2], [0.45, 0.55], [0.3, 0.7]])
    found = calibration(shares, np.array([0, 1, 1, 0]), bins=2)  # all confidences are in the upper bin
    assert_close(found.probability, np.array([0.7375]), "float64")
    assert_close(found.right, np.array([0.5]), "float64")
    assert found.error == pytest.approx(0.2375)
    ten = calibration(shares, np.array([0, 1, 1, 0]), bins=10)
    assert ten.count.tolist() == [1, 1, 1, 1]
    assert ten.error == pytest.approx((abs(1 - 0.9) + 0.8 + abs(1 - 0.55) + 0.7) / 4)
    five = calibration(shares, np.array([0, 1, 1, 0]), bins=5)
    assert five.count.tolist() == [1, 1, 2]
    assert five.error == pytest.approx((abs(1 - 0.55) + 0.7 + 2 * abs(0.5 - 0.85)) / 4)
    double = calibration(shares[[0, 1, 1, 2, 3]], np.array([0, 1, 1, 1, 0]), bins=5)
    weighted = calibration(shares, np.array([0, 1, 1, 0]), bins=5, sample_weight=[1.0, 2.0, 1.0, 1.0])
    assert_close(weighted.probability, double.probability, "float64")
    assert_close(weighted.right, double.right, "float64")
    assert (weighted.error, weighted.count.tolist()) == (pytest.approx(double.error), [1, 1, 2])
    assert calibration(shares, np.array([0, 1, 1, 0]), bins=5, sample_weight=[1, 1, 0, 1]).count.tolist() == [1, 2]
    with pytest.raises(DataError, match="sample_weight holds -1"):
        calibration(shares, np.array([0, 1, 1, 0]), sample_weight=[1, 1, -1, 1])
    with pytest.raises(OptionError, match="bins is 0"):
        calibration(shares, [0, 0, 0, 0], bins=0)


def test_calibration_of_one_class_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    share = random.beta(1, 20, 500)  # a rare class: nearly all rows would be in the first of 15 bins of equal width
    truth = (random.random(500) < share).astype(int)
    found = calibration(np.stack([1 - share, share], axis=1), truth, positive=1, bins=10)
    right, probability = calibration_curve(truth, share, n_bins=10, strategy="quantile")
    assert_close(found.probability, probability, "float64")
    assert_close(found.right, right, "float64")
    assert found.count.tolist() == [50] * 10
    assert found.error == pytest.approx(np.mean(np.abs(right - probability)))
    other = calibration(np.stack([1 - share, share], axis=1), truth, positive=0, bins=10)
    assert_close(other.right[::-1], 1 - right, "float64")
    for also_one in (True, 1.0, np.int64(1)):
        assert calibration(np.stack([1 - share, share], axis=1), truth, positive=also_one, bins=10).error == found.error  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="positive is 2, but must be a class code, from 0 to 1"):
        calibration(np.stack([1 - share, share], axis=1), truth, positive=2)


@pytest.mark.parametrize(
    ("shares", "truth", "words"),
    [
        ([[0.2, 0.8]], ["yes"], r"truth holds 'yes', but must be class codes, from 0 to 1 .* np\.searchsorted"),
        ([[0.2, 0.8]], [2], "truth holds 2, but must be class codes"),
        ([[0.2, 0.8]], [0, 1], r"truth has shape \(2,\), but must be \(1,\)"),
        ([0.2, 0.8], [0, 1], r"probabilities have shape \(2,\), but must be \(rows, classes\)"),
        (np.empty((0, 2)), [], r"probabilities have shape \(0, 2\)"),
        ([[0.2, np.nan]], [0], "probabilities hold nan, but must be from 0 to 1"),
        ([[-3.0, 4.0]], [0], "probabilities hold -3, but must be from 0 to 1"),
    ],
)
def test_what_calibration_cannot_be_of(shares: Any, truth: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        calibration(shares, truth)


def test_certain_and_right_is_calibrated() -> None:
    assert calibration(np.eye(3), np.arange(3)).error == 0.0


def test_the_group_that_is_served_worst_is_found() -> None:
    random = np.random.default_rng(0)
    frame = polars.DataFrame({"x": random.normal(size=600), "town": random.choice(["Bern", "Chur", "Genf"], 600)})
    noise = np.where((frame["town"] == "Chur").to_numpy(), 3.0, 0.1) * random.normal(size=600)
    y = 2 * frame["x"].to_numpy() + noise
    model = mn.train(frame, y, mn.MLP(hidden=()), mn.Recipe(optimizer=mn.Adam(lr=0.05), epochs=60), progress=False)
    first = worst_slices(model, frame, y)[0]
    assert (first.column, first.group) == ("town", "Chur")
    away = np.abs(model.predict(frame) - y)
    chosen = (frame["town"] == "Chur").to_numpy()
    assert first.rows == chosen.sum()
    assert first.loss == pytest.approx(away[chosen].mean())
    assert first.other_loss == pytest.approx(away[~chosen].mean())
    assert first.low < first.loss < first.high
    assert first.p < 1e-6


def test_p_values_are_corrected_for_all_groups_that_were_looked_at() -> None:
    x = np.arange(80.0)[:, None]  # four groups of 20 rows, of which three have losses above those of the others
    model = mn.train(x, x[:, 0], mn.MLP(hidden=()), mn.Recipe(epochs=1, dtype="float64"), progress=False)
    random = np.random.default_rng(0)
    worst = random.uniform(0.9, 1.1, 20)
    away = np.concatenate([worst, worst, random.uniform(0.8, 1.0, 20), random.uniform(0, 0.1, 20)])
    found = worst_slices(model, x, model.predict(x) + away)
    groups = [np.arange(80) // 20 == group for group in range(4)]
    p = [stats.ttest_ind(away[one], away[~one], equal_var=False, alternative="greater").pvalue for one in groups]
    assert [one.p for one in found] == pytest.approx([4 * p[0], 4 * p[0], 2 * p[2]], rel=1e-4)  # Holm


def test_the_interval_of_wrong_classes_is_wilsons() -> None:
    frame = polars.DataFrame({"x": np.arange(300) % 7, "town": ["Bern", "Chur", "Genf"] * 100})
    y = np.where(np.arange(300) % 2, "yes", "no")
    model = mn.train(frame, y, mn.MLP(hidden=()), mn.Recipe(epochs=1), progress=False)
    wrong = np.where(model.predict(frame) == "yes", "no", "yes")
    other = np.where((frame["town"] == "Chur").to_numpy(), wrong, model.predict(frame))
    first = worst_slices(model, frame, other)[0]
    assert (first.group, first.loss) == ("Chur", 1.0)
    low = binomtest(100, 100).proportion_ci(method="wilson").low
    assert (first.low, first.high) == (pytest.approx(low, rel=1e-4), pytest.approx(1.0))


def test_a_group_in_which_every_row_is_wrong_is_named_without_a_warning() -> None:
    frame = polars.DataFrame({"x": np.arange(300) % 7, "town": ["Bern", "Chur", "Genf"] * 100})
    y = np.where(np.arange(300) % 2, "yes", "no")
    model = mn.train(frame, y, mn.MLP(hidden=()), mn.Recipe(epochs=1), progress=False)
    wrong = np.where(model.predict(frame) == "yes", "no", "yes")
    mistaken = (frame["town"] == "Chur").to_numpy() | (np.arange(300) % 10 == 0)
    first = worst_slices(model, frame, np.where(mistaken, wrong, model.predict(frame)))[0]
    assert (first.group, first.loss) == ("Chur", 1.0)
    assert first.p < 1e-6


def test_no_group_is_named_where_all_are_alike() -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=(400, 5)).astype(np.float32)
    y = np.where(x[:, 0] > 0, "a", "b")
    y[random.random(400) < 0.2] = "a"
    named = 0
    for seed in range(5):
        model = mn.train(
            x[:, 1:], random.permutation(y), mn.MLP(hidden=()), mn.Recipe(epochs=1, seed=seed), scaling=False, progress=False
        )
        named += len(worst_slices(model, x[:, 1:], random.permutation(y)))
    assert named <= 1


def test_each_of_several_targets_counts_in_its_own_unit() -> None:
    """A rough prediction of the small target is worse than a nearly right one of the large target."""
    x = np.linspace(-1, 1, 200)[:, None].astype(np.float32)
    y = np.hstack([1e6 * x, x])
    model = mn.train(x, y, mn.MLP(hidden=()), mn.Recipe(optimizer=mn.Adam(lr=0.05), epochs=100), progress=False)
    wrong = y + np.linspace(0, 30_000, 200)[:, None] * np.array([1.0, 0.0])
    wrong[7, 1] += 3.0
    found = mn.explain.worst_rows(model, x, wrong, most=1)[0]
    away = np.abs(model.predict(x[7:8]) - wrong[7:8]) / wrong.std(axis=0)
    assert (found.row, found.loss) == (7, pytest.approx(away.mean(), rel=1e-3))
    wrong[y[:, 1] < -0.5, 1] += 0.5
    assert mn.explain.worst_slices(model, x, wrong)[0].group == "-1 to -0.5"


def test_the_rows_that_are_served_worst() -> None:
    x = np.linspace(-1, 1, 60, dtype=np.float32)[:, None]
    recipe = mn.Recipe(optimizer=mn.Adam(lr=0.05), epochs=60)
    y = np.where(x[:, 0] > 0, "up", "down").astype(object)
    y[[58, 40]] = "down"
    model = mn.train(x, y, mn.MLP(hidden=()), recipe, scaling=False, progress=False)
    found = worst_rows(model, x, y, most=2)
    assert [(one.row, one.truth, one.predicted, one.loss) for one in found] == [(58, "down", "up", 1.0), (40, "down", "up", 1.0)]
    assert found[0].probability == pytest.approx(model.predict_proba(x)[58, 1])
    assert worst_rows(model, x, model.predict(x)) == []
    far = np.array([[20.0], [30.0], [25.0]]) / model.members[0]["output.weight"].item()  # probabilities of 1 in float32
    assert [one.row for one in worst_rows(model, far.astype(np.float32), ["down"] * 3)] == [1, 2, 0]
    labels = np.stack([x[:, 0] > 0] * 2, axis=1).astype(int)
    several = mn.train(x, labels, mn.MLP(hidden=()), recipe, task="multilabel", scaling=False, progress=False)
    labels[[40, 50]] = 1 - labels[[40, 50]]
    labels[59, 0] = 0
    assert [(one.row, one.loss) for one in worst_rows(several, x, labels)[:3]] == [(50, 1.0), (40, 1.0), (59, 0.5)]
    numbers = mn.train(x, 3 * x[:, 0], mn.MLP(hidden=()), recipe, scaling=False, progress=False)
    target = numbers.predict(x)
    target[7] += 5
    first = worst_rows(numbers, x, target)[0]
    assert (first.row, first.loss) == (7, pytest.approx(5))
    with pytest.raises(OptionError, match="most is 0"):
        worst_rows(model, x, y, most=0)
    with pytest.raises(DataError, match=r"a model that predicts numbers, but this one predicts classes \(binary\)"):
        residuals(model, x, y)


def test_mistakes_in_y_weights_and_counts() -> None:
    x = np.linspace(-1, 1, 60, dtype=np.float32)[:, None]
    model = mn.train(x, x[:, 0], mn.MLP(hidden=()), mn.Recipe(epochs=1), scaling=False, progress=False)
    for explain in (mn.explain.permutation_importance, worst_rows, worst_slices, residuals):
        with pytest.raises(DataError, match="X has 60 rows and y has 50; they must have the same number"):
            explain(model, x, x[:50, 0])
    with pytest.raises(OptionError, match="most is -1, but must be a whole number of at least 1"):
        worst_slices(model, x, x[:, 0], most=-1)
    with pytest.raises(DataError, match=r"sample_weight has shape \(50,\), but must be \(60,\)"):
        mn.explain.partial_dependence(model, x, "x0", sample_weight=np.ones(50))
    with pytest.raises(OptionError, match=r"n_grid is 2\.5, but must be a whole number of at least 2"):
        mn.explain.partial_dependence(model, x, "x0", n_grid=2.5)  # type: ignore[arg-type]


def test_seeds_that_are_none() -> None:
    x = np.linspace(-1, 1, 60, dtype=np.float32)[:, None]
    model = mn.train(x, x[:, 0], mn.MLP(hidden=()), mn.Recipe(epochs=1), scaling=False, progress=False)
    for seed in (-1, 1.5, 2**32, True):
        for explain in (
            lambda seed: mn.explain.permutation_importance(model, x, x[:, 0], seed=seed),
            lambda seed: mn.explain.partial_dependence(model, x, "x0", seed=seed),
            lambda seed: mn.explain.contributions(model, x, seed=seed),
        ):
            with pytest.raises(OptionError, match=f"seed is {seed}, but must be a whole number from 0 to 4294967295"):
                explain(seed)


def test_errors_by_prediction_and_column() -> None:
    random = np.random.default_rng(0)
    frame = polars.DataFrame({"x": random.normal(size=300), "town": random.choice(["Bern", "Chur"], 300)})
    y = frame["x"].to_numpy() + random.normal(size=300)
    model = mn.train(frame, y, mn.MLP(hidden=()), mn.Recipe(epochs=2), progress=False)
    found = residuals(model, frame, y)
    assert list(dict.fromkeys(one.column for one in found)) == ["prediction", "x", "town"]
    assert sum(one.rows for one in found if one.column == "prediction") == 300
    chur = next(one for one in found if one.group == "Chur")
    error = (y - model.predict(frame))[(frame["town"] == "Chur").to_numpy()]
    assert (chur.mean, chur.absolute) == (pytest.approx(error.mean()), pytest.approx(np.abs(error).mean()))
    assert chur.standard_error == pytest.approx(error.std(ddof=1) / len(error) ** 0.5)
    assert chur.target == ""
    assert "<th>target</th>" not in found._repr_html_()  # type: ignore[attr-defined]


def test_errors_of_several_targets_are_those_of_each() -> None:
    random = np.random.default_rng(0)
    frame = polars.DataFrame({"x": random.normal(size=300), "town": random.choice(["Bern", "Chur"], 300)})
    both = polars.DataFrame({"rent": frame["x"] + random.normal(size=300), "price": 1000 * random.normal(size=300)})
    model = mn.train(frame, both, mn.MLP(hidden=()), mn.Recipe(epochs=2), progress=False)
    found = residuals(model, frame, both[["price", "rent"]])
    assert list(dict.fromkeys((one.target, one.column) for one in found)) == [
        (target, column) for target in ("rent", "price") for column in ("prediction", "x", "town")
    ]
    predicted, chosen = model.predict(frame), (frame["town"] == "Chur").to_numpy()
    for j, target in enumerate(both.columns):
        chur = next(one for one in found if one.group == "Chur" and one.target == target)
        error = (both[target].to_numpy() - predicted[:, j])[chosen]
        assert (chur.mean, chur.absolute) == (pytest.approx(error.mean()), pytest.approx(np.abs(error).mean()))
        bins = [one for one in found if one.column == "prediction" and one.target == target]
        assert sum(one.rows for one in bins) == 300
        assert float(bins[0].group.split()[0]) == pytest.approx(predicted[:, j].min(), rel=1e-4)
    assert "<th>target</th>" in found._repr_html_()  # type: ignore[attr-defined]
    unnamed = mn.train(frame, both.to_numpy(), mn.MLP(hidden=()), mn.Recipe(epochs=1), progress=False)
    assert {one.target for one in residuals(unnamed, frame, both.to_numpy())} == {"output 0", "output 1"}


def test_dependence_on_whole_numbers_is_at_whole_numbers() -> None:
    frame = polars.DataFrame({"hour": [i % 24 for i in range(480)], "x": [i % 7 / 7 for i in range(480)]})
    target = np.arange(480) % 24 + np.arange(480) % 5 / 5
    model = mn.train(frame, target, mn.MLP(hidden=(4,)), mn.Recipe(epochs=1), task="regression", progress=False)
    assert mn.explain.partial_dependence(model, frame, "hour", n_grid=5).grid[0] == [1.0, 6.0, 12.0, 17.0, 22.0]
    assert 0 < mn.explain.partial_dependence(model, frame, "x", n_grid=5).grid[0][1] < 1


def test_importance_is_of_the_roc_auc_where_one_of_two_classes_is_rare() -> None:
    x = np.random.default_rng(0).normal(size=(300, 4))
    y = x[:, 0] + 0.3 * x[:, 1]
    for share, metric in ((0.5, "accuracy"), (0.75, "accuracy"), (0.85, "roc_auc"), (0.15, "roc_auc")):
        rare = y > np.quantile(y, share)
        model = mn.train(x, rare, mn.MLP(hidden=(4,)), mn.Recipe(epochs=2), scaling=False, progress=False)
        assert permutation_importance(model, x, rare, n_repeats=1).metric == metric
    assert permutation_importance(model, x, rare, n_repeats=1, metric="accuracy").metric == "accuracy"
    balanced = np.where(rare, 0.15, 0.85)
    assert permutation_importance(model, x, rare, n_repeats=1, sample_weight=balanced).metric == "accuracy"
    alone = np.zeros(len(x), dtype=bool)  # of one class, where the area is not defined
    assert permutation_importance(model, x, alone, n_repeats=1).metric == "accuracy"


def test_few_rows_make_no_columns_alike_by_chance() -> None:
    x = np.random.default_rng(0).normal(size=(8, 60)).astype(np.float32)
    assert (np.abs(np.triu(spearmanr(x).statistic, k=1)) > 0.9).any()
    x[:, 1] = x[:, 0]
    model = mn.train(x, x[:, 0] > 0, mn.MLP(hidden=()), mn.Recipe(epochs=1), progress=False)
    found = mn.explain.permutation_importance(model, x, x[:, 0] > 0)
    assert [columns for columns in found.groups.values() if len(columns) > 1] == [("x0", "x1")]
    assert len(mn.explain.permutation_importance(model, x[:2], [True, False]).groups) == 60
