"""`manynets sweep TABLE`: the ensemble that `train` makes, with options changed, and the default among the candidates."""

from __future__ import annotations

import csv
import json
import signal
from pathlib import Path
from typing import Any

import pytest

import manynets as mn
from manynets import plots
from manynets.cli import sweep_ensembles
from manynets.cli.data import load_source
from manynets.cli.sweep_candidates import DRAWN, SEARCHED, default_values, drawn_candidates
from manynets.cli.sweep_progress import SweepProgress
from manynets.prepare import cv_splits
from manynets.spec.options import OPTIONS
from manynets.targets import find_target
from manynets.training.events import Advanced, Evaluated, Started
from tests.cli.conftest import Call
from tests.tolerances import assert_close

SMALL = ("--preset", "fast", "--hidden", "6", "--n-networks", "3", "--iterations", "24", "-q")
KIND = ("--target", "kind", "--drop", "price")


def results(folder: str = "here") -> list[dict[str, Any]]:
    with (Path(folder) / "results.csv").open() as file:
        return list(csv.DictReader(file))


def without_seconds(folder: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in results(folder)]


@pytest.mark.parametrize("target", ["price", "kind"])
def test_each_candidate_is_what_train_makes(call: Call, table: Path, target: str) -> None:
    words = (table, "--target", target, *SMALL)
    done = call("sweep", *words, "--grid", "lr=0.01,0.05", "--out", "here", "--json")
    assert done.code == 0, done.err
    rows = results()
    assert [(row["default"], row["candidate"]) for row in rows] == [("yes", "0"), ("", "1"), ("", "2")]
    for row in rows:
        options = () if row["default"] else ("--lr", row["lr"])
        run = call("train", *words, *options, "--out", "run", "--overwrite", "--json").json
        assert float(row["score"]) == run["validation"]["r2" if target == "price" else "accuracy"]
        assert float(row["loss"]) == run["validation"]["loss"]
        if done.json["best"] == ({} if row["default"] else {"lr": float(row["lr"])}):
            for mine, theirs in zip(mn.load("here").members, mn.load("run").members, strict=True):
                assert_close(mine, theirs, "bits")
            assert done.json["test"] == run["test"]
    by_loss = target == "kind"
    best = min(rows, key=lambda row: float(row["loss"])) if by_loss else max(rows, key=lambda row: float(row["score"]))
    assert (done.json["score"], done.json["loss"]) == (float(best["score"]), float(best["loss"]))
    assert done.json["default"] == {"score": float(rows[0]["score"]), "loss": float(rows[0]["loss"])}
    assert done.json["best_is_default"] == (best["default"] == "yes")
    assert done.json["ranked_by"] == ("loss" if by_loss else "score")
    assert (done.json["candidates"], done.json["networks"]) == (3, 9)


def test_a_sweep_is_ranked_by_the_metric_that_is_asked_for(call: Call, table: Path) -> None:
    done = call("sweep", table, "--target", "price", *SMALL, "--grid", "lr=0.01,0.05", "--metric", "mae", "--out", "here", "--json")
    assert done.code == 0, done.err
    best = min(results(), key=lambda row: float(row["score"]))  # less is better
    assert (done.json["metric"], done.json["score"]) == ("mae", float(best["score"]))
    run = call("train", table, "--target", "price", *SMALL, "--metric", "mae", "--out", "run", "--json").json
    assert float(results()[0]["score"]) == run["validation"]["mae"]


