"""Predict with NumPy alone: from the columns of a table to the numbers that the networks read, and through the networks.

`manynets.export.to_python` writes this file with a model below it. It must import nothing but NumPy and the standard library.

    rows -> encode -> x (N, D) -> logits of each network (N, O) -> probabilities or numbers, the mean over the networks
"""

import base64
import datetime
import json
import math
import re
import zoneinfo

import numpy as np

# ------------------------------------------------------------------------------------------------------------ from cells to numbers

MISSING = {"", "#n/a", "#value!", "#ref!", "#div/0!", "#num!", "#name?", "#null!", "(blank)"}  # in a column of categories
NO_NUMBER = MISSING | {  # in a column of numbers or dates
    "na", "n/a", "#na", "n.a.", "n.a", "<na>", "nan", "-nan", "nat", "null", "(null)", "nil", "none", "missing", "-",
    "--", "---", "–", "—", ".", "..", "...", "?", "??", "blank", "unknown", "undefined", "not available",
    "not applicable", "tbd", "0000-00-00", "0000-00-00 00:00:00",
    "\\n", "[null]", "<null>", "{null}", "(none)", "(unknown)", "(empty)", "empty", "n/d", "n.d.", "n/k", "k.a.",
    "k. a.", "keine angabe", "no data", "not reported", "tba", "…", ":", "−", "- -", "*", "**", "***", "1.#ind",
    "-1.#ind", "1.#qnan", "#n/a n/a", "#spill!",
    "#calc!", "#getting_data", "#nv", "#wert!", "#bezug!", "$-", "$ -", "€-", "€ -", "£-", "£ -", "-€", "- €", "-%",
    "- %",
}  # fmt: skip
WHOLE = re.compile(r"\+?(-?[0-9]+)(?:\.0*)?")
CODE = re.compile(r"[0-9]{1,15}(?![0-9])")
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}.*)?|[0-9]{8}", re.ASCII)
TIME = re.compile(r"[0-9]{2}:[0-9]{2}.*", re.ASCII)
EPOCH = datetime.datetime(1970, 1, 1)
CYCLES = {"month": 12.0, "weekday": 7.0, "hour": 24.0}
WORDS = re.compile(r"[^\W_]+")


def is_missing(cell, texts=MISSING):
    """Return whether a cell has no value: None, NaN, NaT, NA, or a text such as "#N/A"."""
    if isinstance(cell, str):
        return cell.strip().lower() in texts
    return cell is None or type(cell).__name__ == "NAType" or bool(cell != cell)


def encode(model, rows):
    """Return the matrix (N, D), float32, of a list of dicts, a dict of columns, a frame, or for a model of an array that array (N, D)."""
    if model["columns"] is None:
        return finite(matrix_of(model, in_order(model, rows)).astype(model["dtype"]))
    table = columns_of(model, rows)
    blocks = [ENCODERS[column["kind"]](column, table[column["name"]]) for column in model["columns"]]
    with np.errstate(over="ignore"):
        return finite(np.concatenate(blocks, axis=1).astype(np.float32))


def finite(x):
    """Return a matrix (N, D). Errors: ValueError where a number in it is missing, infinite, or too large for its type."""
    if not np.isfinite(x).all():
        row = int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])
        raise ValueError(f"row {row} (counted from 0) holds a number that is missing or too large for this model")
    return x


def in_order(model, rows):
    """Return the rows, the columns of a frame in the order of training where it has the names that they had there."""
    names, found = model["names"] or [], list(map(str, getattr(rows, "column_names", getattr(rows, "columns", ()))))
    if not set(names) & set(found):
        return rows
    absent = [name for name in names if name not in found]
    if absent:
        raise ValueError(f"column {absent[0]!r} is missing")
    return rows.select(names) if hasattr(rows, "column_names") else rows[names]


def matrix_of(model, rows):
    """Return an array of numbers (N, D) as float64."""
    x = np.asarray(rows, dtype=np.float64)
    if x.ndim != 2 or not len(x) or x.shape[1] != model["array_width"]:
        raise ValueError(f"the rows have shape {x.shape}, but must be (N, {model['array_width']}), with N at least 1")
    return x


