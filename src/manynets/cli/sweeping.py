"""What `manynets sweep` does: candidates x seeds x folds, trained together, written down part by part, ranked, drawn."""

from __future__ import annotations

import csv
import dataclasses
import inspect
import io
import json
import math
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from manynets import plots, runs
from manynets.cli.data import Part, Source, from_standard_input, load_source, origin_of, stem_of, taken
from manynets.cli.fit import _encoder, _validation_share, fit, scalars
from manynets.cli.grid import combinations, grid_of
from manynets.cli.recipe import network_of, recipe_of
from manynets.cli.report import console_for, note, table_of
from manynets.cli.unfinished import Stopped, is_unfinished, part_of, portable, remove_half_written, schedule_of
from manynets.errors import CheckpointWarning, ManynetsError, ModelFileError, OptionError
from manynets.renames import renamed_options, stored_options
from manynets.search.candidates import Result, plan_candidates, train_plan
from manynets.spec import MLP, Recipe
from manynets.training.checkpoint import Checkpoint
from manynets.training.groups import memory_at_hand
from manynets.training.torch_settings import find_device

__all__ = ["draw", "run_sweep"]

RESULTS, CURVES, CONFIG, BEST, CHECKPOINTS = "results.csv", "curves.jsonl", "sweep.json", "best", "checkpoints"
PARALLEL_PICTURE, CURVES_PICTURE = "parallel.png", "curves.png"  # beside one for each option
EVERY = "30 s"  # how often the state of what is being trained is written
FACTOR = 3
FIGURES = ("epochs_allowed", "score", "loss", "epochs", "stopped", "seconds", "error")
Key = tuple[int, int, int, int]  # candidate, seed, fold, epochs allowed
Row = dict[str, Any]


def run_sweep(options: Mapping[str, Any]) -> None:
    """Train as the options say, part by part, and write the folder."""
    own = {name: options[name] for name in ("grid", "seeds", "cv", "halving", "at_most", "resume")}
    base = {name: value for name, value in options.items() if name not in own}
    base |= {"engine": None, "resume": None, "n_networks": 1}
    base["checkpoint_every"] = options["checkpoint_every"] or EVERY
    every = schedule_of(base["checkpoint_every"])
    console = console_for(quiet=options["quiet"], to_stderr=options["json_line"])
    grid = grid_of(own["grid"] or [])
    for name in ("seeds", "at_most"):
        if own[name] < 1:
            raise OptionError(f"--{name.replace('_', '-')} is {own[name]}, but must be at least 1")
    if base["device"] is not None:
        find_device(Recipe(device=base["device"]).device)
    points = combinations(grid)
    if from_standard_input(base):
        raise OptionError("a sweep reads its data again for its best network, and standard input can be read once; name a file")
    origin = origin_of(base)
    folder = Path(base["out"] or runs.free_run_folder(f"{stem_of(origin)}-sweep"))
    kept = json.loads(json.dumps({"options": portable(base), "grid": grid, **{n: own[n] for n in ("seeds", "cv", "halving")}}))
    book = _Book(folder, grid, kept, resume=own["resume"], overwrite=bool(base["overwrite"]))

    source = load_source(origin)
    for text in source.notes:
        note(console, text)
    splits = _splits(source, base, own["cv"])
    problem = _Problem(source, splits, base, points, grid)
    console.print(
        f"{len(points)} candidates x {own['seeds']} seeds x {len(splits)} folds = "
        f"{len(points) * own['seeds'] * len(splits)} networks, into {folder}",
        markup=False,
        soft_wrap=True,
    )
    book.open(problem.device)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", CheckpointWarning)
            best, score = _rounds(problem, book, own, every=every, quiet=base["quiet"])
        for text in dict.fromkeys(str(entry.message) for entry in caught):
            note(console, text)
        draw(folder, book, grid, problem)
        if best is None:
            raise OptionError(f"none of the {len(points)} candidates could be trained; {folder / RESULTS} says why")
        _fit_best({**base, **points[best], "out": str(folder / BEST), "overwrite": True, "quiet": True, "json_line": False})
    except (KeyboardInterrupt, Stopped) as error:
        number = error.number if isinstance(error, Stopped) else signal.SIGINT
        text = f"{len(book.rows)} networks are kept in {folder / RESULTS}"
        if any(book.checkpoints.glob("part-*/step-*.checkpoint")):
            text += f", those under way in {book.checkpoints}"
        text += f"; go on with --resume --out {folder}"
        raise Stopped(number, text) from None
    _report(console, book, problem, points, best, folder)
    if base["json_line"]:
        metrics = runs.read_run(folder / BEST).metrics
        line = {"sweep_dir": str(folder), "networks": len(book.rows), "best": points[best], "score": score}
        line |= {"metric": problem.metric, "test": scalars(metrics.get("test"))}
        sys.stdout.write(json.dumps(runs.plain_json(line), allow_nan=False) + "\n")


