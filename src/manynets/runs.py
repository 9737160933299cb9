"""Run folders: the model, everything needed to repeat the run, its history, metrics and pictures. They are written all or nothing.

model.safetensors   the model, see `manynets.model.load`
config.json         data and its fingerprint, network, recipe, versions
history.csv         one line per evaluation
seen_rows.npy       hashes of the rows that it was trained and validated on; not there for more than a million
metrics.json        metrics on the training, validation and test rows
report.html         what `manynets report` wrote, if it did
*.png               pictures
"""

from __future__ import annotations

import contextlib
import csv
import ctypes
import dataclasses
import functools
import glob
import io
import itertools
import json
import math
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from manynets.claims import claim
from manynets.display import listed
from manynets.errors import ClaimedError, ModelFileError, OptionError
from manynets.jsonfiles import read_json
from manynets.modelfile import sync_folder, umask
from manynets.saved_model import SavedModel, read_saved_model

if TYPE_CHECKING:
    from manynets.model import Model

FORMAT = 1
MODEL, CONFIG, HISTORY, METRICS = "model.safetensors", "config.json", "history.csv", "metrics.json"
SEEN, REPORT = "seen_rows.npy", "report.html"
PICTURES = (
    "history", "confusion", "roc", "images", "mistakes", "values", "points", "regions", "surface", "predicted", "network", "first_layer",
)  # fmt: skip
"""The pictures of a run, which `train` and `plot` write as NAME.png; another one in its folder is the user's."""


RETRIES = 20

_NUMBER = (float, type(None))
_ORIGIN = {
    "kind": str, "seed": int, "?task": str, "~path": str, "~name": str, "~target": [str], "?test": str, "?test_fraction": float,
    "?drop": [str], "?categorical": [str], "?numeric": [str], "?weight": str, "?drop_missing_target": bool, "?scaling": str,
    "?max_levels": int, "?delimiter": str, "?encoding": str, "?sheet": str, "?no_header": bool, "?data_dir": str, "?points": int, "?noise": float,
}  # fmt: skip
_CONFIG = {
    "format": int, "~data": _ORIGIN, "?target_unit": (str, type(None)), "~fingerprint": {str: {"sha256": str, str: object}}, "?class_names": [str],
    "?image_shape": [int], "?validation": (float, str), "?options": {str: object},
}  # fmt: skip
_CLASS = {
    "class": object, "correct": int, "count": int, "accuracy": _NUMBER, "?predicted": int, "?precision": _NUMBER, "?f1": _NUMBER,
    "?intervals": {str: [float]},
}  # fmt: skip
_LABEL = {"label": int, "?name": str, "count": int, "correct": int, "predicted": int, "intervals": {str: [float]}, str: _NUMBER}
_TARGET = {"target": int, "?name": str, "r2": _NUMBER, "rmse": _NUMBER, "mae": _NUMBER}
_PART = {
    "?per_class": [_CLASS], "?per_label": ([_NUMBER], {str: _NUMBER}), "?per_target": [_TARGET],
    "?label_metrics": [_LABEL], "?classes": int, "?labels": int, "?targets": int,
    "?confusion": [[int]], str: (float, str, bool, type(None), list, dict),
}  # fmt: skip
_METRICS = {"?train": _PART, "?validation": _PART, "?test": _PART, "?baselines": {str: _PART}}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SavedRun:
    """A run as read from its folder. saved: its model, as the file has it. identity: of the folder, None for a model file."""

    folder: Path
    saved: SavedModel
    config: dict[str, Any]
    metrics: dict[str, Any]
    identity: tuple[int, int] | None = None

    @functools.cached_property
    def model(self) -> Model:
        """The model. The first use loads torch."""
        from manynets.model import model_of  # not above: showing a run needs no torch

        return model_of(self.saved)

    @property
    def seen_rows(self) -> NDArray[Any] | None:
        """Hashes of the rows that the run was trained and validated on; None where they were not stored."""
        found = _read_seen(self.folder / SEEN)
        if self.identity not in (None, _identity(self.folder)):
            raise OptionError(f"the run folder {self.folder} changed while it was read; try again")
        return found

    @property
    def files(self) -> list[str]:
        """Names of the files, sorted."""
        return sorted(entry.name for entry in self.folder.iterdir())


