"""What the commands print: layers, columns, metrics, files."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from manynets.cli.wording import in_flags
from manynets.display import COUNTS, HEADINGS, cell_text, counted, layers_text, networks_text, number_text, repeats_loss
from manynets.spec import EPOCHS, MLP, SCHEDULES, Recipe

if TYPE_CHECKING:
    from rich.console import Console

MOST_COLUMNS = 60
"""So many columns of a table are listed; of more, the first and the last."""
SHARES = ("correct", "count", "recall", "precision", "F1")
_NUMBERS = frozenset((
    "missing", "distinct", "inputs", "outputs", "parameters", "correct", "rows", "count", "features", "test rows", "recall",
    *HEADINGS.values(),
))  # fmt: skip
"""Columns of numbers whose cells may be texts, or empty."""
_MAYBE_EMPTY = ("read as", "explains", "note")
"""What is left out of a table of columns where it is empty for all of them."""


def console_for(*, quiet: bool = False, to_stderr: bool = False) -> Console:
    """Return the console for the report: on stdout, stderr, or silent; brackets are no markup, and long lines are not broken."""
    from rich.console import Console

    stream = sys.stderr if to_stderr else sys.stdout
    return Console(file=stream, quiet=quiet, highlight=False, markup=False, soft_wrap=True, width=None if stream.isatty() else 120)


def note(console: Console, *texts: str) -> None:
    """Print notes for the user, in the words of the command line."""
    for text in texts:
        console.print(f"note: {in_flags(text)}", style="yellow")


def print_json(result: Any) -> None:
    """Print the result of a command on stdout, as one line of strict JSON."""
    from manynets.runs import plain_json

    sys.stdout.write(json.dumps(plain_json(result), allow_nan=False, default=str) + "\n")


def print_table(
    console: Console,
    names: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    title: str | None = None,
    numbers: Collection[str] = _NUMBERS,
) -> None:
    """Print a table with these column names; columns of numbers are aligned to the right. numbers: those whose cells are texts, too."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    heading = None if title is None else Text(title, no_wrap=True, overflow="ignore")
    table = Table(
        box=box.SIMPLE_HEAD, title=heading, title_justify="left", title_style="bold", pad_edge=False, show_header=any(names)
    )
    for i, name in enumerate(names):
        right = name in numbers or all(isinstance(row[i], int | float) for row in rows)
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell_text(value)) for value in row))
    console.print(table, soft_wrap=False)


def describe(spec: MLP | None, recipe: Recipe, networks: int = 1, *, linear: int = 0) -> str:
    """Return one line that describes a network, or so many of them, and its training; spec None is the user's own module.

    linear: how many of the networks are linear models.

    >>> from manynets.spec import MLP, Recipe
    >>> describe(MLP(), Recipe(epochs=3, batch_size=128))
    '256-256 relu · adamw lr 0.001 · batch 128 · 3 epochs · seed 0'
    >>> describe(MLP(hidden=(4,), dropout=0.184742), Recipe(epochs=3))
    '4 relu · dropout 0.185 · adamw lr 0.001 · 3 epochs · seed 0'
    """
    words = [networks_text(networks, linear)] if networks > 1 or linear else []
    if spec is not None and linear < networks:
        words.append(layers_text(spec.hidden, spec.activation))
        words += ["batch norm"] if spec.batch_norm else []
        if any(spec.dropouts):
            words.append("dropout " + ", ".join(f"{rate:.3g}" for rate in sorted(set(spec.dropouts))))
    words.append(f"{type(recipe.optimizer).__name__.removeprefix('Sklearn').lower()} lr {recipe.lr:g}")
    schedule = next(name for name, kind in SCHEDULES.items() if isinstance(recipe.schedule, kind))
    words += [] if schedule == "constant" else [schedule]
    words += [f"loss {recipe.loss}"] if recipe.loss else []
    words += [f"batch {recipe.batch_size}"] if recipe.batch_size else []
    words.append(counted(recipe.iterations, "step") if recipe.iterations else counted(recipe.epochs or EPOCHS, "epoch"))
    return " · ".join([*words, f"seed {recipe.seed}"])


def describe_model(model: Any) -> str:
    """Return one line that describes a model and its training."""
    return describe(model.spec, model.recipe, model.size, linear=model.info.get("linear", 0))


def print_layers(console: Console, spec: Any, task: Any, in_features: int, *, networks: int) -> None:
    """Print the layers of a network for a task, of which there are `networks`."""
    from manynets.model_tools import task_text  # not above: help does without NumPy
    from manynets.nn.shape import layer_rows

    layers = layer_rows(spec, in_features, task.outputs)
    rows = [(one.name, one.inputs, one.outputs, one.parameters, one.then) for one in layers]
    each = " each" if networks > 1 else ""
    title = f"{task_text(task)}: {sum(one.parameters for one in layers):,} parameters{each}"
    print_table(console, ["layer", "inputs", "outputs", "parameters", "then"], rows, title=title)


def kind_text(column: Any) -> str:
    """Return the kind of a column as tables of columns show it."""
    return "left out" if column.kind == "dropped" else str(column.kind)


def print_schema(console: Console, schema: Sequence[Any], *, title: str) -> None:
    """Print the kind and contents of a table's columns, or of the first and the last of very many."""
    if console.quiet:
        return
    names = ["column", "kind", "missing", "distinct", "example", "note"]
    rows = [(c.name, kind_text(c), c.missing, c.distinct, c.example, in_flags(c.note)) for c in schema]
    print_columns(console, names, rows, title=title, all_with="manynets inspect --all")


