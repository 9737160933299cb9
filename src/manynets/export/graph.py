"""An ONNX graph, built a node at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from manynets.errors import OptionError, require_packages

OPSET, ML_OPSET = 20, 3
"""Operator sets: 20 is the first that splits and joins texts."""
IR_VERSION = 9
OWN = "::"
"""How the names of values begin that are neither inputs nor outputs."""
RENAME = "rename it before training, or export a Python module"


def require_onnx() -> None:
    """Raise MissingExtraError where a package of the extra `onnx` is missing."""
    require_packages("onnx", "onnxruntime", extra="onnx", purpose="the export to ONNX")


class Graph:
    """Nodes, constants, inputs and outputs. A value is known by its name; `node` returns that of what it computes.

    >>> graph = Graph()
    >>> x = graph.input("x", np.float64, "a number")
    >>> graph.output(graph.node("Add", x, np.float64(1)), "y", np.float64, [None, 1])
    >>> [node.op_type for node in graph.model({}).graph.node]
    ['Add', 'Identity']
    """

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._count = 0

    def _name(self) -> str:
        self._count += 1
        return f"{OWN}{self._count}"  # no column of a table is likely to be called so

    def input(self, name: str, kind: Any, about: str, width: int = 1) -> str:
        """Add an input (N, width) of a NumPy type; `np.str_` for texts. Errors: OptionError for a name that ONNX cannot have."""
        from onnx import helper

        if not name or name.startswith(OWN):
            raise OptionError(f"a column is called {name!r}, but in ONNX a name must not be empty or begin with {OWN}; {RENAME}")
        self._inputs.append(helper.make_tensor_value_info(name, _type(kind), ["N", width], about))
        return name

    def _constant(self, value: Any) -> str:
        from onnx import numpy_helper

        array = np.asarray(value)
        name = self._name()
        self._constants.append(numpy_helper.from_array(array.astype(object) if array.dtype.kind == "U" else array, name))
        return name

    def node(self, operator: str, *inputs: Any, outputs: int = 1, domain: str = "", **attributes: Any) -> str:
        """Add a node, and return the name of its first output.

        inputs: values by their names, and constants: numbers and arrays, texts as lists. attributes: of the operator; `name`: that of the
        node, which errors show, by default that of its first output.
        """
        from onnx import helper

        values = [one if isinstance(one, str) else self._constant(one) for one in inputs]
        names = [self._name() for _ in range(outputs)]
        self._nodes.append(helper.make_node(operator, values, names, domain=domain, **{"name": names[0], **attributes}))
        return names[0]

    def output(self, value: str, name: str, kind: Any, shape: list[int | None]) -> None:
        """Name a value as an output; None is the number of rows. Errors: OptionError where an input has this name."""
        from onnx import helper

        if any(one.name == name for one in self._inputs):
            raise OptionError(f"a column is called {name!r}, as is an output of the ONNX graph; {RENAME}")
        self._nodes.append(helper.make_node("Identity", [value], [name], name=name))
        sizes = ["N" if size is None else size for size in shape]
        self._outputs.append(helper.make_tensor_value_info(name, _type(kind), sizes))

    def cast(self, value: str, kind: Any) -> str:
        """Return a value as a NumPy type."""
        return self.node("Cast", value, to=_type(kind))

    def take(self, value: str, columns: ArrayLike) -> str:
        """Return some columns (N, len(columns)) of a value (N, D)."""
        return self.node("Gather", value, np.asarray(columns, dtype=np.int64), axis=1)

    def joined(self, values: list[str]) -> str:
        """Return values side by side."""
        return values[0] if len(values) == 1 else self.node("Concat", *values, axis=1)

    def model(self, metadata: dict[str, str], about: str = "") -> Any:
        """Return the ModelProto, checked by onnx."""
        import onnx
        from onnx import helper

        graph = helper.make_graph(self._nodes, "manynets", self._inputs, self._outputs, self._constants)
        domains = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        model = helper.make_model(graph, opset_imports=domains, ir_version=IR_VERSION, producer_name="manynets", doc_string=about)
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model)
        return model


def _type(kind: Any) -> int:
    from onnx import TensorProto, helper

    dtype = np.dtype(kind)
    return int(TensorProto.STRING) if dtype.kind in "UO" else int(helper.np_dtype_to_tensor_dtype(dtype))
