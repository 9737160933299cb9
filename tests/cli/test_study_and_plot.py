"""`manynets study` and `manynets plot` from the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from matplotlib.text import Text

import manynets as mn
from manynets.plots.canvas import figure_of
from manynets.studies import STUDIES, TUTORIALS
from tests.cli.conftest import Call


@pytest.mark.draws
def test_a_study_writes_figures_and_pictures(call: Call, tmp_path: Path) -> None:
    done = call("study", "T3-autograd", "T3-feedforward", "--json")
    assert done.code == 0
    assert done.out.count("\n") == 1
    first, second = done.json["studies"]
    assert (first["id"], first["met"], first["figures"][0]["ours"], first["skipped"]) == ("T3-autograd", True, 12.0, None)
    assert second["figures"][0]["met"] is True
    assert len(second["figures"][0]["per_seed"]) == 5
    for path in first["pictures"] + second["pictures"]:
        assert (tmp_path / path).read_bytes()[:4] == b"\x89PNG"
    stored = json.loads((tmp_path / "runs/studies/T3-autograd/result.json").read_text(encoding="utf-8"))
    assert stored == first
    assert "published" in done.err
    assert "12" in done.err


def test_a_quick_study_judges_nothing(call: Call) -> None:
    done = call("study", "T1-xor", "--quick", "--json", "--out", "here")
    assert done.json["studies"][0]["met"] is None
    assert done.json["quick"] is True
    assert Path("here/T1-xor/regions.png").is_file()


def test_the_list(call: Call) -> None:
    done = call("study")
    assert done.code == 0
    assert all(name in done.out for name in STUDIES)
    assert not Path("runs").exists()
    assert {name.split("-")[0] for name in STUDIES} == set(TUTORIALS)
    lines = done.out.splitlines()
    assert all(sum(line.strip().startswith(f"{name} ") for line in lines) == 1 for name in STUDIES)
    assert all(f"{tutorial}: a tutorial about " in done.out for tutorial in TUTORIALS)


def test_a_missing_data_set_is_reported_once(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise mn.DataError("no MNIST in folder")

    monkeypatch.setattr("manynets.datasets.load", missing)
    done = call("study", "T4-mnist", "T5-A", "T5-B", "--quick")
    assert done.code == 0, done.err
    assert done.out.count("no MNIST in folder") == 1
    assert "T4-mnist, T5-A, T5-B: MNIST is not here" in done.out
    assert "quick run: few rows, steps and seeds" in done.out


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("study T1-xro", "did you mean 'T1-xor'"),
        ("study T1-xor --all", "--all"),
        ("study T3-autograd --out file", "file"),
        ("plot nowhere", "does not exist"),
    ],
)
def test_a_mistake_is_told_in_a_line(call: Call, line: str, told: str) -> None:
    Path("file").write_text("", encoding="utf-8")
    check_mistake(call, line, told)


def check_mistake(call: Call, line: str, told: str) -> None:
    done = call(*line.split())
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert told in done.err


def test_a_kind_of_picture_that_does_not_fit_the_run(call: Call) -> None:
    assert call("train", "digits", "--hidden", "8", "--epochs", "1", "--out", "run", "-q").code == 0
    for kind, told in (
        ("regions", "64 columns"), ("surface", "64 columns"), ("predicted", "multiclass"), ("confsion", "did you mean 'confusion'"),
    ):  # fmt: skip
        check_mistake(call, f"plot run --kind {kind}", told)


def test_an_engine_that_is_not_installed_is_told_in_a_line(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    monkeypatch.delitem(sys.modules, "manynets.engines.jax", raising=False)
    done = call("train", "moons", "--engine", "jax", "--dropout", "0", "--epochs", "1", "-q")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "pip install 'manynets[jax]'" in done.err


@pytest.mark.draws
def test_plot_draws_what_fits(call: Call, tmp_path: Path) -> None:
    assert call("train", "moons", "--hidden", "8", "--epochs", "2", "--out", "run", "-q").code == 0
    done = call("plot", "run", "--out", "pictures", "--json")
    assert done.code == 0
    drawn = {Path(path).stem for path in done.json["pictures"]}
    assert drawn == {"history", "confusion", "roc", "points", "regions", "network"}
    assert {path.stem for path in (tmp_path / "pictures").iterdir()} == drawn
    assert call("plot", "run", "--kind", "points").code == 0
    assert Path("run/points.png").is_file()


def test_plot_draws_only_what_is_asked_for(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("train", "moons", "--hidden", "8", "--epochs", "1", "--out", "run", "-q").code == 0
    for name in ("roc", "regions"):
        monkeypatch.delattr(f"manynets.plots.{name}")
    assert call("plot", "run", "--kind", "confusion").code == 0


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("images", "the data of the run are not images"),
        ("regions", "it is drawn in the plane, for 2 columns that are taken as they are, and the model has 2 that it encodes"),
        ("predicted", "it is not for the task binary"),
        ("sweep", "that is for the folder of a sweep"),
    ],
)
def test_why_a_run_has_no_picture_of_a_kind(call: Call, run: Path, kind: str, why: str) -> None:
    done = call("plot", run, "--kind", kind)
    assert (done.code, done.err) == (
        2,
        f"error: --kind is {kind!r}, but {why}; this run has history, confusion, roc, network\n",
    )


def test_nothing_to_draw(call: Call) -> None:
    """A ROC curve needs rows of both classes."""
    rows = "".join(f"{i % 7},{'yes' if i == 0 else 'no'}\n" for i in range(60))
    Path("rare.csv").write_text(f"size,kind\n{rows}", encoding="utf-8")
    Path("test.csv").write_text("size,kind\n1,no\n2,no\n", encoding="utf-8")
    given = ("--target", "kind", "--test", "test.csv", "--hidden", "4", "--epochs", "1", "--n-networks", "1", "--validation", "0")
    assert call("train", "rare.csv", *given, "--out", "run", "-q").code == 0
    done = call("plot", "run", "--kind", "roc")
    assert done.code == 2
    assert "--kind is 'roc', but the test rows give nothing to draw; choose another of history, confusion, roc, network" in done.err
    assert call("plot", "run", "--kind", "confusion").code == 0


@pytest.mark.draws
def test_plot_of_images(call: Call) -> None:
    assert call("train", "digits", "--hidden", "8", "--epochs", "1", "--out", "run", "-q").code == 0
    done = call("plot", "run", "--json", "--kind", "first-layer", "--kind", "values", "--kind", "images")
    assert [Path(path).name for path in done.json["pictures"]] == ["first_layer.png", "values.png", "images.png"]


@pytest.mark.draws
def test_plot_of_a_regression(call: Call, table: Path) -> None:
    assert call("train", table, "--target", "price", "--hidden", "8", "--epochs", "1", "--out", "run", "-q").code == 0
    done = call("plot", "run", "--json", "--out", "p")
    assert {Path(path).stem for path in done.json["pictures"]} == {"history", "predicted", "network"}
    table.unlink()  # its test rows are gone: what needs none is drawn all the same
    again = call("plot", "run", "--json", "--out", "q")
    assert again.code == 0
    assert {Path(path).stem for path in again.json["pictures"]} == {"history", "network"}
    assert call("plot", "run", "--kind", "predicted").code == 2


def test_the_pictures_of_a_table_name_its_columns_and_the_unit_of_its_target(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(
        f"{20 + i % 50},{('Bern', 'Chur')[i % 2]},CHF {9000 * (20 + i % 50):,}\n".replace(",000", "'000") for i in range(80)
    )
    Path("flats.csv").write_text(f"area,town,price\n{rows}", encoding="utf-8")
    assert call("train", "flats.csv", "--target", "price", "--preset", "fast", "--out", "run", "-q").code == 0
    drawn: dict[str, set[str]] = {}

    def look(picture: Any, path: Path, **_: Any) -> Path:
        figure = figure_of(picture)
        figure.draw_without_rendering()
        drawn[Path(path).stem] = {text.get_text() for text in figure.findobj(Text)}
        return Path(path)

    monkeypatch.setattr("manynets.plots.save", look)
    assert call("plot", "run").code == 0
    assert {"true price (CHF)", "predicted price (CHF)", "300,000"} <= drawn["predicted"]
    assert {"area", "town=Bern", "town=Chur", "price"} <= drawn["network"]
    assert any("flats.csv" in text for text in drawn["network"])
    assert "Training of 8 networks and 8 linear models: mean and standard deviation" in drawn["history"]
