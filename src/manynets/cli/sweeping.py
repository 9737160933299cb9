"""What `manynets sweep` does: train candidates x seeds x folds together, write the results, rank and draw them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import shutil
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from manynets import runs
from manynets.cli.checkpoints import can_resume, checkpoint_interval, portable_options
from manynets.cli.data import Part, Source, from_standard_input, load_source, origin_of, stem_of, taken
from manynets.cli.fit import _encoder, _validation_share, fit, scalars
from manynets.cli.grid import combinations, grid_of
from manynets.cli.options import left_out
from manynets.cli.recipe import flag_of, network_of, recipe_of
from manynets.cli.report import console_for, counted, note
from manynets.cli.signals import Stopped
from manynets.cli.sweep_report import draw, print_ranking
from manynets.cli.sweep_results import BEST, RESULTS, Key, Row, SweepResults
from manynets.errors import CheckpointWarning, ManynetsError, OptionError
from manynets.search.many import Result, train_candidates
from manynets.spec import EPOCHS, MLP, Recipe
from manynets.training.checkpoint import Checkpoint
from manynets.training.many import memory_at_hand
from manynets.training.settings import find_device

__all__ = ["run_sweep"]

CHECKPOINT_INTERVAL = "30 s"
FACTOR = 3


def run_sweep(options: Mapping[str, Any]) -> None:
    """Run the sweep that the options describe, and write its folder."""
    own = {name: options[name] for name in ("grid", "seeds", "cv", "halving", "at_most", "resume")}
    base = {name: value for name, value in options.items() if name not in own}
    base |= {"engine": None, "resume": None, "n_networks": 1}
    base["checkpoint_every"] = options["checkpoint_every"] or CHECKPOINT_INTERVAL
    console = console_for(quiet=options["quiet"], to_stderr=options["json_line"])
    grid = grid_of(own["grid"] or [])
    _check(own, base)
    points = combinations(grid)
    origin = origin_of(base)
    folder = Path(base["out"] or runs.free_run_folder(f"{stem_of(origin)}-sweep"))
    swept = {"options": portable_options(base), "grid": grid, **{name: own[name] for name in ("seeds", "cv", "halving")}}
    results = SweepResults(folder, grid, json.loads(json.dumps(swept)), resume=own["resume"], overwrite=bool(base["overwrite"]))

    source = load_source(origin)
    for text in source.notes:
        note(console, text)
    splits = _splits(source, base, own["cv"])
    problem = _Problem(source, splits, base, points, grid)
    networks = len(points) * own["seeds"] * len(splits)
    counts = " x ".join(map(counted, (len(points), own["seeds"], len(splits)), ("candidate", "seed", "fold")))
    console.print(f"{counts} = {counted(networks, 'network')}, into {folder}", markup=False, soft_wrap=True)
    if results.memory is None:
        results.memory = memory_at_hand(find_device(problem.device))
    results.open()
    with _resumable(results):
        best, score = _trained(problem, results, own, console)
        draw(results, points, problem.metric)
        if best is None:
            raise OptionError(f"none of the {len(points)} candidates could be trained; {folder / RESULTS} says why")
        _fit_best({**base, **points[best], "out": str(folder / BEST), "overwrite": True, "quiet": True, "json_line": False})
    print_ranking(console, results, points, best=best, metric=problem.metric)
    if base["json_line"]:
        metrics = runs.read_run(folder / BEST).metrics
        line = {"sweep_dir": str(folder), "networks": len(results.rows), "best": points[best], "score": score}
        line |= {"metric": problem.metric, "test": scalars(metrics.get("test"))}
        sys.stdout.write(json.dumps(runs.plain_json(line), allow_nan=False) + "\n")


def _check(own: Mapping[str, Any], base: Mapping[str, Any]) -> None:
    """Raise OptionError for invalid options, before the data are read."""
    checkpoint_interval(base["checkpoint_every"])
    for name in ("seeds", "at_most"):
        if own[name] < 1:
            raise OptionError(f"{flag_of(name)} is {own[name]}, but must be at least 1")
    if base["device"] is not None:
        find_device(Recipe(device=base["device"]).device)
    if from_standard_input(base):
        raise OptionError(
            "a sweep reads its data again for its best network, but standard input can be read only once; name a file"
        )


@contextlib.contextmanager
def _resumable(results: SweepResults) -> Iterator[None]:
    """Within this context, the message of a stop says what is saved and how to resume."""
    try:
        yield
    except (KeyboardInterrupt, Stopped) as error:
        number = error.number if isinstance(error, Stopped) else signal.SIGINT
        text = f"{len(results.rows)} networks are saved in {results.folder / RESULTS}"
        if any(results.checkpoints.glob("part-*/step-*.checkpoint")):
            text += f", those in training in {results.checkpoints}"
        text += f"; resume with --resume --out {results.folder}"
        raise Stopped(number, text) from None


def _trained(problem: _Problem, results: SweepResults, own: Mapping[str, Any], console: Any) -> tuple[int | None, float]:
    """Train all that has no result yet; return the best candidate, None where none could be trained, and its mean score."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", CheckpointWarning)
        every = checkpoint_interval(problem.options["checkpoint_every"])
        best = _rounds(problem, results, own, every=every, quiet=problem.options["quiet"])
    for text in dict.fromkeys(str(entry.message) for entry in caught):
        note(console, text)
    return best


def _fit_best(options: Mapping[str, Any]) -> None:
    """Train the best candidate as `manynets train` does, from its last checkpoint if there is one."""
    if can_resume(options["out"], options):
        options = {**left_out(), "resume": options["out"], "quiet": True}
    fit(options)


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
        self, networks: Sequence[tuple[int, int, int]], book: SweepResults, *, at_most: int, every: Mapping[str, Any], quiet: bool
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

            train_candidates(
                X,
                y,
                candidates,
                cv=pairs,
                sample_weight=_class_weights(self.options, self.task, y, weight),
                task=self.task if self.options["loss"] == "poisson" or self.task.name != "regression" else "regression",
                validation=self.inner,
                progress=False if quiet else "auto",
                memory_limit=book.memory,
                at_most=at_most,
                told=told,
                checkpoint=Checkpoint(folder=book.checkpoints, **every),
                resume=book.checkpoints if book.checkpoints.is_dir() else None,
                known=known,
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
    from manynets.fitting import row_weights

    return row_weights(task, task.encode(y), len(y), weight, options["class_weight"])


def _rounds(
    problem: _Problem, book: SweepResults, own: Mapping[str, Any], *, every: Mapping[str, Any], quiet: bool
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
    most = max(recipe.epochs or EPOCHS for _, recipe in problem.candidates.values())
    rounds = 1 + math.floor(math.log(max(candidates, 1), FACTOR) + 1e-9)
    budgets = [max(1, most // FACTOR**k) for k in reversed(range(rounds))]
    return list(dict.fromkeys(budgets))
