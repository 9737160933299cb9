"""Scores by the compiled core equal those by torch, and those of a row do not depend on the others."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

import manynets as mn
from manynets import core
from manynets.nn import core_scores as core_scores_module
from manynets.nn.core_scores import takes_scores, write_core_scores
from manynets.nn.initial import initial_parameters
from manynets.nn.population import Population
from manynets.nn.shape import Shape
from manynets.spec import Activation
from tests.tolerances import assert_close

pytestmark = pytest.mark.skipif(core.load() is None, reason="there is no compiled core")


def population_of(spec: mn.MLP, columns: int, outputs: int, *, networks: int = 1, dtype: torch.dtype = torch.float64) -> Population:
    shape = Shape.of(spec, columns, outputs)
    initial = [initial_parameters(spec, columns, outputs, seed=seed) for seed in range(networks)]
    made = Population.start(shape, initial, device=torch.device("cpu"), dtype=dtype)
    random = torch.Generator().manual_seed(1)
    for view in (made.parameters | made.buffers).values():  # biases, norms and scales that are not 0 or 1
        view.add_(torch.rand(view.shape, generator=random, dtype=dtype), alpha=0.1)
    return made


def rows_of(count: int, columns: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(count, columns, generator=torch.Generator().manual_seed(2), dtype=dtype)


def core_scores(population: Population, x: Tensor) -> Tensor:
    out = torch.full((population.size, x.shape[-2], population.shape.out_features), np.nan, dtype=x.dtype)
    write_core_scores(population, x, out)
    return out


@pytest.mark.parametrize("activation", get_args(Activation))
def test_every_activation(activation: Activation) -> None:
    population = population_of(mn.MLP(hidden=(9, 6), activation=activation), 5, 3, networks=2)
    x = 3 * rows_of(301, 5)
    assert_close(core_scores(population, x), population.scorer()(x), "float64")


@pytest.mark.parametrize(
    ("spec", "outputs"),
    [
        (mn.MLP(hidden=()), 1),
        (mn.MLP(hidden=(), bias=False), 4),
        (mn.MLP(hidden=(7,), batch_norm=True), 1),
        (mn.MLP(hidden=(33, 17), batch_norm=True, bias=False), 2),
        (mn.MLP(hidden=(8,), input_scale=True), 1),
        (mn.MLP(hidden=(8,), dropout=0.5), 1),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_part_of_a_network(spec: mn.MLP, outputs: int, dtype: torch.dtype) -> None:
    population = population_of(spec, 20, outputs, networks=3, dtype=dtype)
    x = rows_of(700, 20, dtype)
    found = core_scores(population, x)
    assert_close(found, population.scorer()(x), "float32" if dtype == torch.float32 else "float64")
    assert torch.equal(core_scores(population, x[130:137]), found[:, 130:137])


def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    population, x = population_of(mn.MLP(hidden=(32, 16)), 6, 2, networks=3), rows_of(5000, 6)
    monkeypatch.setattr(core, "usable_threads", lambda most: min(most, 4))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    several = core_scores(population, x)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert torch.equal(core_scores(population, x), several)
    assert torch.isfinite(several).all()


@pytest.mark.parametrize("by_core", [False, True])
@pytest.mark.parametrize("networks", [1, 3])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_with_other_values_in_some_columns(monkeypatch: pytest.MonkeyPatch, networks: int, batch_norm: bool, by_core: bool) -> None:
    monkeypatch.setattr("manynets.nn.scores.takes_scores", lambda *args, **options: by_core)
    population = population_of(mn.MLP(hidden=(12, 5), batch_norm=batch_norm), 6, 2, networks=networks)
    columns, values, x = torch.tensor([1, 4]), rows_of(7, 2), rows_of(300, 6)
    old, rows, new = torch.arange(300) % 7, torch.arange(500) * 7 % 300, torch.arange(500) * 3 % 7
    x[:, columns] = values[old]
    changed = x[rows]
    changed[:, columns] = values[new]
    scorer, out = population.scorer(), torch.full((networks, 500, 2), np.nan, dtype=torch.float64)
    terms = scorer.part_of_sums(values, columns)
    scorer.write_exchanged(scorer.first_sums(x), terms, old, rows, new, out, 64)
    assert_close(out, scorer(changed), "float64")


def test_a_row_that_is_not_finite_leaves_the_others_as_they_are() -> None:
    population, x = population_of(mn.MLP(hidden=(20, 9)), 6, 1), rows_of(300, 6)
    clean = core_scores(population, x)
    x[7, 3], x[290, 0] = torch.nan, torch.inf
    found = core_scores(population, x)
    assert not torch.isfinite(found[0, [7, 290]]).any()
    others = [row for row in range(300) if row not in (7, 290)]
    assert torch.equal(found[:, others], clean[:, others])


def test_what_goes_to_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "has_wide_vectors", lambda: True)
    population = population_of(mn.MLP(hidden=(64, 64)), 30, 1)
    assert takes_scores(population, rows_of(1000, 30))
    assert not takes_scores(population, rows_of(10, 30))  # the copies of the weights would take longer
    assert not takes_scores(population, rows_of(1000, 30, torch.float32))
    assert not takes_scores(population, rows_of(30, 1000).mT)
    assert not takes_scores(population_of(mn.MLP(hidden=(8,), embedding=mn.Periodic()), 30, 1), rows_of(1000, 30))
    monkeypatch.setattr(core, "has_wide_vectors", lambda: False)
    assert not takes_scores(population, rows_of(1000, 30))


def test_the_size_decides_what_goes_to_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "has_wide_vectors", lambda: True)
    population, rows = population_of(mn.MLP(hidden=(16, 8)), 10, 1, networks=3), rows_of(core_scores_module.FEWEST_ROWS, 10)
    monkeypatch.setattr(core_scores_module, "FEWEST", 3 * len(rows) * (10 * 16 + 16 * 8 + 8))
    assert takes_scores(population, rows)
    assert not takes_scores(population, rows[1:])
    assert not takes_scores(population_of(mn.MLP(hidden=(16, 8)), 10, 1, networks=2), rows)
    for largest, takes in ((10 * 16, True), (10 * 16 - 1, False)):
        monkeypatch.setattr(core_scores_module, "LARGEST", largest)
        assert takes_scores(population, rows) == takes


@pytest.mark.skipif(sys.platform != "linux", reason="asks for the CPU affinity")
@pytest.mark.parametrize(("of_torch", "usable", "expected"), [(4, 2, 2), (3, 8, 3), (0, 8, 1)])
def test_no_more_threads_than_torch_has_and_than_are_usable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, of_torch: int, usable: int, expected: int
) -> None:
    jobs: list[core.Job] = []
    monkeypatch.setattr(core, "evaluate", jobs.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: of_torch)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(usable)))
    monkeypatch.setattr(core, "CGROUP", tmp_path)  # without a quota
    core_scores(population_of(mn.MLP(hidden=(4,)), 3, 1), rows_of(70, 3))
    assert [job.threads for job in jobs] == [expected]


@pytest.mark.parametrize("outputs", [1, 3])
def test_rows_of_a_larger_array(outputs: int) -> None:
    """As where the scores of all rows are written in parts."""
    population, x = population_of(mn.MLP(hidden=(9,)), 5, outputs, networks=3), rows_of(300, 5)
    whole = torch.full((3, 400, outputs), np.nan, dtype=torch.float64)
    write_core_scores(population, x, whole[:, 50:350])
    assert_close(whole[:, 50:350], population.scorer()(x), "float64")
    assert torch.isnan(whole[:, :50]).all()
    assert torch.isnan(whole[:, 350:]).all()
