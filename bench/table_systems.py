"""The systems that `bench.tables` compares, each as it comes: fit on a split, predict values or probabilities."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["SLOW", "SYSTEMS", "Split", "imported", "missing"]

Array: TypeAlias = NDArray[Any]
LEAST_COUNT = 10
"""Rows that a category needs for a column of its own in scikit-learn's pipeline."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """A table's training and test rows.

    raw: polars frames as the library reads them. train, test: the same rows as numbers and text, dates as days since 1970, without
    the columns that the library leaves out as ids. y: values, or codes 0, 1, ... of `labels`.
    """

    task: str
    raw: tuple[Any, Any]
    train: Any
    test: Any
    y: Array
    y_test: Array
    labels: tuple[Any, ...] = ()
    seed: int = 0
    threads: int = 1
    arguments: tuple[str, ...] = ()

    @property
    def regression(self) -> bool:
        """Whether y holds values."""
        return self.task == "regression"

    @property
    def numbers(self) -> list[str]:
        """The numeric columns."""
        return [name for name, kind in self.train.schema.items() if kind.is_numeric()]

    @property
    def words(self) -> list[str]:
        """The columns of categories."""
        return [name for name in self.train.columns if name not in self.numbers]


Fitted: TypeAlias = Callable[[], Array]
"""Returns the predictions for the test rows: values (N,), or probabilities (N, classes)."""


# -------------------------------------------------------------------------------------------------------- scikit-learn


def _filled(frame: Any) -> Any:
    import polars

    return frame.with_columns(polars.col(polars.String).fill_null("missing"))


def _pipeline(split: Split, model: Any) -> Fitted:
    """Fit the usual pipeline: gaps filled, numbers scaled, words one column a category."""
    from sklearn.compose import ColumnTransformer
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numeric = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    one_hot = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=LEAST_COUNT)
    columns = ColumnTransformer([("numbers", numeric, split.numbers), ("words", one_hot, split.words)])
    pipeline = make_pipeline(columns, model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        pipeline.fit(_filled(split.train), split.y)
    predict = pipeline.predict if split.regression else pipeline.predict_proba
    return lambda: predict(_filled(split.test))


def mlp(split: Split) -> Fitted:
    """scikit-learn's network; a regression's target is scaled, too."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.preprocessing import StandardScaler

    if not split.regression:
        return _pipeline(split, MLPClassifier(random_state=split.seed))
    return _pipeline(split, TransformedTargetRegressor(MLPRegressor(random_state=split.seed), transformer=StandardScaler()))


def linear(split: Split) -> Fitted:
    """scikit-learn's logistic or ridge regression."""
    from sklearn.linear_model import LogisticRegression, Ridge

    return _pipeline(split, Ridge() if split.regression else LogisticRegression(max_iter=1000))


# --------------------------------------------------------------------------------------------------------------- trees


def _frame(split: Split, frame: Any) -> Any:
    """Return a pandas frame whose words are categories, the same ones for all rows of the split."""
    import pandas

    out = pandas.DataFrame({name: frame[name].to_numpy() for name in split.numbers})
    for name in split.words:
        known = sorted(set(split.train[name].drop_nulls()))
        out[name] = pandas.Categorical(frame[name].to_list(), categories=known)
    return out[list(frame.columns)]


def lightgbm(split: Split) -> Fitted:
    """LightGBM with its defaults, words as categories."""
    from lightgbm import LGBMClassifier, LGBMRegressor

    kind = LGBMRegressor if split.regression else LGBMClassifier
    model = kind(random_state=split.seed, n_jobs=split.threads, verbose=-1).fit(_frame(split, split.train), split.y)
    predict = model.predict if split.regression else model.predict_proba
    return lambda: predict(_frame(split, split.test))


def catboost(split: Split) -> Fitted:
    """CatBoost with its defaults, words as categories."""
    from catboost import CatBoostClassifier, CatBoostRegressor

    def frame(rows: Any) -> Any:
        return _filled(rows).to_pandas()

    kind = CatBoostRegressor if split.regression else CatBoostClassifier
    model = kind(random_seed=split.seed, thread_count=split.threads, verbose=False, allow_writing_files=False)
    model.fit(frame(split.train), split.y, cat_features=split.words)
    predict = model.predict if split.regression else model.predict_proba
    return lambda: predict(frame(split.test))


