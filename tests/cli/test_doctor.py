"""`manynets doctor`, the pages of help and the completion of the shell."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import manynets
from manynets.cli import command_line, main
from manynets.cli.checkup import examine, troubles_of
from manynets.cli.help import FIRST
from tests.cli.conftest import Call

COMMANDS = sorted(command_line().commands)


def test_doctor_reports_as_a_table_and_as_json(call: Call) -> None:
    found = call("doctor", "--json").json
    assert found["versions"]["manynets"] == manynets.__version__
    assert found["core"]["loaded"] is True
    assert found["broken"] == {}
    assert all(folder["writable"] for folder in found["folders"] if "MANYNETS_DATA" not in folder["purpose"])
    assert 1 <= found["processor"]["usable"] <= found["processor"]["cores"]
    text = call("doctor")
    assert text.code == 0
    for word in ("torch", "usable", "compiled core", "GPU", "writable"):
        assert word in text.out
    assert ("No problems found." in text.out) == (found["problems"] == [])


@pytest.fixture(scope="module")
def healthy() -> dict[str, Any]:
    """What is found here, without what may be wrong with this machine."""
    found = examine()
    found["versions"]["manynets"] = manynets.__version__
    found["processor"] |= {"usable": 2, "omp_num_threads": None}
    found["gpu"] = {"devices": [], "cuda": None, "hardware": False}
    for folder in found["folders"]:
        folder.update(there=True, writable=True, free=1 << 40)
    return found


def words_of(found: dict[str, Any]) -> str:
    return "\n".join(f"{one.what}: {one.remedy}" for one in troubles_of(found))


@pytest.mark.parametrize(
    ("section", "change", "said"),
    [
        ("core", {"loaded": False, "compiler": None}, "install a C++ compiler"),
        ("core", {"loaded": False, "compiler": "g++"}, "no compiled core that fits: small networks train slowly: pip install"),
        ("core", {"loaded": False, "switched_off": True}, "unset MANYNETS_NO_CORE"),
        ("processor", {"omp_num_threads": "64"}, "may use 2 of the cores: export OMP_NUM_THREADS=2"),
        ("processor", {"omp_num_threads": "many"}, "'many', which is no number"),
        ("gpu", {"hardware": True}, "built without CUDA"),
        ("gpu", {"hardware": True, "cuda": "13.0"}, "built for CUDA 13.0, cannot use it"),
        ("versions", {"manynets": "9.9"}, "the code is manynets 9.9, but"),
        ("broken", {"polars": "ImportError: no libpolars"}, "polars cannot be imported: ImportError: no libpolars"),
    ],
)
def test_doctor_says_what_is_wrong_and_how_to_fix_it(
    healthy: dict[str, Any], section: str, change: dict[str, Any], said: str
) -> None:
    found = copy.deepcopy(healthy)
    assert said not in words_of(found)
    found[section].update(change)
    assert said in words_of(found)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"there": False}, "is no folder"), ({"writable": False}, "no file can be written to"), ({"free": 1 << 20}, "has 1 MB left")],
)
def test_doctor_looks_at_the_folders(healthy: dict[str, Any], change: dict[str, Any], said: str) -> None:
    found = copy.deepcopy(healthy)
    found["folders"][0].update(change)
    assert said in words_of(found)


def test_a_folder_that_cannot_be_written_to_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(**_: Any) -> None:
        raise OSError("read-only")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    assert "no file can be written to" in words_of(examine())


# ------------------------------------------------------------------------------------------------------- help and completion


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_a_command_does_and_shows_examples(command: str, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    text = call(command, "--help").out
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    assert lines[1].endswith(".")  # after the usage
    assert any(line.startswith(f"manynets {command}") for line in lines[1:])
    parameters = command_line().commands[command].params
    options = [one for one in parameters if one.param_type_name == "option" and not one.hidden]
    assert all(one.help for one in options)
    leading = [one.name for one in options if not one.rich_help_panel]
    assert len(leading) <= max(FIRST, 7)
    if len(options) > 7:
        assert leading == [one.name for one in options[:FIRST]]


def test_the_commands_are_in_panels(call: Call) -> None:
    text = call("--help").out
    assert text.index("─ Train ─") < text.index("─ Use ─")
    assert "─ Commands ─" not in text, "cli/help.py lists no panel for a command"


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("manynets exp", {"explain", "export"}),
        ("manynets train --activ", {"--activation"}),
        ("manynets train --activation ge", {"gelu"}),
    ],
)
def test_the_shell_completes(
    words: str, completed: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_MANYNETS_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    with pytest.raises(SystemExit):
        main([])
    assert set(capsys.readouterr().out.split()) == completed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shell", "file"), [("bash", ".bashrc"), ("zsh", ".zfunc/_manynets"), ("fish", ".config/fish/completions/manynets.fish")]
)
def test_completion_is_installed(shell: str, file: str, tmp_path: Path) -> None:
    code = "import sys; sys.argv[0] = 'manynets'; from manynets.cli import main; main()"
    environment = os.environ | {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    subprocess.run([sys.executable, "-c", code, "--install-completion", shell], env=environment, check=True, timeout=60)
    assert "manynets" in (tmp_path / file).read_text()
