"""What needs a CUDA device: the steps there are those of the CPU, as graphs and in the open; resume, precisions, `Model.to`."""

from __future__ import annotations

import dataclasses
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import manynets as mn
from manynets.data.batches import Rows
from manynets.model import ROWS_AT_ONCE
from manynets.nn.dropout import Masks
from manynets.training.checkpoint import Checkpoint
from manynets.training.events import Evaluated, Event
from manynets.training.loop import TrainingRun
from manynets.training.steppers.choice import make_stepper
from manynets.training.steppers.closed_form import ClosedForm
from manynets.training.steppers.cuda_graph import CapturedStep
from manynets.training.torch_settings import torch_modes
from manynets.training.trial import Member, Outcome, Problem
from tests.tolerances import assert_close
from tests.training.problems import assert_same_outcome, member_of, problem_of

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
    pytest.mark.filterwarnings("ignore:Attempting to run cuBLAS"),  # torch says so once, in autograd's own thread
    pytest.mark.filterwarnings("ignore:Synchronization debug mode"),  # that it is a prototype
]

DEVICE = "cuda"
KINDS = {"float64": "float64_run", "float32": "float32_run"}
DTYPES = {"float64": torch.float64, "float32": torch.float32}


def moved(problem: Problem, device: str = DEVICE) -> Problem:
    """Return the problem on a device."""

    def rows(one: Rows | None) -> Rows | None:
        if one is None:
            return None
        return Rows(one.x.to(device), one.target.to(device), None if one.weight is None else one.weight.to(device))

    here = rows(problem.rows)
    assert here is not None
    return Problem(problem.task, here, rows(problem.validation))


def trained(problem: Problem, members: list[Member]) -> tuple[list[Outcome], TrainingRun]:
    """Train members together as `train_members` does; return their outcomes and the run."""
    with torch_modes(problem.rows.x.device, autograd=members[0].recipe.gradient == "autograd"):
        run = TrainingRun(problem, members)
        return run.run(), run


def check_as_on_the_cpu(problem: Problem, members: list[Member]) -> TrainingRun:
    here, _ = trained(problem, members)
    there, run = trained(moved(problem), members)
    for one, other in zip(there, here, strict=True):
        assert_same_outcome(one, other, KINDS[members[0].recipe.dtype])
    return run


RECIPES: dict[str, tuple[str, mn.MLP, mn.Recipe]] = {
    "sgd": ("multiclass", mn.MLP(hidden=(6, 5)), mn.Recipe(optimizer=mn.SGD(lr=0.1))),
    "no hidden layer": ("binary", mn.MLP(hidden=()), mn.Recipe(optimizer=mn.SGD(lr=0.1))),
    "dropout": (
        "multiclass",
        mn.MLP(hidden=(9, 5), dropout=0.3, input_dropout=0.1),
        mn.Recipe(optimizer=mn.SGD(lr=0.1, momentum=0.9)),
    ),
    "batch norm": ("binary", mn.MLP(hidden=(6, 5), batch_norm=True), mn.Recipe(optimizer=mn.AdamW(lr=0.01, eps=1e-4))),
    "penalties": (
        "regression2",
        mn.MLP(hidden=(6,), activation="tanh"),
        mn.Recipe(optimizer=mn.Adam(lr=0.01, eps=1e-4), l1=0.01, l2=0.1, clip_norm=1.0),
    ),
    "nadam": ("multilabel", mn.MLP(hidden=(6,), activation="gelu"), mn.Recipe(optimizer=mn.NAdam(lr=0.01, eps=1e-4))),
    "rmsprop": ("regression", mn.MLP(hidden=(6,), activation="mish"), mn.Recipe(optimizer=mn.RMSprop(lr=0.001, eps=1e-3))),
    "smoothing": ("multiclass", mn.MLP(hidden=(6,), activation="selu", bias=False), mn.Recipe(label_smoothing=0.1)),
    "schedule": ("regression", mn.MLP(hidden=(6,)), mn.Recipe(schedule=mn.Cosine(), optimizer=mn.Adagrad(lr=0.01, eps=1e-4))),
}


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", RECIPES)
def test_closed_form_on_cuda_is_that_of_the_cpu(name: str, weighted: bool, dtype: Any) -> None:
    task, spec, recipe = RECIPES[name]
    problem = problem_of(task, rows=45, weighted=weighted, dtype=DTYPES[dtype])  # the last batch is smaller
    recipe = dataclasses.replace(recipe, epochs=5, batch_size=8, dtype=dtype, gradient="closed_form")
    run = check_as_on_the_cpu(problem, [member_of(problem, 0, spec, recipe)])
    assert isinstance(run.stepper, ClosedForm)
    assert len(run.stepper.captured) == 2  # for both sizes of a batch


