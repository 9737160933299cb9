"""T2: one 2-2-4 network with sigmoids on four blobs, written on five levels of PyTorch, and trained by the library.

Each level hides a little more of what the level before writes out. From the same initial weights all give the same losses.
The tutorial ends at 1.54 (by hand) and 1.411 (with `F.cross_entropy` given softmax outputs, so that softmax is applied twice
and the loss cannot fall below 0.74). On raw scores the same network does far better.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import manynets as mn
from manynets.nn.initial import initial_parameters
from manynets.studies.in_turn import in_turn
from manynets.studies.study import Skipped, StudyResult, figure
from manynets.studies.together import pictures_of_seeds, train_seeds
from manynets.training.torch_settings import torch_settings

SPEC = mn.MLP(hidden=(2,), activation="sigmoid", init="randn_sqrt_fan_in")  # weights randn / sqrt(2), biases 0
LR = 0.2

Start = dict[str, Tensor]  # hidden0.weight (2, 2), output.weight (4, 2) and the biases
Trained = tuple[list[float], Tensor]  # the loss before each step, and the scores of the test points after the last


def tensors(x: Tensor, y: Tensor, test: Tensor, start: Start, epochs: int) -> Trained:
    """Level 1: tensors, softmax and cross-entropy by hand."""
    w1, b1 = start["hidden0.weight"].clone().requires_grad_(), start["hidden0.bias"].clone().requires_grad_()
    w2, b2 = start["output.weight"].clone().requires_grad_(), start["output.bias"].clone().requires_grad_()
    rows = torch.arange(len(y))

    def scores(x: Tensor) -> Tensor:
        h1 = 1 / (1 + torch.exp(-(x @ w1.T + b1)))
        return h1 @ w2.T + b2

    losses = []
    for _ in range(epochs):
        z = scores(x)
        p = z.exp() / z.exp().sum(1, keepdim=True)
        loss = -p[rows, y].log().mean()
        loss.backward()
        with torch.no_grad():
            for w in (w1, b1, w2, b2):
                assert w.grad is not None
                w -= LR * w.grad
                w.grad.zero_()
        losses.append(loss.item())
    return losses, scores(test)


def functional(x: Tensor, y: Tensor, test: Tensor, start: Start, epochs: int) -> Trained:
    """Level 2: functions of torch.nn.functional; cross_entropy takes raw scores and applies softmax itself."""
    w1, b1 = start["hidden0.weight"].clone().requires_grad_(), start["hidden0.bias"].clone().requires_grad_()
    w2, b2 = start["output.weight"].clone().requires_grad_(), start["output.bias"].clone().requires_grad_()

    def scores(x: Tensor) -> Tensor:
        return F.linear(torch.sigmoid(F.linear(x, w1, b1)), w2, b2)

    losses = []
    for _ in range(epochs):
        loss = F.cross_entropy(scores(x), y)
        loss.backward()
        with torch.no_grad():
            for w in (w1, b1, w2, b2):
                assert w.grad is not None
                w -= LR * w.grad
                w.grad.zero_()
        losses.append(loss.item())
    return losses, scores(test)


def parameter(x: Tensor, y: Tensor, test: Tensor, start: Start, epochs: int) -> Trained:
    """Level 3: a module that registers its parameters."""

    class ByParameters(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w1, self.b1 = nn.Parameter(start["hidden0.weight"].clone()), nn.Parameter(start["hidden0.bias"].clone())
            self.w2, self.b2 = nn.Parameter(start["output.weight"].clone()), nn.Parameter(start["output.bias"].clone())

        def forward(self, x: Tensor) -> Tensor:
            return F.linear(torch.sigmoid(F.linear(x, self.w1, self.b1)), self.w2, self.b2)

    network = ByParameters()
    losses = []
    for _ in range(epochs):
        loss = F.cross_entropy(network(x), y)
        loss.backward()
        with torch.no_grad():
            for w in network.parameters():
                assert w.grad is not None
                w.sub_(LR * w.grad)
        network.zero_grad()
        losses.append(loss.item())
    return losses, network(test)


def linear(x: Tensor, y: Tensor, test: Tensor, start: Start, epochs: int) -> Trained:
    """Level 4: nn.Linear holds the parameters; torch.optim updates them."""

    class ByLayers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden0, self.output = nn.Linear(2, 2), nn.Linear(2, 4)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.output(torch.sigmoid(self.hidden0(x)))
            return out

    return _with_optimizer(ByLayers().to(x), ("hidden0", "output"), x, y, test, start, epochs)


def sequential(x: Tensor, y: Tensor, test: Tensor, start: Start, epochs: int) -> Trained:
    """Level 5: the network as a list of layers."""
    network = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 4)).to(x)
    return _with_optimizer(network, ("0", "2"), x, y, test, start, epochs)


def _with_optimizer(
    network: nn.Module, layers: tuple[str, str], x: Tensor, y: Tensor, test: Tensor, start: Start, epochs: int
) -> Trained:
    """The loop of levels 4 and 5: forward, backward, step."""
    named = zip(("hidden0", "output"), layers, strict=True)
    network.load_state_dict({f"{theirs}.{part}": start[f"{ours}.{part}"] for ours, theirs in named for part in ("weight", "bias")})
    optimizer = torch.optim.SGD(network.parameters(), lr=LR)
    losses = []
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, network(test)


LEVELS: dict[str, Callable[[Tensor, Tensor, Tensor, Start, int], Trained]] = {
    "T2-tensors": tensors,
    "T2-functional": functional,
    "T2-parameter": parameter,
    "T2-linear": linear,
    "T2-sequential": sequential,
    "T2-gpu": sequential,
}
PUBLISHED = {"T2-tensors": 1.54}  # all others: 1.411


def blobs() -> tuple[Any, Any, Any, Any]:
    """Return the tutorial's X, X_test, y, y_test: 1,000 points around four centres, three quarters for training."""
    from sklearn.datasets import make_blobs
    from sklearn.model_selection import train_test_split

    X, y = make_blobs(n_samples=1000, centers=4, n_features=2, random_state=0)
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    return X_train, X_test, y_train, y_test


