"""What a terminal cannot show, and a pipe that nobody reads, do not end a training."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import manynets as mn
from manynets.cli.streams import steady_streams

TABLE = "größe · →,y\n" + "".join(f"{i % 7},{('nö', '→')[i % 2]}\n" for i in range(60))
TRAIN = f"{sys.executable} -m manynets train table.csv --target y --hidden 4 --epochs 2 --n-networks 1"


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    path = {"PYTHONPATH": str(Path(mn.__file__).parents[1])}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=folder,
        capture_output=True,
        check=False,
        timeout=120,
        env=os.environ | path | environment,
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "table.csv").write_text(TABLE, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("cp1252", marks=pytest.mark.slow)])
def test_characters_that_the_stream_lacks_are_replaced(folder, encoding):
    done = shell(f"{TRAIN} --out run", folder, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert "größe · →".encode(encoding, errors="replace") in done.stdout
    assert (folder / "run" / "model.safetensors").exists()
    done = shell(f"{sys.executable} -m manynets predict run table.csv", folder, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"set PYTHONIOENCODING=utf-8, or give a file with -o" in done.stderr


@pytest.mark.parametrize("unbuffered", ["", pytest.param("1", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "line",
    [
        f"{TRAIN} --out run | head -1",
        pytest.param(f"{TRAIN} --out run | true", marks=pytest.mark.slow),
        pytest.param(f"{TRAIN} --out run 2>&1 >log | true", marks=pytest.mark.slow),
    ],
)
def test_a_closed_pipe_does_not_end_a_run(folder, line, unbuffered):
    done = shell(line, folder, PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 0, done.stderr
    assert (folder / "run" / "model.safetensors").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_an_error_once_the_run_is_written(folder):
    done = shell(f"{TRAIN} --out run >/dev/full", folder)
    assert done.returncode == 2
    assert done.stderr.decode().endswith("error: standard output cannot be written: No space left on device\n")
    assert (folder / "run" / "model.safetensors").exists()


def test_streams_are_put_back(tmp_path, monkeypatch):
    with (tmp_path / "out").open("w", encoding="ascii") as out:
        monkeypatch.setattr(sys, "stdout", out)
        with steady_streams() as failed:
            assert sys.stdout is not out
            sys.stdout.write("a·b\n")
        assert sys.stdout is out
    assert (tmp_path / "out").read_text() == "a?b\n"
    assert failed == []


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_a_broken_display_does_not_end_a_training(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Broken())
    assert mn.train([[0.0], [1.0]] * 8, [0, 1] * 8, mn.MLP(hidden=(2,)), mn.Recipe(epochs=2)).info["stopped"] == ["done"]
