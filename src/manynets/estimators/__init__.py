"""scikit-learn's two MLP classes on manynets: change one import, then find the rest (docs/sklearn.md).

They are thin: `inputs` reads what fit is given, `settings` turns parameters into a specification and a recipe, training/ (or
`lbfgs`) trains, and a `manynets.Model` predicts.
"""

from __future__ import annotations

from manynets.estimators.classifier import MLPClassifier
from manynets.estimators.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