def _read_seen(path: Path) -> NDArray[Any] | None:
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, OSError, EOFError, MemoryError, OverflowError) as error:
        raise ModelFileError(f"{path} is damaged: {error}; train again, or remove it") from None


@contextlib.contextmanager
def claimed_folder(
    folder: str | os.PathLike[str] | None, stem: str, *, check: Callable[[Path], object], within: str | os.PathLike[str] = "runs"
) -> Iterator[Path]:
    """Within this context, a folder that no other process writes: `folder`, or where that is None the first free `within`/`stem`-n.

    check: raises OptionError where the folder cannot be written. Raises ClaimedError if another process writes `folder`.
    """
    if folder is not None:
        check(Path(folder))
        with claim(folder, remedy="give another folder with --out"):
            remove_leftovers(Path(folder))
            check(Path(folder))  # again, as another process may have written it meanwhile
            yield Path(folder)
        return
    for number in itertools.count(1):
        path = Path(within) / f"{stem}-{number}"
        if not _is_free(path):
            continue
        check(path)
        try:
            claimed = claim(path)
        except ClaimedError:
            continue
        with claimed:
            if _is_free(path):
                yield path
                return


def _is_free(path: Path) -> bool:
    """Return whether there is no file, folder or unfinished run of this name."""
    return not any(os.path.lexists(f"{path}{end}") for end in ("", ".part"))


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
                f"{target} is not replaced, because it holds what does not belong to a run: {foreign[0]}; move that, or choose another folder"
            )
    parent = target.absolute().parent
    while not parent.exists():
        parent = parent.parent
    try:
        probe = tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=parent)
        with contextlib.suppress(FileNotFoundError):  # another process has cleared it away
            os.rmdir(probe)
    except OSError as error:
        raise OptionError(
            f"the run folder {target} cannot be written: {parent}: {error.strerror}; choose another with --out"
        ) from None


def _foreign_files(target: Path) -> list[str]:
    """Return the names of files that do not belong to a run, or a remark where the target is not a folder."""
    if target.is_symlink() or not target.is_dir():
        return ["it is not a folder"]
    folders = {entry.name for entry in target.iterdir() if entry.is_dir()}
    names = sorted(entry.name for entry in target.iterdir())
    if names and not {MODEL, CONFIG} <= set(names):
        return names[:1]
    known = {MODEL, CONFIG, HISTORY, METRICS, SEEN, REPORT, *(f"{picture}.png" for picture in PICTURES)}
    return [name for name in names if name in folders or (name not in known and _written_as(name) not in known)]


def _written_as(name: str) -> str | None:
    """Return the name that a temporary file of a killed process was going to get; None for any other file."""
    found = re.fullmatch(r"\.(.+)\.[a-z0-9_]{8}\.tmp", name)
    return None if found is None else found[1]


