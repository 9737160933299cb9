"""Save a model, load it elsewhere, and predict one row."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import polars as pl

import manynets as mn

# Measurements of two kinds of fish, one column of them text.
random = np.random.default_rng(0)
kind = random.choice(["perch", "pike"], 300)
length = np.where(kind == "pike", 70, 30) + random.normal(0, 12, 300)
fish = pl.DataFrame({"length": length, "water": random.choice(["lake", "river"], 300)})
model = mn.train(fish, kind, mn.MLP(hidden=(16,)), mn.Recipe(epochs=40), validation=0.2, progress=False)

# One file: network, weights, recipe, history and the encoder of the table. Nothing in it can run code.
path = Path(tempfile.mkdtemp()) / "fish.safetensors"
model.save(path)

loaded = mn.load(path)
one = pl.DataFrame({"length": [62.0], "water": ["river"]})
print("It is a", loaded.predict(one)[0], "with the probabilities", loaded.predict_proba(one)[0].round(3))
assert (loaded.predict(fish) == model.predict(fish)).all()
