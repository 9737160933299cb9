"""T3: a perceptron, Linear(1, 1) and a step.

The tutorial replaces the step by ReLU, because a step has no useful derivative. But its forward applies ReLU to x instead of the output
of the linear layer, which is computed and discarded:

    def forward(self, x):
        output = self.fc(x)
        output = self.relu(x)      # the bug: x, not output
        return output

So the output does not depend on the weights, which get no gradient and never learn. The fixed version uses the step itself
(Heaviside): y = 1 if w x + b > 0, else 0. It needs no derivative, because Rosenblatt's rule learns from the mistakes:
w <- w + (t - y) x, b <- b + (t - y).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from manynets import plots
from manynets.plots.canvas import PALETTE
from manynets.studies.study import StudyResult, figure


class Tutorial(nn.Module):
    """The tutorial's perceptron, including the bug."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(1, 1)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        output = self.fc(x)
        output = self.relu(x)
        return output  # noqa: RET504


class Perceptron(nn.Module):
    """The fixed perceptron: the step of the linear output."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.heaviside(self.fc(x), torch.zeros(()))


def learn(perceptron: Perceptron, x: Tensor, t: Tensor, epochs: int) -> list[int]:
    """Train by Rosenblatt's rule on x (N, 1) and t (N, 1) of 0 and 1; return the mistakes in each epoch, the last 0."""
    mistakes: list[int] = []
    with torch.no_grad():
        for _ in range(epochs):
            wrong = 0
            for xi, ti in zip(x, t, strict=True):
                error = ti - perceptron(xi)
                perceptron.fc.weight.add_(error * xi)
                perceptron.fc.bias.add_(error)
                wrong += int(error != 0)
            mistakes.append(wrong)
            if not wrong:
                break
    return mistakes


def run(_: str, *, quick: bool) -> StudyResult:  # noqa: ARG001  (it is always quick)
    shares, curves = [], []
    for seed in range(5):
        random = np.random.default_rng(seed)
        below, above = random.uniform(-3, 0.4, 20), random.uniform(0.6, 3, 20)  # the threshold is between 0.4 and 0.6
        x = torch.tensor(np.concatenate([below, above])[:, None], dtype=torch.float32)
        t = torch.tensor(np.repeat([0.0, 1.0], 20)[:, None], dtype=torch.float32)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            perceptron, buggy = Perceptron(), Tutorial()
        curves.append(learn(perceptron, x, t, epochs=1000))
        shares.append(100 * float((perceptron(x) == t).float().mean()))
        buggy(x.requires_grad_()).sum().backward()
        assert buggy.fc.weight.grad is None, "the tutorial's network has got a gradient"

    at = torch.linspace(-3, 3, 601)[:, None]
    ax = plots.panels(1, 1)[0, 0]
    ax.plot(at[:, 0], buggy(at).detach()[:, 0], color=PALETTE[1], linestyle="--", label="tutorial: ReLU(x), whatever the weights")
    ax.plot(at[:, 0], perceptron(at).detach()[:, 0], color=PALETTE[0], label="fixed: step of w x + b")
    ax.plot(x.detach()[:, 0], t[:, 0], "o", color=PALETTE[2], label="points to learn")
    ax.set(xlabel="x", ylabel="output", title="a perceptron with the tutorial's bug, and with its fix")
    ax.legend(fontsize="small")
    learned = plots.panels(1, 1)[0, 0]
    for seed, curve in enumerate(curves):
        learned.plot(range(1, len(curve) + 1), curve, "o-", color=PALETTE[seed], label=f"seed {seed}", alpha=0.7)
    learned.set(xlabel="epoch", ylabel="mistakes", title="Rosenblatt's rule ends when nothing is wrong")
    learned.legend(fontsize="small")
    note = "the tutorial's weights get no gradient; fixed, it learns to separate the points without a mistake"
    return StudyResult(
        figures=(figure("points on the right side %", shares),), pictures={"output.png": ax, "mistakes.png": learned}, note=note
    )
