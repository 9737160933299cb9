"""The pictures of a run: which of them fit it, and how each is drawn."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from manynets import plots
from manynets.model import Model
from manynets.nn.shape import Shape
from manynets.plots.models import history_panels

MOST_IMAGES = 48
MOST_CLASSES = 40
MOST_POINTS = 5000
MOST_ROC = 10_000_000  # classes x rows: some seconds
WITHOUT_ROWS = ("history", "network", "first-layer")
"""The kinds of picture that need no test rows."""
IN_PLANE, OF_IMAGES = ("points", "regions", "surface"), ("images", "mistakes", "values", "first-layer")
"""Those for data with two numeric columns, and for images."""
OF_TRAINING = ("history", "confusion", "roc", "images", "mistakes", "regions", "surface", "predicted")
"""Those that `manynets train` draws."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Pictured:
    """What the pictures of a run show.

    title: a description of the model. part: test rows (a `Part`), X encoded, and metrics: those of the model on them; None for no rows.
    class_names, image_shape (height, width): of the data, None for none. targets: the columns that are predicted; unit: that they are written in.
    """

    model: Model
    title: str
    part: Any = None
    metrics: Any = None
    class_names: Sequence[str] | None = None
    image_shape: Any = None
    targets: Sequence[str] = ()
    unit: str | None = None

    @property
    def target(self) -> str:
        """What an axis of the target is called, such as "price (CHF)"."""
        name = ", ".join(self.targets) or "y"
        return f"{name} ({self.unit})" if self.unit else name

    @property
    def classes(self) -> list[str]:
        """The names of the classes; [] for a task without."""
        return [str(name) for name in self.class_names or getattr(self.model.task, "classes", None) or ()]

    @functools.cached_property
    def codes(self) -> Any:
        """The number of the true class of each test row (N,)."""
        return self.model.task.strata(self.model.task.encode(self.part.y))

    @functools.cached_property
    def logits(self) -> Any:
        """The scores of the test rows."""
        return self.model.logits(self.part.X)

    @property
    def truth(self) -> Any:
        """The target of the test rows, by the names of the classes where the data have such."""
        names = self.class_names
        return self.part.y if names is None else [names[code] for code in self.part.y]

    def titled(self, what: str) -> str:
        """Return the title of a picture of something."""
        return f"{what}\n{self.title}"


def why_not(about: Pictured, kind: str) -> str | None:
    """Return why a run has no picture of a kind, None where it has one."""
    model, task = about.model, about.model.task
    if kind in IN_PLANE and (model.in_features != 2 or model.encoder is not None):
        found = f"{model.in_features} columns" if model.encoder is None else f"{len(model.encoder.column_names)} that it encodes"
        return f"it is drawn in the plane, for 2 columns that are taken as they are, and the model has {found}"
    if kind in OF_IMAGES and about.image_shape is None:
        return "the data of the run are not images"
    classes, number = task.name in ("binary", "multiclass"), task.name == "regression" and task.targets == 1
    fits = {
        "history": bool(model.history.get("epoch")),
        "confusion": classes and len(about.classes) <= MOST_CLASSES,
        **dict.fromkeys(("roc", "images", "mistakes", "regions"), classes),
        **dict.fromkeys(("surface", "predicted"), number),
        "points": classes or number,
        **dict.fromkeys(("network", "first-layer"), model.spec is not None),
    }
    return None if fits.get(kind, True) else f"it is not for the task {task.name}"


def fitting(about: Pictured) -> list[str]:
    """Return the kinds of picture that a run has, if it has test rows."""
    return [kind for kind in _DRAW if why_not(about, kind) is None]


def pictures_of(about: Pictured, kinds: Iterable[str]) -> dict[str, Any]:
    """Return the axes of the pictures of these kinds that there is something to draw of."""
    drawn = {kind: _DRAW[kind](about) for kind in kinds if about.part is not None or kind in WITHOUT_ROWS}
    return {kind: axes for kind, axes in drawn.items() if axes is not None}


def pictures_of_training(about: Pictured) -> dict[str, Any]:
    """Return the axes of the pictures that `manynets train` draws, by file name."""
    drawn = pictures_of(about, [kind for kind in fitting(about) if kind in OF_TRAINING])
    return {file_of(kind): axes for kind, axes in drawn.items()}


def file_of(kind: str) -> str:
    """Return the file name of a kind of picture.

    >>> file_of("first-layer")
    'first_layer.png'
    """
    return f"{kind.replace('-', '_')}.png"


def _history(about: Pictured) -> Any:
    return history_panels(about.model, subtitle=about.title, unit=about.unit)