@pytest.mark.draws
def test_every_command_takes_the_sweep(call: Call, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nouns: list[str] = []
    drawn_over = plots.score_over

    def score_over(*args: Any, noun: str, **more: Any) -> Any:
        nouns.append(noun)
        return drawn_over(*args, noun=noun, **more)

    monkeypatch.setattr(plots, "score_over", score_over)
    shown = call("sweep", table, *KIND, *SMALL[:-1], "--grid", "n_networks=2,3,4", "--out", "here")
    assert shown.code == 0, shown.err
    assert nouns == ["ensemble"]
    assert "Candidates on the validation rows, by log loss" in shown.out
    assert "3 candidates, the default among them" in shown.out  # 3 networks are those of the default
    for text in (shown.out, call("show", "here").out):
        assert "\n default " in text
    assert call("predict", "here", table).out == call("predict", "here/best", table).out
    assert call("evaluate", "here", "--json").json["data"] == "test"
    run = call("train", table, *KIND, *SMALL, "--json").json["run_dir"]
    assert set(call("compare", "here", run, "--json").json["runs"]) == {"here", run}
    best = mn.load("here")
    assert best.size == json.loads(Path("here/best/config.json").read_text())["options"]["n_networks"] or best.size == 3
    Path("here/parallel.png").unlink()
    drawn = call("plot", "here", "--json").json["pictures"]
    assert {"here/parallel.png", "here/n_networks.png", "here/best/history.png"} <= set(drawn)
    assert Path("here/parallel.png").is_file()
    assert call("plot", "here", "--kind", "sweep", "--out", "here").code == 0
    assert "is for the folder of a sweep" in call("plot", "here/best", "--kind", "sweep").err


def test_cross_validation_scores_rows_that_the_ensemble_did_not_see(call: Call, table: Path) -> None:
    """Each fold gives what `train` gives with a table of the other rows, and the fold as --test."""
    words = ("--target", "kind", "--drop", "price", "--drop", "id", *SMALL)
    assert call("sweep", table, *words, "--grid", "dropout=0", "--cv", "2", "--out", "here").code == 0
    origin = {"kind": "table", "path": str(table), "target": ["kind"], "task": None, "seed": 0, "test_fraction": 0.2}
    whole = load_source(origin).train
    folds = cv_splits(find_target(whole.y, None), 2, seed=0)
    lines = table.read_text().splitlines()
    for row in results():
        for name, rows in zip(("train.csv", "test.csv"), folds[int(row["fold"])], strict=True):
            kept = [lines[1 + i] for i in whole.X.taken[rows]]
            Path(name).write_text("\n".join([lines[0], *kept]) + "\n")
        options = () if row["default"] else ("--dropout", "0")
        run = call("train", "train.csv", "--test", "test.csv", *words, *options, "--out", "run", "--overwrite", "--json").json
        assert float(row["loss"]) == pytest.approx(run["test"]["loss"], rel=1e-6)


def test_an_interrupted_sweep_goes_on(call: Call, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("sweep", table, *KIND, *SMALL, "--grid", "lr=0.01,0.05", "--checkpoint-every", "5 steps")
    assert call(*words, "--out", "whole").code == 0
    trained, seen = sweep_ensembles.train_preset, [0]

    def interrupting(*args: Any, begin: dict[str, Any], **more: Any) -> Any:
        def watch(event: Any) -> None:
            if isinstance(event, Evaluated):
                seen[0] += 1
                if seen[0] == 36:  # in the middle of the second candidate
                    signal.raise_signal(signal.SIGINT)

        return trained(*args, begin={**begin, "callbacks": [*begin["callbacks"], watch]}, **more)

    with monkeypatch.context() as patch:
        patch.setattr(sweep_ensembles, "train_preset", interrupting)
        done = call(*words, "--out", "here")
    assert done.code == 130
    assert "1 ensemble is saved in here/results.csv, those in training in here/checkpoints" in done.err
    assert "no best network yet" in call("show", "here").out
    resumed: list[Any] = []

    def watching(*args: Any, begin: dict[str, Any], **more: Any) -> Any:
        resumed.append(begin["resume"])
        return trained(*args, begin=begin, **more)

    monkeypatch.setattr(sweep_ensembles, "train_preset", watching)
    assert call(*words, "--out", "here", "--resume").code == 0
    assert resumed == [Path("here/checkpoints/part-1-0-0-0"), None]
    assert without_seconds("here") == without_seconds("whole")
    for mine, theirs in zip(mn.load("here").members, mn.load("whole").members, strict=True):
        assert_close(mine, theirs, "bits")
    assert not Path("here/checkpoints").exists()
    assert (
        "has other options: --lr-final was not given, is 0.1 now"
        in call(*words, "--lr-final", "0.1", "--out", "here", "--resume").err
    )


def test_halving_divides_the_steps_and_the_default_stays(call: Call, table: Path) -> None:
    words = ("sweep", table, *KIND, *SMALL, "--out", "here", "--grid", "lr=0.0001,0.02,0.03", "--grid", "dropout=0,0.1,0.2")
    assert call(*words, "--halving").code == 0
    rows = results()
    assert [sum(row["steps_allowed"] == steps for row in rows) for steps in ("2", "8", "24")] == [10, 4, 2]
    assert [row["steps_allowed"] for row in rows if row["default"]] == ["2", "8", "24"]


def test_a_random_search_is_the_same_each_time(call: Call, table: Path) -> None:
    words = ("sweep", table, *KIND, *SMALL, "--n-candidates", "2")
    assert call(*words, "--out", "here").code == call(*words, "--out", "again").code == 0
    assert without_seconds("here") == without_seconds("again")
    rows = results()
    assert [row["default"] for row in rows] == ["yes", "", ""]
    assert set(DRAWN) <= set(rows[0])
    assert rows[0]["hidden"] == "6"
    assert any(rows[1][name] != rows[0][name] for name in DRAWN)
    options = [f"--{name.replace('_', '-')}={rows[2][name]}" for name in DRAWN]
    run = call("train", table, *KIND, *SMALL, *options, "--out", "run", "--json").json
    assert run["validation"]["loss"] == float(rows[2]["loss"])


def test_a_time_limit(call: Call, table: Path) -> None:
    words = ("sweep", table, *KIND, *SMALL[:-1], "--time-limit", "0.001")
    done = call(*words, "--out", "here")
    assert "Random search, within 0.001 s" in done.out
    assert len(results()) == 1
    assert "note: the time limit was reached after 1 candidate, the default: give a longer --time-limit" in done.out
    done = call(*words, "--out", "grid", "--grid", "lr=0.1,0.2")
    assert "note: the time limit was reached after 1 of 3 candidates" in done.out


def test_options_of_a_plain_network_sweep_plain_networks(call: Call, table: Path) -> None:
    words = ("sweep", table, *KIND, "--hidden", "6", "-q")
    assert call(*words, "--epochs", "2", "--grid", "lr=0.1", "--out", "here").code == 0
    assert "default" not in results()[0]
    assert call(*words, "--preset", "plain", "--grid", "epochs=1,2", "--out", "plain").code == 0
    assert mn.load("plain").size == 1


def test_a_random_search_of_plain_networks(call: Call) -> None:
    done = call("sweep", "moons", "--points", "60", "--epochs", "1", "--n-candidates", "2", "-q", "--out", "here", "--json")
    assert done.code == 0, done.err
    assert [row["default"] for row in results()] == ["yes", "", ""]
    assert results()[0]["hidden"] == "512,512"
    assert done.json["default"]["score"] == float(results()[0]["score"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--grid", "epochs=1,2"), "--epochs is for a plain network, but --preset fast"),
        (("--grid", "batch_norm=yes,no"), "--batch-norm is for a plain network"),
        (("--grid", "lr=0.1", "--n-candidates", "3"), "--n-candidates is for a random search, without --grid"),
        (("--n-candidates", "0"), "--n-candidates is 0, but must be a whole number from 1 to 1,000,000"),
        (("--n-networks", "0"), "--n-networks is 0, but must be"),
        (("--time-limit", "0"), "--time-limit is 0, but must be a number of seconds above 0"),
        (("--halving",), "--halving needs to know its candidates beforehand"),
        (("--halving", "--grid", "iterations=10,20"), "--halving divides the steps itself"),
        (("--validation", "0", "--grid", "lr=0.1"), "a sweep needs rows to score on"),
        (("--grid", "n_networks=1,2"), "a single network validates on other rows"),
    ],
)
def test_mistakes(call: Call, table: Path, words: tuple[str, ...], message: str) -> None:
    done = call("sweep", table, *KIND, *SMALL[:4], "-q", "--out", "here", *words)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--preset", "fast"), "--preset fast is for tables, but moons is a set of arrays"),
        (("--time-limit", "9"), "--time-limit is for the default ensemble of tables"),
        (("--n-networks", "2"), "give --seeds instead"),
    ],
)
def test_data_sets_by_name_have_plain_networks(call: Call, words: tuple[str, ...], message: str) -> None:
    done = call("sweep", "moons", "--grid", "lr=0.1,0.2", *words)
    assert done.code == 2
    assert message in done.err


