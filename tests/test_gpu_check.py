"""The check on a GPU: its parts run small on the CPU, its page can be written, and one part that fails stops no other."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from bench import gpu_check, gpu_parts
from bench.cases import CASES
from bench.gpu_check import PARTS, check, main, run_part
from bench.gpu_page import SECTIONS, page
from bench.gpu_parts import precisions, predictions, steps_per_second, toys, tutorial

SYSTEM = {
    "date": "2030-01-31", "gpu": "NVIDIA H100, 80 GiB", "driver": "570.1", "cuda": "12.8", "torch": "2.13.0", "manynets": "0.2.0",
    "python": "3.11", "system": "Linux", "processor": "EPYC", "cores": 16,
}  # fmt: skip


def images(rows: int) -> Any:
    random = np.random.default_rng(0)
    y = random.integers(0, 3, rows)
    x = (random.random((rows, 6)) + np.eye(6)[y]).astype(np.float32)
    return SimpleNamespace(X=x, y=y, X_test=x[:40], y_test=y[:40])


def small_results() -> dict[str, Any]:
    case = dataclasses.replace(CASES["mnist-100"], layers=(784, 6, 10), rows=300, batch=50)
    return {
        "tests": {"passed": 60, "failed": 0, "skipped": 1},
        "tutorial": tutorial("cpu", seconds=0.5, epochs=4, hidden=(5,), real=images(200)),
        "precisions": precisions("cpu", seconds=0.2, case=case),
        "toys": toys("cpu", seconds=0.5, networks=4, rows=64, batch=16),
        "predictions": predictions("cpu", seconds=0.1, rows=500),
    }


def test_every_part_runs_and_has_its_section() -> None:
    results = small_results()
    assert set(results) == set(PARTS) == set(SECTIONS)
    assert json.loads(json.dumps(results)) == results
    assert 3 <= results["tutorial"]["epochs"] <= 4
    assert 0 <= results["tutorial"]["accuracy"] <= 1
    assert [row["precision"] for row in results["precisions"]["rows"]] == ["full", "tf32", "bf16"]
    assert all(min(row["ours"], row["loop"], row["products"]) > 0 for row in results["precisions"]["rows"])
    assert results["toys"]["each_microseconds"] == pytest.approx(results["toys"]["step_microseconds"] / 4)
    assert results["predictions"]["agree"] == 1
    text = page({"system": SYSTEM, "parts": results})
    for words in (
        "2030-01-31: NVIDIA H100, 80 GiB; driver 570.1, CUDA 12.8, torch 2.13.0",
        "60 passed, 0 failed, 1 skipped.",
        "the tutorial's 97.64%",
        "| bf16 |",
        "per network and step**",
        "500 rows through 30-128-128-1",
    ):
        assert words in text
    assert "Failed" not in text
    for line in text.splitlines():
        assert line == line.rstrip()


def test_missing_data_is_told_and_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MANYNETS_DATA", str(tmp_path))
    result = tutorial("cpu", seconds=1)
    assert set(result) == {"skipped"}
    assert "Skipped: MNIST is not here; set MANYNETS_DATA" in page({"system": SYSTEM, "parts": {"tutorial": result}})
    case = dataclasses.replace(CASES["mnist-100"], layers=(784, 4, 10), rows=200, batch=50)
    monkeypatch.setenv("MANYNETS_DATA", str(tmp_path / "nowhere"))
    assert "in the shape of MNIST" in precisions("cpu", seconds=0.1, case=case)["source"]


def test_a_part_that_fails_is_on_the_page_and_the_rest_runs(tmp_path: Path) -> None:
    made = small_results()
    told: list[str] = []

    def run(name: str, device: str, *, budget: float) -> Any:
        return {"error": "RuntimeError: CUDA error: out of luck", "seconds": 1.0} if name == "toys" else made[name]

    assert check("cpu", tmp_path / "page.md", run=run, tell=told.append) == 1
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert text.count("**Failed.**") == 1
    assert "CUDA error: out of luck" in text
    assert "## Prediction" in text
    assert "500 rows" in text
    assert told[-1].endswith("failed: toys")
    assert check("cpu", tmp_path / "page.md", run=lambda name, device, *, budget: made[name], tell=told.append) == 0


def test_failed_tests_are_counted_and_shown() -> None:
    result = {"passed": 3, "failed": 1, "skipped": 0, "error": "FAILED tests/test_x.py::test_y"}
    text = page({"system": SYSTEM, "parts": {"tests": result}})
    assert "3 passed, 1 failed" in text
    assert "FAILED tests/test_x.py::test_y" in text
    assert "Not run." in text


@pytest.mark.slow
def test_a_part_in_a_process_of_its_own() -> None:
    result = run_part("tests", "cpu", budget=120.0)
    assert "error" not in result, result
    assert result["failed"] == 0
    if not torch.cuda.is_available():
        assert result["passed"] == 0
        assert result["skipped"] > 50


def test_a_process_that_fails_or_takes_too_long() -> None:
    failed = run_part("toys", "no such device", budget=60.0)
    assert "no such device" in failed["error"]
    assert "budget of 0.01 seconds" in run_part("toys", "cpu", budget=0.01)["error"]


def test_the_budgets_add_up_to_less_than_four_minutes() -> None:
    assert sum(part.budget for part in PARTS.values()) <= 235


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--out", str(tmp_path / "page.md")]) == 2
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert "finds 0 CUDA devices" in printed
    assert not (tmp_path / "page.md").exists()


def test_rates_are_steps_by_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(gpu_parts.time, "perf_counter", lambda: clock[0])

    def run(steps: int) -> None:
        clock[0] += steps * 0.002

    assert steps_per_second(run, 1.0) == pytest.approx(500)
    assert clock[0] < 2


def test_the_page_is_where_the_make_target_puts_it() -> None:
    root = Path(__file__).resolve().parents[1]
    assert root / "docs" / "benchmarks-gpu.md" == gpu_check.PAGE
    assert "-m bench.gpu_check" in (root / "Makefile").read_text(encoding="utf-8")