def test_networks_that_differ_in_what_may_differ() -> None:
    problem = problem_of("multiclass", rows=45)
    recipe = mn.Recipe(epochs=6, batch_size=8, dtype="float64", gradient="closed_form", optimizer=mn.Adam(lr=0.01, eps=1e-4))
    ways: list[dict[str, Any]] = [
        {"seed": 1, "l2": 0.1},
        {"seed": 2, "clip_norm": 0.5, "optimizer": mn.Adam(lr=0.02, betas=(0.8, 0.99), eps=1e-3, weight_decay=0.1)},
        {"seed": 3, "l1": 0.01, "label_smoothing": 0.2, "epochs": 2},  # ends early: the others go on in steps captured anew
        {"seed": 4, "epochs": 3},
    ]
    specs = [mn.MLP(hidden=(6,), dropout=rate) for rate in (0.0, 0.2, 0.5, 0.1)]
    members = [
        member_of(problem, k, spec, dataclasses.replace(recipe, **way))
        for k, (spec, way) in enumerate(zip(specs, ways, strict=True))
    ]
    check_as_on_the_cpu(problem, members)


@pytest.mark.parametrize("norm", [False, True])
def test_folds_of_unlike_sizes(norm: bool) -> None:
    problem = problem_of("regression", rows=44)
    recipe = mn.Recipe(epochs=4, batch_size=8, dtype="float64", gradient="closed_form", keep="best", l2=0.01)
    folds = np.array_split(np.random.default_rng(0).permutation(44), 5)  # of 9, 9, 9, 9 and 8 rows
    members = [
        dataclasses.replace(
            member_of(
                problem,
                k,
                mn.MLP(hidden=(6,), batch_norm=norm),
                recipe,
                rows=np.sort(np.concatenate([part for i, part in enumerate(folds) if i != k])),
                validation_rows=np.sort(folds[k]),
            ),
            penalty_rows=8.0,
        )
        for k in range(5)
    ]
    check_as_on_the_cpu(problem, members)


def test_two_hundred_networks() -> None:
    problem = problem_of("binary", rows=64)
    recipe = mn.Recipe(epochs=5, batch_size=16, dtype="float64", gradient="closed_form", optimizer=mn.Adam(lr=0.01, eps=1e-4))
    members = [member_of(problem, k, mn.MLP(hidden=(6,), dropout=0.1), dataclasses.replace(recipe, seed=k)) for k in range(200)]
    check_as_on_the_cpu(problem, members)


