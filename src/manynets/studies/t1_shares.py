"""T1: the share of 64 seeds that reach the published results, by initialiser, schedule and width."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

import manynets as mn
from manynets import plots
from manynets.plots.canvas import PALETTE, ink
from manynets.studies.in_turn import in_turn
from manynets.studies.study import StudyResult, figure
from manynets.studies.t1_toys import DRAW, SPEC, TASK, draw_points, reaches, recipe_of
from manynets.studies.together import train_candidates

BASE = mn.MLP(hidden=(6,))
RECIPE = mn.Recipe(optimizer=mn.Adam(lr=0.01), batch_size=100, epochs=200, keep="last", device="cpu")


def variants(id: str) -> dict[str, tuple[mn.MLP, mn.Recipe]]:
    """Return the variants: the tutorial's network and training, the same with one change each, and the study's settings."""

    def spec(**change: Any) -> tuple[mn.MLP, mn.Recipe]:
        return dataclasses.replace(BASE, **change), RECIPE

    def recipe(**change: Any) -> tuple[mn.MLP, mn.Recipe]:
        return BASE, dataclasses.replace(RECIPE, **change)

    return {
        "as the tutorial": (BASE, RECIPE),
        "init xavier_uniform": spec(init="xavier_uniform"),
        "init kaiming_uniform": spec(init="kaiming_uniform"),
        "init orthogonal": spec(init="orthogonal"),
        "lr 0.03, cosine": recipe(optimizer=mn.Adam(lr=0.03), schedule=mn.Cosine()),
        "lr 0.1, cosine": recipe(optimizer=mn.Adam(lr=0.1), schedule=mn.Cosine()),
        "lr 0.1, one-cycle": recipe(optimizer=mn.Adam(lr=0.1), schedule=mn.OneCycle()),
        "no biases": spec(bias=False),
        "4 units": spec(hidden=(4,)),
        "12 units": spec(hidden=(12,)),
        "24 units": spec(hidden=(24,)),
        "the study's, with biases": (dataclasses.replace(SPEC[id], bias=True), recipe_of(id)),
        "the study's, without biases": (dataclasses.replace(SPEC[id], bias=False), recipe_of(id)),
    }


def run(_: str, *, quick: bool) -> StudyResult:
    seeds, problems = range(4 if quick else 64), ("xor",) if quick else ("prod", "xor", "quadrants")
    shares: dict[str, list[float]] = {}
    for problem in problems:
        id = f"T1-{problem}"
        points = draw_points(id, DRAW)
        for name, (spec, recipe) in in_turn(variants(id).items(), f"{problem}: variants"):
            candidates = [(spec, dataclasses.replace(recipe, seed=seed, epochs=3 if quick else 200)) for seed in seeds]
            judged = [model.evaluate(*points.test) for model in train_candidates(*points.train, candidates, task=TASK[id])]
            shares.setdefault(name, []).append(100 * float(np.mean([reaches(id, one) for one in judged])))
    figures = tuple(
        figure(f"{problem}, {name}: seeds there %", [share[p]])
        for p, problem in enumerate(problems)
        for name, share in shares.items()
    )
    return StudyResult(
        figures=figures, pictures={"shares.png": bars(shares, problems, len(seeds))}, note=f"of {len(seeds)} seeds each"
    )


def bars(shares: dict[str, list[float]], problems: tuple[str, ...], seeds: int) -> Any:
    """Draw the shares in percent, by variant, of each problem."""
    axes = plots.panels(1, len(problems), size=(4 * len(problems) + 1, 3.6))[0]
    for p, ax in enumerate(axes):
        bars = ax.barh(list(shares), [share[p] for share in shares.values()], color=PALETTE[p])
        ax.bar_label(bars, fmt="%.0f", padding=3, fontsize="small", color=ink(ax))
        ax.set(xlim=(0, 110), title=problems[p], xlabel=f"% of {seeds} seeds that reach the published result")
        ax.xaxis.label.set_fontsize("small")
        ax.invert_yaxis()
        if p:
            ax.set_yticklabels([])
    return axes[0]
