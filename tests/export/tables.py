"""A table with columns of every kind, and models of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars

import manynets as mn
from manynets.model import Model

ROWS = 240


def wide_table(rows: int = ROWS) -> polars.DataFrame:
    """Return columns of every kind: numbers with gaps, a unit, categories with rare levels and gaps, bools, dates, times, codes."""
    random = np.random.default_rng(3)
    i = np.arange(rows)
    return polars.DataFrame(
        {
            "size": [None if k % 11 == 0 else float(v) for k, v in enumerate(random.normal(100, 30, rows))],
            "weight": [f"{v:.1f} kg" for v in random.normal(70, 10, rows)],
            "rooms": random.integers(1, 6, rows),
            "color": [("red", "green", "blue", "Weiß", None)[v] for v in random.integers(0, 5, rows)],
            "town": [f"town {v}" if v < 4 else f"rare {v}" for v in random.geometric(0.3, rows)],
            "new": random.random(rows) < 0.5,
            "sold": [None if k % 13 == 0 else f"{1990 + k % 30}-{1 + k % 12:02}-{1 + k % 28:02}T{k % 24:02}:30:00" for k in i],
            "opens": [f"{k % 24:02}:{k % 60:02}:00" for k in i],
        }
    )


def target(frame: polars.DataFrame) -> Any:
    return frame["size"].fill_null(100).to_numpy() + 20 * frame["rooms"].to_numpy() + 9 * frame["new"].to_numpy()


def fitted(frame: polars.DataFrame, y: Any, **options: Any) -> Model:
    spec = options.pop("spec", mn.MLP(hidden=(8,)))
    encoder = options.pop("encoder", None)
    recipe = mn.Recipe(epochs=2, **options.pop("recipe", {}))
    return mn.train(frame, y, spec, recipe, encoder=encoder, progress=False, **options)


def counted(**recipe: Any) -> tuple[Model, Any]:
    """Return a clamped model of two targets, the first a count, and the rows (N, 3) that it was trained on."""
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 3)).astype(np.float32)
    y = np.stack([random.poisson(np.exp(x[:, 0])), 10 * random.normal(size=200)], axis=1)
    task, spec = mn.Regression.of(y, clamp=True), mn.MLP(hidden=(6,))
    options: dict[str, Any] = {"task": task, "n_networks": 2, "validation": "folds", "progress": False}
    return mn.train(x, y, spec, mn.Recipe(epochs=2, **recipe), **options), x


def model_of_task(task: str, dtype: Any, n_networks: int) -> tuple[Model, Any]:
    """Return a model for a kind of target, with batch norm and input scale, and the rows (N, 3) that it was trained on."""
    x = np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32)
    y: dict[str, Any] = {
        "regression": x[:, 0] * 1000,
        "several": x[:, :2] * [1e-3, 1e3],
        "binary": np.where(x[:, 0] > 0, "yes", "no"),
        "multiclass": np.digitize(x[:, 0], [-0.5, 0.5]) + 10,
        "multilabel": (x[:, :2] > 0).astype(int),
    }
    spec = mn.MLP(hidden=(6,), batch_norm=True, input_scale=True)
    return mn.train(x, y[task], spec, mn.Recipe(epochs=2, dtype=dtype), n_networks=n_networks, progress=False), x
