"""Whether probabilities mean what they say.

Rows are put into bins by the probability of the predicted class. In each bin the share of right predictions should be the mean probability:

    expected calibration error = sum over bins of (rows in the bin / rows) * |share right - mean probability|

Rows that have weights count by these in shares, means and error. Of a single class it is the probability of that class, and the share of rows
of it, in bins of equally many rows: where the class is rare, bins of equal width would leave nearly all rows in one.

Source: Guo et al. 2017, "On Calibration of Modern Neural Networks".
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.data.check import as_weights
from manynets.display import html_table, number_text
from manynets.errors import DataError, OptionError, check_count

ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Calibration:
    """Probabilities against what happened, by bin.

    probability, right: the mean probability and the share of right predictions, or of rows of one class, of each bin with rows. count: the
    number of its rows. error: the expected calibration error.

    >>> import manynets as mn
    >>> import numpy as np
    >>> found = mn.explain.calibration(np.array([[0.2, 0.8], [0.1, 0.9], [0.6, 0.4]]), np.array([1, 1, 0]))
    >>> found.count.sum(), round(float(found.error), 2)
    (np.int64(3), 0.23)
    >>> found
    <Calibration: expected calibration error 0.2333, 3 rows>
    """

    probability: NDArray[np.float64]
    right: NDArray[np.float64]
    count: NDArray[np.int64]
    error: float

    def __repr__(self) -> str:
        return f"<Calibration: expected calibration error {number_text(self.error)}, {int(self.count.sum()):,} rows>"

    def _repr_html_(self) -> str:
        lines = list(zip(self.probability.tolist(), self.right.tolist(), self.count.tolist(), strict=True))
        title = f"Expected calibration error {number_text(self.error)}"
        return html_table(["mean probability", "share right", "rows"], lines, title=title)


def calibration(
    probabilities: Any, truth: Any, *, bins: int = 15, positive: int | None = None, sample_weight: Any = None
) -> Calibration:
    """Return how far probabilities (N, C) are from the observed frequencies.

    truth: class codes (N,). bins: of equal width. positive: the code of one class, whose probability is judged in bins of equally many rows,
    in place of that of the predicted class. sample_weight: of each row (N,).

    Errors: OptionError for bins or a class that there cannot be; DataError for values that are not probabilities, for labels in place of codes,
    and for weights that are negative or not one for each row.

    >>> found = calibration([[0.25, 0.75]] * 4, [1, 1, 1, 0])
    >>> found.error, found.count.tolist()
    (0.0, [4])
    >>> found = calibration([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]], [0, 0, 0, 1], positive=1, bins=2)
    >>> found.probability.round(2).tolist(), found.right.tolist()
    ([0.15, 0.35], [0.0, 0.5])
    """
    check_count(bins, what="bins")
    shares = np.asarray(probabilities, dtype=np.float64)
    _check(shares, np.asarray(truth))
    if positive is None:
        predicted = shares.argmax(axis=1)
        confidence, right = shares[np.arange(len(shares)), predicted], predicted == np.asarray(truth)
        bin_of = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    else:
        if positive not in range(shares.shape[1]):
            raise OptionError(f"positive is {positive!r}, but must be a class code, from 0 to {shares.shape[1] - 1}")
        confidence, right = shares[:, int(positive)], np.asarray(truth) == positive
        edges = np.unique(np.quantile(confidence, np.arange(1, bins) / bins))
        bin_of = np.searchsorted(edges, confidence, side="right")
    given = as_weights(sample_weight, len(shares))
    weight = np.ones(len(shares)) if given is None else given
    total = np.bincount(bin_of, weights=weight, minlength=bins)
    used = total > 0
    total, count = total[used], np.bincount(bin_of, minlength=bins)[used]
    mean = np.bincount(bin_of, weights=weight * confidence, minlength=bins)[used] / total
    share = np.bincount(bin_of, weights=weight * right, minlength=bins)[used] / total
    return Calibration(mean, share, count, float((total * np.abs(share - mean)).sum() / total.sum()))


def _check(shares: NDArray[np.float64], codes: NDArray[Any]) -> None:
    """Raise DataError unless these are probabilities (N, C) and class codes (N,)."""
    if shares.ndim != 2 or not shares.size:
        raise DataError(f"probabilities have shape {shares.shape}, but must be (rows, classes), as predict_proba gives them")
    strange = shares[~((shares >= -ROUNDING) & (shares <= 1 + ROUNDING))]
    if strange.size:
        raise DataError(f"probabilities hold {strange[0]:g}, but must be from 0 to 1")
    if codes.shape != (len(shares),):
        raise DataError(
            f"truth has shape {codes.shape}, but must be ({len(shares)},), one class code for each row of probabilities"
        )
    known = np.isin(codes, np.arange(shares.shape[1])) if codes.dtype.kind in "biuf" else np.zeros(len(codes), dtype=bool)
    if not known.all():
        raise DataError(
            f"truth holds {codes[~known][0].item()!r}, but must be class codes, from 0 to {shares.shape[1] - 1} in the order of the columns of"
            " probabilities; of labels y they are np.searchsorted(model.classes_, y)"
        )
