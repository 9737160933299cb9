"""Data sets by name, for `manynets train NAME` and `manynets datasets`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from manynets.datasets import images, toys
from manynets.datasets.dataset import Dataset, TaskHint
from manynets.datasets.download import ARCHIVES
from manynets.datasets.handwritten import digits
from manynets.errors import OptionError, one_of


class _Toy(Protocol):
    def __call__(self, points: int = ..., *, noise: float = ..., seed: int = ...) -> Dataset: ...


_TOYS: Mapping[str, tuple[_Toy, str, TaskHint]] = {
    "prod": (toys.prod, "the product of two numbers", "regression"),
    "xor": (toys.xor, "whether two signs differ", "binary"),
    "quadrants": (toys.quadrants, "the quadrant of a point", "multiclass"),
    "blobs": (toys.blobs, "four Gaussian clouds around random centres", "multiclass"),
    "moons": (toys.moons, "two interleaved half circles", "binary"),
    "circles": (toys.circles, "a circle in a circle", "binary"),
    "spirals": (toys.spirals, "two spirals", "binary"),
    "gauss": (toys.gauss, "two well-separated Gaussian clouds", "binary"),
    "plane": (toys.plane, "the sum of two numbers, a plane", "regression"),
}

NAMES: tuple[str, ...] = ("digits", "mnist", "fashion-mnist", *_TOYS)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One line in the list of data sets.

    >>> import manynets as mn
    >>> mn.datasets.describe()[0].name
    'digits'
    >>> mn.datasets.describe()[0].features
    64
    """

    name: str
    about: str
    rows: int
    """Training rows; for a 2-D set the default of `points`."""
    test_rows: int
    features: int
    task: TaskHint
    here: bool
    """Whether `load` needs neither a download nor a package that is not installed."""
    where: str
    """The folder, the package, or how it comes here."""


def load(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    points: int | None = None,
    noise: float | None = None,
    seed: int = 0,
) -> Dataset:
    """Return the data set with this name.

    `points` and `noise` are for the 2-D sets (default: 2,500 points, no noise), `data_dir` for mnist and fashion-mnist.
    `seed` may always be given, but does not change the image sets. Raises OptionError for an unknown name and for an
    option that the set does not have, DataError for files that cannot be used, and MissingExtraError for a package that
    is not installed.

    >>> load("moon")
    Traceback (most recent call last):
        ...
    manynets.errors.OptionError: data set is 'moon', but must be one of digits, mnist, ...; did you mean 'moons'?
    """
    one_of(name, NAMES, what="data set")
    if name in _TOYS:
        _refuse(name, "data_dir", data_dir, "it is drawn from the seed, not read from files")
        points = toys.DEFAULT_POINTS if points is None else points
        draw = _TOYS[name][0]
        return draw(points, noise=0.0 if noise is None else noise, seed=seed)
    for option, value in (("points", points), ("noise", noise)):
        _refuse(name, option, value, f"it is for the 2-D sets ({', '.join(_TOYS)})")
    if name == "digits":
        _refuse(name, "data_dir", data_dir, "it comes with scikit-learn")
        return digits()
    reader = {"mnist": images.mnist, "fashion-mnist": images.fashion_mnist}[name]
    return reader(data_dir=data_dir)


def describe(*, data_dir: str | os.PathLike[str] | None = None) -> list[Summary]:
    """Return a summary of each data set that `load` knows, without loading it.

    >>> import manynets as mn
    >>> [one.name for one in mn.datasets.describe() if one.task == "regression"]
    ['prod', 'plane']
    """
    return [_digits(), *(_idx(name, data_dir) for name in ARCHIVES), *(_toy(name) for name in _TOYS)]


def _digits() -> Summary:
    return Summary(
        name="digits",
        about="handwritten digits, 8 x 8 pixels",
        rows=1437,
        test_rows=360,
        features=64,
        task="multiclass",
        here=True,
        where="comes with scikit-learn",
    )


_IDX_LINES: Mapping[str, str] = {
    "mnist": "handwritten digits, 28 x 28 pixels",
    "fashion-mnist": "pieces of clothing, 28 x 28 pixels",
}


def _idx(name: str, data_dir: str | os.PathLike[str] | None) -> Summary:
    folder = images.find_folder(name, data_dir)
    return Summary(
        name=name,
        about=_IDX_LINES[name],
        rows=60_000,
        test_rows=10_000,
        features=784,
        task="multiclass",
        here=folder is not None,
        where=f"downloaded at first use, {ARCHIVES[name].megabytes} MB" if folder is None else str(folder),
    )


def _toy(name: str) -> Summary:
    _, about, task = _TOYS[name]
    return Summary(
        name=name,
        about=about,
        rows=toys.DEFAULT_POINTS,
        test_rows=toys.held_out_points(toys.DEFAULT_POINTS),
        features=2,
        task=task,
        here=True,
        where="drawn from the seed",
    )


def _refuse(name: str, option: str, value: object, why: str) -> None:
    if value is not None:
        raise OptionError(f"{option} is {value!r}, but data set {name!r} has no such option: {why}; leave it out")
