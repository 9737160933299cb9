"""The encoder of one column: numbers, categories, dates; text is in `manynets.tables.hashed`. Each knows its features, and how to fill its part of the output."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manynets.display import listed, shortened
from manynets.errors import DataError
from manynets.tables.cells import counts_of, number_cells, part_codes, plain_label
from manynets.tables.dates import CYCLES, PARTS, DateForm, DateOrder, PartName, date_cells, date_parts
from manynets.tables.hashed import TextColumn
from manynets.tables.labels import in_known_spelling
from manynets.tables.means import LevelMeans, fit_means, is_large
from manynets.tables.missing import is_missing
from manynets.tables.numerals import NUMBER
from manynets.tables.parts import CodePart
from manynets.tables.piecewise import Pieces, fit_pieces
from manynets.tables.scaling import Scaling, Spread, apply_spread, fit_spread
from manynets.tables.table import Table
from manynets.tables.written import PLAIN, Reading

Out = NDArray[np.float32]
FLOAT32_MAX = float(np.finfo(np.float32).max)
MARGIN = 0.1
"""How far beyond the range seen at fit a number counts as it is, as a share of that range."""


@dataclass(frozen=True, kw_only=True)
class NumericColumn:
    """Numbers: one scaled column, and a second that is 1 where the value was missing if there were gaps at fit.

    A missing value becomes the median, also where there was none at fit. A column that is all missing at fit is 0 for all rows. A value
    beyond the limits, far from all that a network has seen, counts as the limit: so one wrong cell does not make a wild prediction.

    Attributes:
        name: of the column.
        gaps: whether values were missing at fit.
        fill: the median, in the column's own units; None where every value was missing.
        spread: centre and scale, or quantiles.
        limits: the least and the largest value, in the column's own units; None for no limits.
        reading: how text is read as numbers.
        pieces: the ranges of its piecewise-linear columns, which follow the others; None for none.
    """

    name: str
    gaps: bool
    fill: float | None
    spread: Spread
    limits: tuple[float, float] | None = None
    reading: Reading = PLAIN
    pieces: Pieces | None = None
    kind: Literal["numeric"] = field(default="numeric", init=False)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the output columns."""
        plain = (self.name, f"{self.name}=missing") if self.gaps else (self.name,)
        return plain if self.pieces is None else (*plain, *self.pieces.features(self.name))

    @property
    def form(self) -> Reading:
        """How its cells are read."""
        return self.reading

    def fill_in(self, table: Table, out: Out) -> None:
        """Write the column into out (N, width), which holds zeros."""
        if self.fill is None:  # nothing was learned from it, whatever it holds now
            return
        values = number_cells(table, self.name, self.reading)
        missing = np.isnan(values)
        if missing.any():
            values = np.where(missing, self.fill, values)
            if self.gaps:
                out[:, 1] = missing
        if self.limits is not None:
            values = np.clip(values, *self.limits)
        out[:, 0] = _within_float32(table, self.name, values, self.spread)
        if self.pieces is not None:
            out[:, 1 + self.gaps :] = self.pieces.columns(values)

    def beyond(self, table: Table) -> tuple[int, int]:
        """Return how many rows hold a value beyond the limits, and how many none."""
        if self.fill is None:
            return 0, 0
        values = number_cells(table, self.name, self.reading)
        low, high = self.limits or (-math.inf, math.inf)
        return int(np.count_nonzero((values < low) | (values > high))), int(np.count_nonzero(np.isnan(values)))


def _within_float32(table: Table, name: str, values: NDArray[np.float64], spread: Spread) -> NDArray[np.float64]:
    scaled = apply_spread(values, spread)
    if scaled.size and not max(scaled.max(), -scaled.min()) <= FLOAT32_MAX:
        worst = int(np.argmax(np.abs(scaled)))
        limit = FLOAT32_MAX * spread.scale  # inf is the honest answer where float64 ends first
        raise DataError(
            f"column {name!r} has values too large to be scaled: {table.row(worst)} holds {values[worst]:.6g}, but at most"
            f" {min(limit, np.finfo(np.float64).max):.6g} away from {spread.center:.6g} is allowed; correct the value, or use the"
            " scaling 'quantile' or 'standard' fitted on this table"
        )
    return scaled


