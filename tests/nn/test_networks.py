"""Populations, plain modules and activations."""

from __future__ import annotations

import dataclasses
from typing import get_args

import numpy as np
import pytest
import torch

import manynets as mn
from manynets.nn.activations import ACTIVATIONS
from manynets.nn.batch_norm import normalisers
from manynets.nn.initial import initial_parameters
from manynets.nn.population import Population
from manynets.nn.shape import Shape
from manynets.spec import Activation
from tests.tolerances import assert_close

CPU = torch.device("cpu")
SPECS = {
    "linear": mn.MLP(hidden=()),
    "plain": mn.MLP(hidden=(6, 5)),
    "no bias": mn.MLP(hidden=(6,), bias=False),
    "norm": mn.MLP(hidden=(6, 5), batch_norm=True, activation="silu", dropout=0.3, input_dropout=0.2),
}


def population_of(spec: mn.MLP, seeds: list[int], dtype: torch.dtype = torch.float64) -> Population:
    start = []
    for seed in seeds:
        parameters = initial_parameters(spec, 4, 3, seed=seed)
        random = np.random.default_rng(seed)
        for name, shape in Shape.of(spec, 4, 3).buffers().items():
            parameters[name] = random.uniform(0.5, 2.0, shape)
        start.append(parameters)
    return Population.start(Shape.of(spec, 4, 3), start, device=CPU, dtype=dtype)


@pytest.mark.parametrize("name", SPECS)
def test_scores_of_many_are_those_of_each_and_of_the_plain_module(name: str) -> None:
    spec, x = SPECS[name], torch.from_numpy(np.random.default_rng(9).normal(size=(7, 4)))
    together = population_of(spec, [1, 2, 3])
    scores = together.scorer()(x)
    assert scores.shape == (3, 7, 3)
    for k, seed in enumerate((1, 2, 3)):
        assert_close(scores[k].clone(), population_of(spec, [seed]).scorer()(x)[0], "float64")
        module = mn.network(spec, in_features=4, out_features=3).double().eval()
        module.load_state_dict({n: torch.from_numpy(v) for n, v in together.network(k).items()}, strict=False)
        with torch.no_grad():
            assert_close(module(x), scores[k].clone(), "float64")
    own = torch.stack([x, x + 1, x * 2])
    assert_close(together.scorer()(own)[2].clone(), together.scorer()(x * 2)[2].clone(), "float64")


@pytest.mark.parametrize("seeds", [[1], [1, 2, 3]])
def test_the_factors_of_the_columns_are_multiplied_once_for_all_parts_of_the_rows(seeds: list[int]) -> None:
    population = population_of(mn.MLP(hidden=(6, 5), input_scale=True), seeds)
    population.parameters["input_scale.weight"] += 1.0
    x = torch.from_numpy(np.random.default_rng(9).normal(size=(8, 4)))
    scorer = population.scorer()
    whole = scorer(x)
    population.parameters["input_scale.weight"] += 1.0  # of which the scorer does not learn
    assert_close(torch.cat([scorer(part) for part in torch.split(x, 2)], dim=1), whole, "float64")
    out = torch.empty_like(whole)
    scorer.write(x, out, 2)
    assert_close(out, whole, "float64")
    assert not torch.allclose(population.scorer()(x), whole)


@pytest.mark.parametrize("name", SPECS)
def test_weights_come_first_and_views_share_their_memory(name: str) -> None:
    population = population_of(SPECS[name], [1, 2])
    weights = sum(v[0].numel() for n, v in population.parameters.items() if v.ndim == 3)
    assert population.weight_count == weights
    population.flat[:, :weights] = 7.0
    for key, view in population.parameters.items():
        assert bool((view == 7.0).all()) == (view.ndim == 3), key
    assert sum(view[0].numel() for view in population.parameters.values()) == population.flat.shape[1]
    assert sum(view[0].numel() for view in population.buffers.values()) == population.statistics.shape[1]


