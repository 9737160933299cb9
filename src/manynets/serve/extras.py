"""What a query can add to an answer: `?interval=0.9` the limits of numbers, `?contributions=true` what each column adds to each
prediction."""

from __future__ import annotations

import dataclasses
import math
import urllib.parse
from typing import Any

import numpy as np

from manynets.errors import ManynetsError, one_of
from manynets.explain.contributions import contributions
from manynets.serve.rows import BadRequest
from manynets.serve.served import Answer, Loaded, Question, rows_as_frame

MOST_ROWS = 100
MOST_MULTIPLICATIONS = 1e11
"""The most for the contributions of one request: some seconds."""
N_ORDERS = 32
TRUE, FALSE = ("true", "1", "yes"), ("false", "0", "no", "")


@dataclasses.dataclass(frozen=True)
class Extras:
    """What the query of a request asks for. interval: the coverage of the limits; None for no limits."""

    interval: float | None = None
    contributions: bool = False


def extras_of(query: bytes) -> Extras:
    """Return the options of a query string. Errors: BadRequest for unknown names and values.

    >>> extras_of(b"interval=0.9&contributions=true")
    Extras(interval=0.9, contributions=True)
    """
    if not query:
        return Extras()
    try:
        pairs = urllib.parse.parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=10)
        for name, _ in pairs:
            one_of(name, ["interval", "contributions"], what="the query parameter")
    except (ValueError, ManynetsError) as error:
        raise BadRequest(422, f"the query cannot be read: {str(error)[:300]}") from None
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadRequest(422, "the query names a parameter twice")
    interval = None
    if "interval" in found:
        try:
            interval = float(found["interval"])
        except ValueError:
            interval = math.nan
        if not 0 < interval < 1:
            raise BadRequest(422, f"interval is {found['interval'][:40]!r}, but must be a number above 0 and below 1, such as 0.9")
    wanted = found.get("contributions", "false").lower()
    if wanted not in TRUE + FALSE:
        raise BadRequest(422, f"contributions is {wanted[:40]!r}, but must be true or false")
    return Extras(interval, wanted in TRUE)


def limits_of(question: Question, answer: Answer, coverage: float) -> dict[str, Any]:
    """Return coverage, and the lower and upper limits of each row. Errors: BadRequest for a model that has none."""
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            limits = question.loaded.model.interval(answer.logits, coverage)
    except ManynetsError as error:
        raise BadRequest(422, f"interval: {error}") from None
    _refuse_infinite(limits, what="interval: a limit")
    return {"coverage": coverage, "lower": limits[..., 0].tolist(), "upper": limits[..., 1].tolist()}


def _refuse_infinite(values: Any, *, what: str) -> None:
    """Raise BadRequest for numbers that JSON does not have."""
    if not np.isfinite(values).all():
        raise BadRequest(422, f"{what} is not finite, because the cells are too far from the values seen in training")


def rows_to_explain(loaded: Loaded) -> int:
    """Return how many rows a request for contributions may have."""
    encoder = loaded.model.encoder
    columns = loaded.model.in_features if encoder is None else len(encoder.columns)
    cost = 2 * N_ORDERS * (columns + 1) * loaded.multiplications
    return max(1, min(MOST_ROWS, int(MOST_MULTIPLICATIONS / cost)))


def contributions_of(question: Question) -> dict[str, Any]:
    """Return columns, outputs, the base, and for each row the values by column (of classes by column and class)."""
    model = question.loaded.model
    with np.errstate(over="ignore", invalid="ignore"):
        result = contributions(model, rows_as_frame(model, [question.rows]), n_orders=N_ORDERS)
    _refuse_infinite(result.values, what="contributions: a value")
    found = result.to_json()
    return {name: found[name] for name in ("columns", "outputs", "base", "values")}
