"""Files that commands write: nothing is replaced without --overwrite, and what is replaced is there until the new one is whole."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from manynets.claims import claim
from manynets.cli.plot import KINDS
from manynets.runs import PICTURES
from tests.cli.conftest import KIND, SMALL, Call


@pytest.mark.draws
def test_plot_replaces_no_picture_elsewhere(call: Call, run: Path) -> None:
    assert call("plot", "run", "--kind", "history", "--out", "pictures").code == 0
    assert "history.png exists" in call("plot", "run", "--kind", "history", "--out", "pictures").err
    assert call("plot", "run", "--kind", "history", "--out", "pictures", "--overwrite").code == 0
    assert call("plot", "run", "--kind", "history").code == 0


def test_plot_replaces_no_picture_beside_a_model_file(call: Call, run: Path) -> None:
    Path("model").write_bytes((run / "model.safetensors").read_bytes())
    Path("history.png").write_text("mine", encoding="utf-8")
    assert "history.png exists" in call("plot", "model", "--kind", "history").err
    assert Path("history.png").read_text(encoding="utf-8") == "mine"
    assert call("plot", "model", "--kind", "history", "--overwrite").code == 0


def test_a_run_with_a_file_of_the_users_is_not_replaced(call: Call, run: Path, table: Path) -> None:
    assert {kind.replace("-", "_") for kind in KINDS} - set(PICTURES) == {"sweep"}  # that one is of a sweep's folder
    words = ("train", table, *KIND, "--out", "run", "--overwrite")
    (run / "mine.png").write_text("mine", encoding="utf-8")
    done = call(*words)
    assert (done.code, (run / "mine.png").read_text(encoding="utf-8")) == (2, "mine")
    assert "it holds what does not belong to a run: mine.png" in done.err
    (run / "mine.png").unlink()
    (run / "history.png").unlink(missing_ok=True)
    (run / "history.png").mkdir()  # the user's, whatever its name
    done = call(*words)
    assert (done.code, (run / "history.png").is_dir()) == (2, True)
    assert "it holds what does not belong to a run: history.png" in done.err
    (run / "history.png").rmdir()
    assert call("plot", "run").code == 0
    assert call(*words).code == 0


def test_inspect_replaces_no_file_and_says_so_before_it_reads(call: Call, table: Path) -> None:
    Path("columns.png").write_text("mine", encoding="utf-8")
    done = call("inspect", "nothing.csv", "--plot", "columns.png")
    assert (done.code, done.err) == (
        2,
        "error: the file columns.png exists; give another one with --plot, or --overwrite to replace it\n",
    )
    assert Path("columns.png").read_text(encoding="utf-8") == "mine"
    assert "ending" in call("inspect", "nothing.csv", "--plot", "columns.txt").err
    assert "new does not exist" in call("inspect", "nothing.csv", "--plot", "new/columns.png").err
    with claim("other.png"):
        assert "other.png is in use by this process" in call("inspect", table, "--plot", "other.png").err
    assert call("inspect", table, "--plot", "columns.png", "--overwrite").code == 0
    assert Path("columns.png").read_bytes().startswith(b"\x89PNG")
    Path("link.png").symlink_to("real.png")
    assert call("inspect", table, "--plot", "link.png").code == 0
    assert Path("link.png").is_symlink()
    assert Path("real.png").is_file()


def test_study_replaces_no_results(call: Call) -> None:
    study = ("study", "T3-autograd", "--quick", "--out", "here")
    assert call(*study).code == 0
    result = Path("here/T3-autograd/result.json")
    result.write_text("mine", encoding="utf-8")
    done = call("study", "T1-xor", *study[1:])
    assert done.code == 2
    assert done.err.endswith("here/T3-autograd exists; give another folder with --out, or --overwrite to replace it\n")
    assert not Path("here/T1-xor").exists()  # found before hours of training
    assert result.read_text(encoding="utf-8") == "mine"
    assert call(*study, "--overwrite").code == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere, two renames take the place of an exchange")
def test_a_run_that_is_replaced_is_there_at_any_moment(call: Call, run: Path, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a folder is renamed, the run has its name before and after; so a process that is killed then loses nothing."""
    rename, seen = os.rename, list[bool]()

    def watched(one: str, other: str) -> None:
        seen.append((run / "config.json").is_file())
        rename(one, other)
        seen.append((run / "config.json").is_file())

    monkeypatch.setattr(os, "rename", watched)
    train = ("train", table, *KIND, "--out", "run", "--overwrite")
    assert call(*train).code == 0
    assert all(seen)


def test_a_run_whose_replacement_was_killed_gets_its_name_again(call: Call, run: Path, table: Path) -> None:
    """On systems that cannot exchange two folders there is a moment between two renames."""
    os.rename(run, ".run.abcdefgh.old")
    Path(".run.hgfedcba.tmp").mkdir()
    Path(".run.other.hgfedcba.tmp").mkdir()  # of a run called run.other
    train = ("train", table, *KIND, "--out", "run")
    assert "run exists" in call(*train).err
    assert call("show", "run").code == 0
    assert sorted(entry.name for entry in Path().iterdir() if entry.name.startswith(".")) == [".run.other.hgfedcba.tmp"]


def test_an_output_without_a_name(call: Call, run: Path, table: Path) -> None:
    assert call("predict", "run", table, "-o", "").err == "error: -o is empty; name a file, such as predictions.csv\n"


def test_a_file_that_is_replaced_keeps_its_permissions(call: Call, run: Path, table: Path) -> None:
    Path("p.csv").touch(mode=0o600)
    assert call("predict", "run", table, "-o", "p.csv", "--overwrite").code == 0
    assert stat.S_IMODE(os.stat("p.csv").st_mode) == 0o600


def test_another_model_in_a_run_folder_is_itself(call: Call, run: Path, table: Path) -> None:
    assert call("train", table, "--target", "price", *SMALL, "--out", "prices").code == 0
    (run / "prices.safetensors").write_bytes((Path("prices") / "model.safetensors").read_bytes())
    expected = call("predict", "prices", table).out
    assert call("predict", run / "prices.safetensors", table).out == expected
    assert call("predict", run / "model.safetensors", table).out == call("predict", run, table).out != expected
