"""What the page saves: a run folder, and an animation of the epochs so far."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from manynets.data.batches import Rows
from manynets.errors import OptionError
from manynets.model import Model
from manynets.playground.layers import layer_outputs
from manynets.playground.problem import Experiment
from manynets.playground.setup import TableChoice, Toy
from manynets.playground.training import LiveTraining
from manynets.playground.views import View, plane_of
from manynets.results import model_of
from manynets.runs import check_run_folder, claimed_folder, write_run
from manynets.training.trial import Outcome

if TYPE_CHECKING:
    from PIL.Image import Image

SIZE, SECONDS_PER_PICTURE, MOST_PICTURES, MOST_POINTS = 288, 0.08, 60, 400


def model_now(training: LiveTraining, view: View) -> Model:
    """Return the network that the page shows, as it is now, as a model."""
    sample, experiment = training.sample, training.experiment
    index, position = training.located(view.network)
    group = training.groups[index]
    history = group.curves.of(position)
    stopped = sample.state if sample.state in ("done", "diverged") else "interrupted"
    member = experiment.members[view.network]
    outcome = Outcome(
        view.network, training.network(view.network, sample.weights).network(0), history, len(history.get("loss", ())) - 1, stopped, None,
        group.run.seconds, None, group.run.stepper.name, group.run.threads,
    )  # fmt: skip
    return model_of(member.spec, member.recipe, experiment.data, [outcome])


def save_run(training: LiveTraining, view: View, *, within: str = "runs") -> Path:
    """Write a run folder, as `manynets train` does, and return its path. Errors: OSError and OptionError where that cannot be."""
    model, experiment = model_now(training, view), training.experiment
    metrics: dict[str, Any] = {"train": _metrics(model, experiment.data.problem.rows, experiment.rows)}
    if experiment.validation is not None:
        metrics["validation"] = _metrics(model, *experiment.validation)
    with claimed_folder(None, "playground", check=check_run_folder, within=within) as folder:
        return write_run(folder, model, config=_config(experiment, model), metrics=metrics)


def _metrics(model: Model, rows: Rows, some: NDArray[np.int64]) -> dict[str, Any]:
    index = torch.from_numpy(some)
    logits = model.mean_logits(model.logits(rows.x[index].numpy()))
    return model.task.evaluate(logits, rows.target[index].numpy(), loss=model.recipe.loss) | {"rows": len(some)}


def _config(experiment: Experiment, model: Model) -> dict[str, Any]:
    data = experiment.setup.data
    found: dict[str, Any] = {"validation": experiment.setup.validation}
    if isinstance(data, Toy) and experiment.setup.terms == ("x1", "x2"):
        found["data"] = {"kind": "named", "task": experiment.source.task, **dataclasses.asdict(data)}
    else:  # rows that no command can load again: as for a model file without its run
        found["data"] = {
            "kind": "model file",
            "name": "playground",
            "seed": model.recipe.seed,
            "task": model.task.name,
            "target": [data.target] if isinstance(data, TableChoice) else [],
        }
        if not isinstance(data, TableChoice):
            found["options"] = {"playground": experiment.setup.to_json()}
    if experiment.classes and experiment.source.class_names:
        found["class_names"] = experiment.classes
    if experiment.source.image_shape is not None:
        found["image_shape"] = list(experiment.source.image_shape)
    return found


# ------------------------------------------------------------------------------------------------------------------ animation


def animation(training: LiveTraining, view: View) -> bytes:
    """Return a GIF of the plane from the first epoch to the last, with a picture for each snapshot of the weights, up to MOST_PICTURES."""
    from PIL import Image

    snapshots = list(training.snapshots)
    if len(snapshots) < 2:
        raise OptionError("there is nothing to record yet; let the network train")
    chosen = [snapshots[i] for i in np.unique(np.linspace(0, len(snapshots) - 1, MOST_PICTURES).astype(int))]
    experiment = training.experiment
    grid = torch.from_numpy(experiment.plane.grid).to(experiment.data.problem.rows.x.dtype)
    pictures: list[Image.Image] = []
    for snapshot in chosen:
        with torch.no_grad(), np.errstate(all="ignore"):
            scores = layer_outputs(training.network(view.network, snapshot.weights), grid)[-1][0].numpy()
        pictures.append(_picture(experiment, plane_of(experiment, np.nan_to_num(scores)), snapshot.epoch))
    palette = pictures[-1].quantize(96)
    quantised = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    out = io.BytesIO()
    times = [int(1000 * SECONDS_PER_PICTURE)] * (len(pictures) - 1) + [1500]
    quantised[0].save(out, "GIF", save_all=True, append_images=quantised[1:], duration=times, loop=0, optimize=True)
    return out.getvalue()


def _picture(experiment: Experiment, found: dict[str, NDArray[Any]], epoch: float) -> Image:
    """Return one picture: the map, the points, and the epoch."""
    from PIL import Image, ImageDraw

    from manynets.plots.canvas import PALETTE

    colours = np.array([[int(text[i : i + 2], 16) for i in (1, 3, 5)] for text in PALETTE])
    regression = experiment.data.problem.task.name == "regression"
    target = experiment.data.problem.rows.target.numpy()
    if "class" in found:
        own, share = colours[found["class"] % 7], np.clip((found["confidence"] - 0.1) / 0.9, 0, 1)
    else:
        value = found["output"]
        if regression:
            truth = experiment.truth(target)
            low, high = float(np.min(truth)), float(np.max(truth))
            value = np.clip((value - low) / max(high - low, 1e-12), 0, 1)
        own, share = colours[(value > 0.5).astype(int)], np.abs(2 * value - 1)
    pixels = 255 + (own - 255) * (0.12 + 0.5 * share)[:, None]
    side = int(len(pixels) ** 0.5)
    image = Image.fromarray(pixels.reshape(side, side, 3)[::-1].astype(np.uint8)).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image)
    left, right, bottom, top = experiment.plane.extent
    codes, every = target.reshape(len(target), -1)[:, 0], max(1, len(target) // MOST_POINTS)
    for (x, y), code in zip(experiment.plane.points[::every], codes[::every], strict=True):
        if not np.isfinite(x + y):
            continue
        a, b = (x - left) / (right - left) * SIZE, (top - y) / (top - bottom) * SIZE
        colour = colours[int(code) % 7] if not regression else colours[int(code > 0)]
        draw.ellipse((a - 2.5, b - 2.5, a + 2.5, b + 2.5), fill=tuple(int(v) for v in colour), outline=(255, 255, 255))
    draw.text((6, 4), f"epoch {epoch:,.0f}", fill=(20, 20, 20))
    return image
