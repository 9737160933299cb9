"""What a sweep trains: candidates x seeds x folds; all of them, in rounds that halve them, or those that no other process trains."""

from __future__ import annotations

import abc
import functools
import itertools
import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from manynets.cli.checkpoints import checkpoint_interval
from manynets.cli.data import DataSource, with_weight
from manynets.cli.fit import validation_share
from manynets.cli.sweep_candidates import MOST_CANDIDATES, combinations, drawn_candidates
from manynets.cli.sweep_progress import SweepProgress
from manynets.cli.sweep_results import RESULTS, Found, Measure, Row, SweepCandidate, SweepResults, option_column
from manynets.cli.sweep_storage import SharedStudy
from manynets.cli.wording import in_flags
from manynets.errors import ModelFileError, OptionError
from manynets.prepare import Split, cv_splits
from manynets.search.workers import worker_count
from manynets.targets import find_target
from manynets.training.checkpoint import Checkpoint
from manynets.training.trial import Divergence

FACTOR = 3  # of a halving
POLL = 2.0  # seconds between two looks at what other processes do


class SweepPlan(abc.ABC):
    """The data of a sweep by fold, and its candidates, which differ in some options; it trains them, and writes what it finds.

    results: its folder; what candidates are ranked by is set there. options: of the best network; own: those of the sweep, with the grid as
    values by option. splits: rows to train and to score on, of the source's training rows; where held_out is None, other rows are scored.
    jobs: (seed, fold), on which each candidate is trained. default: the values, in the first candidate, of all options in which others
    differ from it; {} for a grid without a default. most: the largest values that are drawn.
    networks: that a candidate trains on each fold, unless its own options say otherwise. at_once: candidates that a process claims
    together where several share them. spared: candidates that stay to the end of a halving. ruled_out: the results of the candidates that
    cannot be trained with their options.
    """

    networks = at_once = 1
    spared: Sequence[int] = ()

    def __init__(self, results: SweepResults, source: DataSource, options: Mapping[str, Any], own: Mapping[str, Any]) -> None:
        source = with_weight(source)
        self.results, self.source, self.options, self.own, self.grid = results, source, options, own, own["grid"]
        self.default: Mapping[str, Any] = {}
        self.most: Mapping[str, float] = {}
        self.ruled_out: dict[int, Row] = {}
        self.target = find_target(source.train.y, source.task)
        results.measure = Measure(self.target.task.metric)
        if own["cv"] is not None:
            self.splits = cv_splits(self.target, own["cv"], by=source.train.by, seed=options["seed"], what="--cv")
        elif validation_share(options, source) == 0:
            raise OptionError("a sweep needs rows to score on; give --cv N or a --validation above 0")
        else:
            self.splits = [self.split_without_folds()]
        self.rows = min(source.train.rows if split.train is None else len(split.train) for split in self.splits)
        self.seeds = [options["seed"] + k for k in range(own["seeds"])]
        self.jobs = list(itertools.product(self.seeds, range(len(self.splits))))

    def split_without_folds(self) -> Split:
        """Return the rows to train and to score on where --cv asks for no folds."""
        return Split(None, None)

    @functools.cached_property
    def progress(self) -> SweepProgress:
        """What is shown while it trains, which begins when this is first asked for."""
        return SweepProgress(show=not self.options["quiet"])

    @functools.cached_property
    def count(self) -> int | None:
        """The number of candidates, None where a time limit decides."""
        if self.default and not self.grid and self.own["n_candidates"] is None:
            return None
        return sum(1 for _ in self.all_changes())

    def all_changes(self) -> Iterator[dict[str, Any]]:
        """Yield the options in which each candidate differs from those of the sweep."""
        if self.default or not self.grid:
            yield {}
        if self.grid:
            yield from (point for point in combinations(self.grid) if point != self.default)
        elif self.default:
            drawn = drawn_candidates(self.default, seed=self.options["seed"], most=self.most)
            yield from itertools.islice(drawn, self.own["n_candidates"])

    def candidates(self) -> Iterator[SweepCandidate]:
        """Return the candidates that can be trained."""
        return ((c, changes) for c, changes in enumerate(self.all_changes()) if c not in self.ruled_out)

    def networks_of(self, changes: Mapping[str, Any]) -> int:
        """Return how many networks a candidate trains on each fold."""
        return int(changes.get("n_networks", self.networks))

    def row(self, changes: Mapping[str, Any], found: Row) -> Row:
        """Return what results.csv says about a result of a candidate."""
        options = {option_column(name): value for name, value in {**self.default, **changes}.items()}
        return {"default": "" if changes else "yes", **options, **found}

    def write(self, found: Iterable[Found]) -> None:
        """Write results that were just found."""
        self.results.add(found)
        self.progress.best = self.results.best_so_far

    def checkpoint(self, folder: Path) -> Checkpoint:
        """Return the checkpoints to write while networks are trained."""
        return Checkpoint(folder=folder, **checkpoint_interval(self.options["checkpoint_every"]))

    @abc.abstractmethod
    def lengths(self, candidates: int) -> list[int]:
        """Return for how many epochs or steps each round of a halving trains; OptionError where the candidates differ in them."""

    @abc.abstractmethod
    def train(self, chosen: Iterable[SweepCandidate], length: int) -> None:
        """Train candidates on all jobs that have no result, for a length (0: their own), and write the results.

        Raises KeyboardInterrupt if the training was interrupted.
        """

    @abc.abstractmethod
    def announced(self) -> list[str]:
        """Return what is going to be trained, in words."""


