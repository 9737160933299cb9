"""The cases, as data: what is trained or predicted, for how long, and the goals."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

__all__ = ["CASES", "Case", "Kind", "case_of", "shortened"]

Kind: TypeAlias = Literal["train", "predict"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One comparison. Every system makes the same `steps` from the same weights in each round.

    layers: widths from input to output. rows: training rows, or rows of one prediction.
    repeat: epochs of a round; or predictions of a round.
    networks: how many are trained, each on its own order of the rows, all from the same weights.
    goals: for "floor" the most that our time may be, as a multiple of the floor's; for a rival the least that its time must
        be, as a multiple of ours.
    loss_within: how far a system's loss may be from the median of all, relative, before it is marked.
    """

    name: str
    about: str
    kind: Kind = "train"
    data: Literal["toy", "table", "mnist"]
    layers: tuple[int, ...]
    rows: int
    batch: int = 0
    repeat: int
    optimizer: Literal["sgd", "adam"] = "sgd"
    lr: float = 0.01
    dropout: float = 0.0
    networks: int = 1
    goals: Mapping[str, float] = dataclasses.field(default_factory=dict)
    loss_within: float = 0.1

    @property
    def steps(self) -> int:
        """Steps, or predictions, of one round."""
        return self.repeat if self.kind == "predict" else -(-self.rows // self.batch) * self.repeat

    @property
    def outputs(self) -> int:
        return self.layers[-1]

    @property
    def task(self) -> Literal["binary", "multiclass"]:
        return "binary" if self.outputs == 1 else "multiclass"

    def to_json(self) -> dict[str, Any]:
        """Return the case as JSON types."""
        return dataclasses.asdict(self)


def case_of(data: Mapping[str, Any]) -> Case:
    """Return the case that `Case.to_json` gave."""
    return Case(**{**data, "layers": tuple(data["layers"])})


def shortened(case: Case, *, steps: int) -> Case:
    """Return the case with about this many steps, at least one epoch of at most that many batches."""
    if case.kind == "predict":
        return dataclasses.replace(case, rows=min(case.rows, 100_000), repeat=max(1, min(case.repeat, steps)))
    rows = min(case.rows, case.batch * steps)
    return dataclasses.replace(case, rows=rows, repeat=max(1, min(case.repeat, steps // -(-rows // case.batch))))


# "No case in which a rival trains faster than ours."
_RIVALS = ("torch_eager", "torch_fused", "torch_dataloader", "sklearn", "keras_jax", "jax_scan", "skorch", "lightning")
_FASTEST = dict.fromkeys(_RIVALS, 1.0)
_NET = (784, 512, 512, 10)


def _mnist(
    name: str, about: str, *, layers: tuple[int, ...] = _NET, batch: int, repeat: int, dropout: float = 0.0, floor: float
) -> Case:
    return Case(
        name=name, about=about, data="mnist", layers=layers, rows=20_000, batch=batch, repeat=repeat, dropout=dropout,
        goals=_FASTEST | {"floor": floor}, loss_within=0.2 if dropout else 0.1,
    )  # fmt: skip


_ALL = (
    Case(
        name="toy",
        about="2-6-1, batch 32, Adam",
        data="toy", layers=(2, 6, 1), rows=2_560, batch=32, repeat=100, optimizer="adam", lr=0.01,
        goals=_FASTEST | {"torch_eager": 100.0, "sklearn": 40.0, "jax_scan": 3.0},
    ),
    _mnist("mnist-20", "784-512-512-10, batch 20, SGD", batch=20, repeat=1, floor=1.25),
    _mnist("mnist-20-dropout", "784-512-512-10, batch 20, dropout 0.2, SGD", batch=20, repeat=1, dropout=0.2, floor=1.25),
    _mnist("mnist-100", "784-512-512-10, batch 100, SGD", batch=100, repeat=3, floor=1.2),
    _mnist("mnist-100-dropout", "784-512-512-10, batch 100, dropout 0.2, SGD", batch=100, repeat=3, dropout=0.2, floor=1.2),
    _mnist("mnist-small", "784-100-10, batch 100, SGD", layers=(784, 100, 10), batch=100, repeat=10, floor=1.2),
    Case(
        name="table",
        about="30-128-128-1, batch 256, Adam",
        data="table", layers=(30, 128, 128, 1), rows=20_480, batch=256, repeat=25, optimizer="adam", lr=0.001,
        goals=_FASTEST,
    ),
    Case(
        name="wide",
        about="784-2048-2048-10, batch 512, SGD",
        data="mnist", layers=(784, 2048, 2048, 10), rows=10_240, batch=512, repeat=2, goals=_FASTEST,
    ),
    Case(
        name="many-256",
        about="256 networks 2-6-1, batch 32, Adam",
        data="toy", layers=(2, 6, 1), rows=2_500, batch=32, repeat=20, optimizer="adam", lr=0.01, networks=256,
        goals={"torch_eager": 500.0}, loss_within=0.2,
    ),
    Case(
        name="predict-1",
        about="30-128-128-1, predict 1 row",
        kind="predict", data="table", layers=(30, 128, 128, 1), rows=1, repeat=5_000,
    ),
    Case(
        name="predict-1000",
        about="30-128-128-1, predict 1,000 rows",
        kind="predict", data="table", layers=(30, 128, 128, 1), rows=1_000, repeat=500,
    ),
    Case(
        name="predict-1000000",
        about="30-128-128-1, predict 1,000,000 rows",
        kind="predict", data="table", layers=(30, 128, 128, 1), rows=1_000_000, repeat=2, goals={"floor": 1.2},
    ),
)  # fmt: skip

CASES: dict[str, Case] = {case.name: case for case in _ALL}
