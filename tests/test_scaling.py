"""The columns of an array are scaled as those of a frame are, unless scaling=False."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import manynets as mn
from manynets.tables import fit_encoder
from tests.tolerances import assert_close

SPEC, RECIPE = mn.MLP(hidden=(6,)), mn.Recipe(epochs=3, seed=1)
X = np.random.default_rng(0).normal(size=(60, 3)) * [1000.0, 1.0, 0.1] + [0.0, 50.0, 0.0]
Y = X[:, 0] / 1000 + X[:, 1]


def fit(X: Any = X, y: Any = Y, spec: Any = SPEC, **options: Any) -> mn.Model:
    return mn.train(X, y, spec, RECIPE, progress=False, **options)


def frame(X: Any = X) -> pl.DataFrame:
    return pl.DataFrame(X, schema=list("abc"))


def assert_same(one: mn.Model, other: mn.Model) -> None:
    assert len(one.members) == len(other.members)
    for mine, theirs in zip(one.members, other.members, strict=True):
        assert_close(mine, theirs, "bits")


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy, np.ndarray.tolist])
@pytest.mark.parametrize("how", [{}, {"validation": 0.25}, {"validation": "folds", "n_networks": 2}])
def test_an_array_is_trained_on_as_a_frame_is(kind: Any, how: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model, by_frame = fit(kind(X), **how), fit(frame(), **how)
    assert_same(model, by_frame)
    assert_close(model.predict(kind(X)), by_frame.predict(frame()), "bits")
    assert model.score(X, Y) == by_frame.score(frame(), Y)


def test_a_tensor_of_bfloat16_which_numpy_lacks() -> None:
    rough = torch.from_numpy(X).bfloat16()
    model = fit(rough)
    assert_same(model, fit(rough.double().numpy()))
    assert_close(model.predict(rough), model.predict(rough.double()), "bits")


def test_false_leaves_the_columns_as_they_are() -> None:
    model = fit(X / 1000, scaling=False)
    assert model.encoder is None
    assert fit(frame() / 1000, scaling=False).encoder is not None
    assert_same(model, fit(torch.from_numpy(X / 1000), scaling=False))
    module = mn.network(SPEC, in_features=3, out_features=1)
    assert fit(spec=module).encoder is None  # its author knows what it reads
    assert fit(spec=module, scaling="standard").encoder is not None


def test_gaps_of_an_array_are_those_of_a_frame() -> None:
    holes = np.where(np.arange(60)[:, None] % 7 == [1, 2, 9], np.nan, X)
    assert_same(fit(holes), fit(pl.DataFrame(holes, schema=list("abc"), nan_to_null=True)))
    with pytest.raises(mn.DataError, match=r"X has \d+ NaN and 0 infinite"):
        fit(holes, scaling=False)
    with pytest.raises(mn.DataError, match="column 'x1' holds 1 infinite value, the first in row 3"):
        fit(np.where(np.arange(60)[:, None] * 3 + np.arange(3) == 10, np.inf, X))


@pytest.mark.parametrize("how", [{"cv": 2}, {"validation": 0.25}])
def test_networks_trained_together_are_those_trained_alone(how: dict[str, Any]) -> None:
    tries = [(SPEC, RECIPE), (SPEC, mn.Recipe(epochs=2, seed=2, optimizer=mn.Adam(lr=0.1)))]
    found = mn.train_many(X, Y, tries, progress=False, **how)
    for one, same in zip(found, mn.train_many(frame(), Y, tries, progress=False, **how), strict=True):
        assert_same(one.model, same.model)
        assert one.loss == same.loss or np.isnan([one.loss, same.loss]).all()
    if "validation" in how:
        for one, (spec, recipe) in zip(found, tries, strict=True):
            assert_same(one.model, mn.train(X, Y, spec, recipe, progress=False, **how))
    left = mn.train_many(X / 1000, Y, tries[:1], scaling=False, progress=False)
    assert_same(left[0].model, fit(X / 1000, scaling=False))


def test_a_model_keeps_its_scaling(tmp_path: Path) -> None:
    raw, scaled = fit(X / 1000, scaling=False), fit(scaling="quantile")
    assert mn.train(X / 1000, Y, raw, progress=False).encoder is None
    assert mn.train(X, Y, scaled, progress=False).encoder == scaled.encoder
    with pytest.raises(mn.OptionError, match="scaling is 'standard', but a Model is trained further with its own"):
        mn.train(X, Y, raw, scaling="standard", progress=False)
    assert_same(fit(X / 1000, scaling=False).fit(X[:40] / 1000, Y[:40]), fit(X[:40] / 1000, Y[:40], scaling=False))
    assert_same(fit(scaling="quantile").fit(X[:40], Y[:40]), fit(X[:40], Y[:40], scaling="quantile"))
    robust = fit(scaling="robust")
    robust.save(tmp_path / "robust.safetensors")
    for model in (robust, mn.load(tmp_path / "robust.safetensors")):
        assert_same(model.fit(X[:40], Y[:40]), fit(X[:40], Y[:40], scaling="robust"))
    found = [mn.estimator(model).scaling for model in (raw, fit(), scaled, robust)]
    assert found == [None, "standard", "quantile", "robust"]
    assert_close(mn.estimator(scaled).predict(X).astype(np.float64), scaled.predict(X), "float32")
    scaled.save(tmp_path / "m")
    assert_close(mn.load(tmp_path / "m").predict(X[:1]), scaled.predict(X[:1]), "bits")


def test_a_row_is_encoded_with_the_bits_of_a_column() -> None:
    for kind in (np.float64, np.float32, np.int64):
        values = X.astype(kind)
        wild = np.concatenate([values, values[:2] * 50])  # beyond the limits
        for scaling in ("standard", "none"):
            whole = fit_encoder(values, scaling=scaling).transform(wild)
            for j in range(3):
                one = fit_encoder(pl.DataFrame({"x": values[:, j]}), scaling=scaling, numeric=["x"])
                assert_close(whole[:, [j]], one.transform(pl.DataFrame({"x": wild[:, j]})), "bits")


@pytest.mark.parametrize("scaling", [None, False])
def test_a_training_goes_on_with_the_scaling_that_its_checkpoints_have(scaling: Any, tmp_path: Path) -> None:
    whole = fit(X / 1000, scaling=scaling, checkpoint=mn.Checkpoint(folder=tmp_path / "one", every_epochs=1))
    newest = max((tmp_path / "one").glob("*.checkpoint"))
    newest.unlink()
    again = fit(X / 1000, resume=tmp_path / "one")  # as in version 0.1, which did not scale
    assert (again.encoder is None) == (scaling is False)
    assert_same(again, whole)


def test_scale_is_answered_with_scaling() -> None:
    with pytest.raises(TypeError, match="train\\(\\) has no argument 'scale'; write scaling=False"):
        mn.train(X, Y, scale=False)  # type: ignore[call-arg]


def test_a_tensor_of_integers_or_of_bfloat16_is_read_as_an_array_is() -> None:
    large = np.random.default_rng(0).integers(0, 100, (60, 3)) + 2**40  # float32 would make these one number
    assert_same(fit(torch.from_numpy(large)), fit(large))
    brief = torch.from_numpy(X).bfloat16()
    assert_same(fit(brief), fit(brief.float().numpy()))


@pytest.mark.parametrize("frame", [False, True])
@pytest.mark.parametrize("network", [{"spec": SPEC, "recipe": RECIPE}, {"preset": "fast"}], ids=["network", "default"])
def test_rows_without_weight_have_no_say_in_the_scaling(frame, network):
    x = np.random.default_rng(3).normal(size=(60, 2))
    y, weight = x[:, 0] - x[:, 1], np.repeat([1.0, 0.0], 30)
    wild = np.where(weight[:, None] > 0, x, 1e4 * x)

    def read(values: Any) -> Any:
        return pl.DataFrame(values, schema=["a", "b"]) if frame else values

    def inputs_after(values: Any) -> Any:
        model = mn.train(read(values), y, sample_weight=weight, progress=False, **network)
        return np.asarray(model.inputs_of(read(x)))

    assert_close(inputs_after(wild), inputs_after(x), "bits")
