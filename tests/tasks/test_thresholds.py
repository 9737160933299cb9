"""Thresholds of two classes and costs of more: by hand, of models, and on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from sklearn.metrics import accuracy_score, f1_score

import manynets as mn
from manynets.errors import DataError, OptionError
from manynets.saved_model import read_saved_model
from manynets.tasks import task_from_json
from manynets.tasks.thresholds import best_threshold, threshold_of, with_threshold
from tests.cli.conftest import Call, call
from tests.tolerances import assert_close

pytestmark = pytest.mark.usefixtures("blank_pictures")

__all__ = ["call"]

RECIPE = mn.Recipe(epochs=5, optimizer=mn.Adam(lr=0.05))


def rows() -> tuple[Any, Any]:
    x = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    return x, np.where(x[:, 0] + np.random.default_rng(1).normal(size=200) > 1, "yes", "no")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("metric", ["f1", "accuracy"])
def test_the_best_threshold_is_that_of_a_search(metric: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    share, weight = random.random(60).round(2), random.random(60)
    positive = random.random(60) < share

    def score(threshold: float) -> float:
        named = share > threshold
        if metric == "accuracy":
            return float(weight[named == positive].sum())
        return float(2 * weight[named & positive].sum() / (weight[named].sum() + weight[positive].sum()))

    best = max(map(score, np.arange(0.005, 1, 0.01)))
    assert score(best_threshold(share, positive, weight, metric=metric)) == pytest.approx(best)


@pytest.mark.parametrize("metric", ["f1", "accuracy"])
@pytest.mark.parametrize("size", [1.0, 1e-5])
def test_no_other_threshold_is_better(metric: str, size: float) -> None:
    score_of = {"f1": f1_score, "accuracy": accuracy_score}[metric]
    for seed in range(28):
        random = np.random.default_rng(seed)
        share = size * random.uniform(0.01, 0.99, random.integers(2, 30)).round(seed % 7 + 2)
        positive = random.random(len(share)) < random.choice([0.1, 0.5])
        positive[0] = True
        best = max(score_of(positive, share > threshold) for threshold in (0.0, *share))
        assert score_of(positive, share > best_threshold(share, positive, metric=metric)) == pytest.approx(best)


def test_a_threshold_is_between_two_probabilities_also_where_they_are_near() -> None:
    for place in range(200):
        share = np.array([place / 1000 + 0.4, place / 1000 + 0.4 + 4e-7])
        assert share[0] < best_threshold(share, np.array([False, True])) < share[1]
    share, positive = np.array([0.0, 0.3, 0.7, 0.9, 0.6]), np.array([True, False, True, False, True])
    weight = np.array([2.0, 2, 1, 1, 2])
    assert 0.3 < best_threshold(share, positive, weight, metric="accuracy") < 0.6  # none is below 0


def test_rows_without_the_second_class() -> None:
    share, none = np.array([0.3, 0.6]), np.zeros(2, dtype=bool)
    assert best_threshold(share, none) == 0.5
    assert best_threshold(share, none, metric="accuracy") == 0.8
    with pytest.raises(DataError, match="y holds no 'yes' that counts"):
        with_threshold(mn.Binary(("no", "yes")), "f1", share, none)
    with pytest.raises(DataError, match="y holds no 'yes' that counts"):
        with_threshold(mn.Binary(("no", "yes")), "f1", share, ~none, np.zeros(2))


def test_a_model_predicts_by_it() -> None:
    x, y = rows()
    model = mn.train(x, y, mn.MLP(hidden=()), RECIPE, scaling=False, progress=False)
    share = model.predict_proba(x)[:, 1]
    for wanted, threshold in ((0.2, 0.2), ([[0, 1], [9, 0]], 0.1), ([[-1, 1], [2, -6]], 0.2)):
        found = model.with_threshold(wanted)
        assert ((found.predict(x) == "yes") == (share > threshold)).all()
    assert model.predict(x).tolist() == np.where(share > 0.5, "yes", "no").tolist()
    best = model.with_threshold("f1", x, y=y)
    assert best.evaluate(x, y)["f1"] > model.evaluate(x, y)["f1"]


def test_mistakes() -> None:
    x, y = rows()
    model = mn.train(x, y, mn.MLP(hidden=()), RECIPE, scaling=False, progress=False)
    for wanted in (0, 1.0, True, "recall", [[0, 1]], [[0, 1], [-1, 0]], [[0, np.nan], [1, 0]], None):
        with pytest.raises(OptionError, match=r"threshold is|costs are"):
            threshold_of(wanted, None, None)
    with pytest.raises(DataError, match="rows that were not trained on; give X and y"):
        model.with_threshold("f1")
    with pytest.raises(OptionError, match="are for one class per row"):
        mn.train(x, x[:, 0], mn.MLP(hidden=()), RECIPE, scaling=False, progress=False).with_threshold(0.3)


def test_the_commands(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    x, y = rows()
    lines = [f"{a:.4f},{b:.4f},{label}\n" for (a, b), label in zip(x, y, strict=True)]
    Path("rows.csv").write_text("a,b,bought\n" + "".join(lines), encoding="utf-8")
    line = "train rows.csv --target bought --out run --hidden none --epochs 10 --lr 0.05 --threshold f1 --quiet"
    done = call(*line.split())
    assert done.code == 0, done.err
    threshold = mn.load("run").task.threshold  # type: ignore[attr-defined]
    assert threshold != 0.5
    counts = []
    for words in ((), ("--threshold", "0.01"), ("--threshold", "1:99"), ("--threshold", "0.99")):
        done = call("evaluate", "run", "rows.csv", "--json", *words)
        assert done.code == 0, done.err
        counts.append(sum(json.loads(done.out)["seen"]["per_class"][1][name] for name in ("predicted",)))
    assert counts[1] == counts[2] > counts[0] > counts[3]
    done = call("predict", "run", "rows.csv", "--threshold", "0.01", "--columns", "a", "--quiet")
    assert done.out.count(",yes,") > counts[0] / 2
    for words, told in (
        ("f1", "found on held-out rows in training"),
        ("1:2:3", "must be one of no, yes"),
        ("2", "must be a number"),
    ):
        done = call("evaluate", "run", "--threshold", words)
        assert done.code == 2
        assert told in done.err


COSTS = [[0, 1, 1], [1, 0, 1], [30, 5, 0]]


def kinds() -> tuple[Any, Any]:
    x, _ = rows()
    return x, np.array(["cat", "dog", "fox"])[np.digitize(x[:, 0] + x[:, 1], [-0.5, 0.8])]


@pytest.fixture(scope="module")
def of_three() -> mn.Model:
    return mn.train(*kinds(), mn.MLP(hidden=()), RECIPE, n_networks=2, scaling=False, progress=False)


def test_of_three_classes_the_one_that_costs_least_is_predicted(of_three: mn.Model, tmp_path: Path) -> None:
    x, y = kinds()
    careful = of_three.with_threshold(COSTS)
    shares = of_three.predict_proba(x)
    expected = [[sum(p[i] * COSTS[i][j] for i in range(3)) for j in range(3)] for p in shares.tolist()]
    wanted = np.array(["cat", "dog", "fox"])[np.argmin(expected, axis=1)]
    assert (careful.predict(x) == wanted).all()
    assert (wanted != of_three.predict(x)).any()
    assert_close(careful.predict_proba(x), shares, "float32")
    codes = {"cat": 0, "dog": 1, "fox": 2}
    paid = [COSTS[codes[true]][codes[predicted]] for true, predicted in zip(y, wanted, strict=True)]
    found = careful.evaluate(x, y, sample_weight=np.arange(len(y)))
    assert found["cost"] == pytest.approx(np.average(paid, weights=np.arange(len(y))))
    assert "cost" not in of_three.evaluate(x, y)
    careful.save(tmp_path / "m.safetensors")
    assert (mn.load(tmp_path / "m.safetensors").predict(x) == wanted).all()
    assert (read_saved_model(tmp_path / "m.safetensors").predict(x) == wanted).all()
    assert (mn.estimator(careful).predict(x) == wanted).all()
    task = careful.task
    assert careful.fit(x[:90], y[:90]).task == task
    assert "dog" in careful.fit(x[:90], np.where(y[:90] == "cat", "cow", y[:90])).classes_


def test_estimators_decide_as_their_model() -> None:
    x, y = rows()
    plain = mn.train(x, y, mn.MLP(hidden=()), RECIPE, scaling=False, progress=False).with_threshold(0.2)
    assert (mn.estimator(plain).predict(x) == plain.predict(x)).all()
    x, y = kinds()
    estimator = mn.TabularClassifier(preset="fast", n_networks=2).fit(x, y)
    estimator = mn.estimator(estimator.model_.with_threshold(COSTS))
    assert (estimator.predict(x) == estimator.model_.predict(x)).all()
    assert (estimator.classes_[estimator.decision_function(x).argmax(axis=1)] == estimator.predict(x)).all()


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (0.3, "is for two classes; for 3 give what"),
        ("f1", "is for two classes; for 3 give what"),
        ([[0, 1], [1, 0]], "must be 3 rows of 3 finite numbers"),
        ([[0, 1, 1], [1, 0, 1], [5, 0, 0]], "each error must cost more"),
        (None, "must be 3 rows of 3 finite numbers"),
    ],
)
def test_mistakes_with_three_classes(of_three: mn.Model, wanted: Any, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        of_three.with_threshold(wanted)


def test_a_frame_of_costs_is_read_by_its_names(of_three: mn.Model) -> None:
    names = list(of_three.task.classes)  # type: ignore[attr-defined]
    frame = pandas.DataFrame(COSTS, index=names, columns=names)
    turned = frame.loc[names[::-1], [names[1], names[2], names[0]]]
    for given in (frame, turned, pandas.DataFrame(COSTS)):
        assert of_three.with_threshold(given).task.costs == tuple(map(tuple, COSTS))  # type: ignore[attr-defined]
    for wrong in (frame.rename(index={names[0]: "cow"}), frame.iloc[:2], frame.iloc[:, [0, 0, 1]]):
        with pytest.raises(OptionError, match="but must have one for each of the classes"):
            of_three.with_threshold(wrong)


@pytest.mark.parametrize("order", [[False, True], [True, False]])
def test_the_names_of_a_frame_of_costs_may_be_bools(order: list[bool]) -> None:
    costs = pandas.DataFrame([[0, 1], [4, 0]], index=[False, True], columns=[False, True])
    given = costs.iloc[[int(name) for name in order], [int(name) for name in order]]
    task: Any = with_threshold(mn.Binary((False, True)), given)
    assert task.threshold == pytest.approx(0.2)


def test_a_model_file_with_strange_costs() -> None:
    task = mn.Multiclass(("a", "b", "c"), costs=((0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (2.0, 3.0, 0.0)))
    assert task_from_json(task.to_json()) == task
    with pytest.raises(OptionError, match="must be 3 rows"):
        task_from_json(task.to_json() | {"costs": [[0.0, "x"]]})


def test_the_commands_with_three_classes(call: Call) -> None:
    x, y = kinds()
    lines = [f"{a:.4f},{b:.4f},{label}\n" for (a, b), label in zip(x, y, strict=True)]
    Path("rows.csv").write_text("a,b,kind\n" + "".join(lines), encoding="utf-8")
    Path("costs.csv").write_text("true,fox,cat,dog\ncat,1,0,1\ndog,1,1,0\nfox,0,30,5\n", encoding="utf-8")
    options = "--hidden none --epochs 10 --lr 0.05 --quiet"
    done = call(*f"train rows.csv --target kind --out run {options} --threshold costs.csv".split())
    assert done.code == 0, done.err
    assert mn.load("run").task.costs == tuple(map(tuple, COSTS))  # type: ignore[attr-defined]
    found = [call("evaluate", "run", "--json", *words).json for words in ((), ("--threshold", "fox:cat:30,fox:dog:5"))]
    assert found[0] == found[1]
    assert found[0]["cost"] < call("evaluate", "run", "--json", "--threshold", "fox:cat:1").json["cost"] * 30
    Path("some.csv").write_text("true,cat,dog\ncat,0,1\n", encoding="utf-8")
    Path("two.csv").write_text("true,cat,dog\ncat,0,1\ndog,1,0\n", encoding="utf-8")
    for words, told in (
        ("0.3", "--threshold is '0.3', but is for two classes; for 3 give"),
        ("1:5", "for two classes"),
        ("fix:cat:3", "did you mean 'fox'"),
        ("none.csv", "cannot be read"),
        ("some.csv", "must have the same classes as rows"),
        ("two.csv", "two.csv has no row and column of fox"),
        ("cat:dog:3,fox:cat:2,cat:dog:4", "gives the cost of cat:dog twice"),
        ("cat:dog:much", "TRUE:PREDICTED:COST"),
        ("cat:dog:-1", "an error must cost more than being right about 'cat'"),
    ):
        done = call("train", "rows.csv", "--target", "kind", "--out", "other", *options.split(), "--threshold", words)
        assert (done.code, Path("other").exists()) == (2, False)
        assert told in done.err


def test_with_costs_of_two_classes_the_mean_cost_is_a_metric(tmp_path: Path) -> None:
    x, y = rows()
    model = mn.train(x, y, mn.MLP(hidden=()), RECIPE, scaling=False, progress=False)
    careful = model.with_threshold([[0, 1], [20, 0]])
    predicted, weight = careful.predict(x), np.arange(len(y))
    paid = np.where(y == predicted, 0, np.where(y == "yes", 20, 1))
    assert careful.evaluate(x, y, sample_weight=weight)["cost"] == pytest.approx(np.average(paid, weights=weight))
    careful.save(tmp_path / "m.safetensors")
    assert mn.load(tmp_path / "m.safetensors").task == careful.task
    assert "cost" not in careful.with_threshold(0.3).evaluate(x, y)
    turned = mn.train(x, y, mn.MLP(hidden=()), RECIPE, scaling=False, progress=False, positive="no").with_threshold(
        [[0, 20], [1, 0]]
    )
    assert mn.estimator(turned).model_.evaluate(x, y)["cost"] == pytest.approx(turned.evaluate(x, y)["cost"])


def test_the_command_shows_the_cost_of_two_classes(call: Call) -> None:
    x, y = rows()
    lines = [f"{a:.4f},{b:.4f},{label}\n" for (a, b), label in zip(x, y, strict=True)]
    Path("rows.csv").write_text("a,b,kind\n" + "".join(lines), encoding="utf-8")
    options = "--hidden none --epochs 5 --lr 0.05 --threshold 1:3"
    done = call(*f"train rows.csv --target kind --out run {options}".split())
    assert done.code == 0, done.err
    assert "  cost" in done.out
    metrics = json.loads(Path("run/metrics.json").read_text(encoding="utf-8"))
    assert metrics["test"]["cost"] == call("evaluate", "run", "--json", "--threshold", "1:3").json["cost"]
    share = metrics["test"]["per_class"][1]["count"] / metrics["test"]["rows"]  # less than a quarter: "no" is predicted for all
    assert metrics["baselines"]["test: predict the class shares"]["cost"] == pytest.approx(3 * share)
    assert call("evaluate", "run", "--json", "--threshold", "2:6").json["cost"] == pytest.approx(2 * metrics["test"]["cost"])