def failed_row(error: object) -> Row:
    """Return the result of a candidate that cannot be trained."""
    return {"score": math.nan, "loss": math.nan, "epochs": 0, "stopped": "failed", "seconds": 0.0, "error": in_flags(str(error))}


def why_diverged(divergence: Divergence | None, columns: Sequence[str] | None) -> str | None:
    """Return why a training diverged and what to do, None where it did not. columns: names of the encoded ones."""
    return None if divergence is None else in_flags(f"{divergence.where(columns)}; {divergence.remedy(columns)}")


def train_sweep(plan: SweepPlan, study: SharedStudy | None) -> int | None:
    """Train all candidates that have no result yet, or as many as there is time for; return the best, None where none could be trained.

    study: shared with other processes, which train some of the candidates.
    """
    _check_results(plan)
    if plan.ruled_out:
        plan.results.add(((c, plan.seeds[0], 0, 0), row, []) for c, row in plan.ruled_out.items())
    limit = _TimeLimit(plan)
    if plan.own["halving"]:
        _halve(plan)
    else:
        plan.progress.limit = limit.left
        if plan.count is not None:
            plan.progress.total = len(plan.jobs) * sum(plan.networks_of(changes) for _, changes in plan.candidates())
        if study is None:
            plan.train(limit.within(plan.candidates()), 0)
        else:
            _train_shared(plan, study, fits=limit.fits)
    shutil.rmtree(plan.results.checkpoints, ignore_errors=True)
    ranking = plan.results.ranking()
    return ranking[0].candidate if ranking else None


def _check_results(plan: SweepPlan) -> None:
    """Raise ModelFileError for a result that none of the candidates has, as in a file that was edited."""
    results = plan.results
    last = min(max((key[0] for key in results.rows), default=-1), MOST_CANDIDATES)
    candidates = list(itertools.islice(plan.all_changes(), last + 1))
    jobs, lengths = set(plan.jobs), {0, *(plan.lengths(len(dict(plan.candidates()))) if plan.own["halving"] else ())}
    for (c, seed, fold, length), row in results.rows.items():
        wrong = None
        if not 0 <= c < len(candidates) or (seed, fold) not in jobs or length not in lengths:
            wrong = f"the sweep has no candidate {c} with seed {seed} and fold {fold}" + (f" after {length}" if length else "")
        else:
            options = plan.row(candidates[c], {})
            differs = next((name for name in map(option_column, results.options) if row[name] != options[name]), None)
            if differs is not None:
                wrong = f"candidate {c} has {differs} {row[differs]}, but {options[differs]} in the sweep"
        if wrong is not None:
            raise ModelFileError(f"{results.folder / RESULTS} is damaged: {wrong}; correct it, or start anew with --overwrite")


