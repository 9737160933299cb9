"""The Keras engine against the NumPy engine, on the backend that is installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets.spec import Optimizer
from tests.engines.agreement import CASES, assert_agree, toy, train

SPEC = mn.MLP(hidden=(6,), activation="tanh")


@pytest.fixture
def keras() -> Any:
    if importlib.util.find_spec("keras") is None:
        pytest.skip("Keras is not installed: pip install 'manynets[keras]'")
    from manynets.engines.keras import load_keras

    return load_keras()


@pytest.mark.parametrize(("name", "activation", "optimizer"), CASES, ids=str)
def test_keras_gives_the_history_and_the_weights_of_numpy(keras: Any, name: str, activation: Any, optimizer: Optimizer) -> None:
    X, y = toy(name, 256)
    spec = mn.MLP(hidden=(6,), activation=activation)
    recipe = mn.Recipe(optimizer=optimizer, epochs=3, batch_size=64)
    model = train("keras", X, y, spec, recipe)
    assert_agree(model, train("numpy", X, y, spec, recipe), "float32_run")
    assert all(value.dtype == np.float32 for value in model.members[0].values())


def test_several_quantiles_of_two_targets(keras: Any) -> None:
    X, y = toy("prod", 64)
    recipe = mn.Recipe(loss="quantile", quantile=(0.1, 0.4, 0.6), epochs=2, batch_size=32)
    options: dict[str, Any] = {"validation": 0.25, "task": "regression"}
    models = [train(engine, X, np.stack([y, -y], axis=1), SPEC, recipe, **options) for engine in ("keras", "numpy")]
    assert_agree(*models, "float32_run")


@pytest.mark.parametrize(("name", "loss"), [("prod", "huber"), ("xor", "log_loss")])
def test_everything_a_recipe_has(keras: Any, name: str, loss: Any) -> None:
    X, y = toy(name)
    recipe = mn.Recipe(
        optimizer=mn.AdamW(lr=0.02),
        schedule=mn.Cosine(warmup=0.2),
        iterations=15,
        evaluate_every=4,
        batch_size=64,
        l1=0.001,
        l2=0.01,
        clip_norm=0.3,
        label_smoothing=0.1 if name == "xor" else 0.0,
        stopping=mn.EarlyStopping(patience=3, min_delta=0.01),
        loss=loss,
    )
    options = {"validation": 0.2, "sample_weight": np.linspace(0.1, 2, 300)}
    keras_model, numpy_model = (train(engine, X, y, SPEC, recipe, **options) for engine in ("keras", "numpy"))
    assert {"penalty", "val_loss", "lr", "epoch"} <= set(keras_model.history)
    assert_agree(keras_model, numpy_model, "float32_run")


def test_a_run_leaves_settings_and_generators_alone(keras: Any) -> None:
    import random

    import torch

    X, y = toy("xor")

    def state() -> list[Any]:
        policy = keras.config.dtype_policy().name
        return [
            keras.config.floatx(), policy, os.environ.get("KERAS_BACKEND"), random.getstate(),
            np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(), torch.get_num_threads(),  # noqa: NPY002
        ]  # fmt: skip

    before = state()
    model = train("keras", X, y, SPEC, mn.Recipe(epochs=1))
    assert state() == before
    assert model.info["engine"] == "keras"
    assert model.info["backend"] == keras.config.backend()
    assert model.info["versions"]["keras"] == keras.__version__


def test_a_model_is_saved_and_loaded_like_any_other(keras: Any, tmp_path: Any) -> None:
    X, y = toy("quadrants")
    model = train("keras", X, y, SPEC, mn.Recipe(epochs=2))
    model.save(tmp_path / "keras.safetensors")
    np.testing.assert_array_equal(mn.load(tmp_path / "keras.safetensors").logits(X), model.logits(X))


def test_a_divergence_is_told(keras: Any) -> None:
    X, y = toy("prod")
    spec, recipe = mn.MLP(hidden=(5,), activation="identity"), mn.Recipe(optimizer=mn.SGD(lr=1e6), epochs=9, device="cpu")
    with pytest.warns(mn.DivergenceWarning, match="not finite in epoch"):
        model = train("keras", X, y, spec, recipe)
    assert model.info["stopped"] == ["diverged"]
    assert all(np.isfinite(value).all() for value in model.members[0].values())


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_every_backend_gives_the_same(keras: Any, backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    code = """
import warnings
warnings.simplefilter("error", UserWarning)
import manynets as mn
from tests.engines.agreement import assert_agree, toy, train
X, y = toy("quadrants")
recipe = mn.Recipe(optimizer=mn.NAdam(lr=0.01), epochs=2, batch_size=64, l2=0.01)
model = train("keras", X, y, mn.MLP(hidden=(6,)), recipe, validation=0.2)
assert_agree(model, train("numpy", X, y, mn.MLP(hidden=(6,)), recipe, validation=0.2), "float32_run")
print(model.info["backend"])
"""
    env = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=False, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == backend


@pytest.mark.parametrize(
    ("spec", "recipe", "message"),
    [
        (mn.MLP(batch_norm=True), mn.Recipe(), "batch_norm is True, but engine='keras' has none; use engine='torch' or 'numpy'"),
        (mn.MLP(dropout=0.1), mn.Recipe(), "dropout is 0.1, but engine='keras' has none; use engine='torch' or 'numpy'"),
        (mn.MLP(), mn.Recipe(dtype="float64"), "dtype is 'float64', but engine='keras' has float32 only"),
    ],
)
def test_what_the_engine_does_not_take_is_one_line(keras: Any, spec: mn.MLP, recipe: mn.Recipe, message: str) -> None:
    X, y = toy("xor")
    with pytest.raises(mn.OptionError, match=message):
        train("keras", X, y, spec, recipe)


def test_without_keras_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "keras" else real(name, *rest))
    X, y = toy("xor")
    with pytest.raises(mn.MissingExtraError, match=r"engine='keras' needs the package 'keras'.*pip install 'manynets\[keras\]'"):
        train("keras", X, y, SPEC, mn.Recipe(epochs=1))
