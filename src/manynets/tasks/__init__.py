"""A task owns its target: it checks and encodes y, names the losses, the link, the prediction and the metrics.

Networks always output raw scores of shape (N, O); only a task knows what they mean. This half is NumPy only; the losses on
torch tensors are in `manynets.tasks.objectives`.
"""

from manynets.tasks.base import Task, Values
from manynets.tasks.classification import Binary, Multiclass, Multilabel
from manynets.tasks.find import TASK_NAMES, find_task, task_from_json, with_quantiles
from manynets.tasks.regression import Regression

__all__ = [
    "TASK_NAMES", "Binary", "Multiclass", "Multilabel", "Regression", "Task", "Values", "find_task", "task_from_json",
    "with_quantiles",
]  # fmt: skip
