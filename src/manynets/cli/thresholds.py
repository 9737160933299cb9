"""The option --threshold: above which probability the second of two classes is predicted, or what predictions cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from manynets.display import number_text
from manynets.errors import OptionError, one_of
from manynets.saved_model import SavedModel
from manynets.tasks import thresholds
from manynets.tasks.thresholds import THRESHOLD_METRICS, threshold_of

NamedCosts: TypeAlias = Mapping[tuple[str, str], float]
"""What predictions cost, by the names of the true and the predicted class; those that are not named cost 1, and right ones 0."""


def read_threshold(text: str, *, metrics: bool = False) -> Any:
    """Return what --threshold says: a number, costs, costs by the names of classes, or where they are allowed the name of a metric.

    >>> read_threshold("0.3"), read_threshold("1:4"), read_threshold("f1", metrics=True)
    (0.3, [[0.0, 1.0], [4.0, 0.0]], 'f1')
    >>> read_threshold("cat:dog:5,dog:cat:2")
    {('cat', 'dog'): 5.0, ('dog', 'cat'): 2.0}
    """
    if text in THRESHOLD_METRICS:
        if metrics:
            return text
        raise OptionError(f"--threshold is {text!r}, which is found on held-out rows in training; use it with manynets train")
    if text.lower().endswith(".csv"):
        return _costs_in(text)
    if (costs := _costs_named(text)) is not None:
        return costs
    try:
        numbers = [float(part) for part in text.split(":")]
        found: Any = numbers[0] if len(numbers) == 1 else [[0.0, numbers[0]], [numbers[1], 0.0]]
        if len(numbers) > 2:
            raise ValueError(text)
        threshold_of(found, None, None)
    except (ValueError, OptionError):
        names = f", or {' or '.join(THRESHOLD_METRICS)}" if metrics else ""
        raise OptionError(
            f"--threshold is {text!r}, but must be a number above 0 and below 1, or what a false alarm and a missed row cost, such as 1:5{names}; "
            "of more classes TRUE:PREDICTED:COST,..., each pair once, or a CSV file with a row for each true and a column for each predicted class"
        ) from None
    return found


def _costs_named(text: str) -> NamedCosts | None:
    """Return the costs that TRUE:PREDICTED:COST,... gives, None for another text; OptionError for two costs of one error."""
    found: dict[tuple[str, str], float] = {}
    for part in text.split(","):
        names = part.rsplit(":", 2)
        try:
            true, predicted, cost = names[0].strip(), names[1].strip(), float(names[2])
        except (IndexError, ValueError):
            return None
        if (true, predicted) in found:
            raise OptionError(f"--threshold is {text!r}, but gives the cost of {true}:{predicted} twice; give it once")
        found[true, predicted] = cost
    return found


def _costs_in(path: str) -> NamedCosts:
    """Return the costs in a CSV file: a row for each true class, a column for each predicted one, and their names before and above them."""
    import csv

    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = [line for line in csv.reader(file) if any(map(str.strip, line))]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or error
        raise OptionError(f"--threshold is {path!r}, which cannot be read: {why}") from error
    predicted = [name.strip() for name in lines[0][1:]] if lines else []
    true = [line[0].strip() for line in lines[1:]]
    square = len(set(true)) == len(true) == len(lines) - 1 and sorted(true) == sorted(predicted)
    if not true or not square or any(len(line) != len(lines[0]) for line in lines):
        raise OptionError(
            f"{path} must have the same classes as rows, the true ones, and as columns, the predicted ones, each once"
        )
    try:
        costs = [[float(cell) for cell in line[1:]] for line in lines[1:]]
    except ValueError as error:
        raise OptionError(f"{path} must have costs as numbers: {error}") from None
    return {
        (row, column): cost for row, line in zip(true, costs, strict=True) for column, cost in zip(predicted, line, strict=True)
    }


def threshold_for(task: Any, text: str, *, names: Sequence[str] | None = None, metrics: bool = False) -> Any:
    """Return what --threshold says for a task, as `manynets.tasks.thresholds.with_threshold` takes it; OptionError where it does not fit.

    names: of the classes; None: the classes.
    """
    wanted = read_threshold(text, metrics=metrics)
    classes = getattr(task, "classes", None)
    if isinstance(wanted, Mapping) and classes is not None:  # by name
        labels = [str(label) for label in names or classes]
        for name in {name: None for pair in wanted for name in pair}:
            one_of(name, labels, what="a class of --threshold")
        if text.lower().endswith(".csv") and (missing := [name for name in labels if (name, name) not in wanted]):
            raise OptionError(f"{text} has no row and column of {', '.join(missing)}, but must have each class of the target")
        wanted = [[wanted.get((true, predicted), float(true != predicted)) for predicted in labels] for true in labels]
        _refuse_cheap_errors(wanted, labels)
    elif task.name == "multiclass":
        raise OptionError(
            f"--threshold is {text!r}, but is for two classes; for {len(task.classes)} give what errors cost, TRUE:PREDICTED:COST,..., or a CSV file"
        )
    elif task.name != "binary":
        raise OptionError(f"--threshold is {text!r}, but thresholds are for one class per row, and this is a {task.name} model")
    if not isinstance(wanted, str):
        thresholds.with_threshold(task, wanted)
    return wanted


def _refuse_cheap_errors(costs: list[list[float]], names: Sequence[str]) -> None:
    """Raise OptionError for an error that costs no more than being right about the class."""
    for right, (name, line) in enumerate(zip(names, costs, strict=True)):
        for predicted, cost in zip(names, line, strict=True):
            if predicted != name and not cost > line[right]:
                raise OptionError(
                    f"--threshold gives {name}:{predicted}:{cost:g}, but an error must cost more than being right about {name!r},"
                    f" which costs {line[right]:g}"
                )


def with_threshold(model: Any, text: str | None, *, names: Sequence[str] | None = None) -> Any:
    """Return a model, or one as its file has it, with the threshold of --threshold, which needs no rows; None: its own. names: of the classes."""
    if text is None:
        return model
    wanted = threshold_for(model.task, text, names=names)
    if isinstance(model, SavedModel):
        return dataclasses.replace(model, task=thresholds.with_threshold(model.task, wanted))
    return model.with_threshold(wanted)


def threshold_words(task: Any, *, names: Sequence[str] | None = None) -> str | None:
    """Return by what rule a task predicts a class, None where it is the most probable one. names: of the classes.

    >>> from manynets.tasks import Binary
    >>> threshold_words(Binary(("no", "yes"), threshold=0.2))
    "'yes' is predicted above a probability of 0.2000"
    """
    if getattr(task, "threshold", 0.5) != 0.5:
        return f"{(names or task.classes)[1]!r} is predicted above a probability of {number_text(task.threshold)}"
    if getattr(task, "costs", None) is not None:
        return "the class with the least expected cost is predicted, by the costs of --threshold"
    return None
