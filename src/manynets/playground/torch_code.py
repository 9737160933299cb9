"""The setup as plain PyTorch, with the loop written out. Initial weights and batches are manynets' own, so that the losses are the same."""

from __future__ import annotations

import dataclasses

from manynets.errors import OptionError
from manynets.nn.activations import ACTIVATIONS
from manynets.playground.data_code import data_code, rates_by_step, recipe_so_far
from manynets.playground.problem import Experiment, varied
from manynets.playground.setup import TableChoice, Toy
from manynets.playground.training import LiveTraining
from manynets.spec import MLP, SGD, Adagrad, Adam, AdamW, Lion, NAdam, Recipe, RMSprop
from manynets.spec import schedules as kinds
from manynets.steps import evaluation_steps, total_steps

STREAM = '''MASK, GOLDEN = (1 << 64) - 1, 0x9E3779B97F4A7C15


def mix(word):
    word &= MASK
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        word = ((word ^ (word >> shift)) * factor) & MASK
    return word ^ (word >> 31)


def stream(seed, *path):
    """A generator of random numbers, as manynets has it: 1, layer for initial weights, and 2, epoch for the order of rows."""
    key = mix(seed + GOLDEN)
    for coordinate in path:
        key = mix(key + GOLDEN * (coordinate + 1))
    return np.random.Generator(np.random.Philox(key=key))
'''
INIT = {
    "torch": "random.uniform(-1, 1, (d_out, d_in)) / math.sqrt(d_in)",
    "normal_fan_in": "random.standard_normal((d_out, d_in)) / d_in",
    "randn_sqrt_fan_in": "random.standard_normal((d_out, d_in)) / math.sqrt(d_in)",
    "xavier_uniform": "random.uniform(-1, 1, (d_out, d_in)) * math.sqrt(6 / (d_in + d_out))",
    "xavier_normal": "random.standard_normal((d_out, d_in)) * math.sqrt(2 / (d_in + d_out))",
    "kaiming_uniform": "random.uniform(-1, 1, (d_out, d_in)) * math.sqrt(6 / d_in)",
    "kaiming_normal": "random.standard_normal((d_out, d_in)) * math.sqrt(2 / d_in)",
    "orthogonal": "orthogonal(random, d_out, d_in)",
}
ORTHOGONAL = """

def orthogonal(random, d_out, d_in):
    q, r = np.linalg.qr(random.standard_normal((max(d_out, d_in), min(d_out, d_in))))
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return q if d_out >= d_in else q.T
"""
OPTIMIZERS: dict[type, tuple[str, tuple[str, ...]]] = {
    SGD: ("SGD", ("momentum", "nesterov", "weight_decay")),
    Adam: ("Adam", ("betas", "eps", "weight_decay")),
    AdamW: ("AdamW", ("betas", "eps", "weight_decay")),
    NAdam: ("NAdam", ("betas", "eps", "weight_decay")),
    RMSprop: ("RMSprop", ("alpha", "eps", "momentum", "weight_decay")),
    Adagrad: ("Adagrad", ("eps", "weight_decay")),
}
LOSSES = {
    "squared_error": ("((scores - target) ** 2).mean()", 2),
    "half_squared_error": ("0.5 * ((scores - target) ** 2).mean()", 2),
    "absolute_error": ("(scores - target).abs().mean()", 1),
    "huber": ("nn.functional.huber_loss(scores, target, delta=DELTA)", 2),
}


def torch_code(training: LiveTraining) -> str:
    """Return a program in plain PyTorch, which makes as many steps as the page has made. Errors: OptionError that names what has no
    counterpart."""
    experiment, recipe = training.experiment, recipe_so_far(training)
    network, first = varied(experiment.setup, experiment.setup.network)[0]
    recipe = dataclasses.replace(recipe, optimizer=first.optimizer)
    _refuse(training, network, recipe)
    lines, xy, validation, _ = data_code(experiment)
    parts = [
        _head(lines),
        *_data(experiment, lines, xy, validation, recipe),
        STREAM + (ORTHOGONAL if network.init == "orthogonal" else ""),
        *_network(experiment, network, recipe, count=len(experiment.members)),
        *_loop(training, network, recipe, validated=validation != "None"),
    ]
    return "\n".join(parts) + "\n"


