"""Data sets by name."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from manynets import datasets
from manynets.datasets import NAMES, describe, load
from manynets.errors import OptionError

TOYS = ("prod", "xor", "quadrants", "blobs", "moons", "circles", "spirals", "gauss", "plane")


def test_the_names() -> None:
    assert ("digits", "mnist", "fashion-mnist", *TOYS) == NAMES


@pytest.mark.parametrize("name", TOYS)
def test_a_toy_by_name_is_the_toy(name: str) -> None:
    by_name, called = load(name, points=300, noise=0.2, seed=7), getattr(datasets, name)(300, noise=0.2, seed=7)
    assert by_name.name == name
    assert by_name.X.tobytes() == called.X.tobytes()
    assert by_name.y.tobytes() == called.y.tobytes()
    plain = load(name)
    assert plain.X.shape == (2500, 2)
    assert plain.X.tobytes() == getattr(datasets, name)().X.tobytes()


@pytest.mark.parametrize("name", ["digits", *TOYS])
def test_the_description_is_true(name: str) -> None:
    line = next(line for line in describe() if line.name == name)
    data = load(name)
    assert data.X_test is not None
    assert (line.rows, line.features) == data.X.shape
    assert line.test_rows == len(data.X_test)
    assert line.task == data.task
    assert line.here


def test_every_name_is_described_once() -> None:
    assert tuple(line.name for line in describe()) == NAMES
    assert all(line.about and line.where for line in describe())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("digits", {"points": 100}, "points is 100, but data set 'digits' has no such option: it is for the 2-D sets (prod, "),
        ("mnist", {"noise": 0.0}, "noise is 0.0, but data set 'mnist' has no such option"),
        ("digits", {"data_dir": "."}, "data_dir is '.', but data set 'digits' has no such option: it comes with scikit-learn"),
        ("xor", {"data_dir": "."}, "data_dir is '.', but data set 'xor' has no such option: it is drawn from the seed"),
        ("xor", {"points": 0}, "points is 0, but must be a whole number from 10 to 10,000,000"),
        ("iris", {}, "data set is 'iris', but must be one of digits, mnist, fashion-mnist, prod,"),
        ("fashion_mnist", {}, "did you mean 'fashion-mnist'?"),
        (None, {}, "data set is None, but must be one of"),
    ],
)
def test_a_wrong_name_or_option_is_refused(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        load(name, **options)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_all_is_complete_and_importing_loads_nothing_heavy() -> None:
    assert all(getattr(datasets, name).__doc__ for name in datasets.__all__ if name != "NAMES")
    heavy = "{'torch', 'sklearn', 'pooch', 'rich'}"
    probe = f"import manynets.datasets as d, sys; d.load('xor'); print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_arrays_are_writable_and_contiguous() -> None:
    for name in ("digits", "moons"):
        data = load(name)
        assert data.X.flags.c_contiguous
        data.X[0] += np.float32(1)
