"""The comparison on real tables: its measures by hand, its page, and the prototype on a small frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from bench import intervals, other_tables, prototype, tables
from bench.table_report import markdown, ranks, shared, shifted_geometric_mean
from bench.table_run import Table, calibration_error, measures
from bench.table_systems import SYSTEMS, Split


def test_the_measures_by_hand() -> None:
    assert shifted_geometric_mean([0.09, 0.39]) == pytest.approx(0.19)
    assert ranks([0.2, 0.1, 0.2, 0.4]) == [2.5, 1, 2.5, 4]
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]])
    y = np.array([0, 1, 1])
    assert calibration_error(p, y) == pytest.approx((2 * abs(0.9 - 0.5) + abs(0.8 - 1)) / 3)
    out = measures(p, y, "binary")
    assert out["error"] == pytest.approx(1 / 3)
    assert out["log_loss"] == pytest.approx(-np.log([0.9, 0.1, 0.8]).mean())
    assert measures(np.array([1.0, 3.0]), np.array([1.0, 5.0]), "regression")["error"] == pytest.approx(np.sqrt(2) / 2)


def run(table: str, system: str, seed: int, error: float) -> dict[str, Any]:
    out = {"table": table, "system": system, "seed": seed, "rows": 0, "threads": 1, "task": "binary", "error": error}
    out |= {"train_rows": 100, "test_rows": 6000, "log_loss": 2 * error, "ece": error / 10}
    return out | {"seconds": 1.0, "processor_seconds": 1.0, "memory_mib": 1.0}


def test_the_page_compares_the_seeds_that_all_systems_have() -> None:
    runs = [
        run("adult", "mlp", 0, 0.2),
        run("adult", "mlp", 1, 0.9),
        run("adult", "prototype", 0, 0.1),
        run("letter", "mlp", 0, 0.3),
    ]
    assert {table: list(case) for table, case in shared(runs, ["mlp", "prototype"]).items()} == {"adult": ["mlp", "prototype"]}
    about = {"date": "2026-01-01", "processor": "a processor", "python": "3.11"}
    text = markdown({"machine": about, "versions": {}, "runs": runs}, against="prototype")
    assert "| mlp | 0.2000 | 0.4000 | 0.0200 | 2.00 ± nan | 0 : 1 |" in text
    assert "| adult | 100 | 1 | 0.2000 | **0.1000** |" in text


def test_runs_that_the_file_holds_are_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def instead(words: list[str], threads: int) -> dict[str, Any]:
        made.append(words)
        return run(words[0], words[1], int(words[2]), 0.1)

    monkeypatch.setattr(tables, "run_alone", instead)
    arguments = ["--only", "adult", "--systems", "mlp", "--rows", "0", "--json", str(tmp_path / "runs.json"), "--seeds"]
    assert tables.main([*arguments, "1"]) == 0
    assert tables.main([*arguments, "2"]) == 0
    assert [words[2] for words in made] == ["0", "1"]


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_the_prototype_learns_a_table_with_gaps_and_words(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prototype, "STEPS", 96)
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 2))
    word = random.choice(["a", "b", "c"], 400)
    value = x[:, 0] + 2 * (word == "a")
    y = value if task == "regression" else np.searchsorted([1.0] if task == "binary" else [0.0, 1.5], value)
    frame = pl.DataFrame({"x": x[:, 0], "gappy": np.where(x[:, 1] > 1, np.nan, x[:, 1]), "same": np.ones(400), "word": word})
    frame = frame.with_columns(pl.col("gappy").fill_nan(None))
    split = Split(task=task, raw=(frame, frame), train=frame[:300], test=frame[300:], y=y[:300], y_test=y[300:])
    out = SYSTEMS["prototype"](split)()
    assert out.shape == ((100,) if task == "regression" else (100, 2 if task == "binary" else 3))
    assert measures(out, split.y_test, task)["error"] < 0.25
    if task != "regression":
        np.testing.assert_allclose(out.sum(1), 1, rtol=1e-6)


def test_pieces_end_at_the_values_or_at_quantiles() -> None:
    np.testing.assert_array_equal(prototype.edges(np.array([3.0, 1, 2, 1]), 4), [1, 2, 3])
    np.testing.assert_allclose(prototype.edges(np.arange(101.0), 4), [0, 25, 50, 75, 100])
    heavy = np.r_[np.zeros(80), np.arange(1.0, 21)]
    np.testing.assert_allclose(prototype.edges(heavy, 4), [0, 1, 1 + 19 / 3, 1 + 38 / 3, 20])


def test_the_page_of_intervals_counts_what_chance_does_not_explain() -> None:
    def one(system: str, coverage: float) -> dict[str, Any]:
        at = {level: {"coverage": float(level) + coverage, "width": 2.0} for level in ("0.8", "0.9", "0.95")}
        return {"table": "abalone", "system": system, "seed": 0, "rows": 1000, "train_rows": 1000, "test_rows": 1000, "at": at}

    results = {"machine": {"date": "2026-01-01", "processor": "a processor"}, "versions": {}}
    text = intervals.markdown(results | {"runs": [one("manynets", 0.03), one("mapie", 0.0)]})
    assert "| abalone | 1 | 83.0 (2.00) | 93.0 (2.00) | 98.0 (2.00) | 2 of 3 | 1 of 3 |" in text
    assert "| abalone | 80% | 83.0 (2.00) | 80.0 (2.00) |\n| abalone | 90% | 93.0 (2.00) | 90.0 (2.00) |\n" in text
    assert "of 3: manynets 2, mapie 0." in text


def test_other_tables_are_split_measured_and_summed_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def written(row: dict[str, str], folder: Path) -> Table:
        x = np.arange(300.0)
        pl.DataFrame({"x": x, "day": ["2026-11-28", "2026-11-29"] * 150, "y": 2 * x}).write_csv(folder / "table.csv")
        return Table(name=row["item"], file="table.csv", target=row["target"])

    monkeypatch.setattr(other_tables, "written", written)
    monkeypatch.setattr(other_tables, "COMPARED", ("linear",))
    monkeypatch.setattr(other_tables, "listed", lambda: {"a/line": {"package": "a", "item": "line", "target": "y", "drop": ""}})
    for _ in range(2):
        assert other_tables.main(["--rows", "100", "--json", str(tmp_path / "runs.json")]) == 0
    (run,) = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert run["train_rows"] == 100
    assert run["error"] < 0.1
    runs = [run | {"system": system, "error": error, "log_loss": 1.0} for system, error in (("tabular", 0.2), ("linear", 0.1))]
    about = {"date": "2026-01-01", "processor": "a processor"}
    monkeypatch.setattr(other_tables, "COMPARED", ("tabular", "linear"))
    text = other_tables.markdown({"machine": about, "runs": runs}, 100)
    assert "| linear | 0.1000 | 1.0000 | 1.00 | 1 : 0 |" in text


def test_every_other_table_has_a_target_of_its_own() -> None:
    assert len(other_tables.listed()) > 100
    assert all(
        row["package"] and row["item"] and row["target"] not in row["drop"].split() for row in other_tables.listed().values()
    )
