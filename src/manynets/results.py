"""From the outcomes of a training to a Model, with all that its bits depend on."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from manynets import core
from manynets.display import short
from manynets.distributed import current_ranks
from manynets.errors import DivergenceWarning, OptionError, warn_user
from manynets.intervals import residuals_of
from manynets.model import Model
from manynets.prepare import TrainingData
from manynets.spec import MLP, Recipe
from manynets.tasks import Regression
from manynets.training.checkpoint import Checkpoint, Checkpoints, checkpoint_files
from manynets.training.deadline import Deadline
from manynets.training.events import WHEN
from manynets.training.trial import Member, Outcome

PREDICTED = 256  # rows at a time until a time limit is over


def model_of(spec: MLP | nn.Module, recipe: Recipe, data: TrainingData, outcomes: Sequence[Outcome]) -> Model:
    """Return the Model of the trained networks; warn about those whose loss was not finite."""
    for outcome in outcomes:
        at = outcome.divergence
        if at is not None:
            which = (
                "the initial weights" if outcome.best < 0 else f"the weights of epoch {outcome.history['epoch'][outcome.best]:g}"
            )
            names = None if data.encoder is None else data.encoder.feature_names
            text = f"{at.where(names)}; training stopped and {which} were kept; {at.remedy(names)}"
            warn_user(text, DivergenceWarning)
    info = record_of(outcomes, system_of(data))
    if data.problem.integers:
        info["integers"] = True
    module = None if isinstance(spec, MLP) else spec
    return Model(
        spec=spec if isinstance(spec, MLP) else None,
        task=data.problem.task,
        recipe=recipe,
        in_features=data.in_features,
        members=[outcome.parameters for outcome in outcomes],
        history=_mean_history([outcome.history for outcome in outcomes]),
        info=info,
        module=module,
        encoder=data.encoder,
    )


def joined(models: Iterable[Model]) -> Model:
    """Combine models, such as those of `train_many`, into one that predicts with all their networks at once and is saved in one file.

    They must have the same network, task and columns; recipes may differ, and that of the first is kept. `predict` returns the mean of the
    networks, `predict_each` the predictions of each. Models that differ are an OptionError.

    >>> import manynets as mn
    >>> data = mn.datasets.load("moons", points=200, seed=0)
    >>> pairs = [(mn.MLP(hidden=(4,)), mn.Recipe(epochs=2, seed=seed)) for seed in range(3)]
    >>> model = mn.joined(result.model for result in mn.train_many(data.X, data.y, pairs, progress=False))
    >>> model.size, model.predict_each(data.X_test).shape
    (3, (3, 100))
    """
    if not isinstance(models, Iterable):
        raise OptionError(f"models is {short(models)}, but must be a list of Models")
    found = list(models)
    for number, model in enumerate(found):
        if not isinstance(model, Model) or model.spec is None:
            what = "a module of your own" if isinstance(model, Model) else short(model)
            raise OptionError(f"model {number} is {what}, but must be a Model of an MLP, such as result.model")
        encoder, first = model.encoder, found[0].encoder
        differs = {
            "spec": model.spec != found[0].spec,
            "task": model.task != found[0].task,
            "in_features": model.in_features != found[0].in_features,
            "loss": (model.recipe.loss, model.recipe.quantile) != (found[0].recipe.loss, found[0].recipe.quantile),
            "dtype": model.recipe.dtype != found[0].recipe.dtype,
            "encoder": encoder is not first and (encoder is None or first is None or encoder.to_json() != first.to_json()),
        }
        for name, is_other in differs.items():
            if is_other:
                raise OptionError(f"model {number} has another {name} than model 0; {_ALIKE.get(name, 'join those with the same')}")
    if not found:
        raise OptionError("models is empty; give at least one Model")
    counted = [name for name in ("linear", "n_networks") if name in found[0].info]
    counts: dict[str, int] = {name: sum(model.info.get(name, 0) for model in found) for name in counted}
    ends = {name: [end for model in found for end in _listed(model.info.get(name))] for name in ("stopped", "best")}
    return Model(
        spec=found[0].spec,
        task=found[0].task,
        recipe=found[0].recipe,
        in_features=found[0].in_features,
        members=[parameters for model in found for parameters in model.members],
        history=_joined_history(found),
        info={**found[0].info, **counts, **ends, "seconds": max(model.info.get("seconds", 0.0) for model in found)},
        encoder=found[0].encoder,
    )


_ALIKE = {
    "task": "join those of one threshold and of the same rows, by which a target of numbers is standardised",
    "encoder": "join those of the same rows, by which the columns are scaled, or train with scaling=False",
}


def _joined_history(models: Sequence[Model]) -> dict[str, list[float]]:
    """Return the mean history of all networks, with the standard deviations where no model is an ensemble of which only means are known."""
    names = [name for name in models[0].history if not name.endswith("_std") and all(name in model.history for model in models)]
    out = _mean_history([{name: model.history[name] for name in names} for model in models for _ in range(model.size)])
    return out if all(model.size == 1 for model in models) else {name: out[name] for name in names}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def record_of(outcomes: Sequence[Any], system: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a training for `Model.info`. outcomes: each an Outcome, or a Result of a search. system: from `system_on`."""
    first = outcomes[0]
    return {
        "engine": "torch",
        "stopped": [outcome.stopped for outcome in outcomes],
        "seconds": max(outcome.seconds for outcome in outcomes),
        "best": first.best if len(outcomes) == 1 else [outcome.best for outcome in outcomes],
        "stepper": first.stepper,
        **system,
        "threads": first.threads,
    }