def columns_of(model, rows):
    """Return the columns of the rows, each a list of cells, by name."""
    names = [column["name"] for column in model["columns"]]
    if model["positional"]:
        return {f"x{j}": cells.tolist() for j, cells in enumerate(matrix_of(model, rows).T)}
    if hasattr(rows, "to_pydict"):  # an Arrow table
        rows = rows.to_pydict()
    elif hasattr(rows, "columns"):  # a frame
        rows = {str(name): rows[name] for name in rows.columns}
    if isinstance(rows, dict):
        table = {
            name: [cells] if isinstance(cells, str) or not hasattr(cells, "__len__") else list(cells)
            for name, cells in rows.items()
        }
        absent = [name for name in names if name not in table]
        if absent:
            raise ValueError(f"column {absent[0]!r} is missing; give None where a value is missing")
        count = len(table[names[0]])
    else:
        rows = list(rows) if hasattr(rows, "__iter__") else [rows]
        if not all(isinstance(row, dict) for row in rows):
            raise ValueError("the rows must be a list of dicts, a dict of columns, or a frame")
        for place, row in enumerate(rows):
            absent = [name for name in names if name not in row]
            if absent:
                raise ValueError(f"row {place} (counted from 0) has no column {absent[0]!r}; give None where a value is missing")
        table = {name: [row[name] for row in rows] for name in names}
        count = len(rows)
    if not count:
        raise ValueError("there are no rows")
    for name in names:
        held = len(table[name])
        if held != count:
            cells = "1 cell" if held == 1 else f"{held} cells"
            there = "is 1 row" if count == 1 else f"are {count} rows"
            raise ValueError(f"column {name!r} has {cells}, but there {there}; give None where one is missing")
    return table


def number_of(column, cell):
    """Return a number, NaN where it is missing; a duration in the unit of the column; a text only where it can mean but one number."""
    if is_missing(cell, NO_NUMBER):
        return math.nan
    if column["digits"] and isinstance(cell, str):  # a code, of which the last digits count
        return float((CODE.findall(cell) or ["nan"])[-1])
    if isinstance(cell, (datetime.timedelta, np.timedelta64)) and column["seconds"]:
        cell = np.timedelta64(cell) / np.timedelta64(1, "s") / column["seconds"]
    try:
        text = column["texts"] and isinstance(cell, str) and NUMBER.fullmatch(cell.strip())
        x = float(cell) if text or not isinstance(cell, (str, np.datetime64, np.timedelta64)) else math.inf
    except (TypeError, ValueError, OverflowError):
        x = math.inf
    if math.isinf(x):
        kind = "finite numbers such as 60.5, without units" if column["texts"] else "finite numbers (no texts)"
        raise ValueError(
            f"column {column['name']!r} should hold {kind}, but holds {repr(cell)[:40]}; give None where one is missing"
        )
    return x


def numbers(column, cells):
    """A number, scaled; 1 where it was missing; how far it is through each of some ranges."""
    if column["fill"] is None:  # a column without a value in training says nothing
        return np.zeros((len(cells), 1))
    x = np.array([number_of(column, cell) for cell in cells])
    gone = np.isnan(x)
    x = np.where(gone, column["fill"], x)
    if column["limits"]:
        x = np.clip(x, *column["limits"])
    parts = [scaled(column, x)[:, None]]
    if column["gaps"]:
        parts.append(gone[:, None])
    return np.concatenate([*parts, *pieces(column, x)], axis=1)


def pieces(column, x):
    """How far x is through each of some ranges, from 0 to 1, centred and made small; nothing for a column without ranges."""
    if not column["edges"]:
        return []
    size = max(abs(edge) for edge in column["edges"])
    edges = np.array(column["edges"]) / size
    share = np.clip((x[:, None] / size - edges[:-1]) / np.diff(edges), 0.0, 1.0)
    return [(share - column["centers"]) * column["size"]]


def scaled(column, x):
    """Return (x - center) / scale, drawn in by z / sqrt(1 + (z / clip)^2); or the height of a line through knots."""
    if column["knots"]:
        return np.interp(x, column["knots"], column["normal"])
    z = (x - column["center"]) / column["scale"]
    return z / np.hypot(1.0, z / column["clip"]) if column["clip"] else z


