"""The pictures of the glossary, for docs/make_gallery.py: each function draws one, and is named as its file."""

from __future__ import annotations

from typing import Any

import numpy as np

import manynets as mn
from manynets import datasets, plots
from manynets.plots.canvas import PALETTE, show_legend


def glossary_perceptron() -> Any:
    data = datasets.load("gauss", points=100, seed=0)
    w, b = np.array([1.0, 1.0]), 0.0
    return plots.regions(
        data.X, data.y, predict=lambda x: 1 / (1 + np.exp(-20 * (x @ w + b)))[:, None], title="Perceptron: 1 where x₁ + x₂ > 0"
    )


def glossary_loss() -> Any:
    ax = plots.panels(1, 1, size=(5, 3.4))[0, 0]
    error = np.linspace(-3, 3, 301)
    ax.plot(error, error**2, color=PALETTE[0], label="squared error")
    ax.plot(error, np.abs(error), color=PALETTE[1], label="absolute error")
    huber = np.where(np.abs(error) < 1, error**2 / 2, np.abs(error) - 0.5)
    ax.plot(error, huber, color=PALETTE[2], label="Huber")
    ax.set(xlabel="prediction - truth", ylabel="loss", ylim=(0, 5), title="Loss: the price of an error")
    ax.legend(fontsize="small")
    return ax


def glossary_one_hot() -> Any:
    ax = plots.panels(1, 1, size=(3.6, 3.6))[0, 0]
    labels = [2, 0, 3, 1, 2]
    plots.image_values(np.eye(4)[labels], title="2 0 3 1 2 as one-hot rows", ax=ax)
    return ax


def glossary_softmax() -> Any:
    axes = plots.panels(1, 2, size=(8, 3.2))[0]
    scores = np.array([2.0, 1.0, -1.0, 0.5])
    shares = np.exp(scores) / np.exp(scores).sum()
    classes = list("ABCD")
    for ax, values, what in zip(axes, (scores, shares), ("Scores", "Softmax: probabilities, together 1"), strict=True):
        bars = ax.bar(classes, values, color=PALETTE[:4])
        ax.bar_label(bars, fmt="%.2f", padding=2)
        ax.set_title(what, fontsize="medium")
        ax.axhline(0, color="black", linewidth=0.6)
        ax.margins(y=0.15)
    return axes[0]


def glossary_cross_entropy() -> Any:
    ax = plots.panels(1, 1, size=(5, 3.4))[0, 0]
    p = np.linspace(0.005, 1, 300)
    ax.plot(p, -np.log(p), color=PALETTE[0])
    ax.set(
        xlabel="probability given to the true class",
        ylabel="- log p",
        title="Cross-entropy: sure and wrong is dear",
        xlim=(0, 1),
        ylim=(0, 5.5),
    )
    return ax


def glossary_backpropagation() -> Any:
    ax = plots.panels(1, 1, size=(8.4, 2.6))[0, 0]
    names = ["x = 1", "a = x + 2\n= 3", "b = a²\n= 9", "z = 2 b\n= 18"]
    slopes = ["dz/dx = 12 · 1 = 12", "dz/da = 2 · 2a = 12", "dz/db = 2", "dz/dz = 1"]
    box = {"boxstyle": "round", "facecolor": "#d6e9f5", "edgecolor": PALETTE[0]}
    for i, (name, slope) in enumerate(zip(names, slopes, strict=True)):
        ax.text(i, 0.75, name, ha="center", va="center", bbox=box)
        ax.text(i, 0.1, slope, ha="center", va="center", color=PALETTE[1], fontsize="small")
        if i:
            ax.annotate("", (i - 0.25, 0.75), (i - 0.75, 0.75), arrowprops={"arrowstyle": "->", "color": PALETTE[0]})
            ax.annotate("", (i - 0.75, 0.3), (i - 0.25, 0.3), arrowprops={"arrowstyle": "->", "color": PALETTE[1]})
    ax.set(xlim=(-0.6, 3.6), ylim=(-0.15, 1.0), title="Forward: values; backward: slopes, by the chain rule")
    ax.set_axis_off()
    return ax


