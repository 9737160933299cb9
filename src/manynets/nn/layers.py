"""The forward pass of one network in training, layer by layer: autograd starts from it, and the diagnosis of a divergence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from manynets.nn.activations import ACTIVATIONS
from manynets.nn.batch_norm import Whole, batch_norm
from manynets.nn.embeddings import periodic
from manynets.nn.shape import Shape

__all__ = ["training_outputs"]


def training_outputs(
    shape: Shape,
    parameters: Mapping[str, Tensor],
    h: Tensor,
    *,
    masks: Mapping[int, Tensor],
    weight: Tensor | None = None,
    statistics: Mapping[str, Tensor] | None = None,
    whole: Whole | None = None,
) -> Iterator[tuple[str, Tensor]]:
    """Yield the name and the output (b, units) of each layer after its activation; the last are the scores.

    h: the batch (b, D). masks: what the input of a layer (0: the columns) is multiplied by, (b, units). weight: of the rows (b, 1),
    None if all count alike. statistics: running mean and variance of batch norm, which are moved; None: nothing is moved.
    whole: the batch of which these rows are a part, for batch norm; None: they are all of it.
    """
    if shape.embedding is not None:
        h = periodic(h, parameters, shape.embedding.columns and list(shape.embedding.columns))
    if shape.input_scale:
        h = h * parameters["input_scale.weight"]
    for i, (name, _, _) in enumerate(shape.layers):
        if i in masks:
            h = h * masks[i]
        h = nn.functional.linear(h, parameters[f"{name}.weight"], parameters.get(f"{name}.bias"))
        if i < len(shape.hidden):
            if shape.batch_norm:
                running = None if statistics is None else (statistics[f"norm{i}.running_mean"], statistics[f"norm{i}.running_var"])
                gain, shift = parameters[f"norm{i}.weight"], parameters[f"norm{i}.bias"]
                h = batch_norm(h, gain, shift, weight=weight, running=running, whole=whole)
            h = ACTIVATIONS[shape.activation].call(h)
        yield name, h