def categories(column, cells):
    """1 in the column of the category, 0 elsewhere; rare and new categories share a column where training had rare ones; means."""
    levels, rare, gaps, also = column["levels"], column["rare"], column["gaps"], column["also"]
    shared = len(levels) if rare else -1
    place = {level: index for index, level in enumerate(levels)} | dict.fromkeys(rare, shared)
    part, missing = column["part"], NO_NUMBER if column["numbers"] else MISSING
    labels = [None if is_missing(cell, missing) else label_of(cell) for cell in cells]
    labels = [label and (part_of(label, part) if part else known_spelling(label, place, also)) for label in labels]
    out = np.zeros((len(cells), len(levels) + bool(rare) + gaps))
    for row, label in enumerate(labels):
        at = (out.shape[1] - 1 if gaps else shared) if label is None else place.get(label, shared)
        if at >= 0:
            out[row, at] = 1.0
    number = {level: index for index, level in enumerate([*levels, *rare])}
    parts = [out]
    for mean in column["means"]:  # of the target over the rows of a level
        of = {level: mean["values"][index] for level, index in number.items()}
        x = np.array([mean["missing"] if label is None else of.get(label, mean["prior"]) for label in labels])
        parts += [scaled(mean, x)[:, None], *pieces(mean, x)]
    return np.concatenate(parts, axis=1)


def label_of(cell):
    """Write a category the same way whatever its type: 1.0 as 1, true as True, no blanks around it."""
    if isinstance(cell, (bool, np.bool_)):
        return str(bool(cell))
    if isinstance(cell, (float, np.floating)):
        return str(int(cell)) if float(cell).is_integer() else repr(float(cell))
    label = str(cell).strip()
    return label.capitalize() if label.lower() in ("true", "false") else label


def known_spelling(label, known, also):
    """Return a category as training had it: 1 for 1.00 and +1, 1.0 for 1, True for 1."""
    short = whole[1] if (whole := WHOLE.fullmatch(label)) else label
    return label if label in known else also.get(label, also.get(short, short))


def part_of(label, part):
    """Return the part of a code by which its categories differ: its first or last characters or word, its length, or all of it."""
    if not part:
        return label
    if part == "length":
        return str(len(label))
    end, what = part.split()
    if what == "word":
        words = WORDS.findall(label) or [""]
        return words[0 if end == "first" else -1]
    return label[: int(what)] if end == "first" else label[-int(what) :]


def dates(column, cells):
    """The parts of a date, scaled, with sine and cosine where they come round; 1 where it was missing."""
    gone = np.array([is_missing(cell, NO_NUMBER) for cell in cells], dtype=bool)
    moments = [EPOCH if none else moment_of(column, cell) for cell, none in zip(cells, gone, strict=True)]
    parts = []
    for part in column["parts"]:
        name = part["part"]
        x = [moment.weekday() if name == "weekday" else getattr(moment, name) for moment in moments]
        x = np.where(gone, part["fill"], np.array(x, dtype=np.float64))
        parts.append(scaled(part, x))
        if name in CYCLES:
            angle = 2.0 * math.pi * x / CYCLES[name]
            parts += [np.sin(angle), np.cos(angle)]
    return np.stack([*parts, gone] if column["gaps"] else parts, axis=1)


def moment_of(column, cell):
    """Return a datetime, on the clock of the column, of a date, a datetime, an ISO text, or a number where training had such; of a time one of 1970."""
    time, unit = column["order"] == "time", column["unit"]
    text = str(cell).strip()
    try:
        if isinstance(cell, datetime.date):
            if time and not isinstance(cell, datetime.datetime):
                raise ValueError
            moment = cell if isinstance(cell, datetime.datetime) else datetime.datetime(cell.year, cell.month, cell.day)
        elif unit and NUMBER.fullmatch(text):
            return EPOCH + datetime.timedelta(seconds=math.floor(float(text) / unit))
        elif column["order"] == "compact" and NUMBER.fullmatch(text):
            text = f"{float(text):.15g}"
            if len(text) != 8:  # 240131 would be a day of the year 2401
                raise ValueError
            return datetime.datetime.strptime(text, "%Y%m%d")
        elif isinstance(cell, (int, float)) or not (TIME if time else DATE).fullmatch(text):
            raise ValueError
        elif time:
            moment = datetime.datetime.fromisoformat(f"1970-01-01T{text}")
        else:
            moment = datetime.datetime.fromisoformat(text)
        return on_clock(moment, column["zone"])
    except (ValueError, OverflowError):
        example = "times such as 23:59:00" if time else "ISO dates such as 2024-12-31T23:59:00"
        raise ValueError(f"column {column['name']!r} holds {text[:40]!r}, but must hold {example}") from None