def with_target_names(model: Model, names: Sequence[str]) -> Model:
    """Return the model, with the names of its targets if it has several and there is a name for each."""
    if len(names) == model.task.targets > 1:
        model.info["targets"] = list(names)
    return model


def with_residuals(model: Model, data: TrainingData, members: Sequence[Member], *, limit: Deadline | None = None) -> Model:
    """Return the model; if it predicts numbers, with the residuals of its validation rows, for `Model.predict_interval`.

    limit: the validation rows are predicted in random order until it is over, at least some of them.
    """
    task, problem = model.task, data.problem
    if not isinstance(task, Regression):
        return model
    rows, held_out, numbers = problem.validation, None, None
    if rows is None:
        if any(member.validation_rows is None for member in members):
            return model
        rows, held_out = problem.rows, np.zeros((len(members), len(problem.rows)), dtype=bool)
        for k, member in enumerate(members):
            held_out[k, member.validation_rows] = True
        numbers = np.flatnonzero(held_out.any(axis=0))
        held_out = held_out[:, numbers]
        numbers = None if len(numbers) == len(rows) else numbers  # all of them are not copied
    logits = None
    if limit is not None:
        done, logits = _predicted_until(limit, model, rows.x, np.arange(len(rows)) if numbers is None else numbers)
        numbers = done if numbers is None else numbers[done]
        held_out = None if held_out is None else held_out[:, done]
    taken = slice(None) if numbers is None else torch.from_numpy(numbers).to(rows.x.device)
    target = rows.target[taken].double().cpu().numpy()
    weight = None if rows.weight is None else rows.weight[taken].double().cpu().numpy()
    logits = model.encoded_logits(rows.x[taken]) if logits is None else logits
    model.residuals = residuals_of(task, logits, target, held_out=held_out, loss=model.recipe.loss, weight=weight)
    if model.residuals is None:  # what `predict_interval` says is wrong
        model.info["held_out_rows"] = len(target) if weight is None else int((weight > 0).sum())
    return model


