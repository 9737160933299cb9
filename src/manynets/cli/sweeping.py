"""What `manynets sweep` does: train candidates x seeds x folds together, write each part, rank and draw the results."""

from __future__ import annotations

import inspect
import json
import math
import signal
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from manynets import plots, runs
from manynets.cli.data import from_standard_input, load_source, origin_of, stem_of
from manynets.cli.fit import fit, scalars
from manynets.cli.grid import grid_of
from manynets.cli.report import console_for, note, table_of
from manynets.cli.sweep_plan import SweepPlan, train_rounds
from manynets.cli.sweep_results import BEST, CURVES_PICTURE, PARALLEL_PICTURE, RESULTS, SweepResults, picture_of
from manynets.cli.unfinished import Stopped, is_unfinished, portable, schedule_of
from manynets.errors import CheckpointWarning, OptionError
from manynets.spec import Recipe
from manynets.training.checkpoint import Checkpoint
from manynets.training.many import memory_at_hand
from manynets.training.settings import find_device

__all__ = ["draw", "run_sweep"]

EVERY = "30 s"  # between two checkpoints


def run_sweep(options: Mapping[str, Any]) -> None:
    """Train as the options say, part by part, and write the folder."""
    own = {name: options[name] for name in ("grid", "seeds", "cv", "halving", "at_most", "resume")}
    base = {name: value for name, value in options.items() if name not in own}
    base |= {"engine": None, "resume": None, "n_networks": 1}
    base["checkpoint_every"] = options["checkpoint_every"] or EVERY
    every = schedule_of(base["checkpoint_every"])
    console = console_for(quiet=options["quiet"], to_stderr=options["json_line"])
    grid = grid_of(own["grid"] or [])
    for name in ("seeds", "at_most"):
        if own[name] < 1:
            raise OptionError(f"--{name.replace('_', '-')} is {own[name]}, but must be at least 1")
    if base["device"] is not None:
        find_device(Recipe(device=base["device"]).device)
    if from_standard_input(base):
        raise OptionError("a sweep reads its data again for its best network, and standard input can be read once; name a file")
    origin = origin_of(base)
    folder = Path(base["out"] or runs.free_run_folder(f"{stem_of(origin)}-sweep"))
    config = json.loads(json.dumps({"options": portable(base), "grid": grid, **{n: own[n] for n in ("seeds", "cv", "halving")}}))
    book = SweepResults(folder, grid, config, resume=own["resume"], overwrite=bool(base["overwrite"]))

    source = load_source(origin)
    for text in source.notes:
        note(console, text)
    plan = SweepPlan(source, base, own, grid)
    points = plan.points
    console.print(
        f"{len(points)} candidates x {own['seeds']} seeds x {len(plan.splits)} folds = "
        f"{len(points) * own['seeds'] * len(plan.splits)} networks, into {folder}",
        markup=False,
        soft_wrap=True,
    )
    if book.memory is None:
        book.memory = memory_at_hand(find_device(plan.device))
    book.open()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", CheckpointWarning)
            checkpoint = Checkpoint(folder=book.checkpoints, **every)
            best, score = train_rounds(plan, book, halving=own["halving"], max_networks=own["at_most"], checkpoint=checkpoint)
        for text in dict.fromkeys(str(entry.message) for entry in caught):
            note(console, text)
        draw(folder, book, grid, plan)
        if best is None:
            raise OptionError(f"none of the {len(points)} candidates could be trained; {folder / RESULTS} says why")
        _fit_best({**base, **points[best], "out": str(folder / BEST), "overwrite": True, "quiet": True, "json_line": False})
    except (KeyboardInterrupt, Stopped) as error:
        number = error.number if isinstance(error, Stopped) else signal.SIGINT
        text = f"{len(book.rows)} networks are kept in {folder / RESULTS}"
        if any(book.checkpoints.glob("part-*/step-*.checkpoint")):
            text += f", those under way in {book.checkpoints}"
        text += f"; go on with --resume --out {folder}"
        raise Stopped(number, text) from None
    _report(console, book, plan, best)
    if base["json_line"]:
        metrics = runs.read_run(folder / BEST).metrics
        line = {"sweep_dir": str(folder), "networks": len(book.rows), "best": points[best], "score": score}
        line |= {"metric": plan.metric, "test": scalars(metrics.get("test"))}
        sys.stdout.write(json.dumps(runs.plain_json(line), allow_nan=False) + "\n")


def _fit_best(options: Mapping[str, Any]) -> None:
    """Train the best candidate as `manynets train` does, from its last checkpoint if it was under way before."""
    from manynets.cli.train import train

    if is_unfinished(options["out"], options):
        defaults = {name: parameter.default for name, parameter in inspect.signature(train).parameters.items()}
        options = {**defaults, "resume": options["out"], "quiet": True}
    fit(options)


# ---------------------------------------------------------------------------------------------------------------- pictures


def draw(folder: Path, book: SweepResults, grid: Mapping[str, list[Any]], plan: SweepPlan) -> None:
    """Draw the score over each option, all options as parallel coordinates, and the curves of all networks."""
    last = max((key[3] for key in book.rows), default=0)
    rows = [{**plan.points[key[0]], **row, "key": key} for key, row in book.rows.items()]
    scored = [row for row in rows if math.isfinite(row["score"])]
    if not scored:
        return
    metric = plan.metric
    for name, values in grid.items():
        log = all(isinstance(value, float) and value > 0 for value in values) and max(values) >= 10 * min(values)
        found = [plan.points[row["key"][0]][name] for row in rows]
        axes = plots.score_over(found, [row["score"] for row in rows], name=name, score=metric, log=log)
        plots.save(axes, folder / picture_of(name))
    if grid:
        table = [{name: plan.points[row["key"][0]][name] for name in grid} | {metric: row["score"]} for row in rows]
        plots.save(plots.parallel_coordinates(table, score=metric), folder / PARALLEL_PICTURE)
    keys = [key for key in book.curves if any(math.isfinite(value) for value in book.curves[key])]
    final = [k for k, key in enumerate(keys) if key[3] == last and math.isfinite(book.rows[key]["score"])]
    best = max(final, key=lambda k: book.rows[keys[k]]["score"]) if final else None
    curves = [book.curves[key] for key in keys]
    if curves:
        plots.save(plots.learning_curves(curves, best=best, ylabel="training loss", log=True), folder / CURVES_PICTURE)


def _report(console: Any, book: SweepResults, plan: SweepPlan, best: int) -> None:
    last = max(key[3] for key in book.rows)
    means: dict[int, list[float]] = {}
    for key, row in book.rows.items():
        if key[3] == last and math.isfinite(row["score"]):
            means.setdefault(key[0], []).append(row["score"])
    ranked = sorted(means, key=lambda c: (c != best, -float(np.mean(means[c]))))
    lines = [
        (*(str(plan.points[c][name]) for name in plan.names), float(np.mean(means[c])), float(np.std(means[c])), len(means[c]))
        for c in ranked[:10]
    ]
    names = [*plan.names, plan.metric, "std", "networks"]
    console.print(table_of(names, lines, title=f"The best of {len(plan.points)} candidates"))
    failed = sum(row["stopped"] in ("failed", "diverged") for row in book.rows.values())
    if failed:
        note(console, f"{failed} of {len(book.rows)} networks failed or diverged; {RESULTS} says why")
    files = ", ".join(sorted(entry.name for entry in book.folder.iterdir()))
    console.print(f"Written to {book.folder}: {files}", markup=False, soft_wrap=True)
