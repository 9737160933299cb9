"""scikit-learn's estimators: its two MLP classes on manynets (docs/sklearn.md), and the default for tables.

The MLP classes are thin: `inputs` reads what fit is given, `settings` turns parameters into a specification and a recipe, training/ (or
`lbfgs`) trains, and a `manynets.Model` predicts.
"""

from __future__ import annotations

from manynets.estimators.classifier import MLPClassifier
from manynets.estimators.regressor import MLPRegressor
from manynets.estimators.tabular import TabularClassifier, TabularRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "TabularClassifier", "TabularRegressor"]
