"""`manynets sweep --storage`: several processes train each candidate once, also those that one leaves behind when it is killed."""

from __future__ import annotations

import collections
import csv
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from manynets.cli import sweep_storage
from manynets.cli.sweep_results import Measure
from manynets.cli.sweep_storage import SharedStudy, open_storage
from manynets.cli.sweeping import workers_of
from manynets.errors import OptionError
from tests.cli.conftest import Call

optuna = pytest.importorskip("optuna")

SWEEP = ("sweep", "moons", "--hidden", "4", "--epochs", "2", "-q", "--grid", "lr=0.001,0.01,0.03,0.1", "--at-most", "1")
ENDLESS = [(c, {"lr": 0.1 * c}) for c in range(6)]
DIES = """
import os, signal
from manynets.cli import main, sweep_storage

report, calls = sweep_storage.SharedStudy.report, []

def dies_at_the_second(self, *args):
    calls.append(args)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    report(self, *args)

sweep_storage.SharedStudy.report = dies_at_the_second
main()
"""

pytestmark = [
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning:sqlalchemy"),
]


@pytest.fixture(params=["journal", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "shared.log") if request.param == "journal" else f"sqlite:///{tmp_path / 'shared.db'}"


def study_of(url: str, **config: Any) -> SharedStudy:
    return SharedStudy(open_storage(url), "test", config=config, measure=Measure())


def row(c: int) -> list[Any]:
    return [((c, 0, 0, 0), {"score": float(c), "loss": 1.0}, [1.0, 0.5])]


@pytest.mark.skipif(sys.platform == "win32", reason="kills a process by SIGKILL")
def test_what_a_killed_process_leaves_behind_is_trained_once(call: Call, tmp_path: Path) -> None:
    url = str(tmp_path / "shared.log")
    command = [*SWEEP, "--storage", url, "--out"]
    killed = subprocess.run([sys.executable, "-c", DIES, *command, "first"], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = call(*command, "second", "--json")
    assert done.code == 0, done.err
    with Path("second/results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["candidate"] for row in rows) == ["0", "1", "2", "3"]
    assert done.json["networks"] == 4
    trials = optuna.load_study(storage=open_storage(url).storage, study_name="moons-sweep").trials
    states = collections.Counter(trial.state.name for trial in trials)
    assert states == {"COMPLETE": 4, "FAIL": 1}
    assert [trial.user_attrs["candidate"] for trial in trials] == [0, 1, 1, 2, 3]
    alone = call(*SWEEP, "--out", "alone", "--json")
    assert (alone.json["score"], alone.json["best"]) == (done.json["score"], done.json["best"])


def test_claims_are_of_one_process_each(url: str) -> None:
    study_of(url)
    claims: list[int] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            study = study_of(url)
            while claimed := study.claim(2, iter(ENDLESS)):
                for c, _ in claimed:
                    claims.append(c)
                    study.report(c, row(c))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sorted(claims) == list(range(6))
    assert study_of(url).results() == {c: row(c) for c in range(6)}


def test_a_process_elsewhere_is_alive_while_it_beats(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(sweep_storage, "has_ended", lambda owner: None)
    monkeypatch.setattr(sweep_storage.time, "monotonic", lambda: clock[0])
    one, two = study_of(url), study_of(url)
    assert one.claim(1, iter(ENDLESS[:1])) == ENDLESS[:1]
    for seconds in (0.0, 100.0, 250.0):
        clock[0] = seconds
        assert two.claim(1, iter(ENDLESS[:1])) == []
        if seconds == 100.0:
            one.beat()
    clock[0] = 431.0
    assert two.claim(1, iter(ENDLESS[:1])) == ENDLESS[:1]
    one.report(0, row(7))  # it was only slow: too late
    two.report(0, row(0))
    assert study_of(url).results() == {0: row(0)}


def test_mistakes(tmp_path: Path) -> None:
    url = str(tmp_path / "shared.log")
    study_of(url, options={"lr": 0.1})
    with pytest.raises(OptionError, match=r"lr was 0.1, is 0.2 now; give the same options, or another --study-name"):
        study_of(url, options={"lr": 0.2})
    with pytest.raises(OptionError, match="cannot be opened"):
        open_storage("nonsense://here")
    with pytest.raises(OptionError, match="cannot be opened"):
        open_storage(str(tmp_path / "missing" / "shared.log"))
    for memory in ("sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite+pysqlite:///file:x?mode=memory&uri=true"):
        with pytest.raises(OptionError, match=r"in the memory of one process, .*; name a file, such as sqlite:///sweep.db"):
            open_storage(memory)
    with pytest.raises(OptionError, match="--storage is empty"):
        open_storage(" ")


@pytest.mark.parametrize("file", ["pipe", "notes.txt", "/dev/zero"])
def test_a_storage_that_is_something_else_is_not_written_to(tmp_path: Path, file: str) -> None:
    path = tmp_path / file
    if file == "pipe":
        os.mkfifo(path)
    elif file == "notes.txt":
        path.write_text("a line of mine", encoding="utf-8")
    with pytest.raises(OptionError, match=r"cannot be opened: it is no (regular file|journal of Optuna)"):
        open_storage(str(path))
    if file == "notes.txt":
        assert path.read_text(encoding="utf-8") == "a line of mine"


def test_an_entry_that_was_cut_off_hides_no_other(tmp_path: Path) -> None:
    """As where a process was killed, or the disk was full, while it wrote."""
    path = tmp_path / "shared.log"
    one = study_of(str(path))
    assert one.claim(1, iter(ENDLESS[:1])) == ENDLESS[:1]
    with path.open("ab") as file:
        file.write(b'{"op_code":8,"worker_id":"x","trial')
    one.report(0, row(0))
    assert study_of(str(path)).results() == {0: row(0)}


def test_a_full_disk_hides_no_entry(tmp_path: Path) -> None:
    path = tmp_path / "shared.log"
    one = study_of(str(path))
    assert one.claim(1, iter(ENDLESS[:1])) == ENDLESS[:1]
    size, limits = path.stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limits[1]))
        with pytest.raises(OptionError, match=r"the storage .*shared\.log cannot be used: .*start again with --resume"):
            one.beat()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    one.report(0, row(0))
    assert study_of(str(path)).results() == {0: row(0)}


def test_a_storage_that_goes_away_is_named(tmp_path: Path) -> None:
    one = study_of(str(tmp_path / "shared.log"))
    (tmp_path / "shared.log").unlink()
    with pytest.raises(OptionError, match=r"shared\.log cannot be used: .*No such file"):
        one.results()


def test_each_process_may_have_the_data_in_another_folder(call: Call) -> None:
    rows = "".join(f"{k},{k % 7},{(k * k) % 5}\n" for k in range(60))
    for folder, more in (("one", ""), ("two", ""), ("three", "1,1,1\n")):
        Path(folder).mkdir()
        Path(folder, "t.csv").write_text(f"a,b,y\n{rows}{more}")

    def sweep(folder: str) -> Any:
        words = ("--target", "y", "--hidden", "3", "--epochs", "1", "--grid", "lr=0.01,0.1", "--storage", "shared.log", "-q")
        return call("sweep", f"{folder}/t.csv", *words, "--out", f"out-{folder}")

    assert sweep("one").code == sweep("two").code == 0
    assert Path("out-one/results.csv").read_text() == Path("out-two/results.csv").read_text()
    assert "the study 't-sweep' of the storage has other data" in sweep("three").err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--storage", "shared.log", "--halving"), "which --halving does not allow; leave out one"),
        (("--storage", "shared.log", "--scheduler", "tcp://127.0.0.1:1"), "which --scheduler does not allow; leave out one"),
        (("--study-name", "mine"), "--study-name is the name of the study in --storage; give that too, or leave it out"),
        (("--scheduler", "tcp://127.0.0.1:1", "--checkpoint-every", "5 s"), "not for the workers of --scheduler; leave it out"),
    ],
)
def test_options_of_several_processes_that_contradict_each_other(options: tuple[str, ...], text: str, call: Call) -> None:
    done = call(*SWEEP, *options, "--out", "refused")
    assert done.code == 2
    assert text in done.err
    assert not Path("refused").exists()


