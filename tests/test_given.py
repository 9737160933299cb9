"""`train`: what it is given as X and y, and the options of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import manynets as mn

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
    how: dict[str, Any] = {"spec": SPEC, "recipe": RECIPE} if plain else {"preset": "fast", "n_networks": 2, "time_limit": 2}
    options: dict[str, Any] = {"drop": ["copy"], "drop_missing_target": True, "categorical": ["code"]}
    model = mn.train(str(tmp_path / "t.csv"), target="price", **options, **how, progress=False)
    assert model.encoder is not None
    assert {column.name: column.kind for column in model.encoder.columns} == {"size": "numeric", "code": "categorical"}
    model.predict(polars.DataFrame(table()).drop("copy", "price"))


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


def test_a_loader_is_told_what_to_give_instead() -> None:
    rows: TensorDataset = TensorDataset(torch.zeros(8, 2), torch.zeros(8))
    with pytest.raises(mn.DataError, match=r"X is a DataLoader; mn.train takes arrays or tensors .*=mn.Recipe\(batch_size=4\)"):
        mn.train(DataLoader(rows, batch_size=4), progress=False)
    with pytest.raises(mn.DataError, match=r"X is a TensorDataset; .*=mn.Recipe\(batch_size=32\)"):
        mn.train(rows, progress=False)
