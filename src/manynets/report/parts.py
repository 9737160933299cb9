"""What a report is made of: what is given, and sections with their texts, tables, charts and pictures."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets.data.check import as_weights
from manynets.display import number_text
from manynets.explain.blocks import some_rows, source_rows
from manynets.model import Model
from manynets.tables import Table

Array: TypeAlias = NDArray[Any]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ReportInput:
    """What a report is about.

    model: trained. title: of the page. part: what the rows are, such as "test", or of which rows the metrics are told where there are none at
    hand. part_words: which rows these are, where the part is "validation". X, y, weight: labelled rows that were held out, as
    `Model.predict` takes them; None where there are none, and then `without_rows` says why. metrics: of each part, by its name. baselines: the
    same, of simple models, by the part and their name, such as "test: linear model". target: the name of the target. data, split, versions: facts
    by name. repeat: the command that repeats the run. class_names: of the codes of an array's classes. image_shape: (height, width) of rows that
    are images.
    """

    model: Model
    title: str
    part: str
    part_words: str = ""
    X: Any = None
    y: Any = None
    weight: Any = None
    metrics: Mapping[str, Mapping[str, Any]]
    baselines: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    target: str
    data: Mapping[str, str] = dataclasses.field(default_factory=dict)
    split: Mapping[str, str] = dataclasses.field(default_factory=dict)
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    repeat: str
    without_rows: str = ""
    class_names: Sequence[str] | None = None
    image_shape: Sequence[int] | None = None

    def class_name(self, code: int) -> str:
        """Return the name of a class by its code."""
        task: Any = self.model.task
        return str(self.class_names[code] if self.class_names else task.classes[code])


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledRows:
    """The labelled rows of a report, with what the model says about them."""

    model: Model
    X: Any
    y: Array
    weight: Array | None

    @classmethod
    def of(cls, given: ReportInput) -> LabelledRows:
        """Return all rows."""
        y = np.asarray(given.y)
        return cls(given.model, given.X, y, as_weights(given.weight, len(y)))

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Array) -> LabelledRows:
        """Return some of the rows."""
        X = self.X.take(rows) if isinstance(self.X, Table) else self.X[rows]
        return LabelledRows(self.model, X, self.y[rows], None if self.weight is None else self.weight[rows])

    def some(self, most: int) -> LabelledRows:
        """Return at most so many of the rows, drawn at random."""
        return self if len(self) <= most else self.take(some_rows(len(self), most))

    @functools.cached_property
    def target(self) -> Array:
        """The encoded target, (N, O) or (N,)."""
        return self.model.task.encode(self.y)

    @functools.cached_property
    def logits(self) -> Array:
        """Raw scores (K, N, O)."""
        return self.model.encoded_logits(source_rows(self.model, self.X).matrix)

    @functools.cached_property
    def predicted(self) -> Array:
        """Predictions in the user's own values, (N,) or (N, O)."""
        return np.asarray(self.model.predicted(self.logits))

    @functools.cached_property
    def codes(self) -> NDArray[np.int64]:
        """The true class codes (N,)."""
        return self.target.astype(np.int64).reshape(-1)

    @functools.cached_property
    def probabilities(self) -> Array:
        """Probabilities (N, C)."""
        return self.model.probabilities(self.logits)


@dataclasses.dataclass(frozen=True)
class ReportTable:
    """A table with a caption: names of the columns, and rows of cells. folded: shown when it is opened."""

    caption: str
    names: Sequence[str]
    rows: Sequence[Sequence[object]]
    folded: bool = False


@dataclasses.dataclass(frozen=True)
class ReportFigure:
    """A chart with what it shows, in words. small: two such charts stand side by side."""

    caption: str
    chart: dict[str, Any]
    small: bool = False


@dataclasses.dataclass(frozen=True)
class ReportPicture:
    """An image (H, W) of numbers between 0 and 1, black to white, with what it shows, in words."""

    caption: str
    image: Array


Part: TypeAlias = ReportTable | ReportFigure | ReportPicture


@dataclasses.dataclass(frozen=True)
class Section:
    """A title, a text, and what follows it."""

    title: str
    text: str
    parts: Sequence[Part] = ()


def between(low: float, high: float) -> str:
    """Return an interval as tables show it."""
    return f"{number_text(low)} to {number_text(high)}"
