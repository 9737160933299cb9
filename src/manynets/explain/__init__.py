"""Why a model says what it says: which columns matter, how the prediction follows a column, and what each column adds to one prediction.

All of it speaks of the columns of the table, not of the numbers that they are encoded as.

    blocks.py         the encoded rows by source column, and checks
    values.py         the values of the columns in their own units
    importance.py     `permutation_importance`: how much worse the predictions get without a column
    dependence.py     `partial_dependence`: the mean prediction over the values of one or two columns
    background.py     rows that stand for "not known"
    contributions.py  `contributions`: Shapley values of single predictions
    calibration.py    `calibration`: whether probabilities mean what they say
    slices.py         `worst_slices`: the groups of rows that are served worst
    prediction_errors.py  `worst_rows`: the rows that are served worst; `residuals`: errors against the prediction and each column
    differences.py    `paired_differences`: how much two models differ on the same rows, with intervals
    changed.py        predictions of rows in which some columns have other values
"""

from __future__ import annotations

from manynets.explain.calibration import Calibration, calibration
from manynets.explain.contributions import Contributions, contributions
from manynets.explain.dependence import Dependence, partial_dependence
from manynets.explain.differences import Difference, paired_differences
from manynets.explain.importance import Importance, permutation_importance
from manynets.explain.prediction_errors import MeanError, WorstRow, residuals, worst_rows
from manynets.explain.slices import Slice, worst_slices

__all__ = [
    "Calibration", "Contributions", "Dependence", "Difference", "Importance", "MeanError", "Slice", "WorstRow", "calibration",
    "contributions", "paired_differences", "partial_dependence", "permutation_importance", "residuals", "worst_rows", "worst_slices",
]  # fmt: skip
