"""`manynets compare`: runs side by side, on the same rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from manynets.cli.arguments import Header, JsonLine, Sheet, Target, argument, option
from manynets.cli.bounded import metrics_of_scores
from manynets.cli.report import console_for, describe_model, note, print_json, print_metrics, print_table
from manynets.cli.saved_runs import open_run
from manynets.display import HEADINGS, number_text
from manynets.errors import DataError, OptionError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NOT_OF_ROWS = ("drop", "categorical", "numeric", "weight", "scaling", "max_levels")
"""What a run says about its data, but not about which rows it was trained on."""


@dataclasses.dataclass(frozen=True, eq=False)
class Tested:
    """A run, its scores (N, O) of the rows, and its metrics. seen: which rows (N,) it was trained or validated on, None where that is not known."""

    name: str
    run: Any
    part: Any
    scores: Any
    metrics: dict[str, Any]
    seen: NDArray[np.bool_] | None


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
    """Compare runs on the same rows, and each with the first: the differences of their metrics, with 95% intervals.

    \b
    manynets compare runs/houses-1 runs/houses-2
    manynets compare runs/houses-1 runs/houses-sweep-1 --data sold_houses.csv

    The differences are those on rows that neither run was trained or validated on.
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
    tested, part = _on_the_same_rows(runs, found, data, console, target=target, header=header, sheet=sheet)
    print_table(console, ["run", "network", "parameters", "seconds"], rows, title="Runs")
    print_metrics(console, dict(zip(runs, _by_loss(tested), strict=True)), title=f"Metrics on the {part} rows")
    compared = [_compared(tested[0], one) for one in tested[1:]]
    _print_differences(console, compared, first=runs[0])
    if json_line:
        differences = {"from": runs[0], "to": {one.name: one.as_json for one in compared}}
        print_json({"data": part, "runs": {one.name: one.metrics for one in tested}, "differences": differences})


def _by_loss(tested: Sequence[Tested]) -> list[Any]:
    """Return the metrics of the runs, with the loss under its own name where the runs minimize different ones."""
    names = [_loss_name(one.run.model) for one in tested]
    if len(set(names)) == 1:
        return [one.metrics for one in tested]
    return [
        {name if key == "loss" else key: value for key, value in one.metrics.items()}
        for name, one in zip(names, tested, strict=True)
    ]


def _loss_name(model: Any) -> str:
    """Return the loss that a model minimizes in words, with what its values depend on."""
    recipe = model.recipe
    name = (recipe.loss or model.task.losses[0]).replace("_", " ")
    if name == "quantile":
        levels = recipe.quantiles or (recipe.quantile,)
        return f"pinball loss ({', '.join(f'{level:g}' for level in levels)})"
    return f"{name} (delta {recipe.delta:g})" if name == "huber" else name


def _on_the_same_rows(
    names: Sequence[str], found: list[Any], data: str | None, console: Any, **how: Any
) -> tuple[list[Tested], str]:
    """Return each run on the rows, and what these are called: `data`, or the test rows of the first run. how: as for `evaluation_rows`.

    Each run reads the rows by itself, as each has an encoder of its own.
    """
    import numpy as np

    from manynets.cli.new_data import evaluation_rows, seen_rows_of, with_origin_of

    tested: list[Tested] = []
    name = ""
    for i, run in enumerate(found):
        reader = run if i == 0 or data is not None else with_origin_of(run, found[0])
        try:
            part, part_name, notes = evaluation_rows(reader, data, **how)
            scores = run.model.mean_logits(run.model.logits(part.X))
            metrics = metrics_of_scores(run.model, scores, part)
        except DataError as error:
            raise DataError(f"{run.folder}: {error}") from None
        name = name or part_name
        if i == 0:
            note(console, *notes)
        own = data is None and _origin_of_rows(run) == _origin_of_rows(found[0])
        if data is None and not own:
            note(
                console,
                f"{run.folder} was trained on other rows than {found[0].folder}, perhaps on some of these; give --data to be sure",
            )
        if tested and part.rows != tested[0].part.rows:
            raise DataError(
                f"the runs read {tested[0].part.rows:,} and {part.rows:,} rows of the same data; give data that both read alike, with --data"
            )
        seen = np.zeros(part.rows, dtype=bool) if own else seen_rows_of(run, part)
        tested.append(Tested(names[i], run, dataclasses.replace(part, X=None), scores, metrics, seen))
    return tested, name


