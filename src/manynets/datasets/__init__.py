"""Data sets by name: 2-D toys drawn from a seed, scikit-learn's digits, MNIST and Fashion-MNIST.

>>> from manynets.datasets import load
>>> data = load("xor", points=100)
>>> data.X.shape, data.y.shape, data.task
((100, 2), (100,), 'binary')
"""

from manynets.datasets.catalog import NAMES, Summary, describe, load
from manynets.datasets.dataset import Dataset
from manynets.datasets.handwritten import digits
from manynets.datasets.idx import read_idx
from manynets.datasets.images import fashion_mnist, mnist
from manynets.datasets.shifts import with_shifts
from manynets.datasets.toys import blobs, circles, gauss, moons, plane, prod, quadrants, spirals, xor

__all__ = [
    "NAMES", "Dataset", "Summary", "blobs", "circles", "describe", "digits", "fashion_mnist", "gauss", "load", "mnist", "moons",
    "plane", "prod", "quadrants", "read_idx", "spirals", "with_shifts", "xor",
]  # fmt: skip
