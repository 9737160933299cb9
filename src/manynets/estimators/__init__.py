"""scikit-learn's estimators: its two MLP classes on manynets (docs/sklearn.md), and the default for tables (`tabular`).

A fit of an MLP has four steps: `inputs` checks X and y, `plan` turns parameters (`settings`) and rows into networks, training/ (or `lbfgs`)
trains them, and `fitted` sets the fitted attributes. A `manynets.Model` predicts.
"""

from __future__ import annotations

from manynets.estimators.classifier import MLPClassifier
from manynets.estimators.from_model import estimator
from manynets.estimators.regressor import MLPRegressor
from manynets.estimators.tabular import TabularClassifier, TabularRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "TabularClassifier", "TabularRegressor", "estimator"]
