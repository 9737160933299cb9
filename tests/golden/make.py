"""Make the golden files of the version at hand: python tests/golden/make.py. Never run again for a version that is out.

Each folder tests/golden/VERSION holds models as that version saved them, and expected.json with what they must predict.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import manynets as mn

__all__ = ["INPUT", "frame_input", "make"]

INPUT = np.linspace(-1.5, 1.5, 12).reshape(4, 3)


def frame_input() -> Any:
    """Return the table that the model of a table predicts."""
    import polars as pl

    return pl.DataFrame(
        {"size": [1.0, None, -2.0], "town": ["x", "y", "unseen"], "day": ["2024-01-02", "2024-05-06", "2023-03-04"]}
    )


def make(folder: Path) -> None:
    """Train small models of every kind and write them to the folder."""
    import polars as pl

    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    X = random.standard_normal((60, 3))
    recipe = mn.Recipe(epochs=3, batch_size=10)
    models = {
        "regression": mn.train(X, 5 + 3 * X[:, 0], mn.MLP(hidden=(4, 3), batch_norm=True), recipe, validation=0.2, progress=False),
        "two-numbers": mn.train(
            X, X[:, :2], mn.MLP(hidden=()), mn.Recipe(epochs=2, dtype="float64", optimizer=mn.SGD(lr=0.1)), progress=False
        ),
        "binary": mn.train(X, X[:, 0] > 0, mn.MLP(hidden=(4,), dropout=0.2), recipe, progress=False),
        "multiclass": mn.train(
            X, np.array(["a", "b", "ü"])[random.integers(0, 3, 60)], mn.MLP(hidden=(4,), activation="gelu"), recipe, progress=False
        ),
        "multilabel": mn.train(X, (X > 0).astype(int), mn.MLP(hidden=(4,), bias=False), recipe, progress=False),
    }
    frame = pl.DataFrame(
        {"size": [*X[:59, 0].tolist(), None], "town": ["x", "y", "z"] * 20, "day": [f"2024-01-{1 + k % 28:02d}" for k in range(60)]}
    )
    models["table"] = mn.train(frame, X[:, 1], mn.MLP(hidden=(3,)), recipe, progress=False)
    one = models["regression"]
    models["several"] = mn.Model(
        spec=one.spec, task=one.task, recipe=one.recipe, in_features=3, history=one.history, info=one.info,
        members=[{name: value * (1 + k / 10) for name, value in one.members[0].items()} for k in range(3)],
    )  # fmt: skip
    expected = {}
    for name, model in models.items():
        model.save(folder / f"{name}.safetensors")
        given = frame_input() if name == "table" else INPUT
        expected[name] = {"scores": model.logits(given).tolist(), "predictions": model.predict(given).tolist()}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    make(Path(__file__).parent / mn.__version__)
