"""A sweep: 24 networks of two shapes and three learning rates, trained together."""

from __future__ import annotations

import itertools

import numpy as np

import manynets as mn

data = mn.datasets.load("spirals", points=600, noise=0.1, seed=0)

# A candidate is a network and a recipe. Candidates may differ in any setting; those of the same shape share each step.
candidates = [
    (mn.MLP(hidden=hidden, activation="tanh"), mn.Recipe(optimizer=mn.Adam(lr=lr), epochs=60, seed=seed))
    for hidden, lr, seed in itertools.product([(8,), (32, 32)], [1e-3, 1e-2, 3e-2], range(4))
]
results = mn.train_many(data.X, data.y, candidates, progress=False)

# Four seeds each: the mean accuracy on the test rows, and how much it depends on the seed.
accuracy = [result.model.evaluate(data.X_test, data.y_test)["accuracy"] for result in results]
for start in range(0, len(results), 4):
    spec, recipe = candidates[start]
    found = np.array(accuracy[start : start + 4])
    print(f"hidden {spec.hidden!s:8}  lr {recipe.optimizer.lr:<5}  accuracy {found.mean():.3f} ± {found.std():.3f}")
