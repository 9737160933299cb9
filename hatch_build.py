"""Compile the training core: as hatchling's build hook for wheels and editable installs, or in place with `python hatch_build.py`.

It also makes the links of README.md absolute for a package index, where the build knows the repository's address.

Without a C++ compiler, or with MANYNETS_NO_CORE=1, the package is installed without the core, and torch does its work.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
    from hatchling.metadata.plugin.interface import MetadataHookInterface
except ImportError:  # as a script it needs no hatchling
    BuildHookInterface = MetadataHookInterface = object  # type: ignore[assignment, misc]

README = Path(__file__).parent / "README.md"
FOLDER = Path(__file__).parent / "src" / "manynets" / "core"
SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
LIBRARY = FOLDER / f"libcore{SUFFIX}"

FLAGS = [
    "-std=c++17",
    "-O3",
    "-Wall",
    "-Wextra",
    "-Wno-pass-failed",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fvisibility=hidden",
]
AVX2 = ["-mavx", "-mavx2", "-mfma", "-mbmi", "-mbmi2"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512"]
# the copies of the kernels for x86-64, of which the driver takes one at run time
COPIES = {
    "base": ["-msse4.2", "-DMANYNETS_ALL_SETS"],
    "avx2": [*AVX2, "-DMANYNETS_KERNELS=manynets_avx2"],
    "avx512": [*AVX512, "-DMANYNETS_KERNELS=manynets_avx512"],
}


def compilers() -> list[list[str]]:
    """Return the C++ compilers to try, as commands."""
    if chosen := os.environ.get("CXX"):
        return [shlex.split(chosen, posix=os.name == "posix")]
    names = ["clang++", "g++"] if sys.platform == "win32" else ["c++", "g++", "clang++"]
    return [[name] for name in names if shutil.which(name)] + ([["clang-cl"]] if shutil.which("clang-cl") else [])


def compile_core(compiler: Sequence[str], library: Path) -> None:
    """Compile core.cpp into this shared library; a failure is a CalledProcessError or an OSError."""
    command = [*compiler, "--driver-mode=g++"] if "clang-cl" in Path(compiler[0]).name else list(compiler)
    arch = shlex.split(os.environ.get("ARCHFLAGS", "")) if sys.platform == "darwin" else []
    machine = arch[-1] if arch else platform.machine()
    copies = COPIES if machine.lower() in ("x86_64", "amd64") and len(arch) <= 2 else {"base": []}
    position = [] if sys.platform == "win32" else ["-fPIC"]
    with tempfile.TemporaryDirectory() as folder:
        objects = [str(Path(folder, f"{name}.o")) for name in copies]
        for flags, out in zip(copies.values(), objects, strict=True):
            _run([*command, *FLAGS, *position, *arch, *flags, "-c", str(FOLDER / "core.cpp"), "-o", out])
        made = Path(folder, library.name)
        threads = ["-pthread"] if sys.platform.startswith("linux") else []
        _run([*command, "-shared", *arch, *objects, *threads, "-o", str(made)])
        fresh = library.with_name(f"{library.name}.{os.getpid()}")
        shutil.copyfile(made, fresh)
        os.replace(fresh, library)  # a process that has the old one loaded goes on with it


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def build(library: Path = LIBRARY) -> str | None:
    """Compile the core with the first compiler that can; return why it is not compiled, or None."""
    if os.environ.get("MANYNETS_NO_CORE") == "1":
        return "MANYNETS_NO_CORE=1 is set"
    problem = "there is no C++ compiler; set CXX to one"
    for compiler in compilers():
        try:
            compile_core(compiler, library)
        except subprocess.CalledProcessError as error:
            problem = f"{shlex.join(compiler)} failed:\n{error.stderr}"
        except OSError as error:
            problem = f"{shlex.join(compiler)} failed: {error}"
        else:
            return None
    return problem


class CustomBuildHook(BuildHookInterface):  # type: ignore[misc, type-arg]
    """Put the compiled core into the wheel, or beside its source for an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        problem = build()
        if problem:
            self.app.display_warning(f"manynets is installed without its compiled core: {problem}")
            return
        if version == "editable":
            return
        build_data["artifacts"].append(f"/{LIBRARY.relative_to(self.root).as_posix()}")
        build_data["pure_python"] = False
        # the library knows no Python: one wheel for all versions
        build_data["tag"] = f"py3-none-{_platform_tag(self.build_config.builder)}"

    def clean(self, versions: Sequence[str]) -> None:
        LIBRARY.unlink(missing_ok=True)


class CustomMetadataHook(MetadataHookInterface):  # type: ignore[misc, type-arg]
    """Give the package the text of README.md, with absolute links."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = absolute_links(README.read_text(encoding="utf-8"), repository(), version=metadata["version"])
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def repository() -> str | None:
    """Return the address of the repository that is built: MANYNETS_REPOSITORY, or that of the running GitHub workflow; else None."""
    name, server = os.environ.get("GITHUB_REPOSITORY"), os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    return os.environ.get("MANYNETS_REPOSITORY") or (f"{server}/{name}" if name else None)


def absolute_links(text: str, address: str | None, *, version: str) -> str:
    """Return a Markdown text whose links and pictures lead to this version in a repository on GitHub; without an address as it is.

    >>> absolute_links("![a](docs/a.png) [b](docs/b.md) [c](https://c.org)", "https://github.com/us/nets", version="1.0")
    '![a](https://github.com/us/nets/raw/v1.0/docs/a.png) [b](https://github.com/us/nets/blob/v1.0/docs/b.md) [c](https://c.org)'
    """

    def absolute(match: re.Match[str]) -> str:
        kind = "raw" if match["bang"] else "blob"
        return f"{match['bang']}[{match['label']}]({address}/{kind}/v{version}/{match['path']})"

    link = r"(?P<bang>!?)\[(?P<label>[^\]]*)\]\((?P<path>(?![a-z]+:|#)[^)]+)\)"
    return text if address is None else re.sub(link, absolute, text)


def _platform_tag(builder: Any) -> str:
    tag: str = builder.get_best_matching_tag()
    return tag.rsplit("-", 1)[-1]


if __name__ == "__main__":
    print(f"no compiled core: {problem}" if (problem := build()) else LIBRARY)
