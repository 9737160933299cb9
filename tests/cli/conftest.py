"""Calls of the command line, in this process and in an empty folder."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manynets.cli import main


@dataclasses.dataclass(frozen=True)
class Called:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The last line of stdout as strict JSON."""

        def refuse(constant: str) -> None:
            raise ValueError(f"{constant} is no strict JSON")

        result: dict[str, Any] = json.loads(self.out.splitlines()[-1], parse_constant=refuse)
        return result


Call = Callable[..., Called]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Called:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Called(ended.value.code, out, err)

    return run


@pytest.fixture(autouse=True)
def blank(blank_pictures: None) -> None:
    """Commands write blank pictures, where a test has not the marker `draws`."""


TABLE = "size,colour,id,price,kind\n" + "".join(
    f"{i % 17},{('red', 'blue', 'green')[i % 3]},{1000 + i},{2.5 * (i % 17) + 10 * (i % 3)},{'big' if i % 17 > 8 else 'small'}\n"
    for i in range(120)
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """120 houses: the price follows from size and colour, the kind from size."""
    path = tmp_path / "houses.csv"
    path.write_text(TABLE, encoding="utf-8")
    return path


SMALL = ("--epochs", "2", "--hidden", "4", "--n-networks", "1", "-q")
KIND = ("--target", "kind", "--drop", "price", *SMALL)
"""How to train a small network on the kind of the houses."""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the houses and the run of a small network, whose target is their kind. Do not change it; see `run`."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "houses.csv").write_text(TABLE, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with pytest.raises(SystemExit) as ended:
            main(["train", "houses.csv", *KIND, "--out", "run"])
    assert ended.value.code == 0
    return folder


@pytest.fixture
def run(call: Call, table: Path, trained: Path) -> Path:
    """A copy of the run in `trained` that knows `table` as its data."""
    shutil.copytree(trained / "run", "run")
    config = Path("run", "config.json")
    text = config.read_text(encoding="utf-8")
    assert str(trained / "houses.csv") in text
    config.write_text(text.replace(str(trained / "houses.csv"), str(table)), encoding="utf-8")
    return Path("run")