def _fit_best(options: Mapping[str, Any]) -> None:
    """Train the best candidate as `manynets train` does, from its last checkpoint if it was under way before."""
    from manynets.cli.train import train

    if is_unfinished(options["out"], options):
        defaults = {name: parameter.default for name, parameter in inspect.signature(train).parameters.items()}
        options = {**defaults, "resume": options["out"], "quiet": True}
    fit(options)


class _Book:
    """The folder of a sweep: a line in results.csv and its curve in curves.jsonl for each network that is through."""

    def __init__(self, folder: Path, grid: Mapping[str, Any], config: dict[str, Any], *, resume: bool, overwrite: bool) -> None:
        self.folder, self.config, self.resume = folder, config, resume
        self.names = ["candidate", "seed", "fold", *grid, *FIGURES]
        self.rows: dict[Key, Row] = {}
        self.curves: dict[Key, list[float]] = {}
        self.memory: int | None = None  # bytes that networks trained together may take: as it was when the sweep began
        there = (folder / CONFIG).is_file()
        if resume:
            if not there:
                raise OptionError(f"{folder} is no sweep: it has no {CONFIG}; give its folder with --out, or leave out --resume")
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

    def open(self, device: str) -> None:
        """Make the folder, with what describes the sweep; what is left of an earlier one that is not gone on with is removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.rows:
            for name in (RESULTS, CURVES):
                (self.folder / name).unlink(missing_ok=True)
        pictures = (PARALLEL_PICTURE, CURVES_PICTURE, *map(_picture, self.config["grid"]))
        for name in (RESULTS, CURVES, CONFIG, BEST, *pictures):
            remove_half_written(self.folder / name)
        if not self.resume:
            shutil.rmtree(self.checkpoints, ignore_errors=True)
            shutil.rmtree(part_of(self.folder / BEST), ignore_errors=True)
        if self.memory is None:
            self.memory = memory_at_hand(find_device(device))
        self._write(CONFIG, json.dumps(self.config | {"memory": self.memory}, indent=2) + "\n")

    @property
    def checkpoints(self) -> Path:
        """Where the states of the networks lie that are being trained."""
        return self.folder / CHECKPOINTS

    def add(self, rows: Mapping[Key, Row], curves: Mapping[Key, list[float]]) -> None:
        """Write down networks that are through, all or nothing."""
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


def _splits(source: Source, options: Mapping[str, Any], cv: int | None) -> list[tuple[Any, Any]]:
    """Return training and scoring rows of the source's training rows; (all, None) where it brings validation rows of its own."""
    from manynets.data.split import deal_rows, split_rows

    task = _task(source)
    strata, seed, rows = task.strata(task.encode(source.train.y)), options["seed"], source.train.rows
    if cv is not None:
        return list(deal_rows(rows, cv, strata=strata, seed=seed, what="--cv"))
    share = _validation_share(options, source)
    if share is None and source.validation is not None:
        return [(np.arange(rows), None)]
    if not share:
        raise OptionError("a sweep needs rows to score on; give --cv N or a --validation above 0")
    return [split_rows(rows, share, strata=strata, seed=seed, names=getattr(task, "classes", None))]


