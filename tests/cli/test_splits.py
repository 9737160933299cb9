"""Rows split by group, by time or by a column, and a target on a log scale, in the commands."""

from __future__ import annotations

import csv
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets.cli.data import load_source
from manynets.search.candidates import plan_candidates
from tests.cli.conftest import Call
from tests.tolerances import assert_close

GROUPED = ("--target", "cost", "--group", "patient")
SMALL = ("--hidden", "4", "--epochs", "2", "--json", "-q")


@pytest.fixture
def visits(tmp_path: Path) -> Path:
    """Rows of 30 patients on 60 days, with a cost that is positive and heavy-tailed."""
    random = np.random.default_rng(0)
    days = random.permutation(np.repeat(np.arange(60), 5))
    rows = [
        f"p{i % 30},2024-{1 + day // 28:02}-{1 + day % 28:02},{'abc'[i % 3]},{x:.3f},{np.exp(6 + 2 * x):.2f}"
        for i, (day, x) in enumerate(zip(days, random.normal(size=300), strict=True))
    ]
    path = tmp_path / "visits.csv"
    path.write_text("\n".join(["patient,day,ward,x,cost", *rows]) + "\n", encoding="utf-8")
    return path


def source_of(path: Path, **more: object):  # type: ignore[no-untyped-def]
    """The data that `train` would load."""
    origin = {"kind": "table", "path": str(path), "target": ["cost"], "task": None, "seed": 0, "test_fraction": 0.2, **more}
    return load_source(origin)


def test_a_group_is_on_one_side(visits: Path) -> None:
    source = source_of(visits, group="patient")
    groups = set(source.train.by.groups.tolist()), set(source.test.by.groups.tolist())
    assert len(groups[0]) == 24
    assert len(groups[1]) == 6
    assert not groups[0] & groups[1]
    assert {column.name: column.kind for column in source.schema}["patient"] == "dropped"


def test_the_latest_rows_are_tested_on(visits: Path) -> None:
    source = source_of(visits, time_column="day")
    assert source.train.by.times.max() < source.test.by.times.min()
    assert source.test.rows == 60
    assert {column.name: column.kind for column in source.schema}["day"] == "date"


def test_it_is_said_why_the_column_of_the_groups_is_left_out(visits: Path) -> None:
    notes = [
        {column.name: column.note for column in source_of(visits, group="patient", **more).schema}
        for more in ({"drop": ["ward"]}, {"drop": ["patient"]})
    ]
    assert notes[0] == {"patient": "names the groups, and new rows have new ones", "ward": "left out as asked", "day": "", "x": ""}
    assert notes[1]["patient"] == "left out as asked"


def test_stratified_by_a_column(visits: Path) -> None:
    source = source_of(visits, stratify="ward")
    assert np.bincount(source.test.by.strata).tolist() == [20, 20, 20]


@pytest.mark.parametrize("how", [("--group", "patient"), ("--time-column", "day"), ("--stratify", "ward")])
@pytest.mark.parametrize("networks", [("--n-networks", "1"), ("--n-networks", "3")])
def test_train(call: Call, visits: Path, how: tuple[str, str], networks: tuple[str, str]) -> None:
    done = call("train", "visits.csv", "--target", "cost", *how, *networks, *SMALL, "--target-transform", "log")
    assert done.code == 0, done.err
    folder = done.json["run_dir"]
    again = call("evaluate", folder, "--json", "-q")
    assert again.json["loss"] == pytest.approx(done.json["test"]["loss"])
    words = "the same for each network" if "--time-column" in how else "one fold of the training rows for each network"
    assert (words in call("show", folder).out) == ("3" in networks)
    predicted = call("predict", folder, "visits.csv")
    assert predicted.code == 0


def test_identical_rows_are_reported(call: Call, tmp_path: Path) -> None:
    rows = "".join(f"{i % 7},{'ab'[i % 3 > 0]}\n" for i in range(140))
    (tmp_path / "same.csv").write_text(f"x,y\n{rows}", encoding="utf-8")
    done = call("train", "same.csv", "--target", "y", "--hidden", "4", "--epochs", "1", "--validation", "0.2")
    assert "test rows are identical to a row that is trained on" in done.out
    assert "validation rows are identical to a row that is trained on" in done.out


@pytest.mark.parametrize("how", [("--hidden", "4", "--epochs", "1", "--category-means"), ("--preset", "fast", "--n-networks", "2")])
def test_rows_of_a_large_category_are_known_again(call: Call, how: tuple[str, ...], tmp_path: Path) -> None:
    rows = [f"s{i % 60},{i},{i % 60 % 7 + i / 300}\n" for i in range(300)]
    (tmp_path / "shops.csv").write_text("shop,size,sold\n" + "".join(rows), encoding="utf-8")
    (tmp_path / "test.csv").write_text("shop,size,sold\n" + "".join(rows[:90]) + "new,7,1\n", encoding="utf-8")
    done = call("train", "shops.csv", "--target", "sold", "--test", "test.csv", *how, "--out", "run")
    assert "90 of 91 test rows are identical to a row that is trained on" in done.out
    found = call("evaluate", "run", "test.csv", "--json").json
    assert (found["rows"], found["seen_rows"]) == (1, 90)


