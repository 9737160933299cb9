"""`manynets train --memory-limit` on tables that are larger, and what then works on their runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars
import pytest

import manynets as mn
from manynets.data.stream.parts import TEST, HashSplit
from tests.cli.conftest import Call

ROWS = 20_000
PLAIN = ("--preset", "plain", "--hidden", "8", "--epochs", "2", "--batch-size", "200")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A folder of two Parquet files: a class that follows from two numbers, and a person for each three rows."""
    random = np.random.default_rng(0)
    x = random.normal(size=(ROWS, 4))
    labels = np.where(x[:, 0] + 0.3 * x[:, 1] > 0, "yes", "no")
    frame = polars.DataFrame({f"x{j}": x[:, j] for j in range(4)} | {"person": np.arange(ROWS) // 3, "bought": labels})
    folder = tmp_path / "rows"
    folder.mkdir()
    for number, part in enumerate((frame[:12_000], frame[12_000:])):
        part.write_parquet(folder / f"{number}.parquet", row_group_size=500)
    return folder


def test_a_larger_table_is_streamed_and_the_run_says_so(rows: Path, call: Call) -> None:
    ran = call("train", rows, "--target", "bought", "--group", "person", "--memory-limit", "1MB", *PLAIN, "--out", "run", "--json")
    assert ran.code == 0, ran.err
    assert "would take about" in ran.err
    assert "the rows are streamed: " in ran.err
    result = ran.json
    assert result["stream"]["windows"] > 1
    assert result["test"]["accuracy"] > 0.9
    assert 0.15 * ROWS < result["test"]["rows"] < 0.25 * ROWS
    again = call("evaluate", "run", "--json")
    assert again.code == 0, again.err
    assert again.json["accuracy"] == result["test"]["accuracy"]
    assert again.json["rows"] == result["test"]["rows"]
    other = call("evaluate", "run", rows, "--memory-limit", "1MB", "--json")
    assert other.code == 0, other.err
    assert other.json["rows"] == ROWS
    assert other.json["accuracy"] > 0.9
    polars.read_parquet(rows / "*.parquet").with_columns(polars.col("bought") + ".").write_parquet(
        "points.parquet", row_group_size=500
    )
    points = call("evaluate", "run", "points.parquet", "--memory-limit", "1MB", "--json")
    assert points.json["accuracy"] == other.json["accuracy"]
    assert "note: a point was taken off the end of 2 labels: 'no.', 'yes.'" in points.err
    strict = call("evaluate", "run", "--threshold", "0.99", "--json").json
    assert strict["accuracy"] < again.json["accuracy"]
    headed = call("evaluate", "run", "--no-header")
    assert headed.code != 0
    assert "--header and --no-header are for text files" in headed.err
    asked = call("explain", "run", "--rows", "200", "--json")
    assert asked.code == 0, asked.err
    assert "test rows drawn at random" in " ".join(asked.err.split())
    assert asked.json["importance"]["score"] > 0.8
    reported = call("report", "run")
    assert reported.code == 0, reported.err
    assert "without rows" not in reported.err


def test_the_default_ensemble_is_trained_on_a_stream(rows: Path, call: Call) -> None:
    options = ("--preset", "fast", "--hidden", "16", "--iterations", "150", "--n-networks", "2", "--validation", "0.05")
    ran = call(
        "train", rows, "--target", "bought", "--drop", "person", "--memory-limit", "20MB", *options, "--out", "run", "--json"
    )
    assert ran.code == 0, ran.err
    assert "2 networks · preset fast" in ran.err
    assert ran.json["stream"]["windows"] > 1
    assert ran.json["test"]["accuracy"] > 0.93
    model = mn.load("run/model.safetensors")
    assert len(model.members) == 2
    assert 0.2 < model.info["temperature"] < 1.0
    assert model.encoder is not None
    assert model.encoder.piecewise.any()


def test_large_categories_have_means_on_a_stream_too(rows: Path, call: Call) -> None:
    options = ("--categorical", "person", "--category-means", *PLAIN, "--out", "run", "--json")
    ran = call("train", rows, "--target", "bought", "--memory-limit", "5MB", *options)
    assert ran.code == 0, ran.err
    assert ran.json["stream"]["windows"] > 1
    encoder = mn.load("run/model.safetensors").encoder
    assert encoder is not None
    assert "person, mean of the target" in encoder.feature_names


def test_a_table_that_fits_is_trained_in_memory(rows: Path, call: Call) -> None:
    ran = call("train", rows, "--target", "bought", "--memory-limit", "2GB", *PLAIN, "--out", "run", "--json")
    assert ran.code == 0, ran.err
    assert "stream" not in ran.json
    assert "streamed" not in ran.err


def test_what_a_stream_lacks_is_named(rows: Path, call: Call, table: Path) -> None:
    common = ("train", rows, "--target", "bought", "--memory-limit", "1MB")
    for options, message in (
        (("--preset", "best"), "--preset best chooses among settings by the scores of all rows, but"),
        (("--stratify", "x0"), "--stratify does not go with a stream"),
        (("--threshold", "0.3"), "--threshold does not go with a stream"),
        (("--sheet", "May"), "--sheet does not go with a stream"),
        (("--time-limit", "60"), "--time-limit does not go with a stream"),
        (("--memory-limit", "1 potato"), "--memory-limit is '1 potato', but must be at least 1 MB"),
        (("--prior", "--hidden", "4", "--epochs", "1"), "which a stream does not have; leave out --prior"),
        (("--target", "x0,x1"), "--target names 3 columns, but a stream has one"),
    ):
        refused = call(*common, *options)
        assert refused.code != 0
        assert message in refused.err.replace("\n", " ")
    refused = call("train", "-", "--target", "y", "--memory-limit", "1MB")
    assert (
        "--memory-limit is for Parquet, Arrow and plain text files, which can be read in parts, but - is none of them"
        in refused.err
    )


def test_a_model_is_written_also_where_a_test_row_cannot_be_read(tmp_path: Path, call: Call) -> None:
    rows = np.arange(ROWS)
    tested = np.flatnonzero(HashSplit(seed=0, test=0.2).parts(polars.DataFrame({"row": rows}), 0) == TEST)[5]
    sizes = [f"{i % 9} kg" if i != tested else "3 parsecs" for i in rows]
    polars.DataFrame({"size": sizes, "x": rows % 7, "y": rows % 9 * 0.5}).write_parquet("rows.parquet", row_group_size=500)
    options = ("--target", "y", "--memory-limit", "1MB", "--validation", "0.02", *PLAIN, "--out", "run", "--json")
    ran = call("train", "rows.parquet", *options)
    assert ran.code == 0, ran.err
    assert "there are no metrics on the test rows: column 'size' is in 'kg', but row" in ran.err
    assert f"but row {tested} (counted from 0) holds '3 parsecs'" in ran.err
    assert ran.json["test"] is None
    assert mn.load("run").info["stream"]["windows"] > 1


def test_an_encoding_is_refused_before_a_text_is_converted(tmp_path: Path, call: Call) -> None:
    source = tmp_path / "long.csv"
    source.write_text("x,y\n" + "1.5,2.5\n" * 130_000)
    refused = call("train", source, "--target", "y", "--memory-limit", "1MB", "--encoding", "latin-1", *PLAIN)
    assert refused.code != 0
    assert "--encoding does not go with a stream" in refused.err
    assert not (tmp_path / "long.csv.parquet").exists()
