"""Models for other programs: `to_onnx` writes an ONNX graph, `to_python` one Python module that needs NumPy only.

Both take the columns of the table as they are, before any encoding, and both are compared with the model before the file is written.

    graph.py      builds an ONNX graph, a node at a time
    columns.py    the table encoder as ONNX nodes
    network.py    the networks, and what the task makes of their scores, as ONNX nodes
    onnx.py       `to_onnx`: the whole graph, its description, and the file
    python.py     `to_python`: the module as text
    standalone.py the code of that module; standalone_text.py: of text of many words
    inputs.py     what both take: the columns of a table as numbers and texts
    parity.py     rows to compare with, and the comparison
"""

from __future__ import annotations

from manynets.export.inputs import model_inputs
from manynets.export.onnx import to_onnx
from manynets.export.parity import ExportCheck
from manynets.export.python import to_python

__all__ = ["ExportCheck", "model_inputs", "to_onnx", "to_python"]
