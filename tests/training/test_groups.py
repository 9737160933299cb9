"""Parameter groups and the learned input scale: every stepper and engine against torch's own parameter groups."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pytest
import torch

import manynets as mn
from manynets.spec import GradientName, from_json, to_json
from tests.tolerances import assert_close

GROUPS = (
    mn.ParameterGroup(names="input_scale.*", lr_factor=6.0, decay_factor=0.0),
    mn.ParameterGroup(names="*.bias", lr_factor=0.1, decay_factor=0.0),
    mn.ParameterGroup(names="hidden1.weight", lr_factor=0.3),
)
OPTIMIZERS: list[tuple[Any, Any, dict[str, Any]]] = [
    (mn.SGD(lr=0.05), torch.optim.SGD, {"lr": 0.05}),
    (
        mn.SGD(lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
        torch.optim.SGD,
        {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    ),
    (mn.Adam(lr=0.02, weight_decay=0.1), torch.optim.Adam, {"lr": 0.02, "weight_decay": 0.1}),
    (mn.AdamW(lr=0.02, weight_decay=0.1), torch.optim.AdamW, {"lr": 0.02, "weight_decay": 0.1}),
    (mn.NAdam(lr=0.01, weight_decay=0.1), torch.optim.NAdam, {"lr": 0.01, "weight_decay": 0.1}),
    (mn.RMSprop(lr=0.01), torch.optim.RMSprop, {"lr": 0.01}),
    (mn.Adagrad(lr=0.05, weight_decay=0.03), torch.optim.Adagrad, {"lr": 0.05, "weight_decay": 0.03}),
]
WAYS: list[GradientName] = ["autograd", "closed_form", "compiled"]
random = np.random.default_rng(0)
X = random.standard_normal((90, 4))
TARGETS = {"numbers": 2 * X[:, 0] + np.sin(X[:, 1]), "two": (X[:, 0] > 0).astype(int), "four": random.integers(0, 4, 90)}


def _recipe(optimizer: Any, hidden: tuple[int, ...], **more: Any) -> mn.Recipe:
    """Return a recipe with the groups of GROUPS that a network of these layers has parameters for."""
    groups = GROUPS if len(hidden) > 1 else GROUPS[:-1]
    return mn.Recipe(optimizer=optimizer, groups=groups, epochs=3, batch_size=32, shuffle=False, dtype="float64", **more)


def _by_torch(spec: mn.MLP, y: Any, kind: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Return the weights after three epochs of plain torch, each parameter in a group of its own."""
    outputs = 4 if y is TARGETS["four"] else 1
    module = mn.network(spec, in_features=4, out_features=outputs).double()
    module.load_state_dict(
        {name: torch.from_numpy(value) for name, value in mn.nn.initial.initial_parameters(spec, 4, outputs).items()}
    )
    groups = []
    for name, parameter in module.named_parameters():
        own = next((group for group in GROUPS if fnmatchcase(name, group.names)), mn.ParameterGroup(names="*"))
        rates = {"lr": options["lr"] * own.lr_factor, "weight_decay": options.get("weight_decay", 0.0) * own.decay_factor}
        groups.append({"params": [parameter], **rates})
    optimizer = kind(groups, **options)
    x, numbers = torch.from_numpy(X), y is TARGETS["numbers"]
    target = torch.from_numpy((y - y.mean()) / y.std() if numbers else y)
    for _ in range(3):
        for start in range(0, 90, 32):
            scores, truth = module(x[start : start + 32]), target[start : start + 32]
            if numbers:
                loss = torch.nn.functional.mse_loss(scores[:, 0], truth)
            elif outputs == 1:
                loss = torch.nn.functional.binary_cross_entropy_with_logits(scores[:, 0], truth.double())
            else:
                loss = torch.nn.functional.cross_entropy(scores, truth)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return {name: value.detach().numpy() for name, value in module.named_parameters()}


@pytest.mark.parametrize("gradient", WAYS)
@pytest.mark.parametrize("case", OPTIMIZERS, ids=lambda case: f"{type(case[0]).__name__}{len(case[2])}")
@pytest.mark.parametrize(("target", "hidden"), [("numbers", (7, 5)), ("two", ()), ("four", (6, 5))])
def test_groups_are_those_of_torch(gradient: GradientName, case: Any, target: str, hidden: tuple[int, ...]) -> None:
    spec, y = mn.MLP(hidden=hidden, input_scale=True, activation="silu"), TARGETS[target]
    model = mn.train(X, y, spec, _recipe(case[0], hidden, gradient=gradient), scaling=False, progress=False)
    assert_close(model.members[0], _by_torch(spec, y, *case[1:]), "float64_run")


@pytest.mark.parametrize("gradient", WAYS[1:])
@pytest.mark.parametrize("hidden", [(), (7,), (6, 5)])
def test_steppers_agree_with_all_options(gradient: GradientName, hidden: tuple[int, ...]) -> None:
    spec = mn.MLP(
        hidden=hidden, input_scale=True, input_dropout=0.2, dropout=0.1 if hidden else 0.0, batch_norm=bool(hidden), bias=not hidden
    )
    more: dict[str, Any] = {"l1": 1e-4, "l2": 1e-3, "clip_norm": 0.5}
    weight = random.integers(0, 3, 90) * 0.7

    def trained(way: GradientName) -> dict[int, Any]:
        recipe = _recipe(mn.AdamW(lr=0.02, weight_decay=0.1), hidden, gradient=way, **more)
        members = mn.train(
            X, TARGETS["four"], spec, recipe, n_networks=3, sample_weight=weight, scaling=False, progress=False
        ).members
        return dict(enumerate(members))

    assert_close(trained(gradient), trained("autograd"), "float64_run")


