"""Row weights of any size: only their ratios matter, and rows without weight are an error where a part has no others."""

import numpy as np
import pytest

import manynets as mn
from manynets.errors import DataError, DataScaleWarning, OptionError

SIZES = [1e-300, 1e-40, 1e37, 3e38, 1e300]
SPEC, RECIPE = mn.MLP(hidden=(8,)), mn.Recipe(epochs=20, batch_size=32)


@pytest.fixture(scope="module")
def data():
    X = np.random.default_rng(0).normal(size=(400, 4))
    return X.astype(np.float32), (X[:, 0] + X[:, 1] > 0).astype(int)


def scores_of(data, weight):
    """What several ways of training with these weights give."""
    X, y = data
    own = (X, y) if weight is None else (X, y, weight)
    quiet = {"max_iter": 20, "random_state": 0, "tol": 0.0}
    with pytest.warns(UserWarning, match="converge"):
        sgd = mn.MLPClassifier(8, **quiet).fit(X, y, sample_weight=weight)
    return {
        "train": mn.train(X, y, SPEC, RECIPE, sample_weight=weight, scaling=False, progress=False).evaluate(X, y)["accuracy"],
        "validation set": mn.train(X, y, SPEC, RECIPE, validation=own, scaling=False, progress=False).history["val_loss"][-1],
        "numpy": mn.train(X, y, SPEC, RECIPE, engine="numpy", sample_weight=weight, scaling=False, progress=False).evaluate(X, y)[
            "accuracy"
        ],
        "train_many": mn.train_many(X, y, [(SPEC, RECIPE)], cv=3, sample_weight=weight, scaling=False, progress=False)[0].score,
        "lines": mn.train_many(
            X, y, [(SPEC, RECIPE)], cv=3, sample_weight=None if weight is None else weight[None], scaling=False, progress=False
        )[0].score,
        "sgd": sgd.score(X, y),
        "lbfgs": mn.MLPClassifier(8, solver="lbfgs", **quiet | {"tol": 1e-4}).fit(X, y, sample_weight=weight).score(X, y),
        "tabular": mn.TabularClassifier(n_networks=2, preset="fast", random_state=0).fit(X, y, sample_weight=weight).score(X, y),
    }


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.filterwarnings("ignore::manynets.errors.LeakWarning")
def test_equal_weights_of_any_size_are_as_none(data, size):
    plain, weighted = scores_of(data, None), scores_of(data, np.full(400, size))
    assert weighted == pytest.approx(plain, abs=0.02)


@pytest.mark.parametrize("size", SIZES)
def test_class_weights_of_any_size(data, size):
    X, y = data
    accuracy = [
        mn.train(
            X, y, SPEC, RECIPE, class_weight=weights, sample_weight=np.full(400, rows), scaling=False, progress=False
        ).evaluate(X, y)["accuracy"]
        for weights, rows in ((None, 1.0), ({0: size, 1: size}, size))
    ]
    assert accuracy[1] == pytest.approx(accuracy[0], abs=0.01)


def test_ordinary_weights_stay_as_they_are(data):
    X, y = data
    weight = np.random.default_rng(1).uniform(1e-3, 1e3, 400)
    model = mn.train(X, y, SPEC, RECIPE, sample_weight=weight, scaling=False, progress=False)
    prepared = mn.prepare.prepare(X, y, RECIPE, sample_weight=weight)
    assert prepared.problem.rows.weight.numpy().tobytes() == weight.astype(np.float32).tobytes()
    assert model.info["stopped"] == ["done"]


@pytest.mark.parametrize(("cv", "parts"), [([(0, 1), (1, 0)], ["training", "test"]), ([(0, 0), (1, 1)], ["training", None])])
@pytest.mark.parametrize("lines", [False, True])
def test_a_fold_without_weight_is_an_error_of_that_fold(data, cv, parts, lines):
    X, y = data
    halves = np.arange(200), np.arange(200, 400)
    weight = np.repeat([0.0, 1.0], 200)
    found = mn.train_many(
        X,
        y,
        [(SPEC, RECIPE)],
        cv=[(halves[a], halves[b]) for a, b in cv],
        sample_weight=weight[None] if lines else weight,
        scaling=False,
        progress=False,
    )
    for number, (result, part) in enumerate(zip(found, parts, strict=True)):
        if part is None:
            assert result.error is None
            assert result.score > 0.8
        else:
            assert result.stopped == "failed"
            assert isinstance(result.error, DataError)
            assert f"zero for all 200 {part} rows of fold {number}" in str(result.error)


def test_numbers_that_float32_cannot_tell_apart(data):
    X, y = data
    for wide in (1.7e9 + X.astype(np.float64), X.astype(np.float64) * 1e-60):
        with pytest.warns(DataScaleWarning, match="X column 0 holds numbers from .* all the same in float32"):
            mn.train(wide, y, SPEC, RECIPE, scaling=False, progress=False)
        mn.train(wide, y, SPEC, mn.Recipe(epochs=1, dtype="float64"), scaling=False, progress=False)
    with pytest.raises(DataError, match=r"X column 0 reaches 2.94e\+39"):
        mn.train(X.astype(np.float64) * 1e39, y, SPEC, RECIPE, scaling=False, progress=False)
    constant = np.concatenate([X, np.full((400, 1), 1 / 3)], axis=1)
    mn.train(constant, y, SPEC, RECIPE, scaling=False, progress=False)


def test_initial_weights_that_float32_does_not_hold(data):
    X, y = data
    start = {
        name: value.astype(np.float64)
        for name, value in mn.train(X, y, SPEC, RECIPE, scaling=False, progress=False).members[0].items()
    }
    huge = {name: value * 1e300 for name, value in start.items()}
    with pytest.raises(OptionError, match=r"finite numbers of shape .* in float32"):
        mn.train(X, y, SPEC, RECIPE, initial=huge, scaling=False, progress=False)


@pytest.mark.parametrize("weight", [[[1, 2], [3]] * 200, ["a"] * 400])
def test_weights_that_are_no_numbers(data, weight):
    X, y = data
    with pytest.raises(DataError, match="sample_weight must be"):
        mn.train(X, y, SPEC, RECIPE, sample_weight=weight, scaling=False, progress=False)
