"""What takes rows takes the path of a table, too, whose columns it reads as in training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

import manynets as mn
from tests.export.tables import fitted

ROWS = 60


@pytest.fixture(scope="module")
def frame() -> polars.DataFrame:
    rows = np.arange(ROWS)
    return polars.DataFrame(
        {
            "version": ["1.1", "1.10", "x"] * 20,
            "size": rows % 7 + rows / ROWS,
            "weight": rows % 4 + 0.5,
            "price": rows % 3 + rows % 7 + 0.25,
            "kind": ["yes" if row % 7 > 3 else "no" for row in rows],
        }
    )


@pytest.fixture(scope="module")
def paths(frame: polars.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tables")
    new = frame.filter(polars.col("version") != "x")  # without it, the versions alone would be read as numbers
    new.write_csv(folder / "new.csv", separator=";", decimal_comma=True)
    new.write_parquet(folder / "new.parquet")
    return {path.suffix: path for path in folder.iterdir()}


FEATURES = ["version", "size"]
OF_NUMBERS: dict[str, Callable[[mn.Model, Any, Any, Any], Any]] = {
    "evaluate": lambda model, X, y, w: model.evaluate(X, y, sample_weight=w),
    "score": lambda model, X, y, w: model.score(X, y, w),
    "predict_interval": lambda model, X, y, w: model.calibrated(X, y, sample_weight=w).predict_interval(X).tolist(),
    "logits": lambda model, X, y, w: model.logits(X).tolist(),
    "importance": lambda model, X, y, w: mn.explain.permutation_importance(model, X, y, sample_weight=w).to_json(),
    "dependence": lambda model, X, y, w: mn.explain.partial_dependence(model, X, "size", sample_weight=w).to_json(),
    "contributions": lambda model, X, y, w: mn.explain.contributions(model, X, background=X, n_orders=2).to_json(),
    "slices": lambda model, X, y, w: mn.explain.worst_slices(model, X, y),
    "rows": lambda model, X, y, w: mn.explain.worst_rows(model, X, y),
    "residuals": lambda model, X, y, w: mn.explain.residuals(model, X, y),
    "differences": lambda model, X, y, w: mn.explain.paired_differences(model, model, X, y, sample_weight=w),
}
OF_CLASSES: dict[str, Callable[[mn.Model, Any, Any, Any], Any]] = {
    "evaluate": lambda model, X, y, w: model.evaluate(X, y, sample_weight=w),
    "probabilities": lambda model, X, y, w: model.calibrated(X, y, sample_weight=w).predict_proba(X).tolist(),
    "threshold": lambda model, X, y, w: model.with_threshold("f1", X, y=y, sample_weight=w).task,
    "picture": lambda model, X, y, w: model.plot(X, y).axes[0].get_title(),
}
CASES = [("price", *case) for case in OF_NUMBERS.items()] + [("kind", *case) for case in OF_CLASSES.items()]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
@pytest.mark.parametrize(("target", "name", "call"), CASES, ids=[f"{target}-{name}" for target, name, _ in CASES])
def test_the_rows_of_a_file_are_those_of_its_frame(
    target: str, name: str, call: Any, ending: str, frame: polars.DataFrame, paths: dict[str, Path]
) -> None:
    model = fitted(frame[FEATURES], frame[target].to_numpy())
    new = frame.filter(polars.col("version") != "x")
    wanted = call(model, new[FEATURES], new[target].to_numpy(), new["weight"].to_numpy())
    found = call(model, paths[ending], target, "weight")
    assert json.dumps(found, default=vars) == json.dumps(wanted, default=vars)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_labels_of_a_file_are_spelled_as_in_training(ending: str, frame: polars.DataFrame, tmp_path: Path) -> None:
    model = fitted(frame[FEATURES], frame["kind"].to_numpy())
    new = frame.with_columns(kind=polars.col("kind") + ".")  # as in the test file of "adult"
    path = tmp_path / f"new{ending}"
    new.write_csv(path) if ending == ".csv" else new.write_parquet(path)
    for call in (model.evaluate, lambda *given: mn.explain.worst_rows(model, *given)):
        with pytest.warns(UserWarning, match=r"a point was taken off the end of 2 labels: 'no\.', 'yes\.'"):
            found = call(path, "kind")
        wanted = call(frame[FEATURES], frame["kind"].to_numpy())
        assert json.dumps(found, default=vars) == json.dumps(wanted, default=vars)
    new.with_columns(kind=polars.lit("maybe.")).write_parquet(tmp_path / "odd.parquet")
    with pytest.raises(mn.DataError, match=r"60 rows of 60 have labels that training did not have: 'maybe\.'"):
        model.evaluate(tmp_path / "odd.parquet", "kind")


def test_several_targets_are_named_in_a_list(frame: polars.DataFrame, paths: dict[str, Path]) -> None:
    names = ["weight", "price"]
    model = mn.train(frame[[*FEATURES, *names]], target=names, spec=mn.MLP(hidden=(8,)), recipe=mn.Recipe(epochs=2), progress=False)
    new = frame.filter(polars.col("version") != "x")
    for path in paths.values():
        wanted = [one["mae"] for one in model.evaluate(new[FEATURES], new[names].to_numpy())["per_target"]]
        for given in (names, names[::-1]):
            assert [one["mae"] for one in model.evaluate(path, given)["per_target"]] == pytest.approx(wanted)
        with pytest.raises(mn.DataError, match="y has the columns price, but the model predicts weight, price"):
            model.evaluate(path, ["price"])


def test_what_a_file_is_not_for_is_told(frame: polars.DataFrame, paths: dict[str, Path]) -> None:
    model = fitted(frame[FEATURES], frame["price"].to_numpy())
    for path in map(str, paths.values()):
        for call in (model.evaluate, lambda *args: mn.explain.permutation_importance(model, *args)):
            with pytest.raises(
                mn.OptionError,
                match=r"^X is the file '.*', so y and sample_weight must be names of its columns, such as y='price'$",
            ):
                call(path, frame["price"].to_numpy())
            with pytest.raises(mn.DataError, match=r"^target 'prise' is not a column; did you mean 'price'"):
                call(path, "prise")
        with pytest.raises(mn.DataError, match=r"^weight 'wait' is not a column"):
            mn.explain.partial_dependence(model, path, "size", sample_weight="wait")
    array = mn.train(np.ones((9, 2)), np.arange(9.0), mn.MLP(hidden=()), mn.Recipe(epochs=1), progress=False)
    with pytest.raises(mn.DataError, match=r"^X is the file 'new.csv', but the model was trained on an array; give an array$"):
        array.evaluate("new.csv", "price")
    with pytest.raises(mn.DataError, match=r"^X is 'new.csv', .*; manynets.tables.read_table\('new.csv'\) reads a file$"):
        mn.TabularRegressor(preset="fast").fit("new.csv", "price")