def _confusion(about: Pictured) -> Any:
    title = about.titled("Confusion matrix of the test rows")
    return plots.confusion(about.metrics["confusion"], classes=about.classes, title=title)


def _roc(about: Pictured) -> Any:
    codes, names = about.codes, about.classes
    if len(np.unique(codes)) < 2 or len(names) * len(codes) > MOST_ROC:
        return None
    title = about.titled("ROC curve of the test rows")
    return plots.roc(np.array(names)[codes], about.model.probabilities(about.logits), classes=names, title=title)


def _images(about: Pictured, *, wrong_only: bool = False) -> Any:
    codes, names = about.codes, about.classes
    code_of = {label: i for i, label in enumerate(about.model.task.classes)}  # type: ignore[attr-defined]
    predicted = np.array([code_of[label] for label in about.model.predicted(about.logits).tolist()])
    rows, what = np.arange(len(codes)), "Test images"
    if wrong_only:
        rows = np.flatnonzero(predicted != codes)
        what = f"{len(rows):,} of {len(codes):,} test images are wrong"
    shown = rows[:MOST_IMAGES]
    if not len(shown):
        return None
    return plots.image_grid(
        about.part.X[shown],
        image_shape=about.image_shape,
        titles=[f"{names[predicted[i]]} ({names[codes[i]]})" for i in shown],
        correct=predicted[shown] == codes[shown],
        columns=8,
        title=about.titled(f"{what}: predicted (true)"),
    )


def _values(about: Pictured) -> Any:
    return plots.image_values(about.part.X[0].reshape(about.image_shape), title=f"The first test image: {about.truth[0]}")


def _points(about: Pictured) -> Any:
    more: dict[str, Any] = {"label": about.target, "title": about.titled("Test rows")}
    if about.model.task.name == "regression":
        return plots.points(about.part.X, about.part.y, task="regression", **more)
    more["classes"] = about.class_names  # for the colours that these have in all pictures
    return plots.points(about.part.X, about.truth, task="classification", **more)


def _regions(about: Pictured) -> Any:
    shown, names = slice(None, MOST_POINTS), about.classes
    title = about.titled("Predicted class, and the test rows")
    labels = np.array(names)[about.codes[shown]]
    return plots.regions(about.part.X[shown], labels, predict=about.model.predict_proba, classes=names, title=title)


def _surface(about: Pictured) -> Any:
    X, y = about.part.X[:MOST_POINTS], np.asarray(about.part.y)[:MOST_POINTS]
    title = about.titled(f"Predicted {about.target}, and the test rows")
    return plots.surface(about.model.predict, X=X, y=y, label=about.target, title=title)


def _predicted(about: Pictured) -> Any:
    title = about.titled("Predicted and true values of the test rows")
    return plots.predicted_against_true(about.part.y, about.model.predicted(about.logits), name=about.target, title=title)


def _network(about: Pictured) -> Any:
    model = about.model
    assert model.spec is not None
    layers = [name for name, _, _ in Shape.of(model.spec, model.in_features, model.task.outputs).layers]
    weights = model.members[0]
    what = "Units and weights" if model.size == 1 else f"Units and weights of the first of {model.size} networks"
    return plots.network(
        [weights[f"{name}.weight"] for name in layers],
        [weights[f"{name}.bias"] for name in layers] if model.spec.bias else None,
        feature_names=None if model.encoder is None else model.encoder.feature_names,
        class_names=_output_names(about),
        title=about.titled(what),
    )


def _output_names(about: Pictured) -> list[str] | None:
    """Return a name for each output: its class (the second of two), its target or a quantile of it; None where the run has no names."""
    task = about.model.task
    names = about.classes or [*(about.model.target_names or about.targets)]
    names = names[1:] if task.name == "binary" else names
    if (levels := getattr(task, "quantiles", ())) and len(names) == task.targets:
        names = [f"{name}, quantile {level:g}" for name in names for level in levels]
    return names if len(names) == task.outputs else None


def _first_layer(about: Pictured) -> Any:
    weights = about.model.members[0]
    layer = weights[next(name for name in weights if name.endswith(".weight"))]
    return plots.first_layer(layer, image_shape=about.image_shape, title=about.titled("Weights of the first layer"))


_DRAW: dict[str, Callable[[Pictured], Any]] = {
    "history": _history,
    "confusion": _confusion,
    "roc": _roc,
    "images": _images,
    "mistakes": functools.partial(_images, wrong_only=True),
    "values": _values,
    "points": _points,
    "regions": _regions,
    "surface": _surface,
    "predicted": _predicted,
    "network": _network,
    "first-layer": _first_layer,
}
