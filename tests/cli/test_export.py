"""`manynets export`: files for other programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Call

QUICK = ("--preset", "plain", "--epochs", "2", "--quiet")


def trained(call: Call, table: Path, *options: str) -> None:
    assert call("train", table, "--target", "price", "--drop", "id,kind", "--out", "run", *QUICK, *options).code == 0


def test_a_python_module_of_a_run(call: Call, table: Path, tmp_path: Path) -> None:
    trained(call, table)
    done = call("export", "run", "-o", "houses.py", "--json")
    assert done.code == 0
    assert done.json["format"] == "python"
    assert done.json["rows"] > 1000
    assert done.json["largest_difference"] < 1e-5
    assert "rows compared" in done.err
    again = call("export", "run", "-o", "houses.py")
    assert again.code == 2
    assert "exists; give another one with -o, or --overwrite" in again.err
    assert call("export", "run", "-o", "houses.py", "--overwrite").code == 0


def test_an_onnx_graph_of_a_run(call: Call, table: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    trained(call, table)
    done = call("export", "run", "--to", "onnx", "-o", "houses.onnx")
    assert (done.code, done.err) == (0, "")
    assert "Written to houses.onnx" in done.out
    assert (tmp_path / "houses.onnx").stat().st_size > 1000


def test_a_model_file_and_data_that_is_gone(call: Call, table: Path, tmp_path: Path) -> None:
    trained(call, table)
    (tmp_path / "run" / "model.safetensors").rename(tmp_path / "alone.safetensors")
    done = call("export", "alone.safetensors", "-o", "alone.py")
    assert done.code == 0
    assert "a model file does not name its data" in done.out
    (tmp_path / "alone.safetensors").rename(tmp_path / "run" / "model.safetensors")
    table.unlink()
    done = call("export", "run", "-o", "gone.py")
    assert done.code == 0
    assert "its data cannot be read" in done.out


def test_a_name_that_says_nothing(call: Call, table: Path) -> None:
    trained(call, table)
    assert "must end in .onnx or .py" in call("export", "run", "-o", "houses.bin").err
    assert "ends in .onnx" in call("export", "run", "--to", "onnx", "-o", "houses.py").err
    assert "--to is 'java', but must be one of onnx, python" in call("export", "run", "--to", "java", "-o", "houses.py").err


def test_a_data_set_by_name(call: Call) -> None:
    assert call("train", "moons", "--epochs", "2", "--out", "run", "--quiet").code == 0
    assert call("export", "run", "-o", "moons.py").code == 0
