"""T4: MNIST with 784-512-512-10, ReLU and dropout 0.2; SGD 0.01, batches of 20, 50 epochs; a fifth of the rows for validation.

As in the tutorial, the weights of the epoch with the lowest validation loss are evaluated on the test rows. The losses that the
tutorial prints are divided by 60,000 for both sets; the true validation loss is five times the printed one.
"""

from __future__ import annotations

import dataclasses

import numpy as np

import manynets as mn
from manynets import plots
from manynets.studies.study import StudyResult, figure, load_mnist
from manynets.studies.together import train_seeds

CORRECT = (971, 1123, 1001, 984, 960, 870, 935, 993, 946, 981)  # published, by digit


def run(_: str, *, quick: bool) -> StudyResult:
    data = load_mnist()
    spec = mn.MLP(hidden=(512, 512), activation="relu", dropout=0.2)
    recipe = mn.Recipe(optimizer=mn.SGD(lr=0.01), batch_size=20, epochs=50)
    X, y, seeds = data.X, data.y, range(3)
    if quick:
        X, y, seeds, recipe = X[:1000], y[:1000], range(1), dataclasses.replace(recipe, epochs=2)
    models = train_seeds(X, y, spec, recipe, seeds=seeds, validation=0.2)
    judged = [model.evaluate(data.X_test, data.y_test) for model in models]

    figures = (
        figure("accuracy %", [100 * one["accuracy"] for one in judged], published=97.64),
        figure("test loss", [one["loss"] for one in judged], published=0.0744, better="lower"),
    )
    correct = np.mean([[entry["correct"] for entry in one["per_class"]] for one in judged], axis=0)
    counts = [entry["count"] for entry in judged[0]["per_class"]]
    classes = " ".join(f"{c:.0f}/{n} ({p})" for c, n, p in zip(correct, counts, CORRECT, strict=True))
    note = f"{len(models)} seeds; correct by digit, mean (published): {classes}"

    model, shown = models[0], slice(0, 20)
    predicted = model.predict(data.X_test[shown])
    title = f"784-512-512-10 relu · dropout 0.2 · sgd 0.01 · batch 20 · {recipe.epochs} epochs"
    history = model.history
    pictures = {
        "digits.png": plots.image_grid(
            data.X[shown], image_shape=(28, 28), titles=data.y[shown].tolist(), columns=10, title="digits to train on"
        ),
        "values.png": plots.image_values(data.X[0].reshape(28, 28), title=f"a {data.y[0]}, with every pixel's value"),
        "history.png": plots.history(
            history["epoch"],
            {"train loss": history["loss"], "validation loss": history["val_loss"]},
            best_epoch=history["epoch"][model.info["best"]],
            title=title,
        ),
        "predicted.png": plots.image_grid(
            data.X_test[shown],
            image_shape=(28, 28),
            titles=[f"{p} ({t})" for p, t in zip(predicted, data.y_test[shown], strict=True)],
            correct=predicted == data.y_test[shown],
            columns=10,
            title="Test images: predicted (true)",
        ),
        "confusion.png": plots.confusion(
            judged[0]["confusion"], classes=data.class_names, title=f"Confusion matrix of the test rows\n{title}"
        ),
    }
    return StudyResult(figures=figures, pictures=pictures, note=note)
