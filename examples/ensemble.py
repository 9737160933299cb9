"""An ensemble and its spread: 16 networks disagree where there was no data to learn from."""

from __future__ import annotations

import numpy as np

import manynets as mn

# A noisy sine, with nothing between 2 and 4.
random = np.random.default_rng(0)
x = np.concatenate([random.uniform(-3, 2, 200), random.uniform(4, 6, 80)])[:, None]
y = np.sin(2 * x[:, 0]) + random.normal(0, 0.1, len(x))

# The same network from 16 seeds, trained together. scaling=False: the networks see x as it is, also far from the data. A scaled column
# would stop at the limits of the training rows.
spec = mn.MLP(hidden=(64, 64), activation="tanh")
candidates = [(spec, mn.Recipe(optimizer=mn.Adam(lr=3e-3), epochs=200, seed=seed)) for seed in range(16)]
results = mn.train_many(x, y, candidates, scaling=False, progress=False)

# Their mean is the prediction; where they disagree, the data did not say what the function is.
points = np.array([[-2.0], [0.0], [1.5], [3.0], [5.0], [9.0]])
predictions = np.stack([result.model.predict(points) for result in results])  # (networks, points)
for at, mean, spread in zip(points[:, 0], predictions.mean(axis=0), predictions.std(axis=0), strict=True):
    print(f"x = {at:4.1f}   prediction {mean:5.2f} ± {spread:.2f}   truth {np.sin(2 * at):5.2f}")

assert predictions.std(axis=0)[5] > 5 * predictions.std(axis=0)[1]
