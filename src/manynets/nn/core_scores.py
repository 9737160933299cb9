"""The scores of rows by the compiled core, whose threads take networks and blocks of rows.

A row has the same scores, bit for bit, whichever rows it comes with, and however many threads there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch
from torch import Tensor

from manynets import core
from manynets.spec import Activation

if TYPE_CHECKING:
    from manynets.nn.population import Population

LARGEST = 1 << 20  # numbers in the largest matrix: torch's products are faster with larger ones
FEWEST_ROWS = 64  # fewer do not make up for the copies that the core makes of the weights
FEWEST = 1 << 18  # multiplications below which setting up a call takes longer than torch does


def takes_scores(population: Population, x: Tensor, *, rows: int | None = None) -> bool:
    """Return whether the core computes the scores of rows x (N, D), and does so sooner than torch.

    For scores from the sums of the first layer x (K, N, H), rows: how many scores of each network.
    """
    shape = population.shape
    at_hand = x.device.type == "cpu" and core.has_wide_vectors() and shape.embedding is None and x.dtype == population.flat.dtype
    rows, fits = len(x) if rows is None else rows, x.is_contiguous() and shape.largest_matrix <= LARGEST
    return at_hand and fits and rows >= FEWEST_ROWS and rows * population.size * shape.multiplications >= FEWEST


def networks_of(population: Population) -> dict[str, Any]:
    """Return the fields of a `core.Job` that say what the networks are, and where; the memory is the population's."""
    shape = population.shape
    return {
        "type": population.flat.element_size(),
        "networks": population.size,
        "layers": len(shape.layers),
        "widths": shape.widths.ctypes.data,
        "activation": get_args(Activation).index(shape.activation),
        "bias": shape.bias,
        "batch_norm": shape.batch_norm,
        "input_scale": shape.input_scale,
        "flat": population.flat.data_ptr(),
        "parameters": population.flat.shape[1],
        "statistics": population.statistics.data_ptr(),
        "statistics_size": population.statistics.shape[1],
    }


def write_core_scores(population: Population, x: Tensor, out: Tensor, **sums: int) -> None:
    """Write the scores of rows x (N, D) to out (K, N, O), of which the rows of a network are contiguous.

    sums: fields of the `core.Job`, where x holds the sums of the first layer.
    """
    networks, rows = population.size, out.shape[1]
    counts, which, active = np.array([rows]), np.zeros(networks, dtype=np.int64), np.ones(networks, dtype=np.uint8)
    core.evaluate(
        core.Job(
            **networks_of(population),
            threads=core.usable_threads(torch.get_num_threads()),
            x=x.data_ptr(),
            counts=counts.ctypes.data,
            which=which.ctypes.data,
            steps_per_epoch=1,
            count=rows,
            active=active.ctypes.data,
            scores=out.data_ptr(),
            scores_stride=out.stride(0),
            **sums,
        )
    )
