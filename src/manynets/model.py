"""A trained model: specification, task, weights of one network or of several, and what it needs to predict."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import manynets.training.threads  # noqa: F401  # so that a forked child may predict
from manynets.data.check import as_weights
from manynets.data.tensors import to_tensor
from manynets.display import History, short
from manynets.errors import ModelFileError, OptionError, check_rows
from manynets.intervals import Residuals
from manynets.model_tools import ModelTools, with_fields
from manynets.modelfile import StoredTensor, check_target, open_model_file, write_model_file
from manynets.nn.core_scores import takes_scores
from manynets.nn.initial import given_parameters
from manynets.nn.network import build
from manynets.nn.population import Population
from manynets.nn.shape import Shape
from manynets.saved_model import FEWEST_AT_ONCE, HISTORY, SavedModel, in_run_folder, saved_from, unsound
from manynets.spec import MLP, Recipe, to_json
from manynets.spec.lessons import no_attribute
from manynets.spec.metadata import check_device
from manynets.spec.own import is_own
from manynets.tables.rowgroups import in_blocks
from manynets.tasks import Task
from manynets.tasks.objectives import objective_for
from manynets.training.module import whole_numbers
from manynets.training.torch_settings import find_device

if TYPE_CHECKING:
    from manynets.tables import TableEncoder

Array: TypeAlias = NDArray[Any]

STORED = ("spec", "task", "recipe", "in_features", "history", "info", "encoder", "residuals")
"""The fields that a `Model` and a `SavedModel` have in common."""
CPU = torch.device("cpu")
MODULE_ROWS = 8192  # in a prediction chunk of a user's own module
PART = 1 << 22  # scores judged together
CHUNKS_AT_ONCE = 32  # that are brought into the model's type together, on the CPU
ROWS_AT_ONCE = {"cpu": 1 << 17, "cuda": 1 << 24}
"""Numbers in the widest layer of a prediction chunk. On the CPU it and the next stay in the cache of a core."""


class Model(ModelTools):
    """What `train` returns: one trained network, or several that predict together (their mean).

    spec, task, recipe: what was trained, for what, and how. members: one dict of parameters by name for each network, or a population.
    history: columns of the training history; of several networks the means, such as `loss`, and the standard deviations, `loss_std`.
    info: versions, seed, how training ended.
    in_features: columns of X, once encoded. A user's own module has spec None and lives in `module`, in prediction mode.
    encoder: turns a frame, or an array that is scaled, into those columns; None for a model that reads an array as it is.
    residuals: quantiles of the errors on held-out rows, for each target, used by `predict_interval`; None for classes, and without such rows.

    Models start on the CPU; `to` moves one to a GPU, on which it then predicts.

    Every method that takes X takes an array (N, D), or for a model with an encoder a frame (pandas, polars, pyarrow), whose columns are found
    by name, or the path of a table, whose columns are read as in training; y and sample_weight are then names of its columns. An array given
    to a model that was trained on a frame is taken as encoded already, with a warning where it has as many columns as the frame; one that was
    trained on an array encodes it too.

    >>> import manynets as mn
    >>> data = mn.datasets.load("moons", points=400, seed=0)
    >>> model = mn.train(data.X, data.y, mn.MLP(hidden=(16,)), mn.Recipe(epochs=20), validation=0.2, progress=False)
    >>> model
    <Model: Binary classifier, 16 relu, 2 columns>
    >>> model.predict(data.X_test).shape, model.predict_proba(data.X_test).shape
    ((100,), (100, 2))
    >>> sorted(model.evaluate(data.X_test, data.y_test))[:3]
    ['accuracy', 'auc', 'confusion']
    """

    def __init__(
        self,
        *,
        spec: MLP | None,
        task: Task,
        recipe: Recipe,
        in_features: int,
        members: Sequence[Mapping[str, Array]] | Population,
        history: Mapping[str, Sequence[float]],
        info: Mapping[str, Any],
        module: nn.Module | None = None,
        encoder: TableEncoder | None = None,
        residuals: tuple[Residuals, ...] | None = None,
    ) -> None:
        self.spec = spec
        self.task = task
        self.recipe = recipe
        self.in_features = in_features
        self.history: dict[str, list[float]] = History({name: list(column) for name, column in history.items()})
        self.info = dict(info)
        self.module = module
        if module is not None:
            module.eval()
        self.encoder = encoder
        self.residuals = residuals
        self._dtype = torch.float64 if recipe.dtype == "float64" else torch.float32
        self._population: Population | None = members if isinstance(members, Population) else None
        if spec is not None and not isinstance(members, Population):
            shape = Shape.of(spec, in_features, task.outputs)
            self._population = Population.start(shape, members, device=CPU, dtype=self._dtype)
        self._size = 1 if self._population is None else self._population.size
        self._ready()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise no_attribute("Model", name, owner="'Model' object")

    def _ready(self) -> None:
        """Prepare prediction on the device that the networks are on."""
        if self._population is not None:
            self._chunk, self._scorer = self.rows_at_once, self._population.scorer()

    @property
    def rows_at_once(self) -> int:
        """How many rows are predicted at a time, which depends on the device."""
        if self._population is None:
            return MODULE_ROWS
        return max(FEWEST_AT_ONCE, ROWS_AT_ONCE[self.device.type] // (self._population.shape.widest * self.size))

    def __getstate__(self) -> dict[str, Any]:
        """Return what the model is made of, for pickle and copy: each tensor once, as every view of it would be written with the whole of it.

        The copy is on the CPU, so that it can be loaded where there is no GPU.
        """
        fields = {name: getattr(self, name) for name in (*STORED, "members", "module")}
        if self.module is not None and self.device.type != "cpu":
            fields["module"] = copy.deepcopy(self.module).to("cpu")
        return fields

    def __setstate__(self, fields: dict[str, Any]) -> None:
        self.__init__(**fields)  # type: ignore[misc]

    def to(self, device: str | torch.device) -> Model:
        """Move the networks to "cpu", "cuda", "cuda:N" or "auto" (CUDA if there is one); return this model.

        Prediction then runs there, in chunks of X, and returns arrays as before. `members`, files, pickles and copies do not depend on the
        device. A device that does not exist is an OptionError.

        >>> import manynets as mn
        >>> model = mn.train([[0.0], [1.0]] * 8, [0, 1] * 8, recipe=mn.Recipe(epochs=1), progress=False)
        >>> model.to("cpu").device
        device(type='cpu')
        """
        check_device(device, what="device")
        found = find_device(str(device))
        if self._population is not None:
            population = self._population
            self._population = Population(population.shape, population.flat.to(found), population.statistics.to(found))
            self._ready()
        elif self.module is not None:
            self.module.to(found)
        return self

    @property
    def population(self) -> Population | None:
        """The networks on their device; None for a module of your own."""
        return self._population

    @property
    def size(self) -> int:
        """K, the number of networks."""
        return self._size

    @property
    def device(self) -> torch.device:
        """The device that the networks are on."""
        if self._population is not None:
            return self._population.flat.device
        assert self.module is not None
        return next(self.module.parameters()).device

    @property
    def members(self) -> list[dict[str, Array]]:
        """Parameters (and running statistics) of each network, by name."""
        if self._population is not None:
            return [self._population.network(k) for k in range(self.size)]
        assert self.module is not None
        return [{name: value.detach().cpu().numpy() for name, value in self.module.state_dict().items()}]

    @property
    def parameters(self) -> int:
        """Trainable parameters of one network."""
        if self._population is not None:
            return self._population.flat.shape[1]
        assert self.module is not None
        return sum(p.numel() for p in self.module.parameters() if p.requires_grad)

    # ---------------------------------------------------------------------------------------------------------- prediction

    def logits(self, x: Any) -> Array:
        """Return logits (raw scores) (K, N, O) of every network for X (N, D); computed in chunks, so memory stays flat."""
        return self.encoded_logits(self.inputs_of(x))

    def encoded_logits(self, matrix: Array | Tensor) -> Array:
        """Return logits (K, N, O) of rows (N, in_features) that are encoded already."""
        kind = self.device.type
        if torch.is_autocast_enabled(kind):  # by the caller; its bfloat16 is not what this model promises
            with torch.autocast(kind, enabled=False):
                return self._logits(matrix)
        return self._logits(matrix)

    def _logits(self, matrix: Array | Tensor) -> Array:
        if self._population is None:
            return self._module_logits(matrix)
        # no parameter asks for a gradient, so inference mode, which costs one row a tenth of its time, is not needed
        rows, device = matrix.shape[0], self._population.flat.device
        if rows <= self._chunk:
            x = to_tensor(matrix, device=device, dtype=self._dtype)
            if rows == 1 and self._scorer.takes_row:
                return self._scorer.row(x.numpy()[0])[None, None]
            if not takes_scores(self._population, x):
                return self._scorer(x).cpu().numpy()
            matrix = x
        out = torch.empty(self.size, rows, self.task.outputs, dtype=self._dtype, device=CPU)
        step = self._chunk * (CHUNKS_AT_ONCE if device.type == "cpu" else 1)
        for start in range(0, rows, step):
            part = to_tensor(matrix[start : start + step], device=device, dtype=self._dtype)
            self._scorer.write(part, out[:, start : start + step], self._chunk)
        return out.numpy()

    def _module_logits(self, matrix: Array | Tensor) -> Array:
        assert self.module is not None
        place = next(self.module.parameters())
        if self.module.training:  # and it stays so: threads that predict at the same time must not switch it
            self.module.eval()
        parts: list[Tensor] = []
        with torch.no_grad():  # in inference mode a module could not take the gradients that it may be made of
            for start in range(0, matrix.shape[0], MODULE_ROWS):
                part = to_tensor(matrix[start : start + MODULE_ROWS], device=CPU, dtype=self._dtype)
                part = whole_numbers(part) if self.info.get("integers") else part.to(place.dtype)
                own = part.to(place.device, copy=True)  # a module may change what it is given, which must not be the user's rows
                parts.append(self.module(own).detach().cpu())
            out = torch.cat(parts).to(self._dtype)
        return (out.unsqueeze(-1) if out.ndim == 1 else out).unsqueeze(0).numpy()

    def evaluate(self, x: Any, y: Any, *, sample_weight: Any = None) -> dict[str, Any]:
        """Return loss and metrics on X (N, D) and y, by name; several networks are judged by their mean prediction.

        Classes: accuracy, precision, recall, f1, log_loss, auc (two classes), per_class and confusion (up to 1,000 classes). precision, recall and
            f1 are those of the second of two classes, and the mean over the classes if there are more.
        Several labels a row: accuracy is the share of rows whose labels are all right; precision, recall and f1 are means over the labels. per_label
            has the accuracy of each label, label_metrics all its metrics, and its name if the model has it.
        Numbers: r2 (NaN for a single row), rmse and mae. For several targets, r2 is the mean over them, while rmse and mae are over all numbers as
            they are, so large ones count most; per_target has the three of each target, and its name if the model has it.

        The loss is in the unit of y; there is none for a loss function of your own, of which the model only has the name. sample_weight counts in
        everything except confusion, per_class, and the counts, precision, recall and f1 in label_metrics, which count rows. If the model has
        the names of its targets, the columns of a frame y are found by name.

        If x is the path of Parquet files or of an Arrow file, and y the name of a column, the rows are read block by block.
        """
        encoder = self.encoder
        named = isinstance(x, str | os.PathLike) and isinstance(y, str) and isinstance(sample_weight, str | None)
        if named and encoder is not None and not encoder.positional and in_blocks(os.fspath(x)):
            from manynets.data.stream.table import scored_file

            found = scored_file(os.fspath(x), y, encoder, lambda frame: self.mean_logits(self.logits(frame)), weight=sample_weight)
            return self.figures(found.scores, self.labels_as_trained(found.y), sample_weight=found.weight)
        x, y, sample_weight = self.read_given(x, y, sample_weight)
        self.warn_of_array(x)
        return self.figures(self.mean_logits(self.logits(x)), y, sample_weight=sample_weight)

    def figures(self, logits: Array, y: Any, *, sample_weight: Any = None) -> dict[str, Any]:
        """Return what `evaluate` returns, from logits (N, O) that were computed before."""
        target = self.task.encode(self.targets_in_order(y))
        check_rows(len(logits), len(target))
        weight = as_weights(sample_weight, len(target))
        figures = {} if is_own(self.recipe.loss) else {"loss": self._loss(logits, target, weight)}
        exact = logits.astype(np.float64) if self.task.name == "regression" else logits  # of classes, only the order matters
        return figures | self.with_names(self.task.evaluate(exact, target, loss=self.recipe.loss, weight=weight))

    def _loss(self, logits: Array, target: Array, weight: Array | None) -> float:
        """Return the mean loss of logits (N, O)."""
        objective, losses = objective_for(self.task, self.recipe), []
        step = max(1, PART // logits.shape[1])  # in parts, as the targets of thousands of classes are spread out
        for start in range(0, len(logits), step):
            scores = torch.from_numpy(np.ascontiguousarray(logits[start : start + step])).double()
            expanded = objective.expand(torch.from_numpy(target[start : start + step]), 0.0, torch.float64)
            losses.append(objective.report(scores, expanded).numpy())
        return float(np.average(np.concatenate(losses), weights=weight))

    def with_members(self, members: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Model:
        """Return a copy of this model with other parameters: those of one network by name, or a list of these for several networks.

        They may be arrays or torch tensors, such as `Evaluated.parameters[0]`, or the state_dict of a torch module. History and info stay the
        same. Parameters that do not fit are an OptionError.

        >>> import manynets as mn
        >>> model = mn.train([[0.0], [1.0]] * 8, [0, 1] * 8, mn.MLP(hidden=(4,)), recipe=mn.Recipe(epochs=1), progress=False)
        >>> state = {name: 2 * value for name, value in model.network().state_dict().items()}
        >>> bool((model.with_members(state).members[0]["output.bias"] == 2 * model.members[0]["output.bias"]).all())
        True
        """
        given: list[Any] = list(members) if isinstance(members, list | tuple) else [members]
        if not given:
            raise OptionError("members is empty; give the parameters of at least one network")
        if self.spec is not None:
            shape = Shape.of(self.spec, self.in_features, self.task.outputs)
            given = given_parameters(given, shape, self.recipe.dtype, what="members")
            info = self.info if len(given) == self.size else {name: one for name, one in self.info.items() if name != "linear"}
            return with_fields(self, members=given, residuals=None, info=info)
        if len(given) > 1:
            raise OptionError(
                f"members has the parameters of {len(given)} networks, but a module of your own is one; give those of one"
            )
        if not isinstance(given[0], Mapping):
            raise OptionError(f"members is {short(given[0])}, but must be parameters by name, such as module.state_dict()")
        module = copy.deepcopy(self.module)
        assert module is not None
        try:
            state = {name: one if isinstance(one, Tensor) else torch.from_numpy(np.array(one)) for name, one in given[0].items()}
            module.load_state_dict(state)
        except (RuntimeError, TypeError) as error:
            raise OptionError(f"members does not fit {type(module).__name__}: {error}") from error
        return with_fields(self, module=module, residuals=None)

    def network(self, k: int = 0) -> nn.Module:
        """Return network k as a plain torch module (on the CPU, float32) that works without manynets; a module of your own is returned itself.

        Its inputs are the columns as the model encodes and scales them: `model.inputs_of(X)`.
        """
        if self.spec is None:
            assert self.module is not None
            return self.module
        return build(self.spec, self.in_features, self.task.outputs, self.members[k])

    # ---------------------------------------------------------------------------------------------------------------- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one file, all or nothing: safetensors with a JSON header, no pickle. `load` reads it.

        An existing file is replaced once the new one is complete and on the disk.

        Raises OptionError for a path that cannot be a file's and for `info` that JSON cannot hold, OSError when the disk refuses.
        """
        check_target(path)
        for name, value in self.info.items():
            try:
                json.dumps({name: value}, allow_nan=False)
            except (TypeError, ValueError, RecursionError):
                raise OptionError(
                    f"info[{name!r}] is {short(value)}, which JSON cannot hold; make it of texts, finite numbers, lists and dicts"
                ) from None
        header: dict[str, Any] = {
            "spec": None if self.spec is None else to_json(self.spec),
            "task": self.task.to_json(),
            "recipe": to_json(self.recipe),
            "in_features": self.in_features,
            "encoder": None if self.encoder is None else self.encoder.to_json(),
            "networks": self.size,
            "history": list(self.history),
            "info": self.info,
        }
        if self.residuals is not None:
            header["residuals"] = [one.to_json() for one in self.residuals]
        members = self.members
        if self.size == 1:
            tensors = members[0]
        else:
            tensors = {name: np.stack([member[name] for member in members]) for name in members[0]}
        history = {HISTORY + name: np.array(column, dtype=np.float64) for name, column in self.history.items()}
        write_model_file(path, header, {**tensors, **history})


