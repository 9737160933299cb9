"""The argument DATA: what it names, and how to read it again.

An *origin* is a dict of JSON types, made from the options of `train` and stored in config.json; `cli/data.py: load_source` reads it.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manynets.cli import defaults
from manynets.cli.recipe import flag_of
from manynets.display import listed
from manynets.errors import DataError, OptionError, missing_file, one_of

if TYPE_CHECKING:
    from manynets.tables.kinds import Forms

Origin = dict[str, Any]

STANDARD_INPUT = "-"

_TABLE_ONLY = (
    "target", "test", "drop", "categorical", "numeric", "weight", "drop_missing_target", "scaling", "max_levels", "delimiter",
    "encoding", "sheet", "no_header", "group", "time_column", "stratify", "positive",
)  # fmt: skip
NAMED_ONLY = ("data_dir", "points", "noise")


def kind_of(data: str) -> str:
    """Return "named", "arrays" or "table" for the argument DATA; OptionError suggests the nearest name for an unknown one."""
    from manynets.datasets import NAMES
    from manynets.tables.binary import parquet_files

    path = Path(data)
    if data in NAMES:
        return "named"
    if path.is_file():
        return "arrays" if path.suffix in (".npz", ".npy") else "table"
    if data == STANDARD_INPUT or parquet_files(data) is not None:  # reading reports a folder or pattern without tables
        return "table"
    if path.exists() and not path.is_dir():
        raise DataError(f"{data} is a pipe or a device; give - for DATA and pipe the table in, or name a file")
    if path.suffix or len(path.parts) > 1:
        raise missing_file(data)
    try:
        one_of(data, NAMES, what="DATA")
    except OptionError as error:
        raise OptionError(str(error).replace("must be", "must be the path of a file, or", 1)) from None
    return "named"


def is_file_name(data: str) -> bool:
    """Return whether DATA names a file, folder or pattern rather than a data set."""
    from manynets.datasets import NAMES

    return data not in NAMES and (os.path.exists(data) or any(sign in data for sign in "*?["))


def absolute(path: str) -> str:
    """Return an absolute path; standard input stays as it is."""
    return path if path == STANDARD_INPUT else os.path.abspath(path)


def from_standard_input(options: Mapping[str, Any]) -> bool:
    """Return whether options of `train`, or an origin, name standard input."""
    return STANDARD_INPUT in (options.get("data"), options.get("path"), options.get("test"))


def name_of(path: str) -> str:
    """Return the name of a data file for messages and results."""
    return "standard input" if path == STANDARD_INPUT else Path(path).name


def origin_of(options: Mapping[str, Any]) -> Origin:
    """Return the origin that the options of `train` describe; raise OptionError for options that contradict each other."""
    kind = kind_of(options["data"])
    if kind == "named":
        _refuse(options, (*_TABLE_ONLY, "test_fraction"), f"{options['data']!r} is a data set by name")
        given = {name: options[name] for name in NAMED_ONLY if options[name] is not None}
        return {"kind": kind, "name": options["data"], "task": options["task"], **given, "seed": options["seed"]}
    _refuse(options, NAMED_ONLY, f"{options['data']!r} is a file")
    fraction = options["test_fraction"]
    if options["test"] is not None and fraction is not None:
        raise OptionError("--test and --test-fraction both choose the test rows; give one of the two")
    if fraction is not None and not 0 <= fraction < 1:
        raise OptionError(f"--test-fraction is {fraction:g}, but must be at least 0 and below 1")
    if options["data"] == options["test"] == STANDARD_INPUT:
        raise OptionError("DATA and --test are both '-', but standard input can be read only once; name a file for one of the two")
    common = {"kind": kind, "path": absolute(options["data"]), "task": options["task"], "seed": options["seed"]}
    if kind == "arrays":
        _refuse(options, _TABLE_ONLY, f"{options['data']!r} holds arrays")
        return {**common, "test_fraction": fraction}
    if not options["target"]:
        names = open_data(options["data"], options)[0].names
        shown = listed(names, 20)
        raise OptionError(f"a table needs --target COLUMN: the column to predict; {options['data']} has {shown}")
    fraction = (0.0 if options["test"] is not None else defaults.TEST_FRACTION) if fraction is None else fraction
    given = {name: options[name] for name in _TABLE_ONLY if options[name] not in (None, False, [])}
    if options["test"] is not None:
        given["test"] = absolute(options["test"])
    return {**common, **given, "test_fraction": fraction}


def _refuse(options: Mapping[str, Any], names: Sequence[str], why: str) -> None:
    for name in names:
        if options[name] not in (None, False, []):
            raise OptionError(f"{flag_of(name)} does not go with this data: {why}; leave it out")


def open_data(
    path: str, origin: Mapping[str, Any], *, text: Sequence[str] | Forms = (), content: bytes | None = None
) -> tuple[Any, tuple[str, ...]]:
    """Return the table in a file, whose columns are read when they are needed where the format allows, and notes."""
    from manynets.tables import open_file

    return with_notes(lambda: open_file(path, **text_options_of(path, origin), text=text, content=content))


def with_notes(read: Callable[[], Any]) -> tuple[Any, tuple[str, ...]]:
    """Return the result of a function, and its warnings as notes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = read()
    return found, tuple(str(entry.message) for entry in caught)


def text_options_of(path: str, origin: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments for reading a file. Those given for DATA are all passed on, so that wrong ones are reported; another file
    inherits only those that fit its format."""
    from manynets.tables.files import text_options

    found = {name: origin[name] for name in ("delimiter", "encoding", "sheet") if origin.get(name) is not None}
    if origin.get("no_header"):
        found["header"] = False
    if path in (origin.get("path"), origin.get("data")):
        return found
    return {name: value for name, value in found.items() if name in text_options(path)}


def without_other_sheet(origin: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """Return the origin for another file of the same columns: without its sheet where that file has none of this name."""
    from manynets.tables.files import sheets_of

    known = origin.get("sheet") is None or origin["sheet"] in sheets_of(path)
    return origin if known else {**origin, "sheet": None}


def stem_of(origin: Mapping[str, Any]) -> str:
    """Return a name for the data: that of the data set, or of the file without its suffixes."""
    if origin["kind"] == "named":
        return str(origin["name"])
    path = Path(origin["path"])
    if origin["path"] == STANDARD_INPUT:
        return "stdin"
    if any(sign in str(path) for sign in "*?[") and not path.exists():  # a pattern: its last part with literal characters
        plain = (re.sub(r"\[[^]]*\]|[*?]", "", part.split(".")[0]).strip("-_. ") for part in reversed(path.parts[1:]))
        return next(filter(None, plain), "run")
    return path.name.split(".")[0] or "run"
