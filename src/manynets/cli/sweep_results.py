"""The folder of a sweep: what was swept, the result of each network, and the checkpoints of those in training."""

from __future__ import annotations

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
from manynets.cli.unfinished import part_of, remove_half_written
from manynets.errors import ModelFileError, OptionError
from manynets.renames import renamed_options, stored_options

__all__ = ["BEST", "CURVES_PICTURE", "PARALLEL_PICTURE", "RESULTS", "Key", "Row", "SweepResults", "picture_of"]

RESULTS, CURVES, CONFIG, BEST, CHECKPOINTS = "results.csv", "curves.jsonl", "sweep.json", "best", "checkpoints"
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
            how = "--resume to go on with it, or --overwrite to start anew" if there else "another folder with --out"
            raise OptionError(f"{folder} exists; give {how}")

    def _read(self) -> None:
        former = renamed_options(json.loads((self.folder / CONFIG).read_text(encoding="utf-8")))
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
        except (KeyError, ValueError, TypeError) as error:
            raise ModelFileError(f"{self.folder / RESULTS} is damaged: {error}; start anew with --overwrite") from None

    def open(self) -> None:
        """Make the folder and write sweep.json; what is left of an earlier sweep that is not resumed is removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.rows:
            for name in (RESULTS, CURVES):
                (self.folder / name).unlink(missing_ok=True)
        pictures = (PARALLEL_PICTURE, CURVES_PICTURE, *map(picture_of, self.config["grid"]))
        for name in (RESULTS, CURVES, CONFIG, BEST, *pictures):
            remove_half_written(self.folder / name)
        if not self.resume:
            shutil.rmtree(self.checkpoints, ignore_errors=True)
            shutil.rmtree(part_of(self.folder / BEST), ignore_errors=True)
        self._write(CONFIG, json.dumps(self.config | {"memory": self.memory}, indent=2) + "\n")

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


def _cell(value: Any) -> Any:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def _difference(former: Any, now: Any) -> str:
    if isinstance(former, dict) and isinstance(now, dict):
        name = next(name for name in sorted(set(former) | set(now)) if former.get(name) != now.get(name))
        return f"{name} was {former.get(name)!r}, is {now.get(name)!r}"
    return f"it was {former!r}, is {now!r}"
