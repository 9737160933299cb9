"""Points in the plane, drawn from a seed: small problems with a known answer, made for plotting. NumPy only.

Each function returns `points` training rows, and a test and a validation part with a quarter as many (at least 100) each,
drawn from separate streams. `noise` is the standard deviation of Gaussian noise in all three parts: on the coordinates
for classes (the label stays that of the clean point), on the target for a regression. Classes that are drawn one by one
(blobs, moons, circles, spirals, gauss) have equal sizes, up to one point, and are shuffled.

Sources: prod, xor and quadrants are the three problems of the tutorial `trainFCNN`; blobs, moons and circles follow
scikit-learn's `make_blobs`, `make_moons` and `make_circles`; spirals, gauss and plane `dataset.ts` of TensorFlow
Playground. Differs: positions along a moon, circle or spiral are random, not evenly spaced, so that no test point repeats
a training point.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets import rng
from manynets.datasets.dataset import Dataset, TaskHint
from manynets.errors import OptionError, check_count

DEFAULT_POINTS = 2500
LEAST_POINTS, MOST_POINTS = 10, 10_000_000

Coordinates = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], tuple[Coordinates, NDArray[Any]]]


def prod(points: int = DEFAULT_POINTS, *, noise: float = 0.0, seed: int = 0) -> Dataset:
    """Draw a regression on the square [-1, 1]^2: y = x1 x2.

    >>> data = prod(1000)
    >>> bool(abs(data.y - data.X[:, 0] * data.X[:, 1]).max() < 1e-6)
    True
    """
    draw = _on_square(1, lambda x: x[:, 0] * x[:, 1])
    return _dataset("prod", draw, points, noise, seed, task="regression")


def xor(points: int = DEFAULT_POINTS, *, noise: float = 0.0, seed: int = 0) -> Dataset:
    """Draw two classes on the square [-1, 1]^2, the exclusive or of the signs: y = 1 if x1 x2 < 0, else 0.

    >>> data = xor(400, seed=0)
    >>> bool(((data.X[:, 0] * data.X[:, 1] < 0) == data.y).all())
    True
    """
    names = ("same sign", "different sign")
    return _dataset("xor", _on_square(1, xor_label), points, noise, seed, task="binary", class_names=names)


def quadrants(points: int = DEFAULT_POINTS, *, noise: float = 0.0, seed: int = 0) -> Dataset:
    """Draw four classes on the square [-1, 1]^2: y = 0 for x1, x2 >= 0, then 1, 2, 3 counterclockwise.

    >>> data = quadrants(400, seed=0)
    >>> bool(((data.X > 0).all(axis=1) == (data.y == 0)).all())
    True
    """
    names = ("I", "II", "III", "IV")
    return _dataset("quadrants", _on_square(1, quadrant), points, noise, seed, task="multiclass", class_names=names)


def blobs(points: int = DEFAULT_POINTS, *, noise: float = 0.0, seed: int = 0, centers: int = 4) -> Dataset:
    """Draw `centers` clouds: x = c_y + e, centres c uniform in [-10, 10]^2, e Gaussian with standard deviation 1.

    >>> blobs(400, centers=3, seed=0).class_names
    ('blob 0', 'blob 1', 'blob 2')
    """
    check_count(centers, what="centers", least=2, most=LEAST_POINTS)
    check_count(seed, what="seed", least=0)
    middle = rng.generator(int(seed), "data", 3).uniform(-10, 10, (centers, 2))

    def draw(random: np.random.Generator, rows: int) -> tuple[Coordinates, NDArray[Any]]:
        y = _even_classes(random, rows, centers)
        return middle[y] + random.standard_normal((rows, 2)), y

    task: TaskHint = "binary" if centers == 2 else "multiclass"
    return _dataset("blobs", draw, points, noise, seed, task=task, class_names=tuple(f"blob {i}" for i in range(centers)))


def moons(points: int = DEFAULT_POINTS, *, noise: float = 0.0, seed: int = 0) -> Dataset:
    """Draw half circles: x = (cos t, sin t) for y = 0, (1 - cos t, 1/2 - sin t) for y = 1, t uniform in [0, pi].

    >>> moons(400, noise=0.1, seed=0)
    <Dataset moons: 400 rows, 100 validation rows, 100 test rows, 2 columns, binary>
    """

    def draw(random: np.random.Generator, rows: int) -> tuple[Coordinates, NDArray[Any]]:
        y = _even_classes(random, rows, 2)
        t = random.uniform(0, np.pi, rows)
        side = 1 - 2 * y
        return np.column_stack([y + side * np.cos(t), y / 2 + side * np.sin(t)]), y

    return _dataset("moons", draw, points, noise, seed, task="binary", class_names=("upper", "lower"))


def circles(points: int = DEFAULT_POINTS, *, noise: float = 0.0, seed: int = 0) -> Dataset:
    """Draw a circle inside a circle: x = r (cos t, sin t), r = 1 for y = 0 and 1/2 for y = 1, t uniform in [0, 2 pi].

    >>> float((circles(400, seed=0).X ** 2).sum(axis=1).max().round(3))
    1.0
    """

    def draw(random: np.random.Generator, rows: int) -> tuple[Coordinates, NDArray[Any]]:
        y = _even_classes(random, rows, 2)
        t = random.uniform(0, 2 * np.pi, rows)
        radius = 1 - y / 2
        return np.column_stack([radius * np.cos(t), radius * np.sin(t)]), y

    return _dataset("circles", draw, points, noise, seed, task="binary", class_names=("outer", "inner"))


def spirals(points: int = DEFAULT_POINTS, *, noise: float = 0.0, seed: int = 0) -> Dataset:
    """Draw two spirals: x = 5u (sin t, cos t), t = 3.5 pi u + pi (1 - y), u uniform in [0, 1].

    >>> spirals(400, seed=0)
    <Dataset spirals: 400 rows, 100 validation rows, 100 test rows, 2 columns, binary>
    """

    def draw(random: np.random.Generator, rows: int) -> tuple[Coordinates, NDArray[Any]]:
        y = _even_classes(random, rows, 2)
        u = random.uniform(0, 1, rows)
        t = 3.5 * np.pi * u + np.pi * (1 - y)
        return np.column_stack([5 * u * np.sin(t), 5 * u * np.cos(t)]), y

    return _dataset("spirals", draw, points, noise, seed, task="binary", class_names=("second arm", "first arm"))


def gauss(points: int = DEFAULT_POINTS, *, noise: float = 0.0, seed: int = 0) -> Dataset:
    """Draw two Gaussian clouds around (2, 2) for y = 1 and (-2, -2) for y = 0, each of variance 1/2.

    >>> gauss(400, seed=0)
    <Dataset gauss: 400 rows, 100 validation rows, 100 test rows, 2 columns, binary>
    """

    def draw(random: np.random.Generator, rows: int) -> tuple[Coordinates, NDArray[Any]]:
        y = _even_classes(random, rows, 2)
        return (4.0 * y - 2)[:, None] + math.sqrt(0.5) * random.standard_normal((rows, 2)), y

    return _dataset("gauss", draw, points, noise, seed, task="binary", class_names=("at (-2, -2)", "at (2, 2)"))


def plane(points: int = DEFAULT_POINTS, *, noise: float = 0.0, seed: int = 0) -> Dataset:
    """Draw a regression on the square [-6, 6]^2: y = (x1 + x2) / 10.

    Differs: the noise is Gaussian on the target, where the Playground's is uniform on the coordinates.

    >>> data = plane(400, seed=0)
    >>> bool(abs(data.y - data.X.sum(axis=1) / 10).max() < 1e-6)
    True
    """
    draw = _on_square(6, lambda x: (x[:, 0] + x[:, 1]) / 10)
    return _dataset("plane", draw, points, noise, seed, task="regression")


def xor_label(x: NDArray[Any]) -> NDArray[np.int64]:
    """Return 1 for each row of x (N, 2) whose two signs differ, else 0; zero counts as positive."""
    return np.logical_xor(x[:, 0] < 0, x[:, 1] < 0).astype(np.int64)


def quadrant(x: NDArray[Any]) -> NDArray[np.int64]:
    """Return the quadrant, 0 to 3 counterclockwise, of each row of x (N, 2); zero counts as positive."""
    left, below = x[:, 0] < 0, x[:, 1] < 0
    return np.where(below, np.where(left, 2, 3), np.where(left, 1, 0)).astype(np.int64)


def held_out_points(points: int) -> int:
    """Return the size of the test part, and of the validation part, for `points` training rows."""
    return max(points // 4, 100)


def _on_square(reach: float, target: Callable[[Coordinates], NDArray[Any]]) -> Draw:
    """Return a function that draws points uniformly on the square [-reach, reach]^2."""

    def draw(random: np.random.Generator, rows: int) -> tuple[Coordinates, NDArray[Any]]:
        x = random.uniform(-reach, reach, (rows, 2))
        return x, target(x)

    return draw


def _even_classes(random: np.random.Generator, rows: int, classes: int) -> NDArray[np.int64]:
    return random.permutation(np.arange(rows, dtype=np.int64) % np.int64(classes))


def _dataset(
    name: str, draw: Draw, points: int, noise: float, seed: int, *, task: TaskHint, class_names: tuple[str, ...] | None = None
) -> Dataset:
    """Draw the three parts, each from the stream (seed, "data", part), and add the noise."""
    check_count(points, what="points", least=LEAST_POINTS, most=MOST_POINTS)
    check_count(seed, what="seed", least=0)
    points, seed = int(points), int(seed)  # NumPy's numbers, too
    if isinstance(noise, bool) or not isinstance(noise, numbers.Real) or not math.isfinite(noise) or noise < 0:
        raise OptionError(f"noise is {noise!r}, but must be a finite number of at least 0: a standard deviation")
    parts = []
    for part, rows in enumerate((points, held_out_points(points), held_out_points(points))):
        random = rng.generator(seed, "data", part)
        x, y = draw(random, rows)
        if task == "regression":
            y = (y + noise * random.standard_normal(rows)).astype(np.float32)
        else:
            x = x + noise * random.standard_normal((rows, 2))
        parts.append((x.astype(np.float32), y))
    (X, y), (X_test, y_test), (X_validation, y_validation) = parts
    return Dataset(
        name=name,
        X=X,
        y=y,
        X_test=X_test,
        y_test=y_test,
        X_validation=X_validation,
        y_validation=y_validation,
        feature_names=("x1", "x2"),
        class_names=class_names,
        task=task,
        source=f"drawn by manynets: {points:,} points, noise {noise:g}, seed {seed}; no terms",
    )
