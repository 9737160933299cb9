"""`train` and `Model` on frames: the encoder sees training rows only, travels in the file, and finds columns by name."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import manynets as mn
from manynets.errors import DataError, ModelFileError
from manynets.modelfile import read_model_file, write_model_file
from manynets.tables import fit_encoder
from tests.tolerances import assert_close

SPEC, RECIPE = mn.MLP(hidden=(4,)), mn.Recipe(epochs=2)


def frame() -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame({"size": random.normal(100, 20, 40), "colour": random.choice(["red", "blue"], 40)})


def target(table: pd.DataFrame) -> np.ndarray:
    return (table["size"] > 100).to_numpy()


def test_the_encoder_sees_the_training_rows_only() -> None:
    table = frame()
    y = target(table)
    model = mn.train(table, y, SPEC, RECIPE, validation=list(range(10)), progress=False)
    assert model.encoder == fit_encoder(table[10:])
    assert model.encoder != fit_encoder(table)
    split = mn.train(table, y, SPEC, RECIPE, validation=0.25, progress=False)
    assert split.encoder is not None
    assert split.encoder != fit_encoder(table)


def test_a_frame_gives_what_its_matrix_gives() -> None:
    table = frame()
    y = target(table)
    encoder = fit_encoder(table[:30])
    own = (table[30:], y[30:])
    one = mn.train(table[:30], y[:30], SPEC, RECIPE, validation=own, progress=False)
    other = mn.train(
        encoder.transform(table[:30]),
        y[:30],
        SPEC,
        RECIPE,
        validation=(encoder.transform(own[0]), own[1]),
        scaling=False,
        progress=False,
    )
    assert other.encoder is None
    assert np.array_equal(one.logits(table), other.logits(encoder.transform(table)))
    assert one.history["val_loss"] == other.history["val_loss"]
    given = mn.train(encoder.transform(table[:30]), y[:30], SPEC, RECIPE, encoder=encoder, progress=False)
    assert np.array_equal(given.predict(table), given.predict(encoder.transform(table)))
    with pytest.raises(DataError, match="columns"):
        mn.train(np.zeros((30, 7)), y[:30], SPEC, RECIPE, encoder=encoder, progress=False)


def test_the_encoder_travels_in_the_file(tmp_path: Path) -> None:
    table = frame()
    model = mn.train(table, target(table), SPEC, RECIPE, progress=False)
    model.save(tmp_path / "m.safetensors")
    loaded = mn.load(tmp_path / "m.safetensors")
    assert loaded.encoder == model.encoder
    shuffled = pl.from_pandas(table.assign(extra=1)[["extra", "colour", "size"]])
    assert np.array_equal(loaded.logits(shuffled), model.logits(table))
    assert loaded.evaluate(shuffled, target(table)) == model.evaluate(table, target(table))
    with pytest.raises(DataError, match="size"):
        loaded.predict(table[["colour"]])


def test_a_file_whose_encoder_does_not_fit(tmp_path: Path) -> None:
    table = frame()
    mn.train(table, target(table), SPEC, RECIPE, progress=False).save(tmp_path / "m.safetensors")
    header, tensors = read_model_file(tmp_path / "m.safetensors")
    write_model_file(tmp_path / "m.safetensors", {**header, "encoder": fit_encoder(table[["size"]]).to_json()}, tensors)
    with pytest.raises(ModelFileError, match="the encoder makes 1 columns"):
        mn.load(tmp_path / "m.safetensors")
    write_model_file(tmp_path / "m.safetensors", {**header, "encoder": {"columns": 3}}, tensors)
    with pytest.raises(ModelFileError):
        mn.load(tmp_path / "m.safetensors")


def test_one_warning_names_the_unseen_categories_of_all_columns() -> None:
    frame = pl.DataFrame({name: ["a", "b"] * 20 for name in ("one", "two", "three")} | {"size": [i % 7 + 0.5 for i in range(40)]})
    target = [i % 7 + i % 2 for i in range(40)]
    model = mn.train(frame, target, mn.MLP(hidden=(4,)), mn.Recipe(epochs=1), task="regression", progress=False)
    with pytest.warns(UserWarning, match="not seen in training") as caught:
        model.predict(frame.with_columns(one=pl.lit("x"), two=pl.lit("y")))
    text = (
        "column 'one' holds categories not seen in training: 'x'; column 'two' holds categories not seen in training: 'y'; they are"
    )
    assert [str(one.message).startswith(text) for one in caught] == [True]
    with pytest.warns(UserWarning, match="^column 'three' holds"):
        model.predict(frame.with_columns(one=pl.lit("x"), three=pl.lit("z")))


def test_a_prediction_of_new_categories_warns_once_for_each_column() -> None:
    town = ["Bern", "Basel"] * 20
    frame = pl.DataFrame({"town": town, "size": [i % 7 + 0.5 for i in range(40)]})
    target = [i % 7 + i % 2 for i in range(40)]
    model = mn.train(frame, target, mn.MLP(hidden=(4,)), mn.Recipe(epochs=1), task="regression", progress=False)
    model.predict(frame)
    new = frame.with_columns(town=pl.Series(["Genf", "Chur"] * 20))
    model.evaluate(new, target)
    with (
        ThreadPoolExecutor(4) as pool,
        pytest.warns(UserWarning, match="holds categories not seen in training: 'Chur', 'Genf'") as caught,
    ):
        found = list(pool.map(lambda _: model.predict(new), range(8)))
    assert len(caught) == 1
    assert all((one == found[0]).all() for one in found)
    model.predict(new)
    with pytest.warns(UserWarning, match="'town' holds"):
        pickle.loads(pickle.dumps(model)).predict(new)


@pytest.mark.parametrize("library", [pd, pl])
def test_the_columns_of_several_targets_are_found_by_name(library: Any) -> None:
    X = np.random.default_rng(0).normal(size=(60, 2))
    y = {"u": 1000 * X[:, 0], "v": X[:, 1]}
    model = mn.train(X, library.DataFrame(y), mn.MLP(hidden=()), mn.Recipe(epochs=2), progress=False)
    assert model.target_names == ("u", "v")
    other = library.DataFrame({"v": y["v"], "u": y["u"]})
    same = model.evaluate(X, np.column_stack([y["u"], y["v"]]))
    assert_close(model.evaluate(X, other)["r2"], same["r2"], "float64")
    with pytest.raises(DataError, match="columns u, w, but the model predicts u, v"):
        model.evaluate(X, library.DataFrame({"u": y["u"], "w": y["v"]}))
    limits = [model.calibrated(X, rows).predict_interval(X, 0.8) for rows in (library.DataFrame(y), other)]
    assert_close(limits[1], limits[0], "bits")
    worst = [mn.explain.worst_rows(model, X, rows, most=1)[0] for rows in (library.DataFrame(y), other)]
    assert worst[0].truth.tolist() == worst[1].truth.tolist()


@pytest.mark.parametrize("library", [pd, pl])
def test_training_takes_the_targets_to_validate_on_and_to_go_on_with_by_name(library: Any) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    cells = {"a": x[:, 0], "b": x[:, 1], "u": x[:, 0] + x[:, 1] ** 2, "v": 1000 * np.sin(x[:, 0])}

    def of(names: str, rows: slice) -> Any:
        return library.DataFrame({name: cells[name][rows] for name in names})

    old, new = slice(40), slice(40, None)
    X, X_new, y = x[old], x[new], of("uv", old)
    how: Any = {"spec": mn.MLP(hidden=()), "recipe": mn.Recipe(epochs=2), "progress": False}
    first, *others = (mn.train(X, y, validation=(X_new, of(names, new)), **how) for names in ("uv", "vu"))
    others += [mn.train(of("abuv", old), target=["u", "v"], validation=(of("ab", new), of("vu", new)), **how)]
    candidates = [(how["spec"], how["recipe"])]
    (result,) = mn.train_many(X, y, candidates, validation=(X_new, of("vu", new)), scaling="standard", progress=False)
    assert result.model is not None
    for model in (*others, result.model):
        assert_close(model.history["val_loss"], first.history["val_loss"], "float32")
    further = [mn.train(X, of(names, old), first, progress=False) for names in ("uv", "vu")]
    further += [mn.train(of("abuv", old), target=["v", "u"], spec=others[1], progress=False)]
    for model in further:
        assert model.target_names == ("u", "v")
        assert_close(model.history["loss"], further[0].history["loss"], "float32")
    with pytest.raises(DataError, match="y of the validation set has the columns a, u, but the model predicts u, v"):
        mn.train(X, y, validation=(X_new, of("au", new)), **how)


@pytest.mark.parametrize("words", [("FALSE", "TRUE"), ("false", "true")])
def test_a_target_of_true_and_false_is_known_as_the_table_has_it(words: tuple[str, str]) -> None:
    frame = pl.DataFrame({"a": [i % 7 for i in range(60)], "y": [words[i % 7 > 3] for i in range(60)]})
    model = mn.train(frame, target="y", spec=mn.MLP(hidden=(4,)), recipe=mn.Recipe(epochs=1), progress=False)
    assert model.task.classes == ("False", "True")  # type: ignore[attr-defined]
    X = frame.drop("y")
    assert model.evaluate(X, frame["y"]) == model.evaluate(X, [str(i % 7 > 3) for i in range(60)])
    with pytest.raises(mn.DataError, match="the model does not know: 'maybe'; its classes are 'False', 'True'"):
        model.evaluate(X, ["maybe", *frame["y"][1:]])
