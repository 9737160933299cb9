"""Messages in the caller's language: options on the command line, arguments in Python."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import cross_val_score

import manynets as mn
from manynets.cli.report import console_for, describe, print_table
from manynets.cli.wording import in_flags
from manynets.errors import warn_user
from manynets.spec.schedules import SklearnInverseScaling
from tests.cli.conftest import Call

X = np.random.default_rng(0).normal(size=(60, 2))
WORDS = np.where(X[:, 0] > 0, "yes", "no")


def test_hints_are_options_on_the_command_line(call: Call, table: Path) -> None:
    for arguments, hint in (
        (
            ("id", "--task", "binary"),
            "target 'id' holds 120 different numbers, but the task 'binary' has two classes; use --task regression",
        ),
        (("kind", "--task", "regression"), "for classes use --task multiclass, or --task binary for two"),
        (("price", "--hidden", "8", "--batch-size", "4000"), "--batch-size is 4000, but there are"),
        (("price", "--hidden", "8", "--batch-size", "4000"), "or leave it out"),
        (("kind", "--hidden", "8", "--loss", "huber"), "--loss of the task 'binary' is 'huber'"),
    ):
        done = call("train", table, "--target", *arguments)
        assert done.code == 2
        assert hint in done.err, done.err
        assert "='" not in done.err


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Cosine.final is 2, but must be a number in [0, 1]", "--lr-final is 2, but must be a number in [0, 1]"),
        ("Dataset.X is None", "Dataset.X is None"),
        (
            "if new rows will be later than these, split by time: times=frame['sold on']",
            'if new rows will be later than these, split by time: --time-column "sold on"',
        ),
        (
            "if blanks are between the columns, mn.tables.read_table(path, delimiter=' ') reads them",
            'if blanks are between the columns, give --delimiter " " to read them',
        ),
        (
            "if the file has no header, mn.tables.read_table(path, header=False) reads it",
            "if the file has no header, give --no-header to read it",
        ),
        ("times is missing in 2 of 60 rows", "--time-column is missing in 2 of 60 rows"),
        (
            "time_limit is 5.0, but 2 processes train together; leave it out",
            "--time-limit is 5.0, but 2 processes train together; leave it out",
        ),
        (
            "class_weight is 'balanced', but has no single class per row; use sample_weight",
            "--class-weight is 'balanced', but has no single class per row; use --weight",
        ),
        (
            "an id: text, all values different; declare it categorical to keep it",
            "an id: text, all values different; give --categorical to keep it",
        ),
        ("correct the cell, or declare the column categorical before fitting", "correct the cell, or train with --categorical"),
    ],
)
def test_fields_and_arguments_are_named_as_options(text: str, shown: str) -> None:
    assert in_flags(text) == shown


def test_hints_are_arguments_in_python() -> None:
    with pytest.raises(mn.DataError, match=r"60 different numbers, .* use task='regression'"):
        mn.train(X, X[:, 0], task="binary", progress=False)


@pytest.mark.parametrize("kind", ["MLP", "Tabular"])
def test_an_estimator_names_its_sibling(kind: str) -> None:
    regressor, classifier = getattr(mn, f"{kind}Regressor"), getattr(mn, f"{kind}Classifier")
    with pytest.raises(mn.DataError, match=f"but {kind}Regressor predicts numbers; use {kind}Classifier for classes"):
        regressor().fit(X, WORDS)
    with pytest.raises(mn.DataError, match=f"Unknown label type.* Use {kind}Regressor for numbers"):
        classifier().fit(X, X[:, 0])


def test_a_warning_points_at_the_users_line() -> None:
    net = mn.MLPClassifier(4, max_iter=2, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.fit(X, WORDS)
        cross_val_score(net, X, WORDS, cv=2)
        mn.MLPSearchCV(net, {"alpha": [0.0, 0.1]}, cv=2).fit(X, WORDS)
    found = [entry for entry in caught if "converge" in str(entry.message)]
    assert {entry.filename for entry in found} == {__file__}
    assert len({entry.lineno for entry in found}) == 3
    with pytest.warns(UserWarning, match="here") as direct:
        warn_user("here")
    assert direct[0].filename == __file__


@pytest.mark.parametrize("schedule", [mn.InverseScaling(), SklearnInverseScaling(rows=9)])
def test_a_schedule_has_the_name_of_its_option(schedule: mn.InverseScaling) -> None:
    assert "inverse-scaling" in describe(mn.MLP(), mn.Recipe(schedule=schedule)).split(" · ")


def test_numbers_written_as_texts_are_aligned_as_the_caller_says(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("no", "few", "0.5000"), ("also no", "many", "12.0000")]
    print_table(console_for(), ["Adds up", "count", "Lost"], rows, numbers=["Lost"])
    *_, first, second, _ = (line.rstrip() for line in capsys.readouterr().out.splitlines())
    assert first.index("no") == second.index("also no")
    assert first.index("few") == second.index("many")
    assert len(first) == len(second)


def test_a_heading_in_brackets_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(console_for(), ["[bold]", "size [m]"], [("[a]", 1)], title="[red]rooms")
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("[bold]", "size [m]", "[a]", "[red]rooms"))
