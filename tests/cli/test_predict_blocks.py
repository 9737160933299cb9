"""`manynets predict` writes the same for a large table, a block after the other, as for one that is read at once."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

from manynets import saved_model
from manynets.tables import blocks
from tests.export.tables import fitted, target, wide_table
from tests.tolerances import assert_close

predict_command = importlib.import_module("manynets.cli.predict")  # manynets.cli has a function of this name


@pytest.fixture
def model(tmp_path: Path) -> Path:
    frame = wide_table()
    fitted(frame, target(frame), n_networks=2, validation=0.3).save(tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_several_blocks_are_one(ending: str, model: Path, tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = wide_table(1100).with_columns(polars.Series("id", np.arange(1100)), polars.Series("garden", ["no"] * 1100))
    frame = frame.with_columns(polars.Series("color", ["violet"] * 700 + ["red"] * 400))
    data = tmp_path / f"t.{ending}"
    frame.write_csv(data) if ending == "csv" else frame.write_parquet(data)
    arguments = ["predict", model, data, "--interval", "0.8", "--columns", "id,sold"]
    monkeypatch.setattr(saved_model, "ROWS_AT_ONCE", 700)  # so that one part of the rows is shorter than a block
    once = call(*arguments, "-o", tmp_path / "once.csv")
    monkeypatch.setattr(blocks, "STREAM_BYTES", 0)
    monkeypatch.setattr(blocks, "STREAM_CELLS", 0)
    monkeypatch.setattr(blocks, "PIECE_BYTES", 9000)
    monkeypatch.setattr(blocks, "STORED_ROWS", 70)
    monkeypatch.setattr(predict_command, "BLOCK_ROWS", 90)
    sizes: list[int] = []
    frames = blocks.Blocks.frames

    def watched(self: Any, size: int) -> Any:
        sizes.append(size)
        return frames(self, size)

    monkeypatch.setattr(blocks.Blocks, "frames", watched)
    found = call(*arguments, "-o", tmp_path / "blocks.csv")
    assert (tmp_path / "blocks.csv").read_bytes() == (tmp_path / "once.csv").read_bytes()
    assert len(sizes) == 1
    assert 2 <= sizes[0] <= 90
    for result in (once, found):
        assert "700 rows have a category not seen in training: 'violet'" in result.err
        assert "ignored, as the model does not know them: id, garden" in result.err


@pytest.mark.parametrize("size", [0, 1 << 25])
def test_columns_are_written_as_they_were(size: int, tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words for what is missing, zeros at the end of a number and the like are not the model's to change."""
    monkeypatch.setattr(blocks, "STREAM_BYTES", size)
    number = np.arange(60) % 7
    fitted(polars.DataFrame({"a": number + 0.5, "b": number % 3}), np.arange(60) % 11 / 2).save(tmp_path / "m.safetensors")
    odd = [("1.50", "1"), ("NA", "2"), ("missing", "0"), ("-", "+1"), ("1e3", ""), ("", "2")]
    rows = ["id,a,b,town", *(f"7.{i:02d}0,{a},{b},{town}" for i, (a, b) in enumerate(odd) for town in ("#N/A", "NA", "(blank)"))]
    Path("t.csv").write_text("\n".join(rows) + "\n")
    assert call("predict", "m.safetensors", "t.csv", "-o", "p.csv").code == 0
    assert [line.rpartition(",")[0] for line in Path("p.csv").read_text().splitlines()] == rows
    assert call("predict", "m.safetensors", "t.csv", "--columns", "a,p=prediction", "-o", "few.csv").code == 0
    assert Path("few.csv").read_text().splitlines()[4].startswith("NA,")


def test_a_fault_in_a_late_block_leaves_no_file(model: Path, tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "STREAM_CELLS", 0)
    monkeypatch.setattr(blocks, "STORED_ROWS", 100)
    frame = wide_table(1100)
    frame = frame.with_columns(polars.Series("sold", [*frame["sold"].to_list()[:-1], "sometime"]))
    frame.write_parquet(tmp_path / "t.parquet")
    monkeypatch.setattr(predict_command, "BLOCK_ROWS", 90)
    done = call("predict", model, tmp_path / "t.parquet", "-o", tmp_path / "out.csv")
    assert done.code == 2
    assert "holds 'sometime'" in done.err
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_memory_is_bounded(ending: str, model: Path, tmp_path: Path) -> None:
    rows = 1_000_000
    frame = wide_table(5000)
    data = tmp_path / f"t.{ending}"
    if ending == "csv":
        text = frame.write_csv()
        head, _, body = text.partition("\n")
        with data.open("w") as file:
            file.write(head + "\n")
            for _ in range(rows // 5000):
                file.write(body)
    else:
        polars.concat([frame] * (rows // 5000)).write_parquet(data)
    code = "import atexit, sys; from manynets.cli import main\n"
    code += "atexit.register(lambda: print(open('/proc/self/status').read()))\nmain(sys.argv[1:])"
    arguments = ["predict", str(model), str(data), "--columns", "rooms", "-o", str(tmp_path / "out.csv"), "--quiet"]
    environment = os.environ | {"POLARS_MAX_THREADS": "1"}
    ended = subprocess.run([sys.executable, "-c", code, *arguments], check=True, env=environment, capture_output=True, text=True)
    highest = int(ended.stdout.split("VmHWM:")[1].split()[0]) / 1024
    with (tmp_path / "out.csv").open() as file:
        assert sum(1 for _ in file) == rows + 1
    print(f"{data.stat().st_size / 2**20:.0f} MiB of {ending}, {highest:.0f} MiB of memory")
    assert highest < 700


@pytest.mark.parametrize("size", [0, 1 << 25])
def test_a_column_without_a_name_is_found(size: int, tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "STREAM_BYTES", size)
    number = np.arange(120) % 7
    frame = polars.DataFrame({"": [f"{k:03d}" for k in number], "b": np.random.default_rng(0).normal(size=120)})
    model = fitted(frame, number + frame["b"].to_numpy())
    model.save(tmp_path / "m.safetensors")
    frame.write_csv(tmp_path / "t.csv")
    done = call("predict", "m.safetensors", "t.csv", "-o", "p.csv")
    assert (done.code, done.err) == (0, "Written to p.csv: 120 rows\n")
    assert_close(polars.read_csv("p.csv")["prediction"].to_numpy(), model.predict(frame), "float32_run")
