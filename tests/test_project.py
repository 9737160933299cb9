"""The project as a whole: lists that stand in several files agree, GitHub's files are valid YAML, files and functions are short."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

import manynets
from tools.faults import FAULTS, TESTS

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def package_of(requirement: str) -> str:
    return re.split(r"[\[<>=~! ]", requirement)[0].lower()


def pins() -> dict[str, str]:
    lines = [line for line in read("constraints.txt").splitlines() if not line.startswith("#")]
    return {name.lower(): version for name, version in (line.split("==") for line in lines)}


def all_requirements() -> set[str]:
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values(), *PYPROJECT["dependency-groups"].values()]
    return {package_of(requirement) for group in groups for requirement in group} - {"manynets"}


def test_the_version_is_the_same_everywhere() -> None:
    assert manynets.__version__ == PROJECT["version"] == yaml.safe_load(read("CITATION.cff"))["version"]


def test_every_dependency_is_pinned_and_explained() -> None:
    assert all_requirements() <= set(pins())
    explained = read("docs/dependencies.md").lower()
    assert [name for name in all_requirements() if not re.search(rf"(^\| |, ){re.escape(name)}\b", explained, re.M)] == []


def test_a_plain_install_does_the_main_job() -> None:
    core = {package_of(requirement) for requirement in PROJECT["dependencies"]}
    assert {"polars", "scikit-learn", "matplotlib", "joblib", "safetensors"} <= core
    extras = PROJECT["optional-dependencies"]
    assert [extras[name] for name in ("tables", "sklearn", "plots")] == [[], [], []]  # old install lines still work


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_are_valid(path: Path) -> None:
    workflow = yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)  # which leaves `on` a text
    assert workflow["name"]
    assert workflow["on"]
    for job in workflow["jobs"].values():
        needed = job.get("needs", [])
        assert set([needed] if isinstance(needed, str) else needed) <= set(workflow["jobs"])
        if "uses" in job:
            assert (ROOT / job["uses"]).is_file()
        else:
            assert job["runs-on"]
            assert all(("uses" in step) != ("run" in step) for step in job["steps"])


def test_the_workflows_test_every_supported_python_and_system() -> None:
    workflow = yaml.load(read(".github/workflows/tests.yml"), yaml.BaseLoader)
    matrix = workflow["jobs"]["tests"]["strategy"]["matrix"]
    listed = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert matrix["python"] == listed
    assert PROJECT["requires-python"] == f">={listed[0]}"
    assert {system.split("-")[0] for system in matrix["os"]} == {"ubuntu", "macos", "windows"}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_issue_templates_are_valid(path: Path) -> None:
    template: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    if path.stem != "config":
        assert {"name", "description", "body"} <= set(template)
        identifiers = [item["id"] for item in template["body"]]
        assert len(identifiers) == len(set(identifiers))
        assert all(item["attributes"]["label"] for item in template["body"])


def test_pre_commit_uses_the_pinned_ruff() -> None:
    (local,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    wanted = [one for hook in local["hooks"] for one in hook.get("additional_dependencies", [])]
    assert set(wanted) == {f"ruff=={pins()['ruff']}"}


def test_the_documents_name_targets_of_make_and_files_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.M))
    for name in ("README.md", "CONTRIBUTING.md"):
        text = read(name)
        assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.M)) <= targets
        links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not link.startswith("http")]
        assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_sdist_holds_what_its_tests_need() -> None:
    included = PYPROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert [path for path in included if not (ROOT / path.removeprefix("/")).exists()] == []


def test_no_tracked_file_is_ignored() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout == ""


# ----------------------------------------------------------------------------------------------------------- the code itself

MOST_LINES, MOST_LINES_OF_A_FUNCTION = 450, 80
FILES = [path for folder in ("src", "tests", "bench", "tools", "docs") for path in sorted((ROOT / folder).rglob("*.py"))]
NOT_OURS = {
    "_repr_mimebundle_",
    "_repr_png_",
    "_asdict",
    "_exit",
    "_loc",
    "_replace",
    "_repr_html_",
}  # private names of other packages that tests use
Function = ast.FunctionDef | ast.AsyncFunctionDef


def lines_of(function: Function) -> int:
    """Return its lines, the docstring not counted."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        lines -= (function.body[0].end_lineno or 0) - function.body[0].lineno + 1
    return lines


def private_names(nodes: list[ast.AST]) -> list[str]:
    """Return the private names of other modules' objects that a file uses: read, imported or replaced."""
    found = []
    for node in nodes:
        if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
            found.append(node.attr)
        elif isinstance(node, ast.ImportFrom):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("setattr", "delattr"):
            found += [str(arg.value).rsplit(".", 1)[-1] for arg in node.args if isinstance(arg, ast.Constant)]
    return [name for name in found if re.match("_[a-z]", name) and name not in NOT_OURS]


class Read(NamedTuple):
    """What the tests below ask of a file: its lines, those of its functions, its classes, and private names of other modules."""

    lines: int
    functions: list[tuple[str, int]]
    classes: list[str]
    private: list[str]


@functools.cache
def read_of(path: Path) -> Read:
    text = path.read_text(encoding="utf-8")
    nodes = list(ast.walk(ast.parse(text)))
    functions = [(node.name, lines_of(node)) for node in nodes if isinstance(node, Function)]
    classes = [node.name for node in nodes if isinstance(node, ast.ClassDef)]
    return Read(len(text.splitlines()), functions, classes, private_names(nodes))


def test_files_and_functions_are_short() -> None:
    assert {str(path): count for path in FILES if (count := read_of(path).lines) > MOST_LINES} == {}
    lengths = {f"{path.name}: {name}": count for path in FILES for name, count in read_of(path).functions}
    assert {name: count for name, count in lengths.items() if count > MOST_LINES_OF_A_FUNCTION} == {}


def test_no_two_classes_share_a_name() -> None:
    source = [path for path in FILES if path.is_relative_to(ROOT / "src")]
    names = Counter(name for path in source for name in read_of(path).classes)
    assert [name for name, count in names.items() if count > 1] == []


def test_tests_use_public_names() -> None:
    tests = [path for path in FILES if path.is_relative_to(ROOT / "tests")]
    assert {str(path): names for path in tests if (names := read_of(path).private)} == {}


def test_every_planted_fault_fits_the_source() -> None:
    """The table of `make mutations` must follow the code: each text is in its file once."""
    source = ROOT / "src" / "manynets"
    assert [fault for fault in FAULTS if (source / fault.file).read_text(encoding="utf-8").count(fault.old) != 1] == []
    assert {fault.package for fault in FAULTS} == set(TESTS)
    assert [path for paths in TESTS.values() for path in paths if not (ROOT / path).exists()] == []
