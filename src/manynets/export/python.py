"""`to_python`: a model as one readable Python module that needs NumPy only."""

from __future__ import annotations

import base64
import json
import keyword
import os
import re
import sys
import types
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets import __version__
from manynets.errors import OptionError
from manynets.export.inputs import model_inputs
from manynets.export.intervals import supported
from manynets.export.network import folded_layers
from manynets.export.parity import ExportCheck, Exported, compare, rows_to_check
from manynets.model import Model
from manynets.modelfile import check_target, replacing
from manynets.tables.columns import CategoricalColumn, DateColumn, NumericColumn
from manynets.tables.hashed import TextColumn
from manynets.tables.labels import other_spellings
from manynets.tables.piecewise import SIZE, Pieces
from manynets.tables.scaling import CLIP, Spread
from manynets.tables.units import duration_seconds
from manynets.tasks import Regression

Array = NDArray[Any]

LINE = 120
EMPTY = "MODEL = None\n"
"""The last line of standalone.py, in whose place the model is written."""
RULE = "\n# ----"
"""How the heading of a part of standalone.py begins; that of the model is the last."""


def to_python(model: Model, path: str | os.PathLike[str], *, X: Any = None, overwrite: bool = True) -> ExportCheck:
    """Write a model as one Python module, compared with the model on X before the file is there.

    The module needs NumPy only. Its functions `predict`, `predict_proba` (for classes), `predict_interval` (for numbers, where the model
    stores errors on held-out rows) and `predict_quantiles` (of a model of several quantiles) take rows as a list of dicts, a dict of columns or a frame,
    with numbers, texts, dates as ISO texts or datetimes, and None where a value is missing; of a model that was trained on an array, an array (N, D).

    X, the return value and the errors are those of `to_onnx`, but text of many words is no error.

    >>> import tempfile
    >>> import manynets as mn
    >>> model = mn.train([[0.0], [1.0]] * 8, [0, 1] * 8, mn.MLP(hidden=()), progress=False)
    >>> to_python(model, tempfile.mkdtemp() + "/xor.py").largest < 1e-5
    True
    """
    if model.spec is None:
        raise OptionError("a model of your own module has no specification to export; take its weights from model.network()")
    if not os.fspath(path).lower().endswith(".py"):
        raise OptionError(f"path is {os.fspath(path)!r}, but the name of a Python module ends in .py")
    name = _module_name(path)
    check_target(path)
    source = _source(model, name)
    check = _check(model, source, X)
    with replacing(path, overwrite=overwrite) as file:
        file.write(source.encode())
    return check


def _module_name(path: str | os.PathLike[str]) -> str:
    """Return the name of the module that a file will be. Errors: OptionError for a name that cannot be imported, or hides another module."""
    name = Path(path).stem
    if not name.isidentifier() or keyword.iskeyword(name):
        rule = "a name has only letters, digits and _, and begins with no digit"
        why = f"a module called {name!r} cannot be imported: {'it is a keyword of Python' if keyword.iskeyword(name) else rule}"
    elif name in sys.stdlib_module_names or name == "numpy":
        why = f"it would hide the module {name!r} from programs beside it"
    else:
        return name
    raise OptionError(f"path is {os.fspath(path)!r}, but {why}; write {_better(name)}.py")


def _better(name: str) -> str:
    """Return a name like this one that a module can have."""
    plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
    return plain if plain.isidentifier() and plain != name else f"model_{plain}".rstrip("_")


def _source(model: Model, name: str) -> str:
    _, code = _text_of("standalone.py").split('"""\n', 1)
    if model.encoder is not None and any(isinstance(column, TextColumn) for column in model.encoder.columns):
        code, heading = code.rsplit(RULE, 1)
        code += RULE + _text_of("standalone_text.py").split(RULE, 1)[1] + RULE + heading
    about = f'"""{model!r}, made by manynets {__version__}. It needs NumPy only.\n\n    import {name}\n    {name}.predict({_example(model)})\n"""\n'
    state = _state(model)
    weights = state.pop("weights")
    text = json.dumps(state, allow_nan=False, ensure_ascii=True, indent=1)[:-2]
    lines = [json.dumps(weights[at : at + LINE]) for at in range(0, len(weights), LINE)]
    text += ',\n "weights": [\n' + ",\n".join(lines) + "\n ]\n}"
    text = text.replace("'", "\\u0027")  # as it stands between quotes
    return about + code.removesuffix(EMPTY) + f"MODEL = load(r'''{text}''')\n"


def _text_of(name: str) -> str:
    return resources.files("manynets.export").joinpath(name).read_text(encoding="utf-8")


