"""`manynets plot`: draw the pictures of a run."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from manynets.cli.arguments import JsonLine, RunFolder, option
from manynets.cli.bounded import metrics_of
from manynets.cli.report import console_for, describe_model, note, print_json
from manynets.cli.saved_runs import open_run, sweep_of
from manynets.errors import ManynetsError, OptionError, one_of

if TYPE_CHECKING:
    from manynets.cli.pictures import Pictured
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
    from manynets.cli.pictures import file_of, fitting, why_not
    from manynets.runs import remove_leftovers

    about = _pictured(found)
    fit = fitting(about)
    for word in asked:
        why = "that is for the folder of a sweep" if word == "sweep" else why_not(about, word)
        if why is not None:
            raise OptionError(f"--kind is {word!r}, but {why}; this run has {', '.join(fit)}")
    paths = {word: folder / file_of(word) for word in asked or fit}
    there = [] if replace else [path for path in paths.values() if os.path.lexists(path)]
    if there:
        raise OptionError(f"{there[0]} exists; give another folder with --out, or --overwrite to replace it")
    pictures, notes = _drawn(found, about, asked or fit, must=bool(asked))
    note(console, *notes)
    folder.mkdir(parents=True, exist_ok=True)
    for word, axes in pictures.items():
        remove_leftovers(paths[word])
        plots.save(axes, paths[word], overwrite=replace)
        console.print(f"{paths[word]}: {KINDS[word]}")
    return [str(paths[word]) for word in pictures]


def _pictured(run: SavedRun) -> Pictured:
    """Return what the pictures of a run show, but for its test rows."""
    from manynets.cli.pictures import Pictured

    origin = run.config.get("data", {})
    name = origin.get("name") or os.path.basename(origin.get("path") or "") or run.folder.name
    return Pictured(
        model=run.model,
        title=f"{name} · {describe_model(run.model)}",
        class_names=run.config.get("class_names"),
        image_shape=run.config.get("image_shape"),
        targets=origin.get("target", []),
        unit=run.config.get("target_unit"),
    )


def _drawn(run: SavedRun, about: Pictured, kinds: list[str], *, must: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return axes by kind, and notes; where the test rows are missing, only the pictures that need no data.

    must: whether a picture that cannot be drawn is an error.
    """
    from manynets.cli.new_data import evaluation_rows
    from manynets.cli.pictures import WITHOUT_ROWS, fitting, pictures_of

    notes: tuple[str, ...] = ()
    if not set(WITHOUT_ROWS).issuperset(kinds):
        try:
            part, _, notes = evaluation_rows(run, None)
        except ManynetsError as error:
            if must:
                raise
            notes = (f"only pictures that need no data: {error}",)
        else:
            about = dataclasses.replace(about, part=part, metrics=metrics_of(run.model, part))
    pictures = pictures_of(about, kinds)
    lacking = [kind for kind in kinds if kind not in pictures]
    if must and lacking:
        raise OptionError(
            f"--kind is {lacking[0]!r}, but the test rows give nothing to draw; choose another of {', '.join(fitting(about))}"
        )
    return pictures, notes