def on_clock(moment, zone):
    """Return a datetime on the clock of a zone: "UTC", an offset such as "+02:00", a name; "" leaves it as it stands, as does one without a zone."""
    if moment.tzinfo is None or not zone:
        return moment
    if zone[0] in "+-":
        minutes = int(zone[1:3]) * 60 + int(zone[4:])
        return moment.astimezone(datetime.timezone(datetime.timedelta(minutes=-minutes if zone[0] == "-" else minutes)))
    return moment.astimezone(zoneinfo.ZoneInfo(zone) if zone != "UTC" else datetime.UTC)


ENCODERS = {"numeric": numbers, "categorical": categories, "date": dates}

# --------------------------------------------------------------------------------------------------------------------- the networks


def sigmoid(z):
    return 0.5 * (1.0 + np.tanh(0.5 * z))


ACTIVATIONS = {
    "identity": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
    "selu": lambda z: 1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * np.expm1(np.minimum(z, 0))),
    "gelu": lambda z: z * 0.5 * (1.0 + np.vectorize(math.erf, otypes=[np.float64])(z / math.sqrt(2))),
    "silu": lambda z: z * sigmoid(z),
    "mish": lambda z: z * np.tanh(np.logaddexp(0, z)),
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "softplus": lambda z: np.logaddexp(0, z),
    "hard_swish": lambda z: z * np.clip(z / 6 + 0.5, 0, 1),
}


def load(text):
    """Return a model from the JSON text below, with the layers of its networks: weights (K, D, H) and biases (K, 1, H)."""
    model = json.loads(text)
    numbers = np.frombuffer(base64.b85decode("".join(model.pop("weights"))), dtype=model["dtype"])
    layers, at = [], 0
    for d_in, d_out in zip(model["widths"], model["widths"][1:], strict=False):
        pair = []
        for shape in ((model["networks"], d_in, d_out), (model["networks"], 1, d_out)):
            pair.append(numbers[at : at + math.prod(shape)].reshape(shape))
            at += math.prod(shape)
        layers.append(pair)
    return model | {"layers": layers}


def logits(model, x):
    """Return the scores (K, N, O) of all networks: h <- f(h W + b) in each hidden layer, and h W + b in the last."""
    h = x.astype(model["dtype"])
    for weight, bias in model["layers"][:-1]:
        h = ACTIVATIONS[model["activation"]](h @ weight + bias)
    weight, bias = model["layers"][-1]
    return h @ weight + bias


def probabilities(model, scores):
    """Return the mean probabilities (N, C): softmax of several classes, else sigmoid."""
    if model["task"] == "multiclass":
        raised = np.exp(scores - scores.max(axis=2, keepdims=True))
        return (raised / raised.sum(axis=2, keepdims=True)).mean(axis=0)
    if model["task"] == "binary":
        return np.concatenate([sigmoid(-scores), sigmoid(scores)], axis=2).mean(axis=0)
    return sigmoid(scores).mean(axis=0)


def standardised(model, scores):
    """Return the predictions of the networks (K, N, O) in the unit of the encoded target; quantiles of a target are in order."""
    y = scores.astype(np.float64)
    if model["poisson"]:
        return np.exp(y)
    several = max(1, len(model["quantiles"]))
    if model["limits"]:
        low, high = np.repeat(np.array(model["limits"]), several, axis=0).T
        y = np.clip(y, low, high)
    return np.sort(y.reshape(*y.shape[:2], -1, several), axis=3).reshape(y.shape)


def own_unit(model, y):
    """Return values (..., O) in the unit of the target."""
    y = y * model["scale"] + model["center"]
    return np.exp(y) if model["log"] else y


def values(model, scores):
    """Return the mean predictions (N, T) in the unit of the target; of several quantiles the median."""
    y = standardised(model, scores)
    if model["quantiles"]:
        y = y.reshape(*y.shape[:2], -1, len(model["quantiles"]))
        if model["log"]:  # the point between means of quantiles
            scale, largest = np.array(model["scale"])[:, None], y.max(axis=0, keepdims=True)
            y = largest + np.log(np.exp((y - largest) * scale).mean(axis=0, keepdims=True)) / scale
        y = y @ model["point_weights"]
    return own_unit(model, y).mean(axis=0)


