"""A sweep of the default ensemble of `manynets train`, with the options of each candidate changed."""

from __future__ import annotations

import dataclasses
import itertools
import math
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from manynets.cli import defaults
from manynets.cli.bounded import metrics_of
from manynets.cli.data import DataSource, taken
from manynets.cli.fit import encode_source, validation_metrics
from manynets.cli.preset import changes_of, refuse_plain, train_preset
from manynets.cli.report import console_for
from manynets.cli.sweep_candidates import DRAWN, default_values
from manynets.cli.sweep_plan import SweepPlan, failed_row, lengths_by_round, why_diverged
from manynets.cli.sweep_results import Key, Measure, Row, SweepCandidate, SweepResults
from manynets.display import counted
from manynets.errors import ManynetsError, ModelFileError, OptionError, check_count, one_of
from manynets.search.workers import run_calls, worker_count
from manynets.spec import Recipe
from manynets.tasks.base import metric_key
from manynets.training.checkpoint import holds_checkpoints

MOST_CELLS = 1 << 27  # of encoded rows that are kept for the next candidate


class EnsemblePlan(SweepPlan):
    """A sweep of ensembles. steps: of the default."""

    spared = (0,)

    def __init__(self, results: SweepResults, source: DataSource, options: Mapping[str, Any], own: Mapping[str, Any]) -> None:
        super().__init__(results, source, options, own)
        task = self.target.task
        if options["metric"] is not None:
            results.measure = Measure(one_of(options["metric"], task.metrics, what="--metric"))
        elif task.name != "regression":
            results.measure = Measure(task.metric, by_loss=True)
        refuse_plain([name for name in self.grid if name != "n_networks"], options["preset"])
        self.networks = defaults.NETWORKS if options["n_networks"] is None else options["n_networks"]
        counts = [self.networks, *self.grid.get("n_networks", [])]
        check_count(min(counts), what="n_networks")
        if min(counts) == 1 < max(counts) and own["cv"] is None and options["validation"] is None:
            raise OptionError(
                "a single network validates on other rows than the folds of several; give --cv N to score all on the same rows"
            )
        recipe = self._default()
        self.most, self.steps = {"batch_size": max(self.rows // 2, 1)}, recipe.iterations or 1
        self._encoded: dict[Any, DataSource] = {}

    def _default(self) -> Recipe:
        """Find the values of the default, and return its recipe."""
        from manynets.tabular import PRESETS, tabular_network
        from manynets.tabular.recipe import tabular_recipe

        changes, rows = changes_of(self.options), self.source.train.rows
        spec = tabular_network(self.target.task, rows, changes=changes)
        fewest = rows - math.ceil(rows / self.networks)
        base, steps = Recipe(seed=self.options["seed"]), PRESETS[self.options["preset"]].steps
        recipe = tabular_recipe(spec, self.target.task, np.ones(1), max(fewest, 1), base, steps=steps, changes=changes)
        self.default = default_values(list(self.grid or DRAWN), spec, recipe, networks=self.networks)
        return recipe

    def lengths(self, candidates: int) -> list[int]:
        """Return the steps of each round of a halving."""
        if "iterations" in self.default:
            raise OptionError("--halving divides the steps itself; leave iterations out of --grid, and give --iterations")
        return lengths_by_round(self.steps, candidates)

    def announced(self) -> list[str]:
        seconds, cv = self.own["time_limit"], self.own["cv"]
        count = "" if self.count is None else f": {counted(self.count, 'candidate')}, the default among them"
        limit = "" if seconds is None else f", within {f'{seconds / 60:g} min' if seconds % 60 == 0 else f'{seconds:g} s'}"
        scored = "each row is predicted by the networks that did not train on it"
        if self.source.train.by is not None and self.source.train.by.times is not None:
            scored = "scored on the latest of the training rows"
        if cv is not None:
            scored = f"scored by cross-validation with {counted(len(self.splits), 'fold')}"
        elif self.options["validation"] is not None:
            scored = "scored on the validation rows"
        each = f"{counted(self.networks, 'network')}, preset {self.options['preset']}"
        seeds = f", with {counted(len(self.seeds), 'seed')}" if len(self.seeds) > 1 else ""
        return [
            f"{'Grid' if self.grid else 'Random search'}{count}{limit}, into {self.results.folder}",
            f"Each candidate is the ensemble that manynets train makes ({each}); {scored}{seeds}",
        ]

    def train(self, chosen: Iterable[SweepCandidate], length: int) -> None:
        """Train one candidate after the other on all jobs that have no result, for so many steps (0: its own), and write each result.

        Within `joblib.parallel_config("dask")` the workers of the cluster train, each a candidate on a fold; otherwise a training goes on
        from its checkpoint, if there is one.
        """
        on_workers = worker_count(None) > 0
        begun: list[tuple[Mapping[str, Any], Key]] = []

        def tasks() -> Iterator[tuple[Any, ...]]:
            for c, changes in chosen:
                for seed, fold in self.jobs:
                    key = (c, seed, fold, length)
                    if key in self.results.rows:
                        self.progress.passed(self.networks_of(changes))
                        continue
                    begun.append((changes, key))
                    options = {**self.options, **changes, "seed": seed} | ({"iterations": length} if length else {})
                    data, by_fold = self._data(options, fold), self.splits[fold].held_out is not None
                    begin = {} if on_workers else self._begin(changes, key)
                    yield data, options, self.results.measure.metric, by_fold, begin

        if on_workers:
            calls = run_calls(train_candidate, tasks(), shared=_arrays)
        else:
            calls = enumerate(itertools.starmap(train_candidate, tasks()))
        for number, (row, curve) in calls:
            changes, key = begun[number]
            self.write([(key, self.row(changes, row), curve)])
            shutil.rmtree(self._checkpoints(key), ignore_errors=True)
            if on_workers:
                self.progress.ended(self.networks_of(changes))

    def _begin(self, changes: Mapping[str, Any], key: Key) -> dict[str, Any]:
        """Return arguments of `train_ensemble` for a training of this process, which begins."""
        words = f"candidate {key[0] + 1:,}" + (f" of {self.count:,}" if self.count else "")
        words += f", fold {key[2] + 1} of {len(self.splits)}" if len(self.splits) > 1 else ""
        self.progress.begin(self.networks_of(changes), words)
        folder = self._checkpoints(key)
        return {
            "checkpoint": self.checkpoint(folder),
            "resume": folder if holds_checkpoints(folder) else None,
            "callbacks": self.progress.callbacks,
        }

    def _checkpoints(self, key: Key) -> Path:
        return self.results.checkpoints / "part-{}-{}-{}-{}".format(*key)

    def _data(self, options: Mapping[str, Any], fold: int) -> DataSource:
        """Return the encoded rows of a fold, which candidates share."""
        networks = options["n_networks"] or self.networks
        key = (fold, options["seed"], networks > 1)
        if key not in self._encoded:
            (train, held_out), source = self.splits[fold], dataclasses.replace(self.source, task=self.target.task)
            if train is not None:
                whole = source.train
                source = dataclasses.replace(source, train=taken(whole, train), test=taken(whole, held_out), validation=None)
            found = encode_source(source, options, console_for(quiet=True))
            if (len(self._encoded) + 1) * found.train.X.size > MOST_CELLS:
                self._encoded.clear()
            self._encoded[key] = found
        return dataclasses.replace(self._encoded[key], networks=networks)


def _arrays(data: DataSource, *_: object) -> Iterator[Any]:
    """Yield the arrays that candidates have in common."""
    for part in (data.train, data.validation, data.test):
        if part is not None:
            yield from (value for value in (part.X, part.y, part.weight) if isinstance(value, np.ndarray))


def train_candidate(
    data: DataSource, options: Mapping[str, Any], metric: str, by_fold: bool, begin: Mapping[str, Any]
) -> tuple[Row, list[float]]:
    """Train a candidate on a fold; return what is found, or the error, and the curve of its loss.

    by_fold: whether the fold's test rows are scored, rather than the validation rows. begin: arguments of `train_ensemble`. Raises
    KeyboardInterrupt if the training was interrupted.
    """
    began = time.perf_counter()
    try:
        fit = train_preset(data, options["preset"], options, begin={**begin, "progress": False})
        stopped, history = fit.model.info["stopped"], fit.model.history
        if "interrupted" in stopped:
            raise KeyboardInterrupt
        tested = data.test if by_fold else None
        metrics = validation_metrics(fit.model, fit.out_of_fold, data) if tested is None else metrics_of(fit.model, tested)
    except ModelFileError:
        raise
    except (ManynetsError, MemoryError, RuntimeError) as error:
        return failed_row(error), []
    found = {name: (metrics or {}).get(key, math.nan) for name, key in (("score", metric_key(metric)), ("loss", "loss"))}
    found |= {
        "epochs": round(history["epoch"][-1], 2) if history.get("epoch") else 0,
        "stopped": "diverged" if "diverged" in stopped else "early" if "early" in stopped else "done",
        "seconds": round(time.perf_counter() - began, 3),
        "error": why_diverged(fit.divergence, fit.model.encoder.feature_names),
    }
    return found, history.get("loss", [])