def _origin_of_rows(run: Any) -> dict[str, Any]:
    """Return what a run says of the rows it was trained on."""
    return {name: value for name, value in run.config.get("data", {}).items() if name not in NOT_OF_ROWS}


# ------------------------------------------------------------------------------------------------------------- differences


@dataclasses.dataclass(frozen=True, eq=False)
class Compared:
    """A run and the first. differences: of their metrics, on so many rows; remark: what to know of them, or why there are none."""

    name: str
    rows: int
    differences: Sequence[Any] = ()
    remark: str = ""

    @property
    def as_json(self) -> dict[str, Any]:
        """What --json says."""
        found = {one.metric: {name: getattr(one, name) for name in ("difference", "low", "high")} for one in self.differences}
        return {"rows": self.rows, **found, **({"remark": self.remark} if self.remark else {})}


def _compared(first: Tested, one: Tested) -> Compared:
    """Return the differences of a run from the first, on the rows that are new to both."""
    import numpy as np

    from manynets.explain.differences import FEWEST_ROWS, differences_between, influences_of

    none = f"no differences of {one.name} from {first.name}"
    for what, words in (("y", "targets"), ("weight", "weights")):  # of which the latter may be None
        if not np.array_equal(getattr(first.part, what), getattr(one.part, what)):
            return Compared(one.name, 0, remark=f"{none}: they read other {words} in these rows")
    unknown = " and ".join(run.name for run in (first, one) if run.seen is None)
    seen = np.any([run.seen for run in (first, one) if run.seen is not None] or [np.zeros(one.part.rows, dtype=bool)], axis=0)
    new, rows = np.flatnonzero(~seen), int((~seen).sum())
    left_out = f"{first.name} or {one.name} was trained or validated on {one.part.rows - rows:,} of these {one.part.rows:,} rows"
    if rows < FEWEST_ROWS:
        why = left_out if rows < one.part.rows else f"there are {rows} rows"
        return Compared(one.name, rows, remark=f"{none}: {why}; give more rows, with --data")
    weight = None if first.part.weight is None else first.part.weight[new]
    try:
        influences = [influences_of(run.run.model, run.scores[new], run.part.y[new], weight) for run in (first, one)]
    except DataError as error:
        return Compared(one.name, rows, remark=f"{none}: {error}")
    remarks = [f"{left_out}, which do not count in the differences"] if rows < one.part.rows else []
    remarks += [f"whether {unknown} was trained on some of these rows is not known"] if unknown else []
    found = differences_between((first.run.model, one.run.model), influences, weight)
    return Compared(one.name, rows, found, "; ".join(remarks))


def _print_differences(console: Any, compared: Sequence[Compared], *, first: str) -> None:
    """Print the differences of runs from the first."""
    words = {"second": "better", "first": "worse", "": "not clear"}
    rows = [
        (
            of.name,
            HEADINGS.get(one.metric, one.metric),
            _signed(one.difference),
            f"{_signed(one.low)} to {_signed(one.high)}",
            words[one.better],
        )
        for of in compared
        for one in of.differences
    ]
    if rows:
        title = f"Differences from {first}, with 95% intervals"
        print_table(console, ["run", "metric", "difference", "interval", "it is"], rows, title=title)
    note(console, *(one.remark for one in compared if one.remark))


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else ''}{number_text(value)}"
