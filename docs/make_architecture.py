"""Draw docs/architecture.svg, the picture of docs/architecture.md: python docs/make_architecture.py.

The rows are the layers of the import contract in pyproject.toml, so the picture shows what import-linter enforces.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "manynets"
PICTURE = ROOT / "docs" / "architecture.svg"

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"  # Okabe and Ito; 5:1 and more on white
ROUTES = {
    "table": (BLUE, "a CSV cell becomes an input", ("cli", "tables", "prepare", "data", "training")),
    "rate": (
        ORANGE,
        "a learning rate reaches the weights",
        ("spec", "plan", "training", "schedules", "optim", "core"),
    ),
}
"""Which packages each route visits, in the order of the numbered steps on the page."""

HINTS = {
    "Commands and playground": ("cli", "playground"),
    "Run folders": ("runs",),
    "What users call": ("serve", "report", "plots", "explain", "export", "estimators", "search", "studies", "trackers"),
    "train()": ("fitting",),
    "The default for tables": ("tabular", "streaming"),
    "Candidates, folds, seeds": ("plan", "results", "train_arguments"),
    "Split, encode, to the device": ("prepare",),
    "What train() is given": ("encoding", "given", "targets", "recorded"),
    "A trained network": ("model",),
    "What all models show": ("model_tools",),
    "From scores to predictions": ("predictor", "intervals"),
    "The loop and its steppers": ("training", "progress"),
    "Several processes": ("distributed",),
    "The parts of a step": ("data", "optim", "nn", "engines"),
    "Data and what they mean": ("tasks", "metrics", "tables", "datasets"),
    "One file format": ("modelfile",),
    "Settings as data, no torch": ("spec",),
}
WIDTH, HEIGHT, GAP = 1.3, 0.5, 0.14
ACROSS = 4  # boxes in a line; a layer of more has several lines


def layers() -> list[list[str]]:
    """Return the packages that exist, top layer first."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = config["tool"]["importlinter"]["contracts"]
    rows = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    names = [re.findall(r"\w+", row) for row in rows]
    found = [[name for name in row if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()] for row in names]
    return [row for row in found if row]


def draw() -> Any:
    """Return the figure: a row of boxes for each layer, and the steps of both routes as numbers on the boxes."""
    from matplotlib.figure import Figure

    rows = [row[i : i + ACROSS] for row in layers() for i in range(0, len(row), ACROSS)]
    steps: dict[str, list[tuple[str, int]]] = {}
    for color, _, names in ROUTES.values():
        for number, name in enumerate(names, start=1):
            steps.setdefault(name, []).append((color, number))
    left, top = 2.3, len(rows) * (HEIGHT + GAP)
    right = left + ACROSS * (WIDTH + GAP)
    figure = Figure(figsize=(right + 0.1, top + 0.95))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, right + 0.1), ylim=(-0.15, top + 0.8))
    ax.axis("off")
    for i, row in enumerate(rows):
        y = top - (i + 1) * (HEIGHT + GAP) + GAP
        hint = next((text for text, names in HINTS.items() if set(names) & set(row)), "")
        ax.text(left - 0.3, y + HEIGHT / 2, hint, ha="right", va="center", fontsize=9.5, color=GREY)
        start = left + (ACROSS - len(row)) * (WIDTH + GAP) / 2
        for j, name in enumerate(row):
            _box(ax, start + j * (WIDTH + GAP), y, name, steps.get(name, []))
    _arrow(ax, left - 0.12, top)
    for i, (color, text, _) in enumerate(ROUTES.values()):
        x = left - 0.1 + i * 2.85
        _badge(ax, x + 0.12, top + 0.45, color, "1")
        ax.text(x + 0.32, top + 0.45, text, va="center", fontsize=10, color=color)
    return figure


def _box(ax: Any, x: float, y: float, name: str, steps: list[tuple[str, int]]) -> None:
    from matplotlib.patches import FancyBboxPatch

    shape = "round,pad=0,rounding_size=0.07"
    face = "#F4F4F4" if not steps else "#FFFFFF"
    edge = GREY if not steps else "#222222"
    ax.add_patch(FancyBboxPatch((x, y), WIDTH, HEIGHT, boxstyle=shape, facecolor=face, edgecolor=edge, linewidth=1))
    label = f"{name}.py" if (PACKAGE / f"{name}.py").is_file() else f"{name}/"
    ax.text(
        x + WIDTH / 2,
        y + HEIGHT / 2 - 0.02,
        label,
        ha="center",
        va="center",
        fontsize=10.5 if len(label) < 16 else 9,
        color="#111111",
    )
    for k, (color, number) in enumerate(steps):
        _badge(ax, x + WIDTH - 0.06 - 0.25 * k, y + HEIGHT - 0.01, color, str(number))


def _badge(ax: Any, x: float, y: float, color: str, text: str) -> None:
    ax.plot([x], [y], "o", markersize=13, color=color, markeredgecolor="white", markeredgewidth=1)
    ax.text(x, y - 0.005, text, ha="center", va="center_baseline", fontsize=8, color="white", fontweight="bold")


def _arrow(ax: Any, x: float, top: float) -> None:
    ax.annotate("", xy=(x, 0), xytext=(x, top), arrowprops={"arrowstyle": "-|>", "color": GREY, "linewidth": 1.2})
    ax.text(x - 0.05, top + 0.1, "imports", ha="center", va="bottom", fontsize=9, color=GREY)


def main() -> None:
    import matplotlib

    matplotlib.rcParams["svg.hashsalt"] = "manynets"  # the same file from the same picture
    draw().savefig(PICTURE, metadata={"Date": None}, facecolor="white")


if __name__ == "__main__":
    main()
