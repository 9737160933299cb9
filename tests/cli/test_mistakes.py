"""A user's mistake: exit code 2, one line on stderr, nothing on stdout, no folder left behind."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import typer

from manynets.cli import command_line
from tests.cli.conftest import Call

MISTAKES = [
    ("trian", "train"),
    ("train", "DATA"),
    ("train digit", "did you mean 'digits'"),
    ("train nofile.csv --target y", "nofile.csv does not exist"),
    ("train hosues.csv --target price", "the file hosues.csv does not exist; did you mean houses.csv?"),
    ("inspect rules.csv", "rules.csv does not exist\n"),
    ("train . --target y", "is a folder"),
    ("train houses.csv", "--target"),
    ("train houses.csv --target prise", "did you mean 'price'"),
    ("train houses.csv --target price --drop sise", "did you mean 'size'"),
    ("train houses.csv --target price --weight colour", "'colour'"),
    ("train houses.csv --target price --numeric colour", "'red'"),
    ("train houses.csv --target price --class-weight balanced", "has no single class per row; use --weight"),
    ("train houses.csv --target price --test gone.csv", "gone.csv"),
    ("train houses.csv --target price --points 10", "--points"),
    ("train houses.csv --target price --delimiter ;", "size,colour,id"),
    ("train houses.csv --target kind --task regression", "regression"),
    ("train houses.csv --target price --test-fraction 1", "--test-fraction"),
    ("train houses.csv --target price --test houses.csv --test-fraction 0.1", "one of the two"),
    ("train digits --target y", "--target"),
    ("train digits --epochs 0", "--epochs is 0"),
    ("train --hidden", "requires an argument; see: manynets train --help"),
    ("explain --pair", "requires 2 arguments; see: manynets explain --help"),
    ("train houses.csv --target price,kind", "target 'kind' holds '"),
    ("train digits --epochs two", "--epochs is 'two', but must be a whole number; see: manynets train --help"),
    ("trian digits", "Did you mean 'train'? See: manynets --help"),
    ("train mnsit", "must be the path of a file, or one of digits, "),
    ("train mnsit", "did you mean 'mnist'?\n"),
    ("train houses.csv --target PRICE", "did you mean 'price'?"),
    ("train digits --lr fast", "--lr is 'fast', but must be a number"),
    ("train digits --no-such-option", "--no-such-option"),
    ("train digits --hidden 5,a", "--hidden"),
    ("train digits --hidden 0", "--hidden"),
    ("train digits --dropout 1", "--dropout"),
    ("train digits --activation rleu", "did you mean 'relu'"),
    ("train digits --optimizer adma", "did you mean 'adam'"),
    ("train digits --momentum 0.9", "sgd, rmsprop"),
    ("train digits --betas 1", "--betas"),
    ("train digits --schedule cosine --warmup 2", "--warmup is 2.0"),
    ("train digits --epochs 2 --iterations 3", "one of the two"),
    ("train digits --validation 1", "--validation"),
    ("train digits --min-delta 1", "--patience"),
    ("train digits --quantile 0.3", "--quantile is for --loss quantile only"),
    ("train houses.csv --target price --delta 2", "--delta is for --loss huber only"),
    ("train digits --device gpu", "--device"),
    ("train digits --lr nan", "--lr"),
    ("playground --target price", "--target names a column of FILE; give one"),
    ("train digits --seed -1", "--seed"),
    ("train digits --class-weight fair", "balanced"),
    ("train digits --out houses.csv", "houses.csv exists"),
    ("train digits --out houses.csv/run", "cannot be written"),
    ("train moons --points 1", "points"),
    ("train mnist --data-dir nowhere", "nowhere"),
    ("show nowhere", "does not exist"),
    ("show .", "is not a run folder"),
    ("evaluate nowhere", "does not exist"),
    ("predict nowhere houses.csv", "does not exist"),
    ("predict houses.csv nowhere", "houses.csv is a table, not a run; the run comes first: manynets predict"),
    ("predict nowhere houses.csv -o out.xlsx", "-o is 'out.xlsx', but must end in .csv"),
    ("show a\0b", "null character"),
    ("inspect houses.csv --plot a\0.png", "null character"),
]


@pytest.mark.parametrize(("line", "told"), MISTAKES)
def test_a_mistake_is_told_in_a_line(call: Call, table: Path, line: str, told: str) -> None:
    done = call(*line.split())
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert told in done.err
    assert done.out == ""
    assert [entry.name for entry in table.parent.iterdir()] == [table.name]


@pytest.mark.parametrize(("kind", "allowed"), [("integer", "a whole number"), ("float", "a number")])
def test_older_releases_of_typer_are_told_alike(call: Call, monkeypatch: pytest.MonkeyPatch, kind: str, allowed: str) -> None:
    epochs = next(one for one in command_line().commands["train"].params if "--epochs" in one.opts)
    command = MagicMock()
    command.main.side_effect = typer.BadParameter(f"'two' is not a valid {kind}.", param=epochs)
    monkeypatch.setattr("manynets.cli.command_line", lambda: command)
    told = call("train", "digits", "--epochs", "two").err
    assert told == f"error: --epochs is 'two', but must be {allowed}; see: manynets train --help\n"


def test_a_fault_of_ours_is_not_dressed_up(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    import manynets.cli.fit

    def broken(options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(manynets.cli.fit, "fit", broken)
    with pytest.raises(ZeroDivisionError):
        call("train", "digits")


def test_too_little_memory_is_told(call: Call) -> None:
    done = call("train", "moons", "--hidden", "99999999999", "-q")
    assert done.code == 2
    assert done.err.startswith("error: not enough memory: ")
    assert done.err.count("\n") == 1


def test_a_target_named_twice_is_one(call: Call, table: Path) -> None:
    done = call("train", "houses.csv", "--target", "kind,kind", "--epochs", "1", "--json", "-q")
    assert done.json["task"] == "binary"


def test_a_missing_target_is_told_with_the_option(call: Call, table: Path) -> None:
    table.write_text(table.read_text() + "1,red,1,,big\n")
    done = call("train", "houses.csv", "--target", "price")
    assert done.code == 2
    assert "leave them out with --drop-missing-target" in done.err


def test_a_reader_that_stops_is_no_fault(table: Path) -> None:
    line = "import manynets.cli; manynets.cli.main()"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{sys.executable} -c '{line}' train --help | true"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_an_interrupt_ends_with_130_and_leaves_nothing(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import manynets.fitting

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(manynets.fitting, "train_members", interrupted)
    done = call("train", "moons", "-q")
    assert done.code == 130
    assert list(tmp_path.iterdir()) == []


def test_help_and_version(call: Call) -> None:
    for words in (["--help"], ["train", "--help"], ["evaluate", "-h"], ["predict", "-h"], ["show", "-h"], ["datasets", "-h"]):
        done = call(*words)
        assert done.code == 0
        assert "Usage" in done.out
        assert done.err == ""
    assert call("--version").out.startswith("manynets 0.")
    assert call().code == 2


def test_help_begins_with_what_a_command_does_and_an_example(call: Call) -> None:
    for command in command_line().commands:
        text = " ".join(call(command, "--help").out.split())
        head = text[text.index("Usage") : text.index("─")]
        assert f"manynets {command}" in head.partition(". ")[2] or command in ("datasets", "doctor"), head
        assert "<bool>" not in text
        assert "<str>" not in text
        assert "{" not in head
    text = call("sweep", "--help").out
    at = [
        text.index(words) for words in ("Compare networks", "manynets sweep houses", "--target ", "--grid ", "─ Sweep", "─ Network")
    ]
    assert at == sorted(at)
    assert re.search(r"The folder has +\n", text)  # paragraphs fill the lines


def test_help_loads_no_torch() -> None:
    code = "import sys, manynets.cli\ntry: manynets.cli.main(['train', '--help'])\nfinally: print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not {"torch", "numpy", "polars", "matplotlib"} & set(done.stderr.split())
    assert "--hidden" in done.stdout