def glossary_sgd() -> Any:
    ax = plots.panels(1, 1, size=(5.4, 3.8))[0, 0]
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 2)) * (1.0, 0.6)
    y = x @ (1.0, 2.0) + 0.4 * random.normal(size=200)
    a, b = np.meshgrid(np.linspace(-1.5, 2.2, 120), np.linspace(-1, 3, 120))
    loss = ((a[..., None] * x[:, 0] + b[..., None] * x[:, 1] - y) ** 2).mean(-1)
    ax.contour(a, b, loss, levels=12, cmap="cividis", linewidths=0.8)
    for size, colour, name in ((200, PALETTE[0], "all 200 points a step"), (5, PALETTE[1], "5 points a step")):
        w, path = np.array([-1.2, -0.6]), []
        for _ in range(40):
            path.append(w)
            rows = random.choice(200, size, replace=False)
            w = w - 0.12 * 2 / size * (x[rows] @ w - y[rows]) @ x[rows]
        line = np.array(path)
        ax.plot(line[:, 0], line[:, 1], ".-", color=colour, label=name, markersize=4, linewidth=1)
    ax.set(xlabel="w₁", ylabel="w₂", title="Gradient descent down to the smallest loss")
    ax.legend(fontsize="small")
    return ax


def glossary_batch() -> Any:
    data = datasets.load("moons", points=400, noise=0.15)
    ax = plots.panels(1, 1, size=(5.4, 3.6))[0, 0]
    for i, size in enumerate((4, 40, 400)):
        recipe = mn.Recipe(optimizer=mn.SGD(lr=0.1), iterations=300, evaluate_every=2, batch_size=size, keep="last")
        past = mn.train(data.X, data.y, mn.MLP(hidden=(16,)), recipe, progress=False).history
        ax.plot(past["step"], past["loss"], color=PALETTE[i], linewidth=1, label=f"batches of {size}")
    ax.set(xlabel="step", ylabel="loss of the step's rows", ylim=(0, 1), title="The smaller the batch, the noisier the steps")
    show_legend(ax)
    return ax


def glossary_epoch() -> Any:
    data = datasets.load("moons", points=400, noise=0.15)
    axes = plots.panels(1, 4, size=(13, 3.4))[0]
    for ax, epochs in zip(axes, (1, 4, 12, 40), strict=True):
        recipe = mn.Recipe(optimizer=mn.Adam(lr=0.01), epochs=epochs, batch_size=50, keep="last")
        model = mn.train(data.X, data.y, mn.MLP(hidden=(16, 16), activation="tanh"), recipe, progress=False)
        plots.regions(data.X, data.y, predict=model.predict_proba, title=f"After {epochs} epoch{'s' * (epochs > 1)}", ax=ax)
        ax.get_legend().remove()
    return axes[0]


def glossary_dropout() -> Any:
    axes = plots.panels(1, 3, size=(11, 3.2))[0]
    random = np.random.default_rng(1)
    for step, ax in enumerate(axes):
        keep = random.random(8) > 0.4
        w1, w2 = np.ones((8, 3)) * keep[:, None], np.ones((2, 8)) * keep
        plots.network([w1, w2], title=f"Step {step + 1}: {8 - keep.sum()} of 8 units dropped", ax=ax)
    return axes[0]


def glossary_batch_norm() -> Any:
    axes = plots.panels(1, 2, size=(9, 3.2))[0]
    random = np.random.default_rng(0)
    units = [random.normal(mean, deviation, 1000) for mean, deviation in ((3, 0.5), (-2, 2), (0, 1))]
    for ax, what in zip(axes, ("before", "after: mean 0, deviation 1"), strict=True):
        for i, values in enumerate(units):
            shown = values if what == "before" else (values - values.mean()) / values.std()
            ax.hist(shown, bins=np.linspace(-8, 6, 70), alpha=0.6, color=PALETTE[i], label=f"unit {i + 1}")
        ax.set_title(f"What three units hold, {what}", fontsize="medium")
        ax.legend(fontsize="small")
    return axes[0]


def glossary_l1_l2() -> Any:
    data, axes = datasets.load("moons", points=400, noise=0.15), plots.panels(1, 3, size=(12, 3.2))[0]
    penalties: dict[str, dict[str, Any]] = {"none": {}, "L1": {"l1": 3e-3}, "L2": {"l2": 1e-2}}
    for ax, (what, penalty) in zip(axes, penalties.items(), strict=True):
        recipe = mn.Recipe(optimizer=mn.Adam(lr=0.02), epochs=60, batch_size=50, keep="last", **penalty)
        member = mn.train(data.X, data.y, mn.MLP(hidden=(32, 32)), recipe, progress=False).members[0]
        weights = member["hidden1.weight"].ravel()
        ax.hist(weights, bins=np.linspace(-1, 1, 81), color=PALETTE[0])
        ax.set_yscale("log")
        ax.yaxis.set_minor_formatter("")
        ax.set_title(f"Penalty {what}: {np.mean(np.abs(weights) < 0.01):.0%} of the weights below 0.01", fontsize="medium")
        ax.set(xlabel="weight", ylabel="how many")
    return axes[0]
