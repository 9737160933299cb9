"""MLPSearchCV: scikit-learn's grid search, with all candidates and folds trained together."""

from __future__ import annotations

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import scale

import manynets as mn

X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(scale(X), y, stratify=y, random_state=0)

net = mn.MLPClassifier((32,), max_iter=500, tol=1e-3, random_state=0)
grid = {"alpha": [1e-4, 1e-2, 1.0], "learning_rate_init": [1e-3, 1e-2], "dropout": [0.0, 0.3]}
search = mn.MLPSearchCV(net, grid, cv=3, scoring="roc_auc").fit(X_train, y_train)

print("Best of", len(search.cv_results_["params"]), "candidates:", search.best_params_)
print(f"ROC AUC in cross-validation {search.best_score_:.4f}, on the test rows {search.score(X_test, y_test):.4f}")
