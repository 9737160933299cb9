"""The options of `manynets train` and `sweep`, as one table: those of the specification, and those of the commands alone."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from manynets.cli import arguments, defaults
from manynets.cli.recipe import flag_of
from manynets.spec import METRICS
from manynets.spec.options import OPTIONS as SPEC_OPTIONS
from manynets.spec.options import SpecOption

Command = TypeVar("Command", bound=Callable[..., None])

TRAINING, OUTPUT, TABLES, DATA_SETS, LOSS, MORE = (
    "Training", "Output", "Tables", "Data sets by name", "Loss and penalties", "More on training"
)  # fmt: skip
PANELS = ("Sweep", "Network", TRAINING, OUTPUT, TABLES, DATA_SETS, LOSS, MORE, "Optimizer", "Schedule")
"""The panels of a help page, in their order."""
LEADING = ("preset", "metric", "epochs", "batch_size", "optimizer", "lr", "schedule", "validation", "loss")
"""Options at the head of their panels; the others follow in the order of the table."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CommandOption:
    """An option of a command.

    type: of its value; default: its value where it is left out; shown: the default as help shows it, "" for none.
    flags: its names on the command line, where it has others than --name.
    """

    help: str
    panel: str
    type: Any = str
    metavar: str = "NAME"
    default: Any = None
    shown: str = ""
    flags: tuple[str, ...] = ()
    hidden: bool = False


def _of_spec(option: SpecOption) -> CommandOption:
    flag, kind = flag_of(option.name), option.value_type
    shown = defaults.SHOWN.get(option.name, option.default)
    negated = kind is bool and shown == "yes"
    return CommandOption(
        help=option.help,
        panel=option.panel,
        type=kind,
        metavar=option.metavar,
        default=defaults.SEED if option.name == "seed" else None,
        shown="" if kind is bool and not negated else shown,
        flags=(f"{flag}/--no-{flag[2:]}",) if negated else (flag,),
    )


def _flag(help: str, panel: str, *flags: str, hidden: bool = False, default: bool | None = False) -> CommandOption:
    return CommandOption(help=help, panel=panel, type=bool, metavar="", default=default, flags=flags, hidden=hidden)


