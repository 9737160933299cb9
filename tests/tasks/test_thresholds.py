"""Thresholds of two classes: by hand, of models, and on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets.errors import DataError, OptionError
from manynets.tasks.thresholds import best_threshold, threshold_of
from tests.cli.conftest import Call, call

__all__ = ["call"]

RECIPE = mn.Recipe(epochs=5, optimizer=mn.Adam(lr=0.05))


def rows() -> tuple[Any, Any]:
    x = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    return x, np.where(x[:, 0] + np.random.default_rng(1).normal(size=200) > 1, "yes", "no")


@pytest.mark.parametrize("metric", ["f1", "accuracy"])
def test_the_best_threshold_is_that_of_a_search(metric: str) -> None:
    random = np.random.default_rng(0)
    share, weight = random.random(60).round(2), random.random(60)
    positive = random.random(60) < share

    def score(threshold: float) -> float:
        named = share > threshold
        if metric == "accuracy":
            return float(weight[named == positive].sum())
        return float(2 * weight[named & positive].sum() / (weight[named].sum() + weight[positive].sum()))

    best = max(map(score, np.arange(0.005, 1, 0.01)))
    assert score(best_threshold(share, positive, weight, metric=metric)) == pytest.approx(best)


def test_a_model_predicts_by_it() -> None:
    x, y = rows()
    model = mn.train(x, y, mn.MLP(hidden=()), RECIPE, progress=False)
    share = model.predict_proba(x)[:, 1]
    for wanted, threshold in ((0.2, 0.2), ([[0, 1], [9, 0]], 0.1), ([[-1, 1], [2, -6]], 0.2)):
        found = model.with_threshold(wanted)
        assert ((found.predict(x) == "yes") == (share > threshold)).all()
    assert model.predict(x).tolist() == np.where(share > 0.5, "yes", "no").tolist()
    best = model.with_threshold("f1", x, y=y)
    assert best.evaluate(x, y)["f1"] > model.evaluate(x, y)["f1"]


def test_mistakes() -> None:
    x, y = rows()
    model = mn.train(x, y, mn.MLP(hidden=()), RECIPE, progress=False)
    for wanted in (0, 1.0, True, "recall", [[0, 1]], [[0, 1], [-1, 0]], [[0, np.nan], [1, 0]], None):
        with pytest.raises(OptionError, match=r"threshold is|costs are"):
            threshold_of(wanted, None, None)
    with pytest.raises(DataError, match="rows that were not trained on; give X and y"):
        model.with_threshold("f1")
    with pytest.raises(OptionError, match="for two classes"):
        mn.train(x, x[:, 0], mn.MLP(hidden=()), RECIPE, progress=False).with_threshold(0.3)


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
    for words, told in (("f1", "found on held-out rows in training"), ("1:2:3", "must be a number"), ("2", "must be a number")):
        done = call("evaluate", "run", "--threshold", words)
        assert done.code == 2
        assert told in done.err
