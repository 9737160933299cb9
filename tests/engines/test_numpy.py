"""The NumPy engine against torch, against central differences and against numbers worked out by hand."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import manynets as mn
from manynets.engines.numpy import ACTIVATIONS as functions
from manynets.engines.numpy import backward, dropout_masks, forward
from manynets.engines.optimizers import Numbers, penalty, start_state, update
from manynets.nn.initial import initial_parameters
from manynets.spec import Optimizer, SklearnAdam, SklearnInverseScaling
from manynets.tasks import find_task
from manynets.tasks.losses import loss_for
from tests.engines.agreement import ACTIVATIONS, CASES, OPTIMIZERS, TOYS, assert_agree, toy, train
from tests.tolerances import assert_close
from tests.training.problems import data_for

LOSSES = {
    "regression": (None, "half_squared_error", "absolute_error", "huber", "quantile"),
    "regression2": (None, "half_squared_error", "huber"),
    "counts": ("poisson",),
    "binary": (None, "log_loss"),
    "multiclass": (None,),
    "multilabel": (None, "log_loss"),
}
SCHEDULES = (
    mn.Constant(),
    mn.Cosine(final=0.1, warmup=0.2),
    mn.OneCycle(),
    mn.Warmup(steps=5),
    mn.StepDecay(every=2, gamma=0.5),
    mn.PiecewiseConstant(steps=(2, 5), factors=(0.5, 2.0)),
    mn.Exponential(gamma=0.8),
    SklearnInverseScaling(power=0.3, rows=50),
    mn.ReduceOnPlateau(patience=0, min_delta=0.5, factor=0.5),
)
STOPPINGS = (
    None,
    mn.EarlyStopping(patience=1, min_delta=0.02),
    mn.EarlyStopping(patience=1, min_delta=0.3, factor=0.5, min_lr=1e-3, inclusive=True),
)


@st.composite
def problems(draw: st.DrawFn) -> tuple[str, mn.MLP, mn.Recipe, dict[str, Any]]:
    """Return a task, a specification, a recipe and the options of `train`, in any combination that is allowed."""
    task = draw(st.sampled_from(sorted(LOSSES)))
    hidden = tuple(draw(st.lists(st.integers(1, 9), max_size=3)))
    optimizer = draw(st.sampled_from(OPTIMIZERS))
    # behind batch norm some gradients are 0 but for rounding, and an optimizer that divides by their size makes steps of that
    batch_norm = draw(st.booleans()) if isinstance(optimizer, mn.SGD) else False
    spec = mn.MLP(
        hidden=hidden,
        activation=draw(st.sampled_from(ACTIVATIONS)),
        dropout=tuple(draw(st.sampled_from((0.0, 0.0, 0.3))) for _ in hidden),
        input_dropout=draw(st.sampled_from((0.0, 0.0, 0.1))),
        batch_norm=batch_norm,
        init=draw(st.sampled_from(("torch", "orthogonal", "xavier_normal"))),
        bias=draw(st.booleans()),
    )
    classes = task in ("binary", "multiclass", "multilabel")
    length: dict[str, int] = draw(st.sampled_from(({"epochs": 4}, {"iterations": 7}, {"iterations": 9, "evaluate_every": 2})))
    recipe = mn.Recipe(
        optimizer=optimizer,
        schedule=draw(st.sampled_from(SCHEDULES)),
        batch_size=draw(st.sampled_from((None, 9, 16))),
        l1=draw(st.sampled_from((0.0, 0.01))),
        l2=draw(st.sampled_from((0.0, 0.01))),
        label_smoothing=draw(st.sampled_from((0.0, 0.1))) if classes else 0.0,
        clip_norm=draw(st.sampled_from((None, 0.5))),
        shuffle=draw(st.booleans()),
        stopping=draw(st.sampled_from(STOPPINGS)),
        keep=draw(st.sampled_from(("best", "last"))),
        watch=draw(st.sampled_from(("loss", "metric", "objective"))),
        loss=draw(st.sampled_from(LOSSES[task])),
        quantile=0.3,
        delta=0.4,
        seed=draw(st.integers(0, 3)),
        dtype="float64",
        **length,  # type: ignore[arg-type]
    )
    options = {
        "sample_weight": draw(st.sampled_from((None, "some"))),
        "validation": draw(st.sampled_from((None, 0.25, "apart"))),
    }
    return task, spec, recipe, options


@settings(max_examples=80)
@given(problems())
def test_numpy_gives_the_history_and_the_weights_of_torch(case: tuple[str, mn.MLP, mn.Recipe, dict[str, Any]]) -> None:
    task, spec, recipe, options = case
    everything = data_for(task, 60, 3)
    (X, apart), (y, apart_y) = ((part[:41], part[41:]) for part in everything)
    weight = np.linspace(0, 2, 41) if options["sample_weight"] else None
    given = {
        "task": {"regression2": "regression", "counts": "regression"}.get(task, task),
        "sample_weight": weight,
        "validation": (apart, apart_y, np.linspace(1, 2, 19)) if options["validation"] == "apart" else options["validation"],
    }
    assert_agree(train("numpy", X, y, spec, recipe, **given), train("torch", X, y, spec, recipe, **given), "float64")


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_numpy_and_torch_agree_with_batch_norm(optimizer: Optimizer) -> None:
    X, y = toy("quadrants")
    spec = mn.MLP(hidden=(6, 5), activation="tanh", batch_norm=True, bias=False, dropout=0.2)
    recipe = mn.Recipe(optimizer=optimizer, epochs=3, batch_size=23, dtype="float64")  # 300 = 13 * 23 + 1: the last batch is 24
    options = {"sample_weight": np.linspace(0, 3, 300), "validation": 0.25}
    assert_agree(train("numpy", X, y, spec, recipe, **options), train("torch", X, y, spec, recipe, **options), "float64")
    numpy, torch = (train(engine, X, y, spec, recipe) for engine in ("numpy", "torch"))
    assert numpy.history["step"] == [13.0, 26.0, 39.0]
    assert_agree(numpy, torch, "float64")


@pytest.mark.parametrize(("name", "activation", "optimizer"), CASES, ids=str)
def test_numpy_and_torch_agree_in_float32_by_the_table(name: str, activation: Any, optimizer: Optimizer) -> None:
    X, y = toy(name)
    spec, recipe = mn.MLP(hidden=(6,), activation=activation), mn.Recipe(optimizer=optimizer, epochs=3, batch_size=64)
    assert_agree(train("numpy", X, y, spec, recipe), train("torch", X, y, spec, recipe), "float32_run")


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_one_step_of_every_optimizer_is_torchs(optimizer: Optimizer) -> None:
    X, y = toy("quadrants")
    spec, recipe = mn.MLP(hidden=(5,), activation="tanh"), mn.Recipe(optimizer=optimizer, iterations=1, dtype="float64")
    numpy, torch = (train(engine, X, y, spec, recipe).members[0] for engine in ("numpy", "torch"))
    start = initial_parameters(spec, 2, 4, seed=0)
    assert all(np.abs(numpy[name] - start[name]).max() > 1e-6 for name in start), "the step must have moved every parameter"
    assert_close(numpy, torch, "float64")


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_a_gradient_that_is_not_a_number_shows_in_the_weights(optimizer: Optimizer) -> None:
    w = {"output.bias": np.ones(2)}
    numbers, g = Numbers(optimizer).next(0.1), {"output.bias": np.array([np.nan, 1.0])}
    after, _ = update(mn.Recipe(optimizer=optimizer), w, g, start_state(optimizer, w, np), numbers, np)
    assert np.isnan(after["output.bias"]).tolist() == [True, False]


@pytest.mark.parametrize("kind", [mn.Adam, SklearnAdam])
def test_adam_by_hand(kind: type[mn.Adam]) -> None:
    # w = 1, g = 0.5: m = 0.05, v = 0.00025, m_hat = 0.5, v_hat = 0.25; with eps 0.5 the step is 0.1 * 0.5 / (0.5 + 0.5) = 0.05,
    # and with eps before the correction 0.1 * 0.5 / ((sqrt(0.00025) + 0.5) / sqrt(0.001)) = 0.0030652...
    adam = kind(lr=0.1, eps=0.5)
    recipe, w = mn.Recipe(optimizer=adam), {"output.weight": np.ones((1, 1))}
    new, _ = update(recipe, w, {"output.weight": np.full((1, 1), 0.5)}, start_state(adam, w, np), Numbers(adam).next(0.1), np)
    expected = 1 - 0.1 * 0.5 * np.sqrt(0.001) / (np.sqrt(0.00025) + 0.5) if kind is SklearnAdam else 0.95
    assert new["output.weight"].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_and_their_slopes_are_torchs(name: Any) -> None:
    import torch

    from manynets.nn import activations

    value, slope = functions[name]
    z = torch.linspace(-25, 25, 401, dtype=torch.float64, requires_grad=True)
    expected = activations.ACTIVATIONS[name].module()(z)
    expected.sum().backward()
    x, a = z.detach().numpy(), value(z.detach().numpy())
    assert_close(a, expected, "float64")
    assert_close(slope(x, a).astype(np.float64), z.grad, "float64")


@pytest.mark.parametrize("task", sorted(LOSSES))
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_backward_is_the_slope_of_forward(task: str, activation: Any, batch_norm: bool) -> None:
    X, y = (part[:11] for part in data_for(task, 60, 3))
    kind = {"regression2": "regression", "counts": "regression"}.get(task, task)
    found = mn.Regression.of(y, standardise=task != "counts") if kind == "regression" else find_task(y, name=kind)
    spec = mn.MLP(hidden=(4, 3), activation=activation, batch_norm=batch_norm, dropout=0.3, input_dropout=0.2)
    recipe = mn.Recipe(loss=LOSSES[task][-1], quantile=0.3, delta=0.4, label_smoothing=0.1 if kind[0] in "bm" else 0.0)
    loss = loss_for(found, recipe)
    target, weight = loss.expand(found.encode(y), recipe.label_smoothing), np.linspace(0.5, 2, 11)
    share, masks = weight / weight.sum(), dropout_masks(spec, 3, seed=0, step=5, rows=11)
    w = initial_parameters(spec, 3, found.outputs, seed=1)

    def run(w: Any) -> Any:
        running = {f"norm{i}.running_{s}": np.zeros(units) for i, units in enumerate(spec.hidden) for s in ("mean", "var")}
        return forward(spec, w, X, masks, running, weight)

    def cost(w: Any) -> float:
        return float((share * loss.rows(np, run(w)[0], target)).sum())

    scores, layers, h = run(w)
    gradient = backward(spec, w, layers, h, share[:, None] * loss.gradient(scores, target), X, masks[0])
    assert set(gradient) == set(w)
    numeric = {name: np.zeros_like(value) for name, value in w.items()}
    for name, value in w.items():
        for place in np.ndindex(value.shape):
            sides = []
            for step in (1e-6, -1e-6):
                moved = value.copy()
                moved[place] += step
                sides.append(cost({**w, name: moved}))
            numeric[name][place] = (sides[0] - sides[1]) / 2e-6
    for name in w:
        np.testing.assert_allclose(gradient[name], numeric[name], rtol=1e-5, atol=2e-9, err_msg=name)


def test_two_steps_of_a_linear_model_by_hand() -> None:
    # y = w x + b on x = (1, 3), target (2, 6) left as it is; w = b = 0, lr = 0.1, both rows in a batch.
    # step 1: errors (-2, -6), dw = mean(2 e x) = -20, db = -8 -> w = 2, b = 0.8; loss (4 + 36) / 2 = 20
    # step 2: errors (0.8, 0.8), dw = 3.2, db = 1.6 -> w = 1.68, b = 0.64; loss 0.64
    task, zeros = mn.Regression((0.0,), (1.0,)), {"output.weight": np.zeros((1, 1)), "output.bias": np.zeros(1)}
    recipe = mn.Recipe(optimizer=mn.SGD(lr=0.1), epochs=2, dtype="float64")
    model = train("numpy", [[1.0], [3.0]], [2.0, 6.0], mn.MLP(hidden=()), recipe, task=task, initial=zeros)
    assert model.history["loss"] == pytest.approx([20.0, 0.64])
    assert model.history["lr"] == [0.1, 0.1]
    assert model.members[0]["output.weight"].item() == pytest.approx(1.68)
    assert model.members[0]["output.bias"].item() == pytest.approx(0.64)


@pytest.mark.parametrize(("inclusive", "entries"), [(False, 3), (True, 6)])
def test_a_gain_of_exactly_min_delta_is_enough_where_that_is_asked(inclusive: bool, entries: int) -> None:
    X, y = toy("xor")
    stopping = mn.EarlyStopping(patience=2, inclusive=inclusive)  # with lr 0 every gain is exactly 0
    recipe = mn.Recipe(optimizer=mn.SGD(lr=0.0), epochs=6, batch_size=300, shuffle=False, stopping=stopping, dtype="float64")
    numpy, torch = (train(engine, X, y, mn.MLP(hidden=(4,)), recipe) for engine in ("numpy", "torch"))
    assert len(numpy.history["loss"]) == entries
    assert_agree(numpy, torch, "float64")


def test_dropout_keeps_its_share_and_differs_by_step() -> None:
    spec = mn.MLP(hidden=(301,), dropout=0.3)
    first, second = (dropout_masks(spec, 2, seed=4, step=step, rows=400)[1] for step in (0, 1))
    assert first is not None
    assert second is not None
    assert first.shape == (400, 301)
    assert np.unique(first) == pytest.approx([0, 1 / 0.7])
    assert (first > 0).mean() == pytest.approx(0.7, abs=0.01)
    assert (first != second).mean() > 0.3
    assert dropout_masks(spec, 2, seed=4, step=0, rows=400)[0] is None


def test_a_penalty_that_counts_0_cannot_overflow() -> None:
    assert penalty(mn.Recipe(), {"output.weight": np.full((1, 1), 1e200)}, np) == 0.0


@pytest.mark.parametrize("lr", [1e6, 3.0])  # in the first epoch, and in a later one
def test_a_divergence_is_told_and_keeps_finite_weights(lr: float) -> None:
    X, y = toy("prod")
    recipe = mn.Recipe(optimizer=mn.SGD(lr=lr), epochs=50, batch_size=50, dtype="float64")
    spec = mn.MLP(hidden=(5,), activation="identity")
    models, found = {}, []
    for engine in ("torch", "numpy"):
        with pytest.warns(mn.DivergenceWarning) as caught:
            models[engine] = train(engine, X, y, spec, recipe)
        found.append(re.findall(r"was not finite in epoch \d+, step \d+", str(caught[0].message)))
        assert caught[0].filename.endswith("agreement.py"), "the warning must point at the caller of train"
        assert models[engine].info["stopped"] == ["diverged"]
        assert all(np.isfinite(value).all() for value in models[engine].members[0].values())
    assert models["numpy"].info["best"] == models["torch"].info["best"]
    assert found[0] == found[1] != []


def test_a_model_is_saved_and_loaded_like_any_other(tmp_path: Any) -> None:
    X, y = toy("quadrants")
    spec, recipe = mn.MLP(hidden=(5,), batch_norm=True, dropout=0.2), mn.Recipe(epochs=2)
    numpy, torch = (train(engine, X, y, spec, recipe) for engine in ("numpy", "torch"))
    assert numpy.info["engine"] == "numpy"
    assert torch.info["engine"] == "torch"
    assert {name: (v.shape, v.dtype) for name, v in numpy.members[0].items()} == {
        name: (v.shape, v.dtype) for name, v in torch.members[0].items()
    }
    assert (numpy.spec, numpy.recipe, numpy.task) == (torch.spec, torch.recipe, torch.task)
    numpy.save(tmp_path / "numpy.safetensors")
    again = mn.load(tmp_path / "numpy.safetensors")
    np.testing.assert_array_equal(again.logits(X), numpy.logits(X))
    np.testing.assert_array_equal(again.predict(X), numpy.predict(X))
    assert again.info["engine"] == "numpy"
    assert again.history == numpy.history


def test_callbacks_see_the_same_events() -> None:
    X, y = toy("xor")
    recipe = mn.Recipe(epochs=3, batch_size=100, dtype="float64", watch="metric")
    seen: dict[str, list[Any]] = {"numpy": [], "torch": []}
    for engine, events in seen.items():
        train(engine, X, y, mn.MLP(hidden=(4,)), recipe, callbacks=[events.append], validation=0.3)
    names = {engine: [type(event).__name__ for event in events] for engine, events in seen.items()}
    assert names["numpy"][0] == "Started"
    assert names["numpy"][-1] == "Finished"
    assert names["numpy"].count("Evaluated") == names["torch"].count("Evaluated") == 3
    assert seen["torch"][0] == seen["numpy"][0]
    for torch, numpy in zip(
        *([e for e in seen[engine] if isinstance(e, mn.Evaluated)] for engine in ("torch", "numpy")), strict=True
    ):
        assert numpy.best["epoch"] == torch.best["epoch"]
        assert_close(numpy.best["val_accuracy"], torch.best["val_accuracy"], "float64")
    entries = {engine: [e.entries[0]["loss"] for e in events if hasattr(e, "entries")] for engine, events in seen.items()}
    assert_close(entries["numpy"], entries["torch"], "float64")
    alive = {engine: [e.alive for e in events if hasattr(e, "alive")] for engine, events in seen.items()}
    assert alive["numpy"] == alive["torch"] == [1, 1, 0]


def test_the_engine_trains_without_torch() -> None:
    code = """