TRAIN: dict[str, CommandOption] = {
    **{name: _of_spec(option) for name, option in SPEC_OPTIONS.items()},
    "preset": CommandOption(
        help="How to train: default, fast or best are ensembles for tables by a recipe of their own, which most options below change in "
        "part; plain is a network, or several, by the options below. For larger images, default also trains on shifted copies.",
        panel=TRAINING, shown="default for tables and larger images, unless an option of a plain network is given; else plain",
    ),
    "metric": CommandOption(
        help=f"What the best weights, early stopping and, for f1, the threshold go by: {', '.join(METRICS)}.", panel=TRAINING, shown="the loss"
    ),
    "threshold": CommandOption(
        help="Probability above which the second of two classes (--positive, or the last in the order of their names) is predicted: f1 or accuracy for what "
        "is best on the held-out rows, a number, or what a false alarm and a missed row cost, such as 1:5. Of more classes, what errors cost: "
        "TRUE:PREDICTED:COST,..., where all others cost 1, or a CSV file with a row for each true and a column for each predicted class.",
        panel=TRAINING, metavar="VALUE", shown="0.5; with --metric f1 as for f1",
    ),
    "time_limit": CommandOption(
        help="Seconds until the model is trained, reading included (tables, presets default, fast and best).",
        panel=TRAINING, type=float, metavar="SECONDS", shown="none",
    ),
    "n_networks": CommandOption(
        help="Networks that are trained together; the prediction is the mean of theirs.",
        panel="Network", type=int, metavar="N",
        shown=f"{defaults.NETWORKS} for a table, but 1 for a plain network of fewer than {defaults.FEWEST_ROWS} or at least "
        f"{defaults.MOST_ROWS:,} rows to train on; else 1",
    ),
    "validation": CommandOption(
        help="Share of the training rows held out to choose the best epoch; 0 for none.",
        panel=TRAINING, type=float, metavar="SHARE",
        shown=f"{defaults.VALIDATION:g}; each of several networks holds out another part; the 2-D sets bring their own rows",
    ),
    "engine": CommandOption(help="Library that trains: torch, numpy, jax or keras, with the same results.", panel=MORE, shown="torch"),
    "class_weight": CommandOption(
        help="'balanced': rare classes count as much as frequent ones.", panel=LOSS, metavar="balanced"
    ),
    "lr_in_velocity": _flag("The learning rate enters the velocity, as in scikit-learn (sgd).", "Optimizer", hidden=True, default=None),
    "eps_hat": _flag("Add eps before the bias is corrected, as in scikit-learn (adam).", "Optimizer", hidden=True, default=None),
    "out": CommandOption(
        help="Run folder to write.", panel=OUTPUT, metavar="FOLDER", shown="runs/NAME-1, or the next free number"
    ),
    "overwrite": _flag("Replace the run folder if it exists.", OUTPUT),
    "report": _flag("Also write report.html into the run folder, as manynets report does.", OUTPUT),
    "track": CommandOption(
        help="Also write the run to tensorboard, mlflow or wandb; to several by repeating the option.", panel=OUTPUT, type=list[str]
    ),
    "checkpoint_every": CommandOption(
        help="Write a checkpoint every N epochs, or every '500 steps', '30 s' or '10 min'.",
        panel=OUTPUT, metavar="N", shown="when stopped, and at the end",
    ),
    "resume": CommandOption(
        help="Resume the unfinished run RUN with its own data and options.", panel=OUTPUT, metavar="RUN"
    ),
    "allow_world_size": _flag(
        "Resume with another number of processes than before: the result is then the same up to rounding.", OUTPUT
    ),
    "json_line": _flag("Print one JSON object with the results on stdout, and everything else on stderr.", OUTPUT, "--json"),
    "quiet": _flag("Print no report, notes or progress.", OUTPUT, "--quiet", "-q"),
    "target": CommandOption(
        help="Column to predict; several with commas, or by repeating the option.", panel=TABLES, type=list[str], metavar="COLUMN"
    ),
    "task": CommandOption(
        help="Task: regression, binary, multiclass or multilabel.", panel=TABLES, shown="found from the target"
    ),
    "positive": CommandOption(
        help="Which of two classes precision, recall, F1 and --threshold refer to.",
        panel=TABLES, metavar="CLASS", shown="the last in the order of their names",
    ),
    "test": CommandOption(help="Table with the same columns to test on.", panel=TABLES, metavar="FILE"),
    "test_fraction": CommandOption(
        help="Share of the rows held out for the test, drawn from each class; 0 for none.",
        panel=TABLES, type=float, metavar="SHARE", shown=f"{defaults.TEST_FRACTION:g}",
    ),
    "group": CommandOption(help="Rows with the same value in this column stay together in every split.", panel=TABLES, metavar="COLUMN"),
    "time_column": CommandOption(help="Test and validate on the latest rows by this column.", panel=TABLES, metavar="COLUMN"),
    "stratify": CommandOption(
        help="Split so that each part has the same share of the values in this column.", panel=TABLES, metavar="COLUMN", shown="by class"
    ),
    "target_transform": CommandOption(
        help="log: train on the logarithm of the target; auto: if the target is positive with a heavy tail.", panel=TABLES, shown="none"
    ),
    "drop": CommandOption(help="Leave this column out.", panel=TABLES, type=list[str], metavar="COLUMN"),
    "categorical": CommandOption(help="Treat this column as categories.", panel=TABLES, type=list[str], metavar="COLUMN"),
    "numeric": CommandOption(help="Treat this column as numbers, and what else is in it as missing.", panel=TABLES, type=list[str], metavar="COLUMN"),
    "weight": CommandOption(help="Column with the weight of each row.", panel=TABLES, metavar="COLUMN"),
    "drop_missing_target": _flag("Drop rows without a target instead of stopping at them.", TABLES),
    "scaling": CommandOption(
        help="Scaling of numeric columns: standard, robust, quantile, smooth or none.", panel=TABLES, shown="standard"
    ),
    "max_levels": CommandOption(
        help="Most categories of a column that get an input of their own; the rarer ones share one.", panel=TABLES, type=int, metavar="N", shown="64"
    ),
    "category_means": _flag(
        "Also give a column with more than 50 categories, or more than --max-levels, the mean of the target over the rows of each; the default ensemble always does.",
        TABLES, default=None,
    ),
    "memory_limit": CommandOption(
        help="Memory for the rows, such as 2GB. A larger Parquet or Arrow table is streamed, and a CSV file is converted first: see docs/scaling.md.",
        panel=TABLES, metavar="SIZE", shown="all rows are in memory",
    ),
    "delimiter": CommandOption(
        help="Character between the cells of a CSV file.", panel=TABLES, metavar="CHAR", shown="found from the file"
    ),
    "encoding": CommandOption(
        help="Encoding of a CSV file, such as latin-1.", panel=TABLES, shown="found from the file"
    ),
    "sheet": CommandOption(
        help="Sheet of a workbook (Excel, OpenDocument).", panel=TABLES, shown="the first that holds a table"
    ),
    "no_header": _flag("The first line of a CSV file or sheet is a row; the columns are called x0, x1, ...", TABLES),
    "data_dir": CommandOption(
        help="Folder with mnist/ and fashion-mnist/.", panel=DATA_SETS, metavar="FOLDER", shown="MANYNETS_DATA, else downloaded"
    ),
    "points": CommandOption(help="Training points of a 2-D set.", panel=DATA_SETS, type=int, metavar="N", shown="2,500"),
    "noise": CommandOption(
        help="Standard deviation of the noise of a 2-D set.", panel=DATA_SETS, type=float, metavar="SIGMA", shown="0"
    ),
}  # fmt: skip
"""The options of `manynets train` by name, with underscores."""

