"""T2, the exercises that its author suggests: noisy moons, a deeper network, momentum, Nesterov, RMSprop, Adam, nn.init.

Each variant is trained in plain torch and by the library, from the same weights, on all points at once; the accuracies are equal. With
momentum the learning rate is 0.05 instead of 0.2: training at 0.2 is unstable, and rounding errors grow until the two differ.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import manynets as mn
from manynets import datasets
from manynets.nn.initial import initial_parameters
from manynets.spec import Optimizer
from manynets.studies.in_turn import in_turn
from manynets.studies.study import StudyResult, figure
from manynets.studies.together import pictures_of_seeds, train_seeds

Make = Callable[[Iterable[Any]], torch.optim.Optimizer]

SMALL, DEEP = mn.MLP(hidden=(2,), activation="tanh"), mn.MLP(hidden=(16, 16), activation="tanh")
VARIANTS: dict[str, tuple[mn.MLP, Optimizer, Make]] = {
    "T2-moons": (SMALL, mn.SGD(lr=0.2), lambda w: torch.optim.SGD(w, lr=0.2)),
    "T2-deeper": (DEEP, mn.SGD(lr=0.2), lambda w: torch.optim.SGD(w, lr=0.2)),
    "T2-momentum": (DEEP, mn.SGD(lr=0.05, momentum=0.9), lambda w: torch.optim.SGD(w, lr=0.05, momentum=0.9)),
    "T2-nesterov": (
        DEEP,
        mn.SGD(lr=0.05, momentum=0.9, nesterov=True),
        lambda w: torch.optim.SGD(w, lr=0.05, momentum=0.9, nesterov=True),
    ),
    "T2-rmsprop": (DEEP, mn.RMSprop(lr=0.005), lambda w: torch.optim.RMSprop(w, lr=0.005)),
    "T2-adam": (DEEP, mn.Adam(lr=0.01), lambda w: torch.optim.Adam(w, lr=0.01)),
    "T2-init": (
        mn.MLP(hidden=(16, 16), activation="tanh", init="xavier_uniform"),
        mn.SGD(lr=0.2),
        lambda w: torch.optim.SGD(w, lr=0.2),
    ),
}


def run(id: str, *, quick: bool) -> StudyResult:
    spec, optimizer, make = VARIANTS[id]
    epochs, seeds = (50, range(2)) if quick else (1000, range(5))
    data = datasets.load("moons", points=1000, noise=0.2, seed=0)
    unseen = datasets.load("moons", points=10_000, noise=0.2, seed=1)

    recipe = mn.Recipe(optimizer=optimizer, epochs=epochs, batch_size=1000, keep="last", dtype="float64", device="cpu")
    models = train_seeds(data.X, data.y, spec, recipe, seeds=seeds)
    ours = [100 * model.evaluate(unseen.X, unseen.y)["accuracy"] for model in models]

    plain = [plain_torch(spec, make, data, seed, epochs) for seed in in_turn(seeds, "seeds in plain torch")]
    x = torch.tensor(unseen.X, dtype=torch.float64)
    with torch.no_grad():
        torchs = [100 * float(((network(x)[:, 0] > 0).numpy() == unseen.y).mean()) for network, _ in plain]

    title = f"{id}: 2-{'-'.join(map(str, spec.hidden))}-1 tanh · {type(optimizer).__name__.lower()} · {epochs} epochs"
    pictures = pictures_of_seeds([model.history["loss"] for model in models], data.X, data.y, models[0], title=title)
    difference = max(
        np.abs(np.subtract(model.history["loss"], losses)).max() for model, (_, losses) in zip(models, plain, strict=True)
    )
    note = f"{len(seeds)} seeds; 'published' is plain torch on the same weights; the losses differ by at most {difference:.1g}"
    return StudyResult(
        figures=(figure("accuracy %, the library against plain torch", ours, published=float(np.mean(torchs))),),
        pictures=pictures,
        note=note,
    )


def plain_torch(spec: mn.MLP, make: Make, data: Any, seed: int, epochs: int) -> tuple[nn.Sequential, list[float]]:
    """Train the same network in plain torch from this seed's weights; return it and the loss before each step."""
    sizes = [2, *spec.hidden, 1]
    with torch.random.fork_rng(devices=[]):  # nn.Linear draws weights of its own first
        layers = [nn.Linear(d_in, d_out, dtype=torch.float64) for d_in, d_out in itertools.pairwise(sizes)]
    start = initial_parameters(spec, 2, 1, seed=seed)
    for layer, name in zip(layers, [*(f"hidden{i}" for i in range(len(spec.hidden))), "output"], strict=True):
        layer.load_state_dict({part: torch.tensor(start[f"{name}.{part}"]) for part in ("weight", "bias")})
    network = nn.Sequential(*itertools.chain.from_iterable((layer, nn.Tanh()) for layer in layers[:-1]), layers[-1])
    optimizer = make(network.parameters())
    x, y = torch.tensor(data.X, dtype=torch.float64), torch.tensor(data.y, dtype=torch.float64)
    losses = []
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(network(x)[:, 0], y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return network, losses
