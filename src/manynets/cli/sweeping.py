"""What `manynets sweep` does: train candidates x seeds x folds together, write the results, rank and draw them."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from manynets import runs
from manynets.cli.checkpoints import can_resume, checkpoint_interval, portable_options
from manynets.cli.data import DataSource, from_standard_input, load_source, origin_of, stem_of
from manynets.cli.fit import fit, scalars
from manynets.cli.grid import grid_of
from manynets.cli.options import left_out
from manynets.cli.recipe import flag_of
from manynets.cli.report import console_for, counted, note
from manynets.cli.signals import Stopped
from manynets.cli.sweep_plan import SweepPlan, train_rounds
from manynets.cli.sweep_report import draw, print_ranking
from manynets.cli.sweep_results import BEST, RESULTS, SweepResults
from manynets.errors import CheckpointWarning, OptionError
from manynets.spec import Recipe
from manynets.training.checkpoint import Checkpoint
from manynets.training.groups import memory_at_hand
from manynets.training.torch_settings import find_device

__all__ = ["run_sweep"]

CHECKPOINT_INTERVAL = "30 s"


def run_sweep(options: Mapping[str, Any]) -> None:
    """Run the sweep that the options describe, and write its folder."""
    own = {name: options[name] for name in ("grid", "seeds", "cv", "halving", "at_most", "resume")}
    base = {name: value for name, value in options.items() if name not in own}
    base |= {"engine": None, "resume": None, "n_networks": 1, "preset": "plain", "time_limit": None}
    base["checkpoint_every"] = options["checkpoint_every"] or CHECKPOINT_INTERVAL
    console = console_for(quiet=options["quiet"], to_stderr=options["json_line"])
    grid = grid_of(own["grid"] or [])
    _check(own, base)
    origin = origin_of(base)
    swept = {"options": portable_options(base), "grid": grid, **{name: own[name] for name in ("seeds", "cv", "halving")}}

    def results_in(folder: Path) -> SweepResults:
        config = json.loads(json.dumps(swept))
        return SweepResults(folder, grid, config, resume=own["resume"], overwrite=bool(base["overwrite"]))

    with runs.claimed_folder(base["out"], f"{stem_of(origin)}-sweep", check=results_in) as folder:
        _sweep(results_in(folder), base, own, load_source(origin), console)


def _sweep(results: SweepResults, base: Mapping[str, Any], own: Mapping[str, Any], source: DataSource, console: Any) -> None:
    """Train, rank and draw the networks of a sweep whose folder is claimed."""
    folder, grid = results.folder, results.config["grid"]
    for text in source.notes:
        note(console, text)
    plan = SweepPlan(source, base, own, grid)
    points, networks = plan.points, len(plan.points) * own["seeds"] * len(plan.splits)
    counts = " x ".join(map(counted, (len(points), own["seeds"], len(plan.splits)), ("candidate", "seed", "fold")))
    console.print(f"{counts} = {counted(networks, 'network')}, into {folder}", markup=False, soft_wrap=True)
    if results.memory is None:
        results.memory = memory_at_hand(find_device(plan.device))
    results.open()
    with _resumable(results):
        best, score = _trained(plan, results, own, console)
        draw(results, points, plan.metric)
        if best is None:
            raise OptionError(f"none of the {len(points)} candidates could be trained; {folder / RESULTS} says why")
        _fit_best({**base, **points[best], "out": str(folder / BEST), "overwrite": True, "quiet": True, "json_line": False})
    results.close()
    print_ranking(console, results, points, best=best, metric=plan.metric)
    if base["json_line"]:
        metrics = runs.read_run(folder / BEST).metrics
        line = {"sweep_dir": str(folder), "networks": len(results.rows), "best": points[best], "score": score}
        line |= {"metric": plan.metric, "test": scalars(metrics.get("test"))}
        sys.stdout.write(json.dumps(runs.plain_json(line), allow_nan=False) + "\n")


def _check(own: Mapping[str, Any], base: Mapping[str, Any]) -> None:
    """Raise OptionError for invalid options, before the data are read."""
    checkpoint_interval(base["checkpoint_every"])
    for name in ("seeds", "at_most"):
        if own[name] < 1:
            raise OptionError(f"{flag_of(name)} is {own[name]}, but must be at least 1")
    if base["device"] is not None:
        find_device(Recipe(device=base["device"]).device)
    if from_standard_input(base):
        raise OptionError(
            "a sweep reads its data again for its best network, but standard input can be read only once; name a file"
        )


@contextlib.contextmanager
def _resumable(results: SweepResults) -> Iterator[None]:
    """Within this context, the message of a stop says what is saved and how to resume."""
    try:
        yield
    except (KeyboardInterrupt, Stopped) as error:
        number = error.number if isinstance(error, Stopped) else signal.SIGINT
        if results.restore():
            raise Stopped(number, f"nothing was written; the earlier sweep in {results.folder} is as it was") from None
        text = f"{len(results.rows)} networks are saved in {results.folder / RESULTS}"
        if any(results.checkpoints.glob("part-*/step-*.checkpoint")):
            text += f", those in training in {results.checkpoints}"
        text += f"; resume with --resume --out {results.folder}"
        raise Stopped(number, text) from None
    except BaseException:
        results.restore()
        raise


def _trained(plan: SweepPlan, results: SweepResults, own: Mapping[str, Any], console: Any) -> tuple[int | None, float]:
    """Train all that has no result yet; return the best candidate, None where none could be trained, and its mean score."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", CheckpointWarning)
        checkpoint = Checkpoint(folder=results.checkpoints, **checkpoint_interval(plan.options["checkpoint_every"]))
        best = train_rounds(plan, results, halving=own["halving"], max_networks=own["at_most"], checkpoint=checkpoint)
    for text in dict.fromkeys(str(entry.message) for entry in caught):
        note(console, text)
    return best


def _fit_best(options: Mapping[str, Any]) -> None:
    """Train the best candidate as `manynets train` does, from its last checkpoint if there is one."""
    if can_resume(options["out"], options):
        options = {**left_out(), "resume": options["out"], "quiet": True}
    fit(options)
