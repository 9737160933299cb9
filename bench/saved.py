"""What benchmarks share: the file of their results, their part of a page, and the options of the comparisons on real tables."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.machine import machine, versions

__all__ = ["opened", "parser_of", "save", "write_docs"]


def parser_of(
    name: str, description: str | None, *, tables: Iterable[str], systems: Iterable[str], rows: int
) -> argparse.ArgumentParser:
    """Return the parser with the options of all comparisons on real tables. rows: the default of --rows."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=description)
    for option, names in (("--only", list(tables)), ("--systems", list(systems))):
        parser.add_argument(option, nargs="+", choices=names, metavar="NAME", help=f"some of {', '.join(names)}")
    parser.add_argument("--rows", type=int, default=rows, metavar="N", help=f"training rows at most; 0 for all ({rows})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="add the runs to this file, and make none that it holds")
    parser.add_argument("--show", action="store_true", help="measure nothing: print what the file holds")
    parser.add_argument("--write-docs", action="store_true", help="measure nothing: put what the file holds into docs")
    return parser


def opened(path: Path | None) -> dict[str, Any]:
    """Return this machine, the versions, and the runs of the file, if there is one."""
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"] if path is not None and path.exists() else []
    return {"machine": machine(), "versions": versions(), "runs": runs}


def save(results: dict[str, Any], path: Path | None) -> None:
    """Write the results to the file, if one is given."""
    if path is not None:
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def write_docs(text: str, path: Path, *, begin: str, end: str) -> None:
    """Put the text between the marks of the file; a file without them is a ValueError."""
    page = path.read_text(encoding="utf-8")
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise ValueError(f"{path} must have the lines {begin!r} and {end!r}, once each and in this order")
    before, after = page.split(begin)[0], page.split(end)[1]
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")