def _refuse(training: LiveTraining, network: MLP, recipe: Recipe) -> None:
    experiment = training.experiment
    without = [name for name in ("input_scale", "prior", "embedding") if getattr(network, name)]
    if isinstance(recipe.optimizer, Lion):
        without.append("Lion")
    if network.init not in INIT:
        without.append(f"init={network.init!r}")
    if recipe.groups:
        without.append("groups")
    if recipe.stopping is not None and recipe.stopping.cool_down is not None:
        without.append("stopping.cool_down")
    if evaluation_steps(recipe, training.steps_per_epoch) != training.steps_per_epoch:
        without.append("evaluate_every")
    if isinstance(recipe.schedule, kinds.ReduceOnPlateau) and len(experiment.members) > 1:
        without.append("ReduceOnPlateau of several networks")
    if experiment.data.problem.task.name == "regression" and (recipe.loss or "squared_error") not in LOSSES:
        without.append(f"loss={recipe.loss!r}")
    if without:
        raise OptionError(
            f"The page writes no plain PyTorch for {', '.join(without)}. Copy the manynets program, or set it back to the default."
        )


def _head(lines: list[str]) -> str:
    text = "\n".join(lines)
    polars = ["import polars as pl"] if "pl." in text else []
    out = ["import math", "", "import numpy as np", *polars, "import torch", "from torch import nn", ""]
    return "\n".join([*out, "import manynets as mn  # for the data only", ""])


def _data(experiment: Experiment, lines: list[str], xy: str, validation: str, recipe: Recipe) -> list[str]:
    setup, task = experiment.setup, experiment.data.problem.task
    dtype = "torch.float64" if recipe.dtype == "float64" else "torch.float32"
    out = [*lines, f"torch.set_default_dtype({dtype})", f"X, y = {xy}" if xy != "X, y" else ""]
    if isinstance(setup.data, Toy):
        out.append(f"X_validation, y_validation = {validation[1:-1]}")
    elif validation != "None":
        out += [
            "from manynets.prepare import validation_split  # the rows that the page trains on",
            "from manynets.targets import find_target",
            "",
        ]
        out += [f"split = validation_split(find_target(y, {experiment.source.task!r}), {validation}, seed={recipe.seed})"]
        if isinstance(setup.data, TableChoice):
            out.append("X = mn.tables.fit_encoder(X, rows=split.train, y=y).transform(X)")
        out.append("X, y, X_validation, y_validation = X[split.train], y[split.train], X[split.held_out], y[split.held_out]")
    elif isinstance(setup.data, TableChoice):
        out.append("X = mn.tables.fit_encoder(X, y=y).transform(X)")
    parts = ["X", *(["X_validation"] if validation != "None" else [])]
    out += [f"{name} = torch.tensor({name}, dtype={dtype})" for name in parts]
    ys = [name.replace("X", "y") for name in parts]
    if task.name == "regression":
        out.append(
            "center, scale = float(np.mean(y, dtype=np.float64)), float(np.std(y, dtype=np.float64))  # of the rows to train on"
        )
        out += [
            f"{name} = torch.tensor((np.asarray({name}, dtype=np.float64) - center) / scale, dtype={dtype})[:, None]" for name in ys
        ]
    else:
        out.append(f"classes = np.array({list(task.classes)!r})")  # type: ignore[attr-defined]
        out += [f"{name} = torch.tensor(np.searchsorted(classes, {name}))" for name in ys]
        if task.name == "binary":
            out += [f"{name} = {name}.to({dtype})[:, None]" for name in ys]
    return [line for line in out if line] + ["", ""]


