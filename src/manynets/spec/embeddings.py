"""Embeddings of numeric columns as data: what `manynets.tables.piecewise` and `manynets.nn.embeddings` compute."""

from __future__ import annotations

import itertools
from typing import Literal, TypeAlias, get_args

from manynets.errors import OptionError
from manynets.spec.metadata import ABOVE_ZERO, AT_LEAST_ONE, AT_LEAST_ZERO, Interval, check_fields, plain_tuple, setting, specified

BinsBy: TypeAlias = Literal["quantiles", "tree"]


@specified
class PiecewiseLinear:
    """Also encodes each numeric column x as its position in each of several bins: clip((x - e_{t-1}) / (e_t - e_{t-1}), 0, 1).

    The edges e are found on the training rows, and the columns computed once, by the encoder of the model; an array then has one, too.
    Columns with fewer than three different values get none. See `manynets.tables.piecewise`.

    by="tree" takes the splits of a decision tree (scikit-learn's) that predicts the target from the column alone. They have seen the
    target of all rows that the encoder is fitted to: with validation="folds" also that of the rows that a network validates on.

    Source: Gorishniy et al. 2022, "On Embeddings for Numerical Features in Tabular Deep Learning"; rtdl_num_embeddings.

    >>> PiecewiseLinear(bins=16)
    PiecewiseLinear(bins=16, by='quantiles')
    """

    bins: int | None = setting(
        None,
        help="Bins of each numeric column",
        allowed=Interval(2, 255, whole=True),
        none="a 150th of the training rows, from 4 to 48",
    )
    by: BinsBy = setting("quantiles", help="Edges of the bins:", allowed=get_args(BinsBy), option="bins_by")


@specified
class Periodic:
    """Also encodes each numeric column x as learned mixtures of learned cosines: W cos(2 pi f x + p) + b.

    f, p (k,), W (m, k) and b (m,), with k frequencies and m outputs, are a column's own: `embedding.frequencies`, `embedding.phases`,
    `embedding.weight` and `embedding.bias`, for all columns together. They start at f ~ N(0, scale^2), p ~ U(-pi, pi), and W and b ~
    U(-1 / sqrt(k), 1 / sqrt(k)). The first layer reads all columns as they are, and then the m outputs of each embedded one. RealMLP
    lets the embedding learn at a tenth of the rate: ParameterGroup(names="embedding.*", lr_factor=0.1).

    Source: Holzmueller et al. 2024 (RealMLP's PBLD), after Gorishniy et al. 2022. See `manynets.nn.embeddings`.

    >>> Periodic(columns=(0, 2)).width(5)
    11
    """

    frequencies: int = setting(16, help="Frequencies of each numeric column", allowed=Interval(1, 10_000, whole=True))
    scale: float = setting(
        0.1, help="Standard deviation of the initial frequencies", allowed=ABOVE_ZERO, option="frequency_scale", metavar="SIGMA"
    )
    outputs: int = setting(
        3, help="Outputs that the cosines of a column are mixed to", allowed=AT_LEAST_ONE, option="frequency_outputs"
    )
    columns: tuple[int, ...] | None = setting(
        None, help="Columns to embed, by number", several=True, none="the numeric ones of a table, all of an array", option=""
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.columns is None:
            return
        columns = plain_tuple(self, "columns")
        object.__setattr__(self, "columns", columns)
        whole = all(column in AT_LEAST_ZERO for column in columns)
        if not columns or not whole or any(a >= b for a, b in itertools.pairwise(columns)):
            raise OptionError(
                f"Periodic.columns is {self.columns!r}, but must be numbers of columns, from 0 on, in increasing order"
            )

    def embedded(self, in_features: int) -> tuple[int, ...]:
        """Return the numbers of the columns that are embedded, where X has `in_features` columns."""
        columns = tuple(range(in_features)) if self.columns is None else self.columns
        if columns[-1] >= in_features:
            raise OptionError(f"Periodic.columns holds {columns[-1]}, but columns are numbered 0 to {in_features - 1}")
        return columns

    def width(self, in_features: int) -> int:
        """Return how many columns the first layer reads, where X has `in_features` columns."""
        return in_features + len(self.embedded(in_features)) * self.outputs


Embedding: TypeAlias = PiecewiseLinear | Periodic

EMBEDDINGS: dict[str, type[Embedding]] = {"piecewise-linear": PiecewiseLinear, "periodic": Periodic}
"""The embeddings by the names that options use."""
