"""Write a small MNIST: the four files, few images."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def as_idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_small(folder: Path, *, shade: int = 51) -> Path:
    """Write 20 + 10 images, all of one shade, into the folder, as mnist has them; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, rows in zip(FILES, (20, 20, 10, 10), strict=True):
        values = np.full((rows, 28, 28), shade) if "images" in file else np.arange(rows) % 10
        (folder / file).write_bytes(as_idx(values))
    return folder