_NOT_OF_A_SWEEP = ("engine", "memory_limit", "threshold", "allow_world_size")
OF_A_SWEEP: dict[str, CommandOption] = {
    "grid": CommandOption(
        help="Values of an option of train: lr=1e-4:1e-1:log:12, dropout=0,0.2,0.5 or hidden=64,128-64. Repeat it for several options.",
        panel="Sweep", type=list[str], metavar="NAME=VALUES", shown="a random search, for a table",
    ),
    "n_candidates": CommandOption(
        help="Candidates that a random search draws around the default, in addition to the default itself.",
        panel="Sweep", type=int, metavar="N", shown="as many as it can train within --time-limit",
    ),
    "time_limit": CommandOption(
        help="Seconds that the sweep of a table may take; of its candidates it trains as many as fit.",
        panel="Sweep", type=float, metavar="SECONDS", shown="600 for a random search without --n-candidates, else none",
    ),
    "seeds": CommandOption(
        help="Seeds to train each candidate with, counted from --seed.", panel="Sweep", type=int, metavar="N", default=1, shown="1"
    ),
    "cv": CommandOption(
        help="Folds of cross-validation.", panel="Sweep", type=int, metavar="N", shown="none: score on the validation rows"
    ),
    "halving": _flag(
        "Successive halving: all candidates get a few epochs or steps, the best third of them three times as many, and so on.", "Sweep"
    ),
    "at_most": CommandOption(
        help="Networks trained together; results are written after each group. An ensemble is a group of its own.",
        panel="Sweep", type=int, metavar="N", default=64, shown="64",
    ),
    "resume": _flag("Resume an interrupted sweep; the results are those of an uninterrupted one.", "Sweep"),
    "scheduler": CommandOption(
        help="Train on the workers of a dask cluster, by the address of its scheduler (extra: dask).",
        panel="Sweep", metavar="tcp://HOST:PORT", shown="none: in this process",
    ),
    "storage": CommandOption(
        help="Share the candidates with other processes, which run the same command with another --out: a file or folder that all "
        "machines share, or the URL of a database, as in Optuna (extra: optuna).",
        panel="Sweep", metavar="URL", shown="none",
    ),
    "study_name": CommandOption(
        help="Name of the sweep in --storage.", panel="Sweep", metavar="NAME", shown="that of the data, with -sweep"
    ),
    "checkpoint_every": CommandOption(
        help="Write the state of the networks in training every N epochs, '500 steps', '30 s' or '10 min'.",
        panel="Sweep", metavar="N", shown="30 s",
    ),
}  # fmt: skip
SWEEP: dict[str, CommandOption] = {
    **OF_A_SWEEP,
    **{name: option for name, option in TRAIN.items() if name not in (*OF_A_SWEEP, *_NOT_OF_A_SWEEP)},
}
"""The options of `manynets sweep` by name: its own, and those of `train`."""


