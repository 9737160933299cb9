"""`manynets rerun`: repeat a run, and say whether the results are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from manynets.cli.arguments import RunFolder, option
from manynets.cli.options import left_out, stored_shape
from manynets.cli.origin import from_standard_input
from manynets.cli.saved_runs import open_run
from manynets.display import counted
from manynets.errors import ModelFileError, OptionError
from manynets.jsonfiles import check_shape
from manynets.renames import stored_options


def rerun(
    run: RunFolder,
    keep: Annotated[
        str | None, option("--out", metavar="FOLDER", help="Run folder for the repeated run. [none: it is deleted]")
    ] = None,
) -> None:
    """Repeat a run with its own options, and compare weights, history and metrics bit for bit.

    \b
    manynets rerun runs/houses-1

    The exit code is 0 if all are the same, and 1 if not; the first difference is printed.
    """
    import tempfile

    from manynets import runs
    from manynets.cli.fingerprint import same_data
    from manynets.cli.fit import fit
    from manynets.results import versions
    from manynets.training.threads import fixed_threads

    former = open_run(run)
    options = former.config.get("options")
    if options is None:
        raise OptionError(f"{run} does not hold the options it was trained with; it cannot be repeated")
    options = stored_options(options)
    wrong = check_shape(options, stored_shape(), "options")
    if wrong:
        raise ModelFileError(f"{former.folder / runs.CONFIG} is damaged: {wrong}; train again")
    if from_standard_input(options):
        raise OptionError(f"{run} was trained on standard input, which cannot be read again; train on a file to repeat it")
    if keep is not None:
        runs.check_run_folder(keep)
    info = former.model.info
    more = {"quiet": True, "json_line": False, "resume": None, "checkpoint_every": None, "overwrite": False}
    with tempfile.TemporaryDirectory() as folder:
        with fixed_threads(int(info["threads"]) if "threads" in info else None):
            fit({**left_out(), **options, **more, "out": keep or str(Path(folder) / "run")})
        again = runs.read_run(keep or Path(folder) / "run")
        found = _difference(former, again)  # here, as the weights are read when they are compared
    current = versions(linear=True)
    changed = {name: (old, current.get(name)) for name, old in info.get("versions", {}).items() if current.get(name) != old}
    for name, (old, new) in changed.items():
        print(f"{name} was {old}, is {new}")
    processes, now = (run.model.info.get("world_size", 1) for run in (former, again))
    if processes != now:
        print(f"{counted(processes, 'process')} trained it together, and {now} now")
    if not same_data(former.config.get("fingerprint", {}), again.config.get("fingerprint", {})):
        print("the data changed since the run was trained")
    if found is None:
        entries = len(next(iter(former.model.history.values()), []))
        print(f"{run}: matched bit for bit: the weights, {entries} entries of the history, all metrics")
        return
    print(f"{run}: did not match: {found}")
    raise typer.Exit(1)


def _difference(former: Any, again: Any) -> str | None:
    """Return the first difference between two runs but for their seconds; None where there is none."""
    import numpy as np

    for name, column in former.model.history.items():
        other = again.model.history.get(name, [])
        if name != "seconds" and not np.array_equal(column, other, equal_nan=True):
            pairs = enumerate(zip(column, other, strict=False))
            at = next((k for k, (a, b) in pairs if a != b), min(len(column), len(other)))
            return f"{name} of entry {at + 1} of the history"
    for k, (one, two) in enumerate(zip(former.model.members, again.model.members, strict=True)):
        for name, value in one.items():
            if value.tobytes() != two[name].tobytes():
                return f"{name} of network {k}, by up to {np.abs(value - two[name]).max():g}"
    for part in former.metrics:
        if former.metrics[part] != again.metrics.get(part):
            return f"the metrics on the {part} rows"
    return None
