"""Notebooks: the examples run, what is shown in them, and that progress is one display without terminal codes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs the development group")
nbclient = pytest.importorskip("nbclient", reason="needs the development group")

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples" / "notebooks").glob("*.ipynb"))


def executed(notebook: Any, folder: Path) -> Any:
    """Return the notebook with the outputs of its cells, run in a kernel of its own in this folder."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    client = nbclient.NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    return notebook


def outputs_of(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


def test_there_are_two() -> None:
    assert len(NOTEBOOKS) >= 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_no_outputs(path: Path) -> None:
    assert outputs_of(nbformat.read(path, as_version=4)) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of Jupyter's own code
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    notebook = executed(nbformat.read(path, as_version=4), tmp_path)
    outputs = outputs_of(notebook)
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    texts = [output.data.get("text/html", "") for output in outputs if "data" in output]
    assert sum("<table" in text or "<style>" in text for text in texts) >= 2
    assert any("image/png" in output.data for output in outputs if "data" in output)
    assert "\x1b" not in str(outputs)
    assert list(tmp_path.iterdir()) == []
    progress = [text for text in texts if text.startswith("<div><code>")]  # without its bar: it has ended
    assert progress
    assert all(" s" in text and "<progress" not in text for text in progress)