def test_take_chooses_networks() -> None:
    population = population_of(SPECS["norm"], [1, 2, 3])
    chosen = population.take(torch.tensor([2, 0]))
    assert_close(chosen.network(0), population.network(2), "bits")
    assert_close(chosen.network(1), population.network(0), "bits")


def test_network_returns_copies() -> None:
    population = population_of(SPECS["plain"], [1])
    population.network(0)["output.bias"][:] = 100.0
    assert float(population.flat.max()) < 50


@pytest.mark.parametrize("name", get_args(Activation))
def test_activation(name: Activation) -> None:
    kind, z = ACTIVATIONS[name], torch.linspace(-5, 5, 41, dtype=torch.float64)
    expected = kind.module()(z)
    assert_close(kind.call(z), expected, "float64")
    out = z.clone()
    target = out if kind.from_output else torch.empty_like(z)
    kind.run(out, target)
    assert_close(target, expected, "float64")
    leaf = z.clone().requires_grad_()
    kind.call(leaf).sum().backward()
    grad = torch.ones_like(z)
    kind.back(grad, out, target)
    assert leaf.grad is not None
    assert_close(grad, leaf.grad, "float64")


def test_hard_swish_is_its_formula() -> None:
    """Howard et al. 2019: x relu6(x + 3) / 6."""
    z = torch.linspace(-9, 9, 73, dtype=torch.float64)
    expected = z * torch.nn.functional.relu6(z + 3) / 6
    assert_close(ACTIVATIONS["hard_swish"].call(z), expected, "float64")
    assert_close(torch.nn.functional.hardswish(z), expected, "float64")


def test_every_activation_of_the_specification_exists() -> None:
    assert set(ACTIVATIONS) == set(get_args(Activation))


def test_a_network_touches_no_global_generator_and_starts_as_training_does() -> None:
    before = torch.get_rng_state()
    spec = dataclasses.replace(SPECS["norm"], init="torch")
    network = mn.network(spec, in_features=4, out_features=3, seed=8)
    assert torch.equal(torch.get_rng_state(), before)
    start = initial_parameters(spec, 4, 3, seed=8)
    parameters = {name: value.detach() for name, value in network.named_parameters()}
    assert_close(parameters, {name: value.astype(np.float32) for name, value in start.items()}, "bits")
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("bad", [0, -1, 2.5, True, None])
def test_sizes_that_are_none(bad: object) -> None:
    with pytest.raises(mn.OptionError, match=r"in_features is .*, but must be a whole number of at least 1"):
        mn.network(mn.MLP(), in_features=bad, out_features=2)  # type: ignore[arg-type]
    with pytest.raises(mn.OptionError, match="out_features is"):
        mn.network(mn.MLP(), in_features=2, out_features=bad)  # type: ignore[arg-type]
    if bad != 0:
        with pytest.raises(mn.OptionError, match=r"seed is .*, but must be a whole number of at least 0"):
            mn.network(mn.MLP(), in_features=2, out_features=1, seed=bad)  # type: ignore[arg-type]


def test_sizes_and_seed_may_be_numpys_numbers() -> None:
    y, spec = np.array([0, 2, 1]), mn.MLP(hidden=(2,))
    network = mn.network(spec, in_features=np.int32(4), out_features=y.max() + 1, seed=np.uint8(7))  # type: ignore[arg-type]
    assert repr(network.output) == "Linear(in_features=2, out_features=3, bias=True)"
    assert torch.equal(network.hidden0.weight, mn.network(spec, in_features=4, out_features=3, seed=7).hidden0.weight)


def test_the_weights_of_a_batch_by_hand() -> None:
    share, rows, unbiased = normalisers(torch.tensor([[[2.0], [1.0], [1.0], [0.0]], [[0.0], [0.0], [0.0], [0.0]]]))
    assert share[:, :, 0].tolist() == [[0.5, 0.25, 0.25, 0.0], [0.0, 0.0, 0.0, 0.0]]
    assert rows.flatten().tolist() == [4.0, 1.0]
    assert unbiased.flatten().tolist() == [3.0, 0.5]  # of four copies; of none: as of two
