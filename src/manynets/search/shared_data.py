"""The data of the networks of a plan: prepared once for all that have the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from manynets.encoding import needs_encoder
from manynets.errors import ManynetsError
from manynets.plan import FoldRows, Plan, TrialGroup
from manynets.prepare import RowNumbers, Split, prepare
from manynets.spec import MLP, PiecewiseLinear, Recipe
from manynets.tasks import Task


@dataclasses.dataclass(frozen=True, eq=False)
class SharedData:
    """The data of the networks of a plan, prepared once for all networks that have the same.

    rows: those that each network trains on. seeds: of the recipes. standardised: whether a regression target is standardised by the rows that are
    trained on; by_all: by all rows. options, encoding: of `prepare`, the latter where each split has its own encoder. found: what is there
    so far, or what is wrong with it.
    """

    X: Any
    y: Any
    task: Task
    folds: Sequence[Split]
    rows: FoldRows
    seeds: set[int]
    plan: Plan
    standardised: bool
    by_all: bool
    one_encoder: bool
    options: Mapping[str, Any]
    encoding: Mapping[str, Any]
    found: dict[tuple[Any, ...], TrialGroup | ManynetsError] = dataclasses.field(default_factory=dict)

    def group(self, spec: MLP, recipe: Recipe, fold: int, split: Split) -> TrialGroup:
        """Return the group of networks with the same data, or raise what is wrong with these."""
        poisson, embedding = recipe.loss == "poisson", spec.embedding if isinstance(spec.embedding, PiecewiseLinear) else None
        by_fold = needs_encoder(self.X, self.options["encoder"], embedding, scaling=self.encoding["scaling"])
        depends_on = recipe.quantiles or poisson  # the target
        fitted = self.folds[fold].train if self.one_encoder else split.train
        key = (str(recipe.device), recipe.dtype, depends_on, *((fold, id(fitted), embedding) if by_fold else ()))
        if key not in self.found:
            kind = "regression" if self.standardised and (poisson or not self.by_all) else self.task
            options: dict[str, Any] = {"task": kind, **self.options}
            if by_fold:
                options |= {**self.encoding, "embedding": embedding, "fitted_rows": fitted}
            if self.standardised and (self.one_encoder or not by_fold):
                trained = [fold] if by_fold else range(len(self.folds))
                options["target_rows"] = _trained_rows(self.rows, trained, self.seeds)
            try:
                self.found[key] = self.plan.groups[key] = TrialGroup(prepare(self.X, self.y, recipe, **options))
            except ManynetsError as error:
                self.found[key] = error
        found = self.found[key]
        if isinstance(found, ManynetsError):
            raise found
        return found


def _trained_rows(rows: FoldRows, folds: Iterable[int], seeds: Collection[int]) -> RowNumbers | None:
    """Return the rows that any of the networks of some folds trains on, None for all."""
    seen = np.zeros(len(rows.target), dtype=bool)
    for fold in folds:
        for seed in seeds:
            train = rows.of(fold, seed).train
            seen[slice(None) if train is None else train] = True
    return None if seen.all() else np.flatnonzero(seen)
