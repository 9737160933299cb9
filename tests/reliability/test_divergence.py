"""Case 31: the message of a divergence names epoch, step, learning rate, and the layer or the input column that was not finite first."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import manynets as mn
from manynets.training.checkpoint import Checkpoint, newest_checkpoint, read_checkpoint, write_checkpoint
from manynets.training.trial import Divergence

X = np.random.default_rng(0).standard_normal((200, 4)).astype(np.float32)
Y = X[:, 0] + X[:, 1] ** 2
SPEC = mn.MLP(hidden=(8, 6))


def recipe(lr: float, **more: Any) -> mn.Recipe:
    return mn.Recipe(**{"epochs": 6, "batch_size": 16, "optimizer": mn.SGD(lr=lr), **more})


def message(*args: Any, **more: Any) -> str:
    """Train, and return the one warning of divergence."""
    with pytest.warns(mn.DivergenceWarning) as caught:
        model = mn.train(*args, scaling=False, progress=False, **more)
    assert model.info["stopped"] == ["diverged"]
    assert all(np.isfinite(value).all() for value in model.members[0].values())
    [warning] = caught
    return str(warning.message)


def first_of(weights: NDArray[np.float32], x: NDArray[np.float32], batch_norm: bool) -> str:
    """Return what is not finite first, by NumPy: of a relu network's weights in the order of the flat tensor, for a batch."""
    sizes, at, parts = [(8, 4), (6, 8), (1, 6)], 0, []
    for shape in [*sizes, *[(rows,) for rows, _ in sizes], *([(8,), (8,), (6,), (6,)] if batch_norm else [])]:
        parts.append(weights[at : at + int(np.prod(shape))].reshape(shape))
        at += int(np.prod(shape))
    assert at == len(weights)
    names = ["hidden0", "hidden1", "output"]
    for i, name in enumerate(names):
        if not (np.isfinite(parts[i]).all() and np.isfinite(parts[3 + i]).all()):
            return f"layer {name} (its weights)"
        if batch_norm and i < 2 and not np.isfinite(parts[6 + 2 * i : 8 + 2 * i]).all():
            return f"layer norm{i} (its weights)"
    h = x
    for i, name in enumerate(names):
        h = h @ parts[i].T + parts[3 + i]
        if i < 2:
            if batch_norm:
                h = (h - h.mean(0)) / np.sqrt(h.var(0) + np.float32(1e-5)) * parts[6 + 2 * i] + parts[7 + 2 * i]
            h = np.maximum(h, 0)
        if not np.isfinite(h).all():
            return f"layer {name} (its output)"
    return "the loss"