def test_a_candidate_that_cannot_be_trained_is_named(call: Call, table: Path) -> None:
    done = call("sweep", table, *KIND, *SMALL[:-1], "--grid", "batch_size=16,4000", "--out", "here")
    assert done.code == 0
    assert "note: 1 of 3 ensembles failed or diverged" in done.out
    assert "4000" in results()[2]["error"]
    done = call("sweep", table, *KIND, *SMALL, "--batch-size", "4000", "--grid", "lr=0.1", "--out", "none")
    assert done.code == 2
    assert done.err.startswith("error: no candidate could be trained: --batch-size is 4000, but ")
    assert done.err.endswith("; none/results.csv has the reason of each\n")


def test_a_metric_that_is_not_defined_on_the_scored_rows_is_named(call: Call, tmp_path: Path) -> None:
    rows = [f"{2000 + i},{i * 7 % 11},{'yes' if i % 3 == 0 and i < 60 else 'no'}" for i in range(120)]
    (tmp_path / "late.csv").write_text("\n".join(["year,x,y", *rows]))
    words = ("--target", "y", "--time-column", "year", "--metric", "roc_auc", "--grid", "lr=0.01,0.05")
    done = call("sweep", tmp_path / "late.csv", *words, *SMALL, "--out", "here")
    assert done.code == 2
    assert "error: no candidate can be ranked: roc_auc is not defined on the rows that are scored" in done.err