def fit_numeric(
    table: Table, name: str, scaling: Scaling, reading: Reading = PLAIN, *, bins: int = 0, target: NDArray[Any] | None = None
) -> NumericColumn:
    """Fit a numeric column; see NumericColumn and fit_spread.

    bins: of its piecewise-linear columns, at most; 0 for none. target: what a tree finds their edges by, see `fit_pieces`.
    """
    values = number_cells(table, name, reading)
    missing = np.isnan(values)
    gaps = bool(missing.any())
    present = values[~missing] if gaps else values
    if not present.size:
        return NumericColumn(name=name, spread=Spread(), fill=None, gaps=False, reading=reading)
    spread = fit_spread(present, scaling)
    ends = np.array([present.min(), present.max()])
    with np.errstate(divide="ignore"):
        reach = np.abs(apply_spread(ends, spread)).max()
    if not reach <= FLOAT32_MAX:  # all others lie between
        _within_float32(table, name, np.where(missing, present[0], values), spread)
    fill = _median(present, float(ends[0]))
    limits = None if spread.knots or scaling == "none" else limits_of(ends)
    filled = np.where(missing, fill, values) if gaps else values
    pieces = fit_pieces(filled, bins, target) if bins else None
    return NumericColumn(name=name, spread=spread, fill=fill, gaps=gaps, limits=limits, reading=reading, pieces=pieces)


