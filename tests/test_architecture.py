"""docs/architecture.md: the files, functions and tests that it names exist, and its picture shows the packages that there are."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "manynets"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`((?:\w+/)*(?:\w+\.(?:py|cpp|md|toml)|(?<=/)))(?:: ([\w.]+))?`")


def named(text: str) -> list[tuple[str, str]]:
    """Return each path that a text names, and the name behind its colon, "" for none."""
    return sorted(set(NAMED.findall(text)))


def found(path: str) -> Path | None:
    """Return the file or folder, of the package or else of the repository; None where there is none."""
    return next((base / path for base in (PACKAGE, ROOT) if (base / path).exists()), None)


def defines(path: Path, name: str) -> bool:
    """Return whether a file defines a name; in Python at its top level, or `Class.name` in a class."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".cpp":
        return re.search(rf"^[^/\n]*\b{name}\b", text, re.MULTILINE) is not None
    body: list[ast.stmt] = ast.parse(text).body
    for part in name.split("."):
        node = next((one for one in body if part in names_of(one)), None)
        if node is None:
            return False
        body = node.body if isinstance(node, ast.ClassDef) else []
    return True


def names_of(node: ast.stmt) -> set[str]:
    """Return the names that a statement defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {leaf.id for target in targets for leaf in ast.walk(target) if isinstance(leaf, ast.Name)}


def test_the_page_names_many() -> None:
    names = named(PAGE)
    assert len(names) > 80
    assert sum(path.startswith("tests/") for path, _ in names) > 15
    assert ("tables/columns.py", "NumericColumn.fill_in") in names
    assert ("nn/", "") in names
    assert PAGE.count("`") % 2 == 0


@pytest.mark.parametrize(("path", "name"), named(PAGE))
def test_what_the_page_names_exists(path: str, name: str) -> None:
    file = found(path)
    assert file is not None, f"there is no {path}"
    assert not name or defines(file, name), f"{path} has no {name}"


def test_the_picture_shows_the_packages() -> None:
    """Run docs/make_architecture.py when this fails."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    expected = {
        path for name in re.findall(r"\w+", " ".join(layers)) for path in (f"{name}/", f"{name}.py") if (PACKAGE / path).exists()
    }
    picture = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")
    assert set(re.findall(r"<!-- (\w+(?:/|\.py)) -->", picture)) == expected
    assert {path for path, name in named(PAGE) if not name} >= expected


@pytest.mark.parametrize(
    ("file", "name", "there"),
    [
        ("optim/optimizers.py", "AdamSteps.update", True),
        ("optim/optimizers.py", "AdamSteps.upgrade", False),
        ("optim/optimizers.py", "update", False),
        ("optim/optimizers.py", "KINDS", True),
        ("tasks/regression.py", "Regression.losses", True),
        ("core/core.cpp", "drop_units", True),
        ("core/core.cpp", "drop_unit", False),
    ],
)
def test_a_wrong_name_is_noticed(file: str, name: str, there: bool) -> None:
    assert defines(PACKAGE / file, name) is there


def test_a_wrong_path_is_noticed() -> None:
    assert found("training/loops.py") is None
    assert named("`a/b.py: C.d` and `x/` and `mn.Adam(lr=...)`") == [("a/b.py", "C.d"), ("x/", "")]


def hidden_imports(path: Path) -> list[str]:
    """Return the imports of a file that import-linter cannot check: of the whole package, of its lazy names, or from a string."""
    package = ["manynets", *path.relative_to(PACKAGE).parent.parts]
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names if name.name == "manynets"]
        elif isinstance(node, ast.ImportFrom) and node.module == "manynets":
            names = [name.name for name in node.names if name.name != "__version__"]
            found += [name for name in names if not any((PACKAGE / one).exists() for one in (name, f"{name}.py"))]
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func) and "manynets" in ast.unparse(node.args[0]):
            argument = ast.unparse(node.args[0]).split("{")[0].strip("f\"'.").split(".")
            found += [] if argument == package else [ast.unparse(node)]
    return found


def test_no_import_hides_from_the_contract() -> None:
    """cli/ is above all, studies/ are written as a user writes them, and `__init__.py` loads the public names."""
    free = {PACKAGE / "cli", PACKAGE / "studies"}
    files = [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent not in free and path != PACKAGE / "__init__.py"]
    assert len(files) > 200
    assert {str(path): found for path in files if (found := hidden_imports(path))} == {}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("import manynets", 1),
        ("def f():\n    from manynets import train, TabularClassifier", 2),
        ("from manynets import plots, runs, __version__", 0),
        ('import importlib\ntabular = importlib.import_module("manynets.tabular")', 1),
        ('importlib.import_module(f"manynets.spec.{name}")', 0),
        ('importlib.import_module("polars")', 0),
    ],
)
def test_a_hidden_import_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, count: int) -> None:
    for name in ("spec", "plots"):
        (tmp_path / name).mkdir()
    for name in ("spec/one.py", "runs.py"):
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    assert len(hidden_imports(tmp_path / "spec" / "one.py")) == count
