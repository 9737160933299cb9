"""The whole state of a run between two steps, from which it continues bit for bit; and the identity of that run.

The order of rows and the dropout masks are functions of (seed, epoch) and (seed, step), schedules of the step. So the state is:
weights and running statistics, the best of both, the optimizer's tensors, patience and plateaus, histories, outcomes of the
networks that have ended, the steps made, the log since the last evaluation, and torch's generators for a user's module.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from manynets.data.stream.rows import StreamedRows
from manynets.errors import ModelFileError
from manynets.spec import to_json
from manynets.training.format1 import upgraded
from manynets.training.steppers.base import Array, fill
from manynets.training.trial import Divergence, FitState, Member, Outcome, Problem

if TYPE_CHECKING:
    from manynets.training.loop import TrainingRun

_PATIENCE = ("best_figure", "bad", "factor", "plateau_best", "plateau_bad")
_OUTCOME = {"number": int, "best": int, "stopped": str, "seconds": float, "stepper": str, "threads": int}  # as JSON


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TrainState:
    """A run between two steps. identity: of which run, see `identity_of`. values: JSON. tensors: by name, on the host."""

    step: int
    identity: Mapping[str, Any]
    values: Mapping[str, Any]
    tensors: Mapping[str, Array]


# ---------------------------------------------------------------------------------------------------------------- capture


def capture(run: TrainingRun, identity: Mapping[str, Any]) -> TrainState:
    """Return the state of a run that stands between two steps; its arrays are not to be written to."""
    tensors: dict[str, Tensor | Array] = {}
    values: dict[str, Any] = {
        "step": run.step,
        "seconds": run.seconds_now,
        "stepper": run.stepper.name,
        "threads": run.threads,
        "places": [member.number for member in run.tracks.members],
        "columns": list(run.tracks.columns),
        "sums": run.sums.steps,
        "outcomes": [],
    }
    if len(run.tracks):
        tensors |= run.stepper.capture() | _tensors(run)
        tensors |= {f"history/{name}": np.stack(column) for name, column in run.tracks.columns.items()}
    for outcome in run.outcomes.values():
        about, more = _outcome_out(outcome)
        values["outcomes"].append(about)
        tensors |= more
    arrays = {name: value.detach().cpu().numpy() if isinstance(value, Tensor) else value for name, value in tensors.items()}
    return TrainState(step=run.step, identity=identity, values=values, tensors=arrays)


def _outcome_out(outcome: Outcome) -> tuple[dict[str, Any], dict[str, Array]]:
    at, progress, prefix = outcome.divergence, outcome.progress, f"outcome/{outcome.number}/"
    about: dict[str, Any] = {name: getattr(outcome, name) for name in _OUTCOME}
    about |= {"parameters": list(outcome.parameters), "columns": list(outcome.history), "progress": None}
    about["divergence"] = None if at is None else dataclasses.astuple(at)
    tensors: dict[str, Array] = {f"{prefix}parameter/{name}": value for name, value in outcome.parameters.items()}
    tensors |= {f"{prefix}history/{name}": np.array(column, dtype=np.float64) for name, column in outcome.history.items()}
    if progress is not None:
        about["progress"] = {"steps": progress.steps, "bad": progress.bad, "optimizer": list(progress.optimizer)}
        tensors[f"{prefix}progress"] = np.array([progress.best, progress.factor])
        tensors |= {f"{prefix}optimizer/{name}": np.asarray(value) for name, value in progress.optimizer.items()}
    return about, tensors


# ---------------------------------------------------------------------------------------------------------------- restore


def restore(run: TrainingRun, state: TrainState) -> None:
    """Put a fresh run of the same problem and members into a state. A state that does not fit it is a ModelFileError."""
    try:
        _restore(run, state.values, state.tensors)
    except (KeyError, ValueError, TypeError, IndexError, RuntimeError, AttributeError, ArithmeticError) as error:
        raise ModelFileError(f"the checkpoint does not fit the run: {type(error).__name__}: {error}") from error


def _restore(run: TrainingRun, values: Mapping[str, Any], tensors: Mapping[str, Array]) -> None:
    numbers = [member.number for member in run.members]
    indices = [numbers.index(number) for number in values["places"]]
    outcomes = [_outcome_in(about, tensors) for about in values["outcomes"]]
    known = {outcome.number for outcome in outcomes}
    if not known | set(values["places"]) >= set(numbers) or not known <= set(numbers):
        raise ValueError("networks are missing")
    if indices != list(range(len(numbers))):
        run.take(indices)
    run.outcomes = {outcome.number: outcome for outcome in outcomes}
    if "chunk_start" in values:  # only version 0.1 wrote that
        values, tensors = upgraded(run, values, tensors)
    run.seconds, run.threads = float(values["seconds"]), int(values["threads"])
    if not indices:
        run.stepper.step = int(values["step"])
        return
    run.stepper.restore(tensors, int(values["step"]))
    run.tracks.columns = {name: list(tensors[f"history/{name}"].copy()) for name in values["columns"]}
    run.sums.steps = int(values["sums"])
    if run.sums.steps:
        run.sums.totals = np.empty((1, len(indices), 3 + run.stepper.loss.hit_count))
    fill(_tensors(run), tensors)


def _tensors(run: TrainingRun) -> dict[str, Tensor]:
    """Return the tensors of the state besides the stepper's, in the memory of the run: the best weights, the log, and vectors over K."""
    tracks, names = run.tracks, ["alive", "best"]
    if tracks.cool_down.any():  # of a recipe with `EarlyStopping.cool_down`
        names += ["totals", "cool_start", "cool_rate"]
    if tracks.races.any():  # with `EarlyStopping.race`
        names += ["lead"]
    vectors = {f"tracks/{name}": getattr(tracks, name) for name in names}
    vectors |= {f"tracks/{name}": getattr(tracks.patience, name) for name in _PATIENCE}
    vectors |= {"sums/totals": run.sums.totals[0], "sums/first_bad": run.sums.first_bad}
    best = {"best_weights": run.best.flat, "best_statistics": run.best.statistics}
    return best | {name: torch.from_numpy(vector) for name, vector in vectors.items()}


