"""`manynets explain`: which columns a model relies on, and how."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from manynets.cli.arguments import Header, JsonLine, Quiet, RunFolder, Sheet, Target, argument, option
from manynets.cli.origin import kind_of, name_of
from manynets.cli.report import console_for, note, print_json, print_table
from manynets.cli.saved_runs import open_run
from manynets.display import cell_text, labels_text, mean_texts, number_text
from manynets.errors import OptionError, check_count

if TYPE_CHECKING:
    from rich.console import Console

    from manynets.cli.data import Part
    from manynets.explain import Contributions, Dependence, Importance
    from manynets.runs import SavedRun

WIDTH = 24
ACROSS = 10
"""The most values of a column across a table."""
MOST_COLUMNS, MOST_TARGETS = 50, 6
"""The most columns whose importance is shown, and the most targets."""


def explain(
    run: RunFolder,
    data: Annotated[
        str | None,
        argument("DATA", help="Rows with the target to explain the model on, as for evaluate. [the test rows of the run]"),
    ] = None,
    column: Annotated[
        list[str] | None,
        option(metavar="NAME", help="Also show how the prediction follows this column; may be repeated."),
    ] = None,
    pair: Annotated[
        tuple[str, str] | None,
        option(metavar="NAME NAME", help="Also show how the prediction follows two columns together."),
    ] = None,
    row: Annotated[
        list[int] | None,
        option(
            metavar="N",
            help="Also show what each column adds to the prediction of this row, by its number in the table, counted from 0; may be repeated.",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        option(
            metavar="NAME",
            help="accuracy, f1, log_loss or roc_auc; for numbers r2, rmse or mae. [accuracy or r2; roc_auc where one of two classes is rare]",
        ),
    ] = None,
    repeats: Annotated[int, option(metavar="N", help="How many times each column is shuffled. [5]")] = 5,
    rows: Annotated[int, option(metavar="N", help="Use at most this many rows. [2000]")] = 2000,
    separately: Annotated[
        bool, option("--separately", help="Shuffle each column by itself, also those that hold nearly the same information.")
    ] = False,
    worst: Annotated[
        int | None, option(metavar="N", help="Also list the groups of rows, and the N rows, with the largest errors.")
    ] = None,
    target: Target = None,
    header: Header = None,
    sheet: Sheet = None,
    json_line: JsonLine = False,
    quiet: Quiet = False,
) -> None:
    """Show which columns a model relies on: how much worse it predicts when each is shuffled among the rows.

    \b
    manynets explain runs/houses-1
    manynets explain runs/houses-1 --column size --row 3
    manynets explain runs/houses-1 --pair size town

    Columns that hold nearly the same information are shuffled together, unless you ask for --separately.
    """
    import numpy as np

    from manynets.cli.data import taken, taken_rows
    from manynets.cli.new_data import evaluation_rows
    from manynets.explain import contributions, partial_dependence, permutation_importance
    from manynets.explain.blocks import some_rows

    for flag, value, least in (("--rows", rows, 2), ("--worst", worst, 1), ("--repeats", repeats, 1)):
        if value is not None:
            check_count(value, what=flag, least=least)
    console = console_for(quiet=quiet, to_stderr=json_line)
    found = open_run(run)
    _check_columns(found.saved, column or (), pair or ())
    part, name, notes = evaluation_rows(found, data, header=header, sheet=sheet, target=target, encode=False)
    note(console, *notes)
    whole, of = _whole(found, data, part.X, name)
    what = f"{name} rows" if data is None or kind_of(data) == "named" else f"rows of {name}"
    if row and (beyond := [number for number in row if not 0 <= number < len(whole)]):
        raise OptionError(f"--row is {beyond[0]}, but {of} has the rows 0 to {len(whole) - 1}")
    some = some_rows(part.rows, rows)
    model, few = found.model, taken(part, some)
    note(console, *([] if data is None else _notes_of_seen(found, few, name)))
    options: dict[str, Any] = {"metric": metric, "n_repeats": repeats, "sample_weight": few.weight, "group_alike": not separately}
    importance = permutation_importance(model, few.X, few.y, **options)
    dependence = [partial_dependence(model, few.X, one, n_grid=12, sample_weight=few.weight) for one in column or ()]
    dependence += [partial_dependence(model, few.X, pair, n_grid=8, sample_weight=few.weight)] if pair else []
    added = contributions(model, taken_rows(whole, np.array(row)), background=few.X) if row else None
    _print_importance(console, importance, len(some), what)
    for one in dependence:
        (_print_dependence if len(one.columns) == 1 else _print_pair)(console, one)
    if added is not None:
        _print_contributions(console, added, row or [], of)
    largest = {} if worst is None else _largest_errors(console, model, part, most=worst, what=what, of="" if of == name else of)
    if json_line:
        result = {"run_dir": str(found.folder), "data": name, "rows": len(some), "importance": importance.to_json()}
        result["dependence"] = [one.to_json() for one in dependence]
        result["contributions"] = None if added is None else {"rows": row, **added.to_json()}
        print_json(result | largest)


def _check_columns(model: Any, single: Sequence[str], pair: Sequence[str]) -> None:
    """Raise DataError for the name of --column or --pair that is no column of the model, OptionError for a pair of one column."""
    from manynets.tables.table import require

    known = model.column_names
    require(single, known, what="--column")
    require(pair, known, what="--pair")
    if len(set(pair)) < len(pair):
        raise OptionError(f"--pair names {pair[0]!r} twice; give two different columns")


def _notes_of_seen(run: SavedRun, part: Part, name: str) -> list[str]:
    """Return a note on the rows that the run was trained or validated on, if there are any."""
    from manynets.cli.new_data import seen_rows_of, seen_words

    seen = seen_rows_of(run, part)
    if seen is None or not seen.any():
        return []
    return [f"{seen_words(int(seen.sum()), part.rows, name)}; on new rows its columns may matter less"]


def _whole(run: SavedRun, data: str | None, X: Any, name: str) -> tuple[Any, str]:
    """Return the table that some rows were taken of, or these, and a name for what the rows are numbered in."""
    from manynets.tables import Table

    if not isinstance(X, Table) or X.taken is None:
        return X, name
    return X.whole(), name_of(run.config["data"]["path"]) if data is None else name


def _print_importance(console: Console, importance: Importance, rows: int, what: str) -> None:
    ranked = importance.ranked()
    most = max(max(mean for _, mean, _ in ranked), 0.0)
    shown = []
    for column, mean, std in ranked[:MOST_COLUMNS]:
        lost, spread = mean_texts(mean, std)
        spread = f"± {spread}" if importance.values.shape[1] > 1 else ""
        shown.append((column, lost, spread, "█" * round(WIDTH * max(mean, 0.0) / most) if most else ""))
    metric = importance.heading
    these = f"{rows:,} {what if rows > 1 else what.replace('rows', 'row', 1)}"
    title = f"Importance: {metric} lost without the column ({metric} {number_text(importance.score)}, {these})"
    print_table(console, ["Column", "Lost", "", ""], shown, title=title, numbers=["Lost"])
    if len(ranked) > MOST_COLUMNS:
        console.print(f"... and {len(ranked) - MOST_COLUMNS:,} more columns that matter less, which --json has")


def _print_dependence(console: Console, found: Dependence) -> None:
    found = found.gathered()
    means, names = found.by_output(), found.outputs[1:] if found.two_classes else found.outputs
    values = found.texts()[0]
    shown = [(value, *line[-len(names) :]) for value, line in zip(values, means.tolist(), strict=True)]
    heads, title = [found.what.capitalize()], f"Mean {found.what}"
    if len(names) > 1:
        title += f" of each {found.output_kind}"
        heads = list(names)
    elif found.outputs != ("prediction",):
        title += f" of {names[0]}"
    print_table(console, [found.columns[0], *heads], shown, title=f"{title} over {found.columns[0]}", numbers=())


def _print_pair(console: Console, found: Dependence) -> None:
    (down, across), names = found.texts(), found.columns
    turned = len(across) > len(down)  # the more values go down
    if turned:
        down, across, names = across, down, names[::-1]
    for output in [found.shown] if found.probabilities else range(min(len(found.outputs), MOST_TARGETS)):
        means = found.by_output()[..., output]
        lines = (means.T if turned else means).tolist()
        shown = [(value, *line[:ACROSS]) for value, line in zip(down, lines, strict=True)]
        print_table(console, [" \\ ".join(names), *across[:ACROSS]], shown, title=found.title(output), numbers=())
    if len(across) > ACROSS:
        note(console, f"{ACROSS} of the {len(across)} values of {names[1]} are shown; --json has all")
    if not found.probabilities:
        _note_targets(console, len(found.outputs))


def _note_targets(console: Console, count: int) -> None:
    """Say where some of the targets are not shown."""
    if count > MOST_TARGETS:
        note(console, f"{MOST_TARGETS} of the {count} targets are shown; --json has all")


def _largest_errors(console: Console, model: Any, part: Part, *, most: int, what: str, of: str) -> dict[str, Any]:
    """Print the groups and rows with the largest errors; return them as JSON types. what: these rows; of: what they are numbered in, "" if that."""
    import numpy as np

    from manynets.explain import worst_rows, worst_slices
    from manynets.explain.slices import several_numbers
    from manynets.tasks import Multilabel, Regression

    X, y = part.X, np.asarray(part.y)
    rows, slices = worst_rows(model, X, y, most=most), worst_slices(model, X, y)
    groups = [
        (
            one.column,
            one.group,
            one.rows,
            f"{number_text(one.loss)} ({number_text(one.low)} to {number_text(one.high)})",
            one.other_loss,
        )
        for one in slices
    ]
    title = f"Groups of {what} with larger errors than the others, by more than chance"
    heads = ["Column", "Group", "Rows", "Mean error, 95% interval", "Of the others"]
    if groups:
        print_table(console, heads, groups, title=title)
    else:
        console.print(f"{title}: none")
    sure = any(one.probability is not None for one in rows)
    shown: Callable[[Any], Any] = _number if isinstance(model.task, Regression) else _text
    if isinstance(model.task, Multilabel) and model.target_names:
        shown = partial(labels_text, names=model.target_names)
    texts = [
        (one.row, shown(one.truth), shown(one.predicted), one.loss if one.probability is None else one.probability) for one in rows
    ]
    these = f"{what[0].upper()}{what[1:]}"
    title = f"{these} {'most confidently wrong' if sure else 'with the largest errors'}" + (
        f", numbered as in {of}, from 0" if of else ""
    )
    if texts:
        print_table(console, ["Row", "True", "Predicted", "Probability" if sure else "Error"], texts, title=title)
    else:
        console.print(f"{these} that are predicted wrong: none")
    if several_numbers(model.task):
        note(console, "errors are the mean over the targets, each in its standard deviations")
    found: dict[str, Any] = {"worst_rows": rows, "worst_slices": slices}
    return {kind: [dataclasses.asdict(one) for one in ones] for kind, ones in found.items()}


def _number(value: Any) -> Any:
    return value if isinstance(value, float) else cell_text(value)  # of several targets


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | bool | int) else cell_text(value)


def _print_contributions(console: Console, found: Contributions, rows: list[int], name: str) -> None:
    for at, row in enumerate(rows):
        several = len(found.outputs)
        values, base, prediction = found.values[at].reshape(-1, several), found.base.reshape(-1), found.prediction[at].reshape(-1)
        outputs = list(range(min(several, MOST_TARGETS)))
        what, of, heads = "prediction", "", ["Adds"]
        if found.probabilities:  # that of the most probable class
            outputs = [int(prediction.argmax())]
            what, of = "probability", f" of {found.outputs[outputs[0]]}"
        elif several > 1:
            heads = [f"Adds to {found.outputs[output]}" for output in outputs]
        values, base, prediction = values[:, outputs], base[outputs], prediction[outputs]
        order = sorted(range(len(values)), key=lambda j: -abs(values[j, 0]))
        shown = [
            ("(mean of the rows)", *map(number_text, base.tolist())),
            *((found.columns[j], *(f"{'+' if one >= 0 else ''}{number_text(one)}" for one in values[j].tolist())) for j in order),
            ("= " + what, *map(number_text, prediction.tolist())),
        ]
        print_table(console, ["Column", *heads], shown, title=f"Row {row} of {name}: {what}{of}", numbers=heads)
    if not found.probabilities:
        _note_targets(console, len(found.outputs))