def _task(source: Source) -> Any:
    from manynets.tasks import Task, find_task

    return source.task if isinstance(source.task, Task) else find_task(source.train.y, name=source.task)


class _Problem:
    """The data of a sweep by fold, and its candidates."""

    def __init__(
        self,
        source: Source,
        splits: Sequence[tuple[Any, Any]],
        options: Mapping[str, Any],
        points: Sequence[Mapping[str, Any]],
        grid: Mapping[str, Any],
    ) -> None:
        self.source, self.splits, self.options = source, splits, options
        self.points, self.names = points, list(grid)
        self.task = _task(source)
        self.metric = self.task.metric
        self.rows = min(len(train) for train, _ in splits)
        self.encoded: dict[int, tuple[Part, Part]] = {}
        self.columns: dict[int, Sequence[str]] = {}  # names of the encoded columns, by fold
        given = options["validation"] if len(splits) > 1 else None
        self.inner = given or None  # rows of each fold to choose the best epoch by
        self.problems: dict[int, str] = {}
        self.candidates = {}
        for c, point in enumerate(points):
            try:
                self.candidates[c] = (network_of({**options, **point}), recipe_of({**options, **point}, rows=self.rows))
            except ManynetsError as error:
                self.problems[c] = " ".join(str(error).split())
        if not self.candidates:
            raise OptionError(self.problems[0])
        self.device = next(iter(self.candidates.values()))[1].device

    def data(self, fold: int) -> tuple[Part, Part]:
        """Return the rows to train and to score on; a table is encoded as its training rows show."""
        if fold not in self.encoded:
            train, test = self.splits[fold]
            first = taken(self.source.train, train)
            if test is None:
                assert self.source.validation is not None
                second = self.source.validation
            else:
                second = taken(self.source.train, test)
            if self.source.schema is not None:
                encoder = _encoder(first.X, self.source, self.options)
                self.columns[fold] = encoder.feature_names
                first, second = (Part(X=encoder.transform(p.X), y=p.y, weight=p.weight) for p in (first, second))
            self.encoded[fold] = first, second
        return self.encoded[fold]

    def train(
        self, networks: Sequence[tuple[int, int, int]], book: _Book, *, at_most: int, every: Mapping[str, Any], quiet: bool
    ) -> None:
        """Train the networks (candidate, seed, epochs) on all folds and write them down, but those that are in the book.

        Raises KeyboardInterrupt if that was interrupted.
        """
        shared = self.source.schema is None and self.splits[0][1] is not None  # arrays: all folds are rows of one matrix
        folds = range(len(self.splits))
        candidates = [self._candidate(*network) for network in networks]
        for part in [tuple(folds)] if shared else [(fold,) for fold in folds]:
            keys = {(i, j): (c, seed, f, epochs) for i, (c, seed, epochs) in enumerate(networks) for j, f in enumerate(part)}
            known = {
                place: self._known(place, *candidates[place[0]], book.rows[key]) for place, key in keys.items() if key in book.rows
            }
            if len(known) == len(keys):
                continue
            X, y, weight, pairs = self._whole() if shared else self._fold(part[0])
            ended: list[bool] = []

            def told(results: Sequence[Result], keys: Mapping[tuple[int, int], Key] = keys, ended: list[bool] = ended) -> None:
                ended.append(all(result.stopped != "interrupted" for result in results))
                if not ended[-1]:  # it is in a checkpoint, to go on from with the same company
                    return
                found = {keys[result.candidate, result.fold]: result for result in results}
                book.add(
                    {key: self._row(key, result) for key, result in found.items()},
                    {key: result.history.get("loss", []) for key, result in found.items()},
                )

            plan = plan_candidates(
                X,
                y,
                candidates,
                cv=pairs,
                sample_weight=_class_weights(self.options, self.task, y, weight),
                task=self.task if self.options["loss"] == "poisson" or self.task.name != "regression" else "regression",
                validation=self.inner,
            )
            train_plan(
                plan,
                progress=False if quiet else "auto",
                memory_limit=book.memory,
                max_networks=at_most,
                on_results=told,
                checkpoint=Checkpoint(folder=book.checkpoints, **every),
                resume=book.checkpoints if book.checkpoints.is_dir() else None,
                finished=known,
            )
            if not all(ended):
                raise KeyboardInterrupt

    def _known(self, place: tuple[int, int], spec: MLP, recipe: Recipe, row: Row) -> Result:
        """Return what the book has of a network."""
        figures = {name: row[name] for name in ("stopped", "loss", "score", "seconds")}
        return Result(candidate=place[0], fold=place[1], spec=spec, recipe=recipe, task=self.task, **figures)

    def _candidate(self, c: int, seed: int, epochs: int) -> tuple[MLP, Recipe]:
        spec, recipe = self.candidates[c]
        recipe = dataclasses.replace(recipe, seed=seed)
        return spec, dataclasses.replace(recipe, epochs=epochs, iterations=None) if epochs else recipe

    def _whole(self) -> tuple[Any, Any, Any, Sequence[tuple[Any, Any]]]:
        """Return all rows, and the folds as they are."""
        part = self.source.train
        return part.X, part.y, part.weight, self.splits

    def _fold(self, fold: int) -> tuple[Any, Any, Any, Sequence[tuple[Any, Any]]]:
        """Return the rows to train and to score on, one after the other."""
        first, second = self.data(fold)
        X, y = np.concatenate([first.X, second.X]), np.concatenate([np.asarray(first.y), np.asarray(second.y)])
        weight = None
        if first.weight is not None:
            weight = np.concatenate([first.weight, np.ones(second.rows) if second.weight is None else second.weight])
        return X, y, weight, [(np.arange(first.rows), np.arange(first.rows, len(X)))]

    def _row(self, key: Key, result: Result) -> Row:
        c, seed, fold, epochs = key
        history = result.history.get("epoch", [])
        figures: Row = {
            "epochs_allowed": epochs or None,
            "score": result.score,
            "loss": result.loss,
            "epochs": history[-1] if history else 0,
            "stopped": result.stopped,
            "seconds": round(result.seconds, 3),
            "error": self._why(fold, result),
        }
        return {"candidate": c, "seed": seed, "fold": fold, **self.points[c], **figures}

    def _why(self, fold: int, result: Result) -> str | None:
        """Return in a line why a network failed or diverged, None where it did neither."""
        if result.divergence is not None:
            return f"{result.divergence.where(self.columns.get(fold))}; {result.divergence.remedy(self.columns.get(fold))}"
        return None if result.error is None else " ".join(str(result.error).split())