def _outcome_in(about: Mapping[str, Any], tensors: Mapping[str, Array]) -> Outcome:
    plain = {name: kind(about[name]) for name, kind in _OUTCOME.items() if name in about}  # version 0.1 has fewer
    at, made, progress, prefix = about["divergence"], about["progress"], None, f"outcome/{plain['number']}/"
    if made is not None:
        best, factor = tensors[f"{prefix}progress"].tolist()
        state = {name: tensors[f"{prefix}optimizer/{name}"].copy() for name in made["optimizer"]}
        progress = FitState(int(made["steps"]), state, best, int(made["bad"]), factor)
    return Outcome(
        parameters={name: tensors[f"{prefix}parameter/{name}"].copy() for name in about["parameters"]},
        history={name: tensors[f"{prefix}history/{name}"].tolist() for name in about["columns"]},
        divergence=None if at is None else _divergence_in(*at),
        progress=progress,
        **plain,
    )


def _divergence_in(epoch: Any, step: Any, lr: Any, layer: Any = "", column: Any = None, reach: Any = 0.0) -> Divergence:
    return Divergence(int(epoch), int(step), float(lr), str(layer), None if column is None else int(column), float(reach))


# --------------------------------------------------------------------------------------------------------------- identity


class Digests:
    """Hashes of arrays, each made once: networks share their rows."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Tensor | Array, str]] = {}  # with the array, so that no other one gets its id

    def __call__(self, values: Tensor | Array | None) -> str | None:
        """Return the hash of type, shape and values; None for None."""
        if values is None:
            return None
        if id(values) not in self._known:
            array = np.ascontiguousarray(values.detach().cpu().numpy() if isinstance(values, Tensor) else values)
            check = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
            check.update(array.reshape(-1).view(np.uint8).data)
            self._known[id(values)] = values, check.hexdigest()[:16]
        return self._known[id(values)][1]


def identity_of(problem: Problem, members: Sequence[Member], digests: Digests | None = None) -> dict[str, Any]:
    """Return what a checkpoint and the run that resumes from it must have in common, as JSON: data by hash, specs, recipes."""
    rows, held_out, digest = problem.rows, problem.validation, digests or Digests()
    if isinstance(rows, StreamedRows):
        data = {"stream": rows.identity}
    else:
        data = {"X": digest(rows.x), "y": digest(rows.target), "weights": digest(rows.weight)}
    if held_out is not None:
        data |= {"validation X": digest(held_out.x), "validation y": digest(held_out.target)}
        data["validation weights"] = digest(held_out.weight)
    return {
        "task": problem.task.to_json(),
        "data": data | {"rows": len(rows), "columns": rows.x.shape[1]},
        "networks": {str(member.number): _member(member, digest) for member in members},
    }


def _member(member: Member, digest: Digests) -> dict[str, Any]:
    spec: dict[str, Any]
    if isinstance(member.spec, nn.Module):
        kind = type(member.spec)
        shapes = {name: list(parameter.shape) for name, parameter in member.spec.named_parameters()}
        spec = {"module": f"{kind.__module__}.{kind.__qualname__}", "parameters": shapes}
    else:
        spec = to_json(member.spec)
    own = {"rows": member.rows, "validation_rows": member.validation_rows, "weight": member.weight}
    return {
        "spec": spec,
        "recipe": to_json(member.recipe),
        "start": member.start,
        **{name: digest(value) for name, value in own.items()},
    }


def differences(found: Any, wanted: Any, path: str = "") -> list[str]:
    """Return where two JSON values differ, one line each: of the checkpoint (found) and of this run (wanted).

    >>> differences({"lr": 0.1, "seed": 1}, {"lr": 0.2, "seed": 1})
    ['lr is 0.2, in the checkpoint 0.1']
    """
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        out = []
        for name in dict.fromkeys([*wanted, *found]):
            out += differences(found.get(name), wanted.get(name), f"{path}.{name}" if path else str(name))
        return out
    return [] if found == wanted else [f"{path} is {wanted!r}, in the checkpoint {found!r}"]
