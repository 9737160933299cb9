"""The best weights so far of the networks of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from manynets.nn.population import Population
from manynets.training.module import ModulePopulation, Networks


class BestWeights:
    """A copy of the parameters (K, P) and running statistics (K, Q) of K networks, each as it was when it was at its best."""

    def __init__(self, population: Networks) -> None:
        self.flat, self.statistics = population.flat.clone(), population.statistics.clone()

    def keep(self, population: Networks, chosen: NDArray[np.bool_]) -> None:
        """Copy the weights that the chosen networks (K,) have now."""
        _copy(chosen, population, self)

    def restore(self, population: Networks, chosen: NDArray[np.bool_]) -> None:
        """Give the chosen networks (K,) their best weights."""
        _copy(chosen, self, population)

    def networks(self, population: Networks, indices: Sequence[int]) -> list[dict[str, NDArray[Any]]]:
        """Return the best weights of networks by name; a user's module gets them back."""
        if isinstance(population, ModulePopulation):
            self.restore(population, np.ones(1, dtype=bool))
            return [population.network()]
        best = Population(population.shape, self.flat.cpu(), self.statistics.cpu())  # from a GPU in one copy
        return [best.network(k) for k in indices]

    def take(self, indices: Sequence[int]) -> None:
        """Keep the networks with these indices only."""
        self.flat, self.statistics = self.flat[list(indices)], self.statistics[list(indices)]


def _copy(chosen: NDArray[np.bool_], source: Networks | BestWeights, target: Networks | BestWeights) -> None:
    indices = None if chosen.all() else torch.from_numpy(np.flatnonzero(chosen)).to(source.flat.device)
    for new, old in ((source.flat, target.flat), (source.statistics, target.statistics)):
        if indices is None:
            old.copy_(new)
        elif len(indices):
            old.index_copy_(0, indices, new.index_select(0, indices))
