"""The one table of options: the command line, the grid, the estimators and docs/options.md follow from it."""

from __future__ import annotations

import dataclasses
import inspect
import math
from typing import Any, get_args

import pytest

import manynets as mn
from docs.make_options import PAGE, page
from manynets import spec
from manynets.cli.options import PANELS, SWEEP, TRAIN, left_out
from manynets.cli.sweep import sweep
from manynets.cli.sweep_candidates import SEARCHED, grid_of
from manynets.cli.train import train
from manynets.spec.metadata import Interval, metadata_of
from manynets.spec.options import OPTIONS, allowed_values, option_of
from tests.cli.conftest import Call

CLASSES = (
    spec.MLP,
    spec.Recipe,
    spec.EarlyStopping,
    *(kind for one in (spec.Embedding, spec.Optimizer, spec.Schedule) for kind in get_args(one)),
)


def test_the_options_page_is_current() -> None:
    """Run docs/make_options.py when this fails."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_field_is_an_option_with_a_help_text() -> None:
    for kind in CLASSES:
        for field in dataclasses.fields(kind):
            if (kind, field.name) == (spec.Recipe, "stopping") or metadata_of(field).option == "":
                continue
            option = option_of(kind.__name__, field.name)
            assert option is not None, f"{kind.__name__}.{field.name}"
            assert option.name in TRAIN
            assert metadata_of(field).help
            assert kind in option.classes.values()


def test_fields_that_share_an_option_share_its_meaning() -> None:
    for option in OPTIONS.values():
        for kind in option.classes.values():
            metadata = metadata_of(kind.__dataclass_fields__[option.field])  # type: ignore[attr-defined]
            assert metadata == option.metadata, f"{kind.__name__}.{option.field}"


def test_the_commands_have_the_options_of_their_tables() -> None:
    assert set(inspect.signature(train).parameters) == {"data", *TRAIN} == set(left_out())
    assert set(inspect.signature(sweep).parameters) == {"data", *SWEEP}
    assert set(TRAIN) - set(SWEEP) == {"allow_world_size", "engine", "memory_limit", "threshold"}
    assert set(SEARCHED) <= set(TRAIN)
    for name in set(TRAIN) - set(SWEEP):
        assert f"--{name.replace('_', '-')}" in str(sweep.__doc__), name


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_help_shows_every_option_once(call: Call, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    text = call(command, "--help").out
    for name, option in (TRAIN if command == "train" else SWEEP).items():
        flag = (option.flags or (f"--{name.replace('_', '-')}",))[0].split("/")[0]
        assert text.count(f"│ {flag} ") == (0 if option.hidden else 1), flag
    panels = [text.index(f"╭─ {panel} ─") for panel in PANELS[command == "train" :]]
    assert panels == sorted(panels)
    heads = [text.index(f"│ {flag} ") for flag in ("--epochs", "--batch-size", "--optimizer", "--lr", "--schedule", "--patience")]
    assert heads == sorted(heads)
    assert "[0.1 for adamw, else 0]" in text
    assert "(sgd and rmsprop)" in text


def test_defaults_in_help_are_those_of_the_classes() -> None:
    assert OPTIONS["lr"].default == "0.002 for nadam, 0.0001 for lion, 0.001 for adam and adamw, else 0.01"
    assert OPTIONS["lr_gamma"].default == "0.1 for step, 0.95 for exponential"
    assert OPTIONS["betas"].default == "0.9,0.99 for lion, else 0.9,0.999"
    assert (OPTIONS["optimizer"].default, OPTIONS["schedule"].default) == ("adamw", "constant")
    assert (OPTIONS["bias"].default, OPTIONS["epochs"].default[:2]) == ("yes", "20")


def test_every_searched_option_has_values_in_a_grid() -> None:
    """Numbers become numbers, names names, and several numbers in one value are written with hyphens."""
    written = {int: "2,3", float: "0.25,0.5", bool: "yes,no", str: "0.1-0.2,0.3-0.4"}
    expected = {int: [2, 3], float: [0.25, 0.5], bool: [True, False], str: ["0.1,0.2", "0.3,0.4"]}
    assert grid_of(["n-networks=2,3"]) == {"n_networks": [2, 3]}
    for name in OPTIONS.keys() & set(SEARCHED):
        option = OPTIONS[name]
        if option.names:
            assert grid_of([f"{name}={','.join(option.names)}"]) == {name: list(option.names)}
        elif option.value_type is float and isinstance(option.metadata.allowed, Interval) and 0.25 not in option.metadata.allowed:
            assert grid_of([f"{name}=1.5,2.5"]) == {name: [1.5, 2.5]}
        elif isinstance(option.metadata.allowed, Interval) and option.metadata.allowed.whole and option.value_type is str:
            assert grid_of([f"{name}=2-3,4-5"]) == {name: ["2,3", "4,5"]}
        else:
            assert grid_of([f"{name}={written[option.value_type]}"]) == {name: expected[option.value_type]}


@pytest.mark.parametrize(
    ("interval", "inside", "outside", "text"),
    [
        (Interval(), [0, 0.5, 1e300, 10**400], [-1e-9, math.inf, math.nan, "1", None, True], "a number in [0, inf)"),
        (Interval(0, 1, low_open=True), [1e-9, 1], [0, 1.0001], "a number in (0, 1]"),
        (Interval(0, 1, high_open=True), [0, 0.999], [1, -0.1], "a number in [0, 1)"),
        (Interval(1, whole=True), [1, 10**400], [0, 1.0, True, math.inf], "a whole number of at least 1"),
        (Interval(2, 255, whole=True), [2, 255], [1, 256, 2.0, 10**400], "a whole number from 2 to 255"),
    ],
)
def test_intervals(interval: Interval, inside: list[Any], outside: list[Any], text: str) -> None:
    assert all(value in interval for value in inside)
    assert not any(value in interval for value in outside)
    assert str(interval) == text
    with pytest.raises(mn.OptionError, match=r"what is .*, but must be a"):
        interval.check(outside[0], what="what")


def test_the_estimators_have_the_ranges_of_the_specification() -> None:
    X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1]
    for parameter, (kind, field) in {
        "alpha": (spec.Recipe, "l2"),
        "beta_1": (spec.Adam, "betas"),
        "max_iter": (spec.Recipe, "epochs"),
    }.items():
        with pytest.raises(mn.OptionError, match=f"{parameter} is -1, but must be") as raised:
            mn.MLPClassifier(**{parameter: -1}).fit(X, y)  # type: ignore[arg-type]
        assert str(raised.value).endswith(str(allowed_values(kind, field)))


def test_the_docstrings_list_the_fields() -> None:
    assert "lr: Learning rate" in str(mn.Adam.__doc__)
    assert "activation: Activation of the hidden layers: 'identity', 'relu'" in str(mn.MLP.__doc__)
    assert "epochs: Passes over the rows (None: 20" in str(mn.Recipe.__doc__)
