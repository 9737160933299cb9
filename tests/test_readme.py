"""The documents hold true: their Python runs, and their commands and options exist.

Every ```python block of README.md and docs/**/*.md is executed, in order, in one namespace per file and in an empty
folder. A block that cannot run here says why in the line before it: `<!-- no-run: reason -->`. Every line of a ```bash
or ```console block that calls manynets is held against the help of that command.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
import types
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^(?P<indent>\s*)(?P<ticks>`{3,})\s*(?P<language>[\w+-]*)")
NO_RUN = re.compile(r"^\s*<!--\s*no-run:(?P<reason>.*?)-->\s*$")
PYTHON = {"python", "py"}
SHELL = {"bash", "console", "sh", "shell"}


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block: its language, its text, the line where the text begins (from 1), and whether it is to run."""

    language: str
    text: str
    line: int
    run: bool


def blocks_of(text: str) -> list[Block]:
    """Return the fenced blocks of a Markdown text; ValueError for an open fence or a no-run without a reason."""
    found: list[Block] = []
    lines = text.splitlines()
    before = ""  # the last line with something on it
    at = 0
    while at < len(lines):
        fence = FENCE.match(lines[at])
        if fence is None:
            before = lines[at] if lines[at].strip() else before
            at += 1
            continue
        end = at + 1
        while end < len(lines) and not re.fullmatch(rf"\s*{fence['ticks']}`*\s*", lines[end]):
            end += 1
        if end == len(lines):
            raise ValueError(f"line {at + 1}: the block is never closed")
        marked = NO_RUN.match(before)
        if marked and not marked["reason"].strip():
            raise ValueError(f"line {at + 1}: no-run needs a reason: <!-- no-run: reason -->")
        body = textwrap.dedent("\n".join(lines[at + 1 : end]))
        found.append(Block(language=fence["language"], text=body, line=at + 2, run=marked is None))
        before, at = lines[end], end + 1
    return found


def commands_of(block: Block) -> list[list[str]]:
    """Return the words of every call of manynets in a shell block, up to a pipe or a redirection."""
    calls = []
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line.strip().removeprefix("$ "), comments=True) if "manynets " in line else []
        if words[:1] == ["manynets"]:
            ends = [i for i, word in enumerate(words) if re.match(r"[|>&;<]|2>", word)]
            calls.append(words[1 : min(ends, default=len(words))])
    return calls


def entry_point() -> tuple[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, function = project["scripts"]["manynets"].partition(":")
    return module, function


@functools.cache
def help_of(*command: str) -> str:
    """Return the help of `manynets COMMAND...`; AssertionError if there is no such command."""
    module, function = entry_point()
    call = f"import sys; from {module} import {function}; sys.argv[0] = 'manynets'; {function}()"
    done = subprocess.run(
        [sys.executable, "-c", call, *command, "--help"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
        env=os.environ | {"COLUMNS": "250", "TERM": "dumb", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 0, f"manynets {' '.join(command)} --help failed:\n{done.stderr}"
    return done.stdout


def check_call(words: list[str]) -> None:
    """Assert that the command exists, sub-commands included, and knows every option that is named."""
    command: list[str] = []
    for word in words:
        if word.startswith("-") or "COMMAND [ARGS]" not in help_of(*command):
            break
        command.append(word)
    known = set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", help_of(*command)))
    for word in words[len(command) :]:
        if re.match(r"--?[a-zA-Z]", word):
            option = word.split("=")[0]
            assert option in known, f"manynets {' '.join(command)} has no option {option}; it has {sorted(known)}"


def name_of(path: Path) -> str:
    """Return the name of a document in the ids of the tests, such as docs/tables.md."""
    return path.relative_to(ROOT).as_posix()


GENERATED = {ROOT / "docs" / "reference" / name for name in ("api", "commands.md")}  # by `make docs`
DOCUMENTS = [ROOT / "README.md", *(path for path in sorted((ROOT / "docs").rglob("*.md")) if not {path, path.parent} & GENERATED)]
BLOCKS = {path: blocks_of(path.read_text(encoding="utf-8")) for path in DOCUMENTS}
CALLS = [
    pytest.param(words, id=f"{name_of(path)}:{block.line}-{' '.join(words[:2])}")
    for path, blocks in BLOCKS.items()
    for block in blocks
    if block.language in SHELL
    for words in commands_of(block)
]


@pytest.mark.parametrize(
    "path",
    [path for path, blocks in BLOCKS.items() if any(b.language in PYTHON and b.run for b in blocks)],
    ids=name_of,
)
def test_python_blocks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    module = types.ModuleType("document")  # a real module, so that a dataclass in a block finds its own
    monkeypatch.setitem(sys.modules, "document", module)
    for block in BLOCKS[path]:
        if block.language in PYTHON and block.run:
            lines_before = "\n" * (block.line - 1)  # a traceback then points into the document
            exec(compile(lines_before + block.text, str(path), "exec"), module.__dict__)


@pytest.mark.parametrize("words", CALLS)
def test_command_and_options_exist(words: list[str]) -> None:
    check_call(words)


SAMPLE = """
Text
```python
x = 1
```

<!-- no-run: needs a GPU -->

```python
y = 1 / 0
```
- in a list
  ```console
  $ manynets train digits \\
      --seed 0 > log.txt
  # manynets is a comment here
  seed 0
  ```
"""


def test_blocks_are_found() -> None:
    first, second, third = blocks_of(SAMPLE)
    assert first == Block(language="python", text="x = 1", line=4, run=True)
    assert second == Block(language="python", text="y = 1 / 0", line=10, run=False)
    assert (third.language, third.line) == ("console", 14)
    assert commands_of(third) == [["train", "digits", "--seed", "0"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [("<!-- no-run: -->\n```python\n1/0\n```\n", "needs a reason"), ("```python\nx = 1\n", "never closed")],
)
def test_a_faulty_document_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        blocks_of(text)


def test_a_wrong_command_or_option_is_noticed() -> None:
    with pytest.raises(AssertionError, match="no-such-command"):
        check_call(["no-such-command"])
    with pytest.raises(AssertionError, match="has no option --no-such-option"):
        check_call(["train", "digits", "--no-such-option"])
