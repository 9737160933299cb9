"""The parts of the check on a GPU. Each takes a device and sizes, so that a test runs it small on the CPU, and returns JSON types."""

from __future__ import annotations

import dataclasses
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

import manynets as mn
from bench import data
from bench.cases import CASES, Case
from bench.systems.networks import criterion_of, network_of, optimizer_of, set_weights, target_of
from manynets.nn.initial import initial_parameters
from manynets.spec import Precision
from manynets.training.torch_settings import torch_settings

__all__ = ["mnist", "precisions", "predictions", "steps_per_second", "toys", "tutorial"]

Json: TypeAlias = dict[str, Any]

MOST_EPOCHS = 200
NAMES: tuple[Precision, ...] = ("full", "tf32", "bf16")


def mnist() -> Any:
    """Return MNIST, or None if it is not available."""
    from manynets.datasets import images

    folder = data.real_data()
    try:
        return None if folder is None else images.mnist(data_dir=folder)
    except (mn.ManynetsError, OSError):
        return None


# ----------------------------------------------------------------------------------------------------- the tutorial's network


def tutorial(device: str, *, seconds: float, epochs: int = 50, hidden: tuple[int, ...] = (512, 512), real: Any = None) -> Json:
    """Train T4's network on MNIST for up to `epochs`, as far as `seconds` allow; return its test accuracy and the time of an epoch."""
    real = mnist() if real is None else real
    if real is None:
        return {"skipped": "MNIST is not here; set MANYNETS_DATA to a folder that holds mnist/"}
    spec = mn.MLP(hidden=hidden, dropout=0.2)
    recipe = mn.Recipe(optimizer=mn.SGD(lr=0.01), epochs=2, batch_size=20, device=device)

    def train(count: int) -> mn.Model:
        one = dataclasses.replace(recipe, epochs=count)
        return mn.train(real.X, real.y, spec, one, validation=0.2, seed=0, scaling=False, progress=False)

    if epochs > 2:
        first = train(2)
        epochs = max(3, min(epochs, int(seconds * 0.7 / _seconds_per_epoch(first))))
    model = train(epochs)
    metrics = model.evaluate(real.X_test, real.y_test)
    return {
        "epochs": epochs,
        "accuracy": metrics["accuracy"],
        "loss": metrics["loss"],
        "epoch_seconds": _seconds_per_epoch(model),
        "steps_per_epoch": int(model.history["step"][0]),
        "stepper": model.info["stepper"],
    }


def _seconds_per_epoch(model: mn.Model) -> float:
    """Return the median time of an epoch after the first, which has CUDA's start in it."""
    return float(np.median(np.diff(model.history["seconds"])))


# ------------------------------------------------------------------------------------------------------------- precisions


def precisions(device: str, *, seconds: float, case: Case | None = None) -> Json:
    """Return steps per second of 784-512-512-10 at batch 100 in each precision: ours, a plain torch loop, the bare products."""
    case = CASES["mnist-100"] if case is None else case
    with tempfile.TemporaryDirectory() as folder:
        source = data.write(case, Path(folder))
        arrays = data.read(case, Path(folder))
    each = seconds / (3 * len(NAMES) + 2)
    rows = []
    for precision in NAMES:
        ours, stepper = _ours(device, case, arrays, precision, each)
        with torch_settings(threads=torch.get_num_threads(), precision=precision):
            loop = steps_per_second(_loop(device, case, arrays, precision), each)
            products = steps_per_second(_products(device, case, precision), each)
        rows.append({"precision": precision, "stepper": stepper, "ours": ours, "loop": loop, "products": products})
    return {"source": source, "about": case.about, "rows": rows}


def steps_per_second(run: Callable[[int], object], seconds: float) -> float:
    """Return how many steps run(n) makes in a second, measured within some `seconds`."""
    count = 10
    run(count)
    while True:
        began = time.perf_counter()
        run(count)
        taken = time.perf_counter() - began
        if taken > seconds / 5 or taken * 5 > seconds:
            return count / taken
        count *= 4