@pytest.mark.parametrize("name", ["sgd", "dropout", "batch norm", "penalties"])
def test_a_graph_is_the_steps_in_the_open(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task, spec, recipe = RECIPES[name]
    problem = moved(problem_of(task, rows=45))
    recipe = dataclasses.replace(recipe, epochs=5, batch_size=8, dtype="float64", gradient="closed_form")
    members = [member_of(problem, k, spec, dataclasses.replace(recipe, seed=k)) for k in range(3)]
    graphs, _ = trained(problem, members)
    monkeypatch.setattr(ClosedForm, "graphs_on", ())
    plain, run = trained(problem, members)
    assert isinstance(run.stepper, ClosedForm)
    assert not run.stepper.captured
    for one, other in zip(graphs, plain, strict=True):
        assert_same_outcome(one, other, "float64")


def test_a_replay_does_not_wait_for_the_device() -> None:
    problem = moved(problem_of("multiclass", rows=48))
    recipe = mn.Recipe(batch_size=8, dtype="float64", optimizer=mn.Adam(lr=0.1), l2=0.1, clip_norm=1.0)
    stepper = ClosedForm(problem, [member_of(problem, 0, mn.MLP(hidden=(6,), dropout=0.3), recipe)])
    with torch.no_grad():
        planned = torch.from_numpy(stepper.optimizer.coefficients(np.full((6, 1), 0.1), 0)).unsqueeze(-1).to(DEVICE)
        inputs = stepper.inputs(stepper.batches.chunk(0, 0, 6), planned)
        stepper.one_step(inputs.at(0))
        step = CapturedStep(stepper.one_step, inputs, 6)
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            step.replay(inputs)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_captures_and_replays_beside_another_thread() -> None:
    problem = problem_of("multiclass", rows=45)
    recipe = mn.Recipe(epochs=4, batch_size=8, dtype="float64", gradient="closed_form")
    members = [member_of(problem, 0, mn.MLP(hidden=(6,)), recipe)]
    here, _ = trained(problem, members)
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            torch.ones(1 << 16, device=DEVICE).sum().item()

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for _ in range(3):
            assert_same_outcome(trained(moved(problem), members)[0][0], here[0], "float64_run")
    finally:
        stop.set()
        thread.join()


def test_a_user_can_capture_a_graph_after_a_training() -> None:
    mn.train(*arrays(), mn.MLP(hidden=(6,)), RECIPE, scaling=False, progress=False)
    x, graph = torch.ones(4, device=DEVICE), torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = x * 2
    graph.replay()
    assert y.tolist() == [2.0] * 4


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there is one CUDA device only")
def test_another_device_than_the_current_one() -> None:
    problem = problem_of("multiclass", rows=45)
    recipe = mn.Recipe(epochs=4, batch_size=8, dtype="float64", gradient="closed_form")
    members = [member_of(problem, 0, mn.MLP(hidden=(6,), dropout=0.2), recipe)]
    here, there = trained(problem, members)[0], trained(moved(problem, "cuda:1"), members)[0]
    assert_same_outcome(there[0], here[0], "float64_run")


@pytest.mark.parametrize("name", ["sgd", "dropout", "batch norm", "penalties"])
def test_autograd_on_cuda_is_that_of_the_cpu(name: str) -> None:
    task, spec, recipe = RECIPES[name]
    problem = problem_of(task, rows=45, weighted=True)
    recipe = dataclasses.replace(recipe, epochs=3, batch_size=8, dtype="float64", gradient="autograd")
    check_as_on_the_cpu(problem, [member_of(problem, k, spec, dataclasses.replace(recipe, seed=k)) for k in range(2)])


def test_masks_are_those_of_the_cpu() -> None:
    rates = np.array([[0.2, 0.0, 0.5], [0.7, 0.0, 0.1]])
    here, there = (Masks([3, 4], (13, 6, 9), rates, torch.empty(1, device=device)).make(5, 4, 7) for device in ("cpu", DEVICE))
    assert list(here) == list(there) == [0, 2]
    for i, kept in here.items():
        assert torch.equal(there[i].cpu(), kept)


def test_the_gradient_that_lbfgs_is_given() -> None:
    problem = problem_of("multiclass", rows=40)
    recipe = mn.Recipe(batch_size=40, dtype="float64", l2=0.1, gradient="closed_form")
    found = []
    for one in (problem, moved(problem)):
        stepper = make_stepper(one, [member_of(problem, 0, mn.MLP(hidden=(6,)), recipe)])
        assert isinstance(stepper, ClosedForm)
        with torch.no_grad():
            found.append(stepper.gradient())
    for here, there in zip(*found, strict=True):
        assert_close(there, here, "float64")


# --------------------------------------------------------------------------------------------------- through `mn.train`

RECIPE = mn.Recipe(epochs=4, batch_size=16, device=DEVICE, optimizer=mn.Adam(lr=0.01))


def arrays(rows: int = 100) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).standard_normal((rows, 4)).astype(np.float32)
    return x, (x[:, 0] + x[:, 1] ** 2 > 0.5).astype(np.int64)


