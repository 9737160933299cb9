"""What `manynets sweep` does: train candidates x seeds x folds together, write the results, rank and draw them."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from manynets import runs
from manynets.cli.checkpoints import DATA_PATHS, can_resume, checkpoint_interval, portable_options
from manynets.cli.data import DataSource, from_standard_input, load_source, origin_of, stem_of
from manynets.cli.fit import fit, scalars
from manynets.cli.grid import grid_of
from manynets.cli.options import left_out
from manynets.cli.preset import PLAIN, check_preset, plain_options
from manynets.cli.random_search import DRAWN
from manynets.cli.recipe import flag_of
from manynets.cli.report import console_for, counted, note, print_metrics, print_schema
from manynets.cli.signals import Stopped
from manynets.cli.sweep_ensembles import EnsemblePlan, train_ensembles
from manynets.cli.sweep_plan import SweepPlan, train_rounds
from manynets.cli.sweep_progress import SweepProgress
from manynets.cli.sweep_report import draw, print_ranking
from manynets.cli.sweep_results import BEST, RESULTS, SweepResults
from manynets.cli.sweep_storage import SharedStudy, open_storage, without_password
from manynets.cli.tracking import check_track, log_sweep, tracking
from manynets.errors import CheckpointWarning, MissingExtraError, OptionError
from manynets.spec import Recipe
from manynets.training.checkpoint import Checkpoint
from manynets.training.groups import memory_at_hand
from manynets.training.torch_settings import find_device

__all__ = ["run_sweep"]

CHECKPOINT_INTERVAL = "30 s"

MOST_SEEDS = 1_000_000

OF_A_SWEEP = (
    "grid", "seeds", "cv", "halving", "at_most", "resume", "n_candidates", "time_limit", "scheduler", "storage", "study_name", "track"
)  # fmt: skip
"""Options that are not those of its best network."""
TIME_LIMIT = 600.0
"""Seconds of a random search for which neither a limit nor a number of candidates is given."""


def run_sweep(options: Mapping[str, Any]) -> None:
    """Run the sweep that the options describe, and write its folder."""
    own = {name: options[name] for name in OF_A_SWEEP}
    base = {name: value for name, value in options.items() if name not in own}
    base |= {"engine": None, "resume": None, "time_limit": None, "track": None}
    base["checkpoint_every"] = options["checkpoint_every"] or CHECKPOINT_INTERVAL
    console = console_for(quiet=options["quiet"], to_stderr=options["json_line"])
    grid = grid_of(own["grid"] or [])
    _check_sharing(own, checkpoint_every=options["checkpoint_every"])
    _check(own, base)
    check_track(own["track"])
    origin = origin_of(base)
    base["preset"] = _preset(base, origin)
    swept = {"grid": grid, **{name: own[name] for name in ("seeds", "cv", "halving")}}
    swept |= _search(own, base)
    swept["options"] = portable_options(base)

    def results_in(folder: Path) -> SweepResults:
        config = json.loads(json.dumps(swept))
        return SweepResults(folder, config, resume=own["resume"], overwrite=bool(base["overwrite"]))

    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(runs.claimed_folder(base["out"], f"{stem_of(origin)}-sweep", check=results_in))
        results, trackers = results_in(folder), stack.enter_context(tracking(own["track"], folder))
        for tracker in trackers:
            tracker.start({name: value for name, value in swept["options"].items() if value is not None})
        _sweep(results, base, own, load_source(origin), console)
        for tracker in trackers:
            log_sweep(tracker, results)


def _preset(base: Mapping[str, Any], origin: Mapping[str, Any]) -> str:
    """Return the preset that `train` takes: of a table without options of a plain network the default."""
    check_preset(base)
    preset = base["preset"]
    if preset not in (None, PLAIN) and origin["kind"] != "table":
        raise OptionError(f"--preset {preset} is for tables, but {stem_of(origin)} is a set of arrays; leave it out")
    if preset is None:
        preset = PLAIN if origin["kind"] != "table" or plain_options(base) else "default"
    return str(preset)


def _search(own: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """Settle what is searched, in `own` and `base`; return what sweep.json says about it, beside the grid."""
    count, limit = own["n_candidates"], own["time_limit"]
    if own["grid"] and count is not None:
        raise OptionError("--n-candidates is for a random search, without --grid; leave out one of the two")
    if base["preset"] == PLAIN:
        if limit is not None:
            raise OptionError("--time-limit is for the default ensemble of tables, not for a plain network; leave it out")
        if base["n_networks"] not in (None, 1) or "n_networks" in grid_of(own["grid"] or []):
            raise OptionError("--n-networks is for the default ensemble of tables, not for a plain network; give --seeds instead")
        base["n_networks"] = 1
        return {} if count is None else {"drawn": list(DRAWN), "n_candidates": count}
    if not own["grid"] and count is None and limit is None:
        own["time_limit"] = limit = TIME_LIMIT
    if own["halving"] and limit is not None:
        raise OptionError(
            "--halving needs to know its candidates beforehand; give --grid or --n-candidates, and leave out --time-limit"
        )
    found: dict[str, Any] = {} if limit is None else {"time_limit": limit}
    return found | ({} if own["grid"] else {"drawn": list(DRAWN), "n_candidates": count})


def _sweep(results: SweepResults, base: Mapping[str, Any], own: Mapping[str, Any], source: DataSource, console: Any) -> None:
    """Train, rank and draw the networks of a sweep whose folder is claimed."""
    folder, grid = results.folder, results.config["grid"]
    for text in source.notes:
        note(console, text)
    plan: SweepPlan | EnsemblePlan
    if results.ensembles:
        plan = EnsemblePlan(source, base, own, grid)
        results.by_loss = plan.by_loss
        device = base["device"] or "auto"
    else:
        plan = SweepPlan(source, base, own, grid)
        device = plan.device
    results.metric = plan.metric
    if source.schema is not None:
        test = source.test.rows if source.test is not None else 0
        print_schema(console, source.schema, title=f"{source.name}: {source.train.rows:,} rows to train on, {test:,} to test on")
    for line in _announced(plan, results, own):
        console.print(line, markup=False, soft_wrap=True)
    if isinstance(plan, SweepPlan) and len(plan.points) == own["seeds"] == 1:
        note(console, "there is one candidate only; give --grid to compare several, or --n-candidates to draw some")
    if results.memory is None:
        results.memory = memory_at_hand(find_device(device))
    study = None
    if own["storage"] is not None:
        name = own["study_name"] or f"{source.name}-sweep"
        study = SharedStudy(
            open_storage(own["storage"]),
            name,
            config=_shared_config(results, source),
            by_loss=results.by_loss,
            minimize=results.less_is_better,
        )
    results.open()
    with _resumable(results), workers_of(own["scheduler"]):
        best = _trained(plan, results, own, console, study)
        draw(results, best=best)
        if best is None:
            count = len({key[0] for key in results.rows})
            raise OptionError(f"none of the {count} candidates could be trained; {folder / RESULTS} says why")
        changes = _changes(plan, best)
        _fit_best(
            {**left_out(), **base, **changes, "out": str(folder / BEST), "overwrite": True, "quiet": True, "json_line": False}
        )
    results.close()
    metrics = runs.read_run(folder / BEST).metrics
    print_ranking(console, results, best=best, complete=_complete(plan, results))
    print_metrics(console, {name: metrics.get(name) for name in ("validation", "test")}, title="Metrics of the best")
    files = ", ".join(sorted(entry.name for entry in folder.iterdir()))
    console.print(f"Written to {folder}: {files}", markup=False, soft_wrap=True)
    if base["json_line"]:
        result = _json_line(plan, results, best, changes) | {"test": scalars(metrics.get("test"))}
        sys.stdout.write(json.dumps(runs.plain_json(result), allow_nan=False) + "\n")


def _shared_config(results: SweepResults, source: DataSource) -> dict[str, Any]:
    """Return what all processes of a study have in common: the data by their contents, as each machine may have them in another folder."""
    options = {name: value for name, value in results.config["options"].items() if name not in DATA_PATHS}
    return dict(json.loads(json.dumps(results.config | {"options": options, "data": dict(source.fingerprint)})))


def _announced(plan: SweepPlan | EnsemblePlan, results: SweepResults, own: Mapping[str, Any]) -> list[str]:
    """Return what is going to be trained, in words."""
    seeds, folds = counted(own["seeds"], "seed"), counted(len(plan.splits), "fold")
    if isinstance(plan, SweepPlan):
        networks = len(plan.points) * own["seeds"] * len(plan.splits)
        counts = f"{counted(len(plan.points), 'candidate')} x {seeds} x {folds} = {counted(networks, 'network')}"
        return [f"{counts}, into {results.folder}"]
    what = "Random search" if not results.config["grid"] else "Grid"
    count = "" if plan.candidates is None else f": {counted(plan.candidates, 'candidate')}, the default among them"
    seconds = own["time_limit"]
    limit = "" if seconds is None else f", within {f'{seconds / 60:g} min' if seconds % 60 == 0 else f'{seconds:g} s'}"
    each = f"{counted(plan.networks, 'network')}, preset {plan.options['preset']}"
    scored = "each row is predicted by the networks that did not train on it"
    if plan.source.train.by is not None and plan.source.train.by.times is not None:
        scored = "scored on the latest of the training rows"
    if own["cv"] is not None:
        scored = f"scored by cross-validation with {folds}"
    elif plan.options["validation"] is not None:
        scored = "scored on the validation rows"
    return [
        f"{what}{count}{limit}, into {results.folder}",
        f"Each candidate is the ensemble that manynets train makes ({each}); {scored}"
        + (f", with {seeds}" if own["seeds"] > 1 else ""),
    ]


def _changes(plan: SweepPlan | EnsemblePlan, best: int) -> dict[str, Any]:
    """Return the options in which the best candidate differs from those of the sweep."""
    return next(itertools.islice(plan.all_changes(), best, None))


def _complete(plan: SweepPlan | EnsemblePlan, results: SweepResults) -> str:
    """Return what a time limit left out, in words."""
    trained = len({key[0] for key in results.rows})
    if isinstance(plan, SweepPlan) or plan.candidates is None or trained == plan.candidates:
        return ""
    return f"the time limit was reached after {trained:,} of {plan.candidates:,} candidates"


def _json_line(plan: SweepPlan | EnsemblePlan, results: SweepResults, best: int, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of a sweep as JSON."""
    ranking = {ranked.candidate: ranked for ranked in results.ranking()}
    found = ranking[best]
    networks = sum(row.get("n_networks", plan.networks) for row in results.rows.values())
    line: dict[str, Any] = {"sweep_dir": str(results.folder), "networks": networks, "best": dict(changes), "score": found.score}
    line |= {"metric": plan.metric}
    if results.with_default:
        line |= {
            "loss": found.loss,
            "ranked_by": "loss" if results.by_loss else "score",
            "candidates": len({key[0] for key in results.rows}),
        }
        line |= {"best_is_default": best == 0}
        line["default"] = {"score": ranking[0].score, "loss": ranking[0].loss} if 0 in ranking else None
    return line