def _network(experiment: Experiment, network: MLP, recipe: Recipe, *, count: int) -> list[str]:
    sizes = [experiment.data.in_features, *network.hidden, experiment.data.problem.task.outputs]
    activation = type(ACTIVATIONS[network.activation].module()).__name__
    bias = "" if network.bias else ", bias=False"
    layers = [f"nn.Dropout({network.input_dropout!r})"] if network.input_dropout else []
    for i, units in enumerate(network.hidden):
        layers.append(f"nn.Linear({sizes[i]}, {units}{bias})")
        layers += [f"nn.BatchNorm1d({units})"] if network.batch_norm else []
        layers.append(f"nn.{activation}()")
        layers += [f"nn.Dropout({network.dropouts[i]!r})"] if network.dropouts[i] else []
    layers.append(f"nn.Linear({sizes[-2]}, {sizes[-1]}{bias})")
    start = [
        "linear = [layer for layer in network if isinstance(layer, nn.Linear)]",
        "for i, layer in enumerate(linear):",
        f"    random, (d_out, d_in) = stream({recipe.seed}, 1, i), layer.weight.shape",
        f"    layer.weight.data = torch.tensor({INIT[network.init]}, dtype=layer.weight.dtype)",
    ]
    if network.bias:
        made = "torch.tensor(random.uniform(-1, 1, d_out) / math.sqrt(d_in), dtype=layer.weight.dtype)"
        start.append(f"    layer.bias.data = {made if network.init == 'torch' else 'torch.zeros(d_out)'}")
    note = (
        ["# nn.Dropout draws other masks than manynets, so the losses differ a little from those of the page."]
        if any(network.dropouts) or network.input_dropout
        else []
    )
    note += [f"# The first of the {count} networks that the page trains."] if count > 1 else []
    return ["", "network = nn.Sequential(", *(f"    {layer}," for layer in layers), ")", *note, *start]


def _loop(training: LiveTraining, network: MLP, recipe: Recipe, *, validated: bool) -> list[str]:
    experiment = training.experiment
    task, batch, every = experiment.data.problem.task.name, training.groups[0].run.stepper.batch_size, training.steps_per_epoch
    name, fields = OPTIMIZERS[type(recipe.optimizer)]
    options = "".join(f", {field}={getattr(recipe.optimizer, field)!r}" for field in fields)
    objective, unit = _objective(recipe, task)
    smooth = recipe.label_smoothing and task != "regression"
    given = f", smoothing={recipe.label_smoothing!r}" if smooth else ""
    out = ["", "", f"def objective(scores, target{', smoothing=0.0' if smooth else ''}):", f"    return {objective}", "", ""]
    out.append(f"optimizer = torch.optim.{name}(network.parameters(), lr={recipe.lr!r}{options})")
    factor = _factor(recipe, total_steps(experiment.setup.recipe, every))
    steps = training.sample.step or total_steps(recipe, every)
    changes = rates_by_step(training)
    if changes:
        out += [f"rates = {changes}  # by the steps after which they changed: by hand, or on a plateau", f"base = {recipe.lr!r}"]
    if recipe.stopping is not None:
        out.append("# Early stopping is not written out: this program makes as many steps as the page has made.")
    order = f"stream({recipe.seed}, 2, epoch).permutation(len(X))" if recipe.shuffle else "np.arange(len(X))"
    out += [
        "step = 0",
        f"for epoch in range({-(-steps // every)}):",
        "    network.train()",
        "    total = seen = 0.0",
        f"    order = torch.from_numpy({order})",
    ]
    if network.batch_norm:
        out += [f"    batches = list(order.split({batch}))", "    if len(batches[-1]) == 1 and len(batches) > 1:  # too few for batch norm",
                "        batches[-2:] = [torch.cat(batches[-2:])]"]  # fmt: skip
    out.append(f"    for rows in {'batches' if network.batch_norm else f'order.split({batch})'}:")
    if steps % every:
        out += [f"        if step == {steps}:", "            break"]
    if changes:
        out.append("        base = rates.get(step, base)")
    if factor or changes:
        out += [
            "        for group in optimizer.param_groups:",
            f"            group['lr'] = {'base' if changes else repr(recipe.lr)} * {factor or '1.0'}",
        ]
    out += ["        optimizer.zero_grad()", f"        loss = objective(network(X[rows]), y[rows]{given})"]
    out += _penalties(recipe)
    out += [
        "        optimizer.step()",
        "        step += 1",
        f"        total, seen = total + loss.item(){unit} * len(rows), seen + len(rows)",
        "print(total / seen)",
    ]
    if validated:
        judged = f"    print(objective(network(X_validation), y_validation).item(){unit})"
        out += ["network.eval()", "with torch.no_grad():", judged]
    return out


