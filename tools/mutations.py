"""Plant faults one at a time, and see whether the tests of the package concerned notice: python -m tools.mutations [WORD ...].

Words choose the faults whose package or file contains one of them; without words all are planted, which takes half an hour.
The work is done in a temporary copy of the tree, on systems that can fork. A fault that survives means that a test is missing: the exit status is then 1.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tools.faults import FAULTS, TESTS, Fault

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("src", "tests", "docs", "bench", "tools", "examples", "pyproject.toml", "hatch_build.py", "README.md")
IMPORTED = (
    "torch",
    "torch.nn.functional",
    "sklearn.neural_network",
    "sklearn.model_selection",
    "polars",
    "pandas",
    "matplotlib.figure",
)
LEFT_OUT = "not jax and not keras"  # they take long to start


def chosen(words: Sequence[str]) -> list[Fault]:
    """Return the faults whose package or file contains one of the words; all for no words."""
    return [fault for fault in FAULTS if not words or any(word in f"{fault.package} {fault.file}" for word in words)]


def run_tests(root: Path, paths: Sequence[str]) -> tuple[bool, str]:
    """Return whether the tests pass, and the one that fails. They run in a fork, which has most packages imported already."""
    report = root / "report.txt"
    child = os.fork()
    if child == 0:
        status = 3
        try:
            with report.open("w") as out:
                os.dup2(out.fileno(), 1)
                os.dup2(out.fileno(), 2)
            os.chdir(root)
            os.environ |= {"PYTHONPATH": str(root / "src"), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
            sys.path.insert(0, str(root / "src"))
            for name in [name for name in sys.modules if name.split(".")[0] == "tools"]:
                del sys.modules[name]
            status = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow and not gpu", "-k", LEFT_OUT, *paths]))
            sys.stdout.flush()
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    said = report.read_text(encoding="utf-8", errors="replace")
    if status in (3, 4, 5):
        raise RuntimeError(f"pytest ends with {status}:\n{said[-2000:]}")
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", said, re.MULTILINE)
    return status == 0, failed[1] if failed else f"(status {status})"


def is_noticed(root: Path, fault: Fault) -> tuple[bool, str]:
    """Plant a fault in a copy of the tree, and return whether its tests notice, and which one; the copy is then as before."""
    file = root / "src" / "manynets" / fault.file
    sound = file.read_text(encoding="utf-8")
    if sound.count(fault.old) != 1:
        raise RuntimeError(
            f"{fault.file} holds {fault.old!r} {sound.count(fault.old)} times instead of once; correct tools/faults.py"
        )
    compiled = file.suffix == ".cpp"
    libraries = {path: path.read_bytes() for path in file.parent.glob("libcore.*")} if compiled else {}
    try:
        file.write_text(sound.replace(fault.old, fault.new), encoding="utf-8")
        if compiled:
            subprocess.run([sys.executable, "hatch_build.py"], cwd=root, check=True, capture_output=True)
        passed, test = run_tests(root, TESTS[fault.package])
    finally:
        file.write_text(sound, encoding="utf-8")
        for path, content in libraries.items():
            path.write_bytes(content)
    return not passed, test


def main(words: Sequence[str]) -> int:
    """Plant the chosen faults, print what became of each, and return the exit status."""
    faults = chosen(words)
    if not faults:
        print(f"no fault's package or file contains any of {', '.join(words)}; packages are {', '.join(TESTS)}")
        return 2
    sys.dont_write_bytecode = True  # it could be taken for that of another fault
    for name in IMPORTED:
        importlib.import_module(name)
    survived = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for part in PARTS:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy(ROOT / part, root / part)
        for package in dict.fromkeys(fault.package for fault in faults):
            passed, test = run_tests(root, TESTS[package])
            if not passed:
                print(f"the tests of {package!r} fail without any fault: {test}; fix that first")
                return 2
        for fault in faults:
            noticed, test = is_noticed(root, fault)
            if not noticed:
                survived.append(fault)
            what = f"{fault.file}: {fault.old.strip()!r} -> {fault.new.strip()!r}"
            print(f"noticed by {test}  {what}" if noticed else f"SURVIVED  {what}", flush=True)
    print(f"{len(faults) - len(survived)} of {len(faults)} faults were noticed")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
