"""Which part of a study is running, shown on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def in_turn(items: Iterable[Item], what: str) -> Iterator[Item]:
    """Yield the items, and show a bar on stderr while they are worked on, if that is a terminal. what: a name for them, such as "draws".

    >>> list(in_turn(range(3), "draws"))
    [0, 1, 2]
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield from progress.track(list(items), description=what)
