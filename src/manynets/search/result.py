"""The result of one candidate of `train_many` on one fold."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from numpy.typing import NDArray

from manynets.display import html_table, layers_text, number_text
from manynets.errors import InterruptedWarning, warn_user
from manynets.model import Model
from manynets.prepare import RowNumbers, TrainingData
from manynets.results import record_of, system_on
from manynets.spec import METRICS, MLP, Recipe, score_or_worst
from manynets.spec.flat import flat_settings
from manynets.tasks import Task
from manynets.training.groups import Failure
from manynets.training.torch_settings import find_device
from manynets.training.trial import HALTED, Divergence, Member, Outcome

if TYPE_CHECKING:
    from manynets.tables import TableEncoder

Candidate: TypeAlias = tuple[MLP, Recipe]
NO_SCORES = math.nan, math.nan
OF_OUTCOME = ("stopped", "parameters", "history", "best", "divergence", "seconds", "stepper", "threads")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Result:
    """The result of one candidate on one fold.

    stopped: "done", "early", "diverged", "interrupted", "callback" (which raised StopIteration), or "failed" with the `error`. history: columns, an
    entry for each evaluation; best: the index of the entry whose weights these are. loss, score: on the fold's test rows (NaN without), where
    `score` is the `metric` that the recipe watches by its name, else the task's. The score of one that failed or diverged is the worst
    possible: -inf, or inf for a metric where lower is better. seconds: until its training ended, including the networks trained together with it.
    stepper, threads: how its steps were made, and by how many of torch's threads.

    >>> import manynets as mn
    >>> data = mn.datasets.load("moons", points=400, seed=0)
    >>> recipe = mn.Recipe(epochs=2)
    >>> results = mn.train_many(data.X, data.y, [(mn.MLP(hidden=(4,)), recipe), (mn.MLP(hidden=(8,)), recipe)], cv=2, progress=False)
    >>> [(one.candidate, one.fold, one.stopped) for one in results]
    [(0, 0, 'done'), (0, 1, 'done'), (1, 0, 'done'), (1, 1, 'done')]
    >>> results[0].model.predict(data.X_test).shape
    (100,)
    """

    candidate: int
    fold: int
    spec: MLP
    recipe: Recipe
    task: Task
    stopped: str
    in_features: int = 0
    parameters: dict[str, NDArray[Any]] | None = None
    history: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    best: int = -1
    divergence: Divergence | None = None
    error: Exception | None = None
    loss: float = math.nan
    score: float = math.nan
    seconds: float = 0.0
    stepper: str = ""
    threads: int = 1
    encoder: TableEncoder | None = None

    def __repr__(self) -> str:
        shown = f"{self.metric} {number_text(self.score)}, loss {number_text(self.loss)}, " if math.isfinite(self.score) else ""
        return f"<Result: candidate {self.candidate}, fold {self.fold}, {shown}{self.stopped}>"

    def _repr_html_(self) -> str:
        names = ["candidate", "fold", self.metric, "loss", "ended", "network", "recipe"]
        network, optimizer = layers_text(self.spec.hidden, self.spec.activation), type(self.recipe.optimizer).__name__
        row = (self.candidate, self.fold, self.score, self.loss, self.stopped, network, f"{optimizer} lr {self.recipe.lr:g}")
        return html_table(names, [row])

    @property
    def metric(self) -> str:
        """The name of `score`."""
        return self.recipe.watch if self.recipe.watch in METRICS else self.task.metric

    @property
    def row(self) -> dict[str, Any]:
        """The result as a row of a table: texts and numbers by name, such as for
        `polars.DataFrame([result.row for result in results], infer_schema_length=None)` or `pandas.DataFrame`.

        The settings of network and recipe by their names, where that of the loss is `loss_option`; score, loss, stopped, seconds and error; and of the
        entry whose weights these are the epoch, and what it has on the training rows (`train_loss`) and on the validation rows (`val_loss`).

        >>> import manynets as mn
        >>> pairs = [(mn.MLP(hidden=(4,)), mn.Recipe(optimizer=mn.Adam(lr=lr), epochs=2)) for lr in (0.1, 0.2)]
        >>> [(one.row["lr"], one.row["best_epoch"]) for one in mn.train_many([[0.0], [1.0]] * 8, [0, 1] * 8, pairs, progress=False)]
        [(0.1, 2.0), (0.2, 2.0)]
        """
        settings = {
            f"{name}_option" if name == "loss" else name: value for name, value in flat_settings(self.spec, self.recipe).items()
        }
        entry = {name: column[self.best] if self.best >= 0 else math.nan for name, column in self.history.items()}
        of_rows = {f"train_{name}": entry.get(name, math.nan) for name in ("loss", self.task.metric)}
        of_rows |= {name: value for name, value in entry.items() if name.startswith("val_")}
        return {
            "candidate": self.candidate,
            "fold": self.fold,
            **settings,
            "score": self.score,
            "loss": self.loss,
            "stopped": self.stopped,
            "seconds": self.seconds,
            "error": None if self.error is None else str(self.error),
            "best_epoch": entry.get("epoch", math.nan),
            **of_rows,
        }

    @functools.cached_property
    def model(self) -> Model | None:
        """The trained network, None where training failed. One that diverged has its last finite weights."""
        if self.parameters is None:
            return None
        return Model(
            spec=self.spec,
            task=self.task,
            recipe=self.recipe,
            in_features=self.in_features,
            members=[self.parameters],
            history=self.history,
            info=record_of([self], system_on(find_device(self.recipe.device))),
            encoder=self.encoder,
        )


class PlannedNetwork(NamedTuple):
    """A network to train: which candidate on which fold it is, and the data that it was planned on."""

    candidate: int
    fold: int
    member: Member
    data: TrainingData


def result_of(
    found: Outcome | Failure | None,
    network: PlannedNetwork,
    *,
    scores: tuple[float, float] = NO_SCORES,
    halted: str = "interrupted",
) -> Result:
    """Return the result of a network, found None if the training ended before its turn. scores: loss and score. halted: how it ended then."""
    candidate, fold, member, data = network
    assert isinstance(member.spec, MLP)
    more: dict[str, Any] = {"stopped": halted}
    if isinstance(found, Failure):
        more = {"stopped": "failed", "error": found.error}
    elif found is not None:
        more = {name: getattr(found, name) for name in OF_OUTCOME}
        more |= {"loss": scores[0], "score": scores[1], "in_features": data.in_features, "encoder": data.encoder}
    own: dict[str, Any] = {"spec": member.spec, "recipe": member.recipe, "task": data.problem.task}
    return judged(Result(candidate=candidate, fold=fold, **own, **more), member.test_rows)


def judged(result: Result, test_rows: RowNumbers | None) -> Result:
    """Return a result with the worst possible score if its training failed or diverged. test_rows: None for none."""
    if test_rows is None:
        return result
    return dataclasses.replace(result, score=score_or_worst(result.score, metric=result.metric, stopped=result.stopped))


def warn_of_interrupted(results: Collection[Result]) -> None:
    """Warn that training was interrupted, and how many of the networks did not end."""
    left = sum(result.stopped in HALTED for result in results)
    warn_user(f"training was interrupted; {left} of {len(results)} networks did not end", InterruptedWarning)
