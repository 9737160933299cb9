"""What a sweep trains: candidates x seeds x folds on the data of each fold, in rounds where it halves them."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from manynets.cli.data import DataSource, Part, taken
from manynets.cli.fit import encoding, validation_share
from manynets.cli.grid import combinations
from manynets.cli.random_search import DRAWN, default_values, drawn_candidates
from manynets.cli.recipe import network_of, recipe_of
from manynets.cli.sweep_progress import SweepProgress
from manynets.cli.sweep_results import Key, Row, SweepResults
from manynets.cli.sweep_storage import SharedStudy, train_shared
from manynets.errors import ManynetsError, OptionError
from manynets.prepare import Split, cv_splits, encode_table, find_target, holdout, row_weights
from manynets.search.candidates import Result, plan_candidates, train_plan
from manynets.search.workers import worker_count
from manynets.spec import EPOCHS, MLP, Recipe
from manynets.training.checkpoint import Checkpoint

__all__ = ["FACTOR", "SweepPlan", "lengths_by_round", "survivors", "train_by_length", "train_rounds"]

FACTOR = 3  # of a halving


class SweepPlan:
    """The data of a sweep by fold, its candidates, and those that their options rule out.

    splits: rows to train and to score on, of the source's training rows; scored on its validation rows where that is None. changes: the
    options of each candidate that differ from those of the sweep; points: the values of all options that differ between candidates.
    """

    networks = 1
    """That a candidate trains with each seed on each fold."""

    def __init__(self, source: DataSource, options: Mapping[str, Any], own: Mapping[str, Any], grid: Mapping[str, Any]) -> None:
        self.source, self.options = source, options
        self.seeds = [options["seed"] + k for k in range(own["seeds"])]
        self.target = find_target(source.train.y, source.task)
        self.metric = self.target.task.metric
        if options["metric"] is not None:
            raise OptionError(
                f"--metric is {options['metric']}, but plain networks are ranked by their {self.metric}; leave it out, or give a --preset"
            )
        self.splits = self._splits(own["cv"])
        # with folds to score on, --validation asks for rows of each fold to choose the best epoch by
        self.validation = options["validation"] or None if len(self.splits) > 1 else None
        self.columns: dict[int, Sequence[str]] = {}  # names of the encoded columns, by fold
        self.ruled_out: dict[int, str] = {}
        self.candidates: dict[int, tuple[MLP, Recipe]] = {}
        rows = min(source.train.rows if split.train is None else len(split.train) for split in self.splits)
        self.with_default = own["n_candidates"] is not None
        if self.with_default:
            default = default_values(DRAWN, network_of(options), recipe_of(options, rows=rows))
            drawn = drawn_candidates(default, seed=options["seed"], most={"batch_size": rows})
            self.changes = [{}, *itertools.islice(drawn, own["n_candidates"])]
            self.points = [{**default, **changes} for changes in self.changes]
        else:
            self.changes = self.points = combinations(dict(grid))
        self.names = list(self.points[0])
        for c, changes in enumerate(self.changes):
            try:
                self.candidates[c] = (network_of({**options, **changes}), recipe_of({**options, **changes}, rows=rows))
            except ManynetsError as error:
                self.ruled_out[c] = " ".join(str(error).split())
        if not self.candidates:
            raise OptionError(self.ruled_out[0])

    @property
    def device(self) -> str:
        """The device of all candidates."""
        return next(iter(self.candidates.values()))[1].device

    def all_changes(self) -> Iterator[dict[str, Any]]:
        """Yield the options in which each candidate differs from those of the sweep."""
        yield from self.changes

    def _splits(self, cv: int | None) -> list[Split]:
        seed = self.options["seed"]
        if cv is not None:
            return cv_splits(self.target, cv, by=self.source.train.by, seed=seed, what="--cv")
        share = validation_share(self.options, self.source)
        if share is None and self.source.validation is not None:
            return [Split(None, None)]
        if not share:
            raise OptionError("a sweep needs rows to score on; give --cv N or a --validation above 0")
        return [holdout(self.target, share, seed=seed, by=self.source.train.by)]

    def candidate(self, c: int, seed: int, epochs: int) -> tuple[MLP, Recipe]:
        """Return a candidate with a seed, and so many epochs (0: its own)."""
        spec, recipe = self.candidates[c]
        recipe = dataclasses.replace(recipe, seed=seed)
        return spec, dataclasses.replace(recipe, epochs=epochs, iterations=None) if epochs else recipe

    def parts(self) -> Iterator[tuple[list[int], Callable[[], tuple[Part, list[Split]]]]]:
        """Yield the folds that are trained together, and how to get their data: of arrays all folds, of a table one at a time."""
        if self.source.schema is None and self.splits[0].held_out is not None:
            yield list(range(len(self.splits))), lambda: (self.source.train, self.splits)
            return
        for fold in range(len(self.splits)):
            yield [fold], functools.partial(self._fold, fold)

    def _fold(self, fold: int) -> tuple[Part, list[Split]]:
        """Return the rows to train and then those to score on, encoded as the former show, and their split."""
        (train, held_out), whole = self.splits[fold], self.source.train
        first = whole if train is None else taken(whole, train)
        second = taken(whole, held_out) if held_out is not None else self.source.validation
        assert second is not None
        pair = [np.asarray(first.X), np.asarray(second.X)] if self.source.schema is None else []
        if not pair:
            target = self.target.task.encode(first.y)
            matrix, encoder = encode_table(first.X, target=target, **encoding(self.source, self.options))
            self.columns[fold] = encoder.feature_names
            pair = [matrix, encode_table(second.X, encoder=encoder)[0]]
        weight = None
        if first.weight is not None:
            weight = np.concatenate([first.weight, np.ones(second.rows) if second.weight is None else second.weight])
        y = np.concatenate([np.asarray(first.y), np.asarray(second.y)])
        by = None if whole.by is None or held_out is None else whole.by.take(np.concatenate([train, held_out]))
        part = Part(X=np.concatenate(pair), y=y, weight=weight, by=by)
        return part, [Split(np.arange(first.rows), np.arange(first.rows, len(y)))]

    def row(self, key: Key, result: Result) -> Row:
        """Return the line of a network in results.csv."""
        c, seed, fold, epochs = key
        history = result.history.get("epoch", [])
        found: Row = {
            "epochs_allowed": epochs or None,
            "score": result.score,
            "loss": result.loss,
            "epochs": history[-1] if history else 0,
            "stopped": result.stopped,
            "seconds": round(result.seconds, 3),
            "error": None if result.error is None else " ".join(str(result.error).split()),
        }
        if result.divergence is not None:
            columns = self.columns.get(fold)
            found["error"] = f"{result.divergence.where(columns)}; {result.divergence.remedy(columns)}"
        return {**self._labels(c, seed, fold), **found}

    def _labels(self, c: int, seed: int, fold: int) -> Row:
        mark = {"default": "" if self.changes[c] else "yes"} if self.with_default else {}
        return {"candidate": c, **mark, "seed": seed, "fold": fold, **self.points[c]}

    def failed_rows(self) -> dict[Key, Row]:
        """Return a line for each candidate that its options rule out."""
        seed, missing = self.seeds[0], {"score": math.nan, "loss": math.nan, "epochs": 0, "stopped": "failed", "seconds": 0.0}
        return {(c, seed, 0, 0): {**self._labels(c, seed, 0), **missing, "error": text} for c, text in self.ruled_out.items()}


def train_networks(
    plan: SweepPlan,
    results: SweepResults,
    networks: Sequence[tuple[int, int, int]],
    *,
    max_networks: int,
    checkpoint: Checkpoint,
    progress: SweepProgress,
) -> None:
    """Train the networks (candidate, seed, epochs) on all folds, except those that have a result, and write the results of each part.

    Raises KeyboardInterrupt if the training was interrupted.
    """
    task, options = plan.target.task, plan.options
    candidates = [plan.candidate(*network) for network in networks]
    for folds, load in plan.parts():
        keys = {(i, j): (c, seed, f, epochs) for i, (c, seed, epochs) in enumerate(networks) for j, f in enumerate(folds)}
        finished = {}
        for (i, j), key in keys.items():
            if key in results.rows:
                found = {name: results.rows[key][name] for name in ("stopped", "loss", "score", "seconds")}
                spec, recipe = candidates[i]
                finished[i, j] = Result(candidate=i, fold=j, spec=spec, recipe=recipe, task=task, **found)
        progress.passed(len(finished))
        if len(finished) == len(keys):
            continue
        several = len(plan.splits) > 1 and len(folds) == 1
        progress.begin(len(keys) - len(finished), f"fold {folds[0] + 1} of {len(plan.splits)}" if several else "")
        data, splits = load()

        def write(found: Sequence[Result], keys: Mapping[tuple[int, int], Key] = keys) -> None:
            if any(result.stopped == "interrupted" for result in found):
                return  # the part is in a checkpoint, and is continued with the same networks
            by_key = {keys[result.candidate, result.fold]: result for result in found}
            results.add(
                {key: plan.row(key, result) for key, result in by_key.items()},
                {key: result.history.get("loss", []) for key, result in by_key.items()},
            )
            progress.best = results.best_so_far

        weight = data.weight
        if options["class_weight"] is not None:
            weight = row_weights(task, task.encode(data.y), data.rows, weight, options["class_weight"])
        # the rows of each fold that --validation holds out, by groups or time as the folds are
        inner = data.by if plan.validation is not None else None
        columns: dict[str, Any] = {} if inner is None else {"groups": inner.groups, "times": inner.times, "stratify": inner.strata}
        planned = plan_candidates(
            data.X,
            data.y,
            candidates,
            cv=splits,
            sample_weight=weight,
            task=task if options["loss"] == "poisson" or task.name != "regression" else "regression",
            validation=plan.validation,
            scaling=plan.source.scaling,
            resume=results.checkpoints if results.checkpoints.is_dir() else None,
            **columns,
        )
        on_workers = worker_count(None) > 0  # which write no checkpoints
        trained = train_plan(
            planned,
            progress=False,
            callbacks=progress.callbacks,
            memory_limit=results.memory,
            max_networks=max_networks,
            on_results=write,
            checkpoint=None if on_workers else checkpoint,
            resume=results.checkpoints if results.checkpoints.is_dir() and not on_workers else None,
            finished=finished,
        )
        if any(result.stopped == "interrupted" for result in trained):
            raise KeyboardInterrupt


def train_rounds(
    plan: SweepPlan,
    results: SweepResults,
    *,
    halving: bool,
    max_networks: int,
    checkpoint: Checkpoint,
    progress: SweepProgress,
    study: SharedStudy | None = None,
) -> int | None:
    """Train all that has no result yet; return the best candidate (of the last round of a halving), None without any.

    study: shared with other processes, which train some of the candidates.
    """
    if plan.ruled_out:
        results.add(plan.failed_rows(), {})
    of_one = len(plan.seeds) * len(plan.splits)
    lengths = _epochs_by_round(plan) if halving else [0]
    progress.total = sum(survivors(len(plan.candidates), len(lengths))) * of_one

    def train(chosen: Sequence[int], epochs: int = 0) -> None:
        networks = [(c, seed, epochs) for c in chosen for seed in plan.seeds]
        train_networks(plan, results, networks, max_networks=max_networks, checkpoint=checkpoint, progress=progress)

    def all_candidates() -> Iterator[tuple[int, dict[str, Any]]]:
        return ((c, plan.changes[c]) for c in plan.candidates)

    if study is not None:
        train_shared(study, results, all_candidates, train, at_once=max(1, max_networks // of_one))
    best = train_by_length(results, list(plan.candidates), lengths, train)
    shutil.rmtree(results.checkpoints, ignore_errors=True)
    return best


def train_by_length(
    results: SweepResults,
    candidates: Sequence[int],
    lengths: Sequence[int],
    train: Callable[[Sequence[int], int], None],
    *,
    spared: Sequence[int] = (),
) -> int | None:
    """Train candidates for each length in turn, the best third of them for the next; return the best of the last, None without any.

    train(candidates, length): writes the results that are not there. spared: candidates that stay to the end.
    """
    best: int | None = None
    for length, count in zip(lengths, survivors(len(candidates), len(lengths) + 1)[1:], strict=True):
        train(candidates, length)
        ranked = [found.candidate for found in results.ranking() if found.candidate in candidates]
        best = ranked[0] if ranked else None
        candidates = [*ranked[:count], *(candidate for candidate in spared if candidate not in ranked[:count])]
        if not candidates:
            break
    return best


def survivors(candidates: int, rounds: int) -> list[int]:
    """Return how many candidates each round of a halving trains, if none fails.

    >>> survivors(12, 3)
    [12, 4, 2]
    """
    counts = [candidates]
    while len(counts) < rounds:
        counts.append(math.ceil(counts[-1] / FACTOR))
    return counts


def lengths_by_round(longest: int, candidates: int) -> list[int]:
    """Return the length of each round of a halving: the longest in the last, and a third of the next in each one before.

    >>> lengths_by_round(90, 12)
    [10, 30, 90]
    """
    rounds = 1 + math.floor(math.log(max(candidates, 1), FACTOR) + 1e-9)
    return list(dict.fromkeys(max(1, longest // FACTOR**k) for k in reversed(range(rounds))))


def _epochs_by_round(plan: SweepPlan) -> list[int]:
    """Return the epochs of each round of a halving."""
    if "epochs" in plan.names or "iterations" in plan.names or plan.options["iterations"] is not None:
        raise OptionError("--halving divides the epochs itself; leave epochs and iterations out of --grid, and give --epochs")
    return lengths_by_round(max(recipe.epochs or EPOCHS for _, recipe in plan.candidates.values()), len(plan.candidates))