def print_columns(
    console: Console, names: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str, all_with: str, most: int | None = None
) -> None:
    """Print a table with a row for each column of the data, or for the first and the last of very many; a note is left out where none has any.

    all_with: what lists all of them. most: so many rows are printed, by default `MOST_COLUMNS`.
    """
    most = MOST_COLUMNS if most is None else most
    between = len(rows) - most
    if between > 0:
        rows = [*rows[: most - most // 2], ("...", *[""] * (len(names) - 1)), *rows[len(rows) - most // 2 :]]
    shown = [i for i, name in enumerate(names) if name not in _MAYBE_EMPTY or any(row[i] for row in rows)]
    print_table(console, [names[i] for i in shown], [[row[i] for i in shown] for row in rows], title=title)
    if between > 0:
        ends = f"the first {most - most // 2} and the last {most // 2}"
        console.print(
            f"{counted(between, 'column')} between {ends} {'is' if between == 1 else 'are'} not shown; {all_with} lists all"
        )


def print_source(console: Console, source: Any) -> None:
    """Print the columns of a table, and how many rows there are; nothing for data that are no table. source: a `DataSource`."""
    if source.schema is not None:
        rows, tested = counted(source.train.rows, "row"), 0 if source.test is None else source.test.rows
        print_schema(console, source.schema, title=f"{source.name}: {rows} to train on, {tested:,} to test on")


def print_metrics(
    console: Console,
    metrics: Mapping[str, Mapping[str, Any] | None],
    *,
    title: str = "Metrics",
    baselines: Mapping[str, Mapping[str, Any]] | None = None,
    remark: str | None = None,
) -> None:
    """Print the metrics on each part of the data, and below them those of baselines; a remark follows the title."""
    parts = {name: values for name, values in metrics.items() if values}
    if not parts:
        return
    keys = list(
        dict.fromkeys(
            key
            for values in parts.values()
            for key, value in values.items()
            if not isinstance(value, list | dict) and key not in COUNTS
        )
    )
    if all(map(repeats_loss, parts.values())):
        keys.remove("loss")
    shown = parts | dict(baselines or {})
    rows = [(name, *(_defined(values.get(key)) for key in keys)) for name, values in shown.items()]
    title = f"{title} ({remark})" if remark else title
    print_table(console, ["", *(HEADINGS.get(key, key) for key in keys)], rows, title=title)
    if any("r2" in values and _defined(values["r2"]) is None and values.get("rows") == 1 for values in shown.values()):
        note(console, "R2 is not defined for one row")


def _defined(value: Any) -> Any:
    """Return a metric, None for one that is not a number."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _with_interval(entry: Mapping[str, Any], name: str) -> str:
    """Return a metric of a class or a label and its interval; of a class the recall is named accuracy, and runs of version 0.1 have it alone."""
    value, limits = entry.get(name, entry["accuracy"] if name == "recall" else None), entry.get("intervals")
    if value is None:
        return ""
    both = (limits or {}).get(name, ())
    return f"{number_text(value)} ({both[0]:.2f} to {both[1]:.2f})" if len(both) == 2 else number_text(value)


def print_details(
    console: Console, metrics: Mapping[str, Any], *, names: Sequence[str] | None = None, part: str, weighted: bool = False
) -> None:
    """Print the metrics of each class, label or target. names: of these. weighted: whether rows have weights."""
    if "per_class" in metrics:
        entries, all_of_them = metrics["per_class"], "classes" not in metrics  # else the entries are the worst
        if len(entries) == 2 and "precision" in metrics:
            second = names[1] if names else entries[1]["class"]
            console.print(f"precision, recall and F1 are those of {second!r}, the second class")
        rows = [(names[i] if names and all_of_them else one["class"], *_shares(one)) for i, one in enumerate(entries)]
        _print_each(console, "class", SHARES, rows, part, most=metrics.get("classes"))
    elif "label_metrics" in metrics:
        entries, heads = metrics["label_metrics"], [*SHARES, "AUC", "accuracy"]
        rows = [(_name(names, one["label"]), *_shares(one), _defined(one["auc"]), one["accuracy"]) for one in entries]
        _print_each(console, "label", heads, rows, part, most=metrics.get("labels"))
    elif "per_label" in metrics:  # of a run of an older version
        found = metrics["per_label"]
        shares = {str(i): share for i, share in enumerate(found)} if isinstance(found, list) else found
        texts = [(str(names[int(label)]) if names else label, _defined(share)) for label, share in shares.items()]
        print_table(console, ["label", "accuracy"], texts, title=f"Accuracy by label on the {part} rows")
    elif "per_target" in metrics:
        keys = ("r2", "rmse", "mae")
        rows = [(_name(names, one["target"]), *(_defined(one[key]) for key in keys)) for one in metrics["per_target"]]
        _print_each(console, "target", [HEADINGS[key] for key in keys], rows, part, most=metrics.get("targets"))
    if weighted and ("per_class" in metrics or "label_metrics" in metrics):
        kind = "class" if "per_class" in metrics else "label"
        note(console, f"recall, precision and F1 of each {kind} count every row once, whatever its weight")


def _name(names: Sequence[str] | None, number: int) -> Any:
    return names[number] if names else number


def _print_each(
    console: Console, kind: str, heads: Sequence[str], rows: Sequence[tuple[Any, ...]], part: str, *, most: int | None
) -> None:
    """Print a row for each class, label or target. most: how many there are, where these are the lowest of them; else None."""
    title = f"By {kind} on the {part} rows" + ("" if kind == "target" else ", with 95% intervals")
    title += "" if most is None else f": the {len(rows)} lowest of {counted(most, kind)}"
    print_table(console, [kind, *heads], [(str(name), *cells) for name, *cells in rows], title=title)


def _shares(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the counts, recall, precision and F1 of a class or a label."""
    return entry["correct"], entry["count"], *(_with_interval(entry, name) for name in ("recall", "precision", "f1"))
