"""`Tracker`, the base of all trackers: from the events of a training to curves and a table, and what `log` adds."""

from __future__ import annotations

import abc
import csv
import dataclasses
import math
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from manynets.display import is_finite
from manynets.errors import ManynetsError, OptionError
from manynets.jsonfiles import read_json
from manynets.spec.flat import Flat
from manynets.trackers.settings import split_settings
from manynets.training.events import WHEN, Evaluated, Event, Finished, Started

if TYPE_CHECKING:
    from manynets.model import Model

TABLE, MODEL, METRICS = "networks.csv", "model.safetensors", "metrics.json"


class Sink(abc.ABC):
    """Where one run is written. step: that of the last curves, to which the rest belongs."""

    step = 0

    @abc.abstractmethod
    def parameters(self, values: Flat) -> None:
        """Write parameters."""

    def curves(self, values: Mapping[str, float], *, step: int) -> None:
        """Write finite values of curves after so many steps."""
        self.step = step
        self.metrics(values)

    @abc.abstractmethod
    def metrics(self, values: Mapping[str, float]) -> None:
        """Write final results."""

    @abc.abstractmethod
    def picture(self, path: Path) -> None:
        """Write a PNG file as a picture."""

    @abc.abstractmethod
    def file(self, path: Path) -> None:
        """Write a file."""

    def table(self, names: Sequence[str], rows: Sequence[Sequence[Any]], path: Path) -> None:
        """Write a table, which is in the CSV file `path` too."""
        self.file(path)

    @abc.abstractmethod
    def close(self, *, failed: bool) -> None:
        """End the run."""


