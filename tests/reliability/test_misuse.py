"""Calls that cannot be meant: one error of ours each, with the value, what is allowed and what to do; and models of odd data that
are saved and loaded all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import manynets as mn
from tests.cli.conftest import Call, call, table

pytestmark = pytest.mark.usefixtures("blank_pictures")

__all__ = ["call", "table"]

X = np.random.default_rng(0).standard_normal((60, 3))
Y = np.arange(60) % 2


@pytest.fixture(scope="module")
def model() -> mn.Model:
    return mn.train(X, Y, mn.MLP(hidden=(4,)), mn.Recipe(epochs=1), progress=False)


@pytest.mark.parametrize("path", [5, None, ["m"], 1.5])
def test_what_is_no_path(path: Any, model: mn.Model) -> None:
    message = "but must be a path: a text or a pathlib.Path"
    for call_ in (mn.load, model.save, lambda p: mn.Checkpoint(folder=p)):
        with pytest.raises(mn.OptionError, match=message):
            call_(path)
    if path is not None:
        for train in (
            lambda: mn.train(X, Y, progress=False, resume=path),
            lambda: mn.train_many(X, Y, [(mn.MLP(), mn.Recipe())], progress=False, resume=path),
        ):
            with pytest.raises(mn.OptionError, match="resume is .*" + message):
                train()


def test_where_no_file_can_be(model: mn.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").touch()
    for path, message in (
        ("folder", "path is 'folder', which is a folder; give a file in it, such as folder/model.safetensors"),
        ("", "path is '', which is a folder; give a file in it, such as model.safetensors"),
        ("none/deep/m", "path is 'none/deep/m', but none/deep does not exist; make that folder first"),
        ("file/m", "path is 'file/m', but file is no folder; choose another"),
        ("a\0b", "path is 'a\\x00b', but no path can hold a null character"),
    ):
        with pytest.raises(mn.OptionError) as raised:
            model.save(path)
        assert str(raised.value) == message
    assert sorted(os.listdir()) == ["file", "folder"]
    with pytest.raises(mn.OptionError, match="null character"):
        mn.load("a\0b")
    with pytest.raises(mn.ModelFileError, match="nonesuch: there is no such folder of checkpoints; leave out resume"):
        mn.train_many(X, Y, [(mn.MLP(), mn.Recipe())], progress=False, resume="nonesuch")
    with pytest.raises(mn.OptionError, match="checkpoint is 'a', but must be a Checkpoint"):
        mn.train_many(X, Y, [(mn.MLP(), mn.Recipe())], progress=False, checkpoint="a")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [{1, 2}, np.float32(1), np.arange(3), float("nan"), object(), b"x", [{"a": {1}}], (0, set())])
def test_info_that_json_cannot_hold(value: Any, model: mn.Model, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    before = (tmp_path / "m").read_bytes()
    model.info["mine"] = value
    try:
        with pytest.raises(mn.OptionError, match=r"info\['mine'\] is .*, which JSON cannot hold; make it of texts, finite numbers"):
            model.save(tmp_path / "m")
    finally:
        del model.info["mine"]
    assert (tmp_path / "m").read_bytes() == before
    assert os.listdir(tmp_path) == ["m"]


def test_arrays_without_an_axis() -> None:
    for field in ("dropout", "hidden"):
        with pytest.raises(mn.OptionError, match=f"MLP.{field} is array.0.2., but must be a number or a tuple of numbers"):
            mn.MLP(**{field: np.array(0.2)})
    with pytest.raises(mn.OptionError, match=r"Adam.betas is array.0.9."):
        mn.Adam(betas=np.array(0.9))  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:y has one class only", "ignore:Stochastic Optimizer")
@pytest.mark.parametrize("networks", [1, 3])
@pytest.mark.parametrize("label", ["a", 0, True])
def test_a_model_of_one_class_is_saved_and_loaded(label: Any, networks: int, tmp_path: Path) -> None:
    y = np.array([label] * 60)
    estimator = mn.MLPClassifier((4,), max_iter=2, n_networks=networks, random_state=0)
    estimator.fit(X, y)
    estimator.model_.save(tmp_path / "m")
    loaded = mn.load(tmp_path / "m")
    for model in (estimator.model_, loaded):
        assert model.predict(X[:3]).tolist() == estimator.predict(X[:3]).tolist() == [label] * 3
        assert model.predict_proba(X[:3]).tolist() == [[1.0]] * 3
        figures = model.evaluate(X, y)
        assert (figures["accuracy"], figures["confusion"]) == (1.0, [[60]])
    assert loaded.task == estimator.model_.task
    assert np.array_equal(loaded.logits(X), estimator.model_.logits(X))


# --------------------------------------------------------------------------------------------------------- the command line


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (("--device", "cuda:7"), "device is 'cuda:7', but torch finds"),
        (("--engine", "tensorflow"), "--engine is 'tensorflow', but must be one of torch, numpy, jax, keras"),
        (("--loss", "huge"), "--loss is 'huge', but must be one of"),
    ],
)
@pytest.mark.parametrize("command", ["train", "sweep"])
def test_an_option_is_told_before_the_data_are_read(command: str, option: tuple[str, str], told: str, call: Call) -> None:
    if command == "sweep" and option[0] != "--device":
        return
    done = call(command, "nonesuch.csv", "--target", "y", *option)
    assert done.code == 2
    assert told in done.err
    assert done.out == ""


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (("--loss", "huber"), "loss of the task 'binary' is 'huber'"),
        (("--batch-size", "5000"), "--batch-size is 5000, but there are"),
    ],
)
def test_an_option_that_does_not_fit_the_data_is_told_before_any_table(
    option: tuple[str, str], told: str, call: Call, table: Path
) -> None:
    done = call("train", table, "--target", "kind", *option)
    assert done.code == 2
    assert told in done.err
    assert "rows to train on" not in done.out
    assert list(table.parent.iterdir()) == [table]


def shell(line: str, folder: Path) -> tuple[int, str, str]:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m manynets {line}"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=120, env=os.environ | {"PYTHONPATH": str(Path(mn.__file__).parents[1])},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_a_closed_or_full_standard_output(call: Call, tmp_path: Path) -> None:
    assert call("train", "moons", "--hidden", "4", "--epochs", "1", "-q", "--out", "run").code == 0
    assert shell("predict run moons >&-", tmp_path) == (2, "", "error: standard output is closed; give a file with -o\n")
    assert shell("predict run moons -q -o written.csv >&-", tmp_path) == (0, "", "")
    assert len((tmp_path / "written.csv").read_text().splitlines()) > 100
    assert shell("show run >&- 2>&-", tmp_path) == (0, "", "")
    assert shell("show nonesuch 2>&-", tmp_path)[0] == 2
    if Path("/dev/full").exists():
        code, _, err = shell("predict run moons >/dev/full", tmp_path)
        assert (code, err.count("\n")) == (2, 1)
        assert "No space left on device" in err


@pytest.mark.parametrize("engine", ["numpy", "jax", "keras"])
def test_engines_that_cannot_resume_say_so(engine: Any, call: Call, tmp_path: Path) -> None:
    message = f"which the engine {engine!r} does not have; use engine='torch', or leave out checkpoint and resume"
    for more in ({"checkpoint": mn.Checkpoint(folder=tmp_path / "kept")}, {"resume": tmp_path}):
        with pytest.raises(mn.OptionError, match=message):
            mn.train(X, Y, engine=engine, progress=False, **more)  # type: ignore[arg-type]
    done = call("train", "moons", "--engine", engine, "--checkpoint-every", "1", "--out", "run")
    assert (done.code, list(tmp_path.iterdir())) == (2, [])
    assert f"--checkpoint-every is for --engine torch, not {engine}; leave it out" in done.err
