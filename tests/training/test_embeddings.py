"""Embeddings of columns: the periodic one in every stepper against plain torch, and the piecewise-linear one end to end."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
import torch

import manynets as mn
from manynets.nn.initial import initial_parameters
from manynets.spec import GradientName
from manynets.training.groups import train_members
from manynets.training.steppers.choice import choose
from manynets.training.trial import Member
from tests.tolerances import assert_close
from tests.training.problems import member_of, problem_of

random = np.random.default_rng(0)
X = random.standard_normal((90, 4))
TARGETS = {"numbers": np.sin(3 * X[:, 0]) + X[:, 1], "two": (X[:, 0] > 0).astype(int), "four": random.integers(0, 4, 90)}
PERIODIC = mn.Periodic(frequencies=5, scale=0.3, outputs=2)
FRAME = polars.DataFrame({"a": X[:, 0], "kind": np.where(X[:, 1] > 0, "x", "y"), "b": np.where(X[:, 2] > 1, np.nan, X[:, 2])})


def recipe_of(gradient: GradientName = "auto", **more: Any) -> mn.Recipe:
    options: dict[str, Any] = {"optimizer": mn.AdamW(lr=0.02, weight_decay=0.1), "epochs": 3, "batch_size": 32, "dtype": "float64"}
    return mn.Recipe(gradient=gradient, **{**options, **more})


def by_torch(spec: mn.MLP, y: Any, optimizer: Any) -> dict[str, Any]:
    """Return the weights after three epochs of plain torch, the embedding written out."""
    embedding = spec.embedding
    assert isinstance(embedding, mn.Periodic)
    outputs = 4 if y is TARGETS["four"] else 1
    w = {name: torch.tensor(value, requires_grad=True) for name, value in initial_parameters(spec, 4, outputs).items()}
    own = optimizer(list(w.values()))
    x = torch.from_numpy(X)
    target = torch.from_numpy((y - y.mean()) / y.std() if y is TARGETS["numbers"] else y)
    for _ in range(3):
        for start in range(0, 90, 32):
            rows, truth = x[start : start + 32], target[start : start + 32]
            parts = [rows]
            for i, column in enumerate(embedding.embedded(4)):
                angles = 2 * torch.pi * rows[:, column, None] * w["embedding.frequencies"][i] + w["embedding.phases"][i]
                parts.append(torch.cos(angles) @ w["embedding.weight"][i].T + w["embedding.bias"][i])
            h = torch.cat(parts, dim=1)
            if spec.input_scale:
                h = h * w["input_scale.weight"]
            if spec.hidden:
                h = torch.nn.functional.silu(h @ w["hidden0.weight"].T + w["hidden0.bias"])
            scores = h @ w["output.weight"].T + w["output.bias"]
            if outputs == 4:
                loss = torch.nn.functional.cross_entropy(scores, truth)
            elif y is TARGETS["two"]:
                loss = torch.nn.functional.binary_cross_entropy_with_logits(scores[:, 0], truth.double())
            else:
                loss = torch.nn.functional.mse_loss(scores[:, 0], truth)
            own.zero_grad()
            loss.backward()
            own.step()
    return {name: value.detach().numpy() for name, value in w.items()}


@pytest.mark.parametrize("gradient", ["autograd", "closed_form"])
@pytest.mark.parametrize("columns", [None, (1, 3)])
@pytest.mark.parametrize(("target", "hidden", "scaled"), [("numbers", (7,), True), ("two", (), False), ("four", (6,), False)])
def test_a_periodic_embedding_is_that_of_plain_torch(
    gradient: GradientName, columns: Any, target: str, hidden: tuple[int, ...], scaled: bool
) -> None:
    embedding = dataclasses.replace(PERIODIC, columns=columns)
    spec, y = mn.MLP(hidden=hidden, activation="silu", input_scale=scaled, embedding=embedding), TARGETS[target]
    for ours, theirs in (
        (mn.SGD(lr=0.05), lambda w: torch.optim.SGD(w, lr=0.05)),
        (mn.Adam(lr=0.02), lambda w: torch.optim.Adam(w, lr=0.02)),
    ):
        recipe = recipe_of(gradient, optimizer=ours, shuffle=False)
        assert_close(
            mn.train(X, y, spec, recipe, scaling=False, progress=False).members[0], by_torch(spec, y, theirs), "float64_run"
        )


@pytest.mark.parametrize("hidden", [(), (6, 5)])
def test_the_written_out_gradient_is_that_of_autograd_with_all_options(hidden: tuple[int, ...]) -> None:
    spec = mn.MLP(
        hidden=hidden, input_scale=True, input_dropout=0.2, dropout=0.1 if hidden else 0.0, batch_norm=bool(hidden),
        embedding=PERIODIC,
    )  # fmt: skip
    weight = random.integers(0, 3, 90) * 0.7

    def trained(way: GradientName) -> dict[int, Any]:
        recipe = recipe_of(way, l1=1e-4, l2=1e-3, clip_norm=0.5)
        models = mn.train(X, TARGETS["four"], spec, recipe, n_networks=3, sample_weight=weight, scaling=False, progress=False)
        return dict(enumerate(models.members))

    assert_close(trained("closed_form"), trained("autograd"), "float64_run")


@pytest.mark.parametrize("gradient", ["autograd", "closed_form"])
def test_networks_together_equal_each_alone(gradient: GradientName) -> None:
    problem = problem_of("multiclass", rows=60)
    scales = [dataclasses.replace(PERIODIC, scale=scale) for scale in (0.1, 1.0)]
    specs = [mn.MLP(hidden=(5,), dropout=0.2, embedding=embedding) for embedding in scales]
    members = [member_of(problem, k, spec, recipe_of(gradient, seed=k, batch_size=16)) for k, spec in enumerate(specs)]
    together = train_members(problem, members)
    for outcome, member in zip(together, members, strict=True):
        assert_close(outcome.parameters, train_members(problem, [member])[0].parameters, "float64_run")


def test_the_core_leaves_a_periodic_embedding_to_the_closed_form() -> None:
    problem = problem_of("binary")

    def network(embedding: Any, gradient: GradientName) -> Member:
        return member_of(problem, 0, mn.MLP(hidden=(4,), embedding=embedding), recipe_of(gradient))

    assert choose(problem, network(PERIODIC, "auto")) == "closed_form"
    with pytest.raises(mn.OptionError, match="the core knows no Periodic embedding"):
        choose(problem, network(PERIODIC, "compiled"))


@pytest.mark.parametrize("embedding", [PERIODIC, mn.PiecewiseLinear(bins=4), mn.PiecewiseLinear(bins=4, by="tree")])
@pytest.mark.parametrize("data", ["array", "table"])
def test_training_resumes_bit_for_bit_and_a_file_predicts_the_same(embedding: Any, data: str, tmp_path: Path) -> None:
    rows: Any = X if data == "array" else FRAME
    spec, recipe = mn.MLP(hidden=(6,), embedding=embedding), recipe_of(epochs=4)
    options: dict[str, Any] = {"validation": 0.2, "n_networks": 2, "progress": False}
    whole = mn.train(
        rows,
        TARGETS["four"],
        spec,
        recipe,
        checkpoint=mn.Checkpoint(folder=tmp_path / "c", every_epochs=1),
        **options,
        scaling=False,
    )
    for file in sorted((tmp_path / "c").iterdir())[1:]:
        file.unlink()
    again = mn.train(rows, TARGETS["four"], spec, recipe, resume=tmp_path / "c", **options, scaling=False)
    assert_close(dict(enumerate(again.members)), dict(enumerate(whole.members)), "bits")
    whole.save(tmp_path / "model.mn")
    loaded = mn.load(tmp_path / "model.mn")
    assert loaded.spec == whole.spec
    assert_close(loaded.predict_proba(rows), whole.predict_proba(rows), "bits")
    assert_close(loaded.predict_proba(rows[:1]), whole.predict_proba(rows)[:1], "float64")


@pytest.mark.parametrize("engine", ["numpy", "jax"])
def test_engines_agree(engine: Any) -> None:
    pytest.importorskip(engine)
    dropping = {"input_dropout": 0.2, "dropout": 0.1, "batch_norm": True} if engine == "numpy" else {}
    spec = mn.MLP(hidden=(6, 5), input_scale=True, embedding=dataclasses.replace(PERIODIC, columns=(0, 2)), **dropping)
    recipe = recipe_of(optimizer=mn.Adam(lr=0.02), l2=1e-3)
    models = [mn.train(X, TARGETS["four"], spec, recipe, engine=one, scaling=False, progress=False) for one in ("torch", engine)]
    assert_close(models[1].members[0], models[0].members[0], "float64_run")
    assert_close(models[1].history["loss"], models[0].history["loss"], "float64_run")


def test_keras_has_no_periodic_embedding() -> None:
    with pytest.raises(mn.OptionError, match="engine='keras' has none; use engine='torch', 'numpy' or 'jax'"):
        mn.engines.loop.refuse("keras", mn.MLP(embedding=PERIODIC), mn.Recipe())


def test_a_periodic_embedding_takes_the_numeric_columns_of_a_table() -> None:
    model = mn.train(FRAME, TARGETS["two"], mn.MLP(hidden=(4,), embedding=PERIODIC), recipe_of(epochs=1), progress=False)
    assert model.encoder.feature_names == ("a", "kind=x", "kind=y", "b", "b=missing")
    assert model.spec.embedding.columns == (0, 3)
    assert model.members[0]["hidden0.weight"].shape == (4, 5 + 2 * 2)
    with torch.no_grad():
        scores = model.network().double()(torch.from_numpy(model.encoder.transform(FRAME)).double())
    assert_close(scores.numpy(), model.logits(FRAME)[0], "float32")


def test_an_array_has_the_piecewise_linear_columns_of_its_training_rows() -> None:
    wild = X.copy()
    wild[80:] *= 100.0  # held out
    spec = mn.MLP(hidden=(4,), embedding=mn.PiecewiseLinear(bins=3))
    model = mn.train(
        wild, TARGETS["numbers"], spec, recipe_of(epochs=2), validation=np.arange(80, 90), scaling=False, progress=False
    )
    edges = np.array([column.pieces.edges for column in model.encoder.columns])
    assert_close(edges, np.quantile(wild[:80], np.linspace(0, 1, 4), axis=0).T, "float64")
    encoded = model.encoder.transform(wild)
    assert_close(encoded[:, ~model.encoder.piecewise], wild.astype(np.float32), "bits")  # as they are
    own = mn.train(
        wild[:80],
        TARGETS["numbers"][:80],
        spec,
        recipe_of(epochs=2),
        task=model.task,
        validation=(wild[80:], TARGETS["numbers"][80:]),
        scaling=False,
        progress=False,
    )
    assert_close(own.history["val_loss"], model.history["val_loss"], "float64_run")


@pytest.mark.parametrize("data", ["array", "table"])
def test_train_many_fits_the_edges_to_each_fold(data: str) -> None:
    rows: Any = X if data == "array" else FRAME
    tries = [(mn.MLP(hidden=(4,), embedding=one), recipe_of()) for one in (None, mn.PiecewiseLinear(bins=3), PERIODIC)]
    results = mn.train_many(rows, TARGETS["numbers"], tries, cv=2, scaling=False, progress=False)
    assert [result.stopped for result in results] == ["done"] * 6
    half = np.setdiff1d(np.arange(90), mn.prepare.cv_splits(mn.prepare.find_target(TARGETS["numbers"], None), 2)[0].held_out)
    alone = mn.train(rows[half], TARGETS["numbers"][half], *tries[1], task=results[2].task, scaling=False, progress=False)
    assert results[2].model.encoder == alone.encoder
    assert_close(results[2].model.predict(rows), alone.predict(rows), "float64_run")
    assert results[4].model.predict(rows).shape == (90,)


def test_an_encoder_without_the_columns_is_named() -> None:
    encoder = mn.tables.fit_encoder(FRAME)
    with pytest.warns(UserWarning, match="no column of the encoder that was given is piecewise linear"):
        mn.train(FRAME, TARGETS["two"], mn.MLP(embedding=mn.PiecewiseLinear()), recipe_of(), encoder=encoder, progress=False)
    with pytest.raises(mn.OptionError, match="the encoder that was given has its own"):
        mn.train(FRAME, TARGETS["two"], mn.MLP(), encoder=encoder, scaling="smooth", progress=False)


def test_scaling_of_arrays_and_tables() -> None:
    for rows in (X, FRAME):
        model = mn.train(rows, TARGETS["two"], mn.MLP(hidden=(4,)), recipe_of(epochs=1), scaling="smooth", progress=False)
        assert all(column.spread.smooth for column in model.encoder.columns if column.kind == "numeric")
    results = mn.train_many(X, TARGETS["two"], [(mn.MLP(hidden=(4,)), recipe_of(epochs=1))], cv=2, scaling="robust", progress=False)
    assert results[0].encoder.columns[0].spread.scale != 1.0


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (mn.PiecewiseLinear, {"bins": 1}, "bins is 1, but must be a whole number from 2 to 255"),
        (mn.PiecewiseLinear, {"by": "leaves"}, "quantiles, tree"),
        (mn.Periodic, {"frequencies": 0}, "frequencies is 0"),
        (mn.Periodic, {"frequencies": 10**20}, "frequencies is 10*, but must be a whole number from 1 to 10,000"),
        (mn.Periodic, {"columns": (3, 1)}, "in increasing order"),
        (mn.MLP, {"embedding": "periodic"}, r"embedding is 'periodic', but must be one of PiecewiseLinear\(\), Periodic\(\)"),
    ],
)
def test_bad_options(kind: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(mn.OptionError, match=message):
        kind(**options)
