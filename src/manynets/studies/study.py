"""What a study is, what it returns, and how it is run. Knows no torch, so that the list of studies is quick to have."""

from __future__ import annotations

import dataclasses
import importlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from manynets.errors import DataError, MissingExtraError

__all__ = ["Figure", "Result", "Skipped", "Study", "figure", "load_mnist"]

ROUNDING = 1e-10  # by which means of equal numbers may differ


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of a study: the published one (None: none was published), ours (mean over seeds), and the spread over seeds.

    spread: the standard deviation over `per_seed`. better: whether a higher or a lower figure is the better one.
    """

    name: str
    published: float | None
    ours: float
    spread: float
    per_seed: tuple[float, ...]
    better: Literal["higher", "lower"]

    @property
    def met(self) -> bool | None:
        """Whether ours meets or beats the published figure, but for rounding; None where there is none."""
        if self.published is None:
            return None
        behind = self.published - self.ours if self.better == "higher" else self.ours - self.published
        return behind <= ROUNDING


def figure(
    name: str,
    values: Sequence[float] | Any,
    *,
    published: float | None = None,
    better: Literal["higher", "lower"] = "higher",
    ours: float | None = None,
) -> Figure:
    """Return the figure of values by seed, (S,): ours is their mean, if no other is given.

    >>> figure("accuracy %", [97.0, 98.0], published=97.5).met
    True
    """
    seeds = np.asarray(values, dtype=np.float64).reshape(-1)
    return Figure(
        name=name,
        published=published,
        ours=float(seeds.mean() if ours is None else ours),
        spread=float(seeds.std()),
        per_seed=tuple(seeds.tolist()),
        better=better,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What a study found. pictures: matplotlib axes by file name. seconds: how long it took. skipped: why it could not run."""

    figures: tuple[Figure, ...] = ()
    pictures: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    note: str = ""
    seconds: float = 0.0
    skipped: str | None = None

    @property
    def met(self) -> bool | None:
        """Whether every published figure is met or beaten; None where none was published, or nothing ran."""
        verdicts = [one.met for one in self.figures if one.met is not None]
        return all(verdicts) if verdicts else None


class Skipped(Exception):
    """Raised by a study that cannot run here; its text is the reason."""


@dataclasses.dataclass(frozen=True)
class Study:
    """An experiment of a tutorial: `manynets.studies.<module>.run(id, quick)` does it."""

    id: str
    title: str
    module: str

    def run(self, quick: bool = False) -> Result:
        """Do it; quick: with few rows, steps and seeds, to see that it works. What it needs and is not here makes it skipped.

        torch has one thread meanwhile: these networks are small, and a second one costs much where other programs run beside.
        """
        start = time.perf_counter()
        from manynets.training.settings import torch_settings

        try:
            with torch_settings():
                result: Result = importlib.import_module(f"manynets.studies.{self.module}").run(self.id, quick=quick)
        except Skipped as reason:
            result = Result(skipped=str(reason))
        except MissingExtraError as error:
            result = Result(skipped=str(error))
        return dataclasses.replace(result, seconds=time.perf_counter() - start)


def load_mnist() -> Any:
    """Return MNIST, or raise Skipped where it is neither here nor to be had."""
    from manynets import datasets

    try:
        return datasets.load("mnist")
    except (DataError, OSError) as error:
        raise Skipped(f"MNIST is not here: {error}") from None
