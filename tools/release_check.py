"""Check a release before it is tagged: python -m tools.release_check, or make release-check.

1. Build the sdist, and from it the wheel, as a package index would have to.
2. Check their metadata and contents.
3. For the plain package and for `manynets[all]`: install the wheel into an empty environment, check that what is installed
   fits together, train on a CSV file from the command line, and run the Python code of README.md.

Every install is narrowed by constraints.txt. The files stay in dist/; the environments are removed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

from packaging.metadata import Metadata
from packaging.utils import parse_sdist_filename, parse_wheel_filename

from hatch_build import absolute_links, repository
from tests.test_readme import PYTHON, blocks_of

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
IN_SDIST = [
    "pyproject.toml",
    "hatch_build.py",
    "README.md",
    "LICENSE",
    "src/manynets/core/core.cpp",
    "tests/conftest.py",
]
IN_WHEEL = ["manynets/__init__.py", "manynets/py.typed"]
CSV = "size,town,price\n" + "".join(f"{40 + row % 90},{'ABC'[row % 3]},{3 * (row % 90)}\n" for row in range(120))


def main() -> None:
    step("Build")
    sdist, wheel = build()
    step("Metadata and contents")
    check_files(sdist, wheel)
    for extra in ("", "[all]"):
        step(f"Install manynets{extra} into an empty environment and use it")
        with tempfile.TemporaryDirectory(prefix="manynets-release-") as folder:
            check_install(wheel, extra, Path(folder))
    print(f"\n{sdist.name} and {wheel.name} in {DIST} are ready.")


def build() -> tuple[Path, Path]:
    """Build the sdist from this checkout and the wheel from the unpacked sdist; return both files."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", DIST, cwd=ROOT)
    sdist = only(DIST.glob("*.tar.gz"))
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        source = Path(folder, sdist.name.removesuffix(".tar.gz"))
        run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", DIST, cwd=source)
    return sdist, only(DIST.glob("*.whl"))


def check_files(sdist: Path, wheel: Path) -> None:
    """Check names, metadata and contents of both files against pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name, version = project["name"], project["version"]
    with tarfile.open(sdist) as archive:
        top = f"{name}-{version}/"
        in_sdist = {member.name.removeprefix(top) for member in archive.getmembers()}
        of_sdist = archive.extractfile(f"{top}PKG-INFO").read().decode()  # type: ignore[union-attr]
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
        of_wheel = archive.read(f"{name}-{version}.dist-info/METADATA").decode()

    assert (name, version) == tuple(map(str, parse_sdist_filename(sdist.name)))
    assert (name, version) == tuple(map(str, parse_wheel_filename(wheel.name)[:2]))
    assert of_sdist == of_wheel, "sdist and wheel have different metadata"
    metadata = Metadata.from_email(of_wheel, validate=True)  # raises for anything that an index would refuse
    assert metadata.description_content_type == "text/markdown"
    assert metadata.license_expression == project["license"]
    assert metadata.author or metadata.author_email, "no author"
    readme = absolute_links((ROOT / "README.md").read_text(encoding="utf-8"), repository(), version=version)
    assert metadata.description.strip() == readme.strip()

    missing = [path for path in IN_SDIST if path not in in_sdist] + [path for path in IN_WHEEL if path not in in_wheel]
    assert not missing, f"files are missing: {missing}"
    strangers = {path for path in in_wheel if not path.startswith(("manynets/", f"{name}-{version}.dist-info/"))}
    assert not strangers, f"the wheel would install files outside the package: {strangers}"
    assert not [path for path in in_sdist if path.endswith((".so", ".dylib", ".dll", ".pyc"))], "the sdist holds binaries"
    has_core = any("libcore." in path for path in in_wheel)
    assert has_core, "the wheel holds no compiled core: is there a C++ compiler?"
    print("fields:", ", ".join(sorted(set(Parser().parsestr(of_wheel).keys()))))
    print(f"files: {len(in_sdist)} in the sdist, {len(in_wheel)} in the wheel")


def check_install(wheel: Path, extra: str, folder: Path) -> None:
    """Install the wheel into an environment of its own and do there what the README does."""
    environment, work = folder / "environment", folder / "work"
    work.mkdir()
    venv.create(environment, with_pip=True)
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    run(python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", f"{wheel}{extra}", cwd=work)
    run(python, "-m", "pip", "check", cwd=work)
    run(python, "-m", "manynets", "--version", cwd=work)
    run(python, "-c", "from manynets import core; assert core.load(), core.description()", cwd=work)

    (work / "houses.csv").write_text(CSV, encoding="utf-8")
    run(python, "-m", "manynets", "train", "houses.csv", "--target", "price", "--epochs", "5", "--out", "run", "--quiet", cwd=work)
    run(python, "-m", "manynets", "predict", "run", "houses.csv", "-o", "predictions.csv", cwd=work)
    assert (work / "run" / "history.png").is_file(), "no pictures"
    assert len((work / "predictions.csv").read_text(encoding="utf-8").splitlines()) == CSV.count("\n")

    blocks = blocks_of((ROOT / "README.md").read_text(encoding="utf-8"))
    code = [block.text for block in blocks if block.language in PYTHON and block.run]
    (work / "readme.py").write_text("\n\n".join(code), encoding="utf-8")
    run(python, "readme.py", cwd=work)


def only(paths: object) -> Path:
    """Return the one path there is."""
    (path,) = paths  # type: ignore[misc]
    return path


def run(*command: object, cwd: Path) -> None:
    """Run a command with nothing of this checkout or environment on its path; an error ends the check."""
    print("$", *command, flush=True)
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=variables | {"MPLBACKEND": "agg"}, check=False)
    if done.returncode != 0:
        sys.exit(f"release check: the last command failed with {done.returncode}")


def step(title: str) -> None:
    print(f"\n--- {title}", flush=True)


if __name__ == "__main__":
    main()
