"""`manynets report`: one HTML file on a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from manynets.cli.arguments import Quiet, RunFolder, argument, option

if TYPE_CHECKING:
    from manynets.runs import SavedRun

__all__ = ["report"]


def report(
    run: RunFolder,
    data: Annotated[str | None, argument("DATA", help="Rows with the target, as for evaluate. [the test rows of the run]")] = None,
    out: Annotated[
        str | None, option("--output", "-o", metavar="FILE", help="HTML file to write. [report.html in the run folder]")
    ] = None,
    overwrite: Annotated[bool, option("--overwrite", help="Replace the file if it exists.")] = False,
    show: Annotated[bool, option("--open", help="Open it in the browser.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write one HTML file that says what a model is, how good it is, what it relies on, and where it fails.

    \b
    manynets report runs/houses-1 --open
    """
    import os
    import webbrowser
    from pathlib import Path

    from manynets.claims import claim
    from manynets.cli.new_data import evaluation_rows
    from manynets.cli.report import console_for, note
    from manynets.cli.saved_runs import open_run
    from manynets.errors import OptionError
    from manynets.report import ReportInput, write_report

    console = console_for(quiet=quiet)
    found = open_run(run)
    folder = found.folder if found.folder.is_dir() else found.folder.parent
    path = folder / "report.html" if out is None else Path(out)
    if path.exists() and not overwrite:
        raise OptionError(f"the file {path} exists; give another one with -o, or --overwrite to replace it")
    part, name, notes = evaluation_rows(found, data, encode=False)
    for text in notes:
        note(console, text)
    parts = {key: values for key, values in found.metrics.items() if key != "baselines"}
    if name not in parts:
        from manynets.cli.fit import metrics_of

        parts[name] = metrics_of(found.model, evaluation_rows(found, data)[0])
    given = ReportInput(
        model=found.model, title=f"{found.folder.name}: {', '.join(found.config['data'].get('target') or ['model'])}", part=name, X=part.X, y=part.y,
        metrics=parts, baselines=found.metrics.get("baselines", {}), target=", ".join(found.config["data"].get("target") or ["the label"]),
        facts=_facts(found), repeat=f"manynets rerun {found.folder}",
    )  # fmt: skip
    with claim(path, remedy="give another file with -o"):
        write_report(given, path, overwrite=overwrite)
    console.print(f"Written to {path}", markup=False, soft_wrap=True)
    if show:
        webbrowser.open(Path(os.path.abspath(path)).as_uri())


def _facts(run: SavedRun) -> dict[str, str]:
    data: dict[str, Any] = run.config.get("data", {})
    facts = {"Data": str(data.get("path") or data.get("name"))}
    for name, found in run.config.get("fingerprint", {}).items():
        size = f"{found['rows']:,} rows, {found['columns']:,} columns; " if {"rows", "columns"} <= set(found) else ""
        facts[f"File {name}"] = f"{size}SHA-256 {found['sha256']}"
    for part, values in run.metrics.items():
        if part != "baselines" and "rows" in values:
            facts[f"Rows, {part}"] = f"{values['rows']:,}"
    facts["Validation"] = str(run.config.get("validation"))
    facts["Seed"] = str(run.model.recipe.seed)
    facts["Versions"] = ", ".join(f"{name} {version}" for name, version in run.model.info.get("versions", {}).items())
    return facts
