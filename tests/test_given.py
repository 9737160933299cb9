"""`train`: what it is given as X and y, and the options of a table."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import manynets as mn
from tests.tolerances import assert_close

SPEC, RECIPE = mn.MLP(hidden=(4,)), mn.Recipe(epochs=2)


def table() -> dict[str, list[Any]]:
    size = [i * 7 % 40 / 3 for i in range(40)]
    return {
        "size": size,
        "code": [i % 5 for i in range(40)],
        "copy": [2.0 * s for s in size],
        "price": [s + 1.0 if s else None for s in size],
    }


@pytest.mark.parametrize("plain", [True, False], ids=["spec", "ensemble"])
def test_the_options_of_a_table_do_what_its_messages_advise(plain: bool, tmp_path: Path) -> None:
    polars.DataFrame(table()).write_csv(tmp_path / "t.csv")
    how: dict[str, Any] = {"spec": SPEC, "recipe": RECIPE} if plain else {"preset": "fast", "n_networks": 2, "time_limit": 100}
    options: dict[str, Any] = {"drop": ["copy"], "drop_missing_target": True, "categorical": ["code"]}
    model = mn.train(str(tmp_path / "t.csv"), target="price", **options, **how, progress=False)
    assert model.encoder is not None
    assert {column.name: column.kind for column in model.encoder.columns} == {"size": "numeric", "code": "categorical"}
    model.predict(polars.DataFrame(table()).drop("copy", "price"))


def test_a_column_to_split_by_is_one_of_the_table() -> None:
    frame = polars.DataFrame(table())
    for dropped, rows in ((True, frame), (False, frame.drop_nulls("price"))):
        options: dict[str, Any] = {"validation": 0.2, "drop_missing_target": dropped, "progress": False}
        with pytest.raises(mn.DataError, match="column to split by 'cod' does not exist; did you mean 'code'"):
            mn.train(rows, target="price", spec=SPEC, recipe=RECIPE, groups="cod", **options)


def test_rows_without_a_target_are_dropped_with_what_is_given_by_row() -> None:
    full = polars.DataFrame(table())
    kept = full["price"].is_not_null().to_numpy()
    dropped = full.filter(polars.Series(kept))
    assert not kept[0]
    assert 0 < kept.sum() < len(full)
    weight, days = np.arange(1.0, 41.0), [None if not one else i for i, one in enumerate(kept)]
    held_out = np.arange(0, 40, 3)

    def trained(frame: Any, **options: Any) -> Any:
        return mn.train(frame, target="price", spec=SPEC, recipe=RECIPE, scaling="standard", progress=False, **options).members[0]

    own = {"validation": (dropped.drop("price").with_columns(polars.col("size") + 0.1), dropped["price"])}
    cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (own, own),
        ({"validation": held_out}, {"validation": np.isin(np.flatnonzero(kept), held_out)}),
        ({"validation": np.isin(np.arange(40), held_out)}, {"validation": np.isin(np.flatnonzero(kept), held_out)}),
        ({"times": days, "validation": 0.25}, {"times": np.flatnonzero(kept), "validation": 0.25}),
        ({"sample_weight": torch.from_numpy(weight)}, {"sample_weight": weight[kept]}),
    ]
    for of_table, of_kept in cases:
        assert_close(trained(full, drop_missing_target=True, **of_table), trained(dropped, **of_kept), "bits")
    named = full.with_columns(w=polars.Series(weight))
    assert_close(trained(named, drop_missing_target=True, sample_weight="w"), trained(dropped, sample_weight=weight[kept]), "bits")
    with pytest.raises(
        mn.DataError, match=rf"groups has shape \({kept.sum()},\), but the table has 40 rows; .* those without a target"
    ):
        trained(full, drop_missing_target=True, groups=np.flatnonzero(kept), validation=0.5)
    with pytest.raises(mn.DataError, match="validation lists row 40, but rows are numbered 0 to 39"):
        trained(full, drop_missing_target=True, validation=[40])


def test_a_model_of_a_file_with_decimal_commas_reads_them_elsewhere(tmp_path: Path) -> None:
    lines = [f"{s % 9},{s % 10}00;1,{100 + s};{s % 9}" for s in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["size;distance;price", *lines]) + "\n")
    model = mn.train(tmp_path / "t.csv", target="price", spec=SPEC, recipe=RECIPE, progress=False)
    expected = model.predict(polars.DataFrame({"size": [2.5], "distance": [1.234]}))
    for size, distance in (("2,5", "1,234"), ("2.5", "1,234"), ("2.5", "1.234")):
        assert model.predict(polars.DataFrame({"size": [size], "distance": [distance]})) == expected
    with pytest.raises(mn.DataError, match=r"'size' should hold numbers \(numbers: decimal comma\), but row 0"):
        model.predict(polars.DataFrame({"size": ["2.5", "2,5"], "distance": [1.2, 1.2]}))


def test_the_options_of_a_table_are_refused_where_there_is_none() -> None:
    with pytest.raises(mn.OptionError, match=r"drop is \['a'\], but is for a table, and X is a list"):
        mn.train([[1.0]], [1.0], SPEC, RECIPE, drop=["a"], progress=False)
    with pytest.raises(mn.OptionError, match="drop_missing_target is for a table with target="):
        mn.train([[1.0]], [1.0], SPEC, RECIPE, drop_missing_target=True, progress=False)
    with pytest.raises(mn.OptionError, match=r"numeric is 'size', but must be a list of columns, such as \['size'\]"):
        mn.train(polars.DataFrame(table()), target="size", numeric="size", progress=False)
    with pytest.raises(mn.DataError, match="typo"):
        mn.train(polars.DataFrame(table()), target="size", drop=["typo"], progress=False)
    for target in ("size", ["distance", "size"]):
        with pytest.raises(mn.OptionError, match="numeric names 'size', which is the target; leave it out of numeric"):
            mn.train(polars.DataFrame(table()), target=target, numeric=["size"], progress=False)


def test_a_loader_is_told_what_to_give_instead() -> None:
    rows: TensorDataset = TensorDataset(torch.zeros(8, 2), torch.zeros(8))
    with pytest.raises(mn.DataError, match=r"X is a DataLoader; mn.train takes arrays or tensors .*=mn.Recipe\(batch_size=4\)"):
        mn.train(DataLoader(rows, batch_size=4), progress=False)
    with pytest.raises(mn.DataError, match=r"X is a TensorDataset; .*=mn.Recipe\(batch_size=32\)"):
        mn.train(rows, progress=False)


X, Y = [[0.0, 1.0], [1.0, 0.0]] * 10, [0.0, 1.5] * 10


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"epochs": 5}, "write recipe=mn.Recipe(epochs=5), which trains a plain network"),
        ({"optimizer": "nadam"}, "write recipe=mn.Recipe(optimizer=mn.NAdam()), which trains a plain network"),
        ({"lr": 0.1}, "write recipe=mn.Recipe(optimizer=mn.AdamW(lr=0.1))"),
        ({"hidden": (16,)}, "write spec=mn.MLP(hidden=(16,))"),
        ({"hidden_layer_sizes": (8,)}, "write spec=mn.MLP(hidden=(8,))"),
        ({"optimizer": "sgd"}, "recipe=mn.Recipe(optimizer=mn.SGD())"),
        ({"batch_size": 32}, "write recipe=mn.Recipe(batch_size=32)"),
        ({"validation_data": (X, Y)}, "write validation=(X_val, y_val)"),
        ({"random_state": 0}, "write seed=0"),
        ({"encoding": "cp1251"}, "write X=mn.tables.read_table(path, encoding='cp1251')"),
        ({"sep": ";"}, "write X=mn.tables.read_table(path, delimiter=';')"),
        ({"sheet_name": "May"}, "write X=mn.tables.read_table(path, sheet='May')"),
        ({"header": None}, "write X=mn.tables.read_table(path, header=False)"),
        ({"validaton": 0.1}, "did you mean 'validation'?"),
        ({"ensemble": 3}, "it has X, y, spec"),
        ({"quantile": (0.1, 0.9)}, "write recipe=mn.Recipe(loss='quantile', quantile=(0.1, 0.9))"),
    ],
)
def test_arguments_of_other_libraries_are_answered_with_those_of_train(given: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError, match="has no argument") as caught:
        mn.train(X, Y, **given)
    assert words in str(caught.value)


def test_a_name_as_y_and_a_wrong_spec_are_answered_with_the_call_that_was_meant(tmp_path: Path) -> None:
    frame = polars.DataFrame({"a": [0.0, 1.0], "price": [1.0, 2.0]})
    frame.write_csv(tmp_path / "t.csv")
    with pytest.raises(mn.OptionError, match=r"y is 'price', .* with target='price'"):
        mn.train(frame, "price")
    with pytest.raises(mn.OptionError, match="name the column to predict, target='price'"):
        mn.train(tmp_path / "t.csv", "price")
    for spec, words in (
        ((16,), r"write mn\.MLP\(hidden=\(16,\)\)"),
        (RECIPE, "spec is a Recipe; write .* recipe="),
        (mn.Adam(), r"recipe=mn\.Recipe\(optimizer=mn\.Adam\("),
        (mn.Cosine(), r"recipe=mn\.Recipe\(schedule=mn\.Cosine\("),
        (mn.EarlyStopping(patience=3), r"recipe=mn\.Recipe\(stopping=mn\.EarlyStopping\("),
        (mn.PiecewiseLinear(), r"mn\.MLP\(embedding=mn\.PiecewiseLinear\("),
        (mn.MLPRegressor(), "an estimator, which trains itself"),
    ):
        wrong: Any = spec
        with pytest.raises(mn.OptionError, match=words):
            mn.train(X, Y, wrong)
    several: Any = [mn.EarlyStopping(patience=3)], [3], print
    for callbacks, words in zip(
        several, (r"recipe=mn\.Recipe\(stopping=", "callbacks has 3", "must be several functions"), strict=True
    ):
        with pytest.raises(mn.OptionError, match=words):
            mn.train(X, Y, callbacks=callbacks)


def test_methods_of_other_libraries_are_answered_with_a_call() -> None:
    spec: Any = SPEC
    model: Any = mn.train(X, Y, SPEC, RECIPE, progress=False)
    for owner, name, words in (
        (spec, "fit", "mn.train"),
        (model, "compile", "Recipe"),
        (mn, "Sequential", "mn.MLP"),
        (mn, "x", "'x'$"),
    ):
        with pytest.raises(AttributeError, match=words):
            getattr(owner, name)
    assert not hasattr(spec, "hidden_units")
    assert pickle.loads(pickle.dumps(model)).predict(X).tolist() == model.predict(X).tolist()
    assert copy.copy(spec) == spec