@pytest.mark.parametrize("how", [("--n-networks", "3"), ("--validation", "0.25")])
def test_copies_of_rows_of_a_large_category_are_counted(call: Call, how: tuple[str, ...], tmp_path: Path) -> None:
    rows = [f"s{i % 60},{i % 60},{i % 60 % 7 + 0.5}\n" for i in range(300)]
    (tmp_path / "shops.csv").write_text("shop,size,sold\n" + "".join(rows), encoding="utf-8")
    line = ("train", "shops.csv", "--target", "sold", "--preset", "plain", "--hidden", "4", "--epochs", "1", *how)
    told = [
        re.findall("[0-9]+ of [0-9]+ validation rows are identical", call(*line, *more).out) for more in ((), ("--category-means",))
    ]
    assert told[0] == told[1] != []


def test_sweep(call: Call, visits: Path) -> None:
    done = call(
        "sweep", "visits.csv", "--target", "cost", "--group", "patient", "--cv", "3", "--grid", "lr=0.01,0.1", *SMALL[:-2], "-q"
    )
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--group patent", "--group 'patent' is not a column; did you mean 'patient'?"),
        ("--time-column ward", "--time-column is 'ward', but that column holds 'a', and must hold dates or numbers"),
        ("--time-column day --group patient", "by times and by groups"),
        ("--target-transform sqrt", "must be one of log, auto"),
        ("--task binary --target-transform log", ""),
    ],
)
def test_mistakes(call: Call, visits: Path, line: str, told: str) -> None:
    done = call("train", "visits.csv", "--target", "cost", *line.split(), *SMALL)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert told in done.err


def test_only_tables_are_split_by_columns(call: Call) -> None:
    assert "--group does not go with this data" in call("train", "digits", "--group", "x", *SMALL).err


@pytest.mark.parametrize(("option", "column", "name"), [("--group", "patient", "groups"), ("--time-column", "day", "times")])
def test_a_sweep_validates_within_a_fold_as_it_splits(
    call: Call, visits: Path, option: str, column: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = []

    def recorded(X, y, candidates, **options):  # type: ignore[no-untyped-def]
        plan = plan_candidates(X, y, candidates, **options)
        planned.append((options[name], options["cv"][0], plan))
        return plan

    monkeypatch.setattr("manynets.cli.sweep_networks.plan_candidates", recorded)
    options = ("--grid", "lr=0.01,0.1", "--cv", "3", "--validation", "0.25", "--preset", "plain", *SMALL)
    assert call("sweep", "visits.csv", "--target", "cost", option, column, *options).code == 0
    assert len(planned) == 3
    for values, split, _ in planned:
        train, held_out = values[split.train], values[split.held_out]
        assert len(values) == len(train) + len(held_out)
        assert not set(train.tolist()) & set(held_out.tolist()) or name == "times"


def test_networks_of_unlike_groups_resume(call: Call, visits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 24 patients 4 or 5 are validated on: 200 or 190 rows to train on, which are 4 or 3 batches."""
    import manynets.cli.fit as module

    def full(*_given: Any, **_more: Any) -> None:
        raise OSError(28, "No space left on device", "run")

    options = ("train", visits.name, *GROUPED, "--n-networks", "5", "--batch-size", "64", "--iterations", "20", "-q")
    assert call(*options, "--out", "whole").code == 0
    with monkeypatch.context() as patch:
        patch.setattr(module.runs, "write_run", full)
        assert "resume with: manynets train --resume run" in call(*options, "--out", "run").err
    assert len(list(Path("run.part/checkpoints").iterdir())) == 2
    assert call("train", "--resume", "run", "-q").code == 0
    whole, resumed = (mn.load(Path(name, "model.safetensors")) for name in ("whole", "run"))
    assert_close(dict(enumerate(resumed.members)), dict(enumerate(whole.members)), "bits")


def test_the_step_at_which_networks_of_unlike_groups_are_stopped(call: Call, visits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import manynets.cli.fit as module

    def stop(event: object) -> None:
        if isinstance(event, mn.Evaluated):
            signal.raise_signal(signal.SIGINT)

    train = module.manynets.train
    monkeypatch.setattr(module.manynets, "train", lambda *given, **more: train(*given, **more, callbacks=[stop]))
    done = call("train", visits.name, *GROUPED, "--n-networks", "5", "--batch-size", "64", "--iterations", "20", "--out", "run")
    assert done.code == 130
    assert re.search("interrupted; step [1-9][0-9]* is saved in run.part", done.err)


def test_a_sweep_of_networks_of_unlike_groups(call: Call, visits: Path) -> None:
    grid = ("--grid", "n_networks=5", "--grid", "iterations=20", "--grid", "batch_size=64")
    sweep = ("sweep", visits.name, *GROUPED, "--preset", "fast", *grid, "--out", "swept")
    assert call(*sweep, "-q").code == 0
    with Path("swept/results.csv").open(encoding="utf-8") as file:
        assert {row["stopped"] for row in csv.DictReader(file)} <= {"done", "early"}
