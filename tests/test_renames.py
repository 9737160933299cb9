"""Names of version 0.1 in files and on the command line."""

from __future__ import annotations

from typing import Any

import pytest

import manynets as mn
from manynets.cli.sweep_candidates import grid_of
from manynets.renames import as_version_1, renamed
from manynets.spec import SklearnAdam, SklearnInverseScaling, SklearnSGD, from_json, to_json
from tests.cli.conftest import Call, call

pytestmark = pytest.mark.usefixtures("blank_pictures")

__all__ = ["call"]

FORMER: list[tuple[dict[str, Any], Any]] = [
    ({"kind": "EarlyStopping", "min_gain": 0.5}, mn.EarlyStopping(min_delta=0.5)),
    ({"kind": "ReduceOnPlateau", "min_gain": 0.5}, mn.ReduceOnPlateau(min_delta=0.5)),
    ({"kind": "SGD", "lr": 0.5, "lr_in_velocity": False}, mn.SGD(lr=0.5)),
    ({"kind": "SGD", "lr": 0.5, "lr_in_velocity": True}, SklearnSGD(lr=0.5)),
    ({"kind": "Adam", "lr": 0.5, "eps_hat": False}, mn.Adam(lr=0.5)),
    ({"kind": "Adam", "lr": 0.5, "eps_hat": True}, SklearnAdam(lr=0.5)),
    ({"kind": "InverseScaling", "power": 0.3, "rows": 1, "start": 0}, mn.InverseScaling(power=0.3)),
    ({"kind": "InverseScaling", "power": 0.3, "rows": 9, "start": 4}, SklearnInverseScaling(power=0.3, rows=9, start=4)),
]


@pytest.mark.parametrize(("written", "value"), FORMER)
def test_the_specifications_of_version_1_are_read(written: dict[str, Any], value: Any) -> None:
    assert from_json(written) == value
    today = to_json(value)
    assert renamed(today) == today
    former = as_version_1(today)
    assert former.items() >= written.items()
    assert set(former) - set(today) <= {"min_gain", "lr_in_velocity", "eps_hat", "rows", "start"}
    assert renamed(former) == today


def test_specifications_within_others_are_renamed_and_brought_back() -> None:
    recipe = mn.Recipe(optimizer=SklearnAdam(), schedule=SklearnInverseScaling(rows=7), stopping=mn.EarlyStopping(min_delta=0.1))
    today = {"networks": {"3": {"recipe": to_json(recipe), "spec": to_json(mn.MLP())}}, "task": {"name": "binary"}}
    former = as_version_1(today)
    assert former["networks"]["3"]["recipe"]["stopping"]["min_gain"] == 0.1
    assert renamed(former) == today


def test_a_field_by_both_names_is_refused() -> None:
    with pytest.raises(mn.OptionError, match="min_gain"):
        from_json({"kind": "EarlyStopping", "min_gain": 0.5, "min_delta": 0.5})


@pytest.mark.parametrize("quirk", ["lr_in_velocity", "eps_hat", "rows", "start"])
def test_the_rules_of_scikit_learn_are_not_in_the_public_classes(quirk: str) -> None:
    for value in (mn.SGD(), mn.Adam(), mn.InverseScaling()):
        assert quirk not in to_json(value)
        assert quirk not in repr(value)
        with pytest.raises(TypeError):
            type(value)(**{quirk: 1})


def test_the_former_options_are_accepted_and_not_shown(call: Call) -> None:
    grid = ("--grid", "min-gain=0,0.1", "--patience", "2")
    small = ("--hidden", "4", "--epochs", "2", "--device", "cpu", "--points", "60", "--json", "-q")
    done = call("train", "moons", "--min-gain", "0.1", "--patience", "2", "--networks", "2", *small)
    assert done.code == 0, done.err
    model = mn.load(f"{done.json['run_dir']}/model.safetensors")
    assert model.size == 2
    assert model.recipe.stopping == mn.EarlyStopping(patience=2, min_delta=0.1)
    assert call("sweep", "moons", *grid, "--folds", "2", *small).code == 0
    for command in ("train", "sweep"):
        shown = call(command, "--help").out
        assert "--min-delta" in shown
        for option in ("--min-gain", "--networks ", "--folds", "--eps-hat", "--lr-in-velocity"):
            assert option not in shown


def test_the_former_names_of_a_grid() -> None:
    assert grid_of(["min-gain=0,0.1", "lr_min_gain=0.2"]) == {"min_delta": [0.0, 0.1], "lr_min_delta": [0.2]}
