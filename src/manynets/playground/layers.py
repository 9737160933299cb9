"""The outputs of every layer of K networks, and the gradients of one network."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manynets.nn.activations import ACTIVATIONS
from manynets.nn.embeddings import periodic
from manynets.nn.population import Population
from manynets.nn.shape import Shape
from manynets.prepare import TrainingData
from manynets.spec import Recipe
from manynets.tasks.objectives import objective_for


def population_of(shape: Shape, flat: NDArray[Any], statistics: NDArray[Any]) -> Population:
    """Return the population with these parameters (K, P) and running statistics (K, Q)."""
    return Population(shape, torch.from_numpy(flat), torch.from_numpy(statistics))


def layer_outputs(population: Population, x: Tensor) -> list[Tensor]:
    """Return the output (K, N, H) of each hidden layer after its activation, and the scores (K, N, O), for x (N, D)."""
    shape, call = population.shape, ACTIVATIONS[population.shape.activation].call
    h = x.expand(population.size, *x.shape)
    if shape.embedding is not None:
        h = periodic(h, population.parameters, population.columns)
    if shape.input_scale:
        h = h * population.parameters["input_scale.weight"].unsqueeze(1)
    out = []
    for i, (name, _, _) in enumerate(shape.layers):
        bias = population.parameters.get(f"{name}.bias")
        h = torch.bmm(h, population.parameters[f"{name}.weight"].mT)
        if bias is not None:
            h = h + bias.unsqueeze(1)
        if i < len(shape.hidden):
            if shape.batch_norm:
                slope, shift = population.norm(i)
                h = slope * h + shift
            h = call(h)
        out.append(h)
    return out


def gradients(population: Population, recipe: Recipe, data: TrainingData, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Return the gradient of the mean loss over some rows with respect to each parameter of a population of one, by name."""
    flat = population.flat.clone().requires_grad_()
    with torch.enable_grad():
        one = Population(population.shape, flat, population.statistics)
        objective = objective_for(data.problem.task, recipe)
        index = torch.from_numpy(rows)
        x, target = data.problem.rows.x[index], data.problem.rows.target[index]
        scores = layer_outputs(one, x)[-1][0]
        loss = objective.rows(scores, objective.expand(target, recipe.label_smoothing, x.dtype)).mean()
        (grad,) = torch.autograd.grad(loss, flat)
    named = Population(population.shape, grad, population.statistics)
    return {name: view[0].numpy() for name, view in named.parameters.items()}
