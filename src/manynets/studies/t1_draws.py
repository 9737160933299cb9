"""T1 repeated on ten draws, each with new training, validation and test points and 64 new networks.

A single draw may be lucky. The results here are means over ten draws, with their spread, and the note says how many draws reach the
published results. xor is also trained with biases, at the learning rate chosen on validation points for that network.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from manynets import plots
from manynets.plots.canvas import PALETTE
from manynets.studies.in_turn import in_turn
from manynets.studies.study import Figure, StudyResult, figure
from manynets.studies.t1_toys import DRAW, PUBLISHED, RATE, SPEC, draw_points, reaches, recipe_of, train_and_choose

CASES = [
    ("prod", "T1-prod", SPEC["T1-prod"], RATE["T1-prod"]),
    ("xor", "T1-xor", SPEC["T1-xor"], RATE["T1-xor"]),
    ("quadrants", "T1-quadrants", SPEC["T1-quadrants"], RATE["T1-quadrants"]),
    ("xor with biases", "T1-xor", dataclasses.replace(SPEC["T1-xor"], bias=True), 0.5),
]


def run(_: str, *, quick: bool) -> StudyResult:
    draws, networks = (2, 4) if quick else (10, 64)
    figures, shares, reached = [], {}, []
    for name, id, spec, rate in CASES:
        recipe = recipe_of(id, rate=rate, epochs=3 if quick else 200)
        judged = []
        for draw in in_turn(range(1, draws + 1), f"{name}: draws"):
            points = draw_points(id, DRAW + draw)
            seeds = range(draw * networks, (draw + 1) * networks)
            models, chosen = train_and_choose(id, points, spec, recipe, seeds, progress=False)
            judged.append(models[chosen].evaluate(*points.test))
        found = _figures(name, id, judged, as_published=spec == SPEC[id])
        figures += found
        if PUBLISHED[id][1] is not None:
            shares[name] = found[1].per_seed
        reached.append(f"{name} {sum(reaches(id, one) for one in judged)}")
    note = f"draws of {draws} that reach the published result: {', '.join(reached)}"
    return StudyResult(figures=tuple(figures), pictures={"draws.png": _dots(shares)}, note=note)


def _figures(name: str, id: str, judged: list[dict[str, Any]], *, as_published: bool) -> list[Figure]:
    """Return the results over all draws. as_published: compare them with the published ones."""
    loss, accuracy = PUBLISHED[id]
    losses = [one["loss"] for one in judged]
    found = [figure(f"{name}: loss, by draw", losses, published=loss if as_published else None, better="lower")]
    if accuracy is not None:
        shares = [100 * one["accuracy"] for one in judged]
        found.append(figure(f"{name}: accuracy %, by draw", shares, published=accuracy if as_published else None))
    return found


def _dots(shares: dict[str, tuple[float, ...]]) -> Any:
    """Plot the accuracy of each draw as a dot, one line per case, and the published accuracy of xor."""
    ax = plots.panels(1, 1)[0, 0]
    for row, values in enumerate(shares.values()):
        ax.plot(values, [row] * len(values), "o", color=PALETTE[row], alpha=0.7)
    ax.axvline(99.80, color=PALETTE[1], linestyle="--", label="published for xor: 99.80")
    ax.set(
        yticks=range(len(shares)), ylim=(len(shares) - 0.5, -0.5), xlabel="% of unseen points right", title="a dot for each draw"
    )
    ax.set_yticklabels(list(shares))
    ax.legend(fontsize="small")
    return ax
