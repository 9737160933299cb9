"""Row weights for rows that count more, and class weights for classes that are rare."""

from __future__ import annotations

import numpy as np

import manynets as mn

# One point in twenty is of class 1, and the classes overlap.
random = np.random.default_rng(0)
y = (random.random(2000) < 0.05).astype(int)
X = random.normal(size=(2000, 2)) + 1.2 * y[:, None]
spec, recipe = mn.MLP(hidden=(16,)), mn.Recipe(epochs=30, seed=0)


def found(model: mn.Model) -> str:
    """Return how many of the rare and of the common rows are recognised."""
    right = model.predict(X) == y
    return f"{right[y == 1].mean():.0%} of the rare class, {right[y == 0].mean():.0%} of the common one"


# Without weights, saying 0 every time is hard to beat. "balanced" makes both classes count the same in the loss.
print("no weights:   ", found(mn.train(X, y, spec, recipe, progress=False)))
print("balanced:     ", found(mn.train(X, y, spec, recipe, class_weight="balanced", progress=False)))
print("your own:     ", found(mn.train(X, y, spec, recipe, class_weight={0: 1, 1: 5}, progress=False)))

# Row weights say how much each row counts, for instance less with its age. A row of weight 2 counts as that row twice.
age = random.uniform(0, 10, 2000)
print("recent first: ", found(mn.train(X, y, spec, recipe, sample_weight=0.8**age, class_weight="balanced", progress=False)))
