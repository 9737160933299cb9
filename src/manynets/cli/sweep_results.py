"""The folder of a sweep: what was swept, the result of each network, and the checkpoints of those in training."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import math
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from manynets import __version__, runs
from manynets.cli.checkpoints import part_folder
from manynets.cli.options import SWEEP
from manynets.cli.preset import PLAIN
from manynets.cli.saved_runs import BEST
from manynets.cli.saved_runs import SWEEP as CONFIG
from manynets.cli.sweep_candidates import SEARCHED, combinations, value_from
from manynets.cli.sweep_differences import check_same
from manynets.display import HEADINGS, number_text
from manynets.errors import ModelFileError, OptionError
from manynets.jsonfiles import read_json
from manynets.modelfile import replacing
from manynets.renames import LATER, renamed_options
from manynets.spec import LOWER_IS_BETTER, score_or_worst

RESULTS, CURVES, CHECKPOINTS = "results.csv", "curves.jsonl", "checkpoints"
FILES = (".csv", ".json", ".jsonl", ".png")  # the endings of what is no folder
FORMER = "former"  # an earlier sweep, until the one that --overwrite asked for is whole
SHAPE = {
    "options": {str: object},
    "grid": {str: [object]},
    "?drawn": [str],
    "?metric": str,
    "?ranked_by": str,
    "?version": str,
    "?split_by_fold": bool,
    "?memory": int,
    "?data": {str: str},
}
PARALLEL_PICTURE, CURVES_PICTURE = "parallel.png", "curves.png"  # in addition to one for each option
COLUMNS = ("score", "loss", "epochs", "stopped", "seconds", "error")
DEFAULT = "default"  # the column that says which candidate is the default
Key = tuple[int, int, int, int]
"""Candidate, seed, fold, and epochs allowed, of an ensemble the steps (0: as the recipe says)."""
Row = dict[str, Any]
Found = tuple[Key, Row, list[float]]
"""A result: its line in results.csv, and the curve of its loss."""
SweepCandidate = tuple[int, Mapping[str, Any]]
"""The number of a candidate, and the options in which it differs from those of the sweep."""


@dataclasses.dataclass(frozen=True)
class Measure:
    """What candidates are ranked by: the metric that `score` is, or with `by_loss` the loss."""

    metric: str = "score"
    by_loss: bool = False

    @property
    def heading(self) -> str:
        """The metric as tables name it."""
        return HEADINGS.get(self.metric, self.metric)

    @property
    def name(self) -> str:
        """What candidates are ranked by, as tables name it."""
        return "log loss" if self.by_loss else self.heading

    @property
    def column(self) -> str:
        """The column of results.csv that has it."""
        return "loss" if self.by_loss else "score"

    @property
    def less_is_better(self) -> bool:
        """Whether the candidate with the least of it is the best."""
        return self.by_loss or self.metric in LOWER_IS_BETTER

    def of(self, row: Mapping[str, Any]) -> float:
        """Return it of a row: the worst possible value where the training failed or diverged."""
        metric = "log_loss" if self.by_loss else self.metric
        return score_or_worst(float(row[self.column]), metric=metric, stopped=row["stopped"])


@dataclasses.dataclass(frozen=True)
class Ranked:
    """A candidate among the others: means over its seeds and folds. measured: what it is ranked by; spread: its standard deviation.

    diverged: whether any of its trainings did.
    """

    candidate: int
    score: float
    loss: float
    measured: float
    spread: float
    results: int
    row: Row
    diverged: bool


def option_column(option: str) -> str:
    """Return the column of results.csv with the values of an option: its name, unless that is what a result is called.

    >>> option_column("lr"), option_column("loss")
    ('lr', 'loss_option')
    """
    return f"{option}_option" if option in COLUMNS else option


def picture_of(option: str) -> str:
    """Return the file name of the picture of the score over an option."""
    return f"{option}.png"


class SweepResults:
    """The folder of a sweep: for each finished network or ensemble a line in results.csv and its curve in curves.jsonl.

    options: names of the options that differ between its candidates. measure: what these are ranked by.
    """

    def __init__(self, folder: Path, config: dict[str, Any], *, resume: bool, overwrite: bool) -> None:
        self.folder, self.config, self.resume = folder, config, resume
        self.options: list[str] = list(config.get("drawn") or config["grid"])
        self.ensembles = config["options"].get("preset", PLAIN) != PLAIN
        self.noun = "ensemble" if self.ensembles else "network"  # what each line in results.csv is of
        self.with_default = self.ensembles or "drawn" in config
        self.allowed = "steps_allowed" if self.ensembles else "epochs_allowed"
        marks = [DEFAULT] if self.with_default else []
        self.names = ["candidate", *marks, "seed", "fold", *map(option_column, self.options), self.allowed, *COLUMNS]
        self.made: list[Path] = []  # the folders that `open` made
        self.begun = False  # whether what is in the folder is of this sweep
        self.rows: dict[Key, Row] = {}
        self.curves: dict[Key, list[float]] = {}
        self.memory: int | None = None  # bytes that networks trained together may take, as when the sweep began
        self.version: str | None = __version__  # with which the sweep began, None for 0.1
        self.data: dict[str, str] | None = None  # hashes of the data
        self.split_by_fold = True  # whether all networks of a fold validate on the same rows, and it is encoded by the others; else see `plan_candidates`
        self.measure = Measure()
        there = (folder / CONFIG).is_file()
        if resume:
            if not there:
                raise OptionError(f"{folder} is not a sweep: it has no {CONFIG}; give its folder with --out, or leave out --resume")
            self._read()
        elif os.path.lexists(folder) and not (overwrite and (there or not any(folder.iterdir()))):
            how = "--resume to resume it, or --overwrite to start anew" if there else "another folder with --out"
            raise OptionError(f"{folder} exists; give {how}")

    def _read(self) -> None:
        former, began = _read_config(self.folder)
        self.memory, self.measure = began["memory"], Measure(began["metric"] or "score", began["ranked_by"] == "loss")
        self.version, self.split_by_fold = began["version"], bool(began["split_by_fold"])
        self.data = began["data"]
        check_same(former, self.config, where=f"the sweep in {self.folder}", remedy="another --out")
        for name, take in ((CURVES, self._take_curves), (RESULTS, self._take_results)):
            path = self.folder / name
            if path.exists() and not path.is_file():
                raise ModelFileError(f"{path} is damaged: it is not a regular file; start anew with --overwrite")
            try:
                with path.open(encoding="utf-8-sig", newline="") as file:  # with a mark where a spreadsheet has saved it
                    take(file)
            except FileNotFoundError:
                continue
            except (csv.Error, LookupError, ValueError, TypeError, RecursionError, OptionError) as error:
                why = f"the column {error} is missing" if isinstance(error, KeyError) else str(error)
                raise ModelFileError(f"{path} is damaged: {why}; correct it, or start anew with --overwrite") from None

    def _take_curves(self, file: Iterable[str]) -> None:
        for number, text in enumerate(file, 1):
            try:
                line = json.loads(text)
                self.curves[tuple(line["key"])] = [math.nan if value is None else float(value) for value in line["curve"]]
            except (LookupError, ValueError, TypeError, RecursionError):
                raise ValueError(f"line {number} is not whole") from None

    def _take_results(self, file: Iterable[str]) -> None:
        lines = csv.DictReader(file, strict=True)
        for row in map(renamed_options, lines):
            if None in row or None in row.values():
                raise ValueError(f"line {lines.line_num} has too {'many' if None in row else 'few'} cells")
            key = (int(row["candidate"]), int(row["seed"]), int(row["fold"]), int(row[self.allowed] or 0))
            if key in self.rows:
                raise ValueError(f"line {lines.line_num} is of the same {self.noun} as an earlier one")
            numbers = {name: float(row[name] or "nan") for name in ("score", "loss", "seconds")}
            self.rows[key] = self._judged({**row, **self._options_of(row), **numbers})
            self.curves.setdefault(key, [])

    def check_data(self, fingerprint: Mapping[str, Any]) -> None:
        """Raise OptionError where the sweep was begun with data of other contents; that of version 0.1 does not know its own."""
        now = {name: str(mark["sha256"]) for name, mark in fingerprint.items()}
        if self.data is not None:
            check_same({"data": self.data}, {"data": now}, where=f"the sweep in {self.folder}", remedy="another --out")
        self.data = now

    def _options_of(self, row: Mapping[str, str]) -> dict[str, Any]:
        """Return the values of the options in a line of results.csv, by column."""
        out = {}
        for name in self.options:
            column = option_column(name)
            if column != name and column not in row and not self.with_default:  # version 0.1 had two columns of that name
                out[column] = combinations(self.config["grid"])[int(row["candidate"])][name]
            else:
                out[column] = value_from(name, row[column])
        return out

    @property
    def pictures(self) -> tuple[str, ...]:
        """The names of the files with its pictures."""
        return _pictures(self.options)

    @property
    def trained(self) -> int:
        """How many candidates have a result."""
        return len({key[0] for key in self.rows})

    @property
    def best_so_far(self) -> str:
        """The best result of the last round, in words."""
        ranking = self.ranking()
        return f"{self.measure.name} {number_text(ranking[0].measured)}" if ranking and not ranking[0].diverged else ""

    def _judged(self, row: Row) -> Row:
        """Return a row; one of a training that failed or diverged gets the worst possible score."""
        return {**row, "score": score_or_worst(row["score"], metric=self.measure.metric, stopped=row["stopped"])}

    def ranking(self, length: int | None = None) -> list[Ranked]:
        """Return the candidates of the round of this length, the best first, then those that diverged; without those of which another result is not finite.

        By default of the last round, or the last one with a candidate that did not diverge.
        """
        if length is None:
            lengths = sorted({key[3] for key in self.rows}, reverse=True)
            rankings = [self.ranking(length) for length in lengths]
            return next((ranking for ranking in rankings if ranking and not ranking[0].diverged), rankings[0] if rankings else [])
        diverged = {key[0] for key, row in self.rows.items() if row["stopped"] == "diverged"}
        by_candidate: dict[int, list[Row]] = {}
        for key, row in sorted(self.rows.items()):
            if key[3] == length:
                by_candidate.setdefault(key[0], []).append(row)
        out = []
        for candidate, rows in by_candidate.items():
            own = np.array([self.measure.of(row) for row in rows])
            if np.isfinite(own[[row["stopped"] != "diverged" for row in rows]]).all():
                score, loss = (float(np.mean([row[name] for row in rows])) for name in ("score", "loss"))
                spread = float(own.std()) if np.isfinite(own).all() else math.nan
                out.append(Ranked(candidate, score, loss, float(own.mean()), spread, len(rows), rows[0], candidate in diverged))
        sign = 1 if self.measure.less_is_better else -1

        def order(ranked: Ranked) -> tuple[bool, float, int]:
            if ranked.diverged:  # then by the loss of their last finite weights
                return True, math.inf if math.isnan(ranked.loss) else ranked.loss, ranked.candidate
            return False, sign * ranked.measured, ranked.candidate

        return sorted(out, key=order)

    def open(self) -> None:
        """Make the folder and write sweep.json; an earlier sweep that is not resumed is moved into the folder `former`."""
        self.made = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in _names(self.config):
            runs.remove_leftovers(self.folder / name)
        if not self.resume:
            self._move_former()
        self.begun = True
        more: dict[str, Any] = {
            "version": self.version,
            "memory": self.memory,
            "metric": self.measure.metric,
            "ranked_by": self.measure.column,
        }
        more |= {"split_by_fold": self.split_by_fold, "data": self.data}
        self._write(CONFIG, json.dumps(self.config | more, indent=2) + "\n")

    def _known_names(self) -> set[str]:
        """Return the names of what this sweep writes to its folder, and what the earlier ones in it wrote."""
        names = set(_names(self.config))
        for folder in (self.folder, self.folder / FORMER):
            with contextlib.suppress(ModelFileError, OSError):
                names |= set(_names(_read_config(folder)[0]))
        return names

    def check_folder(self) -> None:
        """Raise OptionError where something in the folder that no sweep made is in the way of this one, or would be removed."""
        known, former = self._known_names(), self.folder / FORMER
        in_the_way = next((name for name in sorted(known) if name.endswith(FILES) and (self.folder / name).is_dir()), None)
        if in_the_way is not None:
            raise OptionError(f"{self.folder / in_the_way} is a folder, but a sweep writes a file of this name; move it")
        if os.path.lexists(former) and not (former.is_dir() and known.issuperset(os.listdir(former))):
            raise OptionError(
                f"{former} is not of a sweep; move it, as a sweep puts an earlier one there, and removes it in the end"
            )
        if os.path.lexists(self.folder / BEST):
            runs.check_run_folder(self.folder / BEST, overwrite=True)

    def _move_former(self) -> None:
        """Move an earlier sweep to `former`; if there is one already, the one next to it was never finished."""
        former = self.folder / FORMER
        there = [self.folder / name for name in sorted(self._known_names()) if os.path.lexists(self.folder / name)]
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

    @property
    def is_resumable(self) -> bool:
        """Whether there is something to resume: results, or networks in training."""
        return self.resume or (self.begun and (bool(self.rows) or self.has_checkpoints))

    @property
    def has_checkpoints(self) -> bool:
        """Whether the state of networks in training is saved."""
        return any(self.checkpoints.glob("part-*/step-*.checkpoint"))

    def discard(self) -> None:
        """Remove this sweep, and the folders that were made for it; put an earlier one back."""
        for name in (CONFIG, CURVES, CHECKPOINTS) if self.begun else ():
            _remove(self.folder / name)
        former = self.folder / FORMER
        if former.is_dir():
            for path in former.iterdir():
                os.rename(path, self.folder / path.name)
            former.rmdir()
        for path in self.made:
            with contextlib.suppress(OSError):
                path.rmdir()

    @property
    def checkpoints(self) -> Path:
        """The folder with the checkpoints of the networks in training."""
        return self.folder / CHECKPOINTS

    def add(self, found: Iterable[Found]) -> None:
        """Write the results of finished networks, all or nothing."""
        all_rows, all_curves = dict(self.rows), dict(self.curves)
        for key, row, curve in found:
            c, seed, fold, allowed = key
            all_rows[key] = self._judged({"candidate": c, "seed": seed, "fold": fold, self.allowed: allowed or None, **row})
            all_curves[key] = curve
        text = io.StringIO()
        writer = csv.DictWriter(text, self.names, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in all_rows.values())
        lines = [json.dumps({"key": key, "curve": runs.plain_json(curve)}) for key, curve in all_curves.items()]
        self._write(CURVES, "\n".join(lines) + "\n")
        self._write(RESULTS, text.getvalue())
        self.rows.update(all_rows)
        self.curves.update(all_curves)

    def _write(self, name: str, text: str) -> None:
        with replacing(self.folder / name) as file:
            file.write(text.encode())


def read_sweep(folder: Path) -> SweepResults:
    """Return what is in the folder of a sweep.

    Raises FileNotFoundError for another folder.
    """
    return SweepResults(folder, _read_config(folder)[0], resume=True, overwrite=False)


def _read_config(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what sweep.json says was asked for, by the current names of the options, and what was found when the sweep began."""
    config = renamed_options(read_json(folder / CONFIG, SHAPE, remedy="start anew with --overwrite"))
    config |= {name: renamed_options(config[name]) for name in ("options", "grid")}
    unknown = next((name for name in (*config["grid"], *(config.get("drawn") or ())) if name not in SEARCHED), None)
    if unknown is not None:  # files are named after options
        raise ModelFileError(
            f"{folder / CONFIG} is damaged: {unknown!r} is no option that a sweep varies; start anew with --overwrite"
        )
    config["options"] = {name: value for name, value in LATER.items() if name in SWEEP} | config["options"]
    return config, {name: config.pop(name, None) for name in ("memory", "metric", "ranked_by", "version", "split_by_fold", "data")}


def _names(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of what a sweep of this configuration writes to its folder."""
    return (RESULTS, CURVES, CONFIG, BEST, part_folder(BEST).name, CHECKPOINTS, *_pictures(config.get("drawn") or config["grid"]))


def _pictures(options: Iterable[str]) -> tuple[str, ...]:
    return (PARALLEL_PICTURE, CURVES_PICTURE, *map(picture_of, options))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _cell(value: Any) -> Any:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value
