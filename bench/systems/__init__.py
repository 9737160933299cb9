"""The systems that are compared: ours, the rivals, and the floor. Each module has `prepare(case, arrays) -> Session`."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, cast

from numpy.typing import NDArray

from bench.cases import Case, Kind
from bench.data import Arrays, Layers

__all__ = ["SYSTEMS", "Session", "System", "missing", "prepare"]


@dataclasses.dataclass(frozen=True)
class Session:
    """A system made ready for a case.

    run(repeat): train from the initial weights through `repeat` epochs, or make `repeat` predictions; return the seconds.
    layers: the weights after the last run; answers: the class codes predicted for the first 1,000 rows. None: has none.
    notes: further numbers of the last run, such as the share of set-up.
    """

    run: Callable[[int], float]
    layers: Callable[[], Layers] | None = None
    answers: Callable[[], NDArray[Any]] | None = None
    notes: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class System:
    """One system: its label, the module in this folder, the packages it needs, what it can do, and its setting in words."""

    label: str
    module: str
    packages: tuple[str, ...]
    setting: str
    kinds: tuple[Kind, ...] = ("train", "predict")
    dropout: bool = True
    networks: bool = False
    """Whether it has a way to train several networks, if only one after the other."""
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    one_cpu: bool = False
    """Whether one thread has to be enforced by allowing one CPU."""

    def can(self, case: Case) -> bool:
        """Return whether this system has a way to run the case."""
        return case.kind in self.kinds and (self.dropout or not case.dropout) and (self.networks or case.networks == 1)


SYSTEMS: dict[str, System] = {
    "ours": System(
        label="manynets",
        module="ours",
        packages=("torch",),
        setting="mn.train and Model.predict as they are; the whole call is timed, with its checks, history and set-up",
        networks=True,
    ),
    "torch_eager": System(
        label="PyTorch loop",
        module="torch_loop",
        packages=("torch",),
        setting="a hand-written loop, tensors in memory, torch.randperm and indexing, the optimizer's defaults, no logging",
        networks=True,
    ),
    "torch_fused": System(
        label="PyTorch loop, fused",
        module="torch_loop",
        packages=("torch",),
        setting="the same with fused=True",
        kinds=("train",),
        options={"fused": True},
    ),
    "torch_dataloader": System(
        label="PyTorch with DataLoader",
        module="torch_loop",
        packages=("torch",),
        setting="the same loop over DataLoader(TensorDataset, shuffle=True), no workers",
        kinds=("train",),
        options={"loader": True},
    ),
    "sklearn": System(
        label="scikit-learn",
        module="sklearn",
        packages=("sklearn",),
        setting="MLPClassifier.fit in float32, max_iter epochs, alpha=0, warm_start from the same weights, no early end",
        dropout=False,
    ),
    "keras_jax": System(
        label="Keras on JAX",
        module="keras_jax",
        packages=("keras", "jax"),
        setting="Model.fit on arrays in memory, verbose=0, jit_compile=True; predict_on_batch up to 1,000 rows",
        one_cpu=True,
    ),
    "jax_scan": System(
        label="JAX, hand-written",
        module="jax_scan",
        packages=("jax",),
        setting="one jitted lax.scan an epoch, donated buffers, the rbg generator for dropout, the order drawn by NumPy",
        one_cpu=True,
    ),
    "skorch": System(
        label="skorch",
        module="skorch",
        packages=("skorch",),
        setting='NeuralNet.partial_fit, callbacks="disable", no validation split, batches sliced from tensors in memory',
    ),
    "lightning": System(
        label="Lightning",
        module="lightning",
        packages=("lightning",),
        setting="Trainer(barebones=True), batches sliced from tensors in memory; timed from on_train_start to on_train_end",
        kinds=("train",),
    ),
    "floor": System(
        label="floor",
        module="floor",
        packages=("torch",),
        setting="the bare matrix products of a step in torch, into buffers made once: no activation, no loss, no update",
        networks=True,
    ),
}


def missing(name: str) -> tuple[str, ...]:
    """Return the packages that a system needs and that are not installed."""
    return tuple(package for package in SYSTEMS[name].packages if importlib.util.find_spec(package) is None)


def prepare(name: str, case: Case, arrays: Arrays) -> Session:
    """Return the session of a system for a case; imports what the system needs."""
    system = SYSTEMS[name]
    module = importlib.import_module(f"bench.systems.{system.module}")
    return cast(Session, module.prepare(case, arrays, **system.options))