def _class_weights(options: Mapping[str, Any], task: Any, y: Any, weight: Any) -> Any:
    if options["class_weight"] is None:
        return weight
    from manynets.prepare import row_weights

    return row_weights(task, task.encode(y), len(y), weight, options["class_weight"])


def _rounds(
    problem: _Problem, book: _Book, own: Mapping[str, Any], *, every: Mapping[str, Any], quiet: bool
) -> tuple[int | None, float]:
    """Train all that is not in the book yet; return the best candidate and its mean score (of the last round of a halving)."""
    seeds = [problem.options["seed"] + k for k in range(own["seeds"])]
    alive = list(problem.candidates)
    budgets = _budgets(problem, len(alive)) if own["halving"] else [0]
    broken = {
        (c, problem.options["seed"], 0, 0): {
            "candidate": c, "seed": problem.options["seed"], "fold": 0, **problem.points[c], "score": math.nan, "loss": math.nan,
            "epochs": 0, "stopped": "failed", "seconds": 0.0, "error": text,
        }
        for c, text in problem.problems.items()
    }  # fmt: skip
    if broken:
        book.add(broken, {})
    best, score = None, math.nan
    for number, epochs in enumerate(budgets):
        networks = [(c, seed, epochs) for c in alive for seed in seeds]
        problem.train(networks, book, at_most=own["at_most"], every=every, quiet=quiet)
        keys = [(c, seed, fold, epochs) for c, seed, _ in networks for fold in range(len(problem.splits))]
        means = {c: float(np.mean([book.rows[key]["score"] for key in keys if key[0] == c])) for c in alive}
        known = sorted((c for c in alive if math.isfinite(means[c])), key=lambda c: -means[c])
        if not known:
            return None, math.nan
        best, score = known[0], means[known[0]]
        if number + 1 < len(budgets):
            alive = known[: math.ceil(len(alive) / FACTOR)]
    shutil.rmtree(book.checkpoints, ignore_errors=True)
    return best, score