@pytest.mark.parametrize("gradient", ["closed_form", "autograd"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_layer_is_the_one_that_numpy_finds(gradient: Any, batch_norm: bool, tmp_path: Path) -> None:
    """The weights before the step that failed are in a checkpoint; its batch is known, as rows are not shuffled."""
    seen = set()
    spec = mn.MLP(hidden=(8, 6), batch_norm=batch_norm)
    for lr in (10.0, 1e6, 1e12, 3e38):
        folder = tmp_path / f"{lr:g}"
        how = recipe(lr, gradient=gradient, shuffle=False)
        text = message(X, Y, spec, how, checkpoint=Checkpoint(folder=folder, every_steps=1, keep=100))
        step = int(text.partition("step ")[2].partition(",")[0]) - 1
        state, _ = read_checkpoint(folder / f"step-{step:09d}.checkpoint") if step else (None, None)
        if state is None:
            continue
        start = step % 13 * 16
        with np.errstate(all="ignore"):
            wanted = first_of(state.tensors["weights"][0], X[start : start + 16], batch_norm)
        assert f"; the first not to be finite was {wanted}" in text, (lr, text)
        assert f"in epoch {step // 13 + 1}, step {step + 1}, at learning rate {lr:g};" in text
        seen.add(wanted)
    assert len(seen) >= 3, seen


@pytest.mark.parametrize("gradient", ["closed_form", "autograd"])
def test_one_huge_value_names_its_column(gradient: Any) -> None:
    huge = X.copy()
    huge[17, 2] = 1e38
    text = message(huge, Y, SPEC, recipe(1e-3, gradient=gradient))
    assert "at learning rate 0.001, as input column 2 reaches 1e+38; training stopped and the initial weights were kept" in text
    assert text.endswith("; scale input column 2")
    assert "epoch 1, step 1," in message(huge, Y, SPEC, recipe(1e-3, gradient=gradient, shuffle=False, batch_size=18))
    huge[:, 1] = -1e30  # the largest is named, whatever its sign
    huge[:, 2] = 1.0
    assert "as input column 1 reaches 1e+30" in message(huge, Y, SPEC, recipe(1e-3, gradient=gradient))


def test_a_column_that_was_not_scaled_is_told_beside_the_layer() -> None:
    raw = X.copy()
    raw[:, 3] *= 1e6
    text = message(raw, Y, SPEC, recipe(1e-2))
    assert "; the first not to be finite was " in text
    assert "; scale input column 3, which reaches " in text
    assert text.endswith(", or use a smaller learning rate or clip_norm=1.0")
    assert "scale input" not in message(X, Y, SPEC, recipe(1e6))


def test_a_column_outside_the_training_rows_is_not_named() -> None:
    raw = X.copy()
    raw[150:, 3] = 1e6
    text = message(raw, Y, SPEC, recipe(1e6), validation=np.arange(150, 200))
    assert "input column" not in text


def test_a_column_of_a_table_is_named_as_it_is_called() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["age", "rooms", "price", "tax"])
    encoder = mn.tables.fit_encoder(frame)
    price = dataclasses.replace(encoder.columns[2], limits=None)  # as of a file from before there were limits
    encoder = dataclasses.replace(encoder, columns=(*encoder.columns[:2], price, encoder.columns[3]))
    frame.loc[17, "price"] = 1e38
    text = message(frame, Y, SPEC, recipe(1e-3), encoder=encoder)
    assert "as input column 'price' reaches 9.74e+37" in text
    assert text.endswith("; scale input column 'price'")


@pytest.mark.parametrize("embedding", [None, mn.Periodic(), mn.PiecewiseLinear(bins=4)])
def test_what_comes_before_the_first_layer_may_diverge(embedding: Any) -> None:
    spec = mn.MLP(hidden=(8,), embedding=embedding, input_scale=True)
    assert "the first not to be finite was " in message(X, Y, spec, recipe(1e30))


def test_a_penalty_and_a_later_epoch() -> None:
    assert "the first not to be finite was the penalty on the weights" in message(X, Y, SPEC, recipe(1e-3, l2=3e38))
    late = recipe(1.25, optimizer=mn.SGD(lr=1.25, momentum=0.9), epochs=60, batch_size=160)
    text = message(X, Y, mn.MLP(hidden=(8,)), late, validation=0.2)
    assert int(text.partition("epoch ")[2].partition(",")[0]) > 5
    assert "the first not to be finite was the loss (layer output reaches " in text


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.norm, self.drop, self.fc2 = nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.1), nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.drop(torch.relu(self.norm(self.fc1(x)))))  # type: ignore[no-any-return]


def test_a_module_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module = Net()
    begun = copy.deepcopy(module.state_dict())
    text = message(X, Y, module, recipe(1e30))
    assert "the first not to be finite was layer " in text
    assert any(name in text for name in ("fc1 (its ", "norm (its ", "fc2 (its "))
    for name, value in begun.items():  # the weights it had before are back in it; batch norm's count of batches goes on
        assert name.endswith("tracked") or torch.equal(module.state_dict()[name], value), name

    def refuse(self: Net, memo: object) -> None:
        raise TypeError("not to be copied")

    monkeypatch.setattr(Net, "__deepcopy__", refuse, raising=False)
    assert "the first not to be finite was layer fc1 (its weights)" in message(X, Y, module, recipe(1e30))