def _median(values: NDArray[np.float64], least: float) -> float:
    """Return the median of values (N,). least: of them, which the median often is: of counts, or of the pixels of a picture."""
    one_zero = least != 0.0 or not np.signbit(values).any()  # -0.0 is equal to 0.0
    if one_zero and 2 * np.count_nonzero(values == least) > values.size:
        return least
    middle = [(values.size - 1) // 2, values.size // 2]
    low, high = (float(value) for value in np.partition(values, middle)[middle])
    return low / 2 + high / 2 if low < high else low


def scaling_of(columns: Sequence[ColumnEncoder]) -> Scaling:
    """Return how the numeric columns of an encoder are scaled. "robust" of a file by an earlier version is called "standard".

    >>> from manynets.tables import fit_encoder
    >>> scaling_of(fit_encoder(np.array([[1.0], [2.0], [4.0]]), scaling="smooth").columns)
    'smooth'
    """
    spreads = [column.spread for column in columns if isinstance(column, NumericColumn) and column.fill is not None]
    if any(spread.knots for spread in spreads):
        return "quantile"
    if any(spread.smooth for spread in spreads):
        return "smooth"
    if any(spread.robust for spread in spreads):
        return "robust"
    return "none" if spreads and all((spread.center, spread.scale) == (0.0, 1.0) for spread in spreads) else "standard"


def has_means(columns: Sequence[ColumnEncoder]) -> bool:
    """Return whether large categories of an encoder have the means of the target."""
    return any(isinstance(column, CategoricalColumn) and column.means for column in columns)


def limits_of(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the range of the values, wider by MARGIN of it on either side."""
    low, high, most = float(values.min()), float(values.max()), float(np.finfo(np.float64).max)
    more = MARGIN * high - MARGIN * low
    return max(low - more, -most), min(high + more, most)


@dataclass(frozen=True, kw_only=True)
class CategoricalColumn:
    """Categories, one-hot: a column for each level, one that the rare levels share, one for missing.

    The column of rare levels exists where there were such at fit, that for missing where there were gaps. A value not seen at
    fit goes to the rare ones, and without these is all zeros; so does a missing value where none was at fit. After them come the columns
    of `means`, the target's mean over the rows of a level.

    Attributes:
        name: of the column.
        gaps: whether values were missing at fit.
        levels: with a column of their own, sorted.
        rare: levels that share one column, sorted.
        part: of the values, by which the levels differ; "" for the whole.
        means: of each output of the target, by level: first `levels`, then `rare`; () for none.
    """

    name: str
    gaps: bool
    levels: tuple[str, ...]
    rare: tuple[str, ...]
    part: CodePart = ""
    means: tuple[LevelMeans, ...] = ()
    kind: Literal["categorical"] = field(default="categorical", init=False)
    form: None = field(default=None, init=False)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the output columns."""
        name = f"{self.name}, {self.part}" if self.part else self.name
        shared = (f"{name}=(rare)",) if self.rare else ()
        plain = (*(f"{name}={level}" for level in self.levels), *shared, *((f"{name}=(missing)",) if self.gaps else ()))
        more: list[str] = []
        for number, one in enumerate(self.means):
            mean = f"{name}, mean of the target" + (f" {number}" if len(self.means) > 1 else "")
            more += [mean] if one.pieces is None else [mean, *one.pieces.features(mean)]
        return (*plain, *more)

    @property
    def known(self) -> tuple[str, ...]:
        """All levels: those with a column of their own, then the rare ones."""
        return (*self.levels, *self.rare)

    @property
    def of_numbers(self) -> bool:
        """Whether all levels are numbers that come back from a file as they are."""
        return not self.part and all(re.fullmatch(NUMBER, level) and plain_label(float(level)) == level for level in self.known)

    def _read(self, table: Table) -> tuple[NDArray[np.int64], dict[str, int]]:
        """Return what `codes` and `unseen` do."""
        labels, codes = part_codes(table, self.name, self.part)
        labels = labels if self.part else in_known_spelling(labels, self.known)
        count = len(self.known)
        number = {level: index for index, level in enumerate(self.known)}
        gone = [label for label in labels if label not in number and is_missing(label)]
        if gone and self.of_numbers:  # as in a file, which is read as numbers
            number |= dict.fromkeys(gone, count)
        levels = [number.get(label, count + 1) for label in labels]
        unseen = [label for label in labels if label not in number]
        counts = counts_of(labels, codes) if unseen else {}
        return np.array([*levels, count], dtype=np.int64)[codes], {label: counts[label] for label in unseen}

    def codes(self, table: Table) -> NDArray[np.int64]:
        """Return the number of each row's level among `levels` and `rare`, (N,); after them come missing and unseen values."""
        return self._read(table)[0]

    def unseen(self, table: Table) -> dict[str, int]:
        """Return the values not seen at fit with their counts."""
        return self._read(table)[1]

    def fill_in(
        self,
        table: Table,
        out: Out,
        *,
        strict: bool = False,
        found: Counter[str] | None = None,
        means_of: Callable[[NDArray[np.int64]], Sequence[NDArray[np.float64]]] | None = None,
    ) -> None:
        """Write the column into out (N, width), which holds zeros, and count the values not seen at fit in `found`.

        means_of: from the number of each row's level (N,) to a mean (N,) for each output; None: those of all rows at fit.
        """
        codes, unseen = self._read(table)
        if found is not None:
            found.update(unseen)
        if strict and unseen:
            first = int(np.argmax(codes > len(self.known)))
            raise DataError(
                f"column {self.name!r} holds categories not seen in training: {_shown(list(unseen))}; the first is in {table.row(first)}."
                f" Known are {_shown(self.known)}; with strict=False they are encoded as unseen"
            )
        shared = len(self.levels) if self.rare else -1
        absent = len(self.levels) + bool(self.rare) if self.gaps else shared
        place = np.array([*range(len(self.levels)), *[shared] * len(self.rare), absent, shared], dtype=np.int64)[codes]
        rows = np.flatnonzero(place >= 0)
        out[rows, place[rows]] = 1.0
        if self.means:
            self.write_means(out, (means_of or self.means_of)(codes))

    def means_of(self, levels: NDArray[np.int64]) -> list[NDArray[np.float64]]:
        """Return the mean over all rows at fit (N,) for each output. levels: see `codes`."""
        return [np.array([*one.values, one.missing, one.prior])[levels] for one in self.means]

    def write_means(self, out: Out, means: Sequence[NDArray[np.float64]]) -> None:
        """Write means (N,) of each output into the last columns of out (N, width)."""
        at = out.shape[1]
        for one, values in zip(reversed(self.means), reversed(means), strict=True):
            at -= one.width
            one.fill_in(values, out[:, at : at + one.width])


def _shown(labels: Sequence[str]) -> str:
    return listed([repr(shortened(label)) for label in labels])


def fit_categorical(
    table: Table,
    name: str,
    *,
    max_levels: int,
    min_count: int | None = None,
    part: CodePart = "",
    target: NDArray[np.float64] | None = None,
    scaling: Scaling = "standard",
    bins: int = 0,
) -> CategoricalColumn:
    """Fit a categorical column: the `max_levels` most frequent levels with at least `min_count` rows get their own output.

    min_count: None for `fewest_of_level` of the rows of the table.
    target: (N, O), of which a large column (`is_large`) gets the means, if its levels are no parts of codes; None for none. scaling, bins: of
        the means.
    """
    labels, codes = part_codes(table, name, part)
    least = min_count or fewest_of_level(table.rows)
    own, rare = levels_of(counts_of(labels, codes), max_levels=max_levels, min_count=least)
    column = CategoricalColumn(name=name, levels=own, rare=rare, gaps=bool((codes < 0).any()), part=part)
    if target is None or part or not is_large(len(labels), max_levels):
        return column
    numbers = column.codes(table)
    return replace(column, means=tuple(fit_means(numbers, len(labels), output, scaling, bins) for output in target.T))


def fewest_of_level(rows: int) -> int:
    """Return how many of so many rows a level must have, at least, for an output of its own.

    >>> [fewest_of_level(rows) for rows in (100, 1_000, 50_000)]
    [1, 2, 5]
    """
    return 1 if rows < 200 else max(2, rows // 10_000)


def levels_of(counts: Mapping[str, int], *, max_levels: int, min_count: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the levels that get an output of their own, and those that share one, from how often each occurs.

    >>> levels_of({"a": 5, "b": 1, "c": 3}, max_levels=2, min_count=2)
    (('a', 'c'), ('b',))
    """
    ranked = sorted(counts, key=lambda label: (-counts[label], label))
    own = [label for label in ranked[:max_levels] if counts[label] >= min_count]
    return tuple(sorted(own)), tuple(sorted(set(counts) - set(own)))


class DatePart(NamedTuple):
    """A part of dates that varied at fit, with its median and spread."""

    part: PartName
    fill: float
    spread: Spread


@dataclass(frozen=True, kw_only=True)
class DateColumn:
    """A date as numbers: the parts that varied at fit, scaled; of month, weekday and hour also sine and cosine.

    A missing date gets each part's median, and 1 in a column of its own if there were gaps at fit.

    Attributes:
        name: of the column.
        gaps: whether dates were missing at fit.
        order, zone: in which text and numbers are read, see `DateForm`.
        parts: with columns of their own.
    """

    name: str
    gaps: bool
    order: DateOrder
    zone: str = ""
    parts: tuple[DatePart, ...] = ()
    kind: Literal["date"] = field(default="date", init=False)

    @property
    def form(self) -> DateForm:
        """How its cells are read."""
        return DateForm(order=self.order, zone=self.zone)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the output columns."""
        names = []
        for part, _, _ in self.parts:
            names.append(f"{self.name}.{part}")
            if part in CYCLES:
                names += [f"{self.name}.{part}.sin", f"{self.name}.{part}.cos"]
        return (*names, f"{self.name}=missing") if self.gaps else tuple(names)

    def fill_in(self, table: Table, out: Out) -> None:
        """Write the column into out (N, width), which holds zeros."""
        found = date_parts(date_cells(table, self.name, self.form))
        missing = np.isnan(found["year"])
        at = 0
        for part, fill, spread in self.parts:
            values = np.where(missing, fill, found[part])
            out[:, at] = _within_float32(table, self.name, values, spread)
            at += 1
            if part in CYCLES:
                angle = 2.0 * math.pi * values / CYCLES[part]
                out[:, at], out[:, at + 1] = np.sin(angle), np.cos(angle)
                at += 2
        if self.gaps:
            out[:, at] = missing


def fit_date(table: Table, name: str, form: DateForm) -> DateColumn:
    """Fit a column of dates, or of text or numbers that are dates in this form."""
    moments = date_cells(table, name, form)
    parts = date_parts(moments)
    present = ~np.isnat(moments)
    varied = tuple(
        DatePart(part, float(np.median(parts[part][present])), fit_spread(parts[part][present], "standard"))
        for part in PARTS
        if (part != "second" or form.order == "time") and np.unique(parts[part][present]).size > 1
    )
    return DateColumn(name=name, gaps=bool(0 < present.sum() < present.size), order=form.order, zone=form.zone, parts=varied)


ColumnEncoder = NumericColumn | CategoricalColumn | DateColumn | TextColumn