def _budgets(problem: _Problem, candidates: int) -> list[int]:
    """Return the epochs of each round of a halving: the last has all, each one before a third."""
    if "epochs" in problem.names or "iterations" in problem.names or problem.options["iterations"] is not None:
        raise OptionError("--halving divides the epochs itself; leave epochs and iterations out of --grid, and give --epochs")
    most = max(recipe.epochs or 20 for _, recipe in problem.candidates.values())
    rounds = 1 + math.floor(math.log(max(candidates, 1), FACTOR) + 1e-9)
    budgets = [max(1, most // FACTOR**k) for k in reversed(range(rounds))]
    return list(dict.fromkeys(budgets))


# ---------------------------------------------------------------------------------------------------------------- pictures


def _picture(option: str) -> str:
    return f"{option}.png"


def draw(folder: Path, book: _Book, grid: Mapping[str, list[Any]], problem: _Problem) -> None:
    """Draw the score over each option, all options as parallel coordinates, and the curves of all networks."""
    last = max((key[3] for key in book.rows), default=0)
    rows = [{**problem.points[key[0]], **row, "key": key} for key, row in book.rows.items()]
    scored = [row for row in rows if math.isfinite(row["score"])]
    if not scored:
        return
    metric = problem.metric
    for name, values in grid.items():
        log = all(isinstance(value, float) and value > 0 for value in values) and max(values) >= 10 * min(values)
        found = [problem.points[row["key"][0]][name] for row in rows]
        axes = plots.score_over(found, [row["score"] for row in rows], name=name, score=metric, log=log)
        plots.save(axes, folder / _picture(name))
    if grid:
        table = [{name: problem.points[row["key"][0]][name] for name in grid} | {metric: row["score"]} for row in rows]
        plots.save(plots.parallel_coordinates(table, score=metric), folder / PARALLEL_PICTURE)
    keys = [key for key in book.curves if any(math.isfinite(value) for value in book.curves[key])]
    final = [k for k, key in enumerate(keys) if key[3] == last and math.isfinite(book.rows[key]["score"])]
    best = max(final, key=lambda k: book.rows[keys[k]]["score"]) if final else None
    curves = [book.curves[key] for key in keys]
    if curves:
        plots.save(plots.learning_curves(curves, best=best, ylabel="training loss", log=True), folder / CURVES_PICTURE)


def _report(console: Any, book: _Book, problem: _Problem, points: Sequence[Mapping[str, Any]], best: int, folder: Path) -> None:
    last = max(key[3] for key in book.rows)
    means: dict[int, list[float]] = {}
    for key, row in book.rows.items():
        if key[3] == last and math.isfinite(row["score"]):
            means.setdefault(key[0], []).append(row["score"])
    ranked = sorted(means, key=lambda c: (c != best, -float(np.mean(means[c]))))
    lines = [
        (*(str(points[c][name]) for name in problem.names), float(np.mean(means[c])), float(np.std(means[c])), len(means[c]))
        for c in ranked[:10]
    ]
    names = [*problem.names, problem.metric, "std", "networks"]
    console.print(table_of(names, lines, title=f"The best of {len(points)} candidates"))
    failed = sum(row["stopped"] in ("failed", "diverged") for row in book.rows.values())
    if failed:
        note(console, f"{failed} of {len(book.rows)} networks failed or diverged; {RESULTS} says why")
    files = ", ".join(sorted(entry.name for entry in folder.iterdir()))
    console.print(f"Written to {folder}: {files}", markup=False, soft_wrap=True)