@pytest.mark.parametrize("gradient", ["closed_form", "autograd"])
def test_networks_trained_together_name_what_each_alone_does(gradient: Any) -> None:
    rates = (0.01, 1.0, 10.0, 1e6, 1e12, 3e38)
    tries = [(SPEC, recipe(lr, gradient=gradient, seed=seed)) for lr in rates for seed in range(2)]
    results = mn.train_many(X, Y, tries, scaling=False, progress=False)
    found = [result.divergence for result in results]
    assert {result.stopped for result in results} == {"done", "diverged"}
    for (spec, how), at in zip(tries, found, strict=True):
        [alone] = mn.train_many(X, Y, [(spec, how)], scaling=False, progress=False)
        if at is None or alone.divergence is None:
            assert at == alone.divergence
            continue
        assert (at.epoch, at.step, at.layer[:12]) == (alone.divergence.epoch, alone.divergence.step, alone.divergence.layer[:12])
        assert at.layer
    assert len({at.layer.partition(" reaches")[0] for at in found if at is not None}) >= 2


def test_a_search_that_costs_too_much_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    from manynets.training import divergence as module
    from manynets.training import loop

    made = []
    layers = module.unsound_layers
    monkeypatch.setattr(module, "unsound_layers", lambda run, at: made.append(layers(run, at)) or made[-1])
    monkeypatch.setattr(loop, "WORK", 1.0)
    assert "the first not to be finite was layer hidden0 (its weights)" in message(X, Y, SPEC, recipe(1e6))
    assert made == [{}]


def test_the_cause_outlives_a_checkpoint(tmp_path: Path) -> None:
    tries = [(SPEC, recipe(lr)) for lr in (0.01, 1e6)]
    assert [result.stopped for result in mn.train_many(X, Y, tries, scaling=False, progress=False)] == ["done", "diverged"]
    text = message(X, Y, SPEC, recipe(1e6), checkpoint=Checkpoint(folder=tmp_path))
    assert message(X, Y, SPEC, recipe(1e6), resume=tmp_path) == text
    path, state, system = newest_checkpoint(tmp_path)
    [outcome] = state.values["outcomes"]
    for at in ([1, 3, 1e6], ["x", 3, 1e6], [1], [1, 3, 1e6, "", {}, 0.0], "abc", 5):  # the first is one of an earlier format
        values = {**state.values, "outcomes": [{**outcome, "divergence": at}]}
        write_checkpoint(path, dataclasses.replace(state, values=values), system=system)
        if at == [1, 3, 1e6]:
            assert "in epoch 1, step 3, at learning rate 1e+06; training stopped" in message(X, Y, SPEC, recipe(1e6), resume=path)
        else:
            with pytest.raises(mn.ModelFileError, match="the checkpoint does not fit the run"):
                mn.train(X, Y, SPEC, recipe(1e6), scaling=False, progress=False, resume=path)


def test_words() -> None:
    assert Divergence(2, 30, 0.1).where() == "the loss was not finite in epoch 2, step 30, at learning rate 0.1"
    assert Divergence(2, 30, 0.1).remedy() == "use a smaller learning rate or clip_norm=1.0"
    assert Divergence(2, 30, 0.1, "", 0, 1e20).remedy(["a"]) == "scale input column 'a'"


@pytest.mark.filterwarnings("ignore::manynets.errors.DataScaleWarning")
@pytest.mark.parametrize("frame", [False, True])
def test_an_estimator_names_it_too(frame: bool) -> None:
    pd = pytest.importorskip("pandas")
    huge = X.copy()
    huge[17, 2] = 1e38
    given = pd.DataFrame(huge, columns=["age", "rooms", "price", "tax"]) if frame else huge
    with pytest.raises(mn.DataError, match=f"as input column {'.price.' if frame else '2'} reaches 1e[+]38; scale X"):
        mn.MLPRegressor(hidden_layer_sizes=(8,), random_state=0).fit(given, Y)
    with pytest.raises(
        mn.DataError, match=r"epoch \d+, step \d+, .*; the first not to be finite was (layer|the loss .layer output)"
    ):
        mn.MLPRegressor(hidden_layer_sizes=(8, 8), solver="sgd", learning_rate_init=1e12, random_state=0).fit(X, Y)