def _check_sharing(own: Mapping[str, Any], *, checkpoint_every: str | None) -> None:
    """Raise OptionError for options of several processes that contradict others."""
    if own["scheduler"] is not None and checkpoint_every is not None:
        raise OptionError(
            "--checkpoint-every is for networks that this process trains, not for the workers of --scheduler; leave it out"
        )
    if own["storage"] is None and own["study_name"] is not None:
        raise OptionError("--study-name is the name of the study in --storage; give that too, or leave it out")
    for name in ("halving", "scheduler"):
        if own["storage"] is not None and own[name]:
            raise OptionError(
                f"--storage divides the candidates between processes, which {flag_of(name)} does not allow; leave out one"
            )


def _check(own: Mapping[str, Any], base: Mapping[str, Any]) -> None:
    """Raise OptionError for invalid options, before the data are read."""
    checkpoint_interval(base["checkpoint_every"])
    for name in ("seeds", "at_most", "n_candidates"):
        if own[name] is not None and own[name] < 1:
            raise OptionError(f"{flag_of(name)} is {own[name]}, but must be at least 1")
    if own["seeds"] > MOST_SEEDS:
        raise OptionError(f"--seeds is {own['seeds']}, but must be at most {MOST_SEEDS:,}")
    if own["time_limit"] is not None and not own["time_limit"] > 0:
        raise OptionError(f"--time-limit is {own['time_limit']:g}, but must be a number of seconds above 0")
    if base["device"] is not None:
        find_device(Recipe(device=base["device"]).device)
    if from_standard_input(base):
        raise OptionError(
            "a sweep reads its data again for its best network, but standard input can be read only once; name a file"
        )


