"""Contributions of the columns to single predictions: Shapley values.

The prediction with only the columns of a set S known is the mean over background rows b of prediction(x on S, b elsewhere). The contribution of a
column is how much that changes when the column joins those before it, in the mean over all orders of the columns; here over some orders, each
with its reverse, and a background row b for each. The contributions of a row and the base add up to its prediction, whatever the orders are:

    base + sum over columns of contribution = prediction

The changes d_b of one order add up to prediction - prediction(b), and the mean prediction of all background rows is known. So what the mean
prediction of the rows drawn lacks of it is given to the contributions in the shares of a regression, which add up to -1 (a control variate):

    contribution = mean of d_b + slope (mean prediction of all - of those drawn),   slope = cov(d_b, prediction(b)) / var(prediction(b))

Of a network without hidden layers on numbers they are exact: weight times (x - mean of the background), summed over the numbers that a column is encoded as.

Source: Lundberg and Lee 2017; Strumbelj and Kononenko 2014.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets.display import html_table, number_text
from manynets.errors import check_count
from manynets.explain.background import background_rows
from manynets.explain.blocks import check_seed, model_of, source_rows
from manynets.explain.changed import output_names, outputs_of
from manynets.model import Model
from manynets.spec import Periodic
from manynets.tasks import Regression

Array: TypeAlias = NDArray[Any]

ROWS_AT_ONCE = 1 << 15
FEWEST_FITTED = 8
"""Fewest orders to which the slope is fitted; of fewer, the columns share by the mean of their squares."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Contributions:
    """What each column adds to each prediction.

    columns: D names. values: (N, D), of classes and several targets (N, D, C). base: the mean prediction of the background, () or (C,).
    prediction: (N,) or (N, C). error: the standard error of the values by the sampling, of the same shape; 0 where they are exact.
    outputs: what the last axis means. probabilities: whether predictions are probabilities.

    >>> import manynets as mn
    >>> data = mn.datasets.load("xor", points=400, seed=0)
    >>> model = mn.train(data.X, data.y, mn.MLP(hidden=(8,)), mn.Recipe(optimizer=mn.Adam(lr=0.03), epochs=30), progress=False)
    >>> found = mn.explain.contributions(model, data.X[:3], background=data.X[:50])
    >>> found.columns, found.values.shape
    (('x0', 'x1'), (3, 2, 2))
    >>> bool(abs(found.base + found.values.sum(axis=1) - found.prediction).max() < 1e-6)
    True
    """

    columns: tuple[str, ...]
    values: NDArray[np.float64]
    base: NDArray[np.float64]
    prediction: NDArray[np.float64]
    error: NDArray[np.float64]
    outputs: tuple[str, ...]
    probabilities: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON types."""
        arrays = {name: getattr(self, name).tolist() for name in ("values", "base", "prediction", "error")}
        return {"columns": list(self.columns), "outputs": list(self.outputs), **arrays}

    def __repr__(self) -> str:
        return f"<Contributions of {len(self.columns)} columns to {len(self.values)} predictions>"

    def _repr_html_(self) -> str:
        first, heads = self.values[0], ["contribution"]
        if first.ndim == 2 and self.probabilities:
            code = int(self.prediction[0].argmax())
            first, heads = first[:, code], [f"contribution to the probability of {self.outputs[code]}"]
        elif first.ndim == 2:
            heads = [f"contribution to {name}" for name in self.outputs]
        first = first.reshape(len(self.columns), -1)
        rows = [(self.columns[j], *map(number_text, first[j])) for j in np.argsort(-np.abs(first[:, 0]), kind="stable")]
        return html_table(["column", *heads], rows, title="Contributions to the first prediction")


def contributions(model: Model, X: Any, *, background: Any = None, n_orders: int = 32, seed: int = 0) -> Contributions:
    """Return how much each column adds to the predictions for rows X (N, D), or a frame: numbers in the unit of the target, or probabilities.

    background: rows that stand for "not known", as `Model.predict` takes them; None: rows made from the quantiles and levels in the encoder (a
    model file holds no training rows), or, of a model that was trained on an array, zeros. n_orders: how many random orders of the columns
    are tried, each with its reverse; the cost is about 2 n_orders times the number of columns, in predictions per row.

    Errors: DataError for rows that do not fit, OptionError for n_orders below 1.

    >>> import numpy as np
    >>> import manynets as mn
    >>> X = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    >>> model = mn.train(X, X @ [2.0, -1.0], mn.MLP(hidden=()), mn.Recipe(epochs=1), progress=False)
    >>> found = contributions(model, X[:3], background=X)
    >>> bool(np.allclose(found.base + found.values.sum(axis=1), found.prediction))
    True
    """
    check_count(n_orders, what="n_orders")
    check_seed(seed)
    model = model_of(model)
    rows = source_rows(model, X)
    others = background_rows(model, background)
    prediction = outputs_of(model, rows.matrix)
    blocks = list(rows.blocks.values())
    if _is_linear(model):
        values, error, base = _exact(model, rows.matrix, others, blocks)
    else:
        values, error, base = _sampled(model, rows.matrix, others, blocks, n_orders, np.random.default_rng(seed))
    outputs = output_names(model, prediction.shape[1])
    if outputs == ("prediction",):
        values, error, base, prediction = values[..., 0], error[..., 0], base[0], prediction[:, 0]
    shares = not isinstance(model.task, Regression)
    return Contributions(tuple(rows.blocks), values, base, prediction, error, outputs, probabilities=shares)


def _is_linear(model: Model) -> bool:
    """Return whether predictions are a linear function of the encoded rows."""
    task, spec = model.task, model.spec
    if not isinstance(task, Regression) or spec is None or spec.hidden or isinstance(spec.embedding, Periodic):
        return False
    return task.transform is None and task.limits is None and not task.quantiles and model.recipe.loss != "poisson"


def _exact(model: Model, x: Array, others: Array, blocks: list[slice]) -> tuple[Array, Array, Array]:
    """Return values (N, D, O), errors of 0 and the base (O,) of a linear model: weight times (x - mean of the background)."""
    assert isinstance(model.task, Regression)
    weights = []
    for member in model.members:
        weight = member["output.weight"].astype(np.float64)
        weights.append(weight * member["input_scale.weight"] if "input_scale.weight" in member else weight)
    slope = np.mean(weights, axis=0) * np.array(model.task.scale)[:, None]  # (O, columns)
    away = x.astype(np.float64) - others.mean(axis=0, dtype=np.float64)
    values = np.stack([away[:, block] @ slope[:, block].T for block in blocks], axis=1)
    return values, np.zeros_like(values), outputs_of(model, others).mean(axis=0)


def _sampled(
    model: Model, x: Array, others: Array, blocks: list[slice], n_orders: int, random: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Return values (N, D, C), their standard errors, and the base (C,), from orders of the columns and their reverses."""
    orders = np.stack([random.permutation(len(blocks)) for _ in range(n_orders)])
    drawn = random.permutation(len(others))[np.arange(n_orders) % len(others)]
    chosen, predicted = others[drawn], outputs_of(model, others)
    base, away = predicted.mean(axis=0), predicted[drawn] - predicted[drawn].mean(axis=0)
    values = np.zeros((len(x), len(blocks), len(base)))
    squares, products = np.zeros_like(values), np.zeros_like(values)
    rows_at_once = max(1, ROWS_AT_ONCE // (2 * len(blocks) + 2))
    for start in range(0, len(x), rows_at_once):
        some = slice(start, start + rows_at_once)
        step = max(1, rows_at_once // len(x[some]))
        for first in range(0, n_orders, step):
            forth, other = orders[first : first + step], chosen[first : first + step]
            ways = np.stack([forth, forth[:, ::-1]], axis=1).reshape(-1, len(blocks))
            change = _along(model, x[some], np.repeat(other, 2, axis=0), blocks, ways)
            both = (change[0::2] + change[1::2]) / 2
            values[some] += both.sum(axis=0)
            squares[some] += (both**2).sum(axis=0)
            products[some] += (both * away[first : first + step, None, None]).sum(axis=0)
    values /= n_orders
    spread = (away**2).mean(axis=0)  # of the predictions of the rows drawn
    varied = (spread > 1e-12 * base**2) & (n_orders >= FEWEST_FITTED)
    total = squares.sum(axis=1, keepdims=True)
    shares = np.where(total > 0, squares / np.where(total > 0, total, 1.0), 1.0 / len(blocks))
    slope = np.where(varied, products / n_orders / np.where(varied, spread, 1.0), -shares)
    variance = np.maximum(squares / n_orders - values**2 - 2 * slope * products / n_orders + slope**2 * spread, 0.0)
    values += slope * (base - predicted[drawn].mean(axis=0))
    return values, np.sqrt(variance / np.maximum(1, n_orders - 1 - varied)), base


def _along(model: Model, x: Array, others: Array, blocks: list[slice], orders: Array) -> Array:
    """Return how much the predictions change (P, N, D, C) as the columns of x (N, width) join a background row (P, width) one after the other.

    orders: those of the columns, (P, D).
    """
    count, columns = orders.shape
    mixed = np.empty((count, columns + 1, *x.shape), dtype=np.result_type(x, others))
    mixed[:] = others[:, None, None]
    for one, order in zip(mixed, orders, strict=True):
        for known, number in enumerate(order, start=1):  # columns that have the values of the row
            one[known:, :, blocks[number]] = x[:, blocks[number]]
    found = outputs_of(model, mixed.reshape(-1, x.shape[1])).reshape(count, columns + 1, len(x), -1)
    change = np.empty((count, columns, len(x), found.shape[-1]))
    change[np.arange(count)[:, None], orders] = np.diff(found, axis=1)
    return change.swapaxes(1, 2)