def _wait(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def _ours(device: str, case: Case, arrays: data.Arrays, precision: Precision, seconds: float) -> tuple[float, str]:
    """Return the steps per second of `mn.train` after its first two epochs, and which stepper made them."""
    spec = mn.MLP(hidden=case.layers[1:-1], dropout=case.dropout)
    recipe = mn.Recipe(optimizer=mn.SGD(lr=case.lr), epochs=4, batch_size=case.batch, device=device, precision=precision)
    model = mn.train(arrays.x, arrays.y, spec, recipe, task=case.task, scaling=False, progress=False)
    epochs = max(4, min(MOST_EPOCHS, int(seconds / _seconds_per_epoch(model))))
    model = mn.train(
        arrays.x, arrays.y, spec, dataclasses.replace(recipe, epochs=epochs), task=case.task, scaling=False, progress=False
    )
    step, taken = model.history["step"], model.history["seconds"]
    return (step[-1] - step[1]) / (taken[-1] - taken[1]), model.info["stepper"]


def _loop(device: str, case: Case, arrays: data.Arrays, precision: Precision) -> Callable[[int], None]:
    """Return a plain loop of torch, as it is written by hand: data on the device, a new order in each epoch, no logging."""
    network = network_of(case)
    set_weights(network, arrays.initial)
    network.to(device)
    x, y = torch.from_numpy(arrays.x).to(device), target_of(case, arrays).to(device)
    criterion, optimizer = criterion_of(case), optimizer_of(case, network)

    def run(steps: int) -> None:
        order = torch.empty(0, dtype=torch.long, device=device)
        for _ in range(steps):
            if len(order) < case.batch:
                order = torch.randperm(len(x), device=device)
            index, order = order[: case.batch], order[case.batch :]
            optimizer.zero_grad()
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16"):
                loss = criterion(network(x[index]), y[index])
            loss.backward()
            optimizer.step()
        _wait(device)

    return run


def _products(device: str, case: Case, precision: Precision) -> Callable[[int], None]:
    """Return the matrix products of a step and nothing else; on CUDA as a graph, which has no cost of calls."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32

    def made(*shape: int) -> torch.Tensor:
        return torch.full(shape, 1e-3, dtype=kind, device=device)

    widths = case.layers
    weights = [made(d_out, d_in) for d_in, d_out in itertools.pairwise(widths)]
    h, d = ([made(case.batch, width) for width in widths] for _ in range(2))
    d_weights = [torch.empty_like(weight) for weight in weights]

    def step() -> None:
        for i, weight in enumerate(weights):
            torch.mm(h[i], weight.T, out=h[i + 1])
        for i in range(len(weights) - 1, -1, -1):
            torch.mm(d[i + 1].T, h[i], out=d_weights[i])
            if i:
                torch.mm(d[i + 1], weights[i], out=d[i])

    once: Callable[[], object] = step
    step()
    if torch.device(device).type == "cuda":
        with torch.cuda.device(device):
            _wait(device)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=torch.cuda.Stream(device)):
                step()
        once = graph.replay

    def run(steps: int) -> None:
        for _ in range(steps):
            once()
        _wait(device)

    return run


# --------------------------------------------------------------------------------------------------- many, and predictions


def toys(
    device: str,
    *,
    seconds: float,  # noqa: ARG001 - one signature for all parts
    networks: int = 10_000,
    rows: int = 2_500,
    batch: int = 32,
    epochs: int = 5,
) -> Json:
    """Train so many networks 2-6-1 together, each on its own order of the rows; return the time of a network and step."""
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, (rows, 2)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] > 0).astype(np.int64)
    recipe = mn.Recipe(optimizer=mn.Adam(lr=0.01), epochs=epochs, batch_size=batch, device=device)
    model = mn.train(x, y, mn.MLP(hidden=(6,)), recipe, n_networks=networks, seed=0, scaling=False, progress=False).to(device)
    steps = model.history["step"][0]
    return {
        "networks": networks,
        "batch": batch,
        "rows": rows,
        "epochs": epochs,
        "step_microseconds": _seconds_per_epoch(model) / steps * 1e6,
        "each_microseconds": _seconds_per_epoch(model) / steps / networks * 1e6,
        "accuracy": float(np.mean(model.predict(x[:250]) == y[:250])),
        "stepper": model.info["stepper"],
    }


def predictions(device: str, *, seconds: float, rows: int = 1_000_000, layers: tuple[int, ...] = (30, 128, 128, 1)) -> Json:
    """Predict so many rows on the device by `Model.to`, beside torch by hand and our CPU; arrays in, labels out."""
    spec, task = mn.MLP(hidden=layers[1:-1]), mn.Binary((0, 1))
    start = initial_parameters(spec, layers[0], layers[-1], seed=0)
    model = mn.Model(
        spec=spec, task=task, recipe=mn.Recipe(), in_features=layers[0], members=[start], history={}, info={}
    )  # fmt: skip
    x = np.random.default_rng(0).standard_normal((rows, layers[0]), dtype=np.float32)
    began = time.perf_counter()
    on_cpu = model.predict(x)
    cpu = time.perf_counter() - began
    module: nn.Module = model.network().to(device)
    model.to(device)

    def by_hand() -> Any:
        with torch.inference_mode():
            return (module(torch.from_numpy(x).to(device))[:, 0] > 0).long().cpu().numpy()

    ours, hand = _median(lambda: model.predict(x), seconds / 4), _median(by_hand, seconds / 4)
    agree = float(np.mean(model.predict(x) == on_cpu))
    model.to("cpu")
    return {"rows": rows, "layers": list(layers), "ours_ms": ours * 1e3, "loop_ms": hand * 1e3, "cpu_ms": cpu * 1e3, "agree": agree}


def _median(call: Callable[[], object], seconds: float) -> float:
    """Return the median time of a call that returns arrays of the host, of up to 9 calls within some `seconds`, after a first."""
    call()
    taken: list[float] = []
    while len(taken) < 3 or (len(taken) < 9 and sum(taken) < seconds):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)
