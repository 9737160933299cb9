"""Draw every picture of docs/gallery/: python docs/make_gallery.py [NAME ...].

Each function below draws one picture and is named as its file; those of the glossary are in glossary_pictures.py. They use data sets that
need no download.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import glossary_pictures
import numpy as np

import manynets as mn
from manynets import datasets, plots
from manynets.studies.together import train_candidates, train_seeds

FOLDER = Path(__file__).parent / "gallery"

PICTURES: dict[str, Callable[[], Any]] = {}


def picture(function: Callable[[], Any]) -> Callable[[], Any]:
    PICTURES[function.__name__] = function
    return function


def moons(**more: Any) -> Any:
    return datasets.load("moons", points=400, noise=0.15, **more)


def moons_model(epochs: int = 60) -> mn.Model:
    data = moons()
    recipe = mn.Recipe(optimizer=mn.Adam(lr=0.02), epochs=epochs, batch_size=50)
    validation = (data.X_validation, data.y_validation)
    return mn.train(data.X, data.y, mn.MLP(hidden=(16, 16), activation="tanh"), recipe, validation=validation, progress=False)


def digits_model() -> tuple[Any, mn.Model]:
    data = datasets.load("digits")
    recipe = mn.Recipe(optimizer=mn.Adam(lr=0.005), epochs=15, batch_size=64)
    return data, mn.train(data.X, data.y, mn.MLP(hidden=(32,)), recipe, validation=0.2, progress=False)


# --- what the library draws -------------------------------------------------------------------------------------------


@picture
def points() -> Any:
    ax = plots.panels(1, 2)[0]
    data, prod = moons(), datasets.load("prod", points=400)
    plots.points(data.X, data.y, classes=data.class_names, title="Points of two classes", ax=ax[0])
    plots.points(prod.X, prod.y, task="regression", title="Points with values", ax=ax[1])
    return ax[0]


@picture
def history() -> Any:
    model = moons_model()
    past = model.history
    return plots.history(
        past["epoch"], {"train loss": past["loss"], "validation loss": past["val_loss"]},
        best_epoch=past["epoch"][model.info["best"]], title="Training and validation loss\nmoons · 16-16 tanh · adam lr 0.02 · batch 50",
    )  # fmt: skip


@picture
def ensemble() -> Any:
    data = moons(seed=1)
    recipe = mn.Recipe(optimizer=mn.Adam(lr=0.02), epochs=40, batch_size=50)
    spec = mn.MLP(hidden=(16, 16), activation="tanh")
    return mn.train(data.X, data.y, spec, recipe, n_networks=8, validation="folds", progress=False).plot().axes[0]


@picture
def learning_curves() -> Any:
    data = datasets.load("xor", points=500)
    recipe = mn.Recipe(optimizer=mn.Adam(lr=0.02), epochs=60, batch_size=50, keep="last")
    models = train_seeds(data.X, data.y, mn.MLP(hidden=(6,)), recipe, seeds=range(48))
    losses = [model.history["loss"] for model in models]
    best = int(np.argmin([loss[-1] for loss in losses]))
    return plots.learning_curves(
        losses, best=best, log=True, title="Training loss of 48 seeds\nxor · 2-6-1 relu · adam lr 0.02 · batch 50"
    )


@picture
def regions() -> Any:
    data = datasets.load("spirals", points=400, noise=0.1)
    recipe = mn.Recipe(optimizer=mn.Adam(lr=0.02), schedule=mn.Cosine(), epochs=150, batch_size=50, keep="last")
    widths = ((4,), (16,), (16, 16), (32, 32))
    candidates = [(mn.MLP(hidden=hidden, activation="tanh"), recipe) for hidden in widths]
    models = train_candidates(data.X, data.y, candidates)
    axes = plots.panels(1, 4, size=(14, 3.6))[0]
    for ax, model, hidden in zip(axes, models, widths, strict=True):
        share = model.evaluate(data.X_test, data.y_test)["accuracy"]
        title = f"2-{'-'.join(map(str, hidden))}-1: {share:.0%} right"
        plots.regions(data.X, data.y, predict=model.predict_proba, title=title, ax=ax)
        if ax.get_legend() is not None:
            ax.get_legend().remove()
    return axes[0]


@picture
def surface() -> Any:
    data = datasets.load("prod", points=600)
    recipe = mn.Recipe(optimizer=mn.Adam(lr=0.03), schedule=mn.Cosine(), epochs=80, batch_size=50)
    model = mn.train(data.X, data.y, mn.MLP(hidden=(12,)), recipe, progress=False)
    return plots.surface(model.predict, X=data.X, y=data.y, title="Predicted y, and the points\ny = x₁ x₂ · 2-12-1 relu")


@picture
def surface_3d() -> Any:
    data = datasets.load("prod", points=600)
    recipe = mn.Recipe(optimizer=mn.Adam(lr=0.03), schedule=mn.Cosine(), epochs=80, batch_size=50)
    model = mn.train(data.X, data.y, mn.MLP(hidden=(12,), activation="tanh"), recipe, progress=False)
    return plots.surface(model.predict, extent=(-1, 1, -1, 1), three_d=True, title="Predicted y\ny = x₁ x₂ · 2-12-1 tanh")


@picture
def spread() -> Any:
    data = moons()
    models = train_seeds(
        data.X, data.y, mn.MLP(hidden=(16,), activation="tanh"),
        mn.Recipe(optimizer=mn.Adam(lr=0.03), epochs=60, batch_size=50, keep="last"), seeds=range(12),
    )  # fmt: skip
    return plots.spread(
        lambda grid: np.stack([model.predict_proba(grid) for model in models]),
        X=data.X, y=data.y, classes=data.class_names, extent=(-2.5, 3.5, -2, 2.5),
        title="Where 12 networks disagree\nmoons · 2-16-1 tanh · 12 seeds",
    )  # fmt: skip


@picture
def network() -> Any:
    data = datasets.load("quadrants", points=600)
    recipe = mn.Recipe(optimizer=mn.Adam(lr=0.05), schedule=mn.Cosine(), epochs=60, batch_size=50)
    member = mn.train(data.X, data.y, mn.MLP(hidden=(6,)), recipe, progress=False).members[0]
    return plots.network(
        [member["hidden0.weight"], member["output.weight"]], [member["hidden0.bias"], member["output.bias"]],
        feature_names=("x₁", "x₂"), class_names=data.class_names, title="Units and weights\nquadrants · 2-6-4 relu",
    )  # fmt: skip


@picture
def xor() -> Any:
    """The network of the first chapter."""
    data, axes = datasets.load("xor", points=1000, seed=0), plots.panels(1, 2)[0]
    recipe = mn.Recipe(optimizer=mn.Adam(lr=0.03), epochs=40, batch_size=100)
    model = mn.train(data.X, data.y, mn.MLP(hidden=(6,)), recipe, scaling=False, progress=False)
    plots.regions(data.X, data.y, predict=model.predict_proba, title="xor, 2-6-1", ax=axes[0])
    weights = [model.members[0]["hidden0.weight"], model.members[0]["output.weight"]]
    plots.network(weights, feature_names=("x₁", "x₂"), title="its weights", ax=axes[1])
    return axes[0]


@picture
def activations() -> Any:
    def sigmoid(x: Any) -> Any:
        return 1 / (1 + np.exp(-x))

    return plots.activations(
        {
            "sigmoid": (sigmoid, lambda x: sigmoid(x) * (1 - sigmoid(x))),
            "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
            "ReLU": (lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(float)),
        }
    )[0]


@picture
def distributions() -> Any:
    data = moons()
    layers: dict[str, list[Any]] = {"hidden layer 1": [], "hidden layer 2": []}
    for epochs in range(1, 26):
        recipe = mn.Recipe(optimizer=mn.Adam(lr=0.03), epochs=epochs, batch_size=50, keep="last")
        member = mn.train(data.X, data.y, mn.MLP(hidden=(32, 32)), recipe, progress=False).members[0]
        layers["hidden layer 1"].append(member["hidden0.weight"])
        layers["hidden layer 2"].append(member["hidden1.weight"])
    return plots.distributions(layers)[0]


@picture
def image_grid() -> Any:
    data, model = digits_model()
    predicted = model.predict(data.X_test)
    wrong = np.flatnonzero(predicted != data.y_test)[:8]
    rows = np.concatenate([np.arange(24 - len(wrong)), wrong])
    titles = [f"{p} ({t})" for p, t in zip(predicted[rows], data.y_test[rows], strict=True)]
    return plots.image_grid(
        data.X_test[rows], image_shape=(8, 8), titles=titles, correct=predicted[rows] == data.y_test[rows], columns=8,
        title="Test images: predicted (true)\ndigits · 64-32-10 relu",
    )  # fmt: skip


@picture
def image_values() -> Any:
    data = datasets.load("digits")
    return plots.image_values(data.X[0].reshape(8, 8) * 16, title=f"A {data.y[0]} and its pixel values")


@picture
def first_layer() -> Any:
    _, model = digits_model()
    return plots.first_layer(model.members[0]["hidden0.weight"], image_shape=(8, 8), columns=8)


@picture
def confusion() -> Any:
    data, model = digits_model()
    matrix = model.evaluate(data.X_test, data.y_test)["confusion"]
    return plots.confusion(matrix, classes=data.class_names, title="Confusion matrix of the test rows\ndigits · 64-32-10 relu")


@picture
def dependence() -> Any:
    model, axes = moons_model(), plots.panels(1, 2)[0]
    plots.dependence(mn.explain.partial_dependence(model, moons().X, "x0"), ax=axes[0])
    return plots.dependence(mn.explain.partial_dependence(model, moons().X, ["x0", "x1"], n_grid=12), ax=axes[1])


@picture
def roc() -> Any:
    data = datasets.load("moons", points=400, noise=0.5)
    model = mn.train(data.X, data.y, mn.MLP(hidden=(8,)), mn.Recipe(epochs=20), progress=False)
    shares, title = model.predict_proba(data.X_test), "ROC curve of the test rows\nmoons with noise 0.5 · 2-8-1 relu"
    return plots.roc(data.y_test, shares, title=title)


@picture
def predicted() -> Any:
    data = datasets.load("prod", points=1000, noise=0.05)
    model = mn.train(data.X, data.y, mn.MLP(hidden=(32,)), mn.Recipe(optimizer=mn.Adam(lr=0.01), epochs=60), progress=False)
    return plots.predicted_against_true(
        data.y_test, model.predict(data.X_test), title="Predicted and true y of the test rows\ny = x₁ x₂ with noise · 2-32-1 relu"
    )


def sweep() -> list[dict[str, Any]]:
    data = moons()
    grid = list(itertools.product((4, 8, 16, 32), (0.001, 0.003, 0.01, 0.03, 0.1), range(3)))
    candidates = [(mn.MLP(hidden=(h,)), mn.Recipe(optimizer=mn.Adam(lr=lr), epochs=15, batch_size=50, seed=s)) for h, lr, s in grid]
    models = train_candidates(data.X, data.y, candidates)
    scores = [model.evaluate(data.X_validation, data.y_validation)["accuracy"] for model in models]
    return [{"units": h, "lr": lr, "seed": s, "accuracy": v} for (h, lr, s), v in zip(grid, scores, strict=True)]


@picture
def score_over() -> Any:
    rows = sweep()
    rates, scores = [row["lr"] for row in rows], [row["accuracy"] for row in rows]
    return plots.score_over(
        rates,
        scores,
        name="learning rate",
        score="validation accuracy",
        log=True,
        title="Accuracy by learning rate\nmoons · 60 networks",
    )


@picture
def parallel_coordinates() -> Any:
    return plots.parallel_coordinates(sweep(), score="accuracy", title="60 networks by their settings")


def film() -> Path:
    """Write regions.gif: the regions after each epoch."""
    data = moons()
    grid = plots.grid_points((-1.8, 2.8, -1.3, 1.8), resolution=80)
    frames = []
    for epochs in range(1, 25):
        recipe = mn.Recipe(optimizer=mn.Adam(lr=0.02), epochs=epochs, batch_size=50, keep="last")
        model = mn.train(data.X, data.y, mn.MLP(hidden=(16, 16), activation="tanh"), recipe, progress=False)
        frames.append(model.predict_proba(grid))
    titles = [f"epoch {epoch}" for epoch in range(1, 25)]
    return plots.animate_regions(
        frames, FOLDER / "regions.gif", X=data.X, y=data.y, extent=(-1.8, 2.8, -1.3, 1.8), titles=titles, fps=6, dpi=60
    )


PICTURES |= {name: draw for name, draw in vars(glossary_pictures).items() if name.startswith("glossary_")}


def main(names: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in names or PICTURES:
        plots.save(PICTURES[name](), FOLDER / f"{name.replace('_', '-')}.png", dpi=80)
    if not names:
        film()


if __name__ == "__main__":
    main(sys.argv[1:])
