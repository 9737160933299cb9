"""Compare an exported model with the model it was made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets.data.check import as_numpy, is_frame
from manynets.errors import OptionError
from manynets.model import Model
from manynets.tables import Table, TableEncoder
from manynets.tables.columns import CategoricalColumn, DateColumn, NumericColumn
from manynets.tables.hashed import TextColumn
from manynets.tasks import Binary, Multiclass, Regression, Task

Array: TypeAlias = NDArray[Any]


class Exported(NamedTuple):
    """What an export predicts for rows: predictions or labels, probabilities of classes, limits (N, 2) or (N, O, 2) of numbers, and
    their quantiles (N, J) or (N, O, J), where there are several."""

    predictions: Array
    probabilities: Array | None
    limits: Array | None
    quantiles: Array | None = None


Predict: TypeAlias = Callable[[Any], Exported]

MOST_ROWS = 1000
TOLERANCE = 1e-5
UNSEEN = "(a category that training has not seen)"
WORDS = (
    "a", "the", "Garden", "STRASSE", "straße", "Ünïcode", "日本語", "🏠", "e-mail", "it's", "under_score", "42", "3.14", "Dr.", "\n",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ExportCheck:
    """How far an exported model is from its original.

    rows: that were compared. largest: the largest difference of a probability, or of a prediction by the spread of the target.

    >>> import manynets as mn
    >>> import tempfile
    >>> from pathlib import Path
    >>> model = mn.train([[0.0], [1.0]] * 8, [0, 1] * 8, mn.MLP(hidden=(4,)), mn.Recipe(epochs=1), progress=False)
    >>> check = mn.export.to_python(model, Path(tempfile.mkdtemp()) / "model.py", X=[[0.5], [2.0]])
    >>> check.rows, check.largest < 1e-5
    (1002, True)
    """

    rows: int
    largest: float

    def __str__(self) -> str:
        return f"{self.rows:,} rows compared, largest difference {self.largest:.1e} (at most {TOLERANCE:g} is allowed)"


def rows_to_check(model: Model, X: Any = None) -> list[Any]:
    """Return rows as `Model.predict` takes them: up to 1,000 of X, and some made of what the model knows of its columns.

    The latter hold missing, unseen and out-of-range values.
    """
    parts = [] if X is None else [_first(model.read_given(X)[0])]
    random = np.random.default_rng(0)
    encoder = model.encoder
    if encoder is None:
        return [*parts, random.standard_normal((MOST_ROWS, model.in_features)).astype(np.float32)]
    if not encoder.positional:
        return [*parts, _made_rows(encoder, random)]
    made = np.zeros((MOST_ROWS, encoder.array_width))
    for column in encoder.columns:
        if isinstance(column, NumericColumn):
            made[:, int(column.name[1:])] = _made_numbers(column, random)
    return [*parts, made]


def _first(X: Any) -> Any:
    if isinstance(X, Table):
        return X.piece(0, MOST_ROWS)
    return (X if is_frame(X) else as_numpy(X))[:MOST_ROWS]


def _made_rows(encoder: TableEncoder, random: np.random.Generator) -> Any:
    import polars

    cells: dict[str, Any] = {}
    for column in encoder.columns:
        if isinstance(column, NumericColumn):
            cells[column.name] = polars.Series(_made_numbers(column, random), dtype=polars.Float64)
        elif isinstance(column, DateColumn):
            cells[column.name] = _made_dates(column, random)
        elif isinstance(column, TextColumn):
            cells[column.name] = polars.Series(_made_texts(random), dtype=polars.String)
        else:
            assert isinstance(column, CategoricalColumn)
            choice = [*column.levels, *column.rare, UNSEEN, "", None]
            cells[column.name] = polars.Series(
                [choice[i] for i in random.integers(len(choice), size=MOST_ROWS)], dtype=polars.String
            )
    return polars.DataFrame(cells)


def _made_numbers(column: NumericColumn, random: np.random.Generator) -> Array:
    spread = column.spread
    usual = spread.knots or (spread.center - 3 * spread.scale, spread.center + 3 * spread.scale)
    low, high = column.limits or (usual[0], usual[-1])
    values = low + (high - low) * random.random(MOST_ROWS)
    far = random.integers(20, size=MOST_ROWS)
    values[far == 0] = np.nan
    if column.limits is not None:  # else a far number may leave float32
        values[far == 1], values[far == 2] = high + 10 * (high - low), low - 10 * (high - low)
    return values if np.isfinite(values[far > 2]).all() else np.where(np.isnan(values), np.nan, spread.center)


def _made_texts(random: np.random.Generator) -> list[str | None]:
    counts = random.integers(-1, 12, size=MOST_ROWS)  # of words; -1 for none at all, which is missing
    return [None if count < 0 else " ".join(random.choice(WORDS, size=count)) for count in counts.tolist()]


def _made_dates(column: DateColumn, random: np.random.Generator) -> Any:
    import polars

    seconds = random.integers(-(2**31), 2**32, size=MOST_ROWS)  # 1901 to 2106
    gone = random.integers(20, size=MOST_ROWS) == 0
    if column.form.order == "time":
        texts = [f"{s // 3600 % 24:02}:{s // 60 % 60:02}:{s % 60:02}" for s in seconds]
        return polars.Series([None if none else text for none, text in zip(gone, texts, strict=True)], dtype=polars.String)
    moments = seconds.astype("datetime64[s]")
    moments[gone] = np.datetime64("NaT")
    return polars.Series(moments.astype("datetime64[us]"))


def compare(model: Model, predict: Predict, parts: list[Any], what: str, *, coverage: float | None) -> ExportCheck:
    """Return how far `predict` is from the model on rows. Errors: OptionError where that is more than 1e-5.

    coverage: of the limits; None where there are none.
    """
    largest, rows = 0.0, 0
    for part in parts:
        found, shares, limits, quantiles = predict(part)
        logits = model.logits(part)
        wanted = model.predicted(logits)
        if isinstance(model.task, Regression):
            pairs = [(found, wanted)]
            if quantiles is not None:
                expected = model.quantiles(logits)
                pairs += [(quantiles[..., j], expected[..., j]) for j in range(expected.shape[-1])]
            if coverage is not None:
                assert limits is not None
                expected = model.interval(logits, coverage)
                pairs += [(limits[..., end], expected[..., end]) for end in (0, 1)]
            difference = float(np.max([_by_spread(model, model.task, *pair) for pair in pairs]))  # nan, if one of them is
        else:
            expected = model.probabilities(logits)
            assert shares is not None
            difference = float(np.abs(shares - expected).max(initial=0.0))
            if not _same_labels(model.task, found, wanted, expected):
                raise OptionError(f"{what} predicts other classes than the model; no file was written. Please report this")
        rows += len(wanted)
        largest = max(largest, difference) if np.isfinite(difference) else np.inf
    if largest > TOLERANCE:
        raise OptionError(
            f"{what} differs from the model by {largest:.2g}, but at most {TOLERANCE:g} is allowed; no file was written. Please report this"
        )
    return ExportCheck(rows, largest)


def _by_spread(model: Model, task: Regression, found: Array, wanted: Array) -> float:
    """Return the largest difference by the spread of the target, on the logarithm's scale where the target was fitted on that.

    For a value farther than that from the target's centre, its distance takes the place of the spread: float32 has only so many digits.
    """
    if task.transform == "log":
        found, wanted = np.log(found), np.log(wanted)
    found, wanted = found.reshape(len(found), -1), wanted.reshape(len(wanted), -1)
    spread = np.array(task.scale)
    if model.recipe.loss == "poisson" or set(task.scale) == {1.0}:  # which need not be standardised
        spread = np.maximum(wanted.std(axis=0), 1e-9 * np.abs(wanted).max(initial=1.0))
    size = np.maximum(spread, np.abs(wanted - np.array(task.center)))
    return float((np.abs(found - wanted) / size).max(initial=0.0))


def _same_labels(task: Task, found: Array, wanted: Array, shares: Array) -> bool:
    """Return whether labels are the same, but for rows whose probabilities leave it to rounding."""
    other = found != wanted
    if other.ndim == 2:  # several labels: each is decided at one half
        return bool((np.abs(shares[other] - 0.5) <= TOLERANCE).all())
    if isinstance(task, Binary):
        return bool((np.abs(shares[other, 1] - task.threshold) <= TOLERANCE).all())
    scores, allowed = shares[other], 2 * TOLERANCE
    if isinstance(task, Multiclass) and task.costs is not None:
        scores, allowed = -task.expected_costs(scores), 2 * TOLERANCE * float(np.abs(task.costs).sum(axis=0).max())
    best = np.sort(scores, axis=1)
    return bool((best[:, -1] - best[:, -2] <= allowed).all())
