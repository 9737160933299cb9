"""Write docs/options.md from the tables of options: python docs/make_options.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from manynets.cli.defaults import NETWORKS
from manynets.cli.options import PANELS, SWEEP, TRAIN, CommandOption, ordered
from manynets.cli.recipe import flag_of
from manynets.cli.sweep_candidates import SEARCHED
from manynets.spec import AdamW, Recipe
from manynets.spec.options import OPTIONS
from manynets.tabular.recipe import DROPOUT, FULL_ROWS, MOST_DROPOUT, PRESETS, tabular_network, tabular_recipe
from manynets.tasks import Binary, Multiclass, Regression

PAGE = Path(__file__).resolve().parent / "options.md"
SMALL_ROWS = int(FULL_ROWS * (DROPOUT / MOST_DROPOUT) ** 2)
"""With so many rows or fewer, dropout is at its largest."""

INTRODUCTION = """# Options

The options of `manynets train` and `manynets sweep`, and the fields of `mn.MLP`, `mn.Recipe` and their parts that they set. Options
marked * can be varied by `manynets sweep --grid`. Where the command line has another default than the field, both are given.

Defaults are those of a plain network, as it is trained on arrays, on small images, and with `--preset plain`. A table is trained by the
preset `default`, with [defaults of its own](#presets-for-tables). `manynets show RUN` prints what a run used.
"""


def page() -> str:
    """Return the text of docs/options.md."""
    parts = [INTRODUCTION, "## Presets for tables", presets()]
    for panel in (*PANELS[1:], PANELS[0]):  # a sweep is of the options of a training, so they come first
        table = SWEEP if panel == "Sweep" else TRAIN
        options = {name: option for name, option in table.items() if option.panel == panel}
        rows = [_row(name, option) for name, option in ordered(options) if not option.hidden]
        parts += [f"## {panel}", table_text(("option", "what it does", "values", "default"), rows)]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def presets() -> str:
    """Return the section on the defaults of the presets for tables, as their recipe has them."""
    tasks = {"numbers": Regression.of([0.0, 1.0]), "two classes": Binary.of([0, 1]), "more classes": Multiclass.of([0, 1, 2])}
    small, large = (f"{rows:,}" for rows in (SMALL_ROWS, FULL_ROWS))
    columns = []
    for task in tasks.values():
        spec, few = tabular_network(task, FULL_ROWS), tabular_network(task, SMALL_ROWS)
        steps = {name: preset.steps for name, preset in PRESETS.items()}
        recipe = tabular_recipe(spec, task, np.ones(1), FULL_ROWS, Recipe(), steps=steps["default"])
        assert isinstance(recipe.optimizer, AdamW)
        columns.append(
            {
                "hidden": ",".join(map(str, spec.hidden)),
                "activation": spec.activation,
                "dropout": f"{spec.dropout:g}; {few.dropout:g} with at most {small} rows",
                "optimizer": type(recipe.optimizer).__name__.lower(),
                "lr": f"{recipe.optimizer.lr:g}",
                "weight_decay": f"{recipe.optimizer.weight_decay:g}",
                "schedule": type(recipe.schedule).__name__.lower(),
                "iterations": f"{steps['default']:,}; {steps['fast']:,} for `fast`",
                "batch_size": f"{recipe.batch_size}",
                "label_smoothing": f"{recipe.label_smoothing:g}",
                "n_networks": f"{NETWORKS}; {NETWORKS * len(PRESETS['best'].settings)} for `best`",
            }
        )
    rows = [(f"`{flag_of(name)}`", *(column[name] for column in columns)) for name in columns[0]]
    return f"""For a target of numbers, of two classes, or of more, and up to {large} training rows; a larger table takes more steps of more rows.

{table_text(("option", *tasks), rows)}

The learning rate is that of the preset: each layer has its own share of it, by the size of its input. `best` trains in
{len(PRESETS["best"].settings)} settings, which differ in learning rate, dropout and weight decay. Except with `fast`, {NETWORKS} more
networks are trained without piecewise-linear columns, and count where they are clearly better."""


def table_text(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a table in Markdown, without the columns that are empty.

    >>> print(table_text(("a", "b"), [("1", "")]))
    | a |
    |---|
    | 1 |
    """
    shown = [i for i in range(len(headings)) if any(row[i] for row in rows)]
    lines = [[row[i] for i in shown] for row in (headings, *rows)]
    lines.insert(1, [""] * len(shown))
    return "\n".join(f"| {' | '.join(cells)} |".replace("  ", " ") if any(cells) else "|" + "---|" * len(cells) for cells in lines)


def _row(name: str, option: CommandOption) -> tuple[str, ...]:
    """Return the cells of an option."""
    spec = OPTIONS.get(name)
    flags = " ".join(f"`{flag}`" for flag in (option.flags or (flag_of(name),)))
    star = " *" if name in SEARCHED else ""
    help = option.help.replace("|", "\\|")
    values, default = _values(option), option.shown or ("no" if option.type is bool else "")
    if spec is not None:
        help += " Sets " + ", ".join(f"`{kind.__name__}.{spec.field}`" for kind in spec.classes.values()) + "."
        several = ", with commas" if spec.metadata.several else ""
        allowed = spec.metadata.allowed
        values = values if allowed is bool or spec.names or allowed is None else f"{allowed}{several}"
        default = default if default == spec.default else f"{default} (field: {spec.default})" if spec.default else default
    return f"{flags}{star}", help, str(values), str(default)


def _values(option: CommandOption) -> str:
    """Return what an option takes."""
    if option.type == list[str]:
        return "text, repeatable"
    return {int: "a whole number", float: "a number", bool: "", str: "a name" if option.metavar == "NAME" else "text"}[option.type]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
