"""The binary messages for the page: the arrays that its pictures show."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manynets.nn.population import Population
from manynets.playground.curves import Snapshot
from manynets.playground.frames import pack
from manynets.playground.layers import gradients, layer_outputs, population_of
from manynets.playground.plane import COARSE, RESOLUTION, Plane
from manynets.playground.problem import Experiment
from manynets.playground.training import LiveTraining, Sample

MOST_POINTS, MOST_UNITS, MOST_EDGES, MOST_INPUTS = 2_000, 16, 4_096, 12
BINS, ROWS, MOST_CONFUSED = 40, 1_000, 2_000
DEAD = 1e-6
Array = NDArray[Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class View:
    """What a page shows. network: the number of the network. step: an earlier step to go back to; None for the latest. details: the tab Inside.
    wall: the small maps of all networks."""

    network: int = 0
    step: int | None = None
    details: bool = False
    wall: bool = False


class Shown:
    """The network and the weights that a view shows: those of the sample, or of an earlier snapshot."""

    def __init__(self, training: LiveTraining, sample: Sample, view: View) -> None:
        self.experiment = training.experiment
        at: Snapshot | None = None if view.step is None else training.snapshots.nearest(view.step, lambda one: one.step)
        self.past = at
        self.weights = sample.weights if at is None else at.weights
        self.step, self.epoch = (sample.step, sample.epoch) if at is None else (at.step, at.epoch)
        self.network = view.network if view.network < len(self.experiment.members) else 0
        index, self.position = training.located(self.network)
        self.group = training.groups[index]
        self.one = training.network(self.network, self.weights)

    def tensor(self, matrix: Array) -> Tensor:
        """Return inputs in the type of the networks."""
        return torch.from_numpy(matrix).to(self.experiment.data.problem.rows.x.dtype)


def plane_of(experiment: Experiment, scores: Array) -> dict[str, Array]:
    """Return what is drawn for scores (N, O): "output" (N,), the probability of the second class or the prediction; for more classes
    "class" and "confidence"."""
    task = experiment.data.problem.task
    if task.name == "regression":
        predicted = np.asarray(task.predict(scores, loss=experiment.setup.recipe.loss), dtype=np.float64)
        return {"output": predicted.reshape(len(scores), -1)[:, 0]}
    if task.name == "binary":
        return {"output": torch.sigmoid(torch.from_numpy(scores[:, 0])).numpy()}
    shares = task.proba(scores)
    return {"class": shares.argmax(axis=1), "confidence": shares.max(axis=1)}


def frame(training: LiveTraining, view: View, plane: Plane, *, number: int) -> bytes:
    """Return a frame: everything that the page shows of one moment."""
    sample = training.sample
    shown = Shown(training, sample, view)
    experiment, one = shown.experiment, shown.one
    header = _header(training, sample, shown) | {"frame": number}
    arrays: dict[str, Array] = {}
    with np.errstate(all="ignore"), torch.no_grad():
        outputs = [layer[0].numpy() for layer in layer_outputs(one, shown.tensor(plane.grid))]
        arrays |= plane_of(experiment, outputs[-1])
        for i, layer in enumerate(outputs[:-1]):
            arrays[f"hidden{i}"] = layer[plane.coarse, :MOST_UNITS].T
        arrays |= _weights(one)
        rows = _point_rows(experiment)
        predicted = _predicted(experiment, layer_outputs(one, experiment.data.problem.rows.x[rows])[-1][0].numpy())
        if view.wall and len(experiment.members) > 1:
            arrays |= _wall(training, shown, plane)
        if view.details:
            more, found = _details(experiment, one)
            header |= more
            arrays |= found
    arrays = {name: np.nan_to_num(array, nan=0.0, posinf=3e38, neginf=-3e38) for name, array in arrays.items()}
    curves = {f"curve {name}": np.array(values) for name, values in shown.group.curves.of(shown.position).items()}
    return pack(header, {**arrays, **curves, "predicted": predicted})


def _header(training: LiveTraining, sample: Sample, shown: Shown) -> dict[str, Any]:
    steps = [one.step for one in training.snapshots]
    last = {name: float(values[shown.position]) for name, values in shown.group.curves.last.items()}
    member = shown.experiment.members[shown.network]
    return {
        "kind": "frame", "step": shown.step, "epoch": shown.epoch, "state": sample.state, "speed": sample.steps_per_second,
        "lr": sample.lr, "message": sample.message, "network": shown.network, "last": last, "past": shown.past is not None,
        "snapshots": [steps[0], steps[-1], len(steps)] if steps else [], "steps_per_epoch": training.steps_per_epoch,
        "hidden": list(shown.group.shape.hidden), "seed": member.recipe.seed, "network_lr": member.recipe.lr,
        "live_step": sample.step, "ended": sample.ended,
    }  # fmt: skip


def _weights(one: Population) -> dict[str, Array]:
    """Return the weight matrices that the diagram can show as edges."""
    out: dict[str, Array] = {}
    for i, (name, _, _) in enumerate(one.shape.layers):
        matrix = one.parameters[f"{name}.weight"][0].numpy()
        part = matrix[:MOST_UNITS, : MOST_INPUTS if i == 0 else MOST_UNITS]
        out[f"weight{i}"] = part
        if f"{name}.bias" in one.parameters:
            out[f"bias{i}"] = one.parameters[f"{name}.bias"][0].numpy()[:MOST_UNITS]
    return out


def _point_rows(experiment: Experiment) -> Array:
    """Return the rows of the data that the page draws."""
    total = len(experiment.data.problem.rows)
    return np.arange(total)[:: -(-total // MOST_POINTS)]


def _predicted(experiment: Experiment, scores: Array) -> Array:
    """Return the class code or the value that is predicted for each row."""
    found = plane_of(experiment, scores)
    if "class" in found:
        return found["class"]
    if experiment.data.problem.task.name == "binary":
        return (found["output"] > 0.5).astype(np.float64)
    return found["output"]


def _wall(training: LiveTraining, shown: Shown, plane: Plane) -> dict[str, Array]:
    """Return a small map of every network (K, r^2), and the loss by which they are sorted."""
    experiment, count = shown.experiment, len(shown.experiment.members)
    grid = shown.tensor(plane.grid[plane.wall(count)])
    maps, confidence, losses = np.zeros((count, len(grid))), np.ones((count, len(grid))), np.full(count, np.nan)
    for group, (flat, statistics) in zip(training.groups, shown.weights, strict=True):
        scores = layer_outputs(population_of(group.shape, flat, statistics), grid)[-1].numpy()
        found = plane_of(experiment, scores.reshape(-1, scores.shape[-1]))
        at = np.array(group.numbers)
        maps[at] = found.get("output", found.get("class")).reshape(len(at), -1)  # type: ignore[union-attr]
        if "confidence" in found:
            confidence[at] = found["confidence"].reshape(len(at), -1)
        last = group.curves.last
        if "loss" in last:
            losses[at] = last.get("val_loss", last["loss"])
    out = {"wall": maps, "wall_loss": np.where(np.isfinite(losses), losses, 3e38)}
    return out | ({"wall_confidence": confidence} if experiment.data.problem.task.name == "multiclass" else {})


def _details(experiment: Experiment, one: Population) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return histograms of weights and gradients, dead units, and the confusion matrix or the residuals."""
    arrays: dict[str, Array] = {}
    rows = experiment.rows[:: -(-len(experiment.rows) // ROWS)]
    grads = gradients(one, experiment.setup.recipe, experiment.data, rows)
    names, ranges = [], {}
    for name, _, _ in one.shape.layers:
        names.append(name)
        for what, values in (("weights", one.parameters[f"{name}.weight"][0].numpy()), ("gradients", grads[f"{name}.weight"])):
            finite = values[np.isfinite(values)]
            reach = float(np.abs(finite).max(initial=0.0)) or 1.0
            arrays[f"{what} {name}"] = np.histogram(finite, bins=BINS, range=(-reach, reach))[0]
            ranges[f"{what} {name}"] = reach
    outputs = layer_outputs(one, experiment.data.problem.rows.x[rows])
    dead = [np.flatnonzero(np.ptp(layer[0].numpy(), axis=0) < DEAD).tolist() for layer in outputs[:-1]]
    judged, some = experiment.validation or (experiment.data.problem.rows, rows)
    some = some[:: -(-len(some) // MOST_CONFUSED)]
    scores = layer_outputs(one, judged.x[some])[-1][0].numpy()
    arrays |= _judged(experiment, scores, judged.target.numpy()[some])
    which = "training" if experiment.validation is None else "validation"
    return {"layers": names, "ranges": ranges, "dead": dead, "judged": which}, arrays


def _judged(experiment: Experiment, scores: Array, target: Array) -> dict[str, Array]:
    truth, predicted = experiment.truth(target), _predicted(experiment, scores)
    if experiment.data.problem.task.name == "regression":
        return {"truth": truth, "fitted": predicted}
    count, codes, predicted = len(experiment.classes), truth.astype(np.int64), predicted.astype(np.int64)
    return {"confusion": np.bincount(codes * count + predicted, minlength=count * count).reshape(count, count)}


def data_message(training: LiveTraining, plane: Plane, *, more: Mapping[str, Any]) -> bytes:
    """Return what the page needs once per training: points, classes, names, inputs."""
    experiment = training.experiment
    problem, rows = experiment.data.problem, _point_rows(experiment)
    target = experiment.truth(problem.rows.target.numpy()[rows])
    held = np.zeros(len(problem.rows), dtype=bool)
    if experiment.data.validation_rows is not None:
        held[experiment.data.validation_rows] = True
    arrays: dict[str, Array] = {"points": plane.points[rows], "target": target, "held": held[rows]}
    arrays["inputs"] = plane.grid[plane.coarse, :MOST_INPUTS].T
    if experiment.source.image_shape is not None:
        arrays["images"] = problem.rows.x.numpy()[rows[:24]]
    header = {
        "kind": "data", "task": problem.task.name, "classes": experiment.classes, "extent": plane.extent, "axes": plane.names,
        "inputs_named": experiment.inputs[:MOST_INPUTS], "in_features": experiment.data.in_features, "outputs": problem.task.outputs,
        "rows": len(experiment.rows), "sliders": plane.sliders, "notes": experiment.notes, "image_shape": experiment.source.image_shape,
        "resolution": RESOLUTION, "coarse": COARSE, "steps_per_epoch": training.steps_per_epoch,
        "parameters": max(int(group.flat.shape[1]) for group in training.groups), "networks": len(experiment.members), "metric": problem.task.metric,
        "least": _rounded(target.min(), target), "most": _rounded(target.max(), target), "stepper": training.groups[0].run.stepper.name,
    }  # fmt: skip
    return pack({**header, **more}, arrays)


def _rounded(value: float, target: Array) -> float:
    """Return a target without the rounding errors of float32: to a millionth of the range of all targets."""
    span = float(np.ptp(target))
    return round(float(value), 6 - math.ceil(math.log10(span))) if 0 < span < math.inf else float(value)


def probe_message(training: LiveTraining, view: View, pixels: list[float]) -> bytes:
    """Return the outputs of every layer for one image, and the shares of the classes."""
    shown = Shown(training, training.sample, view)
    with torch.no_grad():
        outputs = layer_outputs(shown.one, shown.tensor(np.array([pixels], dtype=np.float32)))
    arrays = {f"layer{i}": layer[0, 0].numpy() for i, layer in enumerate(outputs[:-1])}
    shares = shown.experiment.data.problem.task.proba(outputs[-1][0].numpy())[0]
    return pack({"kind": "probe", "prediction": int(shares.argmax())}, {**arrays, "shares": shares})
