"""Columns of a table: those that options name, those that say how its rows are split, and those that give the target away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from manynets.cli.recipe import flag_of
from manynets.data.split import SplitBy
from manynets.errors import OptionError
from manynets.tables.table import look_alike, require
from manynets.tables.target import columns_to_split_by


def columns_named(words: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Return the columns that the values of an option name: each is a name, or several with commas between them.

    A name may be written in other Unicode characters that look the same (NFC and NFD).
    """
    names: list[str] = []
    for word in words:
        names += [word] if word in columns else [part.strip() for part in word.split(",")]
    found = (name if name in columns else look_alike(name, columns) or name for name in names)
    return list(dict.fromkeys(found))


def possible_names(words: Iterable[str]) -> list[str]:
    """Return what the values of an option may name, before the columns are known: each is a name, or several with commas between them."""
    return [part.strip() for word in words for part in (word, *word.split(","))]


def refuse_target(origin: Mapping[str, Any], columns: Sequence[str]) -> None:
    """Raise OptionError where an option for features names the target."""
    targets = columns_named(origin["target"], columns)
    for option in ("drop", "categorical", "numeric"):
        both = next((name for name in columns_named(origin.get(option, []), columns) if name in targets), None)
        if both is not None:
            raise OptionError(
                f"--{option} names {both!r}, which is the target; leave it out of --{option}, or give another --target"
            )


def split_by(X: Any, origin: Mapping[str, Any]) -> SplitBy | None:
    """Return how the rows of a table are split, or None for at random."""
    columns = {"groups": "group", "times": "time_column", "stratify": "stratify"}
    named = {what: origin[option] for what, option in columns.items() if origin.get(option) is not None}
    if not named:
        return None
    for what, name in named.items():
        require([name], X.names, what=flag_of(columns[what]))
    return SplitBy.of(X.rows, **columns_to_split_by(X, named))


def leak_notes(schema: Sequence[Any]) -> tuple[str, ...]:
    """Return notes on columns that give the target away."""
    return tuple(
        f"column {one.name!r} gives the target away: {one.leak}; if it is not known before the target, leave it out with drop=[{one.name!r}]"
        for one in schema
        if one.leak
    )


def taken_as_classes(task: Any, origin: Mapping[str, Any]) -> list[str]:
    """Return a note where several whole numbers of the target are taken as classes, though no option says so."""
    classes = getattr(task, "classes", ())
    if origin.get("task") is not None or len(classes) < 3 or not all(type(value) in (int, float) for value in classes):
        return []
    name = ", ".join(origin["target"])
    return [f"{name!r} holds {len(classes)} different whole numbers and is taken as classes; for numbers give --task regression"]