@pytest.mark.parametrize("engine", ["numpy", "jax"])
def test_engines_agree(engine: Any) -> None:
    pytest.importorskip(engine)
    spec = mn.MLP(hidden=(6, 5), input_scale=True)
    # JAX takes seconds to compile each, and the formulas are those of NumPy
    for optimizer, _, _ in OPTIMIZERS if engine == "numpy" else OPTIMIZERS[1:2]:
        models = [
            mn.train(X, TARGETS["four"], spec, _recipe(optimizer, spec.hidden, l2=1e-3), engine=one, scaling=False, progress=False)
            for one in ("torch", engine)
        ]
        assert_close(models[1].members[0], models[0].members[0], "float64_run")


def test_keras_has_groups_but_refuses_the_scale() -> None:
    with pytest.raises(mn.OptionError, match=r"input_scale is True, but engine='keras' has none; use engine='torch'"):
        mn.engines.loop.refuse("keras", mn.MLP(input_scale=True), mn.Recipe())


def test_predictions_of_row_batch_and_module_agree(tmp_path: Any) -> None:
    spec = mn.MLP(hidden=(6,), input_scale=True)
    model = mn.train(X, TARGETS["four"], spec, _recipe(mn.Adam(lr=0.05), spec.hidden), scaling=False, progress=False)
    assert not np.allclose(model.members[0]["input_scale.weight"], 1.0)
    logits = model.logits(X)
    assert_close(np.stack([model.logits(X[i : i + 1])[0, 0] for i in range(90)]), logits[0], "float64")
    with torch.no_grad():
        assert_close(model.network().double()(torch.from_numpy(X)).numpy(), logits[0], "float32")
    model.save(tmp_path / "scaled.mn")
    assert_close(mn.load(tmp_path / "scaled.mn").logits(X), logits, "bits")


def test_networks_with_unlike_groups_together_equal_each_alone() -> None:
    spec = mn.MLP(hidden=(6,), input_scale=True)
    recipes = [
        _recipe(mn.Adam(lr=0.03), spec.hidden),
        mn.Recipe(optimizer=mn.Adam(lr=0.03), epochs=3, batch_size=32, shuffle=False, dtype="float64"),
    ]
    both = mn.train_many(X, TARGETS["numbers"], [(spec, recipe) for recipe in recipes], cv=2, scaling=False, progress=False)
    for result, recipe in zip(both[::2], recipes, strict=True):
        alone = mn.train_many(X, TARGETS["numbers"], [(spec, recipe)], cv=2, scaling=False, progress=False)[0]
        assert_close(result.model.members[0], alone.model.members[0], "float64_run")


def test_a_user_module_has_groups_by_its_own_names() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    before = module[0].weight.detach().clone()
    frozen = mn.ParameterGroup(names="0.*", lr_factor=0.0)
    mn.train(X, TARGETS["numbers"], module, mn.Recipe(epochs=2, groups=frozen), scaling=False, progress=False)
    assert_close(module[0].weight.detach(), before, "bits")
    assert module[2].weight.abs().sum() > 0


def test_a_pattern_that_matches_no_parameter_is_an_error() -> None:
    y, recipe = TARGETS["numbers"], mn.Recipe(epochs=1, groups=mn.ParameterGroup(names="hidden1.*", lr_factor=0.1))
    shallow, deep = mn.MLP(hidden=(4,)), mn.MLP(hidden=(4, 4))
    message = r"ParameterGroup\(names='hidden1\.\*'\) matches no parameter; the parameters are hidden0\.weight, output\.weight, hidden0\.bias, output\.bias$"
    with pytest.raises(mn.OptionError, match=message):
        mn.train(X, y, shallow, recipe, progress=False)
    with pytest.raises(mn.OptionError, match=message):
        mn.train_many(X, y, [(shallow, recipe), (deep, mn.Recipe(epochs=1))], progress=False)
    with pytest.raises(mn.OptionError, match=r"parameters are 0\.weight, 0\.bias$"):
        mn.train(X, y, torch.nn.Sequential(torch.nn.Linear(4, 1)), recipe, progress=False)
    assert not any(one.error for one in mn.train_many(X, y, [(shallow, recipe), (deep, recipe)], progress=False))


def test_json_round_trip_and_refusals() -> None:
    recipe = _recipe(mn.Adam(), (6, 5))
    assert from_json(to_json(recipe)) == recipe
    with pytest.raises(mn.OptionError, match="lr_factor is -1"):
        mn.ParameterGroup(names="*", lr_factor=-1)
    with pytest.raises(mn.OptionError, match=r"ParameterGroup\.names is '', but must be a pattern"):
        mn.ParameterGroup(names="")
    for groups in ((3,), 3):
        with pytest.raises(mn.OptionError, match=r"Recipe\.groups holds 3, but must hold ParameterGroups"):
            mn.Recipe(groups=groups)  # type: ignore[arg-type]


@pytest.mark.parametrize("gradient", WAYS)
def test_validation_goes_by_the_scale_as_it_is_now(gradient: GradientName) -> None:
    spec, recipe, y = (
        mn.MLP(hidden=(6,), input_scale=True),
        _recipe(mn.Adam(lr=0.05), (6,), gradient=gradient, keep="last"),
        TARGETS["numbers"],
    )
    for networks in (1, 2):
        model = mn.train(X, y, spec, recipe, validation=np.arange(30), n_networks=networks, progress=False)
        assert isinstance(model.task, mn.tasks.Regression)
        errors = np.array([model.task.own_unit(scores) - y[:30] for scores in model.logits(X[:30])])
        r2 = 1 - (errors**2).mean(axis=1) / y[:30].var()
        assert_close(np.array(model.history["val_r2"][-1]), r2.mean(), "float64_run")
