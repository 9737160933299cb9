"""Trackers: callbacks that write a training to TensorBoard, MLflow or Weights & Biases.

tracker.py      `Tracker`: from the events of a training to curves and a table, and what `log` adds
settings.py     the parameters that networks have in common, and those in which they differ
tensorboard.py  mlflow.py  wandb.py: each writes to one of them
"""

from __future__ import annotations

from collections.abc import Mapping

from manynets.trackers.mlflow import MLflow
from manynets.trackers.tensorboard import TensorBoard
from manynets.trackers.tracker import Tracker
from manynets.trackers.wandb import WandB

__all__ = ["TRACKERS", "MLflow", "TensorBoard", "Tracker", "WandB"]

TRACKERS: Mapping[str, type[Tracker]] = {"tensorboard": TensorBoard, "mlflow": MLflow, "wandb": WandB}
"""The trackers by the names that `--track` takes."""
