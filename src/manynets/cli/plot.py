"""`manynets plot`: draw the pictures of a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from manynets.cli.arguments import JsonLine, RunFolder, option
from manynets.cli.bounded import metrics_of
from manynets.cli.report import console_for, describe_model, note, print_json
from manynets.cli.saved_runs import open_run, sweep_of
from manynets.errors import ManynetsError, OptionError, one_of

if TYPE_CHECKING:
    from manynets.cli.data import Part
    from manynets.runs import SavedRun

KINDS = {
    "history": "loss and metric over the epochs",
    "confusion": "true against predicted classes",
    "roc": "true against false positive rate",
    "images": "test images with predicted and true class",
    "mistakes": "test images with a wrong prediction",
    "values": "one image with its pixel values",
    "points": "the test points in the plane",
    "regions": "predicted class over the plane",
    "surface": "prediction over the plane",
    "predicted": "predicted against true values",
    "network": "units and weights of the network",
    "first-layer": "weights of the first layer as images",
    "sweep": "the candidates of a sweep: by each option, by all, and their curves",
}


def plot(
    run: RunFolder,
    kind: Annotated[
        list[str] | None,
        option(metavar="KIND", help=f"What to draw: {', '.join(KINDS)}. Repeat it for several. [all that fit the run]"),
    ] = None,
    out: Annotated[str | None, option(metavar="FOLDER", help="Folder to write to. [the run folder]")] = None,
    overwrite: Annotated[
        bool, option("--overwrite", help="Replace pictures that exist. Those in the run folder are always replaced.")
    ] = False,
    json_line: JsonLine = False,
) -> None:
    """Draw the pictures of a run; of a sweep those of its candidates and of its best model.

    \b
    manynets plot runs/digits-1
    manynets plot runs/digits-1 --kind confusion --kind mistakes --out pictures
    """
    from manynets.claims import claim

    console = console_for(to_stderr=json_line)
    asked = [one_of(word, KINDS, what="--kind") for word in dict.fromkeys(kind or ())]
    found = open_run(run)  # an error of the run comes before one of the folder
    sweep = sweep_of(run)
    kinds = [word for word in asked if sweep is None or word != "sweep"]
    written: list[str] = []
    if sweep is not None and (not asked or "sweep" in asked):
        folder = sweep if out is None else Path(out)
        with claim(folder, remedy="give another folder with --out"):
            written += _write_sweep(sweep, folder, replace=overwrite or _same(folder, sweep), console=console)
    if kinds or not asked:
        beside = found.folder if found.folder.is_dir() else found.folder.parent
        folder = beside if out is None else Path(out)
        own = found.folder.is_dir() and _same(folder, found.folder)  # beside a model file there may be pictures of something else
        with claim(folder, remedy="give another folder with --out"):
            written += _write_pictures(open_run(run), kinds, folder, replace=overwrite or own, console=console)
    if json_line:
        print_json({"run_dir": str(found.folder), "pictures": written})


def _same(folder: Path, run: Path) -> bool:
    return folder.is_dir() and folder.samefile(run)


def _write_sweep(sweep: Path, folder: Path, *, replace: bool, console: Any) -> list[str]:
    """Draw the pictures of a sweep's candidates into a folder, and return their paths."""
    from manynets.cli.sweep_report import draw
    from manynets.cli.sweep_results import read_sweep

    results = read_sweep(sweep)
    there = [] if replace else [folder / name for name in results.pictures if (folder / name).exists()]
    if there:
        raise OptionError(f"{there[0]} exists; give another folder with --out, or --overwrite to replace it")
    folder.mkdir(parents=True, exist_ok=True)
    ranking = results.ranking()
    pictures = draw(results, best=ranking[0].candidate if ranking else None, folder=folder)
    for path, shows in pictures.items():
        console.print(f"{path}: {shows}")
    return [*map(str, pictures)]


def _write_pictures(found: SavedRun, asked: list[str], folder: Path, *, replace: bool, console: Any) -> list[str]:
    """Draw pictures of a run into a folder, and return their paths."""
    from manynets import plots
    from manynets.runs import remove_leftovers

    fit = fitting(found)
    for word in asked:
        if word not in fit:
            raise OptionError(f"--kind is {word!r}, but {_why_not(found, word)}; this run has {', '.join(fit)}")
    paths = {word: folder / f"{word.replace('-', '_')}.png" for word in asked or fit}
    there = [] if replace else [path for path in paths.values() if os.path.lexists(path)]
    if there:
        raise OptionError(f"{there[0]} exists; give another folder with --out, or --overwrite to replace it")
    pictures, notes = _drawn(found, asked or fit, must=bool(asked))
    note(console, *notes)
    folder.mkdir(parents=True, exist_ok=True)
    for word, axes in pictures.items():
        remove_leftovers(paths[word])
        plots.save(axes, paths[word], overwrite=replace)
        console.print(f"{paths[word]}: {KINDS[word]}")
    return [str(paths[word]) for word in pictures]


