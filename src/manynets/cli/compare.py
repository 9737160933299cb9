"""`manynets compare`: runs side by side, on the same rows."""

from __future__ import annotations

from typing import Annotated, Any

from manynets.cli.arguments import Header, JsonLine, Sheet, Target, argument, option
from manynets.cli.bounded import metrics_of
from manynets.cli.report import console_for, describe_model, note, print_json, print_metrics, print_table
from manynets.cli.saved_runs import open_run
from manynets.errors import DataError, OptionError


def compare(
    runs: Annotated[list[str], argument("RUN RUN ...", help="Two or more runs: run folders, model files or sweeps.")],
    data: Annotated[
        str | None,
        option(metavar="DATA", help="Rows with the target to compare the runs on. [the test rows of the first run]"),
    ] = None,
    target: Target = None,
    header: Header = None,
    sheet: Sheet = None,
    json_line: JsonLine = False,
) -> None:
    """Compare runs on the same rows.

    \b
    manynets compare runs/houses-1 runs/houses-2
    manynets compare runs/houses-1 runs/houses-sweep-1 --data sold_houses.csv
    """
    if len(runs) < 2:
        raise OptionError(f"there is only one run, {runs[0]}, and nothing to compare it with; give two or more")
    console = console_for(to_stderr=json_line)
    found = [open_run(path) for path in runs]
    if len(set(runs)) < len(runs):
        raise OptionError("the same run is named twice; give different ones")
    tasks = {run.model.task.name for run in found}
    if len(tasks) > 1:
        raise OptionError(f"the runs are for different tasks, {' and '.join(sorted(tasks))}; compare runs for the same target")
    rows = [
        (
            name,
            describe_model(run.model),
            f"{run.model.parameters:,}",
            f"{run.model.info.get('seconds', 0.0):.1f}",
        )
        for name, run in zip(runs, found, strict=True)
    ]
    metrics, part = _on_the_same_rows(found, data, console, target=target, header=header, sheet=sheet)
    print_table(console, ["run", "network", "parameters", "seconds"], rows, title="Runs")
    print_metrics(console, dict(zip(runs, _by_loss(found, metrics), strict=True)), title=f"Metrics on the {part} rows")
    if json_line:
        print_json({"data": part, "runs": dict(zip(runs, metrics, strict=True))})


def _by_loss(found: list[Any], metrics: list[Any]) -> list[Any]:
    """Return the metrics of the runs, with the loss under its own name where the runs minimize different ones."""
    names = [_loss_name(run.model) for run in found]
    if len(set(names)) == 1:
        return metrics
    return [
        {name if key == "loss" else key: value for key, value in values.items()}
        for name, values in zip(names, metrics, strict=True)
    ]


def _loss_name(model: Any) -> str:
    """Return the loss that a model minimizes in words, with what its values depend on."""
    recipe = model.recipe
    name = (recipe.loss or model.task.losses[0]).replace("_", " ")
    if name == "quantile":
        levels = recipe.quantiles or (recipe.quantile,)
        return f"pinball loss ({', '.join(f'{level:g}' for level in levels)})"
    return f"{name} (delta {recipe.delta:g})" if name == "huber" else name


def _on_the_same_rows(found: list[Any], data: str | None, console: Any, **how: Any) -> Any:
    """Return the metrics of each run, and what the rows are called: `data`, or the test rows of the first run. how: as for `evaluation_rows`.

    Each run reads the rows by itself, as each has an encoder of its own.
    """
    from manynets.cli.new_data import evaluation_rows, with_origin_of

    metrics, name = [], ""
    count = None
    for i, run in enumerate(found):
        reader = run if i == 0 or data is not None else with_origin_of(run, found[0])
        part, part_name, notes = evaluation_rows(reader, data, **how)
        name = name or part_name
        if i == 0:
            note(console, *notes)
        if data is None and i > 0 and run.config.get("data") != found[0].config.get("data"):
            note(
                console,
                f"{run.folder} was trained on other rows than {found[0].folder}, perhaps on some of these; give --data to be sure",
            )
        if count is not None and part.rows != count:
            raise DataError(
                f"the runs read {count:,} and {part.rows:,} rows of the same data; give data that both read alike, with --data"
            )
        count = part.rows
        metrics.append(metrics_of(run.model, part))
    return metrics, name
