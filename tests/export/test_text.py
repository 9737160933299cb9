"""Text of many words in exports: a Python module hashes it as scikit-learn does, ONNX refuses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars
import pytest
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.utils import murmurhash3_32

import manynets as mn
from manynets.errors import OptionError
from manynets.export import standalone_text, to_python
from tests.export.tables import fitted
from tests.export.test_python import module_in
from tests.tolerances import assert_close

WORDS = ["nice", "big", "old", "house", "garden", "view", "Straße", "sea"]
TEXTS = [
    "Nice, nice HOUSE!",
    "",
    " ",
    None,
    "straße STRASSE Straße",
    "a  b",
    "日本語 テスト",
    "🏠 it's under_score 3.14",
    "#N/A",
    "\n\tview\u00a0sea",
    "x" * 300,
]


def reviews(*, gaps: bool) -> polars.DataFrame:
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(WORDS, 1 + k % 6)) for k in range(240)]
    notes = [None if gaps and k % 9 == 0 else text for k, text in enumerate(texts)]
    return polars.DataFrame({"no'''te": notes, "size": random.normal(size=240), "more": texts[::-1]})


def test_the_hash_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    for length in range(40):
        data = random.bytes(length)
        assert standalone_text.murmur(data) == murmurhash3_32(data, 0)


@pytest.mark.parametrize("width", [3, 32, 2048])
@pytest.mark.parametrize("gaps", [False, True])
def test_the_columns_are_those_of_scikit_learn(width: int, gaps: bool) -> None:
    found = standalone_text.words({"width": width, "gaps": gaps}, TEXTS)
    hashing = HashingVectorizer(n_features=width, token_pattern=r"(?u)\b\w+\b")
    texts = ["" if text in (None, "#N/A") else text.strip() for text in TEXTS]
    assert_close(found[:, :width], hashing.transform(texts).toarray(), "float64")
    assert found[:, width:].ravel().tolist() == ([not text for text in texts] if gaps else [])


@pytest.mark.parametrize("gaps", [False, True])
def test_a_module_reads_text_as_the_model_does(gaps: bool, tmp_path: Path) -> None:
    frame = reviews(gaps=gaps)
    model = fitted(frame, frame["size"].to_numpy() + frame["more"].str.count_matches("nice").to_numpy())
    assert [column.kind for column in model.encoder.columns] == ["text", "numeric", "text"]  # type: ignore[union-attr]
    check = to_python(model, tmp_path / "m.py", X=frame)
    assert (check.rows, check.largest < 1e-5) == (1240, True)
    module = module_in(tmp_path / "m.py")
    rows: Any = {"no'''te": TEXTS, "size": [0.5] * len(TEXTS), "more": TEXTS[::-1]}
    wanted = model.predict(polars.DataFrame(rows))
    assert len(set(wanted.round(5))) > 6
    for given in (rows, polars.DataFrame(rows), pandas.DataFrame(rows), polars.DataFrame(rows).to_dicts()):
        assert_close(module.predict(given), wanted, "float32")
    assert_close(module.predict([{"no'''te": cell, "size": 0, "more": "x"} for cell in (1, 2.5, True)]),
                 model.predict(polars.DataFrame({"no'''te": ["1", "2.5", "True"], "size": 0, "more": "x"})), "float32")  # fmt: skip


def test_only_a_module_with_text_has_the_code_for_it(tmp_path: Path) -> None:
    frame = reviews(gaps=False)
    to_python(fitted(frame, frame["size"] ** 2), tmp_path / "text.py")
    to_python(fitted(frame.select("size"), frame["size"] ** 2), tmp_path / "plain.py")
    assert "def murmur" in (tmp_path / "text.py").read_text(encoding="utf-8")
    assert "manynets.export" not in (tmp_path / "text.py").read_text(encoding="utf-8")
    assert "murmur" not in (tmp_path / "plain.py").read_text(encoding="utf-8")


def test_onnx_refuses_text_and_says_what_does_not(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    frame = reviews(gaps=False)
    with pytest.raises(OptionError, match=r"column 'more' is text of many words, .* ONNX cannot express; export a Python module"):
        mn.export.to_onnx(fitted(frame.drop("no'''te"), frame["size"] ** 2), tmp_path / "m.onnx")
