"""A trained Model: files, prediction."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import manynets as mn
from manynets.estimators import base
from manynets.model import ROWS_AT_ONCE
from tests.tolerances import assert_close
from tests.trained import RECIPE, SPEC, D, N, Own, data, fit, several

# ------------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("networks", [1, 3])
def test_a_saved_model_predicts_the_same_bits(task: str, networks: int, tmp_path: Path) -> None:
    model = several(task, networks, dataclasses.replace(SPEC, batch_norm=True))
    model.save(tmp_path / "a.safetensors")
    loaded = mn.load(tmp_path / "a.safetensors")
    x, y = data(task)
    assert np.array_equal(loaded.logits(x), model.logits(x))
    assert np.array_equal(loaded.predict(x), model.predict(x))
    assert loaded.evaluate(x, y) == model.evaluate(x, y)
    assert (loaded.spec, loaded.task, loaded.recipe, loaded.history, loaded.info) == (
        model.spec, model.task, model.recipe, model.history, model.info,
    )  # fmt: skip


def test_a_saved_module_comes_back_into_a_module_of_the_same_kind(tmp_path: Path) -> None:
    model = fit(Own(seed=1))
    model.save(tmp_path / "own.safetensors")
    loaded = mn.load(tmp_path / "own.safetensors", module=Own(seed=2))
    assert np.array_equal(loaded.logits(data()[0]), model.logits(data()[0]))
    assert_close(loaded.members[0], model.members[0], "bits")
    with pytest.raises(mn.ModelFileError, match="holds a module of your own; give it one of the same kind"):
        mn.load(tmp_path / "own.safetensors")
    with pytest.raises(mn.ModelFileError, match="the weights do not fit Own"):
        mn.load(tmp_path / "own.safetensors", module=Own(outputs=4))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    fit(mn.MLP(hidden=(3,))).save(path)
    return path


def test_no_pickle_in_the_file(file: Path) -> None:
    whole = file.read_bytes()
    assert whole[8:9] == b"{"
    assert b"pickle" not in whole
    assert not whole.startswith((b"\x80", b"PK"))


def test_any_changed_byte_and_any_cut_is_found(file: Path, tmp_path: Path) -> None:
    whole, broken = file.read_bytes(), tmp_path / "broken.safetensors"
    for place in range(0, len(whole), 37):
        broken.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(mn.ModelFileError, match=r"broken\.safetensors"):
            mn.load(broken)
    for length in (0, 4, 8, 100, len(whole) // 2, len(whole) - 1):
        broken.write_bytes(whole[:length])
        with pytest.raises(mn.ModelFileError, match=r"broken\.safetensors"):
            mn.load(broken)
    with pytest.raises(mn.ModelFileError, match="there is no such file"):
        mn.load(tmp_path / "nothing")
    with pytest.raises(mn.ModelFileError, match="this is a folder"):
        mn.load(tmp_path)


def test_a_failed_save_leaves_the_old_file(file: Path, tmp_path: Path) -> None:
    model = mn.load(file)
    target = tmp_path / "model.safetensors"
    model.save(target)
    before = target.read_bytes()
    model.info["bad"] = float("nan")
    with pytest.raises(ValueError, match="JSON"):
        model.save(target)
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


# -------------------------------------------------------------------------------------------------------------- prediction


def test_prediction_of_several_networks_is_their_mean() -> None:
    x, y = data()
    model = several("multiclass")
    each = np.stack([model.task.proba(scores) for scores in model.logits(x)])
    assert_close(model.predict_proba(x), each.mean(0), "float32")
    assert model.predict(x).tolist() == np.array(model.task.classes)[each.mean(0).argmax(1)].tolist()  # type: ignore[attr-defined]
    assert model.evaluate(x, y)["accuracy"] == np.mean(model.predict(x) == y)
    truth = np.searchsorted(model.task.classes, y)  # type: ignore[attr-defined]
    loss = -np.log(each.mean(0)[np.arange(N), truth]).mean()
    assert_close(model.evaluate(x, y)["loss"], float(loss), "float32")
    regression = several("regression")
    own = np.stack([regression.task.predict(scores) for scores in regression.logits(x)])
    assert_close(regression.predict(x), own.mean(0), "float64")
    rmse = float(np.sqrt(np.mean((own.mean(0) - data("regression")[1]) ** 2)))
    assert_close(regression.evaluate(*data("regression"))["rmse"], rmse, "float32")


@pytest.mark.parametrize("recipe", [{}, {"loss": "quantile", "quantile": (0.1, 0.5, 0.9)}])
@pytest.mark.parametrize("targets", [1, 2])
def test_metrics_of_several_networks_are_those_of_their_prediction(targets: int, recipe: dict[str, Any]) -> None:
    x = np.random.default_rng(0).normal(size=(120, 2))
    y = np.exp(2 * x[:, :targets] + np.random.default_rng(1).normal(size=(120, targets)))
    y = y[:, 0] if targets == 1 else y
    recipe = {"epochs": 3, "optimizer": mn.Adam(lr=0.03)} | recipe
    model = mn.train(x, y, mn.MLP(hidden=(8,)), mn.Recipe(**recipe), n_networks=3, target_transform="log", progress=False)
    found = model.evaluate(x, y)
    assert_close(found["mae"], float(np.abs(model.predict(x) - y).mean()), "float32")
    assert_close(found["rmse"], float(np.sqrt(np.mean((model.predict(x) - y) ** 2))), "float32")
    assert_close(mn.explain.permutation_importance(model, x, y, metric="mae").score, found["mae"], "float32")


@pytest.mark.parametrize(
    "make",
    [
        lambda: several("multiclass"),
        lambda: fit(dataclasses.replace(SPEC, batch_norm=True)),
        lambda: fit(dataclasses.replace(SPEC, activation="gelu", bias=False)),
        lambda: fit(dataclasses.replace(SPEC, activation="leaky_relu", bias=False)),
        lambda: fit(dataclasses.replace(SPEC, activation="tanh")),
        lambda: fit(dataclasses.replace(SPEC, activation="identity")),
        lambda: fit(dataclasses.replace(SPEC, hidden=())),
        lambda: fit(Own()),
    ],
)
def test_one_row_and_chunks_are_the_same_as_all(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = make(), data()[0]
    whole = model.logits(x)
    assert whole.shape == (model.size, N, 3)
    monkeypatch.setitem(ROWS_AT_ONCE, "cpu", 7 * 8 * model.size)
    model.to("cpu")  # which counts the rows anew
    monkeypatch.setattr("manynets.model.CHUNKS_AT_ONCE", 3)
    monkeypatch.setattr("manynets.model.MODULE_ROWS", 7)
    assert_close(model.logits(x), whole, "float32")
    one = np.concatenate([model.logits(x[i : i + 1]) for i in range(N)], axis=1)
    assert_close(one, whole, "float32")


@pytest.mark.parametrize("make", [lambda: several("multiclass"), lambda: fit(Own())])
def test_threads_predict_the_serial_bits(make: Any) -> None:
    model, x = make(), data()[0]
    if model.module is not None:
        model.module.train()  # even if someone left it so
    parts = [x[i : i + 30] for i in range(0, 60, 2)]
    expected = [model.predict_proba(part) for part in parts]
    barrier = threading.Barrier(8)

    def work(_: int) -> list[np.ndarray]:
        barrier.wait()
        return [model.predict_proba(part) for part in parts]

    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(work, range(8)):
            assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("norm", [False, True])
def test_the_plain_module_gives_the_same_scores(norm: bool) -> None:
    model, x = several("multiclass", spec=dataclasses.replace(SPEC, batch_norm=norm)), data()[0]
    for k in range(3):
        module = model.network(k).eval()
        assert isinstance(module, nn.Sequential)
        with torch.no_grad():
            assert_close(module(torch.from_numpy(x)), model.logits(x)[k], "float32")
        fresh = mn.network(model.spec, in_features=D, out_features=3)  # type: ignore[arg-type]
        fresh.load_state_dict(module.state_dict())
        with torch.no_grad():
            assert torch.equal(fresh.eval()(torch.from_numpy(x)), module(torch.from_numpy(x)))


def test_training_goes_on_from_given_weights() -> None:
    first = fit(mn.MLP(hidden=(8,)))
    still = dataclasses.replace(RECIPE, optimizer=mn.SGD(lr=0.0), epochs=1)
    assert_close(fit(mn.MLP(hidden=(8,)), still, initial=first.members[0]).members[0], first.members[0], "bits")


@pytest.mark.parametrize("make", [lambda: several("multiclass"), lambda: fit(Own())])
def test_a_model_goes_to_a_device(make: Any) -> None:
    model, x = make(), data()[0]
    before = model.logits(x)
    assert model.to("cpu") is model
    assert model.to(torch.device("cpu")).device == torch.device("cpu")
    assert np.array_equal(model.logits(x), before)
    with pytest.raises(mn.OptionError, match="device is 'gpu', but must be auto, cpu, cuda or cuda:N"):
        model.to("gpu")
    missing = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(mn.OptionError, match=f"device is '{missing}', but torch finds"):
        model.to(missing)
    assert np.array_equal(model.logits(x), before)


@pytest.mark.parametrize("networks", [1, 3])
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_scores_beyond_float32_are_no_class(networks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    y = np.digitize(x[:, 0], [-0.5, 0.5])
    members = mn.train(x, y, mn.MLP(hidden=(8,)), mn.Recipe(epochs=30), n_networks=networks, scaling=False, progress=False)
    largest = np.finfo(np.float32).max
    rows = np.array([[1, 0], [largest, -largest], [0, 1]])
    assert set(members.predict(rows / largest)) <= {0, 1, 2}
    for model in (members, mn.estimator(members)):
        for predict in (model.predict, model.predict_proba):
            with pytest.raises(mn.DataError, match=r"row 1 of X .* has no prediction, .* scores are beyond float32"):
                predict(rows)
    monkeypatch.setattr(base, "AT_ONCE", 1)  # a row at a time
    estimator = mn.estimator(members)
    for options in ({}, {"return_members": True}):
        with pytest.raises(mn.DataError, match="row 1 of X"):
            estimator.predict_proba(rows, **options)
