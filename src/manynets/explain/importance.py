"""Permutation importance: how much worse a model predicts when the values of a column are shuffled among the rows.

    importance of a column = metric(rows as they are) - metric(rows with the column shuffled)

with the sign turned for a metric where lower is better. The mean and the spread are over several shuffles. Where columns hold nearly the same
information, shuffling one of them alone shows little, as the model reads the other: such columns are shuffled together.

Source: Breiman 2001, "Random Forests"; Fisher, Rudin and Dominici 2019.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.stats import rankdata
from scipy.stats import t as student_t

from manynets.data.check import as_weights
from manynets.display import HEADINGS, counted, html_table, mean_texts
from manynets.errors import DataError, check_count
from manynets.explain.blocks import CELLS_AT_ONCE, SourceRows, check_seed, encoded_target, model_of, source_rows
from manynets.explain.changed import ChangedRows
from manynets.model import Model
from manynets.spec import LOWER_IS_BETTER
from manynets.tasks import Regression
from manynets.tasks.own_metric import named_metric

Array: TypeAlias = NDArray[Any]
ALIKE = 0.9
"""The rank correlation from which columns are shuffled together."""
RARE = 0.2
"""The share of the rarer of two classes below which importance is that of the area under the ROC curve, not of the accuracy."""
BY_CHANCE = 0.05
"""The probability that some columns of few rows, which have nothing to do with each other, are shuffled together."""
SAMPLE = 64
"""Rows that show whether a column has few values."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Importance:
    """How much the metric loses without each column, or each group of columns that hold nearly the same information.

    groups: the columns shuffled together, by a name for them. values: (columns or groups, repeats). metric: its name. score: of the rows as
    they are.

    >>> import manynets as mn
    >>> data = mn.datasets.load("xor", points=400, seed=0)
    >>> model = mn.train(data.X, data.y, mn.MLP(hidden=(8,)), mn.Recipe(optimizer=mn.Adam(lr=0.03), epochs=30), progress=False)
    >>> found = mn.explain.permutation_importance(model, data.X, data.y)
    >>> found.metric, sorted(found.groups), found.values.shape
    ('accuracy', ['x0', 'x1'], (2, 5))
    >>> all(mean > 0.2 for _, mean, _ in found.ranked())
    True
    """

    groups: dict[str, tuple[str, ...]]
    values: NDArray[np.float64]
    metric: str
    score: float

    @property
    def names(self) -> list[str]:
        """The columns or groups, in the order of the table."""
        return list(self.groups)

    @property
    def heading(self) -> str:
        """The metric as tables name it, such as "R2"."""
        return HEADINGS.get(self.metric, self.metric)

    @property
    def mean(self) -> NDArray[np.float64]:
        """The mean over the repeats, (columns,)."""
        return np.asarray(self.values.mean(axis=1))

    @property
    def std(self) -> NDArray[np.float64]:
        """The standard deviation over the repeats, (columns,)."""
        return np.asarray(self.values.std(axis=1))

    def ranked(self) -> list[tuple[str, float, float]]:
        """Return name, mean and standard deviation of each, the most important first."""
        mean, std = self.mean, self.std
        order = sorted(range(len(self.groups)), key=lambda j: -mean[j])
        return [(self.names[j], float(mean[j]), float(std[j])) for j in order]

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON types, the most important first."""
        columns = [
            {"name": name, "columns": list(self.groups[name]), "mean": mean, "std": std} for name, mean, std in self.ranked()
        ]
        return {"metric": self.metric, "score": self.score, "repeats": self.values.shape[1], "columns": columns}

    def __repr__(self) -> str:
        name, mean, _ = self.ranked()[0]
        return f"<Importance: {counted(len(self.groups), 'column')}, most of all {name} ({self.heading} {mean:+.3g})>"

    def _repr_html_(self) -> str:
        rows = [(name, " ± ".join(mean_texts(mean, std))) for name, mean, std in self.ranked()]
        return html_table(["column", f"{self.heading} lost without it"], rows, title="Permutation importance")


def permutation_importance(
    model: Model,
    X: Any,
    y: Any,
    *,
    metric: str | None = None,
    n_repeats: int = 5,
    sample_weight: Any = None,
    group_alike: bool = True,
    seed: int = 0,
) -> Importance:
    """Return how much worse the model predicts rows X (N, D), or a frame, when a column is shuffled among them.

    metric: "accuracy", "f1", "log_loss" or "roc_auc" (two classes), of numbers "r2", "rmse" or "mae", as in `Model.evaluate`. None: r2 or
    accuracy, but roc_auc where one of two classes has less than a fifth of the rows, since so few rows hardly change the accuracy. For several
    targets in different units take r2, in which each counts the same. n_repeats: shuffles of each column. group_alike: shuffle columns together
    whose rank correlation is above 0.9, and above what chance gives where rows are few, and columns of more than two categories that determine
    each other, as each alone would seem unimportant. seed: of the shuffles, which are those of scikit-learn's `permutation_importance` with
    this random_state.

    Errors: DataError for rows that do not fit, OptionError for an unknown metric.

    >>> import manynets as mn
    >>> data = mn.datasets.load("xor", seed=0)
    >>> model = mn.train(data.X, data.y, mn.MLP(hidden=(8,)), mn.Recipe(epochs=30), progress=False)
    >>> permutation_importance(model, data.X, data.y).names
    ['x0', 'x1']
    """
    check_count(n_repeats, what="n_repeats")
    check_seed(seed)
    model = model_of(model)
    X, y, sample_weight = model.read_given(X, y, sample_weight)
    rows = source_rows(model, X)
    target = encoded_target(model, y, rows=len(rows.matrix))
    weight = as_weights(sample_weight, len(target))
    name = _usual_metric(model, target, weight) if metric is None else named_metric(metric, model.task.metrics)
    sign = -1.0 if name in LOWER_IS_BETTER else 1.0
    groups: dict[str, tuple[str, ...]] = _alike(model, rows) if group_alike else {column: (column,) for column in rows.blocks}
    logits = model.mean_logits(model.encoded_logits(rows.matrix))
    score = float(_measured(model, name, logits, target, weight))
    if not np.isfinite(score):
        why = "one row" if len(target) == 1 else "these rows, which hold one class only"
        raise DataError(f"{name} is not defined for {why}; choose another metric or other rows")
    orders = np.stack(_orders(len(rows.matrix), n_repeats, seed))
    blocks = [rows.columns(columns) for columns in groups.values()]
    found = np.empty((len(groups), n_repeats))
    for group, some, shuffled in _shuffled(ChangedRows(model, rows.matrix), logits, blocks, orders):
        found[group, some] = sign * (score - _measured(model, name, shuffled, target, weight))
    return Importance(groups, found, name, score)


def _usual_metric(model: Model, target: Array, weight: Array | None) -> str:
    """Return the metric that importance is of where none is given: the task's, or roc_auc where one of two classes is rare."""
    if model.task.name != "binary":
        return model.task.metric
    share = float(np.average(target.reshape(-1), weights=weight))
    return "roc_auc" if 0 < min(share, 1 - share) < RARE else model.task.metric


