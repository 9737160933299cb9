"""Messages of the library in the words of the command line: options in place of fields and arguments."""

from __future__ import annotations

import re

from manynets.cli.recipe import flag_of
from manynets.spec.options import OPTIONS, option_of

_COLUMN_OPTIONS = {"drop": "--drop", "groups": "--group", "times": "--time-column"}
_OTHERS = (
    "allow_world_size", "class_weight", "delimiter", "drop_missing_target", "encoding", "engine", "memory_limit", "metric",
    "n_networks", "positive", "sheet", "target", "target_transform", "task", "test_fraction", "time_limit", "validation",
)  # fmt: skip
_NAMES = "|".join(sorted({*OPTIONS, *_OTHERS}, key=len, reverse=True))


def in_flags(text: str) -> str:
    """Return a message in one line, with options in place of fields and arguments.

    >>> in_flags("y holds 400 different numbers; use task='regression'")
    'y holds 400 different numbers; use --task regression'
    >>> in_flags("batch_size is 4000, but there are 320 training rows; use at most 320, or None")
    '--batch-size is 4000, but there are 320 training rows; use at most 320, or leave it out'
    """
    line = " ".join(text.split())
    field = re.match(r"([A-Z]\w+)\.(\w+) is ", line)
    if field and (option := option_of(field[1], field[2])):
        line = f"{flag_of(option.name)} is {line[field.end() :]}"
    start = re.match(rf"({_NAMES}) (is|of the task) ", line)
    if start:
        line = flag_of(start[1]) + line[start.end(1) :]
    line = re.sub(r"(--[\w-]+ is .*), or None$", r"\1, or leave it out", line)
    line = re.sub(rf"\b({_NAMES})='([^']*)'", lambda found: f"{flag_of(found[1])} {_quoted(found[2])}", line)
    line = re.sub(rf"\b({_NAMES})=True\b", lambda found: flag_of(found[1]), line)
    line = re.sub(rf"\b(use|give|with) ({_NAMES})=(\d[\d.e-]*\b)", lambda found: f"{found[1]} {flag_of(found[2])} {found[3]}", line)
    line = re.sub(rf"\b(leave out|give) ({_NAMES})\b(?!=)", lambda found: f"{found[1]} {flag_of(found[2])}", line)
    line = re.sub(r"\b([Dd])eclare (?:it|them|the column) (numeric or )?(categorical|numeric)( before fitting)?", _declared, line)
    line = line.replace("header=False", "--no-header")
    line = re.sub(r"\bmn\.tables\.read_table\(path, (--.*?)\) reads", r"give \1 to read", line)
    line = re.sub(r"\b(drop|groups|times)=(?:frame)?\[(?:'([^']*)'|\"([^\"]*)\")\]", _of_column, line)
    line = re.sub(r"^(groups|times) is ", lambda found: f"{_COLUMN_OPTIONS[found[1]]} is ", line)
    line = re.sub(r"^sample_weight is |(?<=use )sample_weight$", lambda found: found[0].replace("sample_weight", "--weight"), line)
    line = line.replace("give another loss, or a network and a recipe", "give another loss, or --preset plain")
    line = line.replace("a smaller learning rate or clip_norm=1.0", "a smaller --lr or --clip-norm 1")
    line = line.replace("or give the right delimiter", "or give the right --delimiter")
    line = line.replace("with drop_missing_target", "with --drop-missing-target")
    return line.replace(": sheet is for", ": --sheet is for")


def _of_column(found: re.Match[str]) -> str:
    return f"{_COLUMN_OPTIONS[found[1]]} {_quoted(found[2] or found[3])}"


def _quoted(value: str) -> str:
    return value if re.fullmatch(r"[\w.-]+", value) else f'"{value}"'


def _declared(found: re.Match[str]) -> str:
    give = "train with" if found[4] else "Give" if found[1] == "D" else "give"
    return f"{give} --numeric or --categorical" if found[2] else f"{give} --{found[3]}"
