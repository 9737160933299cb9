"""The state of an encoder as JSON: nothing is lost, and nothing wrong comes back."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import polars
import pytest

from manynets.errors import DataError
from manynets.spec import PiecewiseLinear
from manynets.tables import TableEncoder, fit_encoder
from manynets.tables.scaling import SCALINGS

MIXED = {
    "size": ["$1", None, "$3", "$8"],
    "rooms": [1, 2, 2, 3],
    "color": ["red", None, " blue", "red"],
    "new": [True, False, True, True],
    "sold": ["2024-01-31", "2024-02-29", None, "2024-01-31"],
}


def state() -> dict[str, Any]:
    """A state with a column of each kind."""
    encoder = fit_encoder(polars.DataFrame(MIXED), drop=["rooms"], scaling="quantile")
    return copy.deepcopy(encoder.to_json())


def test_the_state_survives_json_bit_by_bit() -> None:
    rng = np.random.default_rng(1)
    for scaling in SCALINGS:
        frame = polars.DataFrame({"a": rng.normal(size=300), "b": rng.exponential(size=300), "c": rng.choice(["u", "v"], size=300)})
        encoder = fit_encoder(frame, scaling=scaling, embedding=PiecewiseLinear(bins=5) if scaling == "smooth" else None)
        again = TableEncoder.from_json(json.loads(json.dumps(encoder.to_json(), allow_nan=False)))
        assert again == encoder
        assert again.transform(frame).tobytes() == encoder.transform(frame).tobytes()
    assert TableEncoder.from_json(state()).to_json() == state()


def test_a_state_of_version_3_has_no_parts_and_no_digits() -> None:
    old = state()
    for column in old["columns"]:
        column.pop("part", None)
        column.pop("means", None)
        column.pop("pieces", None)
        for spread in [column["spread"]] if "spread" in column else [part["spread"] for part in column.get("parts", ())]:
            assert spread.pop("robust") is spread.pop("smooth") is False
        if column.get("reading"):
            assert column["reading"].pop("digits") is False
    assert TableEncoder.from_json({**old, "version": 3}).to_json() == state()
    old["columns"].append({"kind": "text", "name": "t", "gaps": False, "width": 32})
    assert (
        TableEncoder.from_json({**state(), "columns": [*state()["columns"], old["columns"][-1]]}).width
        == 32 + TableEncoder.from_json(state()).width
    )
    with pytest.raises(DataError, match="kind is 'text'"):
        TableEncoder.from_json({**old, "version": 3})


def test_states_of_earlier_versions_lack_limits_a_reading_and_pieces() -> None:
    frame = polars.DataFrame({"a": [0.0, 1.0, 2.0]})
    state = fit_encoder(frame).to_json()
    far = polars.DataFrame({"a": [1001.0]})
    assert state["columns"][0].pop("pieces") is None
    assert state["columns"][0]["spread"].pop("robust") is state["columns"][0]["spread"].pop("smooth") is False
    assert TableEncoder.from_json({**state, "version": 3}).transform(far).tolist() == fit_encoder(frame).transform(far).tolist()
    assert state["columns"][0].pop("reading") is None
    assert TableEncoder.from_json({**state, "version": 2}).transform(far).tolist() == fit_encoder(frame).transform(far).tolist()
    assert state["columns"][0].pop("limits") == [-0.2, 2.2]
    assert TableEncoder.from_json({**state, "version": 1}).transform(far)[0, 0] == pytest.approx(1000 / math.sqrt(2 / 3))


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(target: Any) -> None:
        *outer, last = [int(key) if key.isdigit() else key for key in path.split(".")]
        for key in outer:
            target = target[key]
        target[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("version", 8), "has the version 8, but this manynets reads the versions 1 to 7"),
        (_set("version", 0), "has the version 0"),
        (_set("version", 1), "missing or unknown: limits, pieces, reading"),
        (_set("version", True), "has the version True"),
        (_set("more", 1), "missing or unknown: more"),
        (_set("columns", {}), "columns must be a list"),
        (_set("columns", []), "at least one column"),
        (_set("columns.0.kind", "pickle"), r"columns\[0\].kind is 'pickle'"),
        (_set("columns.0", "x"), r"columns\[0\].kind is None"),
        (_set("columns.0.name", 3), r"columns\[0\].name must be text"),
        (_set("columns.0.name", "color"), "column names must be unique"),
        (_set("columns.0.gaps", 1), "gaps must be true or false"),
        (_set("columns.0.fill", None), "has gaps but no fill"),
        (_set("columns.0.fill", math.nan), "fill must be a finite number"),
        (_set("columns.0.fill", 10**400), "fill must be a finite number"),
        (_set("columns.0.fill", "1"), "fill must be a number"),
        (_set("columns.0.fill", True), "fill must be a number"),
        (_set("columns.0.spread.scale", 0), "scale is 0.0, but must be above 0"),
        (_set("columns.0.spread.scale", -1.0), "must be above 0"),
        (_set("columns.0.spread.center", math.inf), "center must be a finite number"),
        (_set("columns.0.spread.knots", [1.0]), "has 1 knots and 3 normal quantiles"),
        (_set("columns.0.spread.knots", [1.0, 1.0, 2.0]), "must increase"),
        (_set("columns.0.spread.extra", 1), "unknown: extra"),
        (_set("columns.0.spread", []), "must be an object"),
        (_set("columns.0.limits", [1.0]), r"columns\[0\].limits must have 2 entries, but has 1"),
        (_set("columns.0.limits", [2.0, 1.0]), "limits must be the least and the largest value"),
        (_set("columns.0.limits", [0.0, math.inf]), "limits must be a finite number"),
        (_set("columns.0.limits", 3), "limits must be a list"),
        (_set("columns.0.reading", []), r"columns\[0\].reading must be an object"),
        (_set("columns.0.reading.decimal", "x"), "decimal is 'x', but must be one of ., ,"),
        (_set("columns.0.reading.thousands", "."), "before decimals and between thousands, but they must differ"),
        (_set("columns.0.reading.unit", 3), "unit must be text"),
        (_set("columns.0.reading.unit", "(a+)+"), "must be a unit such as kg"),
        (_set("columns.0.reading.unit", "k" * 10**6), "must be a unit such as kg"),
        (_set("columns.0.reading.duration", 1), "duration must be true or false"),
        (_set("columns.0.reading.code", 1), "unknown: code"),
        (_set("columns.0.pieces", {"edges": [0.0, 1.0], "centers": [0.5]}), "must be 3 to 256 increasing edges"),
        (_set("columns.0.pieces", {"edges": [0.0, 1.0, 1.0], "centers": [0.5, 0.5]}), "must be 3 to 256 increasing edges"),
        (_set("columns.0.pieces", {"edges": [0.0, 1.0, 2.0], "centers": [0.5]}), "must be 3 to 256 increasing edges"),
        (_set("columns.0.pieces", {"edges": [0.0, 1.0, math.inf], "centers": [0.5, 0.5]}), "pieces.edges must be a finite number"),
        (_set("columns.0.pieces", [1.0]), r"columns\[0\].pieces must be an object"),
        (_set("columns.0.spread.smooth", 1), "must be true or false"),
        (_set("columns.3.zone", "../etc/passwd"), r"zone is '\.\./etc/passwd', but must be UTC"),
        (_set("columns.3.zone", None), "zone must be text"),
        (_set("columns.1.levels", "ab"), "levels must be a list"),
        (_set("columns.1.levels", ["red", "red"]), "levels must be unique"),
        (_set("columns.1.rare", ["red"]), "levels must be unique"),
        (_set("columns.1.rare", [1]), "rare must be text"),
        (_set("columns.1.part", "first 9"), r"part is 'first 9', but must be one of , first 1"),
        (_set("columns.0.reading.digits", 1), "digits must be true or false"),
        (
            _set("columns.1", {"kind": "text", "name": "t", "gaps": False, "width": 10**9}),
            "width is 1000000000, but must be a whole",
        ),
        (
            _set("columns.1", {"kind": "text", "name": "t", "gaps": False, "width": True}),
            "width must be a whole number, but is bool",
        ),
        (_set("columns.3.order", "dym"), "order is 'dym', but must be one of ymd, dmy, mdy"),
        (_set("columns.3.order", []), "order is"),
        (_set("columns.3.parts.0.part", "century"), "part is 'century'"),
        (_set("columns.3.parts.1.part", "month"), "parts must be unique"),
        (_set("dropped", [["a"]]), "dropped must have 2 entries, but has 1"),
        (_set("positional", True), "must have the columns x0, x1"),
    ],
)
def test_a_hostile_state_is_refused(change: Callable[[dict[str, Any]], None], message: str) -> None:
    hostile = state()
    change(hostile)
    with pytest.raises(DataError, match=message):
        TableEncoder.from_json(hostile)


@pytest.mark.parametrize("nothing", [None, [], "x", 1, {}])
def test_what_is_no_state_is_refused(nothing: Any) -> None:
    with pytest.raises(DataError, match="has the version None"):
        TableEncoder.from_json(nothing)
