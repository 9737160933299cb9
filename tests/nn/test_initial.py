"""How weights start."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
import torch

import manynets as mn
from manynets.nn.initial import INITIALISERS, initial_parameters
from manynets.nn.shape import Shape
from manynets.spec import Init
from tests.tolerances import assert_close

D_OUT, D_IN = 300, 200
STD = {
    "torch": 1 / math.sqrt(3 * D_IN),
    "normal_fan_in": 1 / D_IN,
    "randn_sqrt_fan_in": 1 / math.sqrt(D_IN),
    "xavier_uniform": math.sqrt(2 / (D_IN + D_OUT)),
    "xavier_normal": math.sqrt(2 / (D_IN + D_OUT)),
    "kaiming_uniform": math.sqrt(2 / D_IN),
    "kaiming_normal": math.sqrt(2 / D_IN),
    "lecun_normal": 1 / math.sqrt(D_IN),
    "orthogonal": 1 / math.sqrt(D_OUT),
}
BOUND = {
    "torch": 1 / math.sqrt(D_IN),
    "xavier_uniform": math.sqrt(6 / (D_IN + D_OUT)),
    "kaiming_uniform": math.sqrt(6 / D_IN),
    "lecun_normal": 2 / (0.87962566103423978 * math.sqrt(D_IN)),
}


def test_every_initialiser_is_tried() -> None:
    assert set(STD) == set(INITIALISERS) == set(get_args(Init))


@pytest.mark.parametrize("name", STD)
def test_mean_deviation_and_bounds(name: Init) -> None:
    weight = INITIALISERS[name](np.random.default_rng(0), D_OUT, D_IN)
    assert weight.shape == (D_OUT, D_IN)
    assert weight.dtype == np.float64
    assert abs(weight.mean()) < 4 * STD[name] / math.sqrt(weight.size)
    assert_close(weight.std() / STD[name], np.float64(1.0), "sampled")
    if name in BOUND:
        assert np.abs(weight).max() <= BOUND[name]
        assert np.abs(weight).max() > 0.99 * BOUND[name]


@pytest.mark.parametrize(("d_out", "d_in"), [(7, 4), (4, 7), (5, 5), (1, 3)])
def test_orthogonal(d_out: int, d_in: int) -> None:
    weight = INITIALISERS["orthogonal"](np.random.default_rng(0), d_out, d_in)
    small = weight @ weight.T if d_out <= d_in else weight.T @ weight
    assert_close(small, np.eye(min(d_out, d_in)), "float64")


def test_layers_have_streams_of_their_own() -> None:
    shallow = initial_parameters(mn.MLP(hidden=(5, 6)), 4, 2, seed=3)
    deep = initial_parameters(mn.MLP(hidden=(5, 6, 7)), 4, 2, seed=3)
    for name in ("hidden0.weight", "hidden0.bias", "hidden1.weight", "hidden1.bias"):
        assert_close(deep[name], shallow[name], "bits")
    other = initial_parameters(mn.MLP(hidden=(5, 6)), 4, 2, seed=4)
    assert not np.array_equal(other["hidden0.weight"], shallow["hidden0.weight"])
    same = initial_parameters(mn.MLP(hidden=(4, 4)), 4, 4, seed=3)
    assert not np.array_equal(same["hidden0.weight"], same["hidden1.weight"])


def test_names_shapes_biases_and_norms() -> None:
    spec = mn.MLP(hidden=(3, 5), batch_norm=True, init="kaiming_normal")
    start = initial_parameters(spec, 2, 6)
    shapes = {name: value.shape for name, value in start.items()}
    assert shapes == {
        "hidden0.weight": (3, 2), "hidden0.bias": (3,), "norm0.weight": (3,), "norm0.bias": (3,),
        "hidden1.weight": (5, 3), "hidden1.bias": (5,), "norm1.weight": (5,), "norm1.bias": (5,),
        "output.weight": (6, 5), "output.bias": (6,),
    }  # fmt: skip
    assert not start["hidden0.bias"].any()
    assert (start["norm1.weight"] == 1).all()
    assert not start["norm1.bias"].any()
    assert not any(name.endswith("bias") for name in initial_parameters(mn.MLP(bias=False), 2, 6))
    biases = initial_parameters(mn.MLP(hidden=(2000,)), 4, 1)["hidden0.bias"]
    assert 0.49 < np.abs(biases).max() <= 0.5
    assert Shape.of(mn.MLP(hidden=()), 3, 2).layers == [("output", 3, 2)]


def test_torch_is_the_start_of_nn_linear() -> None:
    """The same distribution: uniform to 1 / sqrt(d_in), weights and biases."""
    theirs = torch.nn.Linear(D_IN, D_OUT).weight.detach().numpy().astype(np.float64)
    ours = INITIALISERS["torch"](np.random.default_rng(0), D_OUT, D_IN)
    assert_close(theirs.std() / ours.std(), np.float64(1.0), "sampled")
    assert_close(np.abs(theirs).max() / np.abs(ours).max(), np.float64(1.0), "sampled")
