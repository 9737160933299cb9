"""Cases 46 to 57: files that are old, new, cut, damaged, foreign or hostile."""

from __future__ import annotations

import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import manynets as mn
from manynets.modelfile import read_model_file
from manynets.training.checkpoint import Checkpoint, checkpoint_files, newest_checkpoint, read_checkpoint
from tests.golden.make import INPUT, frame_input
from tests.reliability.fuzz import Watch, hashed, packed, parts

GOLDEN = Path(__file__).parents[1] / "golden"
X = np.random.default_rng(0).standard_normal((40, 3))


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small"
    mn.train(X, X[:, 0], mn.MLP(hidden=(2,)), mn.Recipe(epochs=1), scaling=False, progress=False).save(path)
    return path


@pytest.fixture(scope="module")
def checkpoint_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    mn.train(
        X, X[:, 0], mn.MLP(hidden=(2,)), mn.Recipe(epochs=1), scaling=False, progress=False, checkpoint=Checkpoint(folder=folder)
    )
    return checkpoint_files(folder)[0]


def refused(data: bytes, path: Path, message: str = "", *, load: Any = mn.load) -> str:
    """Assert that a file of these bytes is a ModelFileError that names the path, and return its message."""
    path.write_bytes(data)
    with pytest.raises(mn.ModelFileError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------------- old and new


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*/*.safetensors")), ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_case_56_files_of_every_released_version_load(file: Path) -> None:
    expected = json.loads((file.parent / "expected.json").read_text(encoding="utf-8"))[file.stem]
    model = mn.load(file)
    given = frame_input() if file.stem == "table" else INPUT
    np.testing.assert_allclose(model.logits(given), expected["scores"], rtol=1e-5, atol=1e-6)
    predictions = model.predict(given)
    if predictions.dtype.kind == "f":
        np.testing.assert_allclose(predictions, expected["predictions"], rtol=1e-5, atol=1e-6)
    else:
        assert predictions.tolist() == expected["predictions"]


def test_case_56_there_is_a_golden_folder_of_this_version() -> None:
    assert len(list((GOLDEN / mn.__version__).glob("*.safetensors"))) >= 7


@pytest.mark.parametrize("version", [0, 3, 99, "1", None, True])
def test_case_56_another_format_version(version: Any, model_file: Path, tmp_path: Path) -> None:
    outer, body = parts(model_file.read_bytes())
    inner = json.loads(outer["__metadata__"]["manynets"])
    outer["__metadata__"]["manynets"] = json.dumps(inner | {"format_version": version})
    message = f"the file has format_version {version!r}, this manynets reads versions 1 to 2; install a newer manynets"
    refused(hashed(packed(outer, body)), tmp_path / "other", message)


def test_any_tool_for_safetensors_reads_the_file(model_file: Path) -> None:
    from safetensors.numpy import load_file

    tensors = load_file(model_file)
    _, ours = read_model_file(model_file)
    assert set(tensors) == set(ours)
    assert all(np.array_equal(tensors[name], value) for name, value in ours.items())


def test_case_46_tensors_are_stored_device_free(checkpoint_file: Path) -> None:
    for file in (checkpoint_file,):
        outer, _ = parts(file.read_bytes())
        assert all(set(entry) == {"dtype", "shape", "data_offsets"} for name, entry in outer.items() if name != "__metadata__")


# --------------------------------------------------------------------------------------------------------- cut and damaged


@pytest.mark.parametrize("kind", ["model", "checkpoint"])
def test_case_54_every_truncation(kind: str, model_file: Path, checkpoint_file: Path, tmp_path: Path) -> None:
    whole = (model_file if kind == "model" else checkpoint_file).read_bytes()
    load = mn.load if kind == "model" else read_checkpoint
    path = tmp_path / "cut"
    path.write_bytes(whole)
    load(path)
    for length in range(len(whole) - 1, -1, -1):
        os.truncate(path, length)
        with pytest.raises(mn.ModelFileError) as caught:
            load(path)
        assert str(path) in str(caught.value)
    refused(whole[:-1], path, f"truncated: {len(whole)} bytes were expected, {len(whole) - 1} found", load=load)
    refused(whole + b"x", path, f"has something after its end: {len(whole)} bytes were expected, {len(whole) + 1} found", load=load)


@pytest.mark.parametrize("kind", ["model", "checkpoint"])
def test_case_55_every_byte(kind: str, model_file: Path, checkpoint_file: Path, tmp_path: Path) -> None:
    """One bit of each byte; the slow test flips all eight."""
    assert (
        flips(model_file if kind == "model" else checkpoint_file, mn.load if kind == "model" else read_checkpoint, tmp_path, 1)
        > 1000
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["model", "checkpoint"])
def test_case_55_every_bit(kind: str, model_file: Path, checkpoint_file: Path, tmp_path: Path) -> None:
    assert (
        flips(model_file if kind == "model" else checkpoint_file, mn.load if kind == "model" else read_checkpoint, tmp_path, 8)
        > 8000
    )


def flips(file: Path, load: Any, folder: Path, bits: int) -> int:
    """Flip bits of every byte; return how many flips were refused: all."""
    whole, path = file.read_bytes(), folder / "flipped"
    path.write_bytes(whole)
    with open(path, "r+b", buffering=0) as handle:
        for place, byte in enumerate(whole):
            for bit in range(bits):
                os.pwrite(handle.fileno(), bytes([byte ^ 1 << (place + bit) % 8]), place)
                with pytest.raises(mn.ModelFileError):
                    load(path)
            os.pwrite(handle.fileno(), bytes([byte]), place)
    load(path)
    return len(whole) * bits


# ----------------------------------------------------------------------------------------------------- foreign and hostile


class Bomb:
    """What a pickle runs when it is loaded."""

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (os.system, ("touch ran",))


def test_cases_47_to_49_a_pickle_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.safetensors"
    refused(pickle.dumps(Bomb()), path, "this is a pickle, which manynets never reads")
    torch.save({"weight": torch.zeros(2)}, path)
    refused(path.read_bytes(), path, "this is a zip archive, such as torch.save writes")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Bomb()))
    refused(path.read_bytes(), path, "this is a zip archive")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file has 0 bytes"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "this is an HDF5 file"),
        (b"a,b\n1,2\n" * 20, "not a manynets model file"),
        (bytes(100), "the header's length is 0"),
        (struct.pack("<Q", 2**63) + b"{" + bytes(100), "the header's length is 9223372036854775808"),
        (struct.pack("<Q", 2) + b"{}" + bytes(20), "no field 'sha256'"),
    ],
)
def test_foreign_files(data: bytes, message: str, tmp_path: Path) -> None:
    refused(data, tmp_path / "foreign", message)


def test_another_safetensors_file(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"weight": np.zeros(3)}, tmp_path / "foreign")
    with pytest.raises(mn.ModelFileError, match="no field 'sha256'"):
        mn.load(tmp_path / "foreign")


def test_a_device_or_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(mn.ModelFileError, match="no regular file"):
            mn.load(path)


def hostile(file: Path, change: Any) -> bytes:
    """Return the file with its outer header, inner header and body changed, under a right hash."""
    outer, body = parts(file.read_bytes())
    inner = json.loads(outer["__metadata__"]["manynets"])
    change(outer, inner)
    outer["__metadata__"]["manynets"] = json.dumps(inner)
    return hashed(packed(outer, body))


BIG = 10**18
HOSTILE: dict[str, tuple[Any, str]] = {
    "50 a class that is code": (lambda o, i: i["recipe"].update(kind="os.system"), "kind of a specification is 'os.system'"),
    "50 a function for an activation": (lambda o, i: i["spec"].update(activation="eval"), "activation is 'eval'"),
    "50 an optimizer that is code": (lambda o, i: i["recipe"]["optimizer"].update(kind="builtins.exec"), "kind of a specification"),
    "50 an unknown field": (lambda o, i: i["spec"].update(hook="x"), "field of MLP is 'hook'"),
    "51 a wide layer": (lambda o, i: i["spec"].update(hidden=[BIG]), "the weights do not fit the specification"),
    "51 many columns": (lambda o, i: i.update(in_features=BIG), "the weights do not fit the specification"),
    "51 many networks": (lambda o, i: i.update(networks=BIG), "the weights do not fit the specification"),
    "51 many labels": (
        lambda o, i: i.update(task={"name": "multilabel", "count": BIG}),
        "the weights do not fit the specification",
    ),
    "51 a large tensor": (lambda o, i: o["hidden0.weight"].update(shape=[BIG, BIG]), "data_offsets of 'hidden0.weight' hold"),
    "51 a tensor of 10^5 axes": (lambda o, i: o["hidden0.weight"].update(shape=[1] * 100_000), "at most 32 whole numbers"),
    "52 an overlap": (lambda o, i: o["hidden0.weight"].update(data_offsets=[0, 24]), "tensors follow without a gap"),
    "52 a negative offset": (lambda o, i: o["hidden0.weight"].update(data_offsets=[-24, 0]), "must be two whole numbers"),
    "52 an unknown dtype": (lambda o, i: o["hidden0.weight"].update(dtype="O"), "dtype of 'hidden0.weight' is 'O'"),
    "52 a reference to a file": (lambda o, i: o["hidden0.weight"].update(file="/etc/passwd"), "must have the fields dtype, shape"),
    "53 a path for a name": (
        lambda o, i: o.update({"../../x": o.pop("hidden0.weight")}),
        "tensors follow without a gap|do not fit",
    ),
    "an extra field": (lambda o, i: i.update(run="x"), "the header has the fields"),
    "a history of text": (lambda o, i: i.update(history="abc"), "history must list the names"),
    "an encoder of another width": (lambda o, i: i.update(encoder={"version": 1}), "save the model again"),
    "a loss for another task": (lambda o, i: i["recipe"].update(loss="cross_entropy"), "loss"),
    "a task without scale": (lambda o, i: i["task"].update(scale=[0.0]), "task 'regression'"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_cases_50_to_53_hostile_headers(case: str, model_file: Path, tmp_path: Path) -> None:
    change, message = HOSTILE[case]
    text = refused(hostile(model_file, change), tmp_path / "hostile", message)
    assert len(text) < 1200


def test_case_52_texts_that_are_no_such_header(model_file: Path, tmp_path: Path) -> None:
    outer, body = parts(model_file.read_bytes())
    text = json.dumps(outer, separators=(",", ":"))
    cases = {
        "a field stands twice": '{"a":1,"a":2,' + text[1:],
        "NaN is no number": '{"a":NaN,' + text[1:],
        "recursion": '{"a":' + "[" * 20_000 + "]" * 20_000 + "," + text[1:],
        "too many objects": '{"a":[' + "[]," * 500_000 + "1]," + text[1:],
        "must have the fields": '{"a":5,' + text[1:],
        "digits": '{"a":' + "9" * 5000 + "," + text[1:],
    }
    for message, head in cases.items():
        refused(hashed(packed(head, body)), tmp_path / "text", message)


def test_not_finite_weights(model_file: Path, tmp_path: Path) -> None:
    outer, body = parts(model_file.read_bytes())
    start, _ = outer["hidden0.weight"]["data_offsets"]
    spoiled = body[:start] + np.float32(np.nan).tobytes() + body[start + 4 :]
    refused(hashed(packed(outer, spoiled)), tmp_path / "nan", "must hold finite numbers of float32")


# ------------------------------------------------------------------------------------------------------------ the newest one


def test_case_40_the_newest_whole_checkpoint_is_found(tmp_path: Path) -> None:
    mn.train(
        X,
        X[:, 0],
        mn.MLP(hidden=(2,)),
        mn.Recipe(epochs=4),
        scaling=False,
        progress=False,
        checkpoint=Checkpoint(folder=tmp_path, every_epochs=1, keep=3),
    )
    files = checkpoint_files(tmp_path)
    assert [file.name for file in files] == ["step-000000004.checkpoint", "step-000000003.checkpoint", "step-000000002.checkpoint"]
    os.truncate(files[0], 900)
    (tmp_path / ".step-000000009.checkpoint.abc.tmp").write_bytes(b"half")
    (tmp_path / "step-x.checkpoint").write_bytes(b"")
    with pytest.warns(mn.CheckpointWarning, match=r"step-000000004\.checkpoint.*passed over, going on from step-000000003"):
        path, state, _ = newest_checkpoint(tmp_path)
    assert (path, state.step) == (files[1], 3)
    for file in files:
        file.write_bytes(b"")
    with pytest.raises(mn.ModelFileError, match=r"none of its 3 checkpoints is whole: .*step-000000004.*step-000000002"):
        newest_checkpoint(tmp_path)


# -------------------------------------------------------------------------------------------------------------------- fuzz


def test_the_watch_sees_code(tmp_path: Path) -> None:
    watch = Watch()
    sys.addaudithook(watch)
    watch.on = True
    eval("1 + 1")
    (tmp_path / "x").write_text("")
    watch.on = False
    assert any(event.startswith("exec") for event in watch.events)
    assert any(event.startswith("open") for event in watch.events)


def fuzz(files: int, seed: int) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability.fuzz", str(files), str(seed)],
        capture_output=True,
        text=True,
        cwd=root,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    figures = json.loads(done.stdout)
    assert (figures["crashes"], figures["code"]) == ([], [])
    assert (figures["hangs"], figures["memory"], figures["wrong"]) == (0, 0, 0)
    assert figures["refused"] + figures["sound"] == files
    assert figures["refused"] > files / 2


def test_case_57_fuzzed_files() -> None:
    fuzz(1000, 1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_case_57_many_fuzzed_files() -> None:
    fuzz(200_000, 2)
