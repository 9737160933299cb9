"""The command line: one function for each command, `train`, `sweep`, `rerun` and so on.

The commands parse, call the library and print. They import what they need when they run, so that help is quick.
"""

from __future__ import annotations

import atexit
import errno
import functools
import gc
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from manynets.cli.compare import compare
from manynets.cli.datasets import datasets
from manynets.cli.doctor import doctor
from manynets.cli.evaluate import evaluate
from manynets.cli.explain import explain
from manynets.cli.export import export
from manynets.cli.help import in_panels, panel_of
from manynets.cli.html_report import report
from manynets.cli.inspect import inspect
from manynets.cli.playground import playground
from manynets.cli.plot import plot
from manynets.cli.predict import predict
from manynets.cli.rerun import rerun
from manynets.cli.serve import serve
from manynets.cli.show import show
from manynets.cli.signals import Stopped, handled_signals
from manynets.cli.streams import steady_streams
from manynets.cli.study import study
from manynets.cli.sweep import sweep
from manynets.cli.train import train
from manynets.errors import DivergenceError, ManynetsError
from manynets.renames import OPTIONS

__all__ = ["app", "command_line", "main"]

_HOME = re.compile(r"\A(--(?:out|output|data-dir|test|resume|plot|storage)=)(~(?:/.*)?)\Z", re.DOTALL)
"""A path behind =, where the shell leaves ~ as it is."""
_FORMER = {old.replace("_", "-"): new.replace("_", "-") for old, new in OPTIONS.items()}
"""Options that had another name in version 0.1."""
_NUMBERS = {"float_parsing": "a number", "int_parsing": "a whole number", "float": "a number", "integer": "a whole number"}
_NO_NUMBER = re.compile(r"(.*) is not a valid (float|integer)\.", re.DOTALL)
"""What older releases of typer say."""

app = typer.Typer(
    name="manynets",
    help="Train feed-forward networks on a table, on arrays or on a built-in data set, and use them.",
    epilog="First steps: manynets train digits, then manynets show runs/digits-1.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = (
    train, sweep, rerun, evaluate, compare, explain, report, predict, export, serve, playground, inspect, show, plot, datasets, study, doctor,
)  # fmt: skip
for command in COMMANDS:
    settings = {"token_normalize_func": lambda option: _FORMER.get(option, option)}
    app.command(context_settings=settings, rich_help_panel=panel_of(command.__name__))(command)


def _version(asked: bool) -> None:
    if asked:
        from manynets import __version__, core

        print(f"manynets {__version__}, {core.description()}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", help="Show the version and exit.", callback=_version, is_eager=True),
) -> None:
    pass


@functools.cache
def command_line() -> Any:
    """Return the parser of all commands, with their options in panels."""
    return in_panels(typer.main.get_command(app))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with 0 (done), 2 (user error: one line on stderr), 3
    (the training, or all of its networks, diverged), 130 (interrupted), 143 (terminated) or
    1 (a bug)."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch is loaded: its threads then sleep while they wait
    usage_error: Any = typer.BadParameter.__mro__[2]  # the base of all that the parser raises, whatever typer's version
    command = command_line()
    with _rare_collections(), steady_streams() as failed:
        code = _run(command, arguments, usage_error)
        sys.stdout.flush()
        if failed:
            code = _print_error(f"standard output cannot be written: {failed[0].strerror}")
    sys.exit(code)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for reference cycles after every 5,000 new objects instead of 700, and no more at the exit.

    The imports make many objects that stay; looking through them took a sixth of the start of a command, and 0.3 s at its end.
    """
    before = gc.get_threshold()
    gc.set_threshold(5000, *before[1:])
    atexit.register(gc.freeze)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _run(command: Any, arguments: Sequence[str] | None, usage_error: Any) -> int:
    """Run a command; print its error, if it has one, and return its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        with handled_signals():
            null = next((word for word in given if "\0" in word), None)
            if null is not None:
                return _print_error(f"the argument {null!r} holds a null character, which no name or path can hold; leave it out")
            expanded = [_HOME.sub(lambda found: found[1] + os.path.expanduser(found[2]), word) for word in given]
            code = command.main(expanded, prog_name="manynets", standalone_mode=False)
    except MemoryError as error:
        return _print_error(f"not enough memory: {error or 'none is left'}; use smaller layers, or fewer rows or columns")
    except DivergenceError as error:
        _print_error(str(error))
        return 3
    except ManynetsError as error:
        return _print_error(str(error))
    except OSError as error:
        refused = isinstance(error, PermissionError) or error.errno == errno.EROFS
        fix = "; change its permissions, or give another file or folder" if refused else ""
        return _print_error(f"{error.filename}: {error.strerror}{fix}" if error.filename and error.strerror else str(error))
    except usage_error as error:
        text = _usage_text(error)
        see = " See:" if text.endswith("?") else "; see:"
        return _print_error(f"{text.rstrip('.')}{see} {_help_of(error, given)}") if text else 2
    except (KeyboardInterrupt, typer.Abort, Stopped) as error:
        stopped = error if isinstance(error, Stopped) else Stopped(signal.SIGINT)
        sys.stderr.write(f"{stopped.text}\n")
        return 128 + stopped.number
    return code if isinstance(code, int) else 0


def _usage_text(error: Any) -> str:
    """Return the message of a usage error. Those of typer about numbers lack the value that was found, or what is allowed."""
    if getattr(error, "param", None):
        option = max(error.param.opts, key=len)
        problems: Any = getattr(error.__cause__, "errors", list)()
        if problems and (allowed := _NUMBERS.get(problems[0]["type"])):
            return f"{option} is {problems[0]['input']!r}, but must be {allowed}"
        if found := _NO_NUMBER.fullmatch(error.message):
            return f"{option} is {found[1]}, but must be {_NUMBERS[found[2]]}"
    return str(error.format_message())


def _help_of(error: object, given: Sequence[str]) -> str:
    """Return the help to read after a usage error, some of which do not know their command."""
    context = getattr(error, "ctx", None)
    if context is None and given and not given[0].startswith("-"):  # the option of a command, as an unknown command has a context
        return f"manynets {given[0]} --help"
    return f"{context.command_path if context else 'manynets'} --help"


def _print_error(message: str) -> int:
    """Print an error in one line, with options in place of fields and arguments; return the exit code."""
    from manynets.cli.wording import in_flags

    sys.stderr.write(f"error: {in_flags(message)}\n")
    return 2