def limits(model, scores, coverage):
    """Return the limits (2, N, T): of rows like those that were held out in training, this share has its target within them.

    Mean and standard deviation of the networks give f + c (s + m) q, with q the quantiles of errors / (s + m) on held-out rows; s counts as 0
    where the width is the same for all rows. Of several quantiles, f is the one whose level is nearest to the limit's, and s their distance.
    The prediction is never outside of the limits. The lower one of a target that was never below 0 in training is not below 0.
    """
    each = standardised(model, scores)
    mean, spread = each.mean(axis=0), each.std(axis=0)
    levels = np.array(model["quantiles"] or [0.5])
    several = len(levels)
    out = np.empty((2, *mean.shape))
    if several > 1:
        spread = np.repeat(mean[:, several - 1 :: several] - mean[:, ::several], several, axis=1)
    for j, one in enumerate(model["residuals"]):
        rows = one["rows"]
        low = ((1 - coverage) / 2 * (rows + 1) - 1) / (rows - 1)
        if not 0 < coverage < 1 or low < 0:
            raise ValueError(
                f"coverage is {coverage}, but must be above 0 and, for {rows} held-out rows, at most {1 - 2 / (rows + 1)}"
            )
        at = np.linspace(0, 1, len(one["quantiles"]))
        for end, share in enumerate((low, 1 - low)):
            out[end, :, j] = mean[:, j] + one["factor"] * (spread[:, j] * one["scaled"] + one["floor"]) * np.interp(
                share, at, one["quantiles"]
            )
    if several > 1:
        nearest = [np.abs(levels - (1 + sign * coverage) / 2).argmin() for sign in (-1, 1)]
        out = np.sort([out[end, :, nearest[end] :: several] for end in (0, 1)], axis=0)
    lower, upper = own_unit(model, np.maximum(out, 0) if model["poisson"] else out)
    predicted = values(model, scores)
    if model["limits"]:
        least = np.array(model["limits"])[:, 0] + np.divide(model["center"], model["scale"])
        lower = np.where(least >= -1e-5, np.maximum(lower, 0), lower)
    return np.stack([np.minimum(lower, predicted), np.maximum(upper, predicted)])


def predict(rows):
    """Return labels or numbers, (N,) or (N, O), for rows: a list of dicts, a dict of columns or a frame; of a model of an array, (N, D)."""
    scores = logits(MODEL, encode(MODEL, rows))
    if MODEL["task"] == "regression":
        y = values(MODEL, scores)
        return y[:, 0] if MODEL["flat"] else y
    shares = probabilities(MODEL, scores)
    if MODEL["task"] == "multilabel":
        return (shares > 0.5).astype(np.int64)
    if MODEL["task"] == "binary":
        return np.array(MODEL["classes"])[(shares[:, 1] > MODEL["threshold"]).astype(np.int64)]
    costs = MODEL.get("costs")  # [true class][predicted class]
    codes = shares.argmax(axis=1) if costs is None else (shares @ np.array(costs)).argmin(axis=1)
    return np.array(MODEL["classes"])[codes]


def predict_proba(rows):
    """Return the probabilities (N, C) of the classes, in the order of MODEL["classes"]; of several labels (N, O)."""
    if MODEL["task"] == "regression":
        raise ValueError("this model predicts numbers; it has no probabilities")
    return probabilities(MODEL, logits(MODEL, encode(MODEL, rows)))


def predict_quantiles(rows):
    """Return the quantiles (N, J) at the levels MODEL["quantiles"], of several targets (N, T, J), in increasing order."""
    if not MODEL.get("quantiles"):
        raise ValueError("this model was not trained on several quantiles")
    y = standardised(MODEL, logits(MODEL, encode(MODEL, rows)))
    y = y.reshape(*y.shape[:2], -1, len(MODEL["quantiles"]))
    out = own_unit(MODEL, y.transpose(0, 1, 3, 2)).mean(axis=0).transpose(0, 2, 1)
    return out[:, 0] if MODEL["flat"] else out


def predict_interval(rows, coverage=0.9):
    """Return lower and upper limits (N, 2), of several targets (N, O, 2), that hold this share of the targets."""
    if not MODEL.get("residuals"):
        raise ValueError("this model has no prediction intervals: it stores no errors on held-out rows")
    both = np.moveaxis(limits(MODEL, logits(MODEL, encode(MODEL, rows)), coverage), 0, -1)
    return both[:, 0] if MODEL["flat"] else both


# ------------------------------------------------------------------------------------------------------------------------ the model

MODEL = None
