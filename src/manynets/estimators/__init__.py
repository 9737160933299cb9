"""scikit-learn's two MLP classes on manynets: change one import (docs/sklearn.md).

A fit has four steps: `inputs` checks X and y, `plan` turns parameters (`settings`) and rows into networks, training/ (or `lbfgs`)
trains them, and `fitted` sets the fitted attributes. A `manynets.Model` predicts.
"""

from __future__ import annotations

from manynets.estimators.classifier import MLPClassifier
from manynets.estimators.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
