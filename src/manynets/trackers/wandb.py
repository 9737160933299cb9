"""Runs of Weights & Biases."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from manynets.errors import optional_module
from manynets.spec.flat import Flat
from manynets.trackers.tracker import Sink, Tracker


@dataclasses.dataclass(kw_only=True)
class WandB(Tracker):
    """A tracker that writes runs of Weights & Biases (extra `wandb`).

    project: that the runs belong to; None: WANDB_PROJECT, or "manynets". mode: "online", "offline" (`wandb sync` uploads the files later) or
    "disabled"; None: WANDB_MODE, or online. folder: of the files; None: WANDB_DIR, or ./wandb.

    >>> import manynets as mn
    >>> mn.trackers.WandB(project="houses", mode="offline").project
    'houses'
    """

    project: str | None = None
    mode: Literal["online", "offline", "disabled"] | None = None
    folder: str | os.PathLike[str] | None = None

    @staticmethod
    def package() -> Any:
        """Return the module wandb."""
        return optional_module("wandb", extra="wandb", purpose="the tracker WandB")

    def open(self) -> Sink:
        wandb = self.package()
        run = wandb.init(
            project=self.project or os.environ.get("WANDB_PROJECT") or "manynets",
            name=self.name,
            mode=self.mode,
            dir=None if self.folder is None else os.fspath(self.folder),
            reinit="create_new",
        )
        return _WandBRun(wandb, run)


class _WandBRun(Sink):
    def __init__(self, wandb: Any, run: Any) -> None:
        self.wandb, self.run = wandb, run

    def parameters(self, values: Flat) -> None:
        self.run.config.update(dict(values), allow_val_change=True)

    def curves(self, values: Mapping[str, float], *, step: int) -> None:
        self.step = step
        self.run.log(dict(values), step=step)

    def metrics(self, values: Mapping[str, float]) -> None:
        self.run.summary.update(dict(values))

    def picture(self, path: Path) -> None:
        self.run.log({path.stem: self.wandb.Image(str(path))}, step=self.step)

    def file(self, path: Path) -> None:
        kind = "model" if path.suffix == ".safetensors" else "file"
        artifact = self.wandb.Artifact(f"{self.run.id}-{path.stem}", type=kind)
        artifact.add_file(str(path), name=path.name)
        self.run.log_artifact(artifact)

    def table(self, names: Sequence[str], rows: Sequence[Sequence[Any]], path: Path) -> None:
        self.run.log({"networks": self.wandb.Table(columns=list(names), data=[list(row) for row in rows])}, step=self.step)
        self.file(path)

    def close(self, *, failed: bool) -> None:
        self.run.finish(exit_code=int(failed))
