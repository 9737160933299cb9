"""What the systems on torch share: the network, the loss, batches sliced from memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from bench.cases import Case
from bench.data import Arrays, Layers

__all__ = ["CHUNK", "Slices", "criterion_of", "labels_of", "layers_of", "network_of", "optimizer_of", "set_weights", "target_of"]

CHUNK = 20_000  # rows of a large prediction that are computed together


def network_of(case: Case) -> nn.Sequential:
    """Return the plain network of a case: linear, ReLU, dropout (where there is any), ..., linear."""
    parts: list[nn.Module] = []
    for i, (d_in, d_out) in enumerate(zip(case.layers[:-1], case.layers[1:], strict=True)):
        parts.append(nn.Linear(d_in, d_out))
        if i < len(case.layers) - 2:
            parts.append(nn.ReLU())
            if case.dropout:
                parts.append(nn.Dropout(case.dropout))
    return nn.Sequential(*parts)


def _linears(network: nn.Sequential) -> list[nn.Linear]:
    return [part for part in network if isinstance(part, nn.Linear)]


def set_weights(network: nn.Sequential, layers: Layers) -> None:
    """Copy weights into the network."""
    with torch.no_grad():
        for linear, (weight, bias) in zip(_linears(network), layers, strict=True):
            linear.weight.copy_(torch.from_numpy(weight))
            linear.bias.copy_(torch.from_numpy(bias))


def layers_of(network: nn.Sequential) -> Layers:
    """Return copies of the network's weights."""
    return [(one.weight.detach().numpy().copy(), one.bias.detach().numpy().copy()) for one in _linears(network)]


def target_of(case: Case, arrays: Arrays) -> Tensor:
    """Return the target as the criterion wants it."""
    y = torch.from_numpy(arrays.y)
    return y.float().unsqueeze(1) if case.task == "binary" else y


def criterion_of(case: Case) -> nn.Module:
    """Return the loss on raw scores."""
    return nn.BCEWithLogitsLoss() if case.task == "binary" else nn.CrossEntropyLoss()


def optimizer_of(case: Case, network: nn.Module, *, fused: bool | None = None) -> torch.optim.Optimizer:
    """Return a fresh optimizer."""
    kind = torch.optim.Adam if case.optimizer == "adam" else torch.optim.SGD
    return kind(network.parameters(), lr=case.lr, fused=fused)


def labels_of(scores: Tensor) -> Tensor:
    """Return class codes (N,) for raw scores (N, O)."""
    return (scores[:, 0] > 0).long() if scores.shape[1] == 1 else scores.argmax(1)


class Slices:
    """Batches in a new order at each pass, sliced from tensors in memory: what a DataLoader gives, without its cost."""

    def __init__(self, x: Tensor, y: Tensor, batch: int) -> None:
        self.x, self.y, self.batch = x, y, batch

    def __len__(self) -> int:
        return -(-len(self.x) // self.batch)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.x))
        for index in torch.split(order, self.batch):
            yield self.x[index], self.y[index]
