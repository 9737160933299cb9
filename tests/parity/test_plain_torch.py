"""The loop equals 25 lines of plain torch, bit for bit on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import manynets as mn
from manynets.rng import permutation
from manynets.spec import Optimizer
from tests.tolerances import assert_close

# A product with the first layer's matrix rounds as the matrix lies in memory; where sizes are odd, so that of plain torch lies turned.
N, D, CLASSES = 100, 16, 16

Make = Callable[..., torch.optim.Optimizer]


def torch_sgd(parameters: Iterator[nn.Parameter], o: mn.SGD) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        parameters, lr=o.lr, momentum=o.momentum, nesterov=o.nesterov, weight_decay=o.weight_decay, foreach=False
    )


def torch_adam(parameters: Iterator[nn.Parameter], o: mn.Adam | mn.AdamW) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if isinstance(o, mn.AdamW) else torch.optim.Adam
    return kind(parameters, lr=o.lr, betas=o.betas, eps=o.eps, weight_decay=o.weight_decay, foreach=False)


OPTIMIZERS: dict[str, tuple[Optimizer, Make]] = {
    "sgd": (mn.SGD(lr=0.1), torch_sgd),
    "momentum": (mn.SGD(lr=0.05, momentum=0.9), torch_sgd),
    "nesterov": (mn.SGD(lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01), torch_sgd),
    "adam": (mn.Adam(lr=0.01), torch_adam),
    "adam_l2": (mn.Adam(lr=0.01, betas=(0.8, 0.95), weight_decay=0.1), torch_adam),
    "adamw": (mn.AdamW(lr=0.01, weight_decay=0.1), torch_adam),
}
SPECS = {
    "linear": mn.MLP(hidden=()),
    "relu": mn.MLP(hidden=(32, 16)),
    "tanh": mn.MLP(hidden=(16,), activation="tanh", init="xavier_normal"),
    "gelu": mn.MLP(hidden=(16, 48, 32), activation="gelu", bias=False),
}


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(7)
    return random.standard_normal((N, D)).astype(np.float32), np.arange(N) % CLASSES


@pytest.fixture
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def plain_torch(
    X: np.ndarray,
    Y: np.ndarray,
    spec: mn.MLP,
    optimizer: Optimizer,
    make: Make,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    turned: bool = False,
) -> nn.Module:
    """What one would write by hand; turned: the first layer's matrix lies column by column."""
    x, y = torch.from_numpy(X), torch.from_numpy(Y)
    network = mn.network(spec, in_features=x.shape[1], out_features=int(y.max()) + 1, seed=seed)
    if turned:
        network.hidden0.weight = nn.Parameter(network.hidden0.weight.detach().T.contiguous().T)
    torch_optimizer = make(network.parameters(), optimizer)
    for epoch in range(epochs):
        order = torch.from_numpy(permutation(seed, epoch, len(x)))
        for rows in order.split(batch_size):
            torch_optimizer.zero_grad()
            F.cross_entropy(network(x[rows]), y[rows]).backward()
            torch_optimizer.step()
    return network


@pytest.mark.usefixtures("_one_thread")
@pytest.mark.parametrize("batch_size", [32, 25, 100])  # 100 rows: a ragged last batch, an even one, one batch
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("stack", SPECS)
def test_autograd_is_plain_torch_bit_for_bit(data: tuple[np.ndarray, np.ndarray], stack: str, name: str, batch_size: int) -> None:
    (optimizer, make), spec = OPTIMIZERS[name], SPECS[stack]
    expected = plain_torch(*data, spec, optimizer, make, epochs=3, batch_size=batch_size, seed=5)
    recipe = mn.Recipe(optimizer=optimizer, epochs=3, batch_size=batch_size, seed=5, gradient="autograd", device="cpu")
    model = mn.train(*data, spec, recipe, scaling=False, progress=False)
    for key, value in expected.state_dict().items():
        assert torch.equal(torch.from_numpy(model.members[0][key]), value), key


@pytest.mark.usefixtures("_one_thread")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_odd_sizes(name: str) -> None:
    random = np.random.default_rng(3)
    data, (optimizer, make) = (random.standard_normal((50, 7)).astype(np.float32), np.arange(50) % 3), OPTIMIZERS[name]
    spec = mn.MLP(hidden=(9, 5))
    expected = plain_torch(*data, spec, optimizer, make, epochs=3, batch_size=12, seed=1, turned=True).state_dict()
    recipe = mn.Recipe(optimizer=optimizer, epochs=3, batch_size=12, seed=1, gradient="autograd", device="cpu")
    actual = mn.train(*data, spec, recipe, scaling=False, progress=False).members[0]
    assert_close(actual, expected, "bits")


@pytest.mark.usefixtures("_one_thread")
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("stack", SPECS)
def test_the_closed_form_is_plain_torch_within_rounding(data: tuple[np.ndarray, np.ndarray], stack: str, name: str) -> None:
    (optimizer, make), spec = OPTIMIZERS[name], SPECS[stack]
    expected = plain_torch(*data, spec, optimizer, make, epochs=3, batch_size=32, seed=5)
    recipe = mn.Recipe(optimizer=optimizer, epochs=3, batch_size=32, seed=5, gradient="closed_form", device="cpu")
    model = mn.train(*data, spec, recipe, scaling=False, progress=False)
    assert_close(model.members[0], expected.state_dict(), "float32_run")


@pytest.mark.usefixtures("_one_thread")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_module_of_ones_own_is_plain_torch_bit_for_bit(data: tuple[np.ndarray, np.ndarray], name: str) -> None:
    (optimizer, make), spec = OPTIMIZERS[name], SPECS["relu"]
    expected = plain_torch(*data, spec, optimizer, make, epochs=2, batch_size=32, seed=5)
    module = mn.network(spec, in_features=D, out_features=CLASSES, seed=5)
    recipe = mn.Recipe(optimizer=optimizer, epochs=2, batch_size=32, seed=5, device="cpu")
    model = mn.train(*data, module, recipe, scaling=False, progress=False)
    assert model.module is module
    for key, value in expected.state_dict().items():
        assert torch.equal(module.state_dict()[key], value), key


@pytest.mark.usefixtures("_one_thread")
@pytest.mark.parametrize("gradient", ["autograd", "closed_form"])
def test_batch_norm_is_that_of_torch(data: tuple[np.ndarray, np.ndarray], gradient: str) -> None:
    spec = mn.MLP(hidden=(16, 8), batch_norm=True, activation="silu")
    optimizer = mn.SGD(lr=0.05, momentum=0.9)
    expected = plain_torch(*data, spec, optimizer, torch_sgd, epochs=3, batch_size=32, seed=5)
    recipe = mn.Recipe(optimizer=optimizer, epochs=3, batch_size=32, seed=5, gradient=gradient, device="cpu")
    model = mn.train(*data, spec, recipe, scaling=False, progress=False)
    state = {k: v for k, v in expected.state_dict().items() if not k.endswith("num_batches_tracked")}
    assert_close(model.members[0], state, "float32_run")
    expected.eval()
    with torch.no_grad():
        assert_close(model.logits(data[0])[0], expected(torch.from_numpy(data[0])), "float32_run")
