"""The description of a model for OpenAPI and the form: its columns, what they may hold, and its answers."""

from __future__ import annotations

import math
from typing import Any

from manynets.model import Model
from manynets.serve.served import Loaded, array_columns, date_example
from manynets.tables.columns import MARGIN, DateColumn, NumericColumn

MOST_LEVELS = 200
RANGE_DIGITS = 12
"""Of the range of a column of numbers, which is computed from wider limits and is exact but for rounding."""
FEWEST_HELD_OUT = 19
"""Rows that an interval of 0.9, which the form asks for, needs."""
PROBLEMS = {
    400: "not JSON or CSV",
    408: "sent too slowly",
    413: "too large",
    415: "compressed",
    422: "a column or a cell is wrong",
    503: "too many requests are waiting",
}


def columns_of(model: Model) -> list[dict[str, Any]]:
    """Return the columns of a model: name, kind and an example, for categories their levels, for numbers their range."""
    encoder = model.encoder
    if encoder is None or encoder.positional:
        return [{"name": name, "kind": "numeric", "example": 0.0} for name in array_columns(model)]
    return [_column(column) for column in encoder.columns]


def _column(column: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"name": column.name, "kind": column.kind}
    if isinstance(column, NumericColumn):
        found |= {"example": column.fill, "unit": column.reading.unit or None}
        if column.limits is not None:
            low, high = column.limits
            margin = (high - low) * MARGIN / (1 + 2 * MARGIN)  # by which the limits are wider than the range in training
            ends = low + margin, high - margin
            if high > low:
                digits = RANGE_DIGITS - math.ceil(math.log10(high - low))
                ends = round(ends[0], digits) + 0.0, round(ends[1], digits) + 0.0  # 0, not -0
            found["from"], found["to"] = ends
    elif isinstance(column, DateColumn):
        found |= {"example": date_example(column)}
    elif column.kind == "categorical":
        levels = [*column.levels, *column.rare]
        found |= {"example": levels[0] if levels else None, "levels": levels[:MOST_LEVELS] if not column.part else []}
    else:
        found |= {"example": "some words"}
    return found


def description_of(loaded: Loaded, name: str) -> dict[str, Any]:
    """Return the answer to GET /v1/models/NAME."""
    model = loaded.model
    classes = getattr(model.task, "classes", None)
    return {
        "name": name,
        "version": loaded.version,
        "task": model.task.name,
        "classes": None if classes is None else list(classes),
        "targets": list(model.target_names) or None,
        "interval": model.residuals is not None and all(one.rows >= FEWEST_HELD_OUT for one in model.residuals),
        "columns": columns_of(model),
    }


def operation_of(model: Model, name: str) -> dict[str, Any]:
    """Return the operation of the OpenAPI document that predicts with a model: body and responses."""
    columns = columns_of(model)
    properties = {column["name"]: _cell_schema(column) for column in columns}
    rows = {"type": "array", "items": _object(properties, *properties), "minItems": 1}
    lists = {name: {"type": "array", "items": schema} for name, schema in properties.items()}
    schema = {"oneOf": [_object({"records": rows}, "records"), _object({"columns": _object(lists, *lists)}, "columns")]}
    example = {"records": [{column["name"]: column["example"] for column in columns}]}
    content = {"application/json": {"schema": schema, "example": example}, "text/csv": {"schema": {"type": "string"}}}
    several = {"type": "array", "items": {}}
    answer = {
        "model": {"type": "string"},
        "version": {"type": "string"},
        "predictions": several,
        "probabilities": several,
        "classes": several,
        "targets": {"type": "array", "items": {"type": "string"}},
        "quantiles": _object({"levels": several, "values": several}),
        "ignored_columns": {"type": "array", "items": {"type": "string"}},
        "interval": _object({"coverage": {"type": "number"}, "lower": several, "upper": several}),
        "contributions": _object({"columns": several, "outputs": several, "base": {}, "values": several}),
    }
    where = {"column": {"type": "string"}, "row": {"type": "integer"}}
    error = _object({"error": _object({"message": {"type": "string"}, **where}, "message")})
    share = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
    return {
        "summary": f"Predict with {name}",
        "operationId": f"predict_{name}",
        "parameters": [
            _parameter("interval", share, "for numbers: limits that hold this share of the targets"),
            _parameter("contributions", {"type": "boolean"}, "what each column adds to each prediction"),
        ],
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": _response("predictions, one for each row", _object(answer, "model", "version", "predictions")),
            **{str(code): _response(text, error) for code, text in PROBLEMS.items()},
        },
    }


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties} | ({"required": list(required)} if required else {})


def _parameter(name: str, schema: dict[str, Any], about: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": about}


def _response(about: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": about, "content": {"application/json": {"schema": schema}}}


def _cell_schema(column: dict[str, Any]) -> dict[str, Any]:
    first, second = ("number", "string") if column["kind"] == "numeric" else ("string", "number")
    schema: dict[str, Any] = {"type": [first, second, "boolean", "null"]}
    if column.get("levels"):
        schema["description"] = "one of " + ", ".join(map(str, column["levels"][:20])) + "; others count as not seen in training"
    elif "from" in column:
        schema["description"] = f"in training from {column['from']:g} to {column['to']:g}" + (
            f" {column['unit']}" if column.get("unit") else ""
        )
    elif column["kind"] == "date":
        schema["description"] = f"as in training, such as {column['example']}"
    return schema
