"""T3: the derivative of z = 2 (x + 2)^2 at x = 1, by torch's autograd and by hand: dz/dx = 4 (x + 2) = 12."""

from __future__ import annotations

import numpy as np
import torch

from manynets import plots
from manynets.plots.canvas import PALETTE
from manynets.studies.study import StudyResult, figure


def run(_: str, *, quick: bool) -> StudyResult:  # noqa: ARG001  (it is always quick)
    x = torch.ones(1, requires_grad=True)
    y = x + 2
    z = y * y * 2
    z.backward()  # fills x.grad
    assert x.grad is not None
    slope = x.grad.item()

    ax = plots.panels(1, 1)[0, 0]
    at = np.linspace(-4, 3, 200)
    ax.plot(at, 2 * (at + 2) ** 2, color=PALETTE[0], label="z = 2 (x + 2)²")
    ax.plot(at, z.item() + slope * (at - 1), color=PALETTE[1], linestyle="--", label=f"slope {slope:g} at x = 1")
    ax.plot([1], [z.item()], "o", color=PALETTE[1])
    ax.set(ylim=(-5, 50), xlabel="x", ylabel="z", title="what autograd returns: the slope of the tangent")
    ax.legend(fontsize="small")
    return StudyResult(
        figures=(figure("dz/dx", [slope], published=12.0),), pictures={"tangent.png": ax}, note="by hand: 4 (1 + 2) = 12"
    )