class Own(nn.Module):
    """A module of a user, with dropout and batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.stack(x)


class Enough(Exception):
    pass


@pytest.mark.parametrize("gradient", ["closed_form", "autograd"])
@pytest.mark.parametrize("epoch", [1, 3])
def test_a_training_resumes(gradient: Any, epoch: int, tmp_path: Path) -> None:
    spec, recipe = mn.MLP(hidden=(6,), dropout=0.2), dataclasses.replace(RECIPE, epochs=5, gradient=gradient, dtype="float64")
    whole = mn.train(*arrays(), spec, recipe, validation=0.2, scaling=False, progress=False)

    def leave(event: Event) -> None:
        if isinstance(event, Evaluated) and event.step == 5 * epoch + 5:
            raise Enough

    keep = Checkpoint(folder=tmp_path / "run", every_epochs=1)
    with pytest.raises(Enough):
        mn.train(*arrays(), spec, recipe, validation=0.2, scaling=False, progress=False, checkpoint=keep, callbacks=[leave])
    resumed = mn.train(*arrays(), spec, recipe, validation=0.2, scaling=False, progress=False, resume=tmp_path / "run")
    assert_close(resumed.members[0], whole.members[0], "float64")
    assert_close(resumed.history["val_loss"], whole.history["val_loss"], "float64")


@pytest.mark.parametrize("precision", ["full", "tf32", "bf16"])
@pytest.mark.parametrize("norm", [False, True])
def test_every_precision_learns(precision: Any, norm: bool) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=30, precision=precision)
    model = mn.train(*arrays(400), mn.MLP(hidden=(64, 64), batch_norm=norm), recipe, scaling=False, progress=False)
    assert model.info["stepper"] == "closed_form"
    assert model.evaluate(*arrays(400))["accuracy"] > 0.9
    assert torch.get_float32_matmul_precision() == "highest"


def test_bf16_is_rougher_than_full() -> None:
    one = dataclasses.replace(RECIPE, optimizer=mn.SGD(lr=0.1), epochs=1, dtype="float32")
    full, rough, autocast = (
        mn.train(*arrays(), mn.MLP(hidden=(64, 64)), dataclasses.replace(one, **way), scaling=False, progress=False).members[0][
            "hidden1.weight"
        ]
        for way in ({}, {"precision": "bf16"}, {"precision": "bf16", "gradient": "autograd"})
    )
    assert 0 < np.abs(rough - full).max() < 1e-2
    assert np.abs(rough - autocast).max() < 1e-2


def test_a_module_trains_and_comes_home(tmp_path: Path) -> None:
    model = mn.train(*arrays(), Own(), RECIPE, scaling=False, progress=False)
    assert model.device.type == DEVICE
    there = model.logits(arrays()[0])
    copied = pickle.loads(pickle.dumps(model))
    assert copied.device.type == "cpu"
    assert_close(copied.logits(arrays()[0]), there, "float32")
    assert_close(model.to("cpu").logits(arrays()[0]), there, "float32")


@pytest.mark.parametrize("networks", [1, 3])
@pytest.mark.parametrize("norm", [False, True])
def test_a_model_predicts_on_the_device(networks: int, norm: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = arrays()[0]
    model = mn.train(*arrays(), mn.MLP(hidden=(8, 6), batch_norm=norm), RECIPE, n_networks=networks, scaling=False, progress=False)
    assert model.device.type == "cpu"
    before, members = model.logits(x), model.members
    assert model.to(DEVICE) is model
    assert model.device.type == DEVICE
    for given in (x, x.astype(np.float64), torch.from_numpy(x), torch.from_numpy(x).to(DEVICE), x.tolist()):
        found = model.logits(given)
        assert isinstance(found, np.ndarray)
        assert_close(found, before, "float32")
    assert_close(model.logits(x[:1]), before[:, :1], "float32")
    monkeypatch.setitem(ROWS_AT_ONCE, DEVICE, 7 * 20 * networks)
    model.to(DEVICE)  # which counts the rows anew
    assert_close(model.logits(x), before, "float32")
    assert_close(model.predict_proba(x).sum(1), np.ones(len(x), dtype=before.dtype), "float32")
    for one, other in zip(model.members, members, strict=True):
        assert_close(one, other, "bits")
    model.save(tmp_path / "model.safetensors")
    for other in (mn.load(tmp_path / "model.safetensors"), pickle.loads(pickle.dumps(model))):
        assert other.device.type == "cpu"
        assert np.array_equal(other.logits(x), before)
    assert np.array_equal(model.to("cpu").logits(x), before)
    assert np.array_equal(model.logits(x[:1]), mn.load(tmp_path / "model.safetensors").logits(x[:1]))


def test_autocast_of_the_caller_does_not_matter() -> None:
    model = mn.train(*arrays(), mn.MLP(hidden=(64, 64)), RECIPE, scaling=False, progress=False).to(DEVICE)
    before = model.logits(arrays()[0])
    with torch.autocast(DEVICE, torch.bfloat16):
        assert np.array_equal(model.logits(arrays()[0]), before)


def test_memory_is_given_back() -> None:
    def train() -> None:
        mn.train(*arrays(), mn.MLP(hidden=(64, 64), dropout=0.1), RECIPE, scaling=False, progress=False)

    train()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    for _ in range(5):
        train()
    assert torch.cuda.memory_allocated() <= before + (1 << 20)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_the_estimators_take_a_device() -> None:
    x, y = arrays()
    here, there = (
        mn.MLPClassifier(hidden_layer_sizes=(8,), max_iter=5, random_state=0, device=device).fit(x, y).predict_proba(x)
        for device in ("cpu", DEVICE)
    )
    assert_close(there, here, "float32_run")
