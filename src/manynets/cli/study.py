"""`manynets study`: reproductions of the tutorials' experiments, with the published numbers next to ours."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

from manynets.cli.arguments import JsonLine, argument, option
from manynets.cli.report import console_for, print_json, print_table
from manynets.errors import OptionError, one_of


def study(
    ids: Annotated[list[str] | None, argument("ID", help="Studies to run, such as T1-xor. [none: list all studies]")] = None,
    everything: Annotated[bool, option("--all", help="Run all studies.")] = False,
    quick: Annotated[
        bool, option("--quick", help="Use few rows, steps and seeds, to see that a study works. Its numbers are not comparable.")
    ] = False,
    json_line: JsonLine = False,
    out: Annotated[
        str, option(metavar="FOLDER", help="Folder to write to, with one folder per study. [runs/studies]")
    ] = "runs/studies",
    overwrite: Annotated[bool, option("--overwrite", help="Replace the results of studies that were run before.")] = False,
) -> None:
    """Reproduce experiments of published tutorials, and compare the results with theirs.

    \b
    manynets study
    manynets study T1-xor
    manynets study --all --quick
    """
    from manynets.studies import PUBLISHED, STUDIES, TUTORIALS

    console = console_for(to_stderr=json_line)
    if ids and everything:
        raise OptionError(f"--all runs every study, so {ids[0]!r} has no effect; leave one of the two out")
    names = list(STUDIES) if everything else [one_of(name, STUDIES, what="study") for name in dict.fromkeys(ids or ())]
    if not names:
        rows = [(one.id, one.title) for one in STUDIES.values()]
        width = max(len(id) for id, _ in rows)
        for tutorial, about in TUTORIALS.items():
            console.print(f"{tutorial}: a tutorial about {about}", style="bold")
            for id, title in rows:
                if id.startswith(f"{tutorial}-"):
                    console.print(f"  {id:{width}}  {title}")
        console.print("Run some with: manynets study T1-xor T3-autograd, or all with --all")
        console.print(PUBLISHED)
        if json_line:
            print_json({"studies": [{"id": id, "title": title} for id, title in rows]})
        return

    from manynets.claims import claim

    folder, done = Path(out), []
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # before hours of training
        raise OptionError(f"--out {out} cannot be made: {error.strerror}; choose another folder") from None
    _check_folders(folder, names, overwrite)
    for name in names:
        with claim(folder / name, remedy="give another folder with --out"):
            _check_folders(folder, [name], overwrite)  # again, as another process may have written it meanwhile
            done.append(_run(name, quick, folder, console))
    print_table(console, ["id", "result", "published", "ours", "± seeds", "met", "seconds"], _rows(done, quick))
    for text in [*_notes(done), *([QUICK] if quick else [PUBLISHED])]:
        console.print(text)
    console.print(f"Pictures are in {folder}")
    if json_line:
        print_json({"quick": quick, "studies": done})


QUICK = "quick run: few rows, steps and seeds, to see that the studies work; the numbers are not those of the full studies, so none is judged"


def _notes(done: list[dict[str, Any]]) -> list[str]:
    """Return what there is to say of the studies; the same words of several, such as a missing data set, once."""
    said: dict[str, list[str]] = {}
    for one in done:
        if one["skipped"] or one["note"]:
            said.setdefault(one["skipped"] or one["note"], []).append(one["id"])
    return [f"{', '.join(ids)}: {text}" for text, ids in said.items()]


def _check_folders(folder: Any, names: list[str], overwrite: bool) -> None:
    there = [folder / name for name in names if (folder / name).exists() and any((folder / name).iterdir())]
    if there and not overwrite:
        raise OptionError(f"{there[0]} exists; give another folder with --out, or --overwrite to replace it")


def _run(name: str, quick: bool, folder: Any, console: Any) -> dict[str, Any]:
    """Run a study, write its pictures and result.json, and return the result as JSON types."""
    import time

    from manynets import plots
    from manynets.modelfile import replacing
    from manynets.runs import plain_json
    from manynets.studies import STUDIES

    one = STUDIES[name]
    console.print(f"{one.id}: {one.title} ...")
    start = time.perf_counter()
    result = one.run(quick)
    target = folder / name
    pictures = []
    if result.skipped is None:
        target.mkdir(exist_ok=True)
        for file, axes in result.pictures.items():
            plots.save(axes, target / file)
            pictures.append(str(target / file))
    found = plain_json(
        {
            "id": one.id,
            "title": one.title,
            "quick": quick,
            "figures": [{**dataclasses.asdict(value), "met": None if quick else value.met} for value in result.figures],
            "met": None if quick else result.met,
            "seconds": time.perf_counter() - start,
            "note": result.note,
            "skipped": result.skipped,
            "pictures": pictures,
        }
    )
    if result.skipped is None:
        with replacing(target / "result.json") as written:
            written.write(json.dumps(found, indent=2, allow_nan=False).encode() + b"\n")
    return dict(found)


def _rows(done: list[dict[str, Any]], quick: bool) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for one in done:
        seconds = f"{one['seconds']:.1f}"
        if one["skipped"]:
            rows.append((one["id"], "skipped", None, None, None, None, seconds))
        for i, value in enumerate(one["figures"]):
            met = "quick run" if quick else {True: "yes", False: "NO", None: None}[value["met"]]
            numbers = [None if value[key] is None else f"{value[key]:.5g}" for key in ("published", "ours")]
            spread = f"{value['spread']:.2g}" if len(value["per_seed"]) > 1 else None
            rows.append((one["id"] if i == 0 else "", value["name"], *numbers, spread, met, seconds if i == 0 else ""))
    return rows