def fitting(run: SavedRun) -> list[str]:
    """Return the kinds of picture that a run has."""
    from manynets.cli.pictures import MOST_CLASSES

    model, task = run.model, run.model.task
    plane = model.in_features == 2 and model.encoder is None
    images = run.config.get("image_shape") is not None
    one = task.name == "regression" and task.targets == 1
    classes = task.name in ("binary", "multiclass")
    fits = {
        "history": bool(model.history.get("epoch")),
        "confusion": classes and len(run.config.get("class_names") or task.to_json()["classes"]) <= MOST_CLASSES,
        "roc": classes,
        "images": classes and images,
        "mistakes": classes and images,
        "values": images,
        "points": plane and (one or classes),
        "regions": plane and classes,
        "surface": plane and one,
        "predicted": one,
        "network": model.spec is not None,
        "first-layer": images and model.spec is not None,
        "sweep": False,
    }
    return [kind for kind, fit in fits.items() if fit]


def _why_not(run: SavedRun, kind: str) -> str:
    model = run.model
    if kind in ("regions", "surface", "points") and (model.in_features != 2 or model.encoder is not None):
        columns = model.in_features if model.encoder is None else len(model.encoder.column_names)
        return f"it is drawn in the plane, for 2 numeric columns, and the model has {columns} columns"
    if kind in ("images", "mistakes", "values", "first-layer") and run.config.get("image_shape") is None:
        return "the data of the run are not images"
    if kind == "sweep":
        return "that is for the folder of a sweep"
    return f"it is not for the task {model.task.name}"


def _drawn(run: SavedRun, kinds: list[str], *, must: bool) -> tuple[dict[str, Any], list[str]]:
    """Return axes by kind, and notes; where the test rows are missing, only the pictures that need no data."""
    from manynets import plots
    from manynets.cli.new_data import evaluation_rows
    from manynets.cli.pictures import name_of_target, pictures_of

    model = run.model
    alone = {"history", "network", "first-layer"}
    part: Part | None = None
    notes: tuple[str, ...] = ()
    if not alone.issuperset(kinds):
        try:
            part, _, notes = evaluation_rows(run, None)
        except ManynetsError as error:
            if must:
                raise
            notes = (f"only pictures that need no data: {error}",)
            kinds = [kind for kind in kinds if kind in alone]
    origin = run.config.get("data", {})
    name = origin.get("name") or os.path.basename(origin.get("path") or "") or run.folder.name
    title = f"{name} · {describe_model(model)}"
    names = run.config.get("class_names")
    target = name_of_target(origin.get("target", []), run.config.get("target_unit"))
    shared = pictures_of(
        model,
        part,
        None if part is None else metrics_of(model, part),
        title=title,
        class_names=names,
        image_shape=run.config.get("image_shape"),
        target=target,
        unit=run.config.get("target_unit"),
    )
    pictures: dict[str, Any] = {}
    for kind in kinds:
        if f"{kind}.png" in shared:
            pictures[kind] = shared[f"{kind}.png"]
        elif kind == "network":
            pictures[kind] = _network(run, title)
        elif kind == "first-layer":
            layer = model.members[0][next(name for name in model.members[0] if name.endswith(".weight"))]
            pictures[kind] = plots.first_layer(
                layer, image_shape=run.config["image_shape"], title=f"Weights of the first layer\n{title}"
            )
        elif kind == "values" and part is not None:
            pictures[kind] = plots.image_values(
                part.X[0].reshape(run.config["image_shape"]), title=f"The first test image: {_named(part, names)[0]}"
            )
        elif kind == "points" and part is not None:
            regression = model.task.name == "regression"
            pictures[kind] = plots.points(
                part.X,
                part.y if regression else _named(part, names),
                task="regression" if regression else "classification",
                classes=None if regression else names,  # one colour for a class in all pictures
                label=target,
                title=f"Test rows\n{title}",
            )
        elif must:
            raise OptionError(
                f"--kind is {kind!r}, but the test rows give nothing to draw; choose another of {', '.join(fitting(run))}"
            )
    return pictures, list(notes)


def _named(part: Part, names: Any) -> Any:
    return part.y if names is None else [names[code] for code in part.y]


def _network(run: SavedRun, title: str) -> Any:
    from manynets import plots
    from manynets.nn.shape import Shape

    model = run.model
    assert model.spec is not None
    layers = [name for name, _, _ in Shape.of(model.spec, model.in_features, model.task.outputs).layers]
    weights = model.members[0]
    return plots.network(
        [weights[f"{name}.weight"] for name in layers],
        [weights[f"{name}.bias"] for name in layers] if model.spec.bias else None,
        feature_names=None if model.encoder is None else model.encoder.feature_names,
        class_names=_output_names(run),
        title=("Units and weights" if model.size == 1 else f"Units and weights of the first of {model.size} networks")
        + f"\n{title}",
    )


def _output_names(run: SavedRun) -> list[str] | None:
    """Return a name for each output: its class (the second of two), its target or a quantile of it; None where the run has no names."""
    task, origin = run.model.task, run.config.get("data", {})
    names = [
        str(name)
        for name in run.config.get("class_names")
        or getattr(task, "classes", None)
        or run.model.target_names
        or origin.get("target", [])
    ]
    names = names[1:] if task.name == "binary" else names
    if (levels := getattr(task, "quantiles", ())) and len(names) == task.targets:
        names = [f"{name}, quantile {level:g}" for name in names for level in levels]
    return names if len(names) == task.outputs else None
