"""Whether the scores of a user's module are what its task takes."""

from __future__ import annotations

from torch import Tensor, nn

from manynets.errors import DataError, warn_user
from manynets.tasks import Binary, Regression, Task

SQUASHED = {"SoftmaxBackward0": "softmax", "SigmoidBackward0": "sigmoid"}
RESHAPED = ("Alias", "Reshape", "Select", "Slice", "Squeeze", "Unsqueeze", "View")


def check_scores(module: nn.Module, scores: Tensor, task: Task) -> None:
    """Raise DataError for scores (n, O) of a wrong number a row; warn of probabilities, as the loss takes the softmax or sigmoid of scores.

    The warning is for classes, and goes by the last function that autograd knows of.
    """
    name, found, needed = type(module).__name__, scores.shape[1], task.outputs
    if found != needed:
        raise DataError(
            f"the module returns {found} score{'' if found == 1 else 's'} a row, but this target needs {needed}; {_why(task, found)}"
        )
    squashed = None if isinstance(task, Regression) else SQUASHED.get(_last_function(scores))
    if squashed is not None:
        warn_user(
            f"the last function of {name} is a {squashed}, but the loss takes raw scores and applies its own, so that {name} learns little;"
            f" leave it out: predict_proba returns probabilities"
        )


def _why(task: Task, found: int) -> str:
    """Return why the task needs as many scores as it does, and what to do about it."""
    if isinstance(task, Regression):
        if task.quantiles:
            return "one for each target and quantile; change its last layer"
        return "one for each column of y; change its last layer, or give a task, such as task='multiclass', if y holds classes"
    if isinstance(task, Binary):
        return "one for two classes; change its last layer" + (", or give task='multiclass'" if found == 2 else "")
    numbers = all(isinstance(label, int | float) for label in getattr(task, "classes", ("",)))
    regression = ", or give task='regression' if y holds numbers to predict" if found == 1 and numbers else ""
    return f"one for each class; change its last layer{regression}"


def _last_function(scores: Tensor) -> str:
    """Return autograd's name of the function that made the scores, whatever their shape was changed to; "" where it knows of none."""
    node = scores.grad_fn
    while node is not None and node.name().startswith(RESHAPED) and node.next_functions:
        node = node.next_functions[0][0]
    return "" if node is None else node.name()
