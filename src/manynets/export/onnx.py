"""`to_onnx`: a model as an ONNX graph that takes the columns of the table as they are."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import numpy as np

from manynets import __version__
from manynets.errors import OptionError
from manynets.export.columns import encoded
from manynets.export.graph import Graph, require_onnx
from manynets.export.inputs import model_inputs
from manynets.export.intervals import supported
from manynets.export.network import float_type, outputs, scores
from manynets.export.parity import ExportCheck, Exported, compare, rows_to_check
from manynets.model import Model
from manynets.modelfile import check_target, replacing


def to_onnx(
    model: Model, path: str | os.PathLike[str], *, X: Any = None, coverage: float | None = None, overwrite: bool = True
) -> ExportCheck:
    """Write a model as one ONNX graph, compared with the model on X before the file is there.

    The graph has an input (N, 1) for each column of the table, float64 for numbers and text for all others, or for a model that was trained on
    an array the input "X" (N, D). Its outputs are `prediction` (N,) or (N, O) for numbers, with the limits `lower` and `upper` of
    `Model.predict_interval` where the model stores errors on held-out rows, and `quantiles` (N, J) or (N, O, J) where it predicts several;
    `label` (N,) and `probabilities` (N, C) for classes. The encoder, all networks, the temperature and the inverse of a target transform are
    inside; the metadata hold task, classes, columns, version and a hash of the weights. In a model in float64, activations that onnxruntime
    has only in float32, such as mish, are computed in float32.

    X: rows as `Model.predict` takes them, of which up to 1,000 are compared; None: rows made from what the encoder knows. Rows with missing,
    unseen and out-of-range values are compared in any case.

    coverage: of the limits; None: 0.9, or no limits where the model has none.

    Returns the largest difference. Raises OptionError where the graph cannot say the same: for text of many words, for a module of your
    own, and where probabilities differ by more than 1e-5, or predictions by more than 1e-5 of the spread of the target. Then no file is written.

    >>> import manynets as mn
    >>> import tempfile
    >>> from pathlib import Path
    >>> model = mn.train([[0.0], [1.0]] * 8, [0, 1] * 8, mn.MLP(hidden=(4,)), mn.Recipe(epochs=1), progress=False)
    >>> check = mn.export.to_onnx(model, Path(tempfile.mkdtemp()) / "model.onnx", X=[[0.5], [2.0]])
    >>> check.largest < 1e-5
    True
    """
    require_onnx()
    if model.spec is None:
        raise OptionError("a model of your own module has no specification to export; use torch.onnx.export on model.network()")
    if not os.fspath(path).lower().endswith(".onnx"):
        raise OptionError(f"path is {os.fspath(path)!r}, but the name of an ONNX file ends in .onnx")
    check_target(path)
    share = supported(model, coverage)
    content = _proto(model, share).SerializeToString()
    check = _check(model, content, X, share)
    with replacing(path, overwrite=overwrite) as file:
        file.write(content)
    return check


def _proto(model: Model, coverage: float | None) -> Any:
    graph = Graph()
    if model.encoder is None:
        matrix = graph.input("X", float_type(model), "the columns, in the order of training", model.in_features)
    else:
        matrix = encoded(graph, model.encoder)
    outputs(graph, model, scores(graph, model, matrix), coverage=coverage)
    metadata = _metadata(model) | ({} if coverage is None else {"coverage": repr(coverage)})
    return graph.model(metadata, "made by manynets")


def _metadata(model: Model) -> dict[str, str]:
    digest = hashlib.sha256()
    for member in model.members:
        for name in sorted(member):
            digest.update(name.encode() + np.ascontiguousarray(member[name]).tobytes())
    columns = [] if model.encoder is None else [{"name": column.name, "kind": column.kind} for column in model.encoder.columns]
    return {
        "task": model.task.name,
        "classes": json.dumps(list(getattr(model.task, "classes", []))),
        "columns": json.dumps(columns),
        "manynets": __version__,
        "weights_sha256": digest.hexdigest(),
    }


def _check(model: Model, content: bytes, X: Any, coverage: float | None) -> ExportCheck:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def predict(rows: Any) -> Exported:
        names = [output.name for output in session.get_outputs()]
        found: dict[str, Any] = dict(zip(names, session.run(names, model_inputs(model, rows)), strict=True))
        limits = None if coverage is None else np.stack([found["lower"], found["upper"]], axis=-1)
        predicted = found["prediction" if "prediction" in found else "label"]
        return Exported(predicted, found.get("probabilities"), limits, found.get("quantiles"))

    return compare(model, predict, rows_to_check(model, X), "the ONNX graph", coverage=coverage)