def left_out() -> dict[str, Any]:
    """Return the options of `train`, and its DATA, each with the value that it has when it is left out."""
    return {"data": None} | {name: option.default for name, option in TRAIN.items()}


def stored_shape() -> dict[Any, Any]:
    """Return what stored options of `train` look like, for `manynets.jsonfiles.check_shape`."""
    return {"?data": str} | {f"?{name}": [str] if option.type == list[str] else option.type for name, option in TRAIN.items()}


def takes(options: Mapping[str, CommandOption], *, data: inspect.Parameter, first: Sequence[str]) -> Callable[[Command], Command]:
    """Decorate a command `f(**options)`: typer then parses DATA and these options for it.

    first: the options that are used most, which help shows before all panels.
    """

    def with_parameters(command: Command) -> Command:
        parameters = [data, *_parameters(options, first)]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return command

    return with_parameters


def data_argument(annotation: Any, *, help: str) -> inspect.Parameter:
    """Return the argument DATA of a command."""
    hint = Annotated[annotation, arguments.argument("DATA", help=help)]
    default = inspect.Parameter.empty if annotation is str else None
    return inspect.Parameter("data", inspect.Parameter.KEYWORD_ONLY, annotation=hint, default=default)


def ordered(options: Mapping[str, CommandOption]) -> list[tuple[str, CommandOption]]:
    """Return options by name in the order in which help shows them: panel by panel."""

    def position(item: tuple[str, CommandOption]) -> tuple[int, int]:
        name, option = item
        return PANELS.index(option.panel), LEADING.index(name) if name in LEADING else len(LEADING)

    return sorted(options.items(), key=position)


def _parameters(options: Mapping[str, CommandOption], first: Sequence[str]) -> Iterable[inspect.Parameter]:
    """Yield the options as parameters for typer, those that are used most before the others."""
    for name, option in sorted(ordered(options), key=lambda item: first.index(item[0]) if item[0] in first else len(first)):
        info = _declared(name, option, rich_help_panel=None if name in first else option.panel)
        kind = option.type if option.default is not None else option.type | None
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, info], default=option.default)


def of_train(name: str) -> Any:
    """Return an option of `train` for the signature of another command."""
    return _declared(name, TRAIN[name])


def _declared(name: str, option: CommandOption, **more: Any) -> Any:
    return arguments.option(
        *(option.flags or (flag_of(name),)),
        metavar=option.metavar or " ",
        help=f"{option.help} [{option.shown}]" if option.shown else option.help,
        hidden=option.hidden,
        autocompletion=_completion(SPEC_OPTIONS[name].names) if name in SPEC_OPTIONS else None,
        **more,
    )


def _completion(names: Sequence[str]) -> Callable[[str], list[str]] | None:
    """Return what the shell completes the value of an option to, if it is a name."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete if names else None
