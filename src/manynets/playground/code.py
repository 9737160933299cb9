"""The setup of a page as a Python program: with manynets, plain PyTorch or scikit-learn."""

from __future__ import annotations

import dataclasses
from typing import Any

from manynets.errors import one_of
from manynets.playground.data_code import data_code, rates_by_step, recipe_so_far, source_of
from manynets.playground.problem import varied
from manynets.playground.setup import TableChoice
from manynets.playground.torch_code import torch_code
from manynets.playground.training import LiveTraining
from manynets.spec import SGD, Adam, Constant, InverseScaling, PiecewiseConstant, Recipe, ReduceOnPlateau
from manynets.steps import total_steps


def code_for(training: LiveTraining, language: str) -> str:
    """Return the setup as a program: "manynets", "pytorch" or "sklearn". It makes as many steps as the page has made."""
    makers = {"manynets": _manynets, "pytorch": torch_code, "sklearn": _sklearn}
    return makers[one_of(language, makers, what="language")](training)


def _imports(lines: list[str]) -> list[str]:
    text = "\n".join(lines)
    out = ["import numpy as np"] if "np." in text else []
    out += ["import polars as pl"] if "pl." in text else []
    more = ["from manynets.schedules import schedule_factors"] if "schedule_factors" in text else []
    return [*out, *([""] if out else []), "import manynets as mn", *more, ""]


def _manynets(training: LiveTraining) -> str:
    experiment, recipe = training.experiment, recipe_so_far(training)
    lines, xy, validation, task = data_code(experiment)
    network = experiment.setup.network
    scaled = "" if isinstance(experiment.setup.data, TableChoice) else "scaling=False, "
    call = f"{xy}, network, recipe, task={task}, validation={validation}, {scaled}progress=False"
    shown = "val_loss" if validation != "None" else "loss"
    recipe_lines = _changed_recipe(training, recipe) if training.rates else _wrapped(f"recipe = {source_of(recipe)}")
    out = [*_imports([*lines, *recipe_lines]), *lines]
    networks = experiment.setup.networks
    if networks.count == 1 or networks.vary == "seed":
        more = f", n_networks={networks.count}" if networks.count > 1 else ""
        out += [f"network = {source_of(network)}", *recipe_lines, f"model = mn.train({call}{more})"]
        if networks.count > 1:
            out.append("# The model predicts the mean of its networks, whose seeds are consecutive.")
        out += [f"print(model.history[{name!r}][-1])" for name in dict.fromkeys(["loss", shown])]
        return "\n".join(out) + "\n"
    if networks.vary == "lr":
        rates = [own.lr for _, own in varied(experiment.setup, network)]
        made = source_of(dataclasses.replace(recipe, optimizer=dataclasses.replace(recipe.optimizer, lr=12345.0))).replace(
            "12345.0", "lr"
        )
        out += [f"network = {source_of(network)}", f"for lr in {rates}:", f"    recipe = {made}"]
    else:
        made = source_of(dataclasses.replace(network, hidden=(1,) * len(network.hidden)))
        made = made.replace(f"hidden={(1,) * len(network.hidden)}", f"hidden=(units,) * {len(network.hidden)}")
        out += [f"recipe = {source_of(recipe)}", f"for units in range(1, {networks.count + 1}):", f"    network = {made}"]
    variable = "lr" if networks.vary == "lr" else "units"
    out += [f"    model = mn.train({call})", f"    print({variable}, model.history[{shown!r}][-1])"]
    return "\n".join(out) + "\n"


def _changed_recipe(training: LiveTraining, recipe: Recipe) -> list[str]:
    """Return the lines of a recipe whose learning rate changes as it did on the page: by hand, and on plateaus."""
    plateau = isinstance(recipe.schedule, ReduceOnPlateau)
    rates = {0: recipe.lr} | (rates_by_step(training) if plateau else dict(training.rates))
    base = next((rate for rate in rates.values() if rate), 1.0)  # which factors can multiply
    if rates[0] == base:
        del rates[0]
    steps, factors = list(rates), [rate / base for rate in rates.values()]
    recipe = dataclasses.replace(recipe, optimizer=dataclasses.replace(recipe.optimizer, lr=base))
    shown = ", ".join(f"{rate:g} after step {step:,}" for step, rate in training.rates)
    note = f"# The learning rate as it was changed on the page: {shown}."
    if plateau or isinstance(recipe.schedule, Constant):
        changed = PiecewiseConstant(steps=tuple(steps), factors=tuple(factors))
        return [note, *_wrapped(f"recipe = {source_of(dataclasses.replace(recipe, schedule=changed))}")]
    every, made = training.steps_per_epoch, training.sample.step
    total = total_steps(training.experiment.setup.recipe, every)
    ends = [*(str(step) for step in steps[1:]), ""]
    parts = [f"factors[{step}:{end}] *= {factor!r}" for step, end, factor in zip(steps, ends, factors, strict=True)]
    rest = source_of(dataclasses.replace(recipe, schedule=Constant())).removesuffix(")")
    return [
        f"factors = schedule_factors({source_of(recipe.schedule)}, np.arange({made}), total={total}, per_epoch={every})",
        note,
        *parts,
        f"schedule = mn.PiecewiseConstant(steps=tuple(range({made})), factors=tuple(factors))",
        *_wrapped(f"recipe = {rest}, schedule=schedule)"),
    ]


def _wrapped(line: str) -> list[str]:
    """Return a call as lines: one, or where that is too long one for each argument."""
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
    without += ["the changes of the learning rate while it was trained"] if training.rates else []
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
    out = [*_imports(lines)[:-1], *head, "", *lines, *notes, f"network = {kind}(\n    {arguments},\n)"]
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
    standard = (
        ["# The page standardises the target; do so with TransformedTargetRegressor where its scale is far from 1."]
        if regression
        else []
    )
    judged = validation[1:-1] if validation.startswith("(") else xy
    return [*standard, f"network.fit({xy})", "print(network.loss_)", f"print(network.score({judged}))"]
