"""What the sweep of a table trains: the default ensemble of `manynets train`, with the options of each candidate changed."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import math
import shutil
import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from manynets.cli import defaults
from manynets.cli.data import DataSource, taken
from manynets.cli.fit import encode_source, metrics_of, usable_scores, validation_metrics, validation_share
from manynets.cli.grid import combinations
from manynets.cli.preset import changes_of, refuse_plain, train_preset
from manynets.cli.random_search import DRAWN, default_values, drawn_candidates
from manynets.cli.report import console_for
from manynets.cli.sweep_plan import lengths_by_round, survivors, train_by_length
from manynets.cli.sweep_progress import SweepProgress
from manynets.cli.sweep_results import Key, Row, SweepResults
from manynets.cli.sweep_storage import SharedStudy, train_shared
from manynets.errors import ManynetsError, ModelFileError, OptionError, one_of
from manynets.prepare import Split, cv_splits, find_target
from manynets.search.workers import run_calls, worker_count
from manynets.spec import Recipe
from manynets.training.checkpoint import Checkpoint, checkpoint_files
from manynets.training.events import Callback

__all__ = ["EnsemblePlan", "train_ensembles", "train_task"]

Job: TypeAlias = tuple[
    Mapping[str, Any], Key
]  # the options in which a candidate differs from the default, and what it is trained on

MOST_CELLS = 1 << 27  # of encoded rows that are kept for the next candidate


class EnsemblePlan:
    """The data of a sweep by fold, and its candidates: the default ensemble, and others whose options differ from it.

    default: the values of all options that differ between candidates, in the default. steps: of the default.
    """

    def __init__(self, source: DataSource, options: Mapping[str, Any], own: Mapping[str, Any], grid: Mapping[str, Any]) -> None:
        self.source, self.options = source, options
        self.seeds = [options["seed"] + k for k in range(own["seeds"])]
        self.target = find_target(source.train.y, source.task)
        task = self.target.task
        self.metric, self.by_loss = task.metric, task.name != "regression"
        if options["metric"] is not None:
            self.metric, self.by_loss = one_of(options["metric"], task.metrics, what="--metric"), False
        self.splits: list[Split | None] = [None]
        if own["cv"] is not None:
            self.splits = [*cv_splits(self.target, own["cv"], by=source.train.by, seed=options["seed"], what="--cv")]
        elif validation_share(options, source) == 0:
            raise OptionError("a sweep needs rows to score on; give --cv N or a --validation above 0")
        refuse_plain([name for name in grid if name != "n_networks"], options["preset"])
        self._check_networks(grid, own["cv"])
        recipe = self._default(grid)
        rows = min(
            len(split.train) if split is not None and split.train is not None else source.train.rows for split in self.splits
        )
        self.points = [point for point in combinations(dict(grid)) if point != self.default] if grid else None
        self.drawn, self.most = own["n_candidates"], {"batch_size": max(rows // 2, 1)}
        self.steps = recipe.iterations or 1
        self._encoded: dict[Any, Any] = {}

    def all_changes(self) -> Iterator[dict[str, Any]]:
        """Yield the options in which each candidate differs from the default, {} for the default itself, which is the first."""
        yield {}
        drawn = drawn_candidates(self.default, seed=self.options["seed"], most=self.most)
        yield from itertools.islice(drawn, self.drawn) if self.points is None else self.points

    @property
    def candidates(self) -> int | None:
        """The number of candidates, None where a time limit decides."""
        if self.points is not None:
            return 1 + len(self.points)
        return None if self.drawn is None else 1 + self.drawn

    @property
    def networks(self) -> int:
        """Networks of an ensemble, unless a candidate has another number."""
        return self.options["n_networks"] or defaults.NETWORKS

    def _check_networks(self, grid: Mapping[str, Any], cv: int | None) -> None:
        counts = [self.networks, *grid.get("n_networks", [])]
        if min(counts) < 1:
            raise OptionError(f"n_networks is {min(counts)}, but must be at least 1")
        if min(counts) == 1 < max(counts) and cv is None and self.options["validation"] is None:
            raise OptionError(
                "a single network validates on other rows than the folds of several; give --cv N to score all on the same rows"
            )

    def _default(self, grid: Mapping[str, Any]) -> Recipe:
        """Find the values of the default, and return its recipe."""
        from manynets.tabular import PRESETS, tabular_network
        from manynets.tabular.recipe import tabular_recipe

        changes, rows = changes_of(self.options), self.source.train.rows
        spec = tabular_network(self.target.task, rows, changes=changes)
        fewest = rows - math.ceil(rows / self.networks)
        base, steps = Recipe(seed=self.options["seed"]), PRESETS[self.options["preset"]].steps
        recipe = tabular_recipe(spec, self.target.task, np.ones(1), max(fewest, 1), base, steps=steps, changes=changes)
        self.default = default_values(list(grid or DRAWN), spec, recipe, networks=self.networks)
        return recipe

    def networks_of(self, changes: Mapping[str, Any]) -> int:
        """Return how many networks a candidate has."""
        return int(changes.get("n_networks", self.networks))

    def task(self, changes: Mapping[str, Any], key: Key) -> EnsembleTask:
        """Return all that the training of a candidate on a fold needs."""
        _, seed, fold, steps = key
        options = {**self.options, **changes, "seed": seed} | ({"iterations": steps} if steps else {})
        return EnsembleTask(*self._data(options, fold), options=options, metric=self.metric, by_fold=self.splits[fold] is not None)

    def _data(self, options: Mapping[str, Any], fold: int) -> tuple[DataSource, Any, float | str | None, int]:
        """Return what `encode_source` makes of the rows of a fold, once for candidates that share it, and the number of networks."""
        key = (fold, options["seed"], (options["n_networks"] or self.networks) > 1)
        if key not in self._encoded:
            split, source = self.splits[fold], self.source
            if split is not None:
                assert split.train is not None
                source = dataclasses.replace(
                    source, train=taken(source.train, split.train), test=taken(source.train, split.held_out), validation=None
                )
            source = dataclasses.replace(source, task=self.target.task)
            found = encode_source(source, options, console_for(quiet=True))
            if (len(self._encoded) + 1) * found[0].train.X.size > MOST_CELLS:
                self._encoded.clear()
            self._encoded[key] = found
        source, encoder, share, _ = self._encoded[key]
        return source, encoder, share, options["n_networks"] or self.networks

    def row(self, changes: Mapping[str, Any], key: Key, found: Row) -> Row:
        """Return the line of an ensemble in results.csv."""
        c, seed, fold, steps = key
        labels = {"candidate": c, "default": "" if changes else "yes", "seed": seed, "fold": fold}
        return {**labels, **self.default, **changes, "steps_allowed": steps or None, **found}


@dataclasses.dataclass(frozen=True, eq=False)
class EnsembleTask:
    """A candidate on a fold: encoded rows, their encoder, the share to validate on, the number of networks, and the options.

    by_fold: whether the fold's test rows are scored, rather than the validation rows.
    """

    source: DataSource
    encoder: Any
    share: float | str | None
    networks: int
    options: Mapping[str, Any]
    metric: str
    by_fold: bool

    def arrays(self) -> Iterator[Any]:
        """Yield the arrays that candidates have in common."""
        for part in (self.source.train, self.source.validation, self.source.test):
            if part is not None:
                yield from (value for value in (part.X, part.y, part.weight) if isinstance(value, np.ndarray))


def train_task(task: EnsembleTask, begin: Mapping[str, Any]) -> tuple[Row, list[float]]:
    """Train an ensemble; return what is found, or the error, and the curve of its loss.

    begin: arguments of `train_ensemble`. Raises KeyboardInterrupt if the training was interrupted.
    """
    try:
        return _trained(task, begin)
    except ModelFileError:
        raise
    except (ManynetsError, MemoryError, RuntimeError) as error:
        text = " ".join(str(error).split())
        return {"score": math.nan, "loss": math.nan, "epochs": 0, "stopped": "failed", "seconds": 0.0, "error": text}, []


def _trained(task: EnsembleTask, begin: Mapping[str, Any]) -> tuple[Row, list[float]]:
    began, source = time.perf_counter(), task.source
    fit = train_preset(
        source,
        task.encoder,
        task.options["preset"],
        task.options,
        validation=None if task.share == "folds" else source.validation,
        networks=task.networks,
        begin={**begin, "progress": False},
    )
    stopped = fit.model.info["stopped"]
    if "interrupted" in stopped:
        raise KeyboardInterrupt
    if task.by_fold:
        assert source.test is not None
        metrics = metrics_of(fit.model, source.test)
    else:
        metrics = validation_metrics(fit.model, usable_scores(fit), source, task.share) or {}
    history = fit.model.history
    found = {
        "score": metrics.get(task.metric, math.nan),
        "loss": metrics.get("loss", math.nan),
        "epochs": round(history["epoch"][-1], 2) if history.get("epoch") else 0,
        "stopped": "diverged" if "diverged" in stopped else "early" if "early" in stopped else "done",
        "seconds": round(time.perf_counter() - began, 3),
        "error": None,
    }
    return found, history.get("loss", [])


class _Clock:
    """Decides whether another candidate fits within a time limit.

    spent: seconds that were needed before, by the results that are there.
    """

    def __init__(self, limit: float | None, spent: float) -> None:
        self.limit, self.longest = limit, 0.0
        self.began = time.monotonic() - spent

    @property
    def left(self) -> float | None:
        """Seconds until the limit."""
        return None if self.limit is None else self.limit - (time.monotonic() - self.began)

    def add(self, seconds: float) -> None:
        """Count a candidate that took so many seconds."""
        self.longest = max(self.longest, seconds)

    def fits(self, times: float) -> bool:
        """Return whether there is time for so many times the longest."""
        return self.left is None or self.longest * times <= self.left


def train_ensembles(
    plan: EnsemblePlan,
    results: SweepResults,
    *,
    halving: bool,
    time_limit: float | None,
    interval: Mapping[str, Any],
    progress: SweepProgress,
    study: SharedStudy | None = None,
) -> int | None:
    """Train all candidates that have no result yet, or as many as fit within the time limit; return the best, None without any.

    A halving ranks them after a part of the steps, and trains the best third of them for three times as many; the default is always
    among these. Within `joblib.parallel_config("dask")` the workers of the cluster train, each a candidate on a fold.
    study: shared with other processes, which train some of the candidates.
    """
    jobs = [(seed, fold) for seed in plan.seeds for fold in range(len(plan.splits))]
    on_workers = worker_count(None) > 0
    train = functools.partial(_train_on_workers, plan, results, progress)
    if not on_workers:
        train = functools.partial(_train_here, plan, results, progress, interval)
    if not halving:
        clock = _Clock(time_limit, sum(row["seconds"] for row in results.rows.values()) / max(1, worker_count(None)))
        if plan.candidates is not None:
            progress.total = len(jobs) * sum(map(plan.networks_of, plan.all_changes()))
        progress.limit = clock.left

        def fitting(chosen: Container[int] | None = None) -> Iterator[Job]:
            for c, changes in enumerate(plan.all_changes()):
                if chosen is not None and c not in chosen:
                    continue
                keys = [(c, seed, fold, 0) for seed, fold in jobs]
                if on_workers:  # time for a training that waits, for this one, and for that of the best
                    clock.add(max((row["seconds"] for row in results.rows.values()), default=0.0))
                new = c > 0 and any(key not in results.rows for key in keys)
                if new and chosen is None and not clock.fits(3 if on_workers else 1 + 1 / len(jobs)):
                    break
                yield from ((changes, key) for key in keys)
                if not on_workers:
                    clock.add(sum(results.rows[key]["seconds"] for key in keys))

        if study is None:
            train(fitting())
        else:
            train_shared(
                study,
                results,
                lambda: enumerate(plan.all_changes()),
                lambda chosen: train(itertools.islice(fitting(chosen), len(chosen) * len(jobs))),
                at_once=1,
                fits=lambda: clock.fits(1 + 1 / len(jobs)),
            )
    else:
        changes = dict(enumerate(plan.all_changes()))
        lengths = _rounds(plan, len(changes))
        progress.total = sum(survivors(len(changes), len(lengths))) * len(jobs) * plan.networks

        def train_for(chosen: Sequence[int], steps: int) -> None:
            train((changes[c], (c, seed, fold, steps)) for c in chosen for seed, fold in jobs)

        train_by_length(results, list(changes), lengths, train_for, spared=[0])
    shutil.rmtree(results.checkpoints, ignore_errors=True)
    ranking = results.ranking()
    return ranking[0].candidate if ranking else None


def _rounds(plan: EnsemblePlan, candidates: int) -> list[int]:
    if "iterations" in plan.default:
        raise OptionError("--halving divides the steps itself; leave iterations out of --grid, and give --iterations")
    return lengths_by_round(plan.steps, candidates)


def _waiting(jobs: Iterable[Job], plan: EnsemblePlan, results: SweepResults, progress: SweepProgress) -> Iterator[Job]:
    """Yield those of the jobs that have no result."""
    for changes, key in jobs:
        if key in results.rows:
            progress.passed(plan.networks_of(changes))
        else:
            yield changes, key


def _train_here(
    plan: EnsemblePlan, results: SweepResults, progress: SweepProgress, interval: Mapping[str, Any], jobs: Iterable[Job]
) -> None:
    """Train one candidate on one fold after the other, from its checkpoint if there is one, and write each result."""
    for changes, key in _waiting(jobs, plan, results, progress):
        c, _, fold, _ = key
        words = f"candidate {c + 1:,}" + (f" of {plan.candidates:,}" if plan.candidates else "")
        words += f", fold {fold + 1} of {len(plan.splits)}" if len(plan.splits) > 1 else ""
        progress.begin(plan.networks_of(changes), words)
        folder = results.checkpoints / "part-{}-{}-{}-{}".format(*key)
        begin = {
            "checkpoint": Checkpoint(folder=folder, **interval),
            "resume": folder if checkpoint_files(folder) else None,
            "callbacks": list[Callback](progress.callbacks),
        }
        found, curve = train_task(plan.task(changes, key), begin)
        results.add({key: plan.row(changes, key, found)}, {key: curve})
        progress.best = results.best_so_far
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.parent.rmdir()


def _train_on_workers(plan: EnsemblePlan, results: SweepResults, progress: SweepProgress, jobs: Iterable[Job]) -> None:
    """Train candidates on folds on the workers of joblib's backend, and write each result as it comes."""
    sent: list[Job] = []

    def inputs() -> Iterator[tuple[EnsembleTask, Mapping[str, Any]]]:
        for job in _waiting(jobs, plan, results, progress):
            sent.append(job)
            yield plan.task(*job), {}

    for number, (found, curve) in run_calls(train_task, inputs(), shared=lambda task, _: task.arrays()):
        changes, key = sent[number]
        results.add({key: plan.row(changes, key, found)}, {key: curve})
        progress.best = results.best_so_far
        progress.ended(plan.networks_of(changes))
