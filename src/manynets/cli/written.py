"""What `manynets train` does once a model is trained: write the run folder, print the metrics, and the line of JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manynets import runs
from manynets.cli import checkpoints, html_report
from manynets.cli.bounded import scalars
from manynets.cli.diverged import diverged_words
from manynets.cli.recipe import Options
from manynets.cli.report import note, print_details, print_json, print_metrics
from manynets.cli.thresholds import threshold_words
from manynets.display import networks_text
from manynets.spec import to_json


def write_trained(
    folder: Any,
    model: Any,
    known: Mapping[str, Any],
    options: Options,
    console: Any,
    *,
    metrics: Mapping[str, Any],
    part: str,
    baselines: Mapping[str, Any],
    remark: str | None,
    pictures: Any,
    titles: Mapping[str, str] | None = None,
    **more: Any,
) -> Path:
    """Write the run folder, print the metrics, and return the folder.

    known: what config.json says of the data, such as `fingerprint`. metrics: of each part of the rows, None for a part without rows.
    part: whose classes are shown. remark: on the baselines. titles: of parts, where it is not their name. more: arguments of
    `runs.write_run`.
    """
    config = {
        **dict.fromkeys(("data", "fingerprint", "class_names", "target_unit", "image_shape")),
        "task": model.task.to_json(),
        "validation": None,
        "class_weight": options["class_weight"],
        "options": checkpoints.portable_options(options),
        "spec": to_json(model.spec),
        "recipe": to_json(model.recipe),
        "info": model.info,
        **known,
    }
    saved = {**metrics, "baselines": baselines}
    written = Path(
        runs.write_run(folder, model, config=config, metrics=saved, pictures=pictures, overwrite=options["overwrite"], **more)
    )
    shown = {(titles or {}).get(name, name): values for name, values in metrics.items()}
    print_metrics(console, shown, baselines=baselines, remark=diverged_words(model))
    if linear := model.info.get("linear"):
        note(console, linear_words(model.size, linear))
    if rule := threshold_words(model.task, names=config["class_names"]):
        note(console, f"{rule}; the accuracy in the progress and the history is that of the most probable class")
    if remark:
        note(console, remark)
    if metrics[part]:
        names = config["class_names"] or model.target_names
        print_details(console, metrics[part], names=names, part=part, weighted="weight" in (config["data"] or {}))
    if options["report"]:
        html_report.write_report_of(runs.read_run(written), None, written / runs.REPORT, console, after_training=True)
    listed = ", ".join(sorted(entry.name for entry in written.iterdir()))
    console.print(f"Written to {written}: {listed}")
    if options["json_line"]:
        epochs = model.history["epoch"][-1] if model.history.get("epoch") else 0.0
        result: dict[str, Any] = {
            "run_dir": str(written),
            "task": model.task.name,
            "epochs": int(epochs) if epochs == int(epochs) else float(epochs),
            "diverged": model.info["stopped"].count("diverged"),
            "seconds": model.info["seconds"],
            "networks": model.size,
            "parameters": model.parameters,
            **{name: scalars(values) for name, values in metrics.items()},
            "baselines": baselines,
        }
        result |= {"stream": model.info["stream"]} if "stream" in model.info else {}
        print_json(result)
    return written


def linear_words(networks: int, linear: int) -> str:
    """Say that linear models are in a model of the default for tables.

    >>> linear_words(8, 8)
    'the model is the mean of 8 linear models, which predict the held-out rows best; the progress is that of the networks'
    """
    what = (
        "a linear model, which predicts"
        if linear == networks == 1
        else f"the mean of {networks_text(networks, linear)}, which predict"
    )
    return f"the model is {what} the held-out rows best; the progress is that of the networks"
