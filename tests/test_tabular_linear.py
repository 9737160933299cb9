"""Linear models among the networks of the default ensemble for small tables."""

from __future__ import annotations

import itertools
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
from sklearn.linear_model import LogisticRegression, RidgeCV

import manynets as mn
from manynets.results import versions
from manynets.tabular import TabularFit, train_tabular
from manynets.tabular.linear import PENALTIES, linear_models, linear_networks
from manynets.training.trial import Member, Outcome

random = np.random.default_rng(0)
ROWS, NETWORKS = 40, 4
X = random.normal(size=(400, 6))
NUMBERS = X @ np.arange(6.0) + 0.1 * random.normal(size=400)
CLASSES = np.digitize(NUMBERS, [-3, 3])


def fitted(
    monkeypatch: pytest.MonkeyPatch, y: Any, rows: int = ROWS, **options: Any
) -> tuple[TabularFit, list[Member], list[Outcome]]:
    """Return the fit to the first rows, the networks that were trained, and the linear ones."""
    found: list[Any] = []

    def fitting(data: Any, members: Any, **options: Any) -> Any:
        found.append(members)
        return linear_models(data, members, **options)

    def watched(models: Any, outcomes: Any) -> list[Outcome]:
        found.append(linear_networks(models, outcomes))
        return found[-1]

    monkeypatch.setattr("manynets.tabular.training.linear_models", fitting)
    monkeypatch.setattr("manynets.tabular.training.linear_networks", watched)
    fit = train_tabular(X[:rows], y[:rows], n_networks=NETWORKS, preset="fast", progress=False, **options)
    return fit, *(found if len(found) > 1 else ([], []))


def scores_of(parameters: dict[str, Any], x: Any) -> Any:
    """Return the scores of a network (N, O)."""
    h = x * parameters["input_scale.weight"]
    for name in ("hidden0", "hidden1"):
        h = h @ parameters[f"{name}.weight"].T + parameters[f"{name}.bias"]
        h = h / (1 + np.exp(-h))
    return h @ parameters["output.weight"].T + parameters["output.bias"]


WIDE = random.normal(size=(900, 120))
LINEAR = WIDE @ random.normal(size=120)


@pytest.mark.parametrize("task", ["numbers", "classes"])
def test_larger_tables_have_them_where_they_are_far_better(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    y = LINEAR if task == "numbers" else np.digitize(LINEAR, [-8, 8])
    bent = np.abs(WIDE[:, 0]) if task == "numbers" else np.abs(WIDE[:, 0]) > 0.7
    options: dict[str, Any] = {"n_networks": 3, "preset": "fast", "progress": False}
    with_them, in_time = (train_tabular(WIDE[:400], y[:400], **options, time_limit=limit).model for limit in (None, 1000))
    monkeypatch.setattr("manynets.tabular.linear.FAR_BETTER", 0.0)
    without = train_tabular(WIDE[:400], y[:400], **options).model
    monkeypatch.undo()
    assert with_them.info["linear"] == in_time.info["linear"] > 0
    assert "linear" not in without.info
    assert "linear" not in train_tabular(WIDE[:400], bent[:400], **options).model.info
    better, worse = (model.evaluate(WIDE[400:], y[400:])["loss"] for model in (with_them, without))
    assert better < 0.95 * worse


def test_larger_tables_have_none_where_the_time_is_over() -> None:
    times = itertools.chain([0.0], itertools.repeat(6.0))
    options: dict[str, Any] = {"n_networks": 3, "preset": "fast", "progress": False, "clock": lambda: next(times)}
    with pytest.warns(UserWarning, match="time_limit is 5 s"):
        fit = train_tabular(WIDE[:400], LINEAR[:400], time_limit=5.0, **options)
    assert "linear" not in fit.model.info


def test_one_network_that_validates_on_rows_of_its_own() -> None:
    model = mn.train(WIDE[:400], LINEAR[:400], preset="fast", n_networks=1, validation=0.2, progress=False)
    assert (model.size, model.info["linear"]) == (1, 1)


def test_larger_tables_have_all_of_them_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*given: Any, **options: Any) -> Any:
        return next(answers)(*given, **options)

    answers = iter(
        [linear_models, lambda *_given, **_options: []]
    )  # the first one, and the others, which a fold without a class has not
    monkeypatch.setattr("manynets.tabular.linear.linear_models", asked)
    fit = train_tabular(WIDE[:400], LINEAR[:400], n_networks=3, preset="fast", progress=False)
    assert next(answers, None) is None
    assert (fit.model.size, fit.model.info.get("linear")) == (3, None)