def _predicted_until(
    limit: Deadline, model: Model, x: Tensor, numbers: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the numbers of the rows of x (N, D) that were predicted before the limit was over, at least some, and their scores (K, n, O)."""
    order, parts = np.random.default_rng(0).permutation(len(numbers)), []
    assert model.population is not None
    scorer = model.population.scorer()
    for start in range(0, len(order), PREDICTED):
        rows = torch.from_numpy(numbers[order[start : start + PREDICTED]]).to(x.device)
        scores = x.new_empty(model.size, len(rows), model.task.outputs)
        scorer.write(x[rows], scores, len(rows))
        parts.append(scores.cpu().numpy())
        if limit.over:
            break
    done = order[: sum(part.shape[1] for part in parts)]
    ordered = done.argsort()
    return done[ordered], np.concatenate(parts, axis=1)[:, ordered]


def _mean_history(histories: Sequence[Mapping[str, list[float]]]) -> dict[str, list[float]]:
    """Return the history of networks that predict together: the steps of the one that trained longest, and the means of everything else.

    For several networks, each mean `name` has the standard deviation `name_std` beside it. The history of a network that was stopped
    before its first step has no columns.
    """
    histories = [history for history in histories if history] or [{}]
    longest = max(histories, key=lambda history: len(history.get("loss", ())))
    out = {name: longest[name] if name in WHEN else mean_curve([history[name] for history in histories]) for name in longest}
    if len(histories) > 1:
        out |= {f"{name}_std": _spread([history[name] for history in histories]) for name in longest if name not in WHEN}
    return out


def _spread(curves: Sequence[list[float]]) -> list[float]:
    """Return the standard deviation of curves, which are extended as for `mean_curve`."""
    curves = _continued(curves)
    with np.errstate(invalid="ignore", over="ignore"):  # of a network that diverged
        return np.std(curves, axis=0).tolist() if curves else []


def _continued(curves: Sequence[list[float]]) -> list[list[float]]:
    """Return the curves that are not empty, each extended with its last value to the length of the longest."""
    longest = max(map(len, curves), default=0)
    return [curve + curve[-1:] * (longest - len(curve)) for curve in curves if curve]


def mean_curve(curves: Sequence[list[float]]) -> list[float]:
    """Return the mean of curves; those that end early are extended with their last value, empty ones are left out.

    >>> mean_curve([[4.0, 2.0], [2.0, 1.0, 0.0], []])
    [3.0, 1.5, 1.0]
    """
    curves = _continued(curves)
    return np.mean(curves, axis=0).tolist() if curves else []


def versions(*, linear: bool = False) -> dict[str, str]:
    """Return the versions that a result depends on. linear: whether linear models are among its networks, which scikit-learn fits."""
    from manynets import __version__

    found = {
        "manynets": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": ".".join(map(str, sys.version_info[:3])),
    }
    return found | {"scikit-learn": importlib.metadata.version("scikit-learn")} if linear else found


def system_of(data: TrainingData) -> dict[str, Any]:
    """Return what the bits of a result depend on besides data, spec and recipe: versions, core, threads, device, and the number of processes
    if several share the batches."""
    system, ranks = system_on(data.problem.rows.x.device), current_ranks()
    return system | {"world_size": ranks.size} if ranks.size > 1 else system


def system_on(device: torch.device) -> dict[str, Any]:
    """Return versions, core, threads and device."""
    return {"versions": versions(), "core": core.description(), "threads": torch.get_num_threads(), "device": str(device)}


def checkpoints_of(
    data: TrainingData,
    *,
    checkpoint: Checkpoint | None,
    resume: str | os.PathLike[str] | None,
    allow_world_size: bool = False,
) -> Callable[[Sequence[Member], str], Checkpoints] | None:
    """Return a function that opens the checkpoints of a group once its training begins (see `train_members`), None for a training
    without any."""
    if checkpoint is None and resume is None:
        return None
    options: dict[str, Any] = {"system": system_of(data), "allow_world_size": allow_world_size}

    def opened(group: Sequence[Member], part: str) -> Checkpoints:
        kept, start = checkpoint, resume
        if part and kept is not None:
            kept = dataclasses.replace(kept, folder=Path(kept.folder) / part)
        if part and start is not None and any(Path(start).glob("part-*")):  # else it is of another training, and refused
            start = Path(start) / part if checkpoint_files(Path(start) / part) else None
        return Checkpoints(data.problem, group, checkpoint=kept, resume=start, **options)

    return opened
