"""The default of `manynets train` for images: shifted copies, the same bits as in Python, and how the options choose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets.datasets import load, with_shifts
from manynets.prepare import holdout
from manynets.spec import from_json
from manynets.targets import find_target
from tests.cli.conftest import Call
from tests.datasets.small_mnist import FILES, as_idx
from tests.tolerances import assert_close

SMALL = ("train", "mnist", "--hidden", "8", "--data-dir", "data")


@pytest.fixture(autouse=True)
def data(call: Call) -> Path:
    """An mnist of 40 + 10 random images in the folder `data`."""
    random, folder = np.random.default_rng(0), Path("data", "mnist")
    folder.mkdir(parents=True)
    for file, rows in zip(FILES, (40, 40, 10, 10), strict=True):
        (folder / file).write_bytes(as_idx(random.integers(0, 256, (rows, 28, 28)) if "images" in file else np.arange(rows) % 10))
    return folder


def config_of(folder: str) -> dict[str, Any]:
    """Return the configuration of a run."""
    read: dict[str, Any] = json.loads(Path(folder, "config.json").read_text())
    return read


def test_the_default_is_trained_on_shifted_copies_of_the_training_rows_only(call: Call) -> None:
    done = call(*SMALL, "--json")
    assert done.code == 0, done.err
    assert [done.json[part]["rows"] for part in ("train", "validation", "test")] == [36, 4, 10]
    assert "36 images, and each moved in four directions" in done.err

    whole = load("mnist", data_dir="data")
    split = holdout(find_target(whole.y, "multiclass"), 0.1, seed=0)
    X, y = with_shifts(whole.X[split.train], whole.y[split.train], (28, 28))
    config = config_of("runs/mnist-1")
    spec, recipe = from_json(config["spec"]), from_json(config["recipe"])
    model = mn.train(
        X, y, spec, recipe, validation=(whole.X[split.held_out], whole.y[split.held_out]), scaling=False, progress=False
    )
    for mine, theirs in zip(model.members, mn.load("runs/mnist-1/model.safetensors").members, strict=True):
        assert_close(mine, theirs, "bits")
    assert call("rerun", "runs/mnist-1").code == 0


def test_a_stopped_training_goes_on_to_the_same_bits(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    train = mn.train

    def stopped(*arguments: Any, **more: Any) -> Any:
        def stop(event: Any) -> None:
            if isinstance(event, mn.Evaluated) and event.step >= 10:
                raise KeyboardInterrupt

        return train(*arguments, **more, callbacks=[stop])

    with monkeypatch.context() as patch:
        patch.setattr(mn, "train", stopped)
        assert call(*SMALL, "-q", "--out", "half", "--checkpoint-every", "2 steps").code == 130
    assert call("train", "--resume", "half", "-q").code == 0
    assert call(*SMALL, "-q", "--out", "whole").code == 0
    half, whole = (mn.load(f"{name}/model.safetensors") for name in ("half", "whole"))
    for mine, theirs in zip(half.members, whole.members, strict=True):
        assert_close(mine, theirs, "bits")


@pytest.mark.parametrize("words", [("--preset", "plain", "--epochs", "1"), ("--epochs", "1"), ("--task", "regression")])
def test_an_option_of_a_plain_network_chooses_it(call: Call, words: tuple[str, ...]) -> None:
    done = call(*SMALL, *words, "--json")
    assert done.code == 0, done.err
    assert done.json["networks"] == 1
    assert "directions" not in done.err
    assert config_of("runs/mnist-1")["recipe"]["keep"] == "best"


def test_options_that_the_default_takes(call: Call) -> None:
    words = ("--preset", "default", "--n-networks", "2", "--seed", "3", "--validation", "0", "--class-weight", "balanced")
    done = call(*SMALL, *words, "--json")
    assert (done.json["networks"], done.json["train"]["rows"], done.json["validation"]) == (2, 40, None)
    config = config_of("runs/mnist-1")
    assert (config["spec"]["hidden"], config["recipe"]["seed"], config["recipe"]["keep"]) == ([8], 3, "last")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("mnist", "--preset", "fast"), "--preset fast is for tables, but mnist is a set of arrays"),
        (("mnist", "--time-limit", "5"), "--time-limit is for tables, but mnist is a set of arrays"),
        (
            ("digits", "--preset", "default"),
            "--preset default is for tables and images with classes, of at least 20 pixels a side, but",
        ),
        (
            ("mnist", "--preset", "default", "--lr", "0.1"),
            "--lr is for a plain network, but --preset default trains mnist by a recipe of its own; leave one out",
        ),
    ],
)
def test_refusals(call: Call, words: tuple[str, ...], message: str) -> None:
    failed = call("train", *words, *(("--data-dir", "data") if "mnist" in words else ()))
    assert failed.code == 2
    assert message in " ".join(failed.err.split())
