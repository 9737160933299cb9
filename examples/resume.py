"""Resuming after a stop: the fit continues from its last checkpoint, and ends with the same weights to the last bit."""

from __future__ import annotations

import tempfile
from pathlib import Path

import manynets as mn

data = mn.datasets.load("moons", points=500, noise=0.1, seed=0)
settings = {"hidden_layer_sizes": (32, 32), "learning_rate_init": 0.01, "max_iter": 500, "tol": 1e-3, "random_state": 0}
folder = Path(tempfile.mkdtemp())


class PowerCut(Exception):
    pass


def cut_the_power(event: object) -> None:
    """A callback is called with every event of the training; this one ends it after 60 steps."""
    if getattr(event, "step", 0) >= 60:
        raise PowerCut


checkpoint = mn.Checkpoint(folder=folder, every_steps=7)
try:
    mn.MLPClassifier(**settings, checkpoint=checkpoint, callbacks=[cut_the_power]).fit(data.X, data.y)
except PowerCut:
    print("Stopped, with", *sorted(file.name for file in folder.glob("*.checkpoint")))

# The same fit with the same folder goes on where the last checkpoint left off.
resumed = mn.MLPClassifier(**settings, checkpoint=checkpoint).fit(data.X, data.y)
straight = mn.MLPClassifier(**settings).fit(data.X, data.y)
assert all((a == b).all() for a, b in zip(resumed.coefs_, straight.coefs_, strict=True))
print(f"Both fits took {resumed.n_iter_} epochs and have the same weights")
