"""What the columns of a table are: numbers, categories, dates, or nothing to learn from."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.display import counted, shortened
from manynets.errors import DataError, OptionError
from manynets.tables.association import plain_target, target_scores
from manynets.tables.cells import number_cells, numbers_in, plain_label, text_cells
from manynets.tables.dates import DateForm, date_cells, is_zone, order_of_numbers
from manynets.tables.frames import open_table
from manynets.tables.hashed import holds_words
from manynets.tables.informative import as_codes, leak_of, reconsidered, sample_rows, truths_of
from manynets.tables.kinds import LEFT_OUT, Column, Kind
from manynets.tables.labels import shown_words
from manynets.tables.meaning import meaning_of, meaning_of_column, text_counts
from manynets.tables.missing import as_missing, missing_texts
from manynets.tables.names import named_as_code, named_as_id, named_as_time
from manynets.tables.numerals import HEAD_ROWS, NUMBER, ZERO_IN_FRONT, bad_number, points_in_doubt
from manynets.tables.table import Table, native_type, require
from manynets.tables.written import DECIMAL_COMMA, PLAIN, Meaning, Reading, find_reading, numbers_among, units_of

FEWEST_FOR_AN_ID = 20
"""A column with fewer different values than this is never taken for an id."""

MOSTLY_NUMBERS = 0.9
TO_READ = "to have it read as"
"""In the note of a column of categories that is nearly one of numbers or dates."""
EMPTY = "all values are missing: it adds nothing"
_ADDRESS = re.compile(" at 0x[0-9A-Fa-f]+>")
"""In the text of a Python object without one of its own."""
_ONE_SIGN = re.compile(r"[+-]?[0-9]+([.,]?)[0-9]*", re.ASCII)


def understand(
    frame: Any,
    *,
    categorical: Sequence[str] = (),
    numeric: Sequence[str] = (),
    text: Sequence[str] = (),
    drop: Sequence[str] = (),
    y: Any = None,
    target_names: Sequence[str] = (),
    rows: NDArray[np.int64] | None = None,
) -> tuple[Column, ...]:
    """Return what each column of a frame or array is; the overrides take precedence over what is found.

    - Numbers and durations are numeric, and so is text whose every cell is a number as people write it (see `find_reading`) or
      missing (see `MISSING_TOKENS`), unless a number begins with a zero as in "0171", or float64 would merge it with another:
      those are codes.
    - Bool, pandas and polars categoricals and other text are categorical. Numbers only when named in `categorical`, or for a target.
    - Dates and times of day are dates, and so are text that names such (see `find_form`) and numbers such as 20240131 or seconds
      since 1970 (see `order_of_numbers`).
    - Dropped: text with more than nine tenths of its values different, or with more different values than half the rows; whole
      numbers all different that fill a range at least by half (row numbers; not under the name of a time, such as `year`), or that
      are all different under a name such as `customer_id`. Each needs 20 different values. A column of numbers is not dropped where nothing else would remain.
    - Text that would be dropped, but has several words in a cell that occur in other cells too, is text: its words are counted.

    With a target y (N,) or (N, T), a column that would be dropped is used if its value, or a part of it such as the first
    characters, says something about the target; whole numbers are categorical where single values say far more than groups of
    neighbours do; and what predicts the target perfectly alone has `Column.leak`, which names the target where `target_names`
    has those of several. All this is found on `rows`, the training rows, or on all.

    In a column of text that is declared numeric, what is no number is missing, and the note says how often.

    Errors: DataError for a name in an override that is not a column, for a column named in two of them, for one that mixes text
    and numbers as Python objects, for a column of text declared numeric that holds no number, and for infinite values.

    >>> import polars
    >>> columns = understand(polars.DataFrame({"a": [1.5, 2], "b": ["x", "y"], "c": ["1 Jan 2024", "2 Jan 2024"], "d": ["$5", "$9"]}))
    >>> [column.kind for column in columns], columns[3].note
    (['numeric', 'categorical', 'date', 'numeric'], "numbers: unit '$'")
    """
    table = open_table(frame)
    if not table.rows:
        raise DataError("the table has 0 data rows; at least 1 is needed")
    overrides: dict[str, Kind] = {}
    for kind, names in (("categorical", categorical), ("numeric", numeric), ("text", text), ("dropped", drop)):
        require(names, table.names, what="column")
        for name in names:
            if overrides.get(name, kind) != kind:
                raise OptionError(f"column {name!r} is declared {overrides[name]} and {kind}; choose one")
            overrides[name] = kind  # type: ignore[assignment]
    columns = [_column(table, name, overrides.get(name)) for name in table.names]
    columns = [replace(column, note=LEFT_OUT) if overrides.get(column.name) == "dropped" else column for column in columns]
    if y is not None:
        columns = _with_target(table, columns, plain_target(y), target_names, rows, overrides)
    if all(column.kind == "dropped" for column in columns):
        columns = [
            replace(column, kind="numeric", note="used, as no other column is left")
            if column.name not in overrides and table.storage(column.name) == "number"
            else column
            for column in columns
        ]
    return tuple(columns)


def _with_target(
    table: Table,
    columns: list[Column],
    y: NDArray[Any],
    names: Sequence[str],
    rows: NDArray[np.int64] | None,
    declared: Mapping[str, Kind],
) -> list[Column]:
    """Return the columns with what the target says about them."""
    if len(y) != table.rows:
        raise DataError(f"the table has {table.rows} rows and y has {len(y)}; they must have the same number")
    known = np.arange(table.rows) if rows is None else rows
    known = known[sample_rows(len(known))]
    some, y = (table, y) if rows is None and len(known) == table.rows else (table.take(known), y[known])
    scores, truths = target_scores(y), truths_of(y, names)
    out = []
    for column in columns:
        if column.kind == "dropped" and column.distinct and column.name not in declared:
            column = reconsidered(some, column, scores)
        elif column.kind == "numeric" and column.name not in declared:
            column = as_codes(some, column, scores)
        if column.kind != "dropped":
            column = replace(column, leak=leak_of(some, column, truths))
        out.append(column)
    return out


def _column(table: Table, name: str, declared: Kind | None) -> Column:
    storage = table.storage(name)
    unusable = native_type(table.series(name)) if storage == "other" else _objects(table, name) if storage == "mixed" else ""
    if unusable:
        if declared in (None, "dropped"):
            return Column(name=name, kind="dropped", missing=0, distinct=0, note=f"values of type {unusable} cannot be used")
        raise DataError(f"column {name!r} is of type {unusable} and cannot be {declared}; make it text or numbers, or drop it")
    if storage == "mixed" and declared is None:
        refuse_a_mixture(table, name)
    if storage in ("date", "time") and declared != "numeric":
        return _date_column(table, name, declared, _stored_form(table, name))
    if storage in ("number", "bool", "empty"):
        reading = DECIMAL_COMMA if name in table.commas else PLAIN
        return _number_column(table, name, declared, reading if table.array is not None else _declared(reading, declared))
    if storage == "duration":
        return _number_column(table, name, declared, _declared(Reading(duration=True), declared))
    return _text_column(table, name, declared)


def _objects(table: Table, name: str) -> str:
    """Return the type of the Python objects in a column whose text is another one in each process; "" where there are none."""
    one_of_each = {type(cell): cell for cell in table.series(name).to_list()}
    sets = (kind for kind in one_of_each if issubclass(kind, set | frozenset))
    objects = (kind for kind, cell in one_of_each.items() if kind is not str and _ADDRESS.search(str(cell)))
    return next((f"{kind.__name__}, whose text differs from process to process," for kind in itertools.chain(sets, objects)), "")


def _stored_form(table: Table, name: str) -> DateForm:
    """Return the form of dates stored as such: on the clock of their time zone, if they have one."""
    if table.storage(name) == "time":
        return DateForm(order="time")
    zone = getattr(table.series(name).dtype, "time_zone", None)
    return DateForm(zone=(zone if is_zone(zone) else "UTC") if zone else "")


def refuse_a_mixture(table: Table, name: str) -> None:
    """Raise DataError, with the first odd value, if a column of Python objects holds both text and numbers."""
    cells = table.series(name).to_list()
    texts = [index for index, cell in enumerate(cells) if isinstance(cell, str)]
    others = [index for index, cell in enumerate(cells) if isinstance(cell, int | float) and cell == cell]
    if texts and others:
        odd = texts[0] if len(texts) <= len(others) else others[0]
        raise DataError(
            f"column {name!r} mixes text and numbers: {table.row(odd)} holds {cells[odd]!r}; make it one of the two, or declare it"
            " numeric or categorical"
        )


def _number_column(table: Table, name: str, declared: Kind | None, reading: Reading, remark: str = "") -> Column:
    values = number_cells(table, name, reading)
    absent = np.isnan(values)
    present = values[~absent]
    exact = _exact_integers(table, name)
    distinct = int(np.unique(present if exact is None else exact).size)
    missing = table.rows - present.size
    kind: Kind = declared or ("categorical" if table.storage(name) == "bool" else "numeric")
    if not present.size:
        return Column(name=name, kind=declared or "numeric", missing=missing, distinct=distinct, note=EMPTY)
    example = plain_label(table.series(name)[int(np.argmin(absent))] if table.array is None else present[0])
    seen: dict[str, Any] = {"name": name, "missing": missing, "distinct": distinct, "example": example}
    note = "; ".join(text for text in ("" if reading.strict == PLAIN else str(reading), remark) if text)
    if declared is None and kind == "numeric" and distinct > 1:
        if exact is not None and np.abs(present).max() > 2**53 and np.unique(present).size < distinct:
            why = _why_dropped(table, name, distinct, present.size)
            return _categories("codes: whole numbers so long that as numbers some would be the same", why, **seen)
        if reading == PLAIN:
            if table.array is None and (order := order_of_numbers(name, present)) is not None:
                return _date_column(table, name, None, DateForm(order=order))
            why = _why_an_id(name, present if exact is None else exact, distinct)
            note = f"{why}; declare it numeric or categorical to keep it" if why else note or _code_hint(name, present, distinct)
            kind = "dropped" if why else kind
    elif distinct == 1:
        note = note or "constant"
    return Column(kind=kind, note=note, form=None if reading == PLAIN or kind != "numeric" else reading, **seen)


def _categories(note: str, why: str, **seen: Any) -> Column:
    """Return a column of categories. why: it is left out all the same."""
    note = "; ".join(text for text in (why, note, "declare it categorical to keep it") if text) if why else note
    return Column(kind="dropped" if why else "categorical", note=note, **seen)


def _exact_integers(table: Table, name: str) -> np.ndarray[Any, Any] | None:
    """Return the column as integers if all its values are, so that ids above 2^53 stay distinct."""
    if table.array is not None:
        return None
    if table.dtype(name).is_integer():
        return np.asarray(table.series(name).drop_nulls().to_numpy())
    if table.storage(name) not in ("text", "mixed"):
        return None
    cells = text_cells(table, name).drop_nulls()
    if not cells.str.contains(r"^[+-]?[0-9]{16,}$").any():
        return None
    present = cells.filter(cells.str.contains(NUMBER))
    if not present.str.contains(r"^[+-]?[0-9]{1,300}$").all():
        return None
    return np.array([int(cell) for cell in present.to_list()], dtype=object)


def _why_an_id(name: str, present: np.ndarray[Any, Any], distinct: int) -> str:
    if distinct < FEWEST_FOR_AN_ID or distinct < present.size or not bool(np.all(present == np.floor(present))):
        return ""
    if may_number_rows(name, float(present.min()), float(present.max()), present.size):
        return "a row number: whole numbers, all different, that fill their range"
    return "an id: whole numbers, all different, and the name of an id" if named_as_id(name) else ""


def may_number_rows(name: str, low: float, high: float, rows: int) -> bool:
    """Return whether whole numbers, all different, may number so many rows: they fill their range, and the name is not that of a time.

    >>> may_number_rows("order", 1, 100, 90), may_number_rows("year", 1950, 2020, 71), may_number_rows("income", 1, 1000, 90)
    (True, False, False)
    """
    return high - low + 1 <= 2 * rows and not named_as_time(name)


def _code_hint(name: str, present: np.ndarray[Any, Any], distinct: int) -> str:
    """Return what to do if a column of whole numbers holds codes, as its name may say. Of two values it makes no difference."""
    codes = distinct > 2 and named_as_code(name) and bool(np.all(present == np.floor(present)))
    return "taken as a number: declare it categorical if it is a code" if codes else ""


def _date_column(table: Table, name: str, declared: Kind | None, form: DateForm, remark: str = "") -> Column:
    moments = date_cells(table, name, form)
    present = moments[~np.isnat(moments)]
    described = "; ".join(text for text in (str(form), remark) if text)
    if not form.as_written:
        described = f"numbers read as dates, {described}; declare it numeric if it is a number"
    note = described if present.size else EMPTY
    example = str(present[0]).removesuffix("T00:00:00") if present.size else ""
    example = example.removeprefix("1970-01-01T") if form.order == "time" else example
    kind: Kind = declared or ("date" if present.size else "numeric")
    distinct, missing = int(np.unique(present).size), table.rows - present.size
    return Column(
        name=name, kind=kind, missing=missing, distinct=distinct, example=example, note=note, form=form if kind == "date" else None
    )


def _text_column(table: Table, name: str, declared: Kind | None) -> Column:
    cells = text_cells(table, name)
    present = cells.filter(~missing_texts(cells))
    missing = table.rows - len(present)
    if not len(present):
        return Column(name=name, kind=declared or "numeric", missing=missing, distinct=0, note=EMPTY)
    note = ""
    if declared == "numeric" or (declared is None and table.storage(name) != "category"):
        found, note = _column_in_text(table, name, cells, present, declared)
        if found is not None:
            return found
    distinct, example = present.n_unique(), shortened(str(present[0]))
    seen: dict[str, Any] = {"name": name, "missing": missing, "distinct": distinct, "example": example}
    if declared is not None:
        return Column(kind=declared, note=note, **seen)
    why = "" if table.storage(name) == "category" else _why_dropped(table, name, distinct, len(present))
    if why and not note and holds_words(present):
        return Column(kind="text", note="text: its words are counted; declare it categorical or drop it if it is an id", **seen)
    return _categories(note, why, **seen)


def _column_in_text(table: Table, name: str, cells: Any, present: Any, declared: Kind | None) -> tuple[Column | None, str]:
    """Return the column of numbers or dates that text holds, or None and why it holds none."""
    head = present[:HEAD_ROWS]
    if bad_number(head) is None and bad_number(present) is None and not points_in_doubt(present):
        count = int(present.str.contains(NUMBER).sum())
        if declared == "numeric" or (count and not present.str.contains(ZERO_IN_FRONT).any()):
            return _number_column(table, name, declared, _declared(PLAIN, declared)), ""
        return None, f"codes: {count:,} numbers, some with a zero in front" if count else ""
    comma_first = name in table.commas
    if declared is None and meaning_of(text_counts(head), comma_first=comma_first) is None:
        return None, _mixture(text_counts(head))
    counts: Counter[str] = Counter()
    meaning = meaning_of_column(present, comma_first=comma_first)
    if meaning is None or meaning.words:
        meaning = meaning_of(counts := text_counts(present), comma_first=comma_first)
    if declared == "numeric":
        return _declared_numbers(table, name, cells, counts or text_counts(present), meaning), ""
    if meaning is None:
        return None, _mixture(counts)
    if meaning.words and (note := _mixture(counts)):
        return None, note
    if meaning.words:
        return None, _words_among(table, cells, counts, meaning)
    if isinstance(meaning.form, Reading):
        return _number_column(table, name, None, meaning.form, meaning.note), ""
    return _date_column(table, name, None, meaning.form, meaning.note), ""


def _declared(reading: Reading, declared: Kind | None) -> Reading:
    """Return how numbers are read: of a column that is declared numeric, what is none is missing."""
    return replace(reading, lenient=True) if declared == "numeric" else reading


def _declared_numbers(table: Table, name: str, cells: Any, counts: Counter[str], meaning: Meaning[Any] | None) -> Column:
    """Return a column of text that is declared numeric. meaning: of all its cells, None where most of them have none."""
    if meaning is None or not isinstance(meaning.form, Reading):
        meaning = find_reading(numbers_among(counts), comma_first=name in table.commas) or Meaning(PLAIN, (), "")
    reading = _declared(meaning.form, "numeric")
    values = number_cells(table, name, reading)
    words = Counter(str(cells[index]) for index in numbers_in(cells, reading)[1] if np.isnan(values[index]))
    if not words:
        return _number_column(table, name, "numeric", reading, meaning.note)
    shown = _shown_words(table, cells, words)
    if words.total() == counts.total():
        raise DataError(
            f"column {name!r} is declared numeric, but holds no number: its values are {shown}; leave it out, or declare it categorical"
        )
    note = f"{as_missing(words.total(), counts.total())}: {shown}"
    return _number_column(table, name, "numeric", reading, "; ".join(text for text in (meaning.note, note) if text))


def _words_among(table: Table, cells: Any, counts: Counter[str], meaning: Meaning[Any]) -> str:
    """Say which words keep a column from being one of numbers or dates, and where they are few how to have it read so."""
    words = Counter({word: counts[word] for word in meaning.words})
    share, numbers = 1.0 - words.total() / counts.total(), isinstance(meaning.form, Reading)
    note = f"{share:.1%} of it are {'numbers' if numbers else 'dates'}; the others are {_shown_words(table, cells, words)}"
    if share <= MOSTLY_NUMBERS:
        return note
    return f"{note}: {'declare it numeric' if numbers else 'leave them empty'} {TO_READ} {'numbers' if numbers else 'dates'}"


def _shown_words(table: Table, cells: Any, words: Counter[str]) -> str:
    """Return the most frequent of the words of a column with their counts, and where the first one is."""
    index = next(index for index, cell in enumerate(cells.to_list()) if cell in words)
    return f"{shown_words(words)}, the first in {table.row(index)}"


def _mixture(counts: Counter[str]) -> str:
    """Say that a column holds numbers in units that cannot be converted to one, or with two decimal signs, or nothing."""
    if units := units_of(counts):
        shown = ", ".join(f"{unit!r} ({counted(count, 'cell')})" for unit, count in units.most_common())
        return f"numbers in several units, {shown}; convert them to one to have them read as numbers"
    signs = Counter(found[1] for text in counts.elements() if (found := _ONE_SIGN.fullmatch(text)))
    if not (signs["."] and signs[","] and signs.total() > MOSTLY_NUMBERS * counts.total()):
        return ""
    return (
        f"numbers with a decimal comma ({signs[',']:,} cells) and with a point ({signs['.']:,} cells); write them alike to have them read as"
        " numbers"
    )


def _why_dropped(table: Table, name: str, distinct: int, present: int) -> str:
    if distinct < FEWEST_FOR_AN_ID:
        return ""
    if distinct == present:
        return "an id: text, all values different"
    if distinct > 0.9 * present or distinct > 0.5 * table.rows:
        return f"near-unique text: {distinct:,} different values in {present:,} rows"
    if named_as_id(name) and distinct > 0.5 * present:
        return f"an id by its name: {distinct:,} different values in {present:,} rows"
    return ""