def train_level(id: str, seed: int, epochs: int, *, device: str = "cpu") -> tuple[list[float], float]:
    """Return the losses and the test accuracy of one level in float64, from the weights of this seed."""
    X, X_test, y, y_test = blobs()
    start = {name: torch.tensor(value, device=device) for name, value in initial_parameters(SPEC, 2, 4, seed=seed).items()}
    x, test = torch.tensor(X, device=device), torch.tensor(X_test, device=device)
    with torch_settings(), torch.random.fork_rng(devices=[]):  # one thread; nn.Linear draws weights of its own first
        losses, scores = LEVELS[id](x, torch.tensor(y, device=device), test, start, epochs)
    return losses, float((scores.argmax(1).cpu().numpy() == y_test).mean())


def run(id: str, *, quick: bool) -> StudyResult:
    device = "cuda" if id == "T2-gpu" else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise Skipped("there is no CUDA device here")
    epochs, seeds = (200, range(2)) if quick else (10_000, range(5))
    began = time.perf_counter()
    plain = [train_level(id, seed, epochs, device=device) for seed in in_turn(seeds, "seeds in plain torch")]
    level_seconds = time.perf_counter() - began

    X, X_test, y, y_test = blobs()
    recipe = mn.Recipe(optimizer=mn.SGD(lr=LR), epochs=epochs, batch_size=len(X), keep="last", dtype="float64", device=device)
    began = time.perf_counter()
    models = train_seeds(X, y, SPEC, recipe, seeds=seeds)
    library_seconds = time.perf_counter() - began

    difference = max(
        np.abs(np.subtract(model.history["loss"], losses)).max() for model, (losses, _) in zip(models, plain, strict=True)
    )
    accuracy = [100 * model.evaluate(X_test, y_test)["accuracy"] for model in models]
    ours, torchs = [losses[-1] for losses, _ in plain], [100 * share for _, share in plain]
    figures = (
        figure("loss", ours, published=PUBLISHED.get(id, 1.411), better="lower"),
        figure("accuracy %, the library against plain torch", accuracy, published=float(np.mean(torchs))),
        figure("loss, largest difference to the library", [difference], published=1e-6, better="lower"),
    )
    seconds = f"the level {level_seconds:.1f} s, the library (all seeds at once) {library_seconds:.1f} s"
    note = f"{len(seeds)} seeds, {epochs:,} epochs: {seconds}"
    title = f"{id}: 2-2-4 sigmoid · sgd {LR:g} · {epochs:,} epochs · {len(X)} points at once"
    every = slice(None, None, max(1, epochs // 500))
    pictures = pictures_of_seeds([losses[every] for losses, _ in plain], X, y, models[int(np.argmin(ours))], title=title)
    return StudyResult(figures=figures, pictures=pictures, note=note)
