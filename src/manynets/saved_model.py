"""A model as its file has it: read and checked, and predicting with NumPy, so that a table is predicted without loading torch."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets.data.check import refuse_overflow
from manynets.engines import numpy as engine
from manynets.errors import ManynetsError, ModelFileError, OptionError
from manynets.intervals import Residuals, residuals_from_json
from manynets.modelfile import StoredTensor, open_model_file
from manynets.nn.shape import Shape
from manynets.predictor import Predictor
from manynets.spec import MLP, Recipe, from_json
from manynets.tables import TableEncoder
from manynets.tasks import Regression, Task, task_from_json
from manynets.tasks.losses import loss_for

Array: TypeAlias = NDArray[Any]

HISTORY = "history/"  # before the names of the history's columns among the tensors
_OPTIONAL = {"residuals"}
_FIELDS = {"spec", "task", "recipe", "in_features", "encoder", "networks", "history", "info"}
ROWS_AT_ONCE = 1 << 17
"""Numbers in the widest layer of a prediction chunk: it and the next stay in the cache of a core."""
FEWEST_AT_ONCE = 64
"""Rows of a prediction chunk at least: with fewer, a large first layer is read more often than it is multiplied."""
QUICK = 2e10
"""Multiplications that NumPy makes in less time than torch takes to load."""
SLOW_ACTIVATIONS = ("gelu",)  # which NumPy has no function for


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SavedModel(Predictor):
    """What `read_saved_model` returns. The fields are those of `Model`; header: what the file says of them.

    The weights are read where they are asked for, so that a file takes their memory once.

    Its predictions are those of `Model` up to rounding: both compute in the model's type, but add up in another order.
    """

    path: str
    spec: MLP | None
    task: Task
    recipe: Recipe
    in_features: int
    networks: int
    history: dict[str, list[float]]
    info: dict[str, Any]
    encoder: TableEncoder | None
    residuals: tuple[Residuals, ...] | None
    header: dict[str, Any]

    @contextlib.contextmanager
    def opened(self) -> Iterator[dict[str, StoredTensor]]:
        """Open the file again, and yield the tensors but for those of the history."""
        with open_model_file(self.path) as (header, stored):
            if header != self.header:
                raise ModelFileError(f"{self.path}: the file changed while it was read; read it again")
            yield {name: value for name, value in stored.items() if not name.startswith(HISTORY)}

    @functools.cached_property
    def tensors(self) -> dict[str, Array]:
        """The weights by name, of several networks with a leading axis K."""
        with self.opened() as stored:
            tensors = {name: value.read() for name, value in stored.items()}
        for name, value in tensors.items():
            if not np.isfinite(value).all():
                raise unsound(self.path, name, self.recipe.dtype)
            if name.endswith("running_var") and (value < 0).any():
                raise unsound(self.path, name, "")
        return tensors

    @property
    def size(self) -> int:
        """K, the number of networks."""
        return self.networks

    @property
    def members(self) -> list[dict[str, Array]]:
        """Parameters (and running statistics) of each network, by name."""
        if self.networks == 1:
            return [self.tensors]
        return [{name: value[k] for name, value in self.tensors.items()} for k in range(self.networks)]

    def is_quick(self, rows: int) -> bool:
        """Return whether NumPy predicts so many rows in less time than torch takes to load; never for a user's own module."""
        if self.spec is None or (self.spec.hidden and self.spec.activation in SLOW_ACTIVATIONS):
            return False
        return rows * self.networks * Shape.of(self.spec, self.in_features, self.task.outputs).multiplications <= QUICK

    @property
    def rows_at_once(self) -> int:
        """How many rows are computed together."""
        assert self.spec is not None, "a user's own module is torch's"
        return max(FEWEST_AT_ONCE, ROWS_AT_ONCE // max(self.in_features, self.task.outputs, *self.spec.hidden))

    def logits(self, x: Any) -> Array:
        """Return logits (raw scores) (K, N, O) of every network for X (N, D), an array or a frame; computed in chunks."""
        assert self.spec is not None, "a user's own module is torch's"
        matrix, kind = self.inputs_of(x), np.dtype("f8" if self.recipe.dtype == "float64" else "f4")
        inputs = _cast(np.asarray(matrix), kind)
        out = np.empty((self.networks, len(inputs), self.task.outputs), kind)
        step = self.rows_at_once
        members = self.members
        with np.errstate(over="ignore", invalid="ignore"):  # as torch, whose scores of large inputs may be infinite
            for start in range(0, len(inputs), step):
                part = inputs[start : start + step]
                for k, member in enumerate(members):
                    out[k, start : start + step] = engine.predict(self.spec, member, part, member)
        return out


def _cast(x: Array, kind: np.dtype[Any]) -> Array:
    with np.errstate(over="ignore"):
        out = x.astype(kind, copy=False)
    if kind.itemsize < x.dtype.itemsize and not np.isfinite(out).all():
        column = int(np.flatnonzero(~np.isfinite(out).all(axis=0))[0])
        refuse_overflow("X", column, float(np.abs(x[:, column]).max()), kind.name, float(np.finfo(kind).max))
    return out


def read_saved_model(path: str | os.PathLike[str]) -> SavedModel:
    """Return the model in a file that `Model.save` wrote; any other file, and a damaged one, is a ModelFileError."""
    with open_model_file(path) as (header, stored):
        return saved_from(path, header, stored)


def saved_from(path: str | os.PathLike[str], header: dict[str, Any], stored: dict[str, StoredTensor]) -> SavedModel:
    """Return the model of an open file, all but the values of its weights; those of the history are taken out of `stored`."""
    if set(header) - _OPTIONAL != _FIELDS:
        raise ModelFileError(
            f"{path}: the header has the fields {sorted(header)}, but must have {sorted(_FIELDS)}; save the model again"
        )
    try:
        spec = None if header["spec"] is None else from_json(header["spec"])
        recipe, task = from_json(header["recipe"]), task_from_json(header["task"])
        if not (spec is None or isinstance(spec, MLP)) or not isinstance(recipe, Recipe):
            raise OptionError("spec must be an MLP and recipe a Recipe")
        for name in ("in_features", "networks"):
            if type(header[name]) is not int or not 1 <= header[name] < 1 << 62:
                raise OptionError(f"{name} is {header[name]!r}, but must be a whole number of at least 1")
        if spec is None and header["networks"] != 1:
            raise OptionError(f"networks is {header['networks']}, but a module of one's own is one network")
        if not isinstance(header["info"], dict):
            raise OptionError("info must be a JSON object")
        if spec is not None:  # first, as what follows takes memory for each output
            weights = {name: value for name, value in stored.items() if not name.startswith(HISTORY)}
            _check_tensors(path, Shape.of(spec, header["in_features"], task.outputs), header["networks"], weights, recipe.dtype)
        with np.errstate(all="raise"):
            loss_for(task, recipe)
        encoder = None if header["encoder"] is None else _encoder_from_json(header["encoder"], header["in_features"])
        residuals = None
        if "residuals" in header:
            residuals = residuals_from_json(header["residuals"], task.outputs if isinstance(task, Regression) else 0)
    except ModelFileError:
        raise
    except (ManynetsError, TypeError, ValueError, AttributeError, KeyError, ArithmeticError, RecursionError) as error:
        raise ModelFileError(f"{path}: {' '.join(str(error).split())[:500]}; save the model again") from error
    columns = {name: stored.pop(name) for name in list(stored) if name.startswith(HISTORY)}
    return SavedModel(
        path=os.fspath(path),
        spec=spec,
        task=task,
        recipe=recipe,
        in_features=header["in_features"],
        networks=header["networks"],
        header=header,
        history=_history(path, header["history"], columns),
        info=header["info"],
        encoder=encoder,
        residuals=residuals,
    )


def in_run_folder(path: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """Return the model file in a run folder, or in the best run of a sweep; any other path as it is."""
    if not isinstance(path, str | os.PathLike) or not os.path.isdir(path):
        return path
    inside = [os.path.join(os.fspath(path), name) for name in ("model.safetensors", "best/model.safetensors")]
    return next((file for file in inside if os.path.isfile(file)), path)


def _encoder_from_json(state: Any, in_features: int) -> TableEncoder:
    encoder = TableEncoder.from_json(state)
    if encoder.width != in_features:
        raise OptionError(f"the encoder makes {encoder.width} columns, but in_features is {in_features}")
    return encoder


def _history(path: object, names: Any, columns: Mapping[str, StoredTensor]) -> dict[str, list[float]]:
    """Return the columns of the history, in the order of their names."""
    if not isinstance(names, list) or sorted(columns) != sorted(HISTORY + str(name) for name in names):
        raise ModelFileError(f"{path}: history must list the names of its columns; save the model again")
    for name, column in columns.items():
        if len(column.shape) != 1 or column.dtype != np.float64 or column.shape != next(iter(columns.values())).shape:
            raise ModelFileError(f"{path}: {name!r} must be one column of float64, as long as the others; save the model again")
    return {name: columns[HISTORY + name].read().tolist() for name in names}


def _check_tensors(path: object, shape: Shape, networks: int, tensors: Mapping[str, StoredTensor], dtype: str) -> None:
    wanted = {n: s if networks == 1 else (networks, *s) for n, s in (shape.parameters() | shape.buffers()).items()}
    found = {name: value.shape for name, value in tensors.items()}
    if wanted != found:
        wrong = sorted(name for name in wanted | found if wanted.get(name) != found.get(name))
        shown = ", ".join(f"{name} {found.get(name)} instead of {wanted.get(name)}" for name in wrong[:3])
        raise ModelFileError(f"{path}: the weights do not fit the specification: {shown}; save the model again")
    for name, value in tensors.items():
        if value.dtype != dtype:
            raise unsound(path, name, dtype)


def unsound(path: object, name: str, dtype: str) -> ModelFileError:
    """Return the error for a tensor with values that no training gives; dtype "" for negative variances."""
    what = f"must hold finite numbers of {dtype}" if dtype else "holds negative variances"
    return ModelFileError(f"{path}: {name} {what}; save the model again")
