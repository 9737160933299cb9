"""Runs of MLflow."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manynets.display import shortened
from manynets.errors import optional_module
from manynets.spec.flat import Flat
from manynets.trackers.tracker import Sink, Tracker

LONGEST = 500  # characters of a parameter
AT_ONCE = 100  # parameters, or metrics, of one call


@dataclasses.dataclass(kw_only=True)
class MLflow(Tracker):
    """A tracker that writes runs of MLflow (extra `mlflow`), without touching the active run of `mlflow.start_run`.

    tracking_uri: where to write, such as "sqlite:///mlflow.db" or the address of a server; None: what MLflow is set to, such as by
    MLFLOW_TRACKING_URI. experiment: that the runs belong to, made where it does not exist; None: MLFLOW_EXPERIMENT_NAME, or "manynets".

    >>> import manynets as mn
    >>> mn.trackers.MLflow(tracking_uri="sqlite:///mlflow.db", name="houses").experiment is None
    True
    """

    tracking_uri: str | None = None
    experiment: str | None = None

    @staticmethod
    def package() -> Any:
        """Return the module mlflow."""
        return optional_module("mlflow", package="mlflow-skinny", extra="mlflow", purpose="the tracker MLflow")

    def open(self) -> Sink:
        client = self.package().MlflowClient(tracking_uri=self.tracking_uri)
        name = self.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or "manynets"
        found = client.get_experiment_by_name(name)
        experiment = client.create_experiment(name) if found is None else found.experiment_id
        return _MLflowRun(client, client.create_run(experiment, run_name=self.name).info.run_id)


class _MLflowRun(Sink):
    def __init__(self, client: Any, run: str) -> None:
        self.client, self.run = client, run

    def parameters(self, values: Flat) -> None:
        from mlflow.entities import Param

        found = [Param(name, shortened("" if value is None else str(value), LONGEST)) for name, value in values.items()]
        for start in range(0, len(found), AT_ONCE):
            self.client.log_batch(self.run, params=found[start : start + AT_ONCE])

    def metrics(self, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        found = [Metric(_name(name), value, now, self.step) for name, value in values.items()]
        for start in range(0, len(found), AT_ONCE):
            self.client.log_batch(self.run, metrics=found[start : start + AT_ONCE])

    def picture(self, path: Path) -> None:
        self.client.log_artifact(self.run, str(path), "pictures")

    def file(self, path: Path) -> None:
        self.client.log_artifact(self.run, str(path))

    def close(self, *, failed: bool) -> None:
        self.client.set_terminated(self.run, "FAILED" if failed else "FINISHED")


def _name(name: str) -> str:
    """Return the name with those characters only that MLflow takes."""
    return "".join(letter if letter.isalnum() or letter in "_-./ " else "-" for letter in name)