def _penalties(recipe: Recipe) -> list[str]:
    terms = []
    if recipe.l1:
        terms.append(f"{recipe.l1!r} * sum(layer.weight.abs().sum() for layer in linear)")
    if recipe.l2:
        terms.append(f"{recipe.l2 / 2!r} * sum((layer.weight**2).sum() for layer in linear)")
    out = [f"        ({' + '.join(['loss', *terms])}).backward()" if terms else "        loss.backward()"]
    if recipe.clip_norm is not None:
        out.append(f"        nn.utils.clip_grad_norm_(network.parameters(), {recipe.clip_norm!r})")
    return out


def _objective(recipe: Recipe, task: str) -> tuple[str, str]:
    """Return the loss as code, and the factor that converts it to the unit of the target."""
    smoothing = recipe.label_smoothing
    if task == "regression":
        code, power = LOSSES[recipe.loss or "squared_error"]
        return code.replace("DELTA", repr(recipe.delta)), f" * scale**{power}"
    if task == "binary":
        target = "(1 - smoothing) * target + smoothing / 2" if smoothing else "target"
        return f"nn.functional.binary_cross_entropy_with_logits(scores, {target})", ""
    more = ", label_smoothing=smoothing" if smoothing else ""
    return f"nn.functional.cross_entropy(scores, target{more})", ""


def _factor(recipe: Recipe, total: int) -> str:
    """Return the schedule's factor as code, "" where it is 1. total: steps of the whole training."""
    schedule = recipe.schedule
    match schedule:
        case kinds.Warmup():
            return f"min(1.0, (step + 1) / {schedule.steps})"
        case kinds.StepDecay():
            return f"{schedule.gamma!r} ** (epoch // {schedule.every})"
        case kinds.Exponential():
            return f"{schedule.gamma!r} ** epoch"
        case kinds.InverseScaling():
            return f"(1.0 + epoch) ** -{schedule.power!r}"
        case kinds.OneCycle():
            top, low = schedule.rise * total - 1, 1 / schedule.start_factor
            up = f"1.0 + {low - 1!r} * 0.5 * (1 + math.cos(math.pi * step / {top!r}))" if top > 0 else "1.0"
            end = low / schedule.final_factor
            fall = f"{end!r} + {1 - end!r} * 0.5 * (1 + math.cos(math.pi * (step - {top!r}) / {max(total - 1 - top, 1e-12)!r}))"
            return f"({up} if step <= {top!r} else {fall})"
        case kinds.PiecewiseConstant():
            return f"{(1.0, *schedule.factors)}[sum(step >= first for first in {schedule.steps})]"
        case kinds.Cosine():
            warm = round(schedule.warmup * total)
            fall = f"{schedule.final!r} + {1 - schedule.final!r} * 0.5 * (1 + math.cos(math.pi * (step - {warm}) / {max(total - warm, 1)}))"
            return f"((step + 1) / {warm} if step < {warm} else {fall})" if warm else f"({fall})"
    return ""
