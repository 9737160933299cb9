"""Early stopping with your own validation set, for instance the most recent rows."""

from __future__ import annotations

import numpy as np

import manynets as mn

# A year of daily measurements, in order. The last quarter decides when to stop: a random split would look into the future.
random = np.random.default_rng(0)
day = np.arange(365)
X = np.column_stack([np.sin(2 * np.pi * day / 7), np.cos(2 * np.pi * day / 7), day / 365, random.normal(size=(365, 12))])
y = 2 * X[:, 0] + X[:, 2] + random.normal(0, 0.5, 365)
X_train, y_train, X_recent, y_recent = X[:274], y[:274], X[274:], y[274:]

# Stop when the validation loss has not improved for 15 epochs. The weights of the best epoch are the ones returned.
recipe = mn.Recipe(optimizer=mn.Adam(lr=3e-3), epochs=500, stopping=mn.EarlyStopping(patience=15))
model = mn.train(X_train, y_train, mn.MLP(hidden=(64,)), recipe, validation=(X_recent, y_recent), progress=False)

curve = model.history["val_loss"]
best = int(np.argmin(curve))
print(f"Stopped after {len(curve)} of 500 epochs; the best was number {best + 1}, with a validation loss of {curve[best]:.3f}")
print(f"Its R² on the recent rows is {model.evaluate(X_recent, y_recent)['r2']:.3f}")
assert len(curve) < 500
