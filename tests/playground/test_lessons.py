"""What the lessons say of their networks is so."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

import manynets as mn
import manynets.playground

LESSONS = Path(manynets.playground.__file__).with_name("page") / "lessons.js"


def test_a_rate_is_good_too_large_or_diverges_as_its_button_says() -> None:
    """Of the rates on the product of two inputs, 0.3 makes the loss jump up and down, and only the largest ends the training."""
    data = mn.datasets.load("prod", points=400)
    rates = re.findall(
        r'\["([A-Z][a-z ]+): [\d.]+", setup\(product, \[16\], "tanh", \{ optimizer: SGD\(([\d.]+)\)', LESSONS.read_text("utf-8")
    )
    losses = {}
    for name, rate in rates:
        recipe = mn.Recipe(optimizer=mn.SGD(lr=float(rate)), batch_size=40, epochs=400, keep="last")
        (result,) = mn.train_many(
            data.X, data.y, [(mn.MLP(hidden=(16,), activation="tanh"), recipe)], scaling=False, progress=False
        )
        losses[name] = np.array(result.history["loss"])
        assert (result.stopped == "diverged") == (name == "Diverges"), name
    assert set(losses) == {"Too small", "Good", "Too large", "Diverges"}
    late = {name: loss[100:] for name, loss in losses.items() if len(loss) == 400}
    assert late["Too large"].max() > 5 * late["Too large"].min()  # it does not settle
    assert late["Too large"].min() > 10 * late["Good"][-1]
    assert late["Too small"].min() > 100 * late["Good"][-1]
