"""What holds for every picture: the axes it is given, both styles, no global state, no warnings (pytest turns them into errors)."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.style
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from manynets import plots
from manynets.errors import OptionError
from manynets.explain import Dependence
from manynets.plots.canvas import PALETTE

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 2))
Y = (X[:, 0] > 0).astype(int)


def sure(grid: Any) -> Any:
    """Probabilities (M, 2) that fall with the first column."""
    p = 1 / (1 + np.exp(-3 * grid[:, 0]))
    return np.column_stack([1 - p, p])


PAIR = Dependence(("size", "town"), ([1.0, 2.0], ["Bern", "Basel"]), np.array([[0.0, 1.0], [2.0, 4.0]]), None, ("prediction",))
PICTURES: dict[str, Callable[..., Any]] = {
    "activations": lambda ax=None: plots.activations({"tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2)}, ax=ax),
    "column_distributions": lambda ax=None: plots.column_distributions({"size": X[:, 0]}, classes=Y, ax=ax),
    "confusion": lambda ax=None: plots.confusion([[3, 1], [0, 4]], ax=ax),
    "dependence": lambda ax=None: plots.dependence(PAIR, ax=ax),
    "distributions": lambda ax=None: plots.distributions({"weights": RNG.normal(size=(5, 50))}, ax=ax),
    "first_layer": lambda ax=None: plots.first_layer(RNG.normal(size=(5, 16)), image_shape=(4, 4), ax=ax),
    "history": lambda ax=None: plots.history([1, 2], {"train loss": [2.0, 1.0]}, title="a network", ax=ax),
    "image_grid": lambda ax=None: plots.image_grid(RNG.random((3, 4, 4)), titles="abc", correct=[True, False, True], ax=ax),
    "image_values": lambda ax=None: plots.image_values([[0, 1], [2, 3]], ax=ax),
    "learning_curves": lambda ax=None: plots.learning_curves([[2.0, 1.0], [3.0, 2.0, 1.5], [1.0]], best=1, ax=ax),
    "network": lambda ax=None: plots.network([RNG.normal(size=(3, 2)), RNG.normal(size=(1, 3))], [[0, 1, 2], [1]], ax=ax),
    "parallel_coordinates": lambda ax=None: plots.parallel_coordinates([{"a": 1, "s": 0.5}, {"a": 2, "s": 0.7}], score="s", ax=ax),
    "points": lambda ax=None: plots.points(X, Y, ax=ax),
    "predicted_against_true": lambda ax=None: plots.predicted_against_true([1, 2, 3], [1, 2, 4], ax=ax),
    "regions": lambda ax=None: plots.regions(X, Y, predict=sure, resolution=20, ax=ax),
    "roc": lambda ax=None: plots.roc([0, 1, 1], [0.1, 0.4, 0.3], ax=ax),
    "score_over": lambda ax=None: plots.score_over([1, 2, 2], [0.1, 0.2, 0.4], ax=ax),
    "spread": lambda ax=None: plots.spread(lambda g: np.stack([sure(g), sure(g + 1)]), X=X, y=Y, resolution=20, ax=ax),
    "surface": lambda ax=None: plots.surface(lambda g: g[:, 0], X=X, y=X[:, 0], resolution=20, ax=ax),
}
HELPERS = {"animate_regions", "grid_points", "panels", "roc_auc", "roc_curve", "save"}


def first(picture: Any) -> Any:
    return picture.ravel()[0] if isinstance(picture, np.ndarray) else picture


OF_A_MODEL = {"model_history", "model_predictions"}  # several panels; see tests/test_model_tools.py


def test_the_table_above_has_every_picture() -> None:
    assert set(PICTURES) | HELPERS | OF_A_MODEL == set(plots.__all__)
    assert list(plots.__all__) == sorted(plots.__all__)


@pytest.mark.parametrize("style", ["default", "dark_background"])
@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_follows_the_style_and_leaves_no_trace(name: str, style: str, tmp_path: Path) -> None:
    with matplotlib.style.context(style):
        before = dict.copy(matplotlib.rcParams)  # the backend among them; reading it in another way would choose one
        ax = first(PICTURES[name]())
        expected = (to_rgba(matplotlib.rcParams["figure.facecolor"]), to_rgba(matplotlib.rcParams["text.color"]))
        colours = [to_rgba(text.get_color()) for text in ax.texts]
        path = plots.save(ax, tmp_path / "picture.png", dpi=40)
        assert dict.copy(matplotlib.rcParams) == before
    assert (ax.figure.get_facecolor(), to_rgba(ax.xaxis.label.get_color())) == expected
    if name in ("network", "parallel_coordinates", "predicted_against_true"):  # their texts are on the background
        assert set(colours) == {expected[1]}
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_drawn_on_the_axes_given_and_freed_with_them(name: str) -> None:
    given, other = plots.panels(1, 2)[0]
    figure = weakref.ref(given.figure)
    assert isinstance(figure(), Figure)
    assert first(PICTURES[name](ax=given)) is given
    assert given.has_data()
    assert not other.has_data()
    given.figure.draw_without_rendering()
    del given, other
    gc.collect()
    assert figure() is None


def test_threads_draw_what_one_draws_alone(tmp_path: Path) -> None:
    def draw(folder: str) -> None:
        (tmp_path / folder).mkdir()
        for name in ("regions", "history", "network", "confusion", "surface"):
            rng = np.random.default_rng(1)
            picture = {
                "network": lambda rng=rng: plots.network([rng.normal(size=(3, 2))]),
            }.get(name, PICTURES[name])()
            plots.save(picture, tmp_path / folder / f"{name}.png", dpi=50)

    draw("alone")
    threads = [threading.Thread(target=draw, args=(str(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        for file in (tmp_path / "alone").iterdir():
            assert (tmp_path / str(i) / file.name).read_bytes() == file.read_bytes(), file.name


def test_the_room_loads_matplotlib_when_called_and_never_pyplot() -> None:
    code = (
        "import sys; from manynets import plots; assert not {'matplotlib', 'torch'} & set(sys.modules)\n"
        "plots.history([1, 2], {'loss': [2.0, 1.0]}); assert 'matplotlib' in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_a_class_has_one_colour_in_all_pictures() -> None:
    names = ["up", "down"]  # not in the order of the alphabet
    labels = np.array(names)[Y]
    colours = [
        [to_rgba(dots.get_facecolor()[0]) for dots in ax.collections if dots.get_label() in names]
        for ax in (
            plots.points(X, labels, classes=names),
            plots.regions(X, labels, predict=sure, classes=names, resolution=20),
            plots.spread(lambda g: np.stack([sure(g), sure(g + 1)]), X=X, y=labels, classes=names, resolution=20),
        )
    ]
    assert colours[0] == colours[1] == colours[2]
    curve = plots.roc(labels, sure(X), classes=names).lines[1]
    assert to_rgba(curve.get_color()) == colours[0][1]
    three = np.arange(40) % 3
    curves = plots.roc(three, np.eye(3)[three] + RNG.random((40, 3))).lines[1:]
    assert {line.get_label()[0]: line.get_color() for line in curves} == {str(c): PALETTE[c] for c in range(3)}


def test_seeds_and_epochs_are_whole_numbers() -> None:
    seeds = plots.score_over(np.arange(20), np.linspace(0, 1, 20), name="seed")
    curves = plots.learning_curves([[2.0, 1.0, 0.5, 0.4]] * 2)
    density = plots.distributions({"weights": RNG.normal(size=(9, 50))})[0]
    for ax in (seeds, curves, density):
        ax.figure.draw_without_rendering()
        texts = [label.get_text() for label in ax.get_xticklabels()]
        assert texts
        assert all(text.replace("\u2212", "-").lstrip("-").isdigit() for text in texts), texts
    lines = plots.parallel_coordinates([{"seed": k, "s": k / 8} for k in range(8)], score="s")
    assert {"0", "2", "4", "5", "7"} <= {text.get_text() for text in lines.texts}


def test_as_many_axes_as_pictures() -> None:
    with pytest.raises(OptionError, match="ax holds 3 axes, but 1 pictures"):
        PICTURES["distributions"](ax=plots.panels(1, 3))
    with pytest.raises(OptionError, match="rows=0"):
        plots.panels(0)
