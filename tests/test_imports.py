"""What `import manynets` costs, and what it offers."""

from __future__ import annotations

import inspect
import subprocess
import sys
import types
from pathlib import Path

import pytest

import manynets

HEAVY = ("torch", "matplotlib", "pandas", "sklearn", "scipy", "polars", "pyarrow", "jax", "keras", "pooch")


def loaded_by(code: str) -> set[str]:
    """Return which of the heavy packages a fresh interpreter has loaded after `code`."""
    report = f"{code}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_probe_sees_a_heavy_import() -> None:
    assert "torch" in loaded_by("import torch")


def test_import_manynets_loads_nothing_heavy() -> None:
    assert loaded_by("import manynets") == set()


@pytest.mark.parametrize("room", ["spec", "errors", "rng", "metrics", "tables", "tasks", "cli"])
def test_the_room_loads_nothing_heavy(room: str) -> None:
    assert loaded_by(f"import manynets.{room}") == set()


def test_all_is_sorted_and_every_name_resolves() -> None:
    assert list(manynets.__all__) == sorted(set(manynets.__all__), key=_as_ruff_sorts)
    for name in manynets.__all__:
        assert getattr(manynets, name) is not None, name


def _as_ruff_sorts(name: str) -> tuple[int, str]:
    """CONSTANTS, then Classes, then functions."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)


def test_all_names_everything_public() -> None:
    for name in manynets.__all__:
        getattr(manynets, name)  # lazy names enter the namespace when first used
    ours = {
        name
        for name, value in vars(manynets).items()
        if not name.startswith("_")
        and not isinstance(value, types.ModuleType)
        and str(getattr(value, "__module__", "")).startswith("manynets")
    }
    assert ours <= set(manynets.__all__)
    assert set(manynets.__all__) <= set(dir(manynets))


def test_every_public_class_and_function_has_a_docstring() -> None:
    for name in manynets.__all__:
        value = getattr(manynets, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, name
            assert not value.__doc__.startswith(f"{name}("), name  # what a dataclass writes by itself


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = manynets.no_such_name


def test_the_package_says_that_it_is_typed() -> None:
    assert Path(manynets.__file__ or "").with_name("py.typed").is_file()
