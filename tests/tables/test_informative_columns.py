"""No column that says something about the target is left out quietly, and one that gives it away is reported."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pandas
import polars
import pytest
import torch

from manynets.errors import DataError, LeakWarning
from manynets.tables import TableEncoder, fit_encoder, understand
from manynets.tables.association import association, binned, target_scores
from manynets.tables.frames import open_table
from manynets.tables.hashed import TextColumn, fit_text
from manynets.tables.parts import PARTS_OF_CODES, cut, digits_of
from manynets.tables.written import PLAIN

ROWS = 60
NOISE = np.random.default_rng(0)
HEX = [f"{int(number):08x}" for number in NOISE.integers(2**28, 2**32, ROWS)]
SHUFFLED = NOISE.permutation(ROWS)
CLASS = np.arange(ROWS) % 2

# values that differ in each row, the target, the kind, the part, what the note says
USED: dict[str, tuple[list[Any], Any, str, str, str]] = {
    "first characters": (
        [f"{'AB'[i % 2]}{HEX[i]}" for i in range(ROWS)],
        CLASS,
        "categorical",
        "first 1",
        "follows from the first character",
    ),
    "first word": (
        [f"{['berlin', 'bern'][i % 2]}-{HEX[i]}" for i in range(ROWS)],
        CLASS,
        "categorical",
        "first word",
        "follows from its first word",
    ),
    "last characters": (
        [f"{HEX[i]}{'xy'[i % 2]}" for i in range(ROWS)],
        CLASS,
        "categorical",
        "last 1",
        "follows from the last character",
    ),
    "last word": (
        [f"{HEX[i]} {['ab', 'cab'][i % 2]}" for i in range(ROWS)],
        CLASS,
        "categorical",
        "last word",
        "follows from its last word",
    ),
    "length": (
        [HEX[i] + "qq" * (i % 2) + "xyz"[i % 3] for i in range(ROWS)],
        CLASS,
        "categorical",
        "length",
        "follows from its length",
    ),
    "number in a code": (
        [f"user-{n}" for n in SHUFFLED],
        SHUFFLED + NOISE.normal(size=ROWS),
        "numeric",
        "",
        "follows from the number in it",
    ),
    "value of a number": (
        [int(n) for n in SHUFFLED],
        np.sqrt(SHUFFLED) + NOISE.normal(size=ROWS) / 5,
        "numeric",
        "",
        "follows from its value",
    ),
    "last digit of a number": ([int(n) * 1000 + int(n) % 2 for n in SHUFFLED], SHUFFLED % 2, "categorical", "last 1", "the last"),
    "several classes": (
        [f"{'ABC'[i % 3]}{HEX[i]}" for i in range(ROWS)],
        [f"c{i % 3}" for i in range(ROWS)],
        "categorical",
        "first 1",
        "",
    ),
}


def frame_of(values: Any, name: str = "key") -> polars.DataFrame:
    """A frame with such a column and one of noise, so that another column is left."""
    return polars.DataFrame({name: values, "noise": np.random.default_rng(1).normal(size=len(values))})


@pytest.mark.parametrize("name", USED)
def test_an_id_that_tells_about_the_target_is_used(name: str) -> None:
    values, y, kind, part, note = USED[name]
    y = np.array(y)
    y[0] = y[y != y[0]][0]  # else it would give the target away
    frame = frame_of(values)
    assert understand(frame)[0].kind == "dropped"
    column = understand(frame, y=y)[0]
    assert (column.kind, column.part) == (kind, part), column.note
    assert column.note.startswith("used, though it looks like")
    assert note in column.note
    with pytest.warns(UserWarning, match="column 'key' is used, though it looks like"):
        encoder = fit_encoder(frame, y=y)
    matrix = encoder.transform(frame)
    assert encoder.transform(frame.cast({"key": polars.String})).tolist() == matrix.tolist()
    assert TableEncoder.from_json(json.loads(json.dumps(encoder.to_json()))) == encoder
    assert np.unique(matrix[:, encoder.blocks[0].slice], axis=0).shape[0] > 1
    assert (encoder.forms.get("key", PLAIN) != PLAIN) == (kind == "categorical" or isinstance(values[0], str))


@pytest.mark.parametrize("seed", range(20))
def test_an_id_that_says_nothing_is_left_out(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = int(random.choice([25, 40, 100, 500]))
    frame = polars.DataFrame(
        {
            "code": [f"{a:x}-{b}" for a, b in zip(random.integers(0, 2**40, rows), random.permutation(rows), strict=True)],
            "customer_id": random.permutation(10**6)[:rows],
            "row": range(rows),
            "noise": random.normal(size=rows),
        }
    )
    for y in (random.normal(size=rows), random.random(rows) < 0.2, random.choice(["a", "b", "c"], rows)):
        assert [column.kind for column in understand(frame, y=y)] == ["dropped", "dropped", "dropped", "numeric"]


def test_numbers_of_sorted_rows_are_left_out_but_not_quietly() -> None:
    y = np.repeat(["setosa", "versicolor", "virginica"], 20)
    for name, kind in (("Id", "dropped"), ("row", "dropped"), ("obs", "dropped"), ("seqno", "dropped"), ("temperature", "numeric")):
        column = understand(frame_of(range(60), name), y=y)[0]
        assert column.kind == kind
        assert ("the target changes with the order of the rows" in column.note) == (kind == "dropped")
    with pytest.warns(UserWarning, match=r"left out: Id .* declare it numeric if the numbers of new rows mean something"):
        fit_encoder(frame_of(range(60), "Id"), y=y)


def test_only_the_training_rows_are_looked_at() -> None:
    values = [f"{'AB'[i % 2]}{HEX[i]}" for i in range(ROWS)]
    y = np.where(np.arange(ROWS) < 30, CLASS, NOISE.integers(0, 2, ROWS))
    assert understand(frame_of(values), y=y, rows=np.arange(30))[0].part == "first 1"
    assert understand(frame_of(values), y=y, rows=np.arange(30, 60))[0].kind == "dropped"
    with pytest.raises(DataError, match="the table has 60 rows and y has 30"):
        understand(frame_of(values), y=y[:30])


SHOPS = NOISE.integers(0, 40, 800)
OF_SHOP = NOISE.normal(size=40)[SHOPS] + NOISE.normal(size=800)


@pytest.mark.parametrize(
    ("values", "y", "kind"),
    [
        (SHOPS, OF_SHOP, "categorical"),
        (SHOPS * 7 + 100, OF_SHOP > 0, "categorical"),
        (np.where(SHOPS == 0, np.nan, SHOPS), OF_SHOP, "categorical"),
        (SHOPS, SHOPS + 5 * OF_SHOP, "numeric"),  # neighbours are alike
        (SHOPS % 16, OF_SHOP[np.argsort(SHOPS % 16)], "numeric"),
        (SHOPS % 16, NOISE.normal(size=16)[SHOPS % 16], "numeric"),  # so few have a range each
        (SHOPS + 0.5, OF_SHOP, "numeric"),
        (SHOPS, NOISE.normal(size=800), "numeric"),
    ],
)
def test_whole_numbers_are_codes_where_neighbours_are_not_alike(values: Any, y: Any, kind: str) -> None:
    frame = frame_of(values)
    column = understand(frame, y=y)[0]
    assert column.kind == kind
    assert column.note.startswith("taken as codes: ") == (kind == "categorical")
    assert understand(frame)[0].kind == "numeric"
    assert understand(frame, numeric=["key"], y=y)[0].kind == "numeric"


def test_codes_of_a_few_rows_each_stay_numbers() -> None:
    some = np.argsort(NOISE.random(800))[:390]
    assert understand(frame_of(SHOPS[some]), y=OF_SHOP[some])[0].kind == "numeric"


def test_text_of_many_words_is_counted() -> None:
    good, bad = ["great", "lovely", "fine"], ["poor", "broken", "awful"]
    texts = [f"the {(good if i % 2 else bad)[i % 3]} thing number {HEX[i]} was sold" for i in range(ROWS)]
    texts[7] = ""
    frame = frame_of(texts)
    column = understand(frame)[0]
    assert (column.kind, column.missing) == ("text", 1)
    encoder = fit_encoder(frame)
    assert encoder.blocks[0].kind == "text"
    assert encoder.feature_names[:2] == ("key#0", "key#1")
    assert encoder.feature_names[64] == "key=missing"
    words = encoder.transform(frame)[:, :65]
    assert words[7].tolist() == [0.0] * 64 + [1.0]
    lengths = np.linalg.norm(words, axis=1)
    np.testing.assert_allclose(lengths, 1.0, rtol=0, atol=1e-6)
    again = TableEncoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert again.transform(frame).tobytes() == encoder.transform(frame).tobytes()
    assert encoder.transform(polars.DataFrame({"key": ["THE great", None], "noise": [0.0, 0.0]}))[0, :64].any()
    solution = np.linalg.lstsq(words, 2.0 * CLASS - 1.0, rcond=None)[0]
    assert np.mean((words @ solution > 0) == CLASS) > 0.9
    assert understand(frame, categorical=["key"])[0].kind == "categorical"
    assert fit_encoder(polars.DataFrame({"c": ["x y", "x z"]}), text=["c"]).blocks[0].kind == "text"


@pytest.mark.parametrize(
    ("shared", "rows", "columns"), [(20, 180, 32), (20, 200, 128), (128, 1280, 512), (900, 9000, 2048), (901, 200_000, 256)]
)
def test_the_columns_of_a_text_grow_with_its_frequent_words(shared: int, rows: int, columns: int) -> None:
    texts = [f"w{i % shared} only{i}" for i in range(rows)]
    assert fit_text(open_table(frame_of(texts)), "key").width == columns


def test_a_text_of_more_rows_than_cells_that_it_may_have_gets_256_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manynets.tables.hashed.MOST_CELLS", 1279)
    assert fit_text(open_table(frame_of([f"w{i % 128} only{i}" for i in range(1280)])), "key").width == 256


def test_a_text_without_a_value_has_the_fewest_columns() -> None:
    assert fit_text(open_table(polars.DataFrame({"key": [None, None]})), "key") == TextColumn(name="key", width=32, gaps=True)


NORMAL = NOISE.normal(size=120)
MANY = NOISE.permutation(1000)[:120] / 7

# a column, the target, what is said of it
GIVEN_AWAY: dict[str, tuple[Any, Any, str]] = {
    "a copy": (np.arange(ROWS) / 7, np.arange(ROWS) / 7, "copy of the target"),
    "a recode": (np.where(CLASS, "x", "z"), np.where(CLASS, "yes", "no"), "under other names"),
    "another unit": (1.19 * MANY, MANY, "perfectly alone"),
    "a finer code": ([f"{i % 6}" for i in range(120)], np.arange(120) % 2, "perfectly alone"),
    "a code of numbers": ([f"k{i % 12}" for i in range(120)], [i % 12 * 3.5 + 200 for i in range(120)], "other names"),
    "a threshold": (NORMAL, NORMAL > 0.1, "perfectly alone"),
}


@pytest.mark.parametrize("name", GIVEN_AWAY)
def test_a_leak_is_reported_and_used(name: str) -> None:
    values, y, said = GIVEN_AWAY[name]
    frame = frame_of(values, "copy")
    assert said in understand(frame, y=y)[0].leak
    with pytest.warns(
        LeakWarning, match=r"column 'copy' gives the target away: .* take it out of X; mn\.train and fit_encoder .*drop=\['copy'\]$"
    ):
        encoder = fit_encoder(frame, y=y)
    assert "copy" in encoder.column_names


def test_a_leak_names_the_one_of_several_targets() -> None:
    y = np.stack([MANY[::-1], NORMAL], axis=1)
    frame = polars.DataFrame({"a": NORMAL, "b": 1.19 * MANY[::-1], "c": NORMAL[::-1]})
    named = [column.leak for column in understand(frame, y=y, target_names=["rent", "price"])]
    assert named == ["it is a copy of the target 'price'", "it predicts the target 'rent' perfectly alone", ""]
    assert understand(frame, y=y)[0].leak == "it is a copy of target 1 (counted from 0)"
    recode = polars.DataFrame({"c": np.where(CLASS, "x", "z")})
    found = understand(recode, y=np.stack([np.roll(np.arange(ROWS) // 5 % 2, 3), CLASS], axis=1), target_names=["u", "v"])
    assert found[0].leak == "it is the target 'v' under other names"
    with pytest.warns(LeakWarning, match=r"it predicts the target 'rent' perfectly alone\."):
        fit_encoder(frame[["b", "c"]], y=y, target_names=["rent", "price"])


def test_few_rows_prove_no_leak() -> None:
    assert understand(frame_of(NORMAL[:90]), y=NORMAL[:90] > 0.1)[0].leak == ""
    assert understand(frame_of(CLASS[:20]), y=CLASS[:20])[0].leak == ""


SMOOTH = np.random.default_rng(5).normal(size=1000)
# a target that follows from the column SMOOTH: in all rows, but for noise in those of large or of small values, or but for little noise
FOLLOWS = {
    "all": 3 * SMOOTH - 1,
    "small ones": np.where(SMOOTH < 0, SMOOTH, SMOOTH[::-1]),
    "large ones": np.where(SMOOTH > 0, SMOOTH, SMOOTH[::-1]),
    "nearly": SMOOTH + 1e-5 * SMOOTH[::-1],
    "not quite": SMOOTH + 1e-2 * SMOOTH[::-1],
    "of huge size": 1e300 * SMOOTH,
}


@pytest.mark.parametrize("gaps", [0, 5, 50])
@pytest.mark.parametrize("name", FOLLOWS)
def test_the_least_values_say_what_all_say(name: str, gaps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.where(np.arange(len(SMOOTH)) < gaps, np.nan, SMOOTH)
    frame = polars.DataFrame({"x": values})
    found = understand(frame, y=FOLLOWS[name])[0].leak
    assert ("alone" in found) == (name in ("all", "nearly", "of huge size") and gaps < 10)
    monkeypatch.setattr("manynets.tables.informative.FEW_VALUES", len(SMOOTH))
    assert understand(frame, y=FOLLOWS[name])[0].leak == found


@pytest.mark.parametrize("seed", range(5))
def test_a_good_column_is_no_leak(seed: int) -> None:
    random = np.random.default_rng(seed)
    x = random.normal(size=200)
    frame = polars.DataFrame({"x": x, "c": np.where(x > 0, "a", "b")})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_encoder(frame, y=x + random.normal(size=200) * 0.1)
        fit_encoder(frame, y=(x > 0) ^ (random.random(200) < 0.05))


@pytest.mark.parametrize(
    "y",
    [
        torch.tensor(1.5 * CLASS, requires_grad=True),
        pandas.Series(CLASS, dtype="Int64"),
        polars.Series(np.where(CLASS, "b", "a")),
        pandas.Series(np.where(CLASS, "b", "a"), dtype="category"),
        np.array([[bool(code), False] for code in CLASS]),
        [int(code) for code in CLASS],
        np.array(CLASS, dtype="M8[D]"),
    ],
)
def test_targets_of_all_types(y: Any) -> None:
    values = [f"{'AB'[i % 2]}{HEX[i]}" for i in range(ROWS)]
    assert understand(frame_of(values), y=y)[0].part == "first 1"


def test_association_by_hand() -> None:
    scores = target_scores([0, 1] * 50)
    assert association(np.arange(100) % 2, scores).share > 0.99
    assert association(np.zeros(100, dtype=np.int64), scores) == (0.0, 0.0)
    random = np.random.default_rng(0)
    assert not association(random.integers(0, 5, 100), scores).informative
    assert not association(np.arange(100), scores).informative
    ranks = target_scores([10.5, 30.5, 20.5] + [float(v) + 0.5 for v in range(100, 140)])[:, 0]
    assert ranks[:3].tolist() == [0.0, 2 / 42, 1 / 42]
    assert binned(np.array([1.0, 2.0, np.nan])).tolist() == [0, 1, -1]


def test_parts_of_codes() -> None:
    assert [cut(["ab-1.x"], part)[0] for part in PARTS_OF_CODES] == ["ab-1.x", "a", "ab", "ab-", "x", ".x", "ab", "x", "6"]
    assert cut(["", "-"], "first word") == ["", ""]
    assert digits_of("a1b22") == 22.0
    assert digits_of("9" * 40) == float("9" * 15)


def test_numbers_with_some_words_are_no_codes() -> None:
    values = [*range(1000, 1100)]
    frame = frame_of(["oops" if i % 20 == 0 else f"{value * 7919 % 9000 + 1000}.5" for i, value in enumerate(values)])
    y = np.array([float(value * 7919 % 9000) for value in values])
    column = understand(frame, y=y)[0]
    assert (column.kind, column.form) == ("categorical", None)
    words = "95.0% of it are numbers; the others are 'oops' (5), the first in row 0 (counted from 0)"
    assert f"{words}: declare it numeric to have it read as numbers; drop it" in column.note
    with pytest.warns(UserWarning, match="column .key. is used, though"):
        fit_encoder(frame, y=y)


def test_a_code_without_a_number_is_missing() -> None:
    values = [value * 7919 % 9000 for value in range(1000, 1100)]
    codes = [f"{'XYZUVW'[i * i % 6]}B-{value}" for i, value in enumerate(values)]
    y = np.array([value + 0.5 for value in values]) + 500 * np.random.default_rng(2).normal(size=100)
    with pytest.warns(UserWarning, match="column .key. is used, though"):
        encoder = fit_encoder(frame_of(codes), y=y)
    new = frame_of(["XB-", *codes[1:]])
    assert np.isfinite(encoder.transform(new)).all()
    assert any("'key': 1 of 100 rows have no value" in text for text in encoder.check(new))
    column = understand(new, y=y)[0]
    assert column.kind == "numeric"
    assert "values without a number, such as 'XB-', count as missing" in column.note
