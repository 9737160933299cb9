"""`manynets sweep`: its options are those of `train`, and some of its own. What it does is in `manynets.cli.sweeping`."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, get_type_hints

import typer

from manynets.cli.train import train

__all__ = ["sweep"]

_PANEL = "Sweep"
_NOT_HERE = {"resume", "checkpoint_every", "engine", "data", "n_networks"}


def _option(*names: str, metavar: str = " ", help: str) -> Any:
    return typer.Option(*names, metavar=metavar, help=help.replace("[", "\\["), rich_help_panel=_PANEL, show_default=False)


_OWN: dict[str, tuple[Any, Any]] = {
    "data": (
        Annotated[str, typer.Argument(metavar="DATA", help="As for manynets train.", show_default=False)],
        inspect.Parameter.empty,
    ),
    "grid": (
        Annotated[
            list[str] | None,
            _option(
                "--grid",
                metavar="NAME=VALUES",
                help="Values of an option of train: lr=1e-4:1e-1:log:12, dropout=0,0.2,0.5 or hidden=64,128-64; may be repeated.",
            ),
        ],
        None,
    ),
    "seeds": (Annotated[int, _option("--seeds", metavar="N", help="Train each with so many seeds, from --seed on. [1]")], 1),
    "cv": (
        Annotated[
            int | None,
            _option("--cv", metavar="N", help="Cross-validate on so many folds. [no: score on the rows of --validation]"),
        ],
        None,
    ),
    "halving": (
        Annotated[
            bool,
            _option("--halving", help="Successive halving: all get a few epochs, the best third of them three times as many, ..."),
        ],
        False,
    ),
    "at_most": (
        Annotated[
            int, _option("--at-most", metavar="N", help="Networks trained together; the results are written after each part. [64]")
        ],
        64,
    ),
    "resume": (
        Annotated[bool, _option("--resume", help="Go on with a sweep that was interrupted, as if it had not been.")],
        False,
    ),
    "checkpoint_every": (
        Annotated[
            str | None,
            _option(
                "--checkpoint-every",
                metavar="N",
                help="Write the state of what is being trained every N epochs, '500 steps', '30 s' or '10 min'. [30 s]",
            ),
        ],
        None,
    ),
}


def sweep(**options: Any) -> None:
    """Train a grid of different networks together, and write what came of each, the best, and pictures.

    \b
    manynets sweep digits --grid lr=1e-4:1e-1:log:12 --grid dropout=0,0.2,0.5
    manynets sweep houses.csv --target price --grid hidden=32,64-64 --seeds 4 --cv 5 --halving

    The folder has results.csv, best/ (a run folder as train writes it) and pictures. All options of train can be given.
    """
    from manynets.cli.sweeping import run_sweep

    run_sweep(options)


def _parameters() -> list[inspect.Parameter]:
    keyword = inspect.Parameter.KEYWORD_ONLY
    own = [inspect.Parameter(name, keyword, annotation=hint, default=default) for name, (hint, default) in _OWN.items()]
    hints = get_type_hints(train, include_extras=True)
    rest = [
        parameter.replace(kind=keyword, annotation=hints[name])
        for name, parameter in inspect.signature(train).parameters.items()
        if name not in _NOT_HERE
    ]
    return own + rest


sweep.__signature__ = inspect.Signature(_parameters())  # type: ignore[attr-defined]
sweep.__annotations__ = {parameter.name: parameter.annotation for parameter in _parameters()}
