"""What the page shows as Python: with manynets, with plain PyTorch, with scikit-learn."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from manynets.errors import one_of
from manynets.playground.problem import Experiment, varied
from manynets.playground.setup import Drawn, Images, TableChoice, Toy
from manynets.playground.terms import expressions
from manynets.playground.torch_code import torch_code
from manynets.playground.training import LiveTraining
from manynets.spec import MLP, SGD, Adam, Cosine, InverseScaling, OneCycle, Recipe

__all__ = ["code_for", "data_code", "source_of"]


def code_for(training: LiveTraining, language: str) -> str:
    """Return the setup as a program: "manynets", "pytorch" or "sklearn". It makes as many steps as the page has made."""
    makers = {"manynets": _manynets, "pytorch": torch_code, "sklearn": _sklearn}
    return makers[one_of(language, makers, what="language")](training)


def source_of(value: Any) -> str:
    """Return a specification as Python, with the fields that differ from their defaults.

    >>> source_of(MLP(hidden=(8, 8), activation="tanh"))
    "mn.MLP(hidden=(8, 8), activation='tanh')"
    """
    if not dataclasses.is_dataclass(value):
        return repr(value)
    given = []
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if item != default:
            given.append(f"{field.name}={source_of(item)}")
    return f"mn.{type(value).__name__}({', '.join(given)})"


def recipe_so_far(training: LiveTraining) -> Recipe:
    """Return the recipe with the length that the training has reached; that of a schedule over all steps stays as it is."""
    recipe, step, every = training.experiment.setup.recipe, training.sample.step, training.steps_per_epoch
    if not torch.cuda.is_available():
        recipe = dataclasses.replace(recipe, device="auto")
    whole = isinstance(recipe.schedule, Cosine | OneCycle)
    if whole or not step:
        return recipe
    if step % every == 0 and recipe.iterations is None:
        return dataclasses.replace(recipe, epochs=step // every)
    return dataclasses.replace(recipe, epochs=None, iterations=step)


def data_code(experiment: Experiment) -> tuple[list[str], str, str, str]:
    """Return the lines that make X and y, and as code: X and y, the validation rows, the task."""
    setup, source = experiment.setup, experiment.source
    data, task = setup.data, source.task
    plain = setup.terms == ("x1", "x2")
    share = f"{setup.validation:g}" if source.validation is not None else "None"
    terms = [] if plain or isinstance(data, TableChoice | Images) else _inputs_function(experiment)
    if isinstance(data, Toy):
        lines = [f"data = mn.datasets.load({data.name!r}, points={data.points}, noise={data.noise!r}, seed={data.seed})", *terms]
        if plain:
            return lines, "data.X, data.y", "(data.X_validation, data.y_validation)", repr(task)
        return lines, "inputs(data.X), data.y", "(inputs(data.X_validation), data.y_validation)", repr(task)
    if isinstance(data, Drawn):
        rows = ", ".join(f"({a!r}, {b!r}, {c:g})" for a, b, c in data.rows)
        kind = "np.float32" if data.task == "regression" else "np.int64"
        lines = [f"rows = np.array([{rows}], dtype=np.float32)", f"points, y = rows[:, :2], rows[:, 2].astype({kind})", *terms]
        return lines, "points, y" if plain else "inputs(points), y", share, repr(task)
    if isinstance(data, Images):
        return [f"data = mn.datasets.load({data.name!r})", f"X, y = data.X[:{data.rows}], data.y[:{data.rows}]"], "X, y", share, repr(task)
    return _table_code(experiment, data), "X, y", share, "None"


def _inputs_function(experiment: Experiment) -> list[str]:
    made = ", ".join(expressions(experiment.setup.terms))
    return ["", "", "def inputs(points):", "    x1, x2 = points[:, 0], points[:, 1]", f"    return np.column_stack([{made}])", "", ""]


def _table_code(experiment: Experiment, data: TableChoice) -> list[str]:
    table = experiment.source.table
    assert table is not None
    lines = [f"table = mn.tables.read_table({table.shown!r})"]
    if data.columns:
        lines.append(f"table = table.select({[*(name for name in data.columns if name != data.target), data.target]!r})")
    lines.append(f"X, y, _ = mn.tables.split_target(table, {data.target!r}, drop_missing_target=True)")
    more = [term for term in experiment.setup.terms if term not in ("x1", "x2")]
    if more:
        lines.append(f"x1, x2 = X[{data.x!r}].to_numpy().astype(float), X[{data.y!r}].to_numpy().astype(float)")
        made = [f"pl.Series({term!r}, {code}, nan_to_null=True)" for term, code in zip(more, expressions(more), strict=True)]
        lines.append(f"X = X.with_columns({', '.join(made)})")
    return lines


def _imports(experiment: Experiment, lines: list[str]) -> list[str]:
    text = "\n".join(lines)
    out = ["import numpy as np"] if "np." in text else []
    out += ["import polars as pl"] if "pl." in text else []
    return [*out, *([""] if out else []), "import manynets as mn", ""]


def _manynets(training: LiveTraining) -> str:
    experiment, recipe = training.experiment, recipe_so_far(training)
    lines, xy, validation, task = data_code(experiment)
    network = experiment.setup.network
    call = f"{xy}, network, recipe, task={task}, validation={validation}, progress=False"
    shown = "val_loss" if validation != "None" else "loss"
    out = [*_imports(experiment, lines), *lines]
    networks = experiment.setup.networks
    changed = [f"# The learning rate was {lr:g} after step {step:,} on the page; this program does not change it." for step, lr in training.rates]
    if networks.count == 1 or networks.vary == "seed":
        more = f", n_networks={networks.count}" if networks.count > 1 else ""
        out += [f"network = {source_of(network)}", *_wrapped(f"recipe = {source_of(recipe)}"), *changed, f"model = mn.train({call}{more})"]
        if networks.count > 1:
            out.append("# The model predicts the mean of its networks, whose seeds are consecutive.")
        out += [f"print(model.history[{name!r}][-1])" for name in dict.fromkeys(["loss", shown])]
        return "\n".join(out) + "\n"
    several = [(source_of(spec), source_of(dataclasses.replace(recipe, optimizer=own.optimizer))) for spec, own in varied(experiment.setup, network)]
    if networks.vary == "lr":
        rates = [own.lr for _, own in varied(experiment.setup, network)]
        made = source_of(dataclasses.replace(recipe, optimizer=dataclasses.replace(recipe.optimizer, lr=12345.0))).replace("12345.0", "lr")
        out += [f"network = {source_of(network)}", f"for lr in {rates}:", f"    recipe = {made}"]
    else:
        made = source_of(dataclasses.replace(network, hidden=(1,) * len(network.hidden)))
        made = made.replace(f"hidden={(1,) * len(network.hidden)}", f"hidden=(units,) * {len(network.hidden)}")
        out += [f"recipe = {source_of(recipe)}", f"for units in range(1, {len(several) + 1}):", f"    network = {made}"]
    variable = "lr" if networks.vary == "lr" else "units"
    out += [*(f"    {line}" for line in changed), f"    model = mn.train({call})", f"    print({variable}, model.history[{shown!r}][-1])"]
    return "\n".join(out) + "\n"


def _wrapped(line: str) -> list[str]:
    """Return a call that is too long for a line with an argument in each."""
    if len(line) <= 110:
        return [line]
    head, _, rest = line.partition("(")
    parts, depth, start = [], 0, 0
    for i, sign in enumerate(rest[:-1]):
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth == 0:
            parts.append(rest[start:i].strip())
            start = i + 1
    parts.append(rest[start:-1].strip())
    return [f"{head}(", *(f"    {part}," for part in parts), ")"]


# --------------------------------------------------------------------------------------------------------------- scikit-learn

SKLEARN_ACTIVATIONS = {"identity": "identity", "relu": "relu", "tanh": "tanh", "sigmoid": "logistic"}


def _sklearn(training: LiveTraining) -> str:
    experiment, recipe = training.experiment, recipe_so_far(training)
    setup = experiment.setup
    network, regression = setup.network, experiment.data.problem.task.name == "regression"
    kind = "MLPRegressor" if regression else "MLPClassifier"
    lines, xy, validation, _ = data_code(experiment)
    without: list[str] = []
    activation = SKLEARN_ACTIVATIONS.get(network.activation)
    if activation is None:
        without.append(f"activation {network.activation!r} (relu is used)")
    optimizer = recipe.optimizer
    solver = "sgd" if isinstance(optimizer, SGD) else "adam"
    if not isinstance(optimizer, SGD | Adam):
        without.append(f"optimizer {type(optimizer).__name__} (adam is used)")
    batch = training.groups[0].run.stepper.batch_size
    epochs = recipe.epochs or max(1, -(-training.sample.step // training.steps_per_epoch))
    given = {
        "hidden_layer_sizes": network.hidden, "activation": activation or "relu", "solver": solver, "alpha": recipe.l2 * batch,
        "batch_size": batch, "learning_rate_init": recipe.lr, "max_iter": epochs, "shuffle": recipe.shuffle, "random_state": recipe.seed,
        "n_iter_no_change": epochs, "tol": 0.0,
    }  # fmt: skip
    if isinstance(optimizer, SGD):
        given |= {"momentum": optimizer.momentum, "nesterovs_momentum": optimizer.nesterov}
    elif hasattr(optimizer, "betas"):
        given |= {"beta_1": optimizer.betas[0], "beta_2": optimizer.betas[1], "epsilon": getattr(optimizer, "eps", 1e-8)}
    if isinstance(recipe.schedule, InverseScaling):
        without.append("the schedule, which scikit-learn counts in rows")
    elif type(recipe.schedule).__name__ != "Constant":
        without.append(f"the schedule {type(recipe.schedule).__name__}")
    without += [name for name in ("dropout", "input_dropout", "batch_norm", "input_scale", "embedding") if getattr(network, name)]
    without += [name for name in ("l1", "label_smoothing", "clip_norm", "stopping") if getattr(recipe, name)]
    head = ["from sklearn.neural_network import " + kind]
    if isinstance(setup.data, TableChoice):
        head += ["from sklearn.compose import make_column_selector, make_column_transformer", "from sklearn.impute import SimpleImputer",
                 "from sklearn.pipeline import make_pipeline", "from sklearn.preprocessing import OneHotEncoder, StandardScaler"]  # fmt: skip
    notes = ["# scikit-learn draws other initial weights and batches, so the losses differ a little from those of the page."]
    if without:
        notes.append(f"# It has no counterpart for: {', '.join(without)}.")
    arguments = ",\n    ".join(f"{name}={value!r}" for name, value in given.items())
    out = [*_imports(experiment, lines)[:-1], *head, "", *lines, *notes, f"network = {kind}(\n    {arguments},\n)"]
    return "\n".join([*out, *_sklearn_end(setup.data, xy, validation, regression)]) + "\n"


def _sklearn_end(data: Any, xy: str, validation: str, regression: bool) -> list[str]:
    if isinstance(data, TableChoice):
        return [
            "columns = make_column_transformer(",
            "    (make_pipeline(SimpleImputer(strategy='median'), StandardScaler()), make_column_selector(dtype_include='number')),",
            "    (OneHotEncoder(handle_unknown='ignore'), make_column_selector(dtype_exclude='number')),",
            ")",
            "model = make_pipeline(columns, network).fit(X.to_pandas(), y)",
            "print(model.score(X.to_pandas(), y))",
        ]
    standard = ["# The page standardises the target; do so with TransformedTargetRegressor where its scale is far from 1."] if regression else []
    judged = validation.strip("()") if validation.startswith("(") else xy
    return [*standard, f"network.fit({xy})", "print(network.loss_)", f"print(network.score({judged if validation.startswith('(') else xy}))"]