def _example(model: Model) -> str:
    if model.encoder is None or model.encoder.positional:
        return "[[...]]"
    plain = [
        column for column in model.encoder.columns if re.fullmatch(r"[\w .-]+", column.name, re.ASCII)
    ]  # others might end the docstring
    cells = {column.name: 1.5 if isinstance(column, NumericColumn) else "..." for column in plain[:3]}
    return repr([cells])[:-2] + (", ...}]" if len(model.encoder.columns) > len(cells) else "}]")


def _state(model: Model) -> dict[str, Any]:
    assert model.spec is not None
    dtype = "<f8" if model.recipe.dtype == "float64" else "<f4"
    networks = [folded_layers(model.spec, member) for member in model.members]
    layers = [np.stack([one[i][part] for one in networks]) for i in range(len(networks[0])) for part in (0, 1)]
    weights = b"".join(values.astype(dtype).tobytes() for values in layers)
    encoder = model.encoder
    state: dict[str, Any] = {
        "task": model.task.name,
        "classes": list(getattr(model.task, "classes", [])),
        "threshold": getattr(model.task, "threshold", 0.5),
        "costs": getattr(model.task, "costs", None),
        "array_width": model.in_features if encoder is None else encoder.array_width,
        "names": model.info.get("columns"),
        "positional": encoder is not None and encoder.positional,
        "columns": None if encoder is None else [_column(column) for column in encoder.columns],
        "networks": model.size,
        "widths": [model.in_features, *model.spec.hidden, model.task.outputs],
        "activation": model.spec.activation,
        "dtype": dtype,
        "weights": base64.b85encode(weights).decode(),
    }
    if isinstance(model.task, Regression):
        task = model.task
        state |= {"center": list(task.center), "scale": list(task.scale), "flat": task.flat, "log": task.transform == "log"}
        state |= {
            "poisson": model.recipe.loss == "poisson",
            "limits": None if task.limits is None else [list(pair) for pair in task.limits],
            "quantiles": list(task.quantiles),
            "point_weights": task.point_weights.tolist() if task.quantiles else [],
        }
        state["residuals"] = None if model.residuals is None else [one.to_json() for one in model.residuals]
    return state


def _column(column: Any) -> dict[str, Any]:
    state: dict[str, Any] = {"name": column.name, "kind": column.kind, "gaps": column.gaps}
    if isinstance(column, NumericColumn):
        limits = None if column.limits is None else list(column.limits)
        texts = column.reading.decimal == "." and not column.reading.duration  # of numbers have one meaning
        unit, digits = column.reading.unit, column.reading.digits
        seconds = duration_seconds(f"1 {unit}") if unit else 1.0
        return (
            state
            | {"fill": column.fill, "limits": limits, "texts": texts, "digits": digits, "seconds": seconds}
            | _spread(column.spread)
            | _pieces(column.pieces)
        )
    if isinstance(column, DateColumn):
        parts = [{"part": part, "fill": fill} | _spread(spread) for part, fill, spread in column.parts]
        in_a_second = {"seconds": 1, "milliseconds": 1000}.get(column.form.order, 0)
        return state | {"order": column.form.order, "unit": in_a_second, "zone": column.form.zone, "parts": parts}
    if isinstance(column, TextColumn):
        return state | {"width": column.width}
    assert isinstance(column, CategoricalColumn)
    means = [
        {"values": list(one.values), "missing": one.missing, "prior": one.prior} | _spread(one.spread) | _pieces(one.pieces)
        for one in column.means
    ]
    also = {} if column.part else other_spellings(column.known)
    levels = {"levels": list(column.levels), "rare": list(column.rare), "also": also, "numbers": column.of_numbers}
    return state | levels | {"part": column.part, "means": means}


def _pieces(pieces: Pieces | None) -> dict[str, Any]:
    edges, centers = ([], []) if pieces is None else (list(pieces.edges), list(pieces.centers))
    return {"edges": edges, "centers": centers, "size": SIZE}


def _spread(spread: Spread) -> dict[str, Any]:
    state = {"center": spread.center, "scale": spread.scale, "clip": CLIP if spread.smooth else 0.0}
    return state | {"knots": list(spread.knots), "normal": list(spread.normal)}


def _check(model: Model, source: str, X: Any) -> ExportCheck:
    module = types.ModuleType("exported")
    exec(compile(source, "exported", "exec"), module.__dict__)  # the text was made above

    coverage = supported(model, None)

    def predict(rows: Any) -> Exported:
        inputs = model_inputs(model, rows)
        array = model.encoder is None or model.encoder.positional
        cells = inputs["X"] if array else {name: column[:, 0].tolist() for name, column in inputs.items()}
        shares = None if isinstance(model.task, Regression) else module.predict_proba(cells)
        limits = None if coverage is None else module.predict_interval(cells, coverage)
        several = isinstance(model.task, Regression) and model.task.quantiles
        return Exported(module.predict(cells), shares, limits, module.predict_quantiles(cells) if several else None)

    return compare(model, predict, rows_to_check(model, X), "the Python module", coverage=coverage)
