"""The table of cases in docs/reliability.md: every case stands in it, and every test that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CASES = {*range(1, 79)} - {43}  # 43 was struck out of the list


def rows() -> dict[int, str]:
    """Return the third cell of the table by case."""
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8").partition("\n## Cases")[2]
    out: dict[int, str] = {}
    for line in text.splitlines():
        found = re.fullmatch(r"\| (\d+) \| ([^|]+) \| ([^|]+) \|", line)
        if found:
            assert int(found[1]) not in out, f"case {found[1]} stands there twice"
            out[int(found[1])] = found[3]
    return out


def functions_of(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)}


def test_every_case_is_in_the_table() -> None:
    assert set(rows()) == CASES
    assert list(rows()) == sorted(CASES)


@pytest.mark.parametrize("case", sorted(CASES))
def test_the_tests_of_a_case_exist(case: int) -> None:
    cell = rows()[case]
    named = re.findall(r"`([a-z_/]+\.py)::(test_\w+)`", cell)
    if cell.startswith("does not arise: "):
        assert len(cell) > 40, "say why"
        assert not named
        return
    assert named
    assert re.sub(r"`[^`]+`(, )?", "", cell) == "", "a test is written as `folder/file.py::test_name`"
    for file, name in named:
        assert name.startswith("test_")
        assert name in functions_of(ROOT / "tests" / file), f"there is no {name} in tests/{file}"


def test_a_wrong_name_is_noticed() -> None:
    assert "test_case_33_in_each_phase" not in functions_of(ROOT / "tests" / "reliability" / "test_stops.py")
    assert "test_case_63_rerun" in functions_of(ROOT / "tests" / "reliability" / "test_stops.py")
