"""The command line: `manynets train`, `evaluate`, `predict`, `show`, `plot`, `datasets` and `study`.

This room only parses, calls and prints. Its commands import what they need when they run, so that help is quick.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import typer

from manynets.cli.datasets import datasets
from manynets.cli.evaluate import evaluate
from manynets.cli.plot import plot
from manynets.cli.predict import predict
from manynets.cli.show import show
from manynets.cli.study import study
from manynets.cli.train import train
from manynets.errors import ManynetsError

__all__ = ["app", "main"]

app = typer.Typer(
    name="manynets",
    help="Train feed-forward networks on a table, on arrays or on a data set by name, and use them.",
    epilog="First steps: manynets train digits, then manynets show runs/digits-1.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (train, evaluate, predict, show, plot, datasets, study):
    app.command()(command)


def _version(asked: bool) -> None:
    if asked:
        from manynets import __version__

        print(f"manynets {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", help="Show the version and exit.", callback=_version, is_eager=True),
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 a mistake of the user's (one line on stderr), 130 interrupted, 1 a fault of ours."""
    usage_error: Any = typer.BadParameter.__mro__[2]  # the base of all that the parser raises, whatever typer's version
    command = typer.main.get_command(app)
    try:
        code = command.main(None if arguments is None else list(arguments), prog_name="manynets", standalone_mode=False)
    except BrokenPipeError:  # `manynets datasets | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except ManynetsError as error:
        code = _told(str(error))
    except OSError as error:
        code = _told(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
    except usage_error as error:
        text = error.format_message()
        code = _told(f"{text.rstrip('.')}; see: {_help_of(error)}") if text else 2
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("interrupted; nothing was written\n")
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


def _help_of(error: object) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context else 'manynets'} --help"


def _told(message: str) -> int:
    """Write the one line of an error; a field of a specification is called by its option."""
    from manynets.cli.recipe import option_of

    line = " ".join(message.split())
    field = re.match(r"([A-Z]\w+)\.(\w+) is ", line)
    option = option_of(field[1], field[2]) if field else None
    if field and option:
        line = f"{option} is {line[field.end() :]}"
    sys.stderr.write(f"error: {line}\n")
    return 2
