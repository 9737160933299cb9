"""From files to a stream: one pass over all rows, then encoder, task and validation rows, and the rows to train on as `StreamedRows`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from manynets.data.stream.limit import Budget, memory_bytes
from manynets.data.stream.parts import TEST, TRAIN, HashSplit
from manynets.data.stream.rows import StreamedRows
from manynets.data.stream.table import Description, RowsTable, blocks_of_part, describe
from manynets.data.stream.windows import Encoded, Layout, WindowReader
from manynets.display import bytes_text
from manynets.distributed import current_ranks
from manynets.errors import DataError, OptionError, warn_user
from manynets.model import Model
from manynets.prepare import TrainingData, on_device
from manynets.spec import MLP, PiecewiseLinear, Recipe
from manynets.steps import batch_rows
from manynets.streaming.columns import Columns, bytes_in_memory
from manynets.streaming.means import FoldMeans, fit_fold_means, of_other_folds
from manynets.tables import TableEncoder, fit_encoder, split_target, understand
from manynets.tables.encoder import MeansOf
from manynets.tables.encoder_fitting import warn_of_targets
from manynets.tables.facts import corrected, rank_error
from manynets.tables.kinds import Column
from manynets.tables.piecewise import bins_of
from manynets.tables.rowgroups import BlockFiles
from manynets.tables.schema import FEWEST_FOR_AN_ID, may_number_rows
from manynets.tasks import Regression, Task, find_task, with_quantiles
from manynets.tasks.losses import loss_for
from manynets.tasks.objectives import OwnLoss, check_own_loss, objective_for
from manynets.training.torch_settings import find_device
from manynets.training.trial import Problem

VALIDATION = 0.1


class Labelled(NamedTuple):
    """Encoded rows in memory: x (N, D), y (N,) as the table has it, weight (N,) or None."""

    x: NDArray[Any]
    y: NDArray[Any]
    weight: NDArray[np.float64] | None


@dataclasses.dataclass(frozen=True, eq=False)
class Stream:
    """A table that is read as it is trained on. data: for the networks; its rows are `StreamedRows`.

    description: of the one pass, without the rows that it had. schema: what each column is. sample: encoded training rows drawn at
    random, with target and weights. validation: the rows to validate on, likewise; None for none.
    """

    table: RowsTable
    description: Description
    schema: Sequence[Column]
    data: TrainingData
    sample: Labelled
    validation: Labelled | None

    @property
    def rows(self) -> StreamedRows:
        """The rows to train on."""
        rows = self.data.problem.rows
        assert isinstance(rows, StreamedRows)
        return rows

    @property
    def encoder(self) -> TableEncoder:
        """What turns the columns into those of the network."""
        assert self.data.encoder is not None
        return self.data.encoder

    def remark(self) -> str:
        """Return in words how the rows are read."""
        layout, sampled = self.rows.layout, len(self.sample.x)
        blocks = sum(count > 0 for count in layout.counts.tolist())
        windows = f"{layout.windows} windows of at most {layout.capacity:,} rows" if layout.windows > 1 else "one window"
        each = f"{windows} an epoch" if layout.world_size == 1 else f"{windows} an epoch in each of {layout.world_size} processes"
        held = 0 if self.validation is None else len(self.validation.x)
        text = f"the rows are streamed: {layout.total:,} to train on, from {blocks:,} row groups, in {each}"
        text += f"; {held:,} to validate on" if held else ""
        if self.description.complete:
            return text
        return (
            f"{text}; medians and quantiles are those of {sampled:,} rows drawn at random (99 times in 100 their ranks are off by at most"
            f" {100 * rank_error(sampled):.1f}%), all else is exact"
        )

    def warn_of_columns(self) -> None:
        """Warn of columns that are left out, and of those that give the target away."""
        dropped = "; ".join(f"{column.name} ({column.note})" for column in self.schema if column.kind == "dropped")
        if dropped:
            warn_user(f"left out: {dropped}", UserWarning)
        warn_of_targets(self.schema)

    def evaluate(self, model: Model, part: int = TEST) -> dict[str, Any] | None:
        """Return the rows, loss and metrics of a model on a part of the table, which is read once more; None for no rows.

        The scores and targets of all rows are in memory together, their columns are not.
        """
        frames, encoder = blocks_of_part(self.table, self.description.counts, part), self.encoder
        found = self.table.scored(frames, encoder, lambda frame: model.mean_logits(model.logits(encoder.transform(frame))))
        if found is None:
            return None
        return {"rows": len(found.y), **model.figures(found.scores, found.y, sample_weight=found.weight)}

    def close(self) -> None:
        """Stop the reading thread."""
        self.rows.reader.close()


def open_stream(
    files: BlockFiles,
    columns: Columns,
    recipe: Recipe,
    *,
    memory_limit: int | str,
    spec: MLP | None = None,
    task: str | Task | None = None,
    target_transform: Literal["log", "auto"] | None = None,
    validation: float | None = None,
    most_validation: int | None = None,
    test: float = 0.0,
    rank: int | None = None,
    world_size: int | None = None,
    loss: OwnLoss | None = None,
) -> Stream:
    """Read a table once, or twice where categories get means, fit its encoder, and return the stream to train on.

    validation, test: shares of the rows; None: a tenth to validate on, or as many as the limit and `most_validation` allow. rank, world_size: of several
    processes that train together, each of which reads rows of its own; None: those of this process. loss: a function.

    Errors: DataError for files that cannot be read or used, OptionError for a limit in which not even a batch fits.
    """
    budget, ranks = Budget(memory_bytes(memory_limit)), current_ranks()
    rank, world_size = ranks.rank if rank is None else rank, ranks.size if world_size is None else world_size
    raw = 8 * len(files.names)
    embedding = spec.embedding if spec is not None and isinstance(spec.embedding, PiecewiseLinear) else None
    encoded = bytes_in_memory(files, columns, embedding=embedding) // max(files.rows, 1)
    most = budget.validation_rows(raw + encoded)
    share = _validation_share(validation, most if most_validation is None else min(most, most_validation), files.rows)
    split = HashSplit(seed=recipe.seed, validation=share, test=test, group=columns.group)
    more: dict[str, Any] = {"weight": columns.weight, "drop_missing_target": columns.drop_missing_target}
    table = RowsTable.of(files, split, target=columns.target, drop=columns.drop, **more)
    found = describe(table, sample_rows=budget.sample_rows(raw), categorical=columns.categorical)
    y = table.target_of(found.sample)
    task = with_quantiles(_task(found, y, task, table.target, recipe, target_transform), recipe.quantiles)
    objective_for(task, recipe, loss)
    schema, encoder = _encoder(table, found, columns, task.encode(y), y, embedding)
    means: FoldMeans = {}
    if columns.category_means:
        bins = bins_of(embedding, found.sample.height)
        encoder, means = fit_fold_means(table, found, encoder, task, bins=bins, **columns.encoding)
    rows = _rows(table, found, encoder, means, task, recipe, budget, spec=spec, rank=rank, world_size=world_size)
    sampled = _labelled(table, found.sample, encoder, means_of=of_other_folds(means, found.words))
    held = _labelled(table, found.validation, encoder) if found.validation.height else None
    validation_set = None if held is None else on_device(held.x, task.encode(held.y), held.weight, recipe, weight_name="weight")
    problem = Problem(task, rows, validation_set, loss=loss)
    if loss is not None:
        rows_of_sample = on_device(sampled.x, task.encode(sampled.y), sampled.weight, recipe, weight_name="weight")
        check_own_loss(loss, task, rows_of_sample.target, rows.x.dtype)  # no window is in memory yet
    bare = dataclasses.replace(found, sample=found.sample.clear(), words=found.words[:0], validation=found.validation.clear())
    return Stream(table, bare, schema, TrainingData(problem, encoder.width, None, None, encoder), sampled, held)


def _validation_share(wanted: float | None, most: int, rows: int) -> float:
    """Return the share of the rows to validate on, of which at most `most` fit."""
    if wanted is None:
        return min(VALIDATION, most / rows)
    if wanted * rows > most:
        raise OptionError(
            f"validation is {wanted:g}, which is {wanted * rows:,.0f} rows, but the memory limit has space for {most:,}; give at most"
            f" {most / rows:.2g}, or a higher limit"
        )
    return wanted


def _task(found: Description, y: NDArray[Any], task: Any, target: str, recipe: Recipe, transform: Any) -> Task:
    """Return the task, from all different values of the target and its exact mean and standard deviation."""
    if isinstance(task, Task):
        return task
    if y.dtype.kind == "U" and task in (None, "regression"):
        _refuse_written_numbers(found, target)
    if found.values is None and y.dtype.kind not in "iuf":
        raise DataError(f"target {target!r} has more than 10,000 different labels; that is the most classes that a stream may have")
    values = y if found.values is None else found.values
    if found.values is not None and task is None and transform is None and find_task(values).name != "regression":
        return find_task(values)
    if task not in (None, "regression"):
        return find_task(values, name=task)
    made = find_task(y, name="regression", target_transform=transform)
    facts = found.facts[target]
    assert isinstance(made, Regression)
    if made.transform is not None:
        return made
    if recipe.loss == "poisson":
        return dataclasses.replace(made, center=(0.0,), scale=(1.0,))
    flat = facts.deviation <= 1e-12 * max(abs(facts.mean), 1e-300)
    return dataclasses.replace(made, center=(facts.mean,), scale=(1.0 if flat else facts.deviation,))


def _refuse_written_numbers(found: Description, target: str) -> None:
    """Raise DataError for a target of text that is read as numbers in memory, where all rows show how they are written."""
    import polars

    rows = found.sample.select(polars.col(target), polars.lit(0).alias(f"{target} and more"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        numbers = split_target(rows, target)[1]
    if numbers.dtype.kind in "iuf" and find_task(numbers).name == "regression":
        raise DataError(
            f"target {target!r} is text that holds numbers, such as {found.sample[target][0]!r}; a stream takes text for classes: write it"
            " as numbers, or give the task, such as multiclass"
        )


def _encoder(
    table: RowsTable, found: Description, columns: Columns, target: NDArray[Any], y: NDArray[Any], embedding: PiecewiseLinear | None
) -> tuple[tuple[Column, ...], TableEncoder]:
    """Return the kinds of the columns and the encoder, from the sample and from what is known exactly."""
    sample = found.sample[list(table.features)]
    schema = understand(sample, categorical=list(columns.categorical), numeric=list(columns.numeric), y=y)
    declared = {*columns.categorical, *columns.numeric}
    schema = tuple(column if column.name in declared else _in_all_rows(column, found) for column in schema)
    options = columns.encoding
    encoder = fit_encoder(sample, schema=schema, embedding=embedding, target=target, **options)
    return schema, encoder if found.complete else corrected(encoder, found.facts, **options)


def _in_all_rows(column: Column, found: Description) -> Column:
    """Return the column as left out where a sample does not show what all rows do: that it numbers them, or has values at all."""
    if column.name not in found.facts:  # one of a column of lists
        return column
    facts, kind = found.facts[column.name], found.sample[column.name].dtype
    if not column.distinct and facts.present and not kind.is_numeric():
        why = f"all values are missing in a sample of {found.sample.height:,} rows, and all but {facts.present:,} in the table"
        return dataclasses.replace(column, kind="dropped", note=why)
    if column.kind != "numeric" or not kind.is_integer() or column.distinct < found.sample.height or facts.rows < FEWEST_FOR_AN_ID:
        return column
    if not may_number_rows(column.name, facts.low, facts.high, max(facts.rows, int(found.counts.sum()))):
        return column
    why = "a row number: whole numbers, all different in the sample, that fill their range; declare it numeric to keep it"
    return dataclasses.replace(column, kind="dropped", note=why)


def _rows(
    table: RowsTable,
    found: Description,
    encoder: TableEncoder,
    means: FoldMeans,
    task: Task,
    recipe: Recipe,
    budget: Budget,
    *,
    spec: MLP | None,
    rank: int,
    world_size: int,
) -> StreamedRows:
    """Return the rows to train on, as a stream whose windows fit the budget."""
    counts, norm = found.counts[:, TRAIN], spec is not None and spec.batch_norm
    sample = task.encode(table.target_of(found.sample))
    codes = sample.dtype.kind == "i"
    each = (encoder.width + 1 + (0 if codes else sample.shape[1])) * np.dtype(recipe.dtype).itemsize + 16
    group = max(max(block.size, 8 * block.rows * len(table.columns)) for block in table.files.blocks)
    group += 4 * int(counts.max()) * encoder.width
    batch = batch_rows(recipe, int(counts.sum()), batch_norm=norm)
    size, window = -(-batch // world_size), budget.window_rows(each, group)
    if window < size:
        raise OptionError(
            f"the memory limit of {bytes_text(budget.limit)} is too low: reading the largest row group takes {bytes_text(group)} and a batch"
            f" {bytes_text(each * size)}; give at least {budget.least(each, group, size)}MB, or write the file with smaller row groups"
        )
    seed = recipe.seed if recipe.shuffle else None
    layout = Layout(counts, window=window, batch_size=batch, seed=seed, merge_single=norm, rank=rank, world_size=world_size)

    space = np.empty((int(counts.max()), encoder.width), dtype=np.float32)

    def read(block: int) -> Encoded:
        frame, words = table.training_rows(table.files.blocks[block])
        rows = _labelled(table, frame, encoder, out=space[: frame.height], means_of=of_other_folds(means, words))
        return Encoded(rows.x, task.encode(rows.y), rows.weight)

    kind = getattr(torch, recipe.dtype)
    options: dict[str, Any] = {"device": find_device(recipe.device)}
    wide = () if codes else (sample.shape[1],)
    return StreamedRows(
        torch.zeros(layout.capacity, encoder.width, dtype=kind, **options),
        torch.zeros(layout.capacity, *wide, dtype=torch.long if codes else kind, **options),
        None if table.weight is None else torch.zeros(layout.capacity, dtype=kind, **options),
        layout,
        WindowReader(layout, read),
        _identity(table, encoder, layout),
        np.ones(1) if codes else _spread(task, found, table.target, sample, recipe),
    )


def _spread(task: Task, found: Description, target: str, sample: NDArray[Any], recipe: Recipe) -> NDArray[np.float64]:
    """Return the variance (O,) of the encoded target, exactly where it is a number of the table; else that of the sample."""
    if isinstance(task, Regression) and task.transform is None and not found.complete:
        return np.array([(found.facts[target].deviation / task.scale[0]) ** 2])
    return loss_for(task, recipe).spread(sample, None)


def _identity(table: RowsTable, encoder: TableEncoder, layout: Layout) -> dict[str, Any]:
    """Return as JSON what determines the rows that the networks see."""
    split = table.split
    return {
        "files": table.files.fingerprint,
        "columns": table.columns,
        "encoder": hashlib.sha256(json.dumps(encoder.to_json(), sort_keys=True).encode()).hexdigest()[:16],
        "split": [split.seed, split.validation, split.test, split.group],
        "window": layout.window_steps,
        "seed": layout.seed,
        "share": [0, layout.total],
    } | ({"ranks": layout.world_size} if layout.world_size > 1 else {})


def _labelled(
    table: RowsTable, frame: Any, encoder: TableEncoder, *, out: NDArray[np.float32] | None = None, means_of: MeansOf | None = None
) -> Labelled:
    """Return rows of a table, encoded, in out (N, D) if that is given."""
    with table.naming_rows(encoder):
        x = encoder.transform(frame[list(table.features)], out=out, means_of=means_of)
    return Labelled(x, table.target_of(frame), table.weights_of(frame))