@contextlib.contextmanager
def workers_of(scheduler: str | None) -> Iterator[None]:
    """Within this context, the workers of a dask scheduler train the networks."""
    if scheduler is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingExtraError("distributed", extra="dask", purpose="--scheduler") from error
    from joblib import parallel_config

    try:
        client: Any = Client(scheduler, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError) as error:
        raise OptionError(
            f"--scheduler is {without_password(scheduler)!r}, but no scheduler answers there ({without_password(str(error))});"
            " start one with: dask scheduler"
        ) from None
    with client, parallel_config("dask", client=client):
        yield


@contextlib.contextmanager
def _resumable(results: SweepResults) -> Iterator[None]:
    """Within this context, the message of a stop says what is saved and how to resume."""
    try:
        yield
    except (KeyboardInterrupt, Stopped) as error:
        number = error.number if isinstance(error, Stopped) else signal.SIGINT
        if results.restore():
            raise Stopped(number, f"nothing was written; the earlier sweep in {results.folder} is as it was") from None
        count = len(results.rows)
        text = f"{counted(count, 'ensemble' if results.ensembles else 'network')} {'is' if count == 1 else 'are'} saved"
        text += f" in {results.folder / RESULTS}"
        if any(results.checkpoints.glob("part-*/step-*.checkpoint")):
            text += f", those in training in {results.checkpoints}"
        text += f"; resume with --resume --out {results.folder}"
        raise Stopped(number, text) from None
    except BaseException:
        results.restore()
        raise


def _trained(
    plan: SweepPlan | EnsemblePlan, results: SweepResults, own: Mapping[str, Any], console: Any, study: SharedStudy | None
) -> int | None:
    """Train all that has no result yet; return the best candidate, None where none could be trained."""
    progress = SweepProgress(show=not plan.options["quiet"])
    interval = checkpoint_interval(plan.options["checkpoint_every"])
    common: dict[str, Any] = {"halving": own["halving"], "progress": progress, "study": study}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", CheckpointWarning)
        try:
            if isinstance(plan, SweepPlan):
                checkpoint = Checkpoint(folder=results.checkpoints, **interval)
                best = train_rounds(plan, results, max_networks=own["at_most"], checkpoint=checkpoint, **common)
            else:
                best = train_ensembles(plan, results, time_limit=own["time_limit"], interval=interval, **common)
        finally:
            progress.end()
    for text in dict.fromkeys(str(entry.message) for entry in caught):
        note(console, text)
    return best


def _fit_best(options: Mapping[str, Any]) -> None:
    """Train the best candidate as `manynets train` does, from its last checkpoint if there is one."""
    if can_resume(options["out"], options):
        options = {**left_out(), "resume": options["out"], "quiet": True, "report": options["report"]}
    fit(options)
