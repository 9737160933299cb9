"""Optimizers against torch.optim, with one number and with columns; schedules against torch.optim.lr_scheduler."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import manynets as mn
from manynets.optim import GroupedOptimizer, Update, coefficient, step_coefficients
from manynets.schedules import schedule_factors
from manynets.spec import Optimizer, Schedule, SklearnAdam, SklearnInverseScaling
from tests.tolerances import assert_close

STEPS, SIZE = 9, 11


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    """torch's NAdam keeps its product of momenta in the default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class PlainLion(torch.optim.Optimizer):
    """Lion as in the paper's listing (Chen et al. 2023, program 1): the reference, which torch does not have."""

    def __init__(self, parameters: list[nn.Parameter], *, lr: float, betas: tuple[float, float], weight_decay: float) -> None:
        super().__init__(parameters, {"lr": lr})
        self.betas, self.decay, self.mean = betas, weight_decay, torch.zeros_like(parameters[0])

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        w, lr, (beta1, beta2) = self.param_groups[0]["params"][0], self.param_groups[0]["lr"], self.betas
        direction = torch.sign(beta1 * self.mean + (1 - beta1) * w.grad)
        self.mean = beta2 * self.mean + (1 - beta2) * w.grad
        w -= lr * (direction + self.decay * w)


