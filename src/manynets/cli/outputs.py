"""Files that commands write: nothing is replaced without --overwrite, and no other process writes the same name meanwhile."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from manynets.claims import claim
from manynets.errors import OptionError
from manynets.modelfile import is_stream
from manynets.runs import remove_leftovers


def check_output(path: str, *, overwrite: bool, option: str, example: str) -> None:
    """Raise OptionError where a file cannot be written: a folder, a file that exists, or one in a folder that does not exist.

    option: the one that names the file. example: of a file name, for the message.
    """
    if not path:
        raise OptionError(f"{option} is empty; name a file, such as {example}")
    if is_stream(path):
        return
    if os.path.isdir(path):
        raise OptionError(f"{path} is a folder; name a file with {option}, such as {os.path.join(path, example)}")
    if os.path.exists(path) and not overwrite:
        raise OptionError(f"the file {path} exists; give another one with {option}, or --overwrite to replace it")
    if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        raise OptionError(f"the folder {os.path.dirname(path)} does not exist; create it, or give another file with {option}")


@contextlib.contextmanager
def claimed_output(path: str | None, *, overwrite: bool, option: str, example: str) -> Iterator[None]:
    """Within this context, no other process writes the file, which is checked as by `check_output`; None for no file."""
    if path is None:
        yield
        return
    check_output(path, overwrite=overwrite, option=option, example=example)
    if is_stream(path):
        yield
        return
    with claim(path, remedy=f"give another file with {option}"):
        remove_leftovers(Path(os.path.realpath(path)))
        check_output(path, overwrite=overwrite, option=option, example=example)  # again, as another process may have made it
        yield