def write_run(
    folder: str | os.PathLike[str],
    model: Model,
    *,
    config: Mapping[str, Any],
    metrics: Mapping[str, Any],
    pictures: Mapping[str, Any] | None = None,
    seen: NDArray[np.uint64] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a run folder and return its path. It is built beside its destination and renamed, so it is never seen half written.

    config, metrics: values for JSON; numbers that are not finite become null. pictures: axes by file name.
    seen: hashes of the rows that were trained on.
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
        if seen is not None:
            np.save(beside / SEEN, seen, allow_pickle=False)
        for name, axes in (pictures or {}).items():
            from manynets import plots

            plots.save(axes, beside / name)
        beside.chmod(0o777 & ~umask())
        _sync(beside)  # the checkpoints of the training are removed next
        _replace(beside, target)
        sync_folder(parent)
    except BaseException as error:
        shutil.rmtree(beside, ignore_errors=True)
        if isinstance(error, OSError) and error.errno is not None:  # about a temporary name
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise
    return target


def _sync(folder: Path) -> None:
    """Flush the files of a folder to the disk."""
    for entry in folder.iterdir():
        if entry.is_file():
            with entry.open("r+b" if os.name == "nt" else "rb") as file:  # Windows wants it open for writing
                os.fsync(file.fileno())
    sync_folder(folder)


def _replace(beside: Path, target: Path) -> None:
    """Rename the new folder to its destination; the former one is restored if that fails."""
    if not target.exists():
        os.rename(beside, target)
        return
    if _exchange(beside, target):  # so that there is a run of this name at any moment, even if the process is killed
        shutil.rmtree(beside, ignore_errors=True)
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


def _exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders in a single step; return False where the system cannot."""
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return rename is not None and bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def leftovers(target: Path, kind: str) -> list[Path]:
    """Return the temporary files and folders of a kind ("tmp" or "old") that processes which were killed left beside `target`."""
    name = re.compile(rf"\.{re.escape(target.name)}\.([a-z0-9_]{{8}}|lock\.[0-9a-f]{{16}})\.{kind}")
    with contextlib.suppress(FileNotFoundError):
        return sorted(entry for entry in target.absolute().parent.iterdir() if name.fullmatch(entry.name))
    return []


def remove_leftovers(target: Path) -> None:
    """Remove what was left beside the file or run folder `target` by a process that was killed while writing it.

    If it was killed between the two renames of `_replace`, the former run gets its name again. For a name that is claimed only.
    """
    for former in leftovers(target, "old"):
        if not os.path.lexists(target) and (former / CONFIG).is_file() and (former / MODEL).is_file():
            os.rename(former, target)
        else:
            shutil.rmtree(former, ignore_errors=True)
    for entry in leftovers(target, "tmp"):
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def _write_json(path: Path, value: Any) -> None:
    data = json.dumps(plain_json(value), indent=2, allow_nan=False, ensure_ascii=False)
    try:
        path.write_text(data + "\n", encoding="utf-8")
    except UnicodeEncodeError:  # the name of a folder that is not UTF-8, which JSON can hold in escapes
        path.write_text(json.dumps(json.loads(data), indent=2) + "\n", encoding="utf-8")


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
    for _ in range(RETRIES):
        if path.is_dir() or not _is_replaced(path):
            break
        time.sleep(0.05)
    if not path.is_dir():
        raise OptionError(f"the run folder {path} {'is a file' if path.exists() else 'does not exist'}{_others(path)}")
    if not (path / CONFIG).is_file():
        raise OptionError(f"{path} is not a run folder: it has no {CONFIG}{_others(path)}")
    for _ in range(RETRIES):
        before = _identity(path)
        try:
            found = _read_files(path)
        except FileNotFoundError:
            found = None
        if found is not None and _identity(path) == before:
            return dataclasses.replace(found, identity=before)
        time.sleep(0.05)  # another process has just replaced the run
    raise OptionError(f"the run folder {path} changed while it was read; try again")


def _read_files(path: Path) -> SavedRun:
    config = read_json(path / CONFIG, _CONFIG)
    if config["format"] != FORMAT:
        raise ModelFileError(
            f"{path / CONFIG} has format {config['format']!r}, this manynets reads {FORMAT}; install a newer manynets"
        )
    if not (path / MODEL).is_file():
        raise ModelFileError(f"{path / MODEL} is missing; train again")
    metrics = read_json(path / METRICS, _METRICS) if os.path.lexists(path / METRICS) else {}
    saved = read_saved_model(path / MODEL)
    names = config.get("class_names")
    count = len(getattr(saved.task, "classes", range(saved.task.targets)))
    if names is not None and len(names) != count:
        raise ModelFileError(
            f"{path / CONFIG} is damaged: field 'class_names' has {len(names)} names, but the model has {count} classes; train again"
        )
    return SavedRun(folder=path, saved=saved, config=config, metrics=metrics)


def _is_replaced(path: Path) -> bool:
    """Return whether another process is about to rename a new run to this name."""
    return any(path.absolute().parent.glob(f".{glob.escape(path.name)}.*.old"))


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what identifies a folder among all that exist; None if it does not exist."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _others(path: Path) -> str:
    """Name some runs inside the folder or beside it, for a message."""
    for around in (path, path.parent):
        with contextlib.suppress(OSError):
            found = sorted(
                str(entry)
                for entry in around.iterdir()
                if not entry.name.startswith(".") and (entry / CONFIG).is_file() and (entry / MODEL).is_file()
            )
            if found:
                return f"; there {'is' if len(found) == 1 else 'are'} {listed(found, 5)}"
    return "; manynets train writes one"