@pytest.mark.parametrize("y", [NUMBERS, CLASSES, CLASSES > 1], ids=["numbers", "classes", "two classes"])
def test_each_is_the_linear_model_of_the_rows_that_a_network_was_trained_on(monkeypatch: pytest.MonkeyPatch, y: Any) -> None:
    weight = 1.0 + np.arange(ROWS) % 3
    fit, members, linear = fitted(monkeypatch, y, sample_weight=weight)
    assert len(linear) == NETWORKS
    encoder, first = fit.model.encoder, y[:ROWS]
    assert encoder is not None
    x = encoder.transform(X[:ROWS])
    plain = x[:, ~encoder.piecewise].astype(np.float64)
    for member, outcome in zip(members, linear, strict=True):
        own: Any = member.rows
        kind: Any = RidgeCV(alphas=PENALTIES) if y is NUMBERS else LogisticRegression(max_iter=1000)
        model = kind.fit(plain[own], first[own], sample_weight=weight[own])
        wanted = model.predict(plain) if y is NUMBERS else model.decision_function(plain)
        found = fit.model.task.predict(scores_of(outcome.parameters, x)) if y is NUMBERS else scores_of(outcome.parameters, x)
        if y is NUMBERS:
            wanted = np.clip(wanted, first.min(), first.max())
        np.testing.assert_allclose(found.reshape(np.shape(wanted)), wanted, rtol=0, atol=1e-3)


def test_two_classes_with_a_score_each_have_the_same_chances(monkeypatch: pytest.MonkeyPatch) -> None:
    y = np.where(CLASSES > 1, "yes", "no")
    one, two = (fitted(monkeypatch, y, task=task)[2] for task in ("binary", "multiclass"))
    for single, pair in zip(one, two, strict=True):
        scores = scores_of(pair.parameters, np.ones(len(pair.parameters["input_scale.weight"])))
        wanted = scores_of(single.parameters, np.ones(len(single.parameters["input_scale.weight"])))
        np.testing.assert_allclose(scores[1] - scores[0], wanted[0], rtol=1e-5)


def test_a_table_of_text_alone_has_none() -> None:
    words = np.array(["roof", "door", "wall", "sink", "lamp", "desk"])
    text = [" ".join(words[row]) for row in random.integers(0, len(words), (ROWS, 5))]
    fit = train_tabular(polars.DataFrame({"text": text}), NUMBERS[:ROWS], n_networks=NETWORKS, preset="fast", progress=False)
    assert len(fit.model.members) == NETWORKS


def test_a_line_through_few_rows_is_found() -> None:
    model = mn.TabularRegressor(preset="fast", random_state=0).fit(X[:ROWS], NUMBERS[:ROWS])
    assert model.score(X[ROWS:], NUMBERS[ROWS:]) > 0.985  # networks alone reach 0.980


def test_they_count_only_where_they_are_better_out_of_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    for y, rows, linear in ((NUMBERS, ROWS, True), (np.abs(NUMBERS), 150, False)):
        fit, _, _ = fitted(monkeypatch, y, rows=rows)
        pairs = [np.array_equal(one["hidden0.weight"][0], -one["hidden0.weight"][1]) for one in fit.model.members]
        assert any(pairs) == linear
        assert fit.model.info.get("linear", 0) == sum(pairs)
        title = fit.model.plot().get_suptitle()
        assert ("linear models" in title) == linear
        assert fit.model.info["versions"] == versions(linear=True)  # by which they were fitted, and perhaps found worse


def test_the_summary_tells_them_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = fitted(monkeypatch, NUMBERS)[0].model
    linear, networks = model.info["linear"], model.size - model.info["linear"]
    model.save(tmp_path / "m.safetensors")
    for one in (model, mn.load(tmp_path / "m.safetensors")):
        text = dict(one.summary_rows())["network"]
        assert text.endswith(f"{linear} linear models, {model.parameters:,} parameters each")
        assert text.startswith("4 networks " if networks else "4 linear models")


@pytest.mark.parametrize(
    ("y", "options"),
    [
        (NUMBERS, {"rows": 200}),
        (NUMBERS, {"rows": 9}),
        (NUMBERS, {"changes": {"lr": 0.01}}),
        (NUMBERS, {"validation": (X[ROWS:], NUMBERS[ROWS:])}),
        (np.stack([CLASSES > 0, CLASSES > 1], axis=1).astype(int), {}),
        (np.where(np.arange(400) == 0, 2, CLASSES > 1), {}),
    ],
    ids=["many rows", "too few rows", "changes", "own validation", "several labels", "a class of one row"],
)
def test_where_there_are_none(monkeypatch: pytest.MonkeyPatch, y: Any, options: dict[str, Any]) -> None:
    fit, _, linear = fitted(monkeypatch, y, **options)
    assert not linear
    assert len(fit.model.members) == NETWORKS


def test_fits_in_threads_leave_the_warning_filters_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    second_entered, first_left = threading.Event(), threading.Event()
    calls: list[int] = []
    fit = LogisticRegression.fit

    def one_leaves_while_the_other_fits(self: Any, *args: Any, **options: Any) -> Any:
        calls.append(threading.get_ident())
        if calls.count(calls[-1]) > 1:
            first_left.set()
        elif len(set(calls)) == 1:
            second_entered.wait(0.5)
        else:
            second_entered.set()
            first_left.wait(0.5)
        return fit(self, *args, **options)

    def train(number: int) -> None:
        mn.TabularClassifier(preset="fast", n_networks=2, random_state=number).fit(X[:ROWS], NUMBERS[:ROWS] > 0)

    train(0)
    monkeypatch.setattr(LogisticRegression, "fit", one_leaves_while_the_other_fits)
    with warnings.catch_warnings():
        before = list(warnings.filters)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(train, range(2)))
        assert list(warnings.filters) == before
    assert len(set(calls)) == 2