# ------------------------------------------------------------------------------------------------------------ networks


def prototype(split: Split) -> Fitted:
    """The yardstick of `bench/prototype.py`."""
    from bench.prototype import Prototype

    model = Prototype.fit(split.train, split.y, split.task, seed=split.seed)
    return lambda: model.predict(split.test)


def _target(split: Split) -> Any:
    return split.y if split.regression else np.array(split.labels)[split.y]


def tabular(split: Split) -> Fitted:
    """`mn.TabularClassifier` or `mn.TabularRegressor` with its defaults, given the raw frame."""
    import manynets as mn

    kind = mn.TabularRegressor if split.regression else mn.TabularClassifier
    model = kind(random_state=split.seed).fit(split.raw[0], _target(split))
    predict = model.predict if split.regression else model.predict_proba
    return lambda: predict(split.raw[1])


def command(split: Split) -> Fitted:
    """`manynets train` with its defaults, on a file of the rows."""
    import polars

    from manynets import load

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = split.raw[0].with_columns(polars.Series("the target", _target(split)))
        table.write_csv(folder / "train.csv")
        task = ["--task", "regression"] if split.regression else []
        words = [sys.executable, "-m", "manynets", "train", str(folder / "train.csv"), "--target", "the target", *task]
        words += ["--test-fraction", "0", "--seed", str(split.seed), "--json", "-q", "--out", str(folder / "run"), *split.arguments]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}\n{done.stderr}")
        model = load(folder / "run" / "model.safetensors")
    return lambda: model.predict(split.raw[1]) if split.regression else model.predict_proba(split.raw[1])


# ------------------------------------------------------------------------------------------------------------ pytabkit


def _pytabkit(split: Split, name: str) -> Fitted:
    """Fit a network of pytabkit; gaps get the median and an indicator, as it refuses them."""
    import pytabkit

    def frame(rows: Any) -> Any:
        out = _frame(split, rows)
        for column in split.numbers:
            gap = out[column].isna()
            if split.train[column].null_count():
                out[f"{column} is missing"] = gap.astype(float)
            out[column] = out[column].fillna(split.train[column].median())
        return out

    kind = getattr(pytabkit, f"{name}_{'Regressor' if split.regression else 'Classifier'}")
    model = kind(random_state=split.seed, device="cpu", n_threads=split.threads).fit(frame(split.train), split.y)
    predict = model.predict if split.regression else model.predict_proba
    return lambda: np.asarray(predict(frame(split.test)))


def realmlp(split: Split) -> Fitted:
    """RealMLP-TD of pytabkit."""
    return _pytabkit(split, "RealMLP_TD")


def tabm(split: Split) -> Fitted:
    """TabM-D of pytabkit."""
    return _pytabkit(split, "TabM_D")


SYSTEMS: dict[str, Callable[[Split], Fitted]] = {
    "mlp": mlp,
    "linear": linear,
    "lightgbm": lightgbm,
    "catboost": catboost,
    "prototype": prototype,
    "command": command,
    "tabular": tabular,
    "realmlp": realmlp,
    "tabm": tabm,
}
SLOW = ("realmlp", "tabm")
_IMPORTS = {
    "lightgbm": ("lightgbm", "pandas"),
    "catboost": ("catboost", "pandas"),
    "prototype": ("bench.prototype",),
    "command": ("manynets.model",),
    "tabular": ("manynets.estimators", "manynets.fitting", "manynets.model"),
    "realmlp": ("pytabkit", "pandas"),
    "tabm": ("pytabkit", "pandas"),
}
_NEEDS = {"lightgbm": "lightgbm", "catboost": "catboost", "realmlp": "pytabkit", "tabm": "pytabkit"}


def imported(system: str) -> None:
    """Import what a system is made of, so that its seconds are of the work alone."""
    for name in ("sklearn.compose", "sklearn.linear_model", "sklearn.neural_network", *_IMPORTS.get(system, ())):
        importlib.import_module(name)


def missing(system: str) -> str | None:
    """Return what has to be installed, or to exist, before a system can be measured; None where nothing is missing."""
    package = _NEEDS.get(system)
    if package is not None and importlib.util.find_spec(package) is None:
        return package
    if system == "tabular":
        import manynets

        return None if hasattr(manynets, "TabularClassifier") else "manynets.TabularClassifier"
    return None
