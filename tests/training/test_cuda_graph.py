"""The step that CUDA captures as a graph: without a GPU, that it reads and writes by the counter what the plain steps do."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import manynets as mn
from manynets.training.steppers.closed_form import ClosedForm
from manynets.training.steppers.cuda_graph import CapturedStep
from tests.tolerances import assert_close
from tests.training.problems import member_of, problem_of

CASES = {
    "sgd": (mn.MLP(hidden=(6, 5)), mn.Recipe(optimizer=mn.SGD(lr=0.1))),
    "adam, dropout, penalties": (
        mn.MLP(hidden=(6,), dropout=0.3),
        mn.Recipe(optimizer=mn.Adam(lr=0.1), l1=0.01, l2=0.1, clip_norm=1.0),
    ),
    "batch norm": (mn.MLP(hidden=(6,), batch_norm=True), mn.Recipe(optimizer=mn.NAdam(lr=0.1))),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_a_captured_step_is_the_plain_step(case: str, weighted: bool) -> None:
    spec, recipe = CASES[case]
    problem = problem_of("multiclass", rows=48, weighted=weighted)
    recipe = dataclasses.replace(recipe, batch_size=8, dtype="float64")
    members = [member_of(problem, k, spec, dataclasses.replace(recipe, seed=k, l2=recipe.l2 * k)) for k in range(3)]
    plain, captured = ClosedForm(problem, members), ClosedForm(problem, members)
    rates = np.linspace(0.01, 0.1, 15).reshape(5, 3)
    with torch.no_grad():
        log = plain.advance(rates)
        planned = torch.from_numpy(captured.optimizer.coefficients(rates, 0)).unsqueeze(-1)
        inputs = captured.inputs(captured.batches.chunk(0, 0, 5), planned)
        step = CapturedStep(captured.one_step, inputs, 8)
        for part in (slice(0, 2), slice(2, 5)):  # two calls, of unlike numbers of steps
            scores, penalties = step.replay(inputs.map(lambda tensor, part=part: tensor[part]))
    assert_close(captured.population.flat, plain.population.flat, "float64")
    assert_close(captured.population.statistics, plain.population.statistics, "float64")
    assert_close(penalties.numpy(), np.ascontiguousarray(log[2:, :, 2]), "float64")
    assert scores.shape == (3, 3, 8, 3)
