"""`manynets sweep`: what it writes, what it ranks, and how it goes on."""

from __future__ import annotations

import csv
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets import plots
from manynets.cli.sweep_candidates import grid_of
from manynets.search import candidates as many
from manynets.training.events import Evaluated
from tests.cli.conftest import Call

SMALL = ("--hidden", "6", "--epochs", "4", "-q", "--out", "here")
GRID = ("--grid", "lr=1e-3:1e-1:log:3", "--grid", "dropout=0,0.2")


def results(folder: str = "here") -> list[dict[str, Any]]:
    with (Path(folder) / "results.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.draws
def test_a_grid_by_seeds_and_folds(call: Call) -> None:
    done = call("sweep", "moons", *SMALL, *GRID, "--seeds", "2", "--cv", "3", "--json")
    assert done.code == 0, done.err
    rows = results()
    assert len(rows) == 6 * 2 * 3
    assert {(row["candidate"], row["seed"], row["fold"]) for row in rows} == {
        (str(c), str(s), str(f)) for c in range(6) for s in range(2) for f in range(3)
    }
    files = {entry.name for entry in Path("here").iterdir()}
    assert files == {"results.csv", "curves.jsonl", "sweep.json", "best", "lr.png", "dropout.png", "parallel.png", "curves.png"}
    means: dict[str, list[float]] = {}
    for row in rows:
        means.setdefault(row["candidate"], []).append(float(row["score"]))
    best = max(means, key=lambda c: np.mean(means[c]))
    [params] = {(row["lr"], row["dropout"]) for row in rows if row["candidate"] == best}
    assert done.json["best"] == {"lr": float(params[0]), "dropout": params[1]}
    assert done.json["score"] == pytest.approx(np.mean(means[best]))
    model = mn.load("here/best/model.safetensors")
    assert model.recipe.lr == float(params[0])
    assert call("evaluate", "here/best").code == 0


def test_a_table_with_halving(call: Call, table: Path) -> None:
    args = (
        "sweep",
        table,
        "--target",
        "kind",
        "--drop",
        "id",
        *SMALL[:2],
        "--epochs",
        "9",
        *SMALL[4:],
        *GRID,
        "--grid",
        "optimizer=adam,sgd",
    )
    assert call(*args, "--folds", "2", "--halving").code == 0
    rows = results()
    assert {row["epochs_allowed"]: sum(r["epochs_allowed"] == row["epochs_allowed"] for r in rows) for row in rows} == {
        "1": 24,
        "3": 8,
        "9": 4,
    }
    assert all(float(row["epochs"]) == float(row["epochs_allowed"]) for row in rows)


def test_a_halving_that_stops_in_its_last_round_goes_on_with_the_same_candidates(call: Call) -> None:
    words = ("sweep", "moons", "--points", "60", *SMALL[:2], "--epochs", "3", *SMALL[4:], *GRID, "--halving", "--at-most", "1")
    assert call(*words).code == 0
    whole = results()
    assert [row["epochs_allowed"] for row in whole] == ["1"] * 6 + ["3"] * 2
    path = Path("here/results.csv")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    assert call(*words, "--resume").code == 0
    assert [{**row, "seconds": ""} for row in results()] == [{**row, "seconds": ""} for row in whole]


def interrupted(call: Call, monkeypatch: pytest.MonkeyPatch, *args: str, evaluations: int) -> Any:
    """Return what a sweep tells that gets Ctrl-C at this evaluation, counted from 1."""
    trained = many.train_what_can
    seen: list[int] = []

    def interrupting(problem: Any, members: Any, **more: Any) -> Any:
        def watch(event: Any) -> None:
            if isinstance(event, Evaluated):
                seen.append(len(event.numbers))
                if len(seen) == evaluations:
                    signal.raise_signal(signal.SIGINT)

        return trained(problem, members, **{**more, "callbacks": [*more["callbacks"], watch]})

    with monkeypatch.context() as patch:
        patch.setattr(many, "train_what_can", interrupting)
        return call(*args)


def test_ctrl_c_before_the_first_result(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    done = interrupted(call, monkeypatch, "sweep", "digits", *SMALL, *GRID, evaluations=1)
    assert (
        "0 networks are saved, those in training in here/checkpoints; resume with the same command and --resume --out here"
        in done.err
    )
    assert not Path("here/results.csv").exists()


def test_ctrl_c_keeps_what_is_done_and_resume_goes_on(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    args = ("sweep", "digits", *SMALL, *GRID, "--seeds", "2", "--at-most", "4")
    done = interrupted(call, monkeypatch, *args, evaluations=6)
    assert done.code == 130
    assert (
        "4 networks are saved in here/results.csv, those in training in here/checkpoints; resume with the same command and --resume --out here"
        in done.err
    )
    kept = results()
    assert len(kept) == 4
    shown = call("show", "here")
    assert shown.code == 0
    assert shown.out.startswith("Candidates on the validation rows, by accuracy\n")
    assert (
        "note: the sweep in here has no best network yet; end it with the command that began it, and --resume --out here"
        in shown.out
    )
    Path("here/results.csv").rename("results.csv")  # as where none has ended yet
    assert call("show", "here").out.startswith("note: the sweep in here has no best network yet; ")
    Path("results.csv").rename("here/results.csv")
    refused = call(*args)
    assert refused.code == 2
    assert "--resume" in refused.err
    changed = call(*args, "--resume", "--activation", "tanh")
    assert changed.code == 2
    assert "--activation was not given, is tanh now" in changed.err
    trained, counts = many.train_what_can, list[int]()

    def counting(problem: Any, members: Any, **more: Any) -> Any:
        counts.append(len(members) - len(more["known"]))
        return trained(problem, members, **more)

    monkeypatch.setattr(many, "train_what_can", counting)
    assert call(*args, "--resume").code == 0
    assert counts == [8]
    assert results()[:4] == kept
    assert len(results()) == 12
    monkeypatch.setattr(many, "train_what_can", trained)
    assert call("sweep", "digits", *SMALL[:-1], "whole", *GRID, "--seeds", "2").code == 0
    for row, other in zip(sorted(results(), key=str), sorted(results("whole"), key=str), strict=True):
        assert float(row["loss"]) == pytest.approx(float(other["loss"]), rel=1e-4)


def test_a_candidate_that_cannot_be_is_named(call: Call) -> None:
    done = call("sweep", "moons", *SMALL[:4], "--out", "here", "--grid", "dropout=0,0.1-0.2", "--grid", "lr=0.1,1e30")
    assert done.code == 0, done.err
    rows = {(row["lr"], row["dropout"]): row for row in results()}
    assert rows["0.1", "0"]["stopped"] == "done"
    assert "dropout" in rows["0.1", "0.1,0.2"]["error"]
    assert (rows["0.1", "0.1,0.2"]["stopped"], rows["0.1", "0.1,0.2"]["score"]) == ("failed", "-inf")
    assert "failed or diverged" in done.out
    assert rows["1e+30", "0"]["stopped"] == "diverged"
    assert "at learning rate" in rows["1e+30", "0"]["error"]
    assert "; the first not to be finite was " in rows["1e+30", "0"]["error"]


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """A table whose target no column says anything about, so that initial weights are better than trained ones."""
    cells = np.random.default_rng(0).normal(size=(60, 4)).round(4)
    path = tmp_path / "noise.csv"
    path.write_text("a,b,c,y\n" + "\n".join(",".join(map(str, row)) for row in cells) + "\n")
    return path


PLAIN = ("--epochs", "6", "--hidden", "4")
ENSEMBLES = ("--preset", "fast", "--iterations", "12", "--hidden", "4", "--n-networks", "2")


@pytest.mark.parametrize(
    ("words", "last"),
    [((*PLAIN, "--cv", "2"), 6), ((*PLAIN, "--halving"), 6), ((*ENSEMBLES, "--cv", "2"), 0), ((*ENSEMBLES, "--halving"), 12)],
    ids=["plain", "plain-halving", "ensembles", "ensembles-halving"],
)
def test_candidates_that_diverge_come_last(call: Call, noise: Path, words: tuple[str, ...], last: int) -> None:
    args = ("sweep", noise, "--target", "y", *words, "--grid", "lr=1e30,0.02,1e20", "--out", "here")
    done = call(*args, "--json")
    assert done.code == 0, done.err
    assert done.json["best"].get("lr", 0.0) < 1
    assert Path("here/best").is_dir()
    rows = results()
    assert {row["lr"] for row in rows if row["stopped"] == "diverged"} == {"1e+30", "1e+20"}
    for row in rows:
        assert (row["score"] == "-inf") == (row["stopped"] == "diverged")
        assert np.isfinite(float(row["loss"]))
        assert row["error"].endswith("use a smaller --lr or --clip-norm 1") == (row["stopped"] == "diverged")
    if "--halving" in words:
        longest = max((row.get("epochs_allowed") or row.get("steps_allowed") for row in rows), key=lambda text: int(text or 0))
        assert "1e+30" not in {row["lr"] for row in rows if longest in (row.get("epochs_allowed"), row.get("steps_allowed"))}
        return
    for text in (done.err, call("show", "here").out):
        lines = [line for line in text.partition("note: ")[0].splitlines() if "e+" in line or " 0.02" in line]
        assert ["diverged" in line for line in lines] == [False, True, True], text


def test_a_sweep_of_which_all_diverge(call: Call, noise: Path) -> None:
    done = call("sweep", noise, "--target", "y", *PLAIN, "--grid", "lr=1e30,1e20", "--out", "here", "-q")
    assert done.code == 3
    assert "so no model is written; " in done.err
    shown = call("show", "here")
    assert "diverged" in shown.out
    assert "end it with the command that began it, and --resume --out here" in shown.out


def test_the_grammar_of_a_grid() -> None:
    assert grid_of(["lr=1e-4:1e-1:log:4"]) == {"lr": [1e-4, 1e-3, 1e-2, 1e-1]}
    assert grid_of(["epochs=10:30:3", "--batch-size=16:64:log:3"]) == {"epochs": [10, 20, 30], "batch_size": [16, 32, 64]}
    assert grid_of(["activation=relu,tanh", "hidden=none,64-32"]) == {"activation": ["relu", "tanh"], "hidden": ["none", "64,32"]}
    assert grid_of(["dropout=0:0.4:lin:3"]) == {"dropout": ["0", "0.2", "0.4"]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--grid", "lr"), "must look like lr="),
        (("--grid", "rate=1"), "--grid is 'rate'"),
        (("--grid", "lr=a"), "--grid lr has the value 'a', but its values must be numbers"),
        (("--grid", "lr=0:1:log:3"), "a logarithmic range needs both ends above 0"),
        (("--grid", "lr=1,1"), "names a value twice"),
        (("--grid", "activation=relu,swish"), "--grid activation is 'swish', but must be one of identity, relu"),
        (("--grid", "dropout=0,2"), "--grid dropout is 2.0, but must be a number in [0, 1)"),
        (("--grid", "hidden=8-0,4"), "--grid hidden is 0, but must be a whole number of at least 1"),
        (("--grid", "hidden=8,8.5"), "--hidden is '8.5', but must be whole numbers with commas between them"),
        (("--grid", "lr=1:2:9999999"), "--grid lr=1:2:9999999: a range needs from 1 to 1,000,000 values"),
        (("--grid", "lr=1:2:5000", "--grid", "eps=1:2:5000"), "--grid has 25,000,000 combinations, but at most 1,000,000"),
        (("--n-candidates", "1000001"), "--n-candidates is 1000001, but must be a whole number from 1 to 1,000,000"),
        (("--grid", "epochs=0:4:3"), "--grid epochs is 0, but must be a whole number from 1 to"),
        (("--grid", "n_networks=0,2"), "--grid n_networks is 0, but must be a whole number of at least 1"),
        (("--grid", "lr=1", "--grid", "lr=2"), "names lr twice"),
        (("--seeds", "0"), "--seeds is 0"),
        (("--cv", "1"), "--cv is 1"),
        (("--validation", "0"), "give --cv N"),
        (("--validation", "2"), "--validation is 2, but must be at least 0 and below 1"),
        (("--class-weight", "even"), "--class-weight is 'even', but must be one of balanced"),
        (("--resume",), "is not a sweep"),
        (("--halving", "--grid", "epochs=1,2"), "--halving divides the epochs"),
    ],
)
def test_mistakes(call: Call, arguments: tuple[str, ...], message: str) -> None:
    done = call("sweep", "moons", *SMALL, *arguments)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1


def test_the_sweep_file_says_what_was_swept(call: Call) -> None:
    assert call("sweep", "moons", *SMALL, "--grid", "lr=0.1").code == 0
    kept = json.loads(Path("here/sweep.json").read_text())
    assert kept["grid"] == {"lr": [0.1]}
    assert kept["options"]["hidden"] == "6"


@pytest.mark.draws
def test_pictures_of_a_halving_compare_candidates_that_trained_for_equally_long(call: Call) -> None:
    """A candidate that cannot be trained was not in its rounds."""
    options = (
        "--grid",
        "lr=0.001,0.01,0.1",
        "--grid",
        "dropout=0,0.1-0.2",
        "--epochs",
        "9",
        "--halving",
        "--hidden",
        "4",
        "--out",
        "s",
    )
    assert call("sweep", "moons", *options, "-q").code == 0
    done = call("plot", "s", "--kind", "sweep")
    assert done.code == 0
    assert "accuracy after 3 epochs over lr" in done.out


def test_a_text_that_is_a_number_is_drawn_as_one(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """dropout is a text, as it may be one number per layer; its axis is in order all the same."""
    drawn: list[Any] = []

    def parallel(rows: list[dict[str, Any]], **settings: Any) -> Any:
        drawn.append([(row["dropout"], row["hidden"]) for row in rows])
        return parallel_coordinates(rows, **settings)

    parallel_coordinates = plots.parallel_coordinates
    monkeypatch.setattr(plots, "parallel_coordinates", parallel)
    assert call("sweep", "moons", *SMALL, "--grid", "dropout=0.25,0.1", "--grid", "hidden=6,4-2", "-q").code == 0
    assert {value for rows in drawn for value in rows} == {(0.25, "6"), (0.25, "4,2"), (0.1, "6"), (0.1, "4,2")}


def test_a_candidate_is_one_line_with_the_mean_of_its_folds_and_seeds(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []

    def parallel(rows: list[dict[str, Any]], **settings: Any) -> Any:
        drawn[:] = [row["validation accuracy"] for row in rows]
        return parallel_coordinates(rows, **settings)

    parallel_coordinates = plots.parallel_coordinates
    monkeypatch.setattr(plots, "parallel_coordinates", parallel)
    assert (
        call(
            "sweep", "moons", "--points", "60", *SMALL, "--grid", "lr=0.001,0.1", "--cv", "2", "--seeds", "2", "--out", "here", "-q"
        ).code
        == 0
    )
    with open("here/results.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    means = [np.mean([float(row["score"]) for row in rows if row["candidate"] == name]) for name in ("0", "1")]
    assert len(rows) == 8
    assert drawn == pytest.approx(means)


def test_resume_says_which_option_differs(call: Call) -> None:
    """Candidates are numbered in the order of the grid; in another order results would be those of another candidate."""
    words = ("sweep", "moons", "--points", "60", *SMALL)
    assert call(*words, *GRID).code == 0
    for given, difference in (
        (GRID[:2], "--grid dropout=0,0.2 is not given now"),
        ((*GRID, "--grid", "hidden=4,4-4"), "--grid hidden=4,4-4 was not given then"),
        ((*GRID[:2], "--grid", "dropout=0"), "--grid dropout was 0,0.2, is 0 now"),
        ((*GRID[2:], *GRID[:2]), "--grid was given for lr, dropout in this order"),
        ((*GRID, "--seeds", "2"), "--seeds was 1, is 2 now"),
        ((*GRID, "--halving"), "--halving was not given, is given now"),
        ((*GRID, "--batch-size", "16"), "--batch-size was not given, is 16 now"),
    ):
        done = call(*words, *given, "--resume")
        assert done.code == 2
        assert done.err == f"error: the sweep in here has other options: {difference}; give the same options, or another --out\n"


def test_what_cannot_be_halved_leaves_no_folder(call: Call) -> None:
    done = call("sweep", "moons", "--points", "60", "--hidden", "4", "--grid", "epochs=2,4", "--halving", "-q", "--out", "here")
    assert done.code == 2
    assert "--halving divides the epochs itself" in done.err
    assert not Path("here").exists()


def write_prices() -> None:
    """Write prices.csv, a table of counts that grow with a."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 2))
    price = 1.0 + rng.poisson(np.exp(1.0 + x[:, 0]))
    lines = ["a,b,price", *(f"{a:.4f},{b:.4f},{p:g}" for (a, b), p in zip(x.tolist(), price.tolist(), strict=True))]
    Path("prices.csv").write_text("\n".join(lines), encoding="utf-8")


def test_options_with_the_names_of_results(call: Call) -> None:
    write_prices()
    words: tuple[str, ...] = (
        "sweep",
        "prices.csv",
        "--target",
        "price",
        "--task",
        "regression",
        "--preset",
        "plain",
        "--hidden",
        "4",
    )
    words += ("--grid", "loss=squared_error,huber", "--grid", "epochs=1,2", "-q", "--out", "here")
    assert call(*words).code == 0
    before = results()
    options = [(row["loss_option"], row["epochs_option"]) for row in before]
    assert options == [(loss, epochs) for loss in ("squared_error", "huber") for epochs in ("1", "2")]
    assert [row["epochs"] for row in before] == ["1.0", "2.0"] * 2
    assert call(*words, "--resume").code == 0
    assert results() == before
    path = Path("here/results.csv")
    text = path.read_text(encoding="utf-8")
    older = text.replace("_option", "").splitlines()[:-1]  # by version 0.1, with two columns of a name, and stopped before the end
    path.write_text("\n".join(older), encoding="utf-8")
    assert call(*words, "--resume").code == 0
    assert [(row["loss_option"], row["epochs_option"], row["score"]) for row in results()] == [
        (*option, row["score"]) for option, row in zip(options, before, strict=True)
    ]


def test_a_sweep_of_arrays_by_version_0_1_is_not_resumed(call: Call) -> None:
    """That version did not scale their columns, so that the candidates of two versions cannot be compared."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    np.savez("arrays.npz", X=X, y=X[:, 0] > 0)
    words = ("sweep", "arrays.npz", *SMALL, "--grid", "lr=0.01,0.1")
    assert call(*words).code == 0
    config = json.loads(Path("here/sweep.json").read_text(encoding="utf-8"))
    assert config.pop("version") == mn.__version__
    Path("here/sweep.json").write_text(json.dumps(config), encoding="utf-8")
    done = call(*words, "--resume")
    assert done.code == 2
    assert "begun by version 0.1, which did not scale the columns of arrays" in done.err


def test_a_sweep_that_fails_before_its_first_result_leaves_nothing(call: Call, tmp_path: Path) -> None:
    """So that the same command can be given again, once the data or an option are put right."""
    Path("prices.csv").write_text("a,price\n" + "".join(f"{i},{i - 20}.5\n" for i in range(60)), encoding="utf-8")
    words = ("sweep", "prices.csv", "--target", "price", *SMALL[:-1], "new/here", "--grid", "lr=0.1")
    done = call(*words, "--loss", "poisson")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["prices.csv"]
    assert call(*words, "--loss", "huber").code == 0
