"""The forward pass of one network in training, layer by layer: autograd starts from it, and the diagnosis of a divergence."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from manynets.constants import BN_EPS, BN_MOMENTUM
from manynets.nn.activations import ACTIVATIONS
from manynets.nn.embeddings import periodic
from manynets.nn.shape import Shape

__all__ = ["Whole", "normalisers", "training_outputs"]


@dataclasses.dataclass(frozen=True)
class Whole:
    """A batch whose rows are divided among processes: the weights of all its rows (B, 1), and a sum's total over the processes."""

    weight: Tensor
    total: Callable[[Tensor], Tensor] = lambda part: part


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
                h = _batch_norm(h, parameters[f"norm{i}.weight"], parameters[f"norm{i}.bias"], weight, running, whole)
            h = ACTIVATIONS[shape.activation].call(h)
        yield name, h


def _batch_norm(
    z: Tensor,
    gain: Tensor,
    shift: Tensor,
    weight: Tensor | None,
    running: tuple[Tensor, Tensor] | None,
    whole: Whole | None,
) -> Tensor:
    """Return gain (z - mean) / sqrt(var + eps) + shift over the rows of a batch z (b, units), which move the running statistics."""
    z = z.to(gain.dtype)  # autocast gives bfloat16, in which means and variances would lose their digits
    w = torch.ones_like(z[:, :1]) if weight is None else weight
    whole = whole or Whole(w)
    _, rows, unbiased = normalisers(whole.weight)
    mean = whole.total((z * w).sum(0, keepdim=True)) / rows
    centred = z - mean
    squares = whole.total((centred * centred * w).sum(0, keepdim=True))
    if running is not None:
        with torch.no_grad():
            for buffer, value in zip(running, (mean, squares / unbiased), strict=True):
                buffer.lerp_(value.detach()[0], BN_MOMENTUM)
    return centred * torch.rsqrt(squares / rows + BN_EPS) * gain + shift


def normalisers(raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what follows from the weights (..., b, 1) of the rows of batches: share (..., b, 1), rows and unbiased (..., 1, 1).

    share is each row's share of its batch, 0 where all weights are. Batch norm divides its sums by `rows` for mean and variance, and
    by `unbiased` for the running variance, as torch does. Weights count as copies of a row, so that weight 2 is the row twice, but
    no batch has fewer rows than it has.
    """
    total = raw.sum(-2, keepdim=True)
    rows = total.masked_fill(total == 0, 1.0)
    copies = torch.maximum(rows, (raw > 0).sum(-2, keepdim=True).to(rows)).clamp_(min=2.0)
    return raw / rows, rows, torch.where(copies == rows, rows - 1, rows * (copies - 1) / copies)