def _train_shared(plan: SweepPlan, study: SharedStudy, *, fits: Callable[[], bool]) -> None:
    """Train the candidates that no other process trains, until all have results or no more fit; then the plan's results are those of all."""
    results = plan.results
    with study.beating():
        while True:
            claimed = study.claim(plan.at_once, plan.candidates()) if fits() else []
            if claimed:
                plan.train(claimed, 0)
                for c, _ in claimed:
                    study.report(c, [(key, row, results.curves[key]) for key, row in results.rows.items() if key[0] == c])
            elif fits() and study.running():
                time.sleep(POLL)
            else:
                break
    results.add(itertools.chain(*study.results().values()))


def _halve(plan: SweepPlan) -> None:
    """Train candidates for each length in turn, the best third of them for the next."""
    chosen = dict(plan.candidates())
    lengths = plan.lengths(len(chosen))
    counts = [math.ceil(len(chosen) / FACTOR**k) for k in range(len(lengths) + 1)]
    plan.progress.total = sum(counts[:-1]) * len(plan.jobs) * plan.networks
    for length, count in zip(lengths, counts[1:], strict=True):
        plan.train(chosen.items(), length)
        ranked = [found.candidate for found in plan.results.ranking(length) if found.candidate in chosen and not found.diverged]
        chosen = {c: chosen[c] for c in (*ranked[:count], *plan.spared)}
        if not chosen:
            break


class _TimeLimit:
    """Decides whether there is time for another candidate, judged by the results that are there, whose time counts."""

    def __init__(self, plan: SweepPlan) -> None:
        self.plan, self.rows, self.workers = plan, plan.results.rows, worker_count(None)
        self.limit = plan.own["time_limit"]
        self.began = time.monotonic() - sum(row["seconds"] for row in self.rows.values()) / max(1, self.workers)

    @property
    def left(self) -> float | None:
        """Seconds until the limit."""
        return None if self.limit is None else self.limit - (time.monotonic() - self.began)

    def fits(self) -> bool:
        """Return whether there is time for another candidate, and for training the best in the end."""
        left = self.left
        if left is None:
            return True
        if self.workers:  # time for a training that waits, for this one, and for that of the best
            return 3 * max((row["seconds"] for row in self.rows.values()), default=0.0) <= left
        seconds: dict[int, float] = {}
        for (c, *_), row in self.rows.items():
            seconds[c] = seconds.get(c, 0.0) + row["seconds"]
        return (1 + 1 / len(self.plan.jobs)) * max(seconds.values(), default=0.0) <= left

    def within(self, candidates: Iterable[SweepCandidate]) -> Iterator[SweepCandidate]:
        """Yield the first candidate, those that have their results, and others as long as there is time."""
        for c, changes in candidates:
            is_new = any((c, seed, fold, 0) not in self.rows for seed, fold in self.plan.jobs)
            if c > 0 and is_new and not self.fits():
                return
            yield c, changes


def lengths_by_round(longest: int, candidates: int) -> list[int]:
    """Return the length of each round of a halving: the longest in the last, and a third of the next in each one before.

    >>> lengths_by_round(90, 12)
    [10, 30, 90]
    """
    rounds = 1 + math.floor(math.log(max(candidates, 1), FACTOR) + 1e-9)
    return list(dict.fromkeys(max(1, longest // FACTOR**k) for k in reversed(range(rounds))))