@pytest.mark.parametrize("option", ["--storage", "--scheduler"])
def test_what_cannot_be_reached_is_told_before_the_data_are_read(option: str, call: Call) -> None:
    pytest.importorskip("distributed")
    Path("t.csv").write_text("a,y\n1,2\n")
    done = call("sweep", "t.csv", "--target", "missing", option, "nothing://host:1", "-q", "--out", "refused")
    assert done.code == 2
    assert done.err.startswith(f"error: {option} is 'nothing://host:1', ")
    assert not Path("refused").exists()


@pytest.mark.parametrize("url", ["nothing://zoe:se/cr@et@host:5432/sweeps", "postgresql://ann:se%20cr@et@127.0.0.1:1/sweeps"])
def test_an_error_keeps_the_password_of_a_storage(url: str) -> None:
    with pytest.raises(OptionError, match=r"--storage is '\w+://\*\*\*@[\w.:]+/sweeps', which cannot be opened") as caught:
        open_storage(url)
    assert "zoe" not in str(caught.value)
    assert "et@" not in str(caught.value)


def test_an_error_keeps_the_password_of_a_scheduler() -> None:
    pytest.importorskip("distributed")
    with (
        pytest.raises(OptionError, match=r"--scheduler is 'nothing://\*\*\*@host:1'") as caught,
        workers_of("nothing://zoe:secret@host:1"),
    ):
        pass
    assert "secret" not in str(caught.value)


def test_processes_go_by_the_study_in_how_the_rows_of_a_fold_are_split(call: Call, tmp_path: Path) -> None:
    """One of an earlier version does not say; there the seeds of a fold validated on rows of their own, and so it goes on."""
    shared = tmp_path / "shared.log"
    words = ("sweep", "moons", "--points", "60", "--hidden", "4", "--epochs", "2", "-q", "--grid", "lr=0.1", "--cv", "2")
    words += ("--validation", "0.2", "--seeds", "2", "--storage", str(shared))
    assert call(*words, "--out", "new").code == 0
    assert json.loads(Path("new/sweep.json").read_text(encoding="utf-8"))["split_by_fold"] is True
    text, count = re.subn(r', ?"split_by_fold": ?true', "", shared.read_text(encoding="utf-8"))
    assert count == 1
    shared.write_text(text, encoding="utf-8")
    assert call(*words, "--out", "other").code == 0
    assert json.loads(Path("other/sweep.json").read_text(encoding="utf-8"))["split_by_fold"] is False
    done = call(*words, "--out", "new", "--resume")
    assert done.code == 2
    assert "the sweep in new was begun by another version than the study 'moons-sweep' of the storage" in done.err
