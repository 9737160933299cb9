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
from manynets.cli.bounded import scalars
from manynets.cli.checkpoints import DATA_PATHS, can_resume, checkpoint_interval, portable_options
from manynets.cli.data import DataSource, load_source
from manynets.cli.fit import check_training, fit
from manynets.cli.options import OF_A_SWEEP, left_out
from manynets.cli.origin import from_standard_input, origin_of, stem_of, with_notes
from manynets.cli.preset import PLAIN, check_preset, preset_of_table
from manynets.cli.recipe import flag_of
from manynets.cli.report import console_for, note, print_json, print_metrics, print_source
from manynets.cli.saved_runs import BEST, SWEEP
from manynets.cli.signals import Stopped, stops_kept
from manynets.cli.sweep_candidates import DRAWN, MOST_CANDIDATES, grid_of
from manynets.cli.sweep_ensembles import EnsemblePlan
from manynets.cli.sweep_networks import NetworkPlan
from manynets.cli.sweep_plan import SweepPlan, train_sweep
from manynets.cli.sweep_report import draw, print_ranking
from manynets.cli.sweep_results import RESULTS, SweepResults
from manynets.cli.sweep_storage import SharedStudy, open_storage, without_password
from manynets.cli.tracking import log_sweep, tracking
from manynets.display import counted
from manynets.errors import CheckpointWarning, OptionError, check_count, optional_module
from manynets.training.groups import memory_at_hand
from manynets.training.torch_settings import find_device

CHECKPOINT_INTERVAL = "30 s"

MOST_SEEDS = 1_000_000

TIME_LIMIT = 600.0
"""Seconds of a random search for which neither a limit nor a number of candidates is given."""


def run_sweep(options: Mapping[str, Any]) -> None:
    """Run the sweep that the options describe, and write its folder."""
    own = {name: options[name] for name in OF_A_SWEEP} | {"grid": grid_of(options["grid"] or [])}
    base = {name: value for name, value in options.items() if name not in own}  # those of the best network
    base |= {"engine": None, "resume": None, "time_limit": None, "track": None}
    base["checkpoint_every"] = options["checkpoint_every"] or CHECKPOINT_INTERVAL
    console = console_for(quiet=options["quiet"], to_stderr=options["json_line"])
    _check(options)
    check_training(base | {"track": options["track"]})
    origin = origin_of(base)
    base["preset"] = _preset(base, origin)
    swept = {name: own[name] for name in ("grid", "seeds", "cv", "halving")}
    swept |= _search(own, base)
    swept["options"] = portable_options(base)

    def results_in(folder: Path) -> SweepResults:
        config = json.loads(json.dumps(swept))
        results = SweepResults(folder, config, resume=own["resume"], overwrite=bool(base["overwrite"]))
        results.check_folder()
        return results

    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(runs.claimed_folder(base["out"], f"{stem_of(origin)}-sweep", check=results_in))
        results = results_in(folder)
        storage = None if own["storage"] is None else open_storage(own["storage"])  # before the data are read
        stack.enter_context(workers_of(own["scheduler"]))
        trackers = stack.enter_context(tracking(options["track"], folder))
        for tracker in trackers:
            tracker.start({name: value for name, value in swept["options"].items() if value is not None})
        _sweep(results, base, own, load_source(origin), console, storage)
        for tracker in trackers:
            log_sweep(tracker, results)


def _preset(base: Mapping[str, Any], origin: Mapping[str, Any]) -> str:
    """Return the preset that `train` takes: of a table without options of a plain network the default."""
    check_preset(base)
    if origin["kind"] == "table":
        return preset_of_table(base) or PLAIN
    if base["preset"] not in (None, PLAIN):
        raise OptionError(f"--preset {base['preset']} is for tables, but {stem_of(origin)} is a set of arrays; leave it out")
    return PLAIN