def _measured(model: Model, metric: str, logits: Array, target: Array, weight: Array | None) -> Any:
    """Return a metric of mean logits (..., N, O); for numbers in float64, like predictions."""
    scores = logits.astype(np.float64) if isinstance(model.task, Regression) else logits
    return model.task.measure(metric, scores, target, loss=model.recipe.loss, weight=weight)


def _orders(rows: int, repeats: int, seed: int) -> list[Array]:
    """Return the orders of scikit-learn's permutation_importance: each shuffles the rows as the one before left them, and all columns get the same."""
    random = np.random.RandomState(seed)  # scikit-learn's generator
    random.seed(random.randint(np.iinfo(np.int32).max + 1))
    shuffle, order, found = np.arange(rows), np.arange(rows), []
    for _ in range(repeats):
        random.shuffle(shuffle)
        order = order[shuffle]
        found.append(order)
    return found


def _shuffled(
    predictor: ChangedRows, logits: Array, blocks: list[Array], orders: Array
) -> Iterator[tuple[Array | int, Array | slice, Array]]:
    """Yield some of the blocks, some of the orders (R, N), and the mean logits (n, N, O) with the columns of these blocks in these orders.

    logits: those of the rows as they are (N, O).
    """
    step, many = max(1, CELLS_AT_ONCE // logits.size), []
    for group, block in enumerate(blocks):
        columns = predictor.matrix[:, block]
        if predictor.sums is None and len(_levels(columns[:SAMPLE])[0]) > SAMPLE // 8:
            many.append(group)
            continue
        values, code = _levels(columns)
        for start in range(0, len(orders), step):
            given = code[orders[start : start + step]]
            yield group, slice(start, start + step), _with_values(predictor, logits, block, values, code, given)
    pairs = np.array([(group, order) for group in many for order in range(len(orders))]).reshape(-1, 2)
    for some, changed in predictor.copies(blocks, orders, pairs):
        yield some[:, 0], some[:, 1], changed


def _with_values(predictor: ChangedRows, logits: Array, block: Array, values: Array, code: Array, given: Array) -> Array:
    """Return the mean logits (r, N, O) where each row has the values (L, B) whose numbers are given (r, N) in the columns of a block (B,).

    Columns of few values need few predictions: a row is predicted once with each other value that it gets, and not again with its own, the one of
    number code (N,).
    """
    pairs = np.arange(len(code)) * len(values) + given
    if len(values) > len(code) / 2:
        return predictor.logits(block, values, code, *np.divmod(pairs.ravel(), len(values))).reshape(*given.shape, -1)
    pairs, which = np.unique(pairs, return_inverse=True)
    row, value = np.divmod(pairs, len(values))
    new, changed = logits[row], code[row] != value
    if changed.any():
        new[changed] = predictor.logits(block, values, code, row[changed], value[changed])
    return np.asarray(new[which.reshape(given.shape)])


def _levels(columns: Array) -> tuple[Array, Array]:
    """Return the distinct rows (L, B) of some columns (N, B), and which of them each row is (N,)."""
    if columns.shape[1] == 1:
        values, code = np.unique(columns[:, 0], return_inverse=True)
        return values[:, None], code
    seen = np.ascontiguousarray(columns).view(np.dtype((np.void, columns.dtype.itemsize * columns.shape[1])))[:, 0]
    _, first, code = np.unique(seen, return_index=True, return_inverse=True)
    return columns[first], code


def _alike(model: Model, rows: SourceRows) -> dict[str, tuple[str, ...]]:
    """Return the columns in groups, by a name for each: those that hold nearly the same information are together.

    Numbers do where their ranks are correlated, columns of more than two categories where each determines the other.
    """
    names = list(rows.blocks)
    words = {column.name for column in model.encoder.columns if column.kind in ("categorical", "text")} if model.encoder else set()
    codes = {name: _levels(rows.matrix[:, rows.blocks[name]])[1] for name in names if name in words}
    codes = {name: code for name, code in codes.items() if code.max() > 1}  # two categories are as good as a number
    first = np.stack([rankdata(rows.matrix[:, rows.blocks[name].start]) - 1.0 for name in names])
    first[[j for j, name in enumerate(names) if name in codes]] = 0.0
    spread = first.std(axis=1, keepdims=True)
    unit = np.divide(first - first.mean(axis=1, keepdims=True), spread, out=np.zeros_like(first), where=spread > 0)
    alike = np.abs(unit @ unit.T) / len(rows.matrix) > max(ALIKE, _by_chance(*first.shape))
    if codes:
        which, known = [j for j, name in enumerate(names) if name in codes], _lambdas(np.stack(list(codes.values())))
        alike[np.ix_(which, which)] = np.minimum(known, known.T) > ALIKE
    groups: dict[int, list[str]] = {}
    for name, group in zip(names, connected_components(alike, directed=False)[1].tolist(), strict=True):
        groups.setdefault(group, []).append(name)
    return {" + ".join(columns): tuple(columns) for columns in groups.values()}


def _by_chance(columns: int, rows: int) -> float:
    """Return the rank correlation that some pair of unrelated columns exceeds with a probability of at most BY_CHANCE, by Student's t."""
    free = rows - 2
    if free < 1 or columns < 2:
        return float(np.inf)
    least = student_t.isf(BY_CHANCE / (columns * (columns - 1)), free)  # half for each sign, and for each pair
    return float(least / np.hypot(least, np.sqrt(free)))


def _lambdas(codes: Array) -> Array:
    """Return Goodman and Kruskal's lambda of codes (M, N) for each pair (M, M): the share of wrong guesses of the second that knowing the first avoids.

    It is 0 where pairs of their values are more than rows.
    """
    rows, levels = codes.shape[1], codes.max(axis=1) + 1
    usual = np.array([np.bincount(code).max() for code in codes])
    found, step = np.zeros((len(codes), len(codes))), max(1, CELLS_AT_ONCE // rows)
    for i, code in enumerate(codes):
        others = np.flatnonzero(levels * levels[i] <= rows)
        others = others[others > i]
        for start in range(0, len(others), step):
            some = others[start : start + step]  # counted together, side by side
            end = np.cumsum(levels[some])
            first = end - levels[some]
            pairs = code * end[-1] + first[:, None] + codes[some]
            count = np.bincount(pairs.ravel(), minlength=levels[i] * end[-1]).reshape(levels[i], -1)
            found[i, some] = (np.maximum.reduceat(count, first, axis=1).sum(axis=0) - usual[some]) / (rows - usual[some])
            found[some, i] = (np.add.reduceat(count.max(axis=0), first) - usual[i]) / (rows - usual[i])
    return found
