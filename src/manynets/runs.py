"""Run folders: the model, everything needed to repeat the run, its history, metrics and pictures. They are written all or nothing.

model.safetensors   the model, see `manynets.model.load`
config.json         data and its fingerprint, network, recipe, versions
history.csv         one line per evaluation
metrics.json        metrics on the training, validation and test rows
*.png               pictures
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from manynets.errors import ManynetsError, ModelFileError, OptionError
from manynets.model import Model, load

__all__ = ["FORMAT", "SavedRun", "check_run_folder", "free_run_folder", "plain_json", "read_run", "write_run"]

FORMAT = 1
MODEL, CONFIG, HISTORY, METRICS = "model.safetensors", "config.json", "history.csv", "metrics.json"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SavedRun:
    """A run as read from its folder."""

    folder: Path
    model: Model
    config: dict[str, Any]
    metrics: dict[str, Any]

    @property
    def files(self) -> list[str]:
        """Names of the files, sorted."""
        return sorted(entry.name for entry in self.folder.iterdir())


def free_run_folder(stem: str, *, within: str | os.PathLike[str] = "runs") -> Path:
    """Return `within`/`stem`-n with the first n from 1 that no file, folder or unfinished run (`stem`-n.part) has."""
    number = 1
    while any(os.path.lexists(Path(within) / f"{stem}-{number}{end}") for end in ("", ".part")):
        number += 1
    return Path(within) / f"{stem}-{number}"


def check_run_folder(folder: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Raise OptionError if a run cannot be written to `folder`: it exists, is not a run, or its parent is not writable.

    With overwrite, an existing run or an empty folder may be replaced, but nothing else.
    """
    target = Path(folder)
    if os.path.lexists(target):
        if not overwrite:
            raise OptionError(f"the run folder {target} exists; give another one with --out, or --overwrite to replace it")
        foreign = _foreign_files(target)
        if foreign:
            raise OptionError(
                f"{target} is not replaced, because it holds what does not belong to a run: {foreign[0]}; choose another folder"
            )
    parent = target.absolute().parent
    while not parent.exists():
        parent = parent.parent
    try:
        os.rmdir(tempfile.mkdtemp(prefix=f".{target.name}.", dir=parent))
    except OSError as error:
        raise OptionError(
            f"the run folder {target} cannot be written: {parent}: {error.strerror}; choose another with --out"
        ) from None


def _foreign_files(target: Path) -> list[str]:
    """Return what is not of a run: names of files, or a remark where it is not a folder."""
    if target.is_symlink() or not target.is_dir():
        return ["it is not a folder"]
    names = sorted(entry.name for entry in target.iterdir())
    if names and not {MODEL, CONFIG} <= set(names):
        return names[:1]
    known = {MODEL, CONFIG, HISTORY, METRICS}
    return [name for name in names if name not in known and (target / name).suffix != ".png"]


def write_run(
    folder: str | os.PathLike[str],
    model: Model,
    *,
    config: Mapping[str, Any],
    metrics: Mapping[str, Any],
    pictures: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a run folder and return its path. It is built beside its destination and renamed, so it is never seen half written.

    config, metrics: values for JSON; numbers that are not finite become null. pictures: axes by file name.
    Raises OptionError where `check_run_folder` does, and OSError when the disk refuses.
    """
    check_run_folder(folder, overwrite=overwrite)
    target = Path(folder)
    parent = target.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=parent))
    try:
        model.save(beside / MODEL)
        _write_json(beside / CONFIG, {"format": FORMAT, **config})
        _write_json(beside / METRICS, metrics)
        (beside / HISTORY).write_text(_history_csv(model.history), encoding="utf-8", newline="")
        for name, axes in (pictures or {}).items():
            from manynets import plots

            plots.save(axes, beside / name)
        beside.chmod(0o777 & ~_umask())
        _replace(beside, target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return target


def _replace(beside: Path, target: Path) -> None:
    """Rename the new folder to its destination; the former one is restored if that fails."""
    if not target.exists():
        os.rename(beside, target)
        return
    former = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=beside.parent))
    try:
        os.rename(target, former)  # onto an empty folder, which it replaces
        os.rename(beside, target)
    except BaseException:  # also a signal between the two renames
        with contextlib.suppress(OSError):
            os.rename(former, target)
        with contextlib.suppress(OSError):
            former.rmdir()
        raise
    shutil.rmtree(former, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(plain_json(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def plain_json(value: Any) -> Any:
    """Return the value as strict JSON types: NumPy's numbers as Python's, tuples as lists, NaN and infinities as None.

    >>> plain_json({"loss": float("nan"), "shape": (2, 3)})
    {'loss': None, 'shape': [2, 3]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(item) for item in value]
    if isinstance(value, np.generic | np.ndarray):
        return plain_json(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _history_csv(history: Mapping[str, list[float]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(history)
    for row in zip(*history.values(), strict=True):
        writer.writerow([int(value) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value)) for value in row])
    return text.getvalue()


def read_run(folder: str | os.PathLike[str]) -> SavedRun:
    """Return the run in a folder that `write_run` wrote.

    Raises OptionError where there is none, and ModelFileError where it is damaged.
    """
    path = Path(folder)
    if not path.is_dir():
        raise OptionError(f"the run folder {path} {'is a file' if path.exists() else 'does not exist'}{_others(path)}")
    if not (path / CONFIG).is_file():
        raise OptionError(f"{path} is not a run folder: it has no {CONFIG}{_others(path)}")
    config = _read_json(path / CONFIG)
    if config.get("format") != FORMAT:
        raise ModelFileError(
            f"{path / CONFIG} has format {config.get('format')!r}, this manynets reads {FORMAT}; install a newer manynets"
        )
    if not (path / MODEL).is_file():
        raise ModelFileError(f"{path / MODEL} is missing; train again")
    metrics = _read_json(path / METRICS) if (path / METRICS).is_file() else {}
    return SavedRun(folder=path, model=load(path / MODEL), config=config, metrics=metrics)


def _others(path: Path) -> str:
    """Name some runs inside the folder or beside it, for a message."""
    for around in (path, path.parent):
        with contextlib.suppress(OSError):
            found = sorted(str(entry) for entry in around.iterdir() if (entry / CONFIG).is_file() and (entry / MODEL).is_file())
            if found:
                return f"; there is {', '.join(found[:5])}{', ...' if len(found) > 5 else ''}"
    return "; manynets train writes one"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ManynetsError, ValueError) as error:
        raise ModelFileError(f"{path} is damaged: {error}; train again, or use another copy") from None
    if not isinstance(value, dict):
        raise ModelFileError(f"{path} is damaged: it does not hold a JSON object; train again, or use another copy")
    return value
