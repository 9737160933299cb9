"""The data of an origin: a data set by name, a table, or a .npz file, split as it says; `load_source` reads them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from manynets import datasets
from manynets.cli import defaults
from manynets.cli.fingerprint import fingerprint_of, fingerprint_of_arrays, unchanged
from manynets.cli.origin import NAMED_ONLY, STANDARD_INPUT, kind_of, name_of, open_data, stem_of, with_notes, without_other_sheet
from manynets.cli.table_columns import columns_named, leak_notes, possible_names, refuse_target, split_by
from manynets.data.check import rows_with_weight
from manynets.data.duplicates import encoded_hashes
from manynets.data.split import SplitBy
from manynets.display import counted, listed
from manynets.errors import DataError, ModelFileError, missing_file, one_of
from manynets.tables import Table, match_labels, split_target, understand
from manynets.tables.files import standard_input
from manynets.tables.kinds import Forms, forms_of
from manynets.tables.target import refuse_text_targets, unit_of_target

_NEEDED = {
    "named": ("name", "seed", "task"), "arrays": ("path", "seed", "task", "test_fraction"),
    "table": ("path", "seed", "target", "task", "test_fraction"),
}  # fmt: skip
"""The fields of an origin without which its data cannot be read."""
GROUPS = "names the groups, and new rows have new ones"
"""The note of the column of --group."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Rows: X an array or a table (`manynets.tables.Table`), y, weights (N,) or None, and how they are split (None: at random).

    hashes: of the encoded rows (N,), where identical rows may be encoded differently (`duplicates.encoded_hashes`); else None.
    """

    X: Any
    y: Any
    weight: Any = None
    by: SplitBy | None = None
    hashes: NDArray[np.uint64] | None = None

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.y)

    @property
    def identity(self) -> Any:
        """What identical rows share: the rows of X themselves, or their hashes."""
        return self.X if self.hashes is None else self.hashes

    @property
    def split_columns(self) -> dict[str, Any]:
        """The columns that the rows are split by, as arguments of `manynets.train`."""
        return {} if self.by is None else {"groups": self.by.groups, "times": self.by.times, "stratify": self.by.strata}

    @property
    def as_set(self) -> tuple[Any, ...]:
        """X, y and the weights, if there are any: a validation set as `manynets.train` takes it."""
        return (self.X, self.y) if self.weight is None else (self.X, self.y, self.weight)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DataSource:
    """Data to train and to test on.

    fingerprint: hash and size of the files or arrays. schema: the kinds of a table's columns. unit: that a table's target is written in.
    targets: the names of a table's targets.
    scaling: of `manynets.train`: False for the arrays of a data set by name, which are prepared already.
    notes: for the user.
    encoder, share, networks: of data that are encoded, to be trained on: of a table's columns; the share of the training rows that is validated
    on, "folds" where each network validates on another fold, None for the data's own validation rows; and how many networks.
    """

    name: str
    train: Part
    test: Part | None = None
    validation: Part | None = None
    class_names: tuple[str, ...] | None = None
    image_shape: tuple[int, int] | None = None
    task: Any = None
    schema: Sequence[Any] | None = None
    unit: str | None = None
    targets: tuple[str, ...] = ()
    fingerprint: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    scaling: Literal[False] | None = None
    notes: tuple[str, ...] = ()
    encoder: Any = None
    share: float | str | None = None
    networks: int = 1


def load_source(origin: Mapping[str, Any]) -> DataSource:
    """Read the data of an origin and split it as it says. Errors: ModelFileError for one of a run that lacks a field."""
    needed = _NEEDED[one_of(origin["kind"], _NEEDED, what="kind of data")]
    missing = next((name for name in needed if name not in origin and not (name == "test_fraction" and "test" in origin)), None)
    if missing is not None:
        raise ModelFileError(f"config.json is damaged: the field data.{missing} is missing; train again")
    with unchanged(origin.get("path"), origin.get("test")):
        return {"named": _named, "arrays": _arrays, "table": _table}[origin["kind"]](origin)


# ---------------------------------------------------------------------------------------------------------------- by name


def _named(origin: Mapping[str, Any]) -> DataSource:
    known = {name: origin[name] for name in NAMED_ONLY if name in origin}
    data = datasets.load(origin["name"], seed=origin["seed"], **known)
    arrays = (data.X, data.y, data.X_test, data.y_test, data.X_validation, data.y_validation)
    contiguous = [None if array is None else np.ascontiguousarray(array) for array in arrays]
    return DataSource(
        name=data.name,
        train=Part(X=data.X, y=data.y),
        test=None if data.X_test is None else Part(X=data.X_test, y=data.y_test),
        validation=None if data.X_validation is None else Part(X=data.X_validation, y=data.y_validation),
        class_names=data.class_names,
        image_shape=data.image_shape,
        task=origin["task"] or data.task,
        scaling=False,
        fingerprint={data.name: fingerprint_of_arrays(contiguous, data.X.shape)},
    )


# ----------------------------------------------------------------------------------------------------------------- arrays


def read_arrays(path: str) -> dict[str, Any]:
    """Return the arrays of a .npz file by name, or the array of a .npy file as X; raise DataError for other files."""
    if not Path(path).exists():
        raise missing_file(path)
    with open(path, "rb") as file:
        start = file.read(6)
    if not start.startswith((b"PK", b"\x93NUMPY")):
        text = "rename it to .csv if it is a text table" if start.isascii() else "write it with numpy.savez"
        raise DataError(f"{path} is not a NumPy file, whatever its ending: it begins with {start!r}; {text}")
    try:
        with np.load(path, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except TypeError:  # np.load returned an array, which is not a context manager
        return {"X": np.load(path, allow_pickle=False)}
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    except Exception as error:  # a damaged zip or header: zipfile and NumPy raise all kinds of errors
        raise DataError(f"{path} is not a file of numeric NumPy arrays: {error}") from None


def _arrays(origin: Mapping[str, Any]) -> DataSource:
    path = origin["path"]
    arrays = read_arrays(path)
    if not {"X", "y"} <= set(arrays):
        raise DataError(
            f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}, but training needs the arrays X and y in a .npz file"
        )
    if ("X_test" in arrays) != ("y_test" in arrays):
        raise DataError(f"{path} has one of X_test and y_test; give both or neither")
    whole = Part(X=_rows(arrays["X"], path), y=arrays["y"], weight=arrays.get("sample_weight"))
    if len(whole.X) != whole.rows:
        raise DataError(f"{path} has {len(whole.X)} rows of X and {whole.rows} of y; the numbers must be equal")
    task, share, own_test = _task(whole.y, origin["task"]), origin["test_fraction"], "X_test" in arrays
    if share is None:
        share = 0.0 if own_test else defaults.TEST_FRACTION
    train, test, _, notes = _split(whole, origin, task, share)
    if own_test and not share:
        test = Part(X=_rows(arrays["X_test"], path), y=arrays["y_test"])
    known = {Path(path).name: fingerprint_of(path, whole.X.shape)}
    return DataSource(name=stem_of(origin), train=train, test=test, task=task, fingerprint=known, notes=notes)


def _rows(X: Any, path: str) -> Any:
    if X.ndim < 2:
        raise DataError(f"{path} has X of shape {X.shape}, but must be (rows, columns)")
    return X.reshape(len(X), -1)


# ----------------------------------------------------------------------------------------------------------------- tables


def _table_part(table: Any, origin: Mapping[str, Any]) -> tuple[Part, tuple[str, ...]]:
    """Return features, target and weights of a table, and notes."""
    targets = columns_named(origin["target"], table.names)
    (X, y, weight), notes = with_notes(
        lambda: split_target(
            table,
            targets[0] if len(targets) == 1 else targets,
            weight=origin.get("weight"),
            drop_missing_target=bool(origin.get("drop_missing_target")),
        )
    )
    refuse_text_targets(targets, y)
    if len(y) < table.rows:
        notes += (f"{table.rows - len(y):,} of {counted(table.rows, 'row')} left out, as they have no target",)
    return Part(X=X, y=y, weight=weight), notes


def _table(origin: Mapping[str, Any]) -> DataSource:
    path = origin["path"]
    content = _piped(path)
    table, notes = open_data(path, origin, text=possible_names(origin.get("categorical", [])), content=content)
    whole, more = _table_part(table, origin)
    notes += more
    refuse_target(origin, table.names)
    named: Any = {name: columns_named(origin.get(name, []), whole.X.names) for name in ("drop", "categorical", "numeric")}
    of_groups = [] if origin.get("group") in (None, *named["drop"]) else [origin["group"]]
    named["drop"] += of_groups
    try:
        task = _task(whole.y, origin["task"], origin.get("positive"))
    except DataError as error:
        raise DataError(re.sub("^y ", f"target {', '.join(map(repr, origin['target']))} ", str(error))) from None
    whole = dataclasses.replace(whole, by=split_by(whole.X, origin))
    train, test, rows, more = _split(whole, origin, task, 0.0 if origin.get("test") is not None else origin["test_fraction"])
    notes += more
    targets = columns_named(origin["target"], table.names)
    schema = understand(whole.X, **named, y=whole.y, target_names=targets, rows=rows)
    schema = tuple(dataclasses.replace(one, note=GROUPS) if one.name in of_groups else one for one in schema)
    notes += leak_notes(schema)
    fingerprint = {name_of(path): fingerprint_of(path, whole.X.shape, content)}
    if origin.get("test") is not None:
        content = _piped(origin["test"])
        other = without_other_sheet(origin, origin["test"])
        test, more = test_part(origin["test"], other, getattr(task, "classes", None), text=forms_of(schema), content=content)
        notes += more
        fingerprint[f"test: {name_of(origin['test'])}"] = fingerprint_of(origin["test"], test.X.shape, content)
    unit = unit_of_target(table, targets[0]) if len(targets) == 1 and task.name == "regression" else None
    return DataSource(
        name=stem_of(origin), train=train, test=test, task=task, schema=schema, unit=unit, targets=tuple(targets),
        fingerprint=fingerprint, notes=notes,
    )  # fmt: skip


def _piped(path: str) -> bytes | None:
    """Return the bytes of standard input if the path is "-", else None. They are read once, for the table and its fingerprint."""
    return standard_input() if path == STANDARD_INPUT else None


def test_part(
    path: str, origin: Mapping[str, Any], classes: Sequence[Any] | None, *, text: Forms, content: bytes | None
) -> tuple[Part, tuple[str, ...]]:
    """Return the rows of another file with the same target, with labels spelled as in training, and notes on changes.

    text: how its columns are read. content: the bytes of standard input, where they are read already.
    """
    if kind_of(path) != "table":
        raise DataError(f"{path} is not a table, but the network was trained on one; give a file with the same columns")
    table, found = open_data(path, origin, text=text, content=content)
    notes = list(found)
    if origin.get("weight") is not None and origin["weight"] not in table.names:
        notes.append(f"{path} has no weight column {origin['weight']!r}: its rows have equal weights")
        origin = {**origin, "weight": None}
    part, more = _table_part(table, origin)
    notes += more
    if classes is not None and origin.get("drop_unseen_classes"):
        part, left_out = of_seen_classes(part, classes)
        notes += left_out
    if classes is not None:
        labels, note = match_labels(part.y, classes)
        part = dataclasses.replace(part, y=labels)
        notes += [note] if note else []
    return part, tuple(notes)


def of_seen_classes(part: Part, classes: Sequence[Any]) -> tuple[Part, tuple[str, ...]]:
    """Return the rows of classes that training had, also where a label ends in a point (see `match_labels`), and a note of the others.

    Without any such row, return the part as it is, for the error that follows.
    """
    seen = {*classes, *(f"{label}." for label in classes)}
    labels = part.y.tolist() if part.y.ndim == 1 else []
    rows = [row for row, label in enumerate(labels) if label in seen]
    if len(rows) in (0, len(labels)):
        return part, ()
    unseen = listed(map(repr, sorted({*labels} - seen, key=str)), 10)
    note = f"{part.rows - len(rows):,} of {counted(part.rows, 'row')} left out, of classes that training did not have: {unseen}"
    return taken(part, rows), (note,)


# ----------------------------------------------------------------------------------------------------------------- shared


def _task(y: Any, name: str | None, positive: str | None = None) -> Any:
    from manynets.tasks.find import find_task, with_positive

    return find_task(y, name=name) if positive is None else with_positive(y, positive, task=name)


def _split(whole: Part, origin: Mapping[str, Any], task: Any, fraction: float) -> tuple[Part, Part | None, Any, tuple[str, ...]]:
    """Return the rows to train and to test on (of each class its share), the numbers of the former, and notes; None for no test rows."""
    from manynets.prepare import holdout
    from manynets.targets import find_target

    if not fraction:
        return whole, None, None, ()
    target = find_target(whole.y, task)
    (rows, tested), notes = with_notes(lambda: holdout(target, fraction, seed=origin["seed"], by=whole.by, unseen="tested"))
    return taken(whole, rows), taken(whole, tested), rows, notes


def taken(part: Part, rows: Any) -> Part:
    """Return these rows of a part; a table is not copied."""
    weight, by = (None if part.weight is None else part.weight[rows]), (None if part.by is None else part.by.take(rows))
    hashes = None if part.hashes is None else part.hashes[rows]
    return Part(X=taken_rows(part.X, rows), y=part.y[rows], weight=weight, by=by, hashes=hashes)


def encoded_part(part: Part, encoder: Any) -> Part:
    """Return the rows of a table as an encoder transforms them."""
    matrix = encoder.transform(part.X)
    return dataclasses.replace(part, X=matrix, hashes=encoded_hashes(matrix, encoder))


def joined(first: Part, second: Part) -> Part:
    """Return the rows of two parts that are arrays, which are split at random."""
    weights = [np.ones(part.rows) if part.weight is None else part.weight for part in (first, second)]
    weight = None if first.weight is None else np.concatenate(weights)
    return Part(X=np.concatenate([first.X, second.X]), y=np.concatenate([first.y, second.y]), weight=weight)


def taken_rows(X: Any, rows: Any) -> Any:
    """Return these rows of an array or a table."""
    return X.take(rows) if isinstance(X, Table) else X[rows]


def with_weight(source: DataSource) -> DataSource:
    """Return the data without the training rows of weight 0."""
    counted = rows_with_weight(None, source.train.weight)
    return source if counted is None else dataclasses.replace(source, train=taken(source.train, counted))
