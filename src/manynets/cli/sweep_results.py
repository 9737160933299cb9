"""The folder of a sweep: what was swept, the result of each network, and the checkpoints of those in training."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manynets import runs
from manynets.cli.checkpoints import part_folder, remove_temporary_files
from manynets.errors import ModelFileError, OptionError
from manynets.jsonfiles import read_json
from manynets.renames import renamed_options, stored_options
from manynets.spec import LOWER_IS_BETTER

__all__ = ["BEST", "CURVES_PICTURE", "PARALLEL_PICTURE", "RESULTS", "Key", "Row", "SweepResults", "picture_of", "ranking"]

RESULTS, CURVES, CONFIG, BEST, CHECKPOINTS = "results.csv", "curves.jsonl", "sweep.json", "best", "checkpoints"
FORMER = "former"  # an earlier sweep, until the one that --overwrite asked for is whole
SHAPE = {"options": {str: object}, "grid": {str: [object]}}
PARALLEL_PICTURE, CURVES_PICTURE = "parallel.png", "curves.png"  # beside one for each option
COLUMNS = ("epochs_allowed", "score", "loss", "epochs", "stopped", "seconds", "error")
Key = tuple[int, int, int, int]
"""Candidate, seed, fold, and epochs allowed (0: as the recipe says)."""
Row = dict[str, Any]


def picture_of(option: str) -> str:
    """Return the file name of the picture of the score over an option."""
    return f"{option}.png"


class SweepResults:
    """The folder of a sweep: for each finished network a line in results.csv and its curve in curves.jsonl."""

    def __init__(self, folder: Path, grid: Mapping[str, Any], config: dict[str, Any], *, resume: bool, overwrite: bool) -> None:
        self.folder, self.config, self.resume = folder, config, resume
        self.names = ["candidate", "seed", "fold", *grid, *COLUMNS]
        self.rows: dict[Key, Row] = {}
        self.curves: dict[Key, list[float]] = {}
        self.memory: int | None = None  # bytes that networks trained together may take, as when the sweep began
        there = (folder / CONFIG).is_file()
        if resume:
            if not there:
                raise OptionError(f"{folder} is not a sweep: it has no {CONFIG}; give its folder with --out, or leave out --resume")
            self._read()
        elif os.path.lexists(folder) and not (overwrite and (there or not any(folder.iterdir()))):
            how = "--resume to resume it, or --overwrite to start anew" if there else "another folder with --out"
            raise OptionError(f"{folder} exists; give {how}")

    def _read(self) -> None:
        former = renamed_options(read_json(self.folder / CONFIG, SHAPE, remedy="start anew with --overwrite"))
        for name, today in (("options", stored_options), ("grid", renamed_options)):
            if isinstance(former.get(name), dict):
                former[name] = today(former[name])
        self.memory = former.pop("memory", None)
        now = self.config
        for name in sorted(set(former) | set(now)):
            if former.get(name) != now.get(name):
                raise OptionError(
                    f"the sweep in {self.folder} has another {name}: {_difference(former.get(name), now.get(name))}; "
                    "give the same options, or another --out"
                )
        try:
            with (self.folder / RESULTS).open(encoding="utf-8", newline="") as file:
                found = list(csv.DictReader(file))
            lines = (self.folder / CURVES).read_text(encoding="utf-8").splitlines()
            curves = {tuple(line["key"]): line["curve"] for line in map(json.loads, lines)}
            for row in map(renamed_options, found):
                key = (int(row["candidate"]), int(row["seed"]), int(row["fold"]), int(row["epochs_allowed"] or 0))
                self.rows[key] = {**row, **{name: float(row[name] or "nan") for name in ("score", "loss", "seconds")}}
                self.curves[key] = [math.nan if value is None else float(value) for value in curves.get(key, [])]
        except FileNotFoundError:
            return
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            raise ModelFileError(f"{self.folder / RESULTS} is damaged: {error}; start anew with --overwrite") from None

    def open(self) -> None:
        """Make the folder and write sweep.json; an earlier sweep that is not resumed is moved into the folder `former`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in _names(self.config):
            remove_temporary_files(self.folder / name)
        if not self.resume:
            self._move_former()
        self._write(CONFIG, json.dumps(self.config | {"memory": self.memory}, indent=2) + "\n")

    def _move_former(self) -> None:
        """Move an earlier sweep to `former`; if there is one already, what is beside it never became a whole sweep."""
        former, names = self.folder / FORMER, set(_names(self.config))
        with contextlib.suppress(ModelFileError, FileNotFoundError):
            names |= set(_names(read_json(self.folder / CONFIG, SHAPE)))
        there = [self.folder / name for name in sorted(names) if os.path.lexists(self.folder / name)]
        if former.is_dir():
            for path in there:
                _remove(path)
        elif there:
            former.mkdir()
            for path in there:
                os.rename(path, former / path.name)

    def close(self) -> None:
        """Remove the earlier sweep, now that this one is whole."""
        shutil.rmtree(self.folder / FORMER, ignore_errors=True)

    def restore(self) -> bool:
        """Put the earlier sweep back if this one has nothing to show; return whether it did."""
        former = self.folder / FORMER
        if self.rows or any(self.checkpoints.glob("part-*/step-*.checkpoint")) or not former.is_dir():
            return False
        for path in (self.folder / CONFIG, self.checkpoints):
            _remove(path)
        for path in former.iterdir():
            os.rename(path, self.folder / path.name)
        former.rmdir()
        return True

    @property
    def checkpoints(self) -> Path:
        """The folder with the checkpoints of the networks in training."""
        return self.folder / CHECKPOINTS

    def add(self, rows: Mapping[Key, Row], curves: Mapping[Key, list[float]]) -> None:
        """Write the results of finished networks, all or nothing."""
        self.rows.update(rows)
        self.curves.update(curves)
        text = io.StringIO()
        writer = csv.DictWriter(text, self.names, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in self.rows.values())
        lines = [json.dumps({"key": key, "curve": runs.plain_json(curve)}) for key, curve in self.curves.items()]
        self._write(CURVES, "\n".join(lines) + "\n")
        self._write(RESULTS, text.getvalue())

    def _write(self, name: str, text: str) -> None:
        from manynets.modelfile import replacing

        with replacing(self.folder / name) as file:
            file.write(text.encode())


def ranking(scores: Mapping[Any, float], metric: str) -> list[Any]:
    """Return the keys of scores, the best first.

    >>> ranking({"a": 0.5, "b": 0.7}, "accuracy"), ranking({"a": 0.5, "b": 0.7}, "rmse")
    (['b', 'a'], ['a', 'b'])
    """
    return sorted(scores, key=lambda key: scores[key] if metric in LOWER_IS_BETTER else -scores[key])


def _names(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of what a sweep of this configuration writes to its folder."""
    pictures = (PARALLEL_PICTURE, CURVES_PICTURE, *map(picture_of, config["grid"]))
    return (RESULTS, CURVES, CONFIG, BEST, part_folder(BEST).name, CHECKPOINTS, *pictures)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _cell(value: Any) -> Any:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def _difference(former: Any, now: Any) -> str:
    if isinstance(former, dict) and isinstance(now, dict):
        name = next(name for name in sorted(former.keys() | now.keys()) if former.get(name, ...) != now.get(name, ...))
        return f"{name} was {former.get(name)!r}, is {now.get(name)!r}"
    return f"it was {former!r}, is {now!r}"