def load(path: str | os.PathLike[str], *, module: nn.Module | None = None) -> Model:
    """Return the model that `Model.save` wrote. A file of a user's own module needs that module, which gets its weights.

    path: the file, a run folder that `manynets train` wrote, or the folder of a sweep, whose best network is loaded.

    Raises ModelFileError, which names the path, the field and what to do, for any other file and for a damaged one.

    >>> import manynets as mn
    >>> import tempfile
    >>> from pathlib import Path
    >>> model = mn.train([[0.0], [1.0]] * 8, [0, 1] * 8, mn.MLP(hidden=(4,)), mn.Recipe(epochs=1), progress=False)
    >>> path = Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> model.save(path)
    >>> bool((mn.load(path).predict_proba([[0.5]]) == model.predict_proba([[0.5]])).all())
    True
    """
    path = in_run_folder(path)
    with open_model_file(path) as (header, stored):
        return _model_of(saved_from(path, header, stored), stored, module)


def model_of(saved: SavedModel, *, module: nn.Module | None = None) -> Model:
    """Return the model in a file whose header has been read. module: as for `load`."""
    with saved.opened() as stored:
        return _model_of(saved, stored, module)


def _model_of(saved: SavedModel, stored: Mapping[str, StoredTensor], module: nn.Module | None) -> Model:
    members: Population | list[dict[str, Array]] = []
    if saved.spec is None:
        if module is None:
            raise ModelFileError(
                f"{saved.path}: it holds a module of your own; give it one of the same kind: load(path, module=MyNetwork())"
            )
        if not isinstance(module, nn.Module):
            raise OptionError(f"module is {short(module)}, but must be a torch module, such as MyNetwork()")
        try:
            module.load_state_dict({name: torch.from_numpy(value.read()) for name, value in stored.items()})
        except RuntimeError as error:
            raise ModelFileError(f"{saved.path}: the weights do not fit {type(module).__name__}: {error}") from error
    else:
        members = _population(saved, stored)
    return Model(**{name: getattr(saved, name) for name in STORED}, members=members, module=module)


def _population(saved: SavedModel, stored: Mapping[str, StoredTensor]) -> Population:
    """Return the networks whose parameters are in a file."""
    assert saved.spec is not None
    population = Population.filled(
        Shape.of(saved.spec, saved.in_features, saved.task.outputs),
        saved.networks,
        lambda name, rows: stored[name].read_into(rows),
        dtype=torch.float64 if saved.recipe.dtype == "float64" else torch.float32,
    )
    sound = population.finite().all()
    for name, view in (population.parameters | population.buffers).items():
        if not sound and not bool(torch.isfinite(view).all()):
            raise unsound(saved.path, name, saved.recipe.dtype)
        if name.endswith("running_var") and bool((view < 0).any()):
            raise unsound(saved.path, name, "")
    return population
