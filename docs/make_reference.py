"""Write the pages of the reference that follow from the code: the API from `__all__`, the commands from the command line.

`conf.py` calls it before each build of the site. It writes reference/api/*.md and reference/commands.md, which git ignores.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import manynets
from manynets.cli import command_line


@dataclass(frozen=True, kw_only=True)
class ApiPage:
    """A page of the API: names of a module; without names, all that its `__all__` lists."""

    file: str
    title: str
    about: str
    module: str = "manynets"
    names: tuple[str, ...] = ()


PAGES = (
    ApiPage(file="train", title="Training and models", about="Train a network or many, save, load and evaluate.",
            names=("train", "train_many", "Model", "Result", "joined", "load", "estimator", "network", "Checkpoint", "Divergence", "Metric")),
    ApiPage(file="spec", title="Networks and recipes", about="What is trained and how: data classes that hold no torch, and convert to JSON.",
            names=("MLP", "Recipe", "EarlyStopping", "ParameterGroup", "PiecewiseLinear", "Periodic")),
    ApiPage(file="optimizers", title="Optimizers and schedules", about="Fields of `mn.Recipe`.",
            names=("SGD", "Adam", "AdamW", "NAdam", "RMSprop", "Adagrad", "Lion", "Constant", "Cosine", "OneCycle", "Warmup", "StepDecay",
                   "Exponential", "InverseScaling", "PiecewiseConstant", "ReduceOnPlateau")),
    ApiPage(file="estimators", title="Estimators", about="scikit-learn's interface. The guide is [From scikit-learn's MLP](../../sklearn.md).",
            names=("TabularClassifier", "TabularRegressor", "MLPClassifier", "MLPRegressor", "MLPSearchCV")),
    ApiPage(file="events", title="Events", about="What a callback is called with during training.",
            names=("Callback", "Event", "Started", "Advanced", "Evaluated", "Finished")),
    ApiPage(file="errors", title="Errors and warnings", about="What is raised, and when. The guide is [Errors and what to do](../errors.md).",
            names=("ManynetsError", "DataError", "OptionError", "ModelFileError", "MissingExtraError", "CheckpointWarning", "DataScaleWarning",
                   "DivergenceWarning", "InterruptedWarning", "LeakWarning", "RankError")),
)  # fmt: skip
PACKAGES = {
    "tasks": ("Tasks", "What the target means: encoding, loss, prediction, metrics."),
    "datasets": ("Data sets", "Toys, digits, MNIST and tables by name."),
    "tables": ("Tables", "Read a table, understand its columns, and turn them into numbers."),
    "explain": ("Explaining", "What a model relies on."),
    "plots": ("Pictures", "Each function draws on matplotlib axes and returns them; [Pictures](../../gallery.md) shows them all."),
    "export": ("Export", "Models for other programs."),
    "trackers": ("Trackers", "Callbacks that write to TensorBoard, MLflow and Weights & Biases."),
    "distributed": ("Several processes", "One training in several processes; see [Scaling](../../scaling.md)."),
    "metrics": ("Metrics", "Scores of predictions, in NumPy."),
}
"""Public packages with a page of their own, with its title and what it is about; others have their name as the title."""


NOT_OURS = ("BaseEstimator", "ClassifierMixin", "RegressorMixin", "MultiOutputMixin", "MetaEstimatorMixin")
"""Classes of scikit-learn whose methods the pages of the estimators leave out."""
ROUTING = ("get_metadata_routing", *(f"set_{name}_request" for name in ("fit", "partial_fit", "predict", "predict_proba", "score")))
"""Methods that scikit-learn writes into every estimator."""


def pages() -> list[ApiPage]:
    """Return all pages of the API; ValueError for a public name that is on none."""
    rooms = [name for name in dir(manynets) if isinstance(getattr(manynets, name), types.ModuleType)]
    found = list(PAGES)
    for room in sorted(rooms, key=lambda name: list(PACKAGES).index(name) if name in PACKAGES else len(PACKAGES)):
        title, about = PACKAGES.get(room, (room.capitalize(), ""))
        found.append(ApiPage(file=room, title=title, about=about, module=f"manynets.{room}"))
    listed = {name for page in found for name in _names(page)}
    missing = sorted(set(manynets.__all__) - listed)
    if missing:
        raise ValueError(f"docs/make_reference.py: no page of PAGES lists {missing}")
    return found


def write(folder: Path) -> None:
    """Write api/*.md and commands.md into a folder."""
    api = folder / "api"
    api.mkdir(exist_ok=True)
    every = pages()
    for page in every:
        _put(api / f"{page.file}.md", api_page(page))
    entries = "\n".join(page.file for page in every)
    rows = "\n".join(f"| [{page.title}]({page.file}.md) | {', '.join(f'`{name}`' for name in _names(page))} |" for page in every)
    _put(
        api / "index.md",
        "# API\n\nNames of `manynets` itself (`import manynets as mn`), and the packages that are used by name, such as "
        f"`mn.datasets`.\n\n| page | names |\n|---|---|\n{rows}\n\n```{{toctree}}\n:hidden:\n\n{entries}\n```\n",
    )
    _put(folder / "commands.md", commands_page())


def _put(path: Path, text: str) -> None:
    """Write a file if its text differs: Sphinx reads again what has a new date."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _names(page: ApiPage) -> tuple[str, ...]:
    return page.names or tuple(importlib.import_module(page.module).__all__)


def api_page(page: ApiPage) -> str:
    """Return the Markdown of a page of the API."""
    module = importlib.import_module(page.module)
    names = _names(page)
    described = [name for name in names if callable(getattr(module, name)) and hasattr(getattr(module, name), "__name__")]
    summary = "\n".join(f"   {name}" for name in described)
    return (
        f"# {page.title}\n\n{page.about}\n\n```{{eval-rst}}\n.. currentmodule:: {page.module}\n\n"
        f".. autosummary::\n   :nosignatures:\n\n{summary}\n\n" + "\n".join(_directive(module, name) for name in names) + "```\n"
    )


def _directive(module: types.ModuleType, name: str) -> str:
    """Return the directive that documents a name."""
    value = getattr(module, name)
    if inspect.isclass(value) and issubclass(value, BaseException):
        return f".. autoexception:: {name}\n   :no-members:\n"
    if inspect.isclass(value):
        return f".. autoclass:: {name}\n   :members:\n   :inherited-members: {', '.join(NOT_OURS)}\n   :exclude-members: {', '.join(ROUTING)}\n"
    if callable(value) and hasattr(value, "__name__"):
        return f".. autofunction:: {name}\n"
    if isinstance(value, Mapping):
        items = ", ".join(f"{key}: {getattr(one, '__name__', one)}" for key, one in value.items())
    elif isinstance(value, tuple | list | frozenset):
        items = ", ".join(str(one) or "(empty)" for one in value)
    else:
        items = "" if " object at 0x" in str(value) else str(value)  # an address says nothing
    return f".. py:data:: {name}\n\n   ``{items}``\n" if items else f".. autodata:: {name}\n   :no-value:\n"


def commands_page() -> str:
    """Return the Markdown of the page of all commands, from their help."""
    group = command_line()
    parts = [
        "# Commands\n\nThe help of each command, `manynets COMMAND --help`. [Options](../options.md) says what the options of `train` and "
        "`sweep` set, and which values they take."
    ]
    parts += [f"## {name}\n\n```text\n{help_text(name)}\n```" for name in group.commands]
    return "\n\n".join(parts) + "\n"


def help_text(command: str) -> str:
    """Return the help of a command as text, 88 characters wide."""
    import os
    from unittest import mock

    out = io.StringIO()
    with mock.patch.dict(os.environ, {"COLUMNS": "88", "TERM": "dumb", "NO_COLOR": "1"}), contextlib.redirect_stdout(out):
        command_line().main([command, "--help"], prog_name="manynets", standalone_mode=False)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n")
