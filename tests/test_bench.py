"""The benchmark: every system that is installed trains the same, answers right, and the tables can be made."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from bench import commands, data, report
from bench.__main__ import main
from bench.cases import CASES, case_of, shortened
from bench.many import turning_point
from bench.runner import run_case
from bench.systems import SYSTEMS, missing

LIGHT = ["ours", "torch_eager", "floor"]


def _quiet(line: str) -> None:
    pass


def test_cases_survive_json_and_count_their_steps() -> None:
    for name, case in CASES.items():
        assert case.name == name
        assert case_of(json.loads(json.dumps(case.to_json()))) == case
        assert set(case.goals) <= set(SYSTEMS)
    assert CASES["toy"].steps == 80 * 100
    assert CASES["many-256"].steps == 79 * 20  # 2,500 rows: 78 batches of 32 and one of 4
    assert CASES["predict-1"].steps == 5_000


@pytest.mark.parametrize("name", CASES)
def test_shortened_cases_make_few_steps(name: str) -> None:
    short = shortened(CASES[name], steps=10)
    assert 1 <= short.steps <= 10
    assert short.rows <= CASES[name].rows


def test_the_loss_by_hand(tmp_path: Path) -> None:
    case = shortened(CASES["toy"], steps=2)
    data.write(case, tmp_path)
    arrays = data.read(case, tmp_path)
    assert arrays.x.shape == (64, 2)
    flat = [(weight * 0, bias * 0) for weight, bias in arrays.initial]
    assert data.training_loss(flat, arrays) == pytest.approx(math.log(2))  # a score of 0 gives each class one half
    sure = [*flat[:-1], (flat[-1][0], flat[-1][1] + 3)]
    ones = arrays.y.mean()
    expected = ones * math.log1p(math.exp(-3)) + (1 - ones) * math.log1p(math.exp(3))
    assert data.training_loss(sure, arrays) == pytest.approx(expected)


@pytest.mark.slow
def test_ours_and_a_plain_loop_end_at_the_same_loss(tmp_path: Path) -> None:
    case = dataclasses.replace(shortened(CASES["toy"], steps=60), repeat=4)
    out = run_case(case, LIGHT, rounds=2, threads=(1,), tell=_quiet)
    rows = {row["system"]: row for row in out["rows"]}
    assert [row["problem"] for row in out["rows"]] == ["", "", ""]
    assert rows["ours"]["loss"] == pytest.approx(rows["torch_eager"]["loss"], rel=0.1)
    assert rows["ours"]["loss"] < math.log(2)
    assert not rows["ours"]["off"]
    assert rows["floor"]["loss"] is None
    for row in out["rows"]:
        assert len(row["times"]) == 2
        assert min(row["times"]) <= row["median"] <= max(row["times"])
        assert row["peak_mib"] > 1
    assert rows["ours"]["to_ours"] == 1
    assert rows["floor"]["to_floor"] == 1
    assert rows["ours"]["to_floor"] > 1


@pytest.mark.slow
def test_answers_agree() -> None:
    case = dataclasses.replace(CASES["predict-1000"], repeat=2)
    out = run_case(case, LIGHT, rounds=1, threads=(1,), tell=_quiet)
    assert [row["agree"] for row in out["rows"]] == [1.0, 1.0, None]


@pytest.mark.slow
def test_several_networks() -> None:
    case = dataclasses.replace(shortened(CASES["many-256"], steps=5), networks=6)
    out = run_case(case, LIGHT, rounds=1, threads=(1,), tell=_quiet)
    ours, eager, floor = out["rows"]
    assert ours["loss"] == pytest.approx(eager["loss"], rel=0.05)
    assert eager["notes"] == {"networks_timed": 3}
    assert floor["median"] < ours["median"]
    assert "3 networks were timed" in "".join(report.footnotes(out))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SYSTEMS if name not in LIGHT])
def test_rivals_end_at_our_loss(name: str) -> None:
    if missing(name):
        pytest.skip(f"not installed: {', '.join(missing(name))}")
    for case in (CASES["toy"], CASES["table"]):
        out = run_case(shortened(case, steps=80), ["ours", name], rounds=1, threads=(1,), tell=_quiet)
        ours, rival = out["rows"]
        assert rival["problem"] == ""
        assert rival["loss"] == pytest.approx(ours["loss"], rel=0.1)


def test_a_package_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = dataclasses.replace(SYSTEMS["sklearn"], packages=("no_such_package",))
    monkeypatch.setitem(SYSTEMS, "sklearn", absent)
    out = run_case(shortened(CASES["toy"], steps=2), ["sklearn"], rounds=1, threads=(1,), tell=_quiet)
    assert out["rows"][0]["problem"].startswith("not installed: pip install no_such_package")
    assert report.cells(out["rows"][0])[2] == out["rows"][0]["problem"]


def test_a_system_that_fails_is_said() -> None:
    case = dataclasses.replace(CASES["predict-1000000"], rows=2_001, repeat=1)  # the floor wants equal chunks
    out = run_case(case, ["floor"], rounds=1, threads=(1,), tell=_quiet)
    assert out["rows"][0]["problem"] == "failed: ValueError: 2001 rows cannot be cut into equal chunks of 2000"


def _row(system: str, median: float, **more: Any) -> dict[str, Any]:
    row = {
        "system": system, "threads": 1, "times": [median], "median": median, "to_ours": median / 10, "to_floor": median / 5,
        "loss": 0.5, "agree": None, "off": False, "peak_mib": 100.0, "notes": {}, "problem": "",
    }  # fmt: skip
    return row | more


def _results() -> dict[str, Any]:
    rows = [_row("ours", 10.0), _row("torch_eager", 50.0), _row("jax_scan", 8.0), _row("floor", 5.0, loss=None)]
    case = CASES["toy"].to_json() | {"source": "generated", "rounds": 1, "steps": 8_000, "rows": rows}
    machine = {"processor": "P", "cores": 2, "system": "S", "python": "3.11", "date": "2026-01-01"}
    cost = [{"networks": k, "step": t, "each": t / k, "peak_mib": 1.0, "to_floor": 2.0} for k, t in ((1, 1.0), (4, 4.0))]
    commands = [{"label": "import x", "median": 12.3, "problem": ""}, {"label": "x", "median": None, "problem": "failed"}]
    return {
        "quick": False, "machine": machine, "versions": {"torch": "2"}, "cases": [case], "cost": cost, "commands": commands
    }  # fmt: skip


def test_the_table_in_the_docs(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{report.BEGIN}\nold\n{report.END}\n\nafter\n")
    for _ in range(2):  # the second time replaces the first
        report.write_docs(_results(), page)
    text = page.read_text()
    assert text.startswith("# Title\n")
    assert text.endswith("\n\nafter\n")
    assert "old" not in text
    assert "| PyTorch loop | 1 | 50.0 µs | 5.00 | 10.00 | 0.5 | 100 |" in text
    assert "- 2-6-1, batch 32, Adam: JAX, hand-written takes 0.80 of our time." in text
    assert "| `import x` | 12 ms |\n| `x` | failed |" in text
    assert "From about 1 networks on the cost is linear." in text
    assert (page.parent / "benchmarks-cost.png").read_bytes().startswith(b"\x89PNG")
    page.write_text("no marks")
    with pytest.raises(ValueError, match="must have the lines"):
        report.write_docs(_results(), page)


def test_missed_goals_are_named() -> None:
    case = _results()["cases"][0]
    assert report.missed_goals(case) == [
        "toy: PyTorch loop takes 5.00 of our time, wanted at least 100",
        "toy: JAX, hand-written takes 0.80 of our time, wanted at least 3",
    ]
    case["rows"][0] |= {"peak_mib": 101.0, "off": True}
    assert report.missed_goals(case)[-2:] == [
        "toy: 101 MiB at the peak, the PyTorch loop 100",
        "toy: manynets gives other results than the rest",
    ]


def test_where_the_cost_turns_linear() -> None:
    def cost(*steps: float) -> list[dict[str, Any]]:
        return [{"networks": 4**i, "step": step} for i, step in enumerate(steps)]

    assert turning_point(cost(1, 1.1, 1.2, 4.8, 19.2)) == 16
    assert turning_point(cost(1, 4, 4.1)) is None  # linear for a while, but not to the end
    assert turning_point(cost(1, 4, 4.1, 16)) == 16


def test_commands_that_fail_or_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (("a", "sys", ("-c", "pass")), ("b", "sys", ("-c", "raise SystemExit(3)")), ("c", "no_such_package", ()))
    monkeypatch.setattr(commands, "COMMANDS", lines)
    good, bad, absent = commands.run_commands(rounds=1)
    assert good["median"] > 0
    assert good["problem"] == ""
    assert bad == {"label": "b", "median": None, "problem": "failed"}
    assert absent == {"label": "c", "median": None, "problem": "not there"}


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.json"
    options = ["--case", "toy", "--system", "ours", "--system", "floor", "--steps", "5", "--rounds", "1", "--threads", "1"]
    assert main([*options, "--json", str(path)]) == 0
    results = json.loads(path.read_text())
    assert results["quick"] is True
    assert [row["system"] for row in results["cases"][0]["rows"]] == ["ours", "floor"]
    assert "manynets" in capsys.readouterr().out
    assert "Rounds of few steps" in report.markdown(results)
