"""A sweep of plain networks: those of all candidates, seeds and folds are trained together."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from manynets.cli.data import DataSource, Part, taken
from manynets.cli.fit import check_transform, encoding, validation_share
from manynets.cli.random_search import DRAWN, default_values
from manynets.cli.recipe import network_of, recipe_of
from manynets.cli.sweep_plan import SweepPlan, failed_row, lengths_by_round, why_diverged
from manynets.cli.sweep_progress import SweepProgress
from manynets.cli.sweep_results import Key, Row, SweepCandidate, SweepResults
from manynets.data.check import rows_with_weight
from manynets.display import counted
from manynets.errors import ManynetsError, OptionError
from manynets.prepare import Split, encode_table, holdout
from manynets.search.candidates import CandidatePlan, Result, plan_candidates, train_plan
from manynets.search.workers import worker_count
from manynets.spec import EPOCHS, MLP, Recipe
from manynets.targets import find_target, row_weights
from manynets.tasks import Regression, Task


class NetworkPlan(SweepPlan):
    """A sweep of plain networks.

    changes: those of each candidate. share: of each fold's training rows, with --cv, to choose the best epoch by; None for the data's own
    validation rows. Without --cv these are the rows that are scored.
    """

    def __init__(self, source: DataSource, options: Mapping[str, Any], own: Mapping[str, Any]) -> None:
        super().__init__(source, options, own)
        if options["metric"] is not None:
            raise OptionError(
                f"--metric is {options['metric']}, but plain networks are ranked by their {self.measure.metric}; leave it out, or give a --preset"
            )
        self.share: float | None = 0.0
        if own["cv"] is not None and (own["version"] is not None or options["validation"] is not None):
            self.share = validation_share(options, source)
        if self.share:
            self.rows -= max(round(self.rows * self.share), 1)
        self.columns: dict[int, Sequence[str]] = {}  # names of the encoded columns, by fold
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

    def announced(self, folder: Path) -> list[str]:
        seeds, folds = counted(len(self.seeds), "seed"), counted(len(self.splits), "fold")
        networks = counted(len(self.changes) * len(self.jobs), "network")
        return [f"{counted(len(self.changes), 'candidate')} x {seeds} x {folds} = {networks}, into {folder}"]

    def train(self, results: SweepResults, chosen: Iterable[SweepCandidate], length: int, progress: SweepProgress) -> None:
        """Train candidates on all jobs that have no result, for so many epochs (0: their own), and write the results of each part."""
        networks = [(c, seed) for c, _ in chosen for seed in self.seeds]
        candidates = [self._candidate(c, seed, length) for c, seed in networks]
        on_workers = worker_count(None) > 0  # which write no checkpoints
        every = list(range(len(self.splits)))
        for folds in [every] if self._is_shared else [[fold] for fold in every]:
            keys = {(i, j): (c, seed, f, length) for i, (c, seed) in enumerate(networks) for j, f in enumerate(folds)}
            finished = {}
            for (i, j), key in keys.items():
                if key in results.rows:
                    found = {name: results.rows[key][name] for name in ("stopped", "loss", "score", "seconds")}
                    spec, recipe = candidates[i]
                    finished[i, j] = Result(candidate=i, fold=j, spec=spec, recipe=recipe, task=self.target.task, **found)
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
                on_results=functools.partial(self._write, results, keys, progress),
                checkpoint=None if on_workers else self.checkpoint(results.checkpoints),
                resume=None if on_workers else resume,
                finished=finished,
            )
            if any(result.stopped == "interrupted" for result in trained):
                raise KeyboardInterrupt

    def _planned(self, candidates: Sequence[tuple[MLP, Recipe]], folds: Sequence[int], resume: Path | None) -> CandidatePlan:
        """Return the networks of candidates on folds that are trained together. resume: checkpoints of an earlier training of them."""
        data, splits = self._data(folds)
        # the rows that all of these networks train on, without those of weight 0
        alone = rows_with_weight(splits[0].train if len(splits) == 1 else None, data.weight)
        return plan_candidates(
            data.X,
            data.y,
            candidates,
            cv=splits,
            **(data.split_columns if self.share else {}),  # as the folds are
            sample_weight=data.weight,
            task=self._task(data.y if alone is None else data.y[alone]),
            validation=self._validation(data, splits[0]),
            scaling=self.source.scaling,
            resume=resume,
            standardise_by_all=self.own["version"] is None,  # version 0.1
        )

    def _task(self, y: Any) -> Task | str:
        """Return the task of the networks. With --target-transform it is fitted to the rows to train on, y, as `manynets train` does."""
        task, transform = self.target.task, self.options["target_transform"]
        if not isinstance(task, Regression):
            return task
        return "regression" if transform is None else Regression.of(y, transform=transform)

    def _write(
        self, results: SweepResults, keys: Mapping[tuple[int, int], Key], progress: SweepProgress, found: Sequence[Result]
    ) -> None:
        """Write the results of networks that were trained together, whose keys are known by candidate and fold."""
        if any(result.stopped == "interrupted" for result in found):
            return  # they are in a checkpoint, and are continued together
        by_key = {keys[result.candidate, result.fold]: result for result in found}
        results.add(
            {key: self._row_of(key, result) for key, result in by_key.items()},
            {key: result.history.get("loss", []) for key, result in by_key.items()},
        )
        progress.best = results.best_so_far

    def _candidate(self, c: int, seed: int, epochs: int) -> tuple[MLP, Recipe]:
        """Return a candidate with a seed, and so many epochs (0: its own)."""
        spec, recipe = self.trained[c]
        recipe = dataclasses.replace(recipe, seed=seed)
        return spec, dataclasses.replace(recipe, epochs=epochs, iterations=None) if epochs else recipe

    def _validation(self, data: Part, split: Split) -> Any:
        """Return what the networks choose their best epoch by, as the argument `validation` of `train_many`."""
        if self.own["cv"] is not None:
            return self.source.validation.as_set if self.share is None and self.source.validation else self.share or None
        scored_at_the_end = self.own["version"] is None  # as in version 0.1
        return None if scored_at_the_end else taken(data, split.held_out).as_set

    @property
    def _is_shared(self) -> bool:
        """Whether all folds share their data: not those of a table, encoded by the rows of each fold, and not with weights by fold."""
        return self.source.schema is None and self.own["cv"] is not None and self.options["class_weight"] is None

    def _data(self, folds: Sequence[int]) -> tuple[Part, list[Split]]:
        """Return the rows of folds that are trained together, and their splits; of a single one those to train, then those to score on."""
        if self._is_shared:
            return self.source.train, self.splits
        [fold] = folds
        (train, held_out), whole = self.splits[fold], self.source.train
        first = whole if train is None else taken(whole, train)
        second = taken(whole, held_out) if held_out is not None else self.source.validation
        assert second is not None
        task = find_target(first.y, self._task(first.y)).task
        encoded = task.encode(first.y)
        X, X_scored = first.X, second.X
        if self.source.schema is not None:
            rows = rows_with_weight(None, first.weight)
            X, encoder = encode_table(first.X, rows=rows, target=encoded, **encoding(self.source, self.options))
            self.columns[fold] = encoder.feature_names
            X_scored = encode_table(second.X, encoder=encoder)[0]
        weight = row_weights(task, encoded, first.rows, first.weight, self.options["class_weight"])
        if weight is not None:
            weight = np.concatenate([weight, np.ones(second.rows) if second.weight is None else second.weight])
        y = np.concatenate([np.asarray(first.y), np.asarray(second.y)])
        by = None if whole.by is None or held_out is None else whole.by.take(np.concatenate([train, held_out]))
        part = Part(X=np.concatenate([X, X_scored]), y=y, weight=weight, by=by)
        return part, [Split(np.arange(first.rows), np.arange(first.rows, len(y)))]

    def _row_of(self, key: Key, result: Result) -> Row:
        c, _, fold, _ = key
        if result.error is not None:
            return self.row(self.changes[c], failed_row(result.error))
        error, epochs = why_diverged(result.divergence, self.columns.get(fold)), result.history.get("epoch", [])
        found = {"score": result.score, "loss": result.loss, "epochs": epochs[-1] if epochs else 0, "stopped": result.stopped}
        return self.row(self.changes[c], {**found, "seconds": round(result.seconds, 3), "error": error})
