"""MNIST and Fashion-MNIST: small images with ten classes. Pixels are features in [0, 1]."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.datasets.dataset import Dataset
from manynets.datasets.download import ARCHIVES, cache_folder, fetch
from manynets.datasets.idx import read_idx
from manynets.errors import DataError

TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
MOST_BYTES = 2**28  # of pixels in one file: five times MNIST
DIGITS = tuple("0123456789")
CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")

Folder = str | os.PathLike[str]


def mnist(*, data_dir: Folder | None = None) -> Dataset:
    """Return MNIST: 60,000 + 10,000 handwritten digits of 28 x 28 pixels.

    The four IDX files, gzipped or not, are read from `data_dir`/mnist; without data_dir from MANYNETS_DATA/mnist; and
    where that has none of them, from the user's cache, after a first download (12 MB, with checksums). Raises DataError
    for a file that is missing, damaged or not the expected one.

    >>> import manynets as mn
    >>> next(one.rows for one in mn.datasets.describe() if one.name == "mnist")  # without reading it
    60000
    >>> mn.datasets.mnist(data_dir="/data").X.shape  # doctest: +SKIP
    (60000, 784)
    """
    return _idx_dataset(
        "mnist",
        data_dir,
        class_names=DIGITS,
        source="Y. LeCun, C. Cortes, C. Burges, from NIST SD-1 and SD-3; no terms stated, copies say CC BY-SA 3.0",
    )


def fashion_mnist(*, data_dir: Folder | None = None) -> Dataset:
    """Return Fashion-MNIST: 60,000 + 10,000 pieces of clothing, 28 x 28 pixels; folders and errors as for `mnist`.

    >>> import manynets as mn
    >>> next(one.rows for one in mn.datasets.describe() if one.name == "fashion-mnist")  # without reading it
    60000
    >>> mn.datasets.fashion_mnist(data_dir="/data").X.shape  # doctest: +SKIP
    (60000, 784)
    """
    return _idx_dataset(
        "fashion-mnist",
        data_dir,
        class_names=CLOTHES,
        source="H. Xiao, K. Rasul, R. Vollgraf, 2017, github.com/zalandoresearch/fashion-mnist; MIT licence",
    )


def find_folder(name: str, data_dir: Folder | None = None) -> Path | None:
    """Return the folder that already has the four files, searched in the order given in `mnist`, or None."""
    folders = _named_folder(name, data_dir), None if data_dir else cache_folder(name)
    return next((folder for folder in folders if folder is not None and len(_present(folder)) == len(TRAIN + TEST)), None)


def _named_folder(name: str, data_dir: Folder | None) -> Path | None:
    """Return the folder of a data set in data_dir or MANYNETS_DATA, whether it exists or not; None where neither is given."""
    named = data_dir or os.environ.get("MANYNETS_DATA")
    return Path(named).expanduser() / name if named else None


def _idx_dataset(name: str, data_dir: Folder | None, *, class_names: tuple[str, ...], source: str) -> Dataset:
    files = _locate(name, data_dir)
    try:
        X, y = _read_part(files, TRAIN, len(class_names))
        X_test, y_test = _read_part(files, TEST, len(class_names))
    except DataError as error:
        raise DataError(f"{error}. {_remedy(name)}") from None
    return Dataset(
        name=name,
        X=X,
        y=y,
        X_test=X_test,
        y_test=y_test,
        feature_names=pixel_names(28, 28),
        class_names=class_names,
        image_shape=(28, 28),
        task="multiclass",
        source=source,
    )


def _locate(name: str, data_dir: Folder | None) -> dict[str, Path]:
    """Return the path of each of the four files, by its name without the ending."""
    folder = _named_folder(name, data_dir)
    if folder is not None:
        files = _present(folder)
        missing = [stem for stem in TRAIN + TEST if stem not in files]
        if not missing:
            return files
        if data_dir or files:  # a folder that was asked for, or that has some of the files, is not skipped silently
            raise DataError(
                f"{folder / missing[0]} is missing (with .gz or without); expected were four IDX files. {_remedy(name)}"
            )
    fetched = fetch(ARCHIVES[name], name, cache_folder(name) or Path())
    return {file.removesuffix(".gz"): path for file, path in fetched.items()}


def _present(folder: Path) -> dict[str, Path]:
    """Return those of the four files that are in the folder; some copies have a dot before idx."""
    found = {}
    for stem in TRAIN + TEST:
        paths = (folder / f"{name}{end}" for name in (stem, stem.replace("-idx", ".idx")) for end in ("", ".gz"))
        found[stem] = next(filter(Path.is_file, paths), None)
    return {stem: path for stem, path in found.items() if path is not None}


def _remedy(name: str) -> str:
    archive = ARCHIVES[name]
    return (
        f"To get {name}: leave out data_dir and MANYNETS_DATA to download it; or put {', '.join(archive.sha256)} "
        f"from {archive.mirrors[0]} into a folder {name}/ in the folder that data_dir or MANYNETS_DATA names"
    )


def _read_part(files: dict[str, Path], part: tuple[str, str], classes: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return pixels (N, 784) in [0, 1] and labels (N,). At most the bytes and their float32 copy are in memory at once."""
    images_file, labels_file = (files[stem] for stem in part)
    labels = read_idx(labels_file, max_bytes=MOST_BYTES)
    if labels.dtype != np.uint8 or labels.ndim != 1 or labels.size == 0:
        raise DataError(f"{labels_file} holds {labels.dtype} of shape {labels.shape}, but labels must be uint8 of shape (N,)")
    if labels.max() >= classes:
        row = int(np.argmax(labels >= classes))
        raise DataError(f"{labels_file} holds the label {labels[row]} at index {row}, but labels must be from 0 to {classes - 1}")
    images = read_idx(images_file, max_bytes=MOST_BYTES)
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28):
        raise DataError(
            f"{images_file} holds {images.dtype} of shape {images.shape}, but expected were images: uint8 of shape (N, 28, 28)"
        )
    if len(images) != len(labels):
        raise DataError(f"{images_file} holds {len(images):,} images, but {labels_file} {len(labels):,} labels")
    pixels: NDArray[Any] = images.reshape(len(images), 28 * 28)
    return np.divide(pixels, np.float32(255), dtype=np.float32), labels.astype(np.int64)


def pixel_names(height: int, width: int) -> tuple[str, ...]:
    return tuple(f"pixel_{row}_{column}" for row in range(height) for column in range(width))