@dataclasses.dataclass(kw_only=True)
class Tracker(abc.ABC):
    """A callback that writes each training as a run: its parameters, its curves, and at the end a table of its networks.

    name: of the runs. What else there is to set depends on the tracker.

    A training of several networks is one run. Networks that predict together have as curves their means and standard deviations, as
    `Model.history` has them; of others, such as candidates of a search, the curve is the best result so far. The table `networks.csv` has a line
    for each network: the parameters in which they differ, its last entry, and how it ended.

    A run ends with its training. Within `with tracker:` the last one stays open, so that `log` can add metrics, pictures and the model.
    Copies, such as scikit-learn's clones and what is sent to other processes, have the settings only, and write runs of their own.

    >>> from manynets.trackers import TensorBoard
    >>> issubclass(TensorBoard, Tracker), TensorBoard(name="houses").name
    (True, 'houses')
    """

    name: str = "manynets"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip() or self.name in (".", "..") or set(self.name) & set("/\\\0"):
            raise OptionError(f"name is {self.name!r}, but must be the name of a run, without slashes")
        self._forget()

    def _forget(self) -> None:
        self._sink: Sink | None = None
        self._held = False
        self._reset()

    def _reset(self) -> None:
        self._pooled = False
        self._done = False
        self._step = 0
        self._entries: dict[int, dict[str, float]] = {}
        self._own: dict[int, Flat] = {}
        self._best_so_far: dict[str, float] = {}
        self._at_best: dict[int, list[float]] = {}
        self._ensembles: tuple[tuple[int, ...], ...] = ()
        self._rows: Mapping[int, float] = {}
        self._leader: list[int] = []
        self._metric = ""

    @staticmethod
    @abc.abstractmethod
    def package() -> Any:
        """Return the module that writes. Errors: MissingExtraError where it is not installed."""

    @abc.abstractmethod
    def open(self) -> Sink:
        """Begin a run."""

    # ---------------------------------------------------------------------------------------------------------------- copies

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    # ---------------------------------------------------------------------------------------------------------------- events

    def __call__(self, event: Event) -> None:
        """Take an event of a training."""
        if isinstance(event, Started):
            common, own = split_settings(event.settings)
            self.start({"n_networks": event.n_networks, **common})
            self._own, self._metric = own, event.metric
            self._pooled = event.n_networks == 1 or len(event.ensembles) == 1
            self._ensembles, self._rows = event.ensembles, event.pooled
        elif self._sink is None:
            return
        elif isinstance(event, Evaluated):
            self._evaluated(event, self._sink)
        elif isinstance(event, Finished):
            self._finished(event, self._sink)

    def _evaluated(self, event: Evaluated, sink: Sink) -> None:
        for number, entry in event.entries.items():
            self._entries[number] = entry
        if self._pooled:
            values = self._means(list(event.columns), self._entries)
            self._step = event.step
        else:
            best = self._best(event, "val_" if "val_loss" in event.columns else "")
            values = self._means(list(event.columns), self._leader) | best
            # of the steps of several trainings none is that of all
            self._step = max(self._step + 1, event.step if self._leader else 0)
        sink.curves(_finite(values), step=self._step)

    def _means(self, names: Sequence[str], numbers: Iterable[int]) -> dict[str, float]:
        """Return the means of the last entries of these networks; those that ended have theirs still."""
        entries = [self._entries[number] for number in numbers]
        out: dict[str, float] = {}
        for name in names:
            values = np.array([entry[name] for entry in entries if name in entry])
            if not len(values):
                continue
            out[name] = float(values.max() if name in WHEN else values.mean())
            if len(self._own) > 1 and name not in WHEN:
                out[f"{name}_std"] = float(values.std())
        return out

    def _best(self, event: Evaluated, prefix: str) -> dict[str, float]:
        """Return the best results of any network or ensemble so far, and how many networks have one."""
        names = [f"{prefix}{self._metric}", f"{prefix}loss"]
        if self._ensembles:
            self._best_so_far = self._of_ensembles(event, names)
        else:
            for name, best in zip(names, (np.fmax, np.fmin), strict=True):
                found = best.reduce(event.columns[name])
                self._best_so_far[f"best_{name}"] = float(best(self._best_so_far.get(f"best_{name}", np.nan), found))
        return self._best_so_far | {"networks": float(len(self._entries))}

    def _of_ensembles(self, event: Evaluated, names: Sequence[str]) -> dict[str, float]:
        """Return the results of the ensemble with the least loss, pooled over the rows of its networks, each at its best epoch.

        Its networks, if it has several, become the leader, whose curves are written.
        """
        for k, number in enumerate(event.numbers if event.best else ()):
            found = [float(event.best[name][k]) for name in names]
            if np.isfinite(found).all():
                self._at_best[number] = found
        pooled: list[tuple[list[float], list[int]]] = []
        for numbers in self._ensembles:
            there = [number for number in numbers if number in self._at_best]
            rows = [self._rows.get(number, 1.0) for number in there]
            if sum(rows):
                pooled.append((np.average([self._at_best[number] for number in there], axis=0, weights=rows).tolist(), there))
        best, leader = min(pooled, key=lambda found: found[0][-1], default=([], []))
        self._leader = leader if len(leader) > 1 else []
        return {f"best_{name}": result for name, result in zip(names, best, strict=False)}

    def _finished(self, event: Finished, sink: Sink) -> None:
        sink.metrics(_finite({"seconds": event.seconds, "diverged": float(len(event.diverged))}))
        if len(self._own) > 1:
            self.log_table(*self._table(event))
        self._done = True
        if not self._held:
            self._close()

    def _table(self, event: Finished) -> tuple[list[str], list[list[Any]]]:
        own = list(dict.fromkeys(name for one in self._own.values() for name in one))
        columns = list(dict.fromkeys(name for entry in self._entries.values() for name in entry))
        names = ["network", *own, *columns, "diverged"]
        rows = []
        for number, settings in self._own.items():
            entry = self._entries.get(number, {})
            rows.append(
                [number, *(settings.get(name) for name in own), *(entry.get(name) for name in columns), number in event.diverged]
            )
        return names, rows

    # ------------------------------------------------------------------------------------------------------------------- log

    def __enter__(self) -> Self:
        self._held = True
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._held = False
        self._close(failed=error is not None)

    def start(self, parameters: Mapping[str, Any]) -> None:
        """Begin a run with these parameters, as the event `Started` does; one that is open ends."""
        self._close(failed=not self._done)
        self._reset()
        try:
            self._sink = self.open()
        except ManynetsError:
            raise
        except Exception as error:
            why = " ".join(str(error).split())
            raise OptionError(f"the tracker {type(self).__name__} cannot begin a run: {why}") from error
        self._sink.parameters(dict(parameters))

    def _close(self, *, failed: bool = False) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.close(failed=failed)

    def _running(self) -> Sink:
        if self._sink is None:
            raise OptionError("there is no open run; train within `with tracker:`, and log there")
        return self._sink

    def log(
        self, model: Model | None = None, *, metrics: Mapping[str, Any] | None = None, pictures: Mapping[str, Any] | None = None
    ) -> None:
        """Add to the run of the last training: the model file, metrics, and pictures.

        metrics: numbers by name, or by the name of a part of the data and theirs, such as {"test": model.evaluate(X, y)}; what is not a finite
        number is left out. pictures: axes or figures by name; the history of the model if left out.

        Errors: OptionError where no run is open.
        """
        sink = self._running()
        sink.metrics(flat_metrics(metrics or {}))
        with tempfile.TemporaryDirectory(prefix="manynets-") as folder:
            if pictures is None:
                pictures = {"history": model.plot()} if model is not None and model.history.get("epoch") else {}
            for name, picture in pictures.items():
                from manynets import plots

                sink.picture(plots.save(picture, Path(folder) / f"{name.removesuffix('.png')}.png"))
            if model is not None:
                sink.parameters({"parameters": model.parameters, "in_features": model.in_features, **_versions(model.info)})
                model.save(Path(folder) / MODEL)
                sink.file(Path(folder) / MODEL)

    def log_folder(self, folder: str | os.PathLike[str]) -> None:
        """Add the metrics, pictures and files of a folder that `manynets train` or `manynets sweep` wrote.

        Errors: OptionError where no run is open.
        """
        sink, path = self._running(), Path(folder)
        if (path / METRICS).is_file():
            sink.metrics(flat_metrics(read_json(path / METRICS, {})))
        for file in sorted(path.iterdir()):
            if file.suffix == ".png":
                sink.picture(file)
            elif file.suffix in (".safetensors", ".json", ".html", ".csv"):
                sink.file(file)

    def log_curves(self, values: Mapping[str, float], *, step: int) -> None:
        """Add a value to each of some curves; those that are not finite are left out. Errors: OptionError where no run is open."""
        self._running().curves(_finite(values), step=step)

    def log_table(self, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add a table of networks. Errors: OptionError where no run is open."""
        with tempfile.TemporaryDirectory(prefix="manynets-") as folder:
            path = Path(folder) / TABLE
            with path.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows([names, *rows])
            self._running().table(names, rows, path)


def _versions(info: Mapping[str, Any]) -> Flat:
    return {f"version.{name}": version for name, version in info.get("versions", {}).items()}


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if math.isfinite(value)}


def flat_metrics(metrics: Mapping[str, Any], *, before: str = "") -> dict[str, float]:
    """Return the finite numbers of nested metrics, without those of each class, label or target.

    >>> flat_metrics({"test": {"rows": 4, "accuracy": 0.5, "confusion": [[2, 0], [2, 0]]}})
    {'test/rows': 4.0, 'test/accuracy': 0.5}
    >>> flat_metrics({"labels": 200, "per_label": {"17": 0.5}, "label_metrics": [{"label": 17, "accuracy": 0.5}]})
    {'labels': 200.0}
    """
    out: dict[str, float] = {}
    for name, value in metrics.items():
        if name == "per_label":  # the worst of many have their numbers as keys, and are others in each run
            continue
        if isinstance(value, Mapping):
            out |= flat_metrics(value, before=f"{before}{name}/")
        elif is_finite(value):
            out[f"{before}{name}"] = float(value)
    return out