def _search(own: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """Settle what is searched, in `own` and `base`; return what sweep.json says about it besides the grid."""
    count, limit = own["n_candidates"], own["time_limit"]
    if own["grid"] and count is not None:
        raise OptionError("--n-candidates is for a random search, without --grid; leave out one of the two")
    if base["preset"] == PLAIN:
        if limit is not None:
            raise OptionError("--time-limit is for the default ensemble of tables, not for a plain network; leave it out")
        if base["n_networks"] not in (None, 1) or "n_networks" in own["grid"]:
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


def _sweep(
    results: SweepResults, base: Mapping[str, Any], own: Mapping[str, Any], source: DataSource, console: Any, storage: Any
) -> None:
    """Train, rank and draw the networks of a sweep whose folder is claimed. storage: shared with other processes, or None."""
    folder = results.folder
    results.check_data(source.fingerprint)
    if results.version is None and source.schema is None and source.scaling is None:
        raise OptionError(
            f"the sweep in {folder} was begun by version 0.1, which did not scale the columns of arrays; resume it with that version,"
            " or start anew with --overwrite"
        )
    kind = EnsemblePlan if results.ensembles else NetworkPlan
    plan, notes = with_notes(lambda: kind(results, source, base, own))
    note(console, *source.notes, *notes)
    print_source(console, source)
    for line in plan.announced():
        console.print(line)
    if not results.ensembles and plan.count == own["seeds"] == 1:
        note(console, "there is one candidate only; give --grid to compare several, or --n-candidates to draw some")
    if results.memory is None:
        results.memory = memory_at_hand(find_device(base["device"] or "auto"))
    if own["halving"]:
        plan.lengths(1)  # what cannot be halved is an error before the folder is made
    study = None if storage is None else _shared_study(storage, own["study_name"], results, source)
    with _resumable(results):
        results.open()
        best = _trained(plan, console, study)
        draw(results, best=best)
        if best is None:
            raise OptionError(_why_none(results, folder))
        changes = next(itertools.islice(plan.all_changes(), best, None))
        best_options = {**left_out(), **base, **changes, "out": str(folder / BEST)}
        best_options |= {"overwrite": True, "quiet": True, "json_line": False}
        if can_resume(folder / BEST, best_options):  # train it as `manynets train` does, from its last checkpoint if there is one
            best_options = {**left_out(), "resume": best_options["out"], "quiet": True, "report": base["report"]}
        fit(best_options)
        run = runs.read_run(folder / BEST)
        results.check_data(run.config["fingerprint"])  # which it has read anew
    results.close()
    metrics = run.metrics
    print_ranking(console, results, best=best, complete=_complete(plan))
    print_metrics(console, {name: metrics.get(name) for name in ("validation", "test")}, title="Metrics of the best")
    files = ", ".join(sorted(entry.name for entry in folder.iterdir()))
    console.print(f"Written to {folder}: {files}")
    if base["json_line"]:
        result = _json_line(plan, best, changes) | {"test": scalars(metrics.get("test"))}
        print_json(result)


def _why_none(results: SweepResults, folder: Path) -> str:
    """Say why no candidate is the best."""
    rows = results.rows.values()
    if not any(row["error"] or row["stopped"] == "diverged" for row in rows):
        return (
            f"no candidate can be ranked: {results.measure.metric} is not defined on the rows that are scored, as where all are of one class;"
            " split them in another way, or give another --metric"
        )
    why = next((row["error"] for row in rows if row["error"]), "no score is finite")
    return f"no candidate could be trained: {why}; {folder / RESULTS} has the reason of each"


def _shared_study(storage: Any, name: str | None, results: SweepResults, source: DataSource) -> SharedStudy:
    """Return the study of --storage, which knows the data by their contents, as each machine may have them in another folder."""
    options = {name: value for name, value in results.config["options"].items() if name not in DATA_PATHS}
    config = json.loads(json.dumps(results.config | {"options": options, "data": dict(source.fingerprint)}))
    name, own = name or f"{source.name}-sweep", results.split_by_fold
    study = SharedStudy(storage, name, config=config, measure=results.measure, split_by_fold=own)
    if results.resume and study.split_by_fold != own:
        raise OptionError(
            f"the sweep in {results.folder} was begun by another version than the study {name!r} of the storage, and splits the rows of a fold"
            " in another way; give another --out or --study-name"
        )
    results.split_by_fold = study.split_by_fold
    return study


def _complete(plan: SweepPlan) -> str:
    """Return what a time limit left out, in words."""
    trained = plan.results.trained
    if trained == plan.count:
        return ""
    of = counted(trained, "candidate") if plan.count is None else f"{trained:,} of {plan.count:,} candidates"
    only = ", the default: give a longer --time-limit to try others" if trained == 1 and plan.results.with_default else ""
    return f"the time limit was reached after {of}{only}"


def _json_line(plan: SweepPlan, best: int, changes: Mapping[str, Any]) -> dict[str, Any]:
    results = plan.results
    ranking = {ranked.candidate: ranked for ranked in results.ranking()}
    found = ranking[best]
    line = {
        "sweep_dir": str(results.folder),
        "networks": sum(row.get("n_networks", plan.networks) for row in results.rows.values()),
        "best": dict(changes),
        "score": found.score,
        "metric": results.measure.metric,
    }
    if results.with_default:
        line |= {
            "loss": found.loss,
            "ranked_by": results.measure.column,
            "candidates": results.trained,
            "best_is_default": best == 0,
            "default": {"score": ranking[0].score, "loss": ranking[0].loss} if 0 in ranking else None,
        }
    return line


def _check(options: Mapping[str, Any]) -> None:
    """Raise OptionError for invalid options, before the data are read."""
    if options["scheduler"] is not None and options["checkpoint_every"] is not None:
        raise OptionError(
            "--checkpoint-every is for networks that this process trains, not for the workers of --scheduler; leave it out"
        )
    if options["storage"] is None and options["study_name"] is not None:
        raise OptionError("--study-name is the name of the study in --storage; give that too, or leave it out")
    for name in ("halving", "scheduler"):
        if options["storage"] is not None and options[name]:
            raise OptionError(
                f"--storage divides the candidates between processes, which {flag_of(name)} does not allow; leave out one"
            )
    checkpoint_interval(options["checkpoint_every"])
    for name, most in (("seeds", MOST_SEEDS), ("at_most", None), ("n_candidates", MOST_CANDIDATES)):
        if options[name] is not None:
            check_count(options[name], what=flag_of(name), most=most)
    if options["time_limit"] is not None and not options["time_limit"] > 0:
        raise OptionError(f"--time-limit is {options['time_limit']:g}, but must be a number of seconds above 0")
    if from_standard_input(options):
        raise OptionError(
            "a sweep reads its data again for its best network, but standard input can be read only once; name a file"
        )


@contextlib.contextmanager
def workers_of(scheduler: str | None) -> Iterator[None]:
    """Within this context, the workers of a dask scheduler train the networks."""
    if scheduler is None:
        yield
        return
    distributed = optional_module("distributed", extra="dask", purpose="--scheduler")
    from joblib import parallel_config

    try:
        client = distributed.Client(scheduler, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise OptionError(
            f"--scheduler is {without_password(scheduler)!r}, but no scheduler answers there ({without_password(str(error))});"
            " start one with: dask scheduler"
        ) from None
    with client, parallel_config("dask", client=client):
        yield


@contextlib.contextmanager
def _resumable(results: SweepResults) -> Iterator[None]:
    """Within this context, the message of a stop, or of a full disk, says what is saved and how to resume; a sweep without a result leaves nothing."""
    try:
        with stops_kept():
            yield
    except BaseException as error:
        if not results.is_resumable:
            results.discard()
        elif isinstance(error, OSError | MemoryError):
            sys.stderr.write(f"{_after_a_stop(results)}\n")
        if not isinstance(error, KeyboardInterrupt | Stopped):
            raise
        number = error.number if isinstance(error, Stopped) else signal.SIGINT
        raise Stopped(number, _after_a_stop(results)) from None


def _after_a_stop(results: SweepResults) -> str:
    """Return what is saved of a sweep that was stopped, and how to resume it."""
    if not results.is_resumable:
        earlier = (results.folder / SWEEP).is_file()
        return "nothing was written" + (f"; the earlier sweep in {results.folder} is as it was" if earlier else "")
    count = len(results.rows)
    text = f"{counted(count, results.noun)} {'is' if count == 1 else 'are'} saved"
    if count:
        text += f" in {results.folder / RESULTS}"
    if results.has_checkpoints:
        text += f", those in training in {results.checkpoints}"
    return f"{text}; resume with the same command and --resume --out {results.folder}"


def _trained(plan: SweepPlan, console: Any, study: SharedStudy | None) -> int | None:
    """Train all that has no result yet; return the best candidate, None where none could be trained."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", CheckpointWarning)
        try:
            best = train_sweep(plan, study)
        finally:
            plan.progress.show(last=True)
    note(console, *dict.fromkeys(str(entry.message) for entry in caught))
    return best
