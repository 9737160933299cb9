"""Studies: what they are, how they are run, and their results. Does not import torch, so that listing studies is fast."""

from __future__ import annotations

import dataclasses
import importlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from manynets.errors import DataError, MissingExtraError

ROUNDING = 1e-10  # allowed difference between means of equal numbers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """One result of a study: the published value (None if there is none), ours (the mean over seeds), and the spread over seeds.

    spread: the standard deviation over `per_seed`. better: whether higher or lower values are better.

    >>> figure("accuracy %", [97.0, 98.0], published=97.0).met
    True
    """

    name: str
    published: float | None
    ours: float
    spread: float
    per_seed: tuple[float, ...]
    better: Literal["higher", "lower"]

    @property
    def met(self) -> bool | None:
        """Whether ours meets or beats the published value, up to rounding; None if there is no published value."""
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
    """Return the result for values by seed, shape (S,); ours is their mean unless given.

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
class StudyResult:
    """The results of a study. pictures: matplotlib axes by file name. seconds: its run time. skipped: why it could not run.

    >>> from manynets.studies import STUDIES
    >>> result = STUDIES["T3-autograd"].run(quick=True)
    >>> [(one.name, one.ours, one.published) for one in result.figures], result.met
    ([('dz/dx', 12.0, 12.0)], True)
    """

    figures: tuple[Figure, ...] = ()
    pictures: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    note: str = ""
    seconds: float = 0.0
    skipped: str | None = None

    @property
    def met(self) -> bool | None:
        """Whether every published value is met or beaten; None if none was published, or nothing ran."""
        verdicts = [one.met for one in self.figures if one.met is not None]
        return all(verdicts) if verdicts else None


class Skipped(Exception):
    """Raised by a study that cannot run here; the message gives the reason."""


@dataclasses.dataclass(frozen=True)
class Study:
    """An experiment of a tutorial, run by `manynets.studies.<module>.run(id, quick)`.

    >>> from manynets.studies import STUDIES
    >>> STUDIES["T3-autograd"].title
    'z = 2 (x + 2)^2 at x = 1: dz/dx by autograd'
    """

    id: str
    title: str
    module: str

    def run(self, quick: bool = False) -> StudyResult:
        """Run the study, or skip it if something it needs is missing. quick: use few rows, steps and seeds, to see that it works.

        torch uses one thread: these networks are small, and a second thread costs much when other programs are running.
        """
        start = time.perf_counter()
        from manynets.training.torch_settings import torch_settings

        try:
            with torch_settings():
                result: StudyResult = importlib.import_module(f"manynets.studies.{self.module}").run(self.id, quick=quick)
        except (Skipped, MissingExtraError) as reason:
            result = StudyResult(skipped=str(reason))
        return dataclasses.replace(result, seconds=time.perf_counter() - start)


def load_mnist() -> Any:
    """Return MNIST, or raise Skipped if it is not here and cannot be downloaded."""
    from manynets import datasets

    try:
        return datasets.load("mnist")
    except (DataError, OSError) as error:
        raise Skipped(f"MNIST is not here: {error}") from None
