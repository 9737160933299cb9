"""What callbacks may do: look at the networks, and end the training."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import polars as pl
import pytest
from torch import nn

import manynets as mn
from manynets import model_tools
from tests.tolerances import assert_close

X = np.random.default_rng(0).normal(size=(80, 3))
Y = (X[:, 0] > 0).astype(int)
RECIPE = mn.Recipe(epochs=6, batch_size=20)
PAIRS = [(mn.MLP(hidden=(units,)), RECIPE) for units in (4, 5)]
STOP = 8  # steps, of 4 an epoch


def stop(event: mn.Event) -> None:
    if isinstance(event, mn.Evaluated) and event.step >= STOP:
        raise StopIteration


@pytest.mark.parametrize("kind", ["mlp", "module", "numpy", "several"])
def test_stop_iteration_ends_a_training(kind: str) -> None:
    seen: list[mn.Event] = []
    options: dict[str, Any] = {"numpy": {"engine": "numpy"}, "several": {"n_networks": 3}}.get(kind, {})
    spec = nn.Linear(3, 1) if kind == "module" else mn.MLP(hidden=(4,))
    model = mn.train(X, Y, spec, RECIPE, callbacks=[stop, seen.append], progress=False, **options)
    assert set(model.info["stopped"]) == {"callback"}
    assert model_tools.training_text(model.history, model.info).endswith("stopped by a callback")
    assert model.history["step"] == [4.0, STOP]
    assert [event.step for event in seen if isinstance(event, mn.Evaluated)] == [4, STOP]  # the second callback misses nothing
    assert isinstance(seen[-1], mn.Finished)


@pytest.mark.parametrize("checkpoint", [False, True])
def test_stop_iteration_ends_candidates_of_several_groups(checkpoint: bool, tmp_path) -> None:
    options: dict[str, Any] = {"checkpoint": mn.Checkpoint(folder=tmp_path / "kept", every_steps=50)} if checkpoint else {}
    results = mn.train_many(X, Y, PAIRS, callbacks=[stop], progress=False, **options)
    assert [result.stopped for result in results] == ["callback", "callback"]
    assert results[0].history["step"] == [4.0, STOP]
    assert not results[1].history  # it had not begun
    if checkpoint:
        resumed = mn.train_many(X, Y, PAIRS, resume=tmp_path / "kept", progress=False)
        assert [result.history["step"][-1] for result in resumed] == [24.0, 24.0]


def test_between_two_groups() -> None:
    def after_one(event: mn.Event) -> None:
        if isinstance(event, mn.Advanced) and event.step == 1000:  # the first of two networks is through
            raise StopIteration

    results = mn.train_many(X, Y, PAIRS, callbacks=[after_one], progress=False)
    assert results[0].stopped == "done"
    assert results[1].stopped == "callback"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* tasks which were still being processed")
@pytest.mark.parametrize("kind", [mn.Started, mn.Advanced])
def test_in_other_processes(kind: type[mn.Event]) -> None:
    def at_once(event: mn.Event) -> None:
        if isinstance(event, kind):
            raise StopIteration

    results = mn.train_many(X, Y, PAIRS, callbacks=[at_once], progress=False, n_jobs=2)
    assert "callback" in {result.stopped for result in results}


def test_candidates_on_a_stream(tmp_path) -> None:
    rows = np.random.default_rng(0).normal(size=(60_000, 4))  # 2 MB
    pl.DataFrame(rows, schema=["a", "b", "c", "y"]).write_parquet(tmp_path / "table.parquet", row_group_size=5_000)
    options: dict[str, Any] = {"target": "y", "memory_limit": "1MB", "progress": False}
    results = mn.train_many(tmp_path / "table.parquet", None, PAIRS, callbacks=[stop], **options)  # without a warning
    assert [result.stopped for result in results] == ["callback", "callback"]


@pytest.mark.parametrize("engine", ["torch", "numpy"])
def test_the_weights_of_each_evaluation(engine: Any) -> None:
    seen: list[dict[int, dict[str, Any]]] = []

    def look(event: mn.Event) -> None:
        if isinstance(event, mn.Evaluated):
            seen.append(event.parameters)

    model = mn.train(X, Y, mn.MLP(hidden=(4,)), RECIPE, callbacks=[look], progress=False, engine=engine)
    assert len(seen) == 6
    assert_close(seen[-1][0], model.members[0], "float32")
    assert not (seen[0][0]["hidden0.weight"] == seen[-1][0]["hidden0.weight"]).any()


def test_events_can_be_pickled() -> None:
    seen: list[mn.Event] = []
    mn.train(X, Y, mn.MLP(hidden=(4,)), RECIPE, callbacks=[seen.append], progress=False)
    again = pickle.loads(pickle.dumps(seen))
    assert [repr(event) for event in again] == [repr(event) for event in seen]
    assert [event.parameters for event in again if isinstance(event, mn.Evaluated)] == [{}] * RECIPE.epochs


def test_weights_belong_to_the_numbers_of_networks_that_are_left() -> None:
    spec, seen = mn.MLP(hidden=(4,)), dict[int, dict[int, dict[str, Any]]]()

    def look(event: mn.Event) -> None:
        if isinstance(event, mn.Evaluated):
            assert tuple(event.parameters) == event.numbers
            seen[event.step] = event.parameters

    still = mn.Recipe(optimizer=mn.Adam(lr=0.0), epochs=6, batch_size=20, stopping=mn.EarlyStopping(patience=1))
    moving = mn.Recipe(optimizer=mn.Adam(lr=0.1), epochs=6, batch_size=20, stopping=mn.EarlyStopping(patience=6))
    results = mn.train_many(X, Y, [(spec, still), (spec, moving)], callbacks=[look], progress=False)
    assert list(seen[24]) == [1]  # the first network has ended
    assert (seen[24][1]["hidden0.weight"] == results[1].model.members[0]["hidden0.weight"]).all()
    assert (seen[4][0]["hidden0.weight"] == results[0].model.members[0]["hidden0.weight"]).all()


def test_the_weights_of_a_module() -> None:
    module, seen = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)), []

    def look(event: mn.Event) -> None:
        if isinstance(event, mn.Evaluated):
            (found,) = event.parameters.values()
            assert all((found[name] == value.numpy()).all() for name, value in module.state_dict().items())
            seen.append(found["0.weight"])

    mn.train(X, Y, module, RECIPE, callbacks=[look], progress=False)
    assert not (seen[0] == seen[-1]).any()


@pytest.mark.parametrize("engine", ["torch", "numpy"])
def test_the_values_of_an_event_are_read_only(engine: Any) -> None:
    def write(event: mn.Event) -> None:
        if isinstance(event, mn.Evaluated):
            event.columns["loss"][0] = 0

    with pytest.raises(ValueError, match="read-only"):
        mn.train(X, Y, mn.MLP(hidden=(4,)), RECIPE, callbacks=[write], progress=False, engine=engine)
