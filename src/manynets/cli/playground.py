"""`manynets playground`: watch networks learn, in the browser."""

from __future__ import annotations

from typing import Annotated

from manynets.cli.arguments import argument, option
from manynets.cli.options import of_train
from manynets.cli.origin import with_notes
from manynets.cli.report import console_for, note
from manynets.errors import OptionError, one_of


def playground(
    file: Annotated[str | None, argument("FILE", help="A table to begin with: a file of any kind that train reads.")] = None,
    target: Annotated[str | None, option(metavar="COLUMN", help="Column of FILE to predict.")] = None,
    sheet: Annotated[str | None, of_train("sheet")] = None,
    port: Annotated[int, option(metavar="N", help="Port to listen on. [any free one]")] = 0,
    no_browser: Annotated[bool, option("--no-browser", help="Only print the address; open no browser.")] = False,
) -> None:
    """Watch networks learn, on a page in the browser.

    \b
    manynets playground
    manynets playground houses.csv --target price

    The page shows the data, the network and what it predicts, while the network is trained on this machine. Build a network, drop a table
    on the page, draw points or digits; then copy what you have built as Python. Only this machine can reach the page, and only with the
    address that is printed.
    """
    from manynets.playground import require_playground

    require_playground()
    from manynets.playground.app import free_port, run_playground
    from manynets.playground.files import Files

    if target is not None and file is None:
        raise OptionError("--target names a column of FILE; give one, as in manynets playground houses.csv --target price")
    if sheet is not None and file is None:
        raise OptionError("--sheet names a sheet of FILE; give one, as in manynets playground houses.xlsx --sheet 2024")
    files = Files()
    if file is not None:
        _, notes = with_notes(lambda: files.open(file, sheet=sheet))
        note(console_for(), *notes)
        if target is not None:
            one_of(target, files.get(files.first).frame.columns, what="target")
    port = free_port(port)
    run_playground(files, port=port, target=target or "", browser=not no_browser, tell=_tell)


def _tell(address: str) -> None:
    print(f"The playground is at {address} (good for one browser; Ctrl-C ends it)", flush=True)
