"""The JAX engine against the NumPy engine."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets.spec import Optimizer
from tests.engines.agreement import CASES, assert_agree, toy, train

SPEC = mn.MLP(hidden=(6,), activation="tanh")


@pytest.fixture
def jax() -> Any:
    return pytest.importorskip("jax", reason="JAX is not installed: pip install 'manynets[jax]'")


@pytest.mark.parametrize(("name", "activation", "optimizer"), CASES, ids=str)
def test_jax_gives_the_history_and_the_weights_of_numpy(jax: Any, name: str, activation: Any, optimizer: Optimizer) -> None:
    X, y = toy(name, 256)
    spec = mn.MLP(hidden=(6, 4), activation=activation)
    recipe = mn.Recipe(optimizer=optimizer, epochs=3, batch_size=64, dtype="float64")
    assert_agree(train("jax", X, y, spec, recipe), train("numpy", X, y, spec, recipe), "float64")


def test_several_quantiles_of_two_targets(jax: Any) -> None:
    X, y = toy("prod", 64)
    recipe = mn.Recipe(loss="quantile", quantile=(0.1, 0.4, 0.6), epochs=2, batch_size=32, dtype="float64")
    options: dict[str, Any] = {"validation": 0.25, "task": "regression"}
    models = [train(engine, X, np.stack([y, -y], axis=1), SPEC, recipe, **options) for engine in ("jax", "numpy")]
    assert_agree(*models, "float64")


@pytest.mark.parametrize(("name", "loss"), [("prod", "huber"), ("xor", "log_loss")])
def test_everything_a_recipe_has(jax: Any, name: str, loss: Any) -> None:
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
        dtype="float64",
    )
    options = {"validation": 0.2, "sample_weight": np.linspace(0.1, 2, 300)}
    jax_model, numpy_model = (train(engine, X, y, SPEC, recipe, **options) for engine in ("jax", "numpy"))
    assert {"penalty", "val_loss", "lr", "epoch"} <= set(jax_model.history)
    assert_agree(jax_model, numpy_model, "float64")


@pytest.mark.parametrize("name", ["prod", "xor", "quadrants"])
def test_float32_agrees_by_the_table(jax: Any, name: str) -> None:
    X, y = toy(name, 256)
    recipe = mn.Recipe(optimizer=mn.Adam(lr=0.01), epochs=5, batch_size=64, device="cpu")
    model = train("jax", X, y, SPEC, recipe)
    assert_agree(model, train("numpy", X, y, SPEC, recipe), "float32_run")
    assert all(value.dtype == np.float32 for value in model.members[0].values())


def test_a_run_leaves_jaxs_settings_alone(jax: Any) -> None:
    X, y = toy("xor")
    before = (jax.config.jax_enable_x64, jax.config.jax_default_matmul_precision)
    model = train("jax", X, y, SPEC, mn.Recipe(epochs=1, dtype="float64"))
    assert (jax.config.jax_enable_x64, jax.config.jax_default_matmul_precision) == before
    assert jax.numpy.asarray(np.ones(2)).dtype == np.float32
    assert model.info["engine"] == "jax"
    assert model.info["versions"]["jax"] == jax.__version__


def test_a_model_is_saved_and_loaded_like_any_other(jax: Any, tmp_path: Any) -> None:
    X, y = toy("quadrants")
    model = train("jax", X, y, SPEC, mn.Recipe(epochs=2))
    model.save(tmp_path / "jax.safetensors")
    np.testing.assert_array_equal(mn.load(tmp_path / "jax.safetensors").logits(X), model.logits(X))


def test_a_divergence_is_told_to_the_step(jax: Any) -> None:
    X, y = toy("prod")
    spec, recipe = mn.MLP(hidden=(5,), activation="identity"), mn.Recipe(optimizer=mn.SGD(lr=1e6), epochs=9, dtype="float64")
    messages = []
    for engine in ("numpy", "jax"):
        with pytest.warns(mn.DivergenceWarning) as caught:
            assert train(engine, X, y, spec, recipe).info["stopped"] == ["diverged"]
        messages.append(str(caught[0].message))
    assert messages[0] == messages[1]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (mn.MLP(batch_norm=True), "batch_norm is True, but engine='jax' has none; use engine='torch' or 'numpy'"),
        (mn.MLP(dropout=0.1), "dropout is 0.1, but engine='jax' has none; use engine='torch' or 'numpy'"),
        (mn.MLP(input_dropout=0.1), "dropout is 0.1, but"),
    ],
)
def test_what_the_engine_does_not_take_is_one_line(jax: Any, spec: mn.MLP, message: str) -> None:
    X, y = toy("xor")
    with pytest.raises(mn.OptionError, match=message):
        train("jax", X, y, spec, mn.Recipe(epochs=1))


def test_without_jax_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    X, y = toy("xor")
    with pytest.raises(mn.MissingExtraError, match=r"engine='jax' needs the package 'jax'.*pip install 'manynets\[jax\]'"):
        train("jax", X, y, SPEC, mn.Recipe(epochs=1))