def in_torch(one: Any, parameter: nn.Parameter) -> torch.optim.Optimizer:
    """Return torch's optimizer for a specification."""
    rest = {"lr": one.lr, "weight_decay": one.weight_decay, "foreach": False}
    match one:
        case mn.SGD():
            return torch.optim.SGD([parameter], momentum=one.momentum, nesterov=one.nesterov, **rest)
        case mn.RMSprop():
            return torch.optim.RMSprop([parameter], alpha=one.alpha, eps=one.eps, momentum=one.momentum, **rest)
        case mn.Adagrad():
            return torch.optim.Adagrad([parameter], eps=one.eps, **rest)
        case mn.Lion():
            return PlainLion([parameter], lr=one.lr, betas=one.betas, weight_decay=one.weight_decay)
    kind = {"Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW, "NAdam": torch.optim.NAdam}[type(one).__name__]
    return kind([parameter], betas=one.betas, eps=one.eps, **rest)


ALIKE: list[Optimizer] = [
    mn.SGD(lr=0.1),
    mn.SGD(lr=0.1, weight_decay=0.3),
    mn.SGD(lr=0.1, momentum=0.9),
    mn.SGD(lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.1),
    mn.Adam(lr=0.1),
    mn.Adam(lr=0.1, betas=(0.5, 0.7), eps=1e-3, weight_decay=0.2),
    mn.AdamW(lr=0.1),
    mn.AdamW(lr=0.1, betas=(0.5, 0.7), eps=1e-3, weight_decay=0.5),
    mn.NAdam(lr=0.1),
    mn.NAdam(lr=0.1, betas=(0.5, 0.7), eps=1e-3, weight_decay=0.2),
    mn.RMSprop(lr=0.1),
    mn.RMSprop(lr=0.1, alpha=0.5, eps=1e-3, momentum=0.7, weight_decay=0.2),
    mn.Adagrad(lr=0.1),
    mn.Adagrad(lr=0.1, eps=1e-3, weight_decay=0.2),
    mn.Lion(lr=0.1),
    mn.Lion(lr=0.1, betas=(0.5, 0.7), weight_decay=0.2),
]
DIFFERENT: dict[str, list[Any]] = {
    "sgd": [mn.SGD(lr=0.1), mn.SGD(lr=0.2, momentum=0.9), mn.SGD(lr=0.01, momentum=0.5, weight_decay=0.3)],
    "nesterov": [mn.SGD(lr=0.1 * k, momentum=0.3 * k, nesterov=True, weight_decay=0.1 * k) for k in (1, 2, 3)],
    "adam": [
        mn.Adam(lr=0.1),
        mn.Adam(lr=0.2, betas=(0.5, 0.6), eps=1e-3),
        mn.Adam(lr=0.3, betas=(0.0, 0.9), weight_decay=0.4),
    ],
    "adam, other lr": [mn.Adam(lr=0.1 * k) for k in (1, 2, 3)],
    "adamw": [
        mn.AdamW(lr=0.1, weight_decay=0.0),
        mn.AdamW(lr=0.2, betas=(0.5, 0.6), eps=1e-3),
        mn.AdamW(lr=0.3, betas=(0.0, 0.9), weight_decay=0.4),
    ],
    "nadam": [mn.NAdam(lr=0.1), mn.NAdam(lr=0.2, betas=(0.5, 0.6), eps=1e-3), mn.NAdam(lr=0.3, weight_decay=0.4)],
    "rmsprop": [
        mn.RMSprop(lr=0.1),
        mn.RMSprop(lr=0.2, alpha=0.5, eps=1e-3, momentum=0.9),
        mn.RMSprop(lr=0.3, weight_decay=0.4),
    ],
    "adagrad": [mn.Adagrad(lr=0.1), mn.Adagrad(lr=0.2, eps=1e-3), mn.Adagrad(lr=0.3, weight_decay=0.4)],
    "lion": [mn.Lion(lr=0.1), mn.Lion(lr=0.2, betas=(0.5, 0.6)), mn.Lion(lr=0.3, betas=(0.0, 0.9), weight_decay=0.4)],
}


class Steps:
    """The steps of K networks' optimizers on their gradients, as a stepper makes them."""

    def __init__(self, specs: list[Any], flat: torch.Tensor) -> None:
        self.flat, self.grad = flat, torch.zeros_like(flat)
        recipes = [mn.Recipe(optimizer=one) for one in specs]
        self.optimizer = GroupedOptimizer(recipes, {"all": (flat.shape[1],)}, flat)
        self.state = {name: torch.zeros_like(flat) for name in self.optimizer.first.state_names}
        self.update = Update(self.optimizer, recipes, flat, self.grad, self.state, 0)

    def plan(self, rates: np.ndarray, step: int) -> list[Any]:
        return step_coefficients(self.optimizer.coefficients(rates, step), self.flat)


def assert_equal_steps(specs: list[Any], *, chunks: tuple[int, ...] = (2, 1, 6), decay: float = 0.9) -> None:
    """Make steps with a falling learning rate, planned in chunks, and compare with torch after each."""
    random = np.random.default_rng(0)
    start, gradients = random.standard_normal((len(specs), SIZE)), random.standard_normal((STEPS, len(specs), SIZE))
    flat = torch.from_numpy(start.copy())
    ours = Steps(specs, flat)
    theirs = [nn.Parameter(torch.from_numpy(row.copy())) for row in start]
    makers = [in_torch(one, parameter) for one, parameter in zip(specs, theirs, strict=True)]
    lrs, step = np.array([one.lr for one in specs]), 0
    for count in chunks:
        for now in ours.plan(lrs * decay ** np.arange(step, step + count)[:, None], step):
            ours.grad.copy_(torch.from_numpy(gradients[step]))
            ours.update.step(now)
            for k, maker in enumerate(makers):
                theirs[k].grad = torch.from_numpy(gradients[step, k].copy())
                maker.param_groups[0]["lr"] = lrs[k] * decay**step
                maker.step()
            step += 1
            assert_close(flat, torch.stack([p.detach() for p in theirs]), "float64", what=f"step {step}")
    assert step == STEPS


@pytest.mark.parametrize("networks", [1, 3])
@pytest.mark.parametrize("one", ALIKE, ids=str)
def test_alike_is_torch(one: Optimizer, networks: int) -> None:
    assert_equal_steps([one] * networks)


@pytest.mark.parametrize("name", DIFFERENT)
def test_columns_are_torch(name: str) -> None:
    assert_equal_steps(DIFFERENT[name])


@pytest.mark.parametrize("name", DIFFERENT)
def test_going_on_from_a_copied_state_is_the_same(name: str) -> None:
    """What the loop does when a network leaves: a new optimizer gets the state of those that stay."""
    specs = DIFFERENT[name]
    random = np.random.default_rng(1)
    lrs, whole = np.array([[one.lr for one in specs]]), Steps(specs, torch.from_numpy(random.standard_normal((3, SIZE))))
    for step in range(3):
        whole.grad.copy_(torch.from_numpy(random.standard_normal((3, SIZE))))
        whole.update.step(whole.plan(lrs, step)[0])
    kept = Steps(specs[1:], whole.flat[1:].clone())
    for key, tensor in kept.state.items():
        tensor.copy_(whole.state[key][1:])
    for step in range(3, 6):
        gradient = torch.from_numpy(random.standard_normal((3, SIZE)))
        for steps, rates in ((whole, lrs), (kept, lrs[:, 1:])):
            steps.grad.copy_(gradient[3 - len(steps.grad) :])
            steps.update.step(steps.plan(rates, step)[0])
    assert_close(kept.flat, whole.flat[1:].clone(), "float64")


def test_a_coefficient_is_a_number_where_all_agree_and_a_column_elsewhere() -> None:
    like = torch.zeros(2, 3, dtype=torch.float64)
    assert coefficient([0.5, 0.5], like) == 0.5
    column = coefficient([0.5, 1.5], like, ndim=3)
    assert isinstance(column, torch.Tensor)
    assert_close(column, torch.tensor([0.5, 1.5], dtype=torch.float64).view(2, 1, 1), "bits")
    alike, unlike = step_coefficients(np.array([[[1.0, 1.0]], [[2.0, 3.0]]]), like)
    assert alike == [1.0]
    assert_close(unlike[0], torch.tensor([[2.0], [3.0]], dtype=torch.float64), "bits")


@pytest.mark.parametrize("name", ["adam", "nadam", "rmsprop", "lion"])
def test_blocks_are_the_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manynets.optim.update.BLOCK", 12)  # 4 of the 11 columns of three networks
    assert_equal_steps(DIFFERENT[name])


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("one", ALIKE, ids=str)
def test_a_gradient_that_is_not_finite_shows_in_the_weights(one: Any, value: float) -> None:
    """Or a run that has diverged would go on as if it had not."""
    steps = Steps([one, one], torch.zeros(2, SIZE, dtype=torch.float64))
    for step in range(2):
        steps.grad.fill_(1.0)[0, 3] = value
        steps.update.step(steps.plan(np.full((1, 2), 0.1), step)[0])
    assert torch.isfinite(steps.flat).logical_not().nonzero().tolist() == [[0, 3]]


def test_adam_as_in_scikit_learn_adds_eps_before_the_correction() -> None:
    """By hand: w -= lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + eps). A large eps, so that it matters where it is added."""
    specs = [SklearnAdam(lr=0.1, betas=(0.5, 0.7), eps=0.5), SklearnAdam(lr=0.2, eps=0.1)]
    random = np.random.default_rng(2)
    w, m, v = random.standard_normal((2, SIZE)), np.zeros((2, SIZE)), np.zeros((2, SIZE))
    steps = Steps(specs, torch.from_numpy(w.copy()))
    lr, eps = np.array([[0.1], [0.2]]), np.array([[0.5], [0.1]])
    beta1, beta2 = np.array([[0.5], [0.9]]), np.array([[0.7], [0.999]])
    for t in range(1, 5):
        g = random.standard_normal((2, SIZE))
        steps.grad.copy_(torch.from_numpy(g))
        steps.update.step(steps.plan(lr.T, t - 1)[0])
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        w = w - lr * np.sqrt(1 - beta2**t) / (1 - beta1**t) * m / (np.sqrt(v) + eps)
        assert_close(steps.flat, torch.from_numpy(w), "float64", what=f"step {t}")


def test_penalties_and_clipping_by_hand() -> None:
    """Of the four columns the first three are weights; the norm of [3, -4, 12, 0] is 13."""
    recipes = [
        mn.Recipe(optimizer=mn.SGD(), l1=0.1, l2=0.2),
        mn.Recipe(optimizer=mn.SGD(), clip_norm=6.5),
        mn.Recipe(optimizer=mn.SGD()),
    ]
    flat = torch.tensor([[1.0, -2.0, 0.0, 3.0]]).repeat(3, 1)
    grad = torch.tensor([[3.0, -4.0, 12.0, 0.0]]).repeat(3, 1)
    optimizer = GroupedOptimizer(recipes, {"all": (4,)}, flat)
    update = Update(optimizer, recipes, flat, grad, {}, 3)
    penalty = update.penalty()
    assert penalty is not None
    assert penalty.tolist() == pytest.approx([0.1 * 3 + 0.5 * 0.2 * 5, 0.0, 0.0])
    update.step(step_coefficients(optimizer.coefficients(np.full((1, 3), 1.0), 0), flat)[0])
    moved = flat - torch.tensor([1.0, -2.0, 0.0, 3.0])
    assert moved[0].tolist() == pytest.approx([-(3 + 0.1 + 0.2), 4 + 0.1 + 0.4, -12.0, 0.0])
    assert moved[1].tolist() == pytest.approx([-1.5, 2.0, -6.0, 0.0], rel=1e-5)
    assert moved[2].tolist() == [-3.0, 4.0, -12.0, 0.0]


# -------------------------------------------------------------------------------------------------------------- schedules

TOTAL, PER_EPOCH, LR = 40, 8, 0.3
Scheduler = Callable[[torch.optim.Optimizer], Any]
s = torch.optim.lr_scheduler

IN_TORCH: dict[str, tuple[Schedule, Scheduler, bool]] = {  # and whether torch's is stepped once an epoch
    "constant": (mn.Constant(), lambda o: s.ConstantLR(o, factor=1.0), False),
    "cosine": (mn.Cosine(), lambda o: s.CosineAnnealingLR(o, T_max=TOTAL), False),
    "cosine to a tenth": (mn.Cosine(final=0.1), lambda o: s.CosineAnnealingLR(o, T_max=TOTAL, eta_min=0.1 * LR), False),
    "one cycle": (
        mn.OneCycle(),
        lambda o: s.OneCycleLR(o, max_lr=LR, total_steps=TOTAL, cycle_momentum=False),
        False,
    ),
    "one cycle, other shape": (
        mn.OneCycle(rise=0.13, start_factor=10.0, final_factor=100.0),
        lambda o: s.OneCycleLR(
            o, max_lr=LR, total_steps=TOTAL, pct_start=0.13, div_factor=10.0, final_div_factor=100.0, cycle_momentum=False
        ),
        False,
    ),
    "warmup": (mn.Warmup(steps=10), lambda o: s.LinearLR(o, start_factor=0.1, total_iters=9), False),
    "step": (mn.StepDecay(every=2, gamma=0.3), lambda o: s.StepLR(o, step_size=2, gamma=0.3), True),
    "piecewise": (
        mn.PiecewiseConstant(steps=(3, 17), factors=(0.5, 0.25)),
        lambda o: s.MultiStepLR(o, milestones=[3, 17], gamma=0.5),
        False,
    ),
    "exponential": (mn.Exponential(gamma=0.7), lambda o: s.ExponentialLR(o, gamma=0.7), True),
}


@pytest.mark.parametrize("name", IN_TORCH)
def test_schedule_is_torch(name: str) -> None:
    schedule, make, by_epoch = IN_TORCH[name]
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler = make(optimizer)
    expected = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch misses optimizer.step() before scheduler.step()
        for step in range(TOTAL):
            expected.append(optimizer.param_groups[0]["lr"])
            if not by_epoch or (step + 1) % PER_EPOCH == 0:
                scheduler.step()
    actual = LR * schedule_factors(schedule, np.arange(TOTAL), total=TOTAL, per_epoch=PER_EPOCH)
    assert_close(actual, np.array(expected, dtype=np.float64), "float64")
    for start, stop in ((0, 1), (3, 17), (39, 40)):  # any stretch of steps can be had alone
        part = schedule_factors(schedule, np.arange(start, stop), total=TOTAL, per_epoch=PER_EPOCH)
        assert_close(LR * part, actual[start:stop], "bits")


def test_cosine_with_warm_up_by_hand() -> None:
    factors = schedule_factors(mn.Cosine(warmup=0.4, final=0.5), np.arange(5), total=5, per_epoch=1)
    cosine = [0.5 + 0.25 * (1 + np.cos(np.pi * t / 3)) for t in range(3)]
    assert_close(factors, np.array([0.5, 1.0, *cosine]), "float64")


def test_inverse_scaling_by_hand() -> None:
    factors = schedule_factors(SklearnInverseScaling(power=0.5, rows=8, start=3), np.arange(4), total=4, per_epoch=2)
    assert_close(factors, np.array([0.5, 0.5, 12**-0.5, 12**-0.5]), "float64")


def plateau_in_torch(losses: list[float], schedule: mn.ReduceOnPlateau, lr: float) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = s.ReduceLROnPlateau(
        optimizer, factor=schedule.factor, patience=schedule.patience, threshold=schedule.min_delta, threshold_mode="abs",
        min_lr=schedule.min_lr,
    )  # fmt: skip
    out = []
    for loss in losses:
        out.append(optimizer.param_groups[0]["lr"])
        scheduler.step(loss)
    return out


@pytest.mark.parametrize(
    "schedule",
    [
        mn.ReduceOnPlateau(factor=0.5, patience=1, min_delta=0.01),
        mn.ReduceOnPlateau(factor=0.3, patience=0, min_delta=0.05, min_lr=0.02),
    ],
)
def test_plateau_inside_the_loop_is_torch(schedule: mn.ReduceOnPlateau) -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((60, 3))
    recipe = mn.Recipe(optimizer=mn.SGD(lr=0.5), schedule=schedule, epochs=25, batch_size=10, dtype="float64")
    for validation in (None, 0.5):
        history = mn.train(
            x, random.integers(0, 2, 60), mn.MLP(hidden=(8,)), recipe, validation=validation, scaling=False, progress=False
        ).history
        watched = history["val_loss" if validation else "loss"]
        assert_close(np.array(history["lr"]), np.array(plateau_in_torch(watched, schedule, 0.5)), "float64")
        assert min(history["lr"]) < 0.2  # it did fall


def test_plateau_never_raises_the_rate() -> None:
    recipe = mn.Recipe(optimizer=mn.SGD(lr=1e-9), schedule=mn.ReduceOnPlateau(patience=0, min_lr=0.1), epochs=4, dtype="float64")
    history = mn.train(np.ones((4, 1)), [0, 1, 0, 1], mn.MLP(hidden=()), recipe, scaling=False, progress=False).history
    assert history["lr"] == [1e-9] * 4


def test_plain_sgd_is_clipped_in_every_stepper() -> None:
    X = np.random.default_rng(0).standard_normal((32, 3))
    weights = []
    for stepper in ("compiled", "closed_form", "autograd"):
        recipe = mn.Recipe(optimizer=mn.SGD(lr=0.5), clip_norm=0.01, epochs=2, batch_size=16, gradient=stepper)  # type: ignore[arg-type]
        weights.append(
            mn.train(X, X[:, 0], mn.MLP(hidden=(4,)), recipe, scaling=False, progress=False).members[0]["hidden0.weight"]
        )
    assert_close(weights[0], weights[2], "float32")
    assert_close(weights[1], weights[2], "float32")
