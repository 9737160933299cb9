"""A sweep of plain networks: those of all candidates, seeds and folds are trained together."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from manynets.cli.data import DataSource, Part, joined, taken
from manynets.cli.fit import check_transform, encoding, validation_share
from manynets.cli.recipe import network_of, recipe_of
from manynets.cli.sweep_candidates import DRAWN, default_values
from manynets.cli.sweep_plan import SweepPlan, failed_row, lengths_by_round, why_diverged
from manynets.cli.sweep_results import Found, Key, SweepCandidate, SweepResults
from manynets.display import counted
from manynets.errors import ManynetsError, OptionError
from manynets.prepare import Split, holdout
from manynets.search.candidates import CandidatePlan, Result, plan_candidates, train_plan
from manynets.search.workers import worker_count
from manynets.spec import EPOCHS, MLP, Recipe
from manynets.targets import find_target, row_weights
from manynets.tasks import Regression, Task


class NetworkPlan(SweepPlan):
    """A sweep of plain networks.

    changes: those of each candidate. share: of each fold's training rows, with --cv, to choose the best epoch by; None for the data's own
    validation rows. Without --cv these are the rows that are scored. by_0_1: whether version 0.1 began the sweep, which goes on as it did there: scored
    at the end of the training, with a target that all rows standardise, and with --cv without --validation validated on no rows.
    """

    def __init__(self, results: SweepResults, source: DataSource, options: Mapping[str, Any], own: Mapping[str, Any]) -> None:
        super().__init__(results, source, options, own)
        if options["metric"] is not None:
            raise OptionError(
                f"--metric is {options['metric']}, but plain networks are ranked by their {results.measure.metric}; leave it out, or give a --preset"
            )
        self.share: float | None = 0.0
        self.by_0_1 = results.version is None
        if own["cv"] is not None and (not self.by_0_1 or options["validation"] is not None):
            self.share = validation_share(options, source)
        if self.share:
            self.rows -= max(round(self.rows * self.share), 1)
        if own["n_candidates"] is not None:
            self.default = default_values(DRAWN, network_of(options), recipe_of(options, rows=self.rows))
            self.most = {"batch_size": self.rows}
        self.changes = list(self.all_changes())
        self.at_once = max(1, own["at_most"] // len(self.jobs))
        self.trained: dict[int, tuple[MLP, Recipe]] = {}
        for c, changes in enumerate(self.changes):
            try:
                both = {**options, **changes}
                check_transform(self.target.task, both)
                self.trained[c] = (network_of(both), recipe_of(both, rows=self.rows))
            except ManynetsError as error:
                self.ruled_out[c] = self.row(changes, failed_row(error))
        if not self.trained:
            raise OptionError(self.ruled_out[0]["error"])

    def split_without_folds(self) -> Split:
        share = validation_share(self.options, self.source)
        if share is None:
            return Split(None, None)
        return holdout(self.target, share, seed=self.options["seed"], by=self.source.train.by)

    def lengths(self, candidates: int) -> list[int]:
        """Return the epochs of each round of a halving."""
        swept = {*self.default, *self.grid}
        if "epochs" in swept or "iterations" in swept or self.options["iterations"] is not None:
            raise OptionError("--halving divides the epochs itself; leave epochs and iterations out of --grid, and give --epochs")
        return lengths_by_round(max(recipe.epochs or EPOCHS for _, recipe in self.trained.values()), candidates)

    def announced(self) -> list[str]:
        seeds, folds = counted(len(self.seeds), "seed"), counted(len(self.splits), "fold")
        networks = counted(len(self.changes) * len(self.jobs), "network")
        return [f"{counted(len(self.changes), 'candidate')} x {seeds} x {folds} = {networks}, into {self.results.folder}"]

    def train(self, chosen: Iterable[SweepCandidate], length: int) -> None:
        """Train candidates on all jobs that have no result, for so many epochs (0: their own), and write the results of each part."""
        results, progress = self.results, self.progress
        networks = [(c, seed) for c, _ in chosen for seed in self.seeds]
        allowed: dict[str, Any] = {"epochs": length, "iterations": None} if length else {}
        candidates = [(self.trained[c][0], dataclasses.replace(self.trained[c][1], seed=seed, **allowed)) for c, seed in networks]
        on_workers = worker_count(None) > 0  # which write no checkpoints
        every = list(range(len(self.splits)))
        for folds in [every] if self._is_shared else [[fold] for fold in every]:
            keys = {(i, j): (c, seed, f, length) for i, (c, seed) in enumerate(networks) for j, f in enumerate(folds)}
            finished = [place for place, key in keys.items() if key in results.rows]
            progress.passed(len(finished))
            if len(finished) == len(keys):
                continue
            several = len(self.splits) > 1 and len(folds) == 1
            progress.begin(len(keys) - len(finished), f"fold {folds[0] + 1} of {len(self.splits)}" if several else "")
            resume = results.checkpoints if results.checkpoints.is_dir() else None
            trained = train_plan(
                self._planned(candidates, folds, resume),
                progress=False,
                callbacks=progress.callbacks,
                memory_limit=results.memory,
                max_networks=self.own["at_most"],
                on_results=functools.partial(self._write, keys),
                checkpoint=None if on_workers else self.checkpoint(results.checkpoints),
                resume=None if on_workers else resume,
                finished=finished,
            )
            if any(result.stopped == "interrupted" for result in trained):
                raise KeyboardInterrupt

    def _planned(self, candidates: Sequence[tuple[MLP, Recipe]], folds: Sequence[int], resume: Path | None) -> CandidatePlan:
        """Return the networks of candidates on folds that are trained together. resume: checkpoints of an earlier training of them."""
        data, splits = self._data(folds)
        return plan_candidates(
            data.X,
            data.y,
            candidates,
            cv=splits,
            **(data.split_columns if self.share else {}),  # as the folds are
            sample_weight=data.weight,
            task=self._task(data, splits),
            validation=self._validation(data, splits[0]),
            scaling=self.source.scaling,
            declared=encoding(self.source, self.options),
            split_seed=self.options["seed"] if self.results.split_by_fold else None,
            one_encoder=self.source.schema is not None and not self.results.split_by_fold,
            resume=resume,
            standardise_by_all=self.by_0_1,
        )

    def _task(self, data: Part, splits: Sequence[Split]) -> Task | str:
        """Return the task of the networks. With --target-transform it is fitted to the rows to train on, as `manynets train` does."""
        task, transform = self.target.task, self.options["target_transform"]
        if not isinstance(task, Regression):
            return task
        if transform is None:
            return "regression"
        if len(splits) > 1:
            return Regression.of(data.y, transform=transform)
        rows = splits[0].train
        if self.share and self.results.split_by_fold:
            rows = holdout(find_target(data.y, task), self.share, seed=self.options["seed"], rows=rows, by=data.by).train
        return Regression.of(data.y[rows], transform=transform)

    def _write(self, keys: Mapping[tuple[int, int], Key], found: Sequence[Result]) -> None:
        """Write the results of networks that were trained together, whose keys are known by candidate and fold."""
        if any(result.stopped == "interrupted" for result in found):
            return  # they are in a checkpoint, and are continued together
        self.write(self._found(keys[result.candidate, result.fold], result) for result in found)

    def _validation(self, data: Part, split: Split) -> Any:
        """Return what the networks choose their best epoch by, as the argument `validation` of `train_many`."""
        if self.own["cv"] is not None:
            return self.source.validation.as_set if self.share is None and self.source.validation else self.share or None
        return None if self.by_0_1 else taken(data, split.held_out).as_set

    @property
    def _is_shared(self) -> bool:
        """Whether all folds share their data: not those that are encoded, weighted or transformed by the rows of each fold."""
        if self.results.split_by_fold and (self.source.scaling is None or self.options["target_transform"] is not None):
            return False
        return self.source.schema is None and self.own["cv"] is not None and self.options["class_weight"] is None

    def _data(self, folds: Sequence[int]) -> tuple[Part, list[Split]]:
        """Return the rows of folds that are trained together, and their splits; of a single one those to train, then those to score on."""
        whole = self.source.train
        if self._is_shared:
            return whole, self.splits
        [fold] = folds
        train, held_out = self.splits[fold]
        if train is None or held_out is None:
            assert self.source.validation is not None
            count, data = whole.rows, joined(whole, self.source.validation)
        else:
            count, data = len(train), taken(whole, np.concatenate([train, held_out]))
        if self.options["class_weight"] is not None:  # by the rows that are trained on
            weight, task = np.ones(data.rows) if data.weight is None else data.weight.copy(), self.target.task
            weight[:count] = row_weights(task, task.encode(data.y[:count]), count, weight[:count], self.options["class_weight"])
            data = dataclasses.replace(data, weight=weight)
        return data, [Split(np.arange(count), np.arange(count, data.rows))]

    def _found(self, key: Key, result: Result) -> Found:
        if result.error is not None:
            row = failed_row(result.error)
        else:
            names = None if self.source.schema is None or result.encoder is None else result.encoder.feature_names
            error, epochs = why_diverged(result.divergence, names), result.history.get("epoch", [])
            row = {"score": result.score, "loss": result.loss, "epochs": epochs[-1] if epochs else 0, "stopped": result.stopped}
            row |= {"seconds": round(result.seconds, 3), "error": error}
        return key, self.row(self.changes[key[0]], row), result.history.get("loss", [])