import json, sys
import numpy as np
import manynets.engines.jax, manynets.engines.keras  # without what they need, too
from manynets.engines import ArrayRows, EngineProblem, opened, run
from manynets.nn.initial import initial_parameters
from manynets.spec import MLP, Recipe
from manynets.tasks import find_task
x = np.random.default_rng(0).uniform(-1, 1, (200, 2))
y = (x[:, 0] * x[:, 1] > 0).astype(int)
task, spec = find_task(y), MLP(hidden=(8,))
data, initial = ArrayRows(x, task.encode(y)), initial_parameters(spec, 2, 1)
problem = EngineProblem(spec=spec, recipe=Recipe(epochs=5), task=task, data=data, initial=initial)
with opened("numpy", problem) as network:
    out = run(network, problem)
print(json.dumps([out.history["loss"], [n for n in ("torch", "jax", "keras", "tensorflow") if n in sys.modules]]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    losses, loaded = json.loads(done.stdout)
    assert loaded == []
    assert len(losses) == 5
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"precision": "tf32"}, "precision is 'tf32', but engine='numpy' has one way only"),
        ({"gradient": "autograd"}, "gradient is 'autograd', but engine='numpy' has one way only"),
        ({"device": "cuda"}, "device is 'cuda', but engine='numpy' takes 'auto' or 'cpu'"),
        ({"batch_size": 500}, "batch_size is 500, but there are 300 training rows"),
        ({"loss": "huber"}, "loss of the task 'binary' is 'huber'"),
    ],
)
def test_what_the_engine_does_not_take_is_one_line(change: dict[str, Any], message: str) -> None:
    X, y = toy("xor")
    with pytest.raises(mn.OptionError, match=message) as caught:
        train("numpy", X, y, mn.MLP(hidden=(4,)), dataclasses.replace(mn.Recipe(epochs=1), **change))
    assert "\n" not in str(caught.value)


def test_an_unknown_engine_is_answered_with_the_known_ones() -> None:
    X, y = toy("xor")
    with pytest.raises(mn.OptionError, match=r"engine is 'nunpy', but must be one of .*did you mean 'numpy'"):
        train("nunpy", X, y, mn.MLP(), mn.Recipe())


def test_a_module_of_ones_own_needs_torch() -> None:
    import torch

    X, y = toy("xor")
    with pytest.raises(mn.OptionError, match="module of your own is trained by engine='torch' only"):
        mn.train(X, y, torch.nn.Linear(2, 1), mn.Recipe(), engine="numpy", progress=False)


def test_the_cases_have_every_activation_and_every_optimizer() -> None:
    assert {activation for _, activation, _ in CASES} == set(ACTIVATIONS)
    assert {optimizer for *_, optimizer in CASES} == set(OPTIMIZERS)
    assert {type(optimizer) for optimizer in OPTIMIZERS} >= set(get_args(mn.spec.Optimizer))
    assert {name for name, *_ in CASES} == set(TOYS)
