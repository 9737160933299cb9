"""Runs for TensorBoard: event files in a folder."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from manynets.display import html_table
from manynets.errors import optional_module
from manynets.spec.flat import Flat
from manynets.trackers.tracker import Sink, Tracker

MOST_LINES = 1000


@dataclasses.dataclass(kw_only=True)
class TensorBoard(Tracker):
    """A tracker that writes event files (extra `tensorboard`); look at them with `tensorboard --logdir FOLDER`.

    folder: of the runs; each gets a folder of its own in it, NAME, NAME-2, NAME-3 and so on, with the files that `log` adds.

    >>> import manynets as mn
    >>> mn.trackers.TensorBoard(folder="logs", name="houses")
    TensorBoard(name='houses', folder='logs')
    """

    folder: str | os.PathLike[str] = "tensorboard"

    @staticmethod
    def package() -> Any:
        """Return the module torch.utils.tensorboard."""
        purpose = "the tracker TensorBoard"
        return optional_module("torch.utils.tensorboard", package="tensorboard", extra="tensorboard", purpose=purpose)

    def open(self) -> Sink:
        writer = self.package().SummaryWriter
        folder = free_folder(Path(self.folder), self.name)
        return _EventFiles(folder, writer(str(folder)))


def free_folder(parent: Path, name: str) -> Path:
    """Make and return the first free folder parent/name, parent/name-2, ..., which no other process has."""
    parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise AssertionError("the numbers do not end")


class _EventFiles(Sink):
    def __init__(self, folder: Path, writer: Any) -> None:
        self.folder, self.writer = folder, writer
        self.taken: Flat = {}

    def parameters(self, values: Flat) -> None:
        self.taken |= values  # the page shows the last text of a name
        rows = [(name, "" if value is None else str(value)) for name, value in self.taken.items()]
        text = html_table(["parameter", "value"], rows)
        self.writer.add_text("parameters", text, self.step)

    def metrics(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, self.step)

    def picture(self, path: Path) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        data = path.read_bytes()
        width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))  # of the header that every PNG file has
        image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=data)
        self.writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=path.stem, image=image)]), self.step)

    def file(self, path: Path) -> None:
        shutil.copyfile(path, self.folder / path.name)

    def table(self, names: Sequence[str], rows: Sequence[Sequence[Any]], path: Path) -> None:
        more = "" if len(rows) <= MOST_LINES else f" (the first {MOST_LINES:,} of {len(rows):,}; {path.name} has all)"
        self.writer.add_text("networks", html_table(names, rows[:MOST_LINES], title=f"Networks{more}"), self.step)
        self.file(path)

    def close(self, *, failed: bool) -> None:
        self.writer.close()
