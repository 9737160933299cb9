"""`train_many`: every network equals the same one trained alone; what fails is named, and the rest is complete."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import manynets as mn
from manynets.datasets import load
from manynets.prepare import cv_splits
from manynets.search.candidates import Result
from manynets.targets import find_target
from manynets.training import groups as training
from manynets.training.events import Advanced, Evaluated, Event, Finished, Started
from tests.candidates import train_candidates
from tests.tolerances import assert_close

OPTIMIZERS: list[Any] = [
    lambda lr, r: mn.SGD(lr=lr, momentum=float(r.choice([0.0, 0.9])), nesterov=False, weight_decay=0.01),
    lambda lr, r: mn.SGD(lr=lr, momentum=0.5, nesterov=True),
    lambda lr, r: mn.Adam(lr=lr / 10, betas=(float(r.uniform(0.8, 0.95)), 0.99), eps=1e-4),
    lambda lr, r: mn.AdamW(lr=lr / 10, weight_decay=float(r.uniform(0, 0.1)), eps=1e-4),
    lambda lr, r: mn.NAdam(lr=lr / 10, eps=1e-4),
    lambda lr, r: mn.RMSprop(lr=lr / 100, eps=1e-3),
    lambda lr, r: mn.Adagrad(lr=lr, eps=1e-3),
    lambda lr, r: mn.Lion(lr=lr / 10, weight_decay=float(r.uniform(0, 0.1))),
]
SCHEDULES = [mn.Constant(), mn.Cosine(warmup=0.1), mn.OneCycle(), mn.StepDecay(every=1), mn.ReduceOnPlateau(patience=0)]
INITS = ["torch", "kaiming_normal", "xavier_uniform", "orthogonal", "lecun_normal"]


def candidates_for(count: int, *, dtype: str, labels: bool, seed: int = 0, rows: int = 200) -> list[tuple[mn.MLP, mn.Recipe]]:
    """Networks that differ in everything that may differ, with equal ones among them in each single thing."""
    r = np.random.default_rng(seed)
    out = []
    for _k in range(count):
        depth = int(r.integers(0, 3))
        hidden = tuple(int(n) for n in r.choice([5, 8], depth))
        spec = mn.MLP(
            hidden=hidden,
            activation=["relu", "tanh", "gelu", "selu"][int(r.integers(4))],
            dropout=tuple(float(p) for p in r.choice([0.0, 0.2, 0.5], depth)),
            input_dropout=float(r.choice([0.0, 0.1])),
            batch_norm=bool(r.random() < 0.25) and depth > 0,
            init=INITS[int(r.integers(5))],  # type: ignore[arg-type]
        )
        recipe = mn.Recipe(
            optimizer=OPTIMIZERS[int(r.integers(len(OPTIMIZERS)))](float(10 ** r.uniform(-2.5, -1)), r),
            schedule=SCHEDULES[int(r.integers(len(SCHEDULES)))],
            epochs=int(r.integers(1, 6)),
            batch_size=[None, 16, rows // 4][int(r.integers(3))],
            l1=float(r.choice([0.0, 1e-3])),
            l2=float(r.choice([0.0, 1e-2])),
            label_smoothing=float(r.choice([0.0, 0.1])) if labels else 0.0,
            clip_norm=[None, 0.5][int(r.integers(2))],
            stopping=[None, mn.EarlyStopping(patience=1, min_delta=0.3)][int(r.integers(2))],
            keep=["best", "last"][int(r.integers(2))],  # type: ignore[arg-type]
            gradient=["auto", "autograd"][int(r.integers(2))],  # type: ignore[arg-type]
            seed=int(r.integers(0, 5)),
            dtype=dtype,  # type: ignore[arg-type]
            device="cpu",
        )
        if isinstance(recipe.optimizer, mn.Lion):  # which takes the sign of gradients that are 0 but for rounding
            spec = dataclasses.replace(spec, batch_norm=False)
        out.append((spec, recipe))
    return out


def alone(X: Any, y: Any, result: Result, rows: Any, weight: Any = None, **options: Any) -> mn.Model:
    """Train the candidate of a result by itself, on a copy of its rows."""
    rows = slice(None) if rows is None else rows
    return mn.train(
        X[rows], y[rows], result.spec, result.recipe, task=result.task, sample_weight=None if weight is None else weight[rows],
        scaling=False, progress=False, **options,
    )  # fmt: skip


def assert_same(result: Result, model: mn.Model, kind: str) -> None:
    assert result.error is None
    assert result.stopped == model.info["stopped"][0]
    assert set(result.history) == set(model.history)
    for name, column in model.history.items():
        if name != "seconds":
            assert len(result.history[name]) == len(column), "the stopping epoch differs"
            assert_close(result.history[name], column, kind, what=name)
    assert result.parameters is not None
    assert_close(result.parameters, model.members[0], kind, what="parameters")


def real(name: str, data_dir: Path, rows: int) -> tuple[NDArray[Any], NDArray[Any]]:
    if name == "california_housing":
        import polars as pl

        frame = pl.read_csv(data_dir / name / "housing.csv.gz").drop_nulls().sample(rows, seed=0)
        numbers = frame.drop("ocean_proximity", "median_house_value").to_numpy()
        return (numbers - numbers.mean(0)) / numbers.std(0), frame["median_house_value"].to_numpy() / 1e5
    data = load(name, seed=0)
    order = np.random.default_rng(0).permutation(len(data.X))[:rows]
    return data.X[order].astype(np.float64), data.y[order]


@pytest.mark.parametrize(
    ("name", "dtype"), [("moons", "float64"), ("digits", "float64"), ("california_housing", "float64"), ("digits", "float32")]
)
def test_64_networks_that_differ_in_everything(name: str, dtype: str, data_dir: Path) -> None:
    X, y = real(name, data_dir, 240)
    candidates = candidates_for(64, dtype=dtype, labels=name != "california_housing")
    results = mn.train_many(X, y, candidates, validation=0.2, scaling=False, progress=False)
    assert [result.candidate for result in results] == list(range(64))
    ended = {(result.stopped, len(result.history["epoch"])) for result in results}
    assert len(ended) > 5, "the candidates were to stop at different epochs"
    assert "early" in {how for how, _ in ended}
    if dtype == "float32":
        results = results[::4]
    for result in results:
        assert_same(result, alone(X, y, result, None, validation=0.2), "float64" if dtype == "float64" else "float32_run")


@pytest.mark.filterwarnings("ignore::manynets.errors.LeakWarning")  # rows are drawn more than once
@settings(max_examples=4)
@given(st.integers(0, 10**6), st.booleans(), st.booleans(), st.sampled_from(["moons", "digits"]))
def test_any_candidates_on_any_folds(seed: int, weighted: bool, validated: bool, name: str) -> None:
    X, y = real(name, Path(), 120)
    r = np.random.default_rng(seed)
    candidates = candidates_for(6, dtype="float64", labels=True, seed=seed, rows=60)
    weights = r.uniform(0.1, 2.0, (6, 120)) if weighted else None
    folds = [(r.choice(120, int(r.integers(80, 121)), replace=bool(r.random() < 0.5)), r.choice(120, 20)) for _ in range(2)]
    validation = 0.25 if validated else None
    results = mn.train_many(X, y, candidates, cv=folds, sample_weight=weights, validation=validation, scaling=False, progress=False)
    assert [(result.candidate, result.fold) for result in results] == list(itertools.product(range(6), range(2)))
    for result in results:
        train, test = folds[result.fold]
        weight = None if weights is None else weights[result.candidate]
        model = alone(X, y, result, train, weight, validation=validation)
        assert_same(result, model, "float64")
        figures = model.evaluate(X[test], y[test], sample_weight=None if weight is None else weight[test])
        assert_close(result.score, figures["accuracy"], "float64")
        assert_close(result.loss, figures["loss"], "float64")
        assert result.model is not None
        assert_close(result.model.evaluate(X, y)["loss"], model.evaluate(X, y)["loss"], "float64")


DATA = np.random.default_rng(0).normal(size=(60, 3))
CLASSES = (DATA[:, 0] > 0).astype(int) + (DATA[:, 1] > 1)
NET, QUICK = mn.MLP(hidden=(4,)), mn.Recipe(epochs=3, batch_size=16, dtype="float64", device="cpu")


def test_folds_by_number_by_splitter_and_by_mask() -> None:
    from sklearn.model_selection import GroupKFold, StratifiedKFold

    groups = np.arange(60) // 6
    by_splitter = mn.train_many(DATA, CLASSES, [(NET, QUICK)], cv=GroupKFold(3), groups=groups, scaling=False, progress=False)
    pairs = list(GroupKFold(3).split(DATA, CLASSES, groups))
    masks = [(np.isin(np.arange(60), train), np.isin(np.arange(60), test)) for train, test in pairs]
    by_mask = mn.train_many(DATA, CLASSES, [(NET, QUICK)], cv=masks, scaling=False, progress=False)
    assert [a.score for a in by_splitter] == [b.score for b in by_mask]
    assert len({a.loss for a in by_splitter}) == 3
    dealt = cv_splits(find_target(CLASSES, None), 4)
    assert np.array_equal(np.sort(np.concatenate([test for _, test in dealt])), np.arange(60))
    shares = [np.bincount(CLASSES[test], minlength=3) for _, test in dealt]
    assert np.ptp(shares, axis=0).max() <= 1
    assert len(mn.train_many(DATA, CLASSES, [(NET, QUICK)], cv=StratifiedKFold(2), scaling=False, progress=False)) == 2
    one = mn.train_many(DATA, CLASSES, [(NET, QUICK)], scaling=False, progress=False)
    assert len(one) == 1
    assert np.isnan(one[0].score)


@pytest.mark.parametrize("gradient", ["auto", "closed_form", "autograd"])
def test_a_model_says_how_it_was_trained_as_that_of_train_does(gradient: Any) -> None:
    data = load("moons", points=100, seed=0)
    spec, recipe = mn.MLP(hidden=(4,)), mn.Recipe(epochs=1, gradient=gradient, device="cpu")
    alone = mn.train(data.X, data.y, spec, recipe, progress=False)
    model = mn.train_many(data.X, data.y, [(spec, recipe)], progress=False)[0].model
    assert model is not None
    assert {**model.info, "seconds": 0} == {**alone.info, "seconds": 0}


def test_a_frame_is_encoded_by_its_training_rows() -> None:
    import polars as pl

    frame = pl.DataFrame({"a": DATA[:, 0], "b": [["x", "y", "z"][i % 3] for i in range(60)], "c": DATA[:, 1]})
    fold = (np.arange(40), np.arange(40, 60))
    [result] = mn.train_many(frame, CLASSES, [(NET, QUICK)], cv=[fold], progress=False)
    model = mn.train(frame[fold[0]], CLASSES[fold[0]], NET, QUICK, task=result.task, progress=False)
    assert_same(result, model, "float64")
    assert_close(result.score, model.evaluate(frame[fold[1]], CLASSES[fold[1]])["accuracy"], "float64")
    assert result.model is not None
    assert_close(result.model.predict_proba(frame), model.predict_proba(frame), "float64")


def test_the_score_of_a_transformed_target_is_that_of_the_target() -> None:
    X = np.random.default_rng(0).normal(size=(60, 2))
    y = np.exp(X[:, 0])
    task = mn.Regression.of(y, transform="log", clamp=True)
    fold = [(np.arange(40), np.arange(40, 60))]
    [one] = mn.train_many(X, y, [(mn.MLP(hidden=(4,)), mn.Recipe(epochs=3))], cv=fold, task=task, progress=False)
    assert one.model is not None
    assert_close(one.score, one.model.evaluate(X[40:], y[40:])["r2"], "float32")


def test_what_fails_is_named_and_the_rest_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    good = (NET, QUICK)
    diverges = (NET, dataclasses.replace(QUICK, optimizer=mn.SGD(lr=1e300)))
    unfit = (NET, dataclasses.replace(QUICK, batch_size=1000))
    no_loss = (NET, dataclasses.replace(QUICK, loss="huber"))
    greedy = (mn.MLP(hidden=(7,)), QUICK)
    run = training.TrainingRun

    class Small(run):  # type: ignore[misc, valid-type]
        def __init__(self, problem: Any, members: Any, **more: Any) -> None:
            if any(member.spec.hidden == (7,) for member in members):
                raise MemoryError("no room")
            super().__init__(problem, members, **more)

    monkeypatch.setattr(training, "TrainingRun", Small)
    tries = [good, diverges, unfit, no_loss, greedy, good]
    results = mn.train_many(DATA, CLASSES, tries, cv=2, scaling=False, progress=False)
    by_candidate = [results[i : i + 2] for i in range(0, 12, 2)]
    assert [result.stopped for pair in by_candidate for result in pair] == (
        ["done"] * 2 + ["diverged"] * 2 + ["failed"] * 6 + ["done"] * 2
    )
    assert by_candidate[1][0].divergence is not None
    assert by_candidate[1][0].divergence.lr == 1e300
    assert "batch_size is 1000" in str(by_candidate[2][0].error)
    assert "huber" in str(by_candidate[3][0].error)
    assert isinstance(by_candidate[4][0].error, MemoryError)
    assert by_candidate[4][0].model is None
    assert [result.score for pair in by_candidate[1:5] for result in pair] == [-np.inf] * 8
    assert max(results, key=lambda result: result.score).stopped == "done"
    assert all(np.isnan(result.score) for result in mn.train_many(DATA, CLASSES, tries, scaling=False, progress=False))
    expected = mn.train_many(DATA, CLASSES, [good], cv=2, scaling=False, progress=False)
    for pair in (by_candidate[0], by_candidate[5]):
        assert [result.loss for result in pair] == pytest.approx([result.loss for result in expected], rel=1e-12)


def test_a_memory_limit_splits_and_changes_nothing() -> None:
    tries = [(NET, dataclasses.replace(QUICK, seed=seed)) for seed in range(5)]
    told: list[int] = []
    whole = mn.train_many(DATA, CLASSES, tries, cv=2, scaling=False, progress=False)
    parts = train_candidates(
        DATA, CLASSES, tries, cv=2, progress=False, memory_limit=1, on_results=lambda results: told.append(len(results))
    )
    assert told == [1] * 10
    assert [result.loss for result in parts] == pytest.approx([result.loss for result in whole], rel=1e-12)
    told.clear()
    train_candidates(
        DATA, CLASSES, tries, cv=2, progress=False, max_networks=4, on_results=lambda results: told.append(len(results))
    )
    assert told == [3, 3, 4]


def test_a_divergence_that_no_other_candidate_sees() -> None:
    with_it = mn.train_many(
        DATA,
        CLASSES,
        [(NET, QUICK), (NET, dataclasses.replace(QUICK, optimizer=mn.AdamW(lr=1e300)))],
        scaling=False,
        progress=False,
    )
    [without] = mn.train_many(DATA, CLASSES, [(NET, QUICK)], scaling=False, progress=False)
    assert with_it[1].stopped == "diverged"
    assert_close(with_it[0].parameters, without.parameters, "float64")


@pytest.mark.parametrize(("watch", "worst"), [("loss", -np.inf), ("log_loss", np.inf)])
def test_a_network_that_diverged_does_not_win(watch: Any, worst: float) -> None:
    recipe = dataclasses.replace(QUICK, watch=watch)
    tries = [(NET, dataclasses.replace(recipe, optimizer=mn.SGD(lr=1e300))), (NET, recipe)]
    diverged, good = mn.train_many(DATA, CLASSES, tries, cv=[(range(40), range(40, 60))], scaling=False, progress=False)
    assert diverged.stopped == "diverged"
    assert diverged.score == worst
    assert np.isfinite(diverged.loss)
    assert np.isfinite(good.score)
    [untested] = mn.train_many(DATA, CLASSES, tries[:1], scaling=False, progress=False)
    assert np.isnan(untested.score)


def test_events_tell_one_story_of_several_groups() -> None:
    events: list[Event] = []
    tries = [(NET, QUICK), (mn.MLP(hidden=(5,)), QUICK), (NET, dataclasses.replace(QUICK, dtype="float32", epochs=1))]
    mn.train_many(DATA, CLASSES, tries, cv=2, scaling=False, progress=False, callbacks=[events.append])
    assert isinstance(events[0], Started)
    assert events[0].n_networks == 6
    assert [type(event) for event in events].count(Started) == [type(event) for event in events].count(Finished) == 1
    steps = [event.step for event in events if isinstance(event, Advanced)]
    assert steps == sorted(steps)
    assert steps[-1] == events[0].steps
    assert sum(len(event.numbers) - event.alive for event in events if isinstance(event, Evaluated)) == 6


def test_progress_shows_the_best_and_how_many_networks_have_finished(capsys: pytest.CaptureFixture[str]) -> None:
    tries = [(NET, dataclasses.replace(QUICK, epochs=1 + seed, seed=seed)) for seed in range(3)]
    mn.train_many(DATA, CLASSES, tries, validation=0.2, scaling=False, progress=True)
    shown = capsys.readouterr().err
    assert "3 of 3 networks finished" in shown
    assert "best validation accuracy" in shown


def test_checkpoints_of_other_candidates_are_refused(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(event: mn.Event) -> None:
        if isinstance(event, mn.Evaluated):
            raise Stop

    options: dict[str, Any] = {"cv": 2, "progress": False, "scaling": False}
    tries = [(NET, dataclasses.replace(QUICK, seed=seed)) for seed in range(2)]
    with pytest.raises(Stop):
        mn.train_many(DATA, CLASSES, tries, callbacks=[stop], checkpoint=mn.Checkpoint(folder=tmp_path, every_steps=1), **options)
    assert [one.stopped for one in mn.train_many(DATA, CLASSES, tries, resume=tmp_path, **options)] == ["done"] * 4
    other = [(NET, dataclasses.replace(QUICK, seed=seed, clip_norm=0.5)) for seed in range(2)]
    for data, candidates, message in (
        (DATA, other, r"holds checkpoints of another training: networks\.0\.recipe\.clip_norm is 0\.5, in the checkpoint None"),
        (DATA + 1, tries, "another training: data.X is .*; give the same data, candidates, loss and cv, or another folder"),
        (DATA, tries[:1], "another training: networks 0 to 1, in the checkpoint also 3; give"),
    ):
        with pytest.raises(mn.OptionError, match=message):
            mn.train_many(data, CLASSES, candidates, resume=tmp_path, **options)


def test_autocast_around_the_call_changes_nothing() -> None:
    def scores() -> list[Any]:
        [one] = mn.train_many(DATA, CLASSES, [(NET, mn.Recipe(epochs=3))], cv=[(np.arange(40), np.arange(40, 60))], progress=False)
        net = mn.MLPClassifier((4,), max_iter=3, n_iter_no_change=np.inf, random_state=0)
        search = mn.MLPSearchCV(net, {"alpha": [0.1, 0.2]}, cv=2, scoring="neg_log_loss", refit=False).fit(
            DATA.astype(np.float32), CLASSES
        )
        return [one.loss, one.score, *search.cv_results_["mean_test_score"]]

    plain = scores()
    with torch.autocast("cpu", torch.bfloat16):
        assert scores() == plain


@pytest.mark.parametrize("error", [RuntimeError("mine"), MemoryError("mine"), mn.DataError("mine")])
@pytest.mark.parametrize("sizes", [(4, 4), (4, 5)])
def test_the_error_of_a_callback_is_no_failure_of_the_networks(error: Exception, sizes: tuple[int, ...]) -> None:
    def callback(event: mn.Event) -> None:
        if isinstance(event, mn.Evaluated):
            raise error

    with pytest.raises(type(error)) as caught:
        mn.train_many(DATA, CLASSES, [(mn.MLP(hidden=(n,)), QUICK) for n in sizes], callbacks=[callback], progress=False)
    assert caught.value is error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates": []}, "candidates is empty"),
        ({"candidates": [NET]}, "candidate 0 is MLP"),
        ({"candidates": [[NET, QUICK]]}, r"candidate 0 is \[MLP.{,100}, but candidates must be a list of tuples \(MLP, Recipe\)"),
        ({"callbacks": print}, "callbacks is <built-in function print>, but must be several functions"),
        ({"callbacks": ["print"]}, "'print'"),
        ({"n_jobs": 0}, "n_jobs is 0, but must be None, a whole number of at least 1, or a negative one"),
        ({"n_jobs": "2"}, "n_jobs is '2', but must be None"),
        ({"cv": 1}, "cv is 1, but must be a whole number from 2 to 60"),
        ({"cv": [np.arange(3)]}, "fold 0 is"),
        ({"cv": [([60], [0])]}, "fold 0 lists row 60"),
        ({"cv": []}, "cv is empty"),
        ({"cv": "5"}, "cv is '5', but must be None, a number, a splitter"),
        ({"cv": [([], [0])]}, "no training rows"),
        ({"sample_weight": np.ones((3, 60))}, r"sample_weight has shape \(3, 60\)"),
        ({"validation": [1, 2]}, "validation is"),
        ({"y": CLASSES[:50]}, "X has 60 rows and y has 50"),
    ],
)
def test_mistakes(change: dict[str, Any], message: str) -> None:
    options: dict[str, Any] = {"X": DATA, "y": CLASSES, "candidates": [(NET, QUICK)], "progress": False} | change
    with pytest.raises(ValueError, match=message):
        mn.train_many(options.pop("X"), options.pop("y"), options.pop("candidates"), **options, scaling=False)


def test_results_as_the_rows_of_a_table() -> None:
    wild, wrong = mn.Recipe(epochs=2, optimizer=mn.SGD(lr=1e30)), mn.Recipe(loss="squared_error")
    validation = (DATA[:20], CLASSES[:20])
    options: dict[str, Any] = {"validation": validation, "cv": 2, "progress": False, "scaling": False}
    results = mn.train_many(DATA, CLASSES, [(NET, QUICK), (NET, wild), (NET, wrong)], **options)
    rows = [result.row for result in results[::2]]
    table = pl.DataFrame(rows, infer_schema_length=None)
    assert table["lr"].to_list() == [QUICK.lr, 1e30, wrong.lr]
    assert table["stopped"].to_list() == ["done", "diverged", "failed"]
    assert table["loss_option"].to_list() == [None, None, "squared_error"]
    assert "loss of the task" in table["error"][2]
    assert table["score"].to_list() == [results[0].score, -np.inf, -np.inf]
    assert rows[0]["loss"] == results[0].loss
    history, best = results[0].history, results[0].best
    for name, column in (
        ("best_epoch", "epoch"),
        ("train_loss", "loss"),
        ("val_loss", "val_loss"),
        ("val_accuracy", "val_accuracy"),
    ):
        assert rows[0][name] == history[column][best]
    assert np.isnan(rows[2]["best_epoch"])
