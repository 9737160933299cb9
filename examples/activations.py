"""Compare activations on XOR: with each of them, how many of 20 small networks learn it?"""

from __future__ import annotations

import numpy as np

import manynets as mn

# Two inputs, and the class is whether their signs differ. No straight line separates the classes.
data = mn.datasets.load("xor", points=400, seed=0)

names = ["relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "identity"]
candidates = [
    (mn.MLP(hidden=(4,), activation=name), mn.Recipe(optimizer=mn.Adam(lr=0.02), epochs=60, seed=seed))
    for name in names
    for seed in range(20)
]
results = mn.train_many(data.X, data.y, candidates, progress=False)

accuracy = np.array([result.model.evaluate(data.X_test, data.y_test)["accuracy"] for result in results]).reshape(len(names), 20)
for name, row in zip(names, accuracy, strict=True):
    learned = int((row > 0.95).sum())
    print(f"{name:11} {'#' * learned:20} {learned:2} of 20 above 95%, median {np.median(row):.3f}")

# Without a curved activation, layers on top of each other are one linear map.
assert accuracy[names.index("identity")].max() < 0.9