@pytest.mark.parametrize("metric", ["accuracy", "f1", "log_loss", "roc_auc"])
def test_classes_are_ranked_by_every_metric_of_theirs(metric: str, call: Call, tmp_path: Path) -> None:
    (tmp_path / "two.csv").write_text("\n".join(["x,y", *(f"{i * 7 % 11},{'yes' if i % 3 == 0 else 'no'}" for i in range(120))]))
    words = ("--target", "y", "--metric", metric, "--grid", "lr=0.01")
    done = call("sweep", tmp_path / "two.csv", *words, *SMALL, "--out", "here", "--json")
    assert done.code == 0, done.err
    assert done.json["metric"] == metric
    assert done.json["score"] in [float(row["score"]) for row in results()]


def test_drawn_candidates() -> None:
    default = default_values(DRAWN, mn.MLP(hidden=(128, 128), dropout=0.1), mn.Recipe(batch_size=64))
    assert default["hidden"] == "128,128"
    drawn = [next(iter_) for iter_ in [drawn_candidates(default, seed=0, most={"batch_size": 100})] for _ in range(200)]
    again = drawn_candidates(default, seed=0, most={"batch_size": 100})
    assert drawn == [next(again) for _ in range(200)]
    assert drawn[:9] != [one for one, _ in zip(drawn_candidates(default, seed=1), range(9), strict=False)]
    assert all(drawn)
    assert len({tuple(one.items()) for one in drawn}) == 200
    for name in DRAWN:
        values = [one[name] for one in drawn if name in one]
        assert 40 < len(values) < 160, name  # half of them, but for draws that equal the default
        within = OPTIONS[name].metadata.search
        assert within is not None
        assert name in SEARCHED
        if not within.choices:
            unit = float(default[name]) if within.relative else 1.0
            low, high = within.low * unit, min(within.high * unit, 100 if name == "batch_size" else within.high * unit)
            assert all(low * 0.99 <= float(value) <= high * 1.01 for value in values), name
    few = list(drawn_candidates({"activation": "relu"}, seed=0))
    assert sorted(one["activation"] for one in few) == ["gelu", "mish", "silu"]


def test_progress_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    from manynets.cli import sweep_progress

    now = [100.0]
    monkeypatch.setattr(sweep_progress.time, "monotonic", lambda: now[0])
    progress = SweepProgress(show=False)
    progress.total = 90
    progress.passed(30)
    progress.begin(20, "fold 3 of 5")
    progress(Started(20, 1000, 10, "accuracy"))
    progress(Advanced(600))
    now[0] += 24
    assert progress.text() == "fold 3 of 5, 42 of 90 networks, 2 min left"
    progress.limit = 64.0
    assert progress.text() == "fold 3 of 5, 42 of 90 networks, 40 s left"
    progress.begin(20, "fold 4 of 5")
    assert progress.text().startswith("fold 4 of 5, 50 of 90 networks, ")
