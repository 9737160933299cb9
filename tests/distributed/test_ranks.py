"""Several ranks train as one does."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

import manynets as mn
from manynets.cli import main
from manynets.cli import together as together_command
from manynets.cli.options import left_out
from manynets.distributed import ALONE, Ranks, alone, current_ranks, gradient_sum, joined, launched, watch
from manynets.errors import DivergenceError, OptionError, RankError
from manynets.nn.dropout import Masks
from manynets.training import team
from manynets.training.checkpoint import Checkpoint, Checkpoints
from manynets.training.groups import train_members, train_what_can
from tests.distributed.cases import data_of, in_two_processes, members_of, parameters, together
from tests.tolerances import assert_close

SPEC = mn.MLP(hidden=(13, 9), dropout=0.3, input_dropout=0.1, batch_norm=True)
RECIPE = mn.Recipe(
    iterations=200, batch_size=20, dtype="float64", clip_norm=0.5, l1=1e-4, l2=1e-3, optimizer=mn.Adam(lr=0.01, eps=1e-3)
)  # 9 steps an epoch, of which the last has 2 or 3 rows


def by_ranks(size: int, recipe: mn.Recipe, *, spec: Any = SPEC, networks: int = 1, weights: bool = True) -> list[Any]:
    """Return the outcomes of a training, in one process or in several ranks, of which all must have the same."""
    data = data_of(recipe, weights=weights)
    if size == 1:
        return train_members(data.problem, members_of(spec, recipe, data, networks))

    def work(ranks: Ranks) -> list[Any]:
        own = copy.deepcopy(spec) if isinstance(spec, torch.nn.Module) else spec
        outcomes = train_members(data.problem, members_of(own, recipe, data, networks), ranks=ranks)
        if isinstance(own, torch.nn.Module):
            assert_close(dict(own.state_dict()), outcomes[0].parameters, "bits")
        return outcomes

    first, *others = together(size, work)
    for other in others:
        assert_close(parameters(other)[0], parameters(first)[0], "bits")
    return first


def assert_same(some: list[Any], wanted: list[Any], kind: str = "float64_run") -> None:
    for one, other in zip(some, wanted, strict=True):
        assert_close(one.parameters, other.parameters, kind)
        for name in {"loss", "val_loss", "accuracy", "val_accuracy", "penalty"} & set(other.history):
            assert_close(np.array(one.history[name]), np.array(other.history[name]), kind, what=name)
        assert (one.best, one.stopped) == (other.best, other.stopped)


# ------------------------------------------------------------------------------------------------------------- the same result


@pytest.mark.parametrize("gradient", ["closed_form", "autograd"])
@pytest.mark.parametrize("weights", [True, False])
def test_ranks_give_the_weights_of_one_process(gradient, weights):
    recipe = dataclasses.replace(RECIPE, gradient=gradient, iterations=200 if weights else 30)
    assert_same(by_ranks(2, recipe, weights=weights), by_ranks(1, recipe, weights=weights))


@pytest.mark.parametrize("gradient", ["closed_form", "autograd"])
def test_ranks_that_sum_their_gradients_in_shared_memory(gradient, monkeypatch):
    monkeypatch.setattr(gradient_sum, "LEAST_BYTES", 0)
    recipe = dataclasses.replace(RECIPE, gradient=gradient, iterations=20)
    assert_same(by_ranks(3, recipe, networks=2), by_ranks(1, recipe, networks=2))


def test_more_ranks_than_rows_in_the_last_batch():
    recipe = dataclasses.replace(RECIPE, iterations=18)
    spec = mn.MLP(hidden=(7,), dropout=0.2)
    assert_same(by_ranks(5, recipe, spec=spec), by_ranks(1, recipe, spec=spec))


@pytest.mark.parametrize("gradient", ["closed_form", "autograd"])
def test_networks_that_train_together(gradient):
    recipe = dataclasses.replace(RECIPE, gradient=gradient, iterations=30, optimizer=mn.SGD(lr=0.05))
    spec = mn.MLP(hidden=(8,), dropout=0.2)
    assert_same(by_ranks(2, recipe, spec=spec, networks=3), by_ranks(1, recipe, spec=spec, networks=3))


def test_early_stopping_that_goes_back_to_the_best_weights():
    stopping = mn.EarlyStopping(patience=2, cool_down=0.2)
    recipe = dataclasses.replace(RECIPE, iterations=None, epochs=40, stopping=stopping, optimizer=mn.AdamW(lr=0.05, eps=1e-3))
    spec = mn.MLP(hidden=(32,), batch_norm=True)
    wanted = by_ranks(1, recipe, spec=spec)
    assert len(wanted[0].history["loss"]) < 40
    assert_same(by_ranks(2, recipe, spec=spec), wanted)


@pytest.mark.parametrize("shared", [False, True])
def test_a_module_of_the_users(shared, monkeypatch):
    monkeypatch.setattr(gradient_sum, "LEAST_BYTES", 0 if shared else gradient_sum.LEAST_BYTES)
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.LayerNorm(5), torch.nn.Tanh(), torch.nn.Linear(5, 1)).double()
    recipe = dataclasses.replace(RECIPE, iterations=20)
    wanted = by_ranks(1, recipe, spec=copy.deepcopy(module))
    assert_same(by_ranks(2, recipe, spec=module), wanted)


def test_a_divergence_is_found_by_rank_0():
    recipe = dataclasses.replace(RECIPE, optimizer=mn.SGD(lr=1e200), clip_norm=None, iterations=30)
    spec = mn.MLP(hidden=(5,), activation="relu")
    many, one = by_ranks(2, recipe, spec=spec)[0], by_ranks(1, recipe, spec=spec)[0]
    assert many.stopped == one.stopped == "diverged"
    assert many.divergence == one.divergence


def test_messages_of_every_length_arrive():
    """Those that just fit into a letter, and those that just do not, too."""
    random = np.random.default_rng(0)
    messages = [random.bytes(length) for length in (0, *range(4050, 4110), 10**5)]
    assert together(2, lambda ranks: [ranks.exchange(message) for message in messages]) == 2 * [[[one, one] for one in messages]]


def test_a_rank_makes_its_part_of_a_dropout_mask():
    masks = Masks([3, 4], (13, 6), np.array([[0.2, 0.5], [0.4, 0.1]]), torch.empty(0))
    whole = {i: kept.clone() for i, kept in masks.make(5, 3, 10).items()}
    again = Masks([3, 4], (13, 6), np.array([[0.2, 0.5], [0.4, 0.1]]), torch.empty(0))
    for i, kept in again.make(5, 3, 10, slice(4, 7)).items():
        assert (kept == whole[i][:, :, 4:7]).all()


def test_networks_that_do_not_fit_are_divided_among_the_ranks():
    recipe = dataclasses.replace(RECIPE, iterations=10)
    data = data_of(recipe)
    wanted = train_what_can(data.problem, members_of(SPEC, recipe, data, 5), at_most=2)
    told: list[int] = []

    def work(ranks: Ranks) -> list[Any]:
        members = members_of(SPEC, recipe, data, 5)
        return train_what_can(
            data.problem, members, at_most=2, ranks=ranks, told=lambda results: told.extend(one.number for one in results)
        )

    for found in together(2, work):
        assert_close(parameters(found)[0], parameters(wanted)[0], "bits")
        assert_same(found, wanted, "bits")
    assert sorted(told) == sorted([*range(5)] * 2)


# ------------------------------------------------------------------------------------------------------------------ checkpoints


def with_checkpoints(size: int, folder: Path, *, resume: Path | None = None, allow: bool = False) -> list[Any]:
    recipe = dataclasses.replace(RECIPE, iterations=40)
    data = data_of(recipe)

    def work(ranks: Ranks) -> list[Any]:
        members = members_of(SPEC, recipe, data)

        def keeper(group: Any, part: str) -> Checkpoints:
            assert ranks.rank == 0
            checkpoint = Checkpoint(folder=folder, every_steps=7, keep=20)
            system = {"world_size": size} if size > 1 else {}
            return Checkpoints(data.problem, group, checkpoint=checkpoint, resume=resume, system=system, allow_world_size=allow)

        return train_members(data.problem, members, keeper=keeper, ranks=ranks)

    return work(ALONE) if size == 1 else together(size, work)[0]


@pytest.fixture(scope="module")
def checkpointed(tmp_path_factory):
    """Return the folder of checkpoints of two ranks, and their outcomes."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return folder, with_checkpoints(2, folder)


def test_ranks_resume_bit_for_bit(checkpointed, tmp_path):
    folder, wanted = checkpointed
    again = with_checkpoints(2, tmp_path, resume=folder / "step-000000021.checkpoint")
    assert_same(again, wanted, "bits")


def test_another_number_of_ranks_is_refused_unless_it_is_allowed(checkpointed, tmp_path):
    folder, wanted = checkpointed
    middle = folder / "step-000000021.checkpoint"
    with pytest.raises(OptionError, match="of a training in 2 processes, but this one is in one process"):
        with_checkpoints(1, tmp_path, resume=middle)
    with pytest.raises(OptionError, match="of a training in 2 processes, but this one is in 3 processes"):
        with_checkpoints(3, tmp_path, resume=middle)
    with pytest.warns(mn.CheckpointWarning, match="world_size"):
        again = with_checkpoints(1, tmp_path, resume=middle, allow=True)
    assert_same(again, wanted)


# --------------------------------------------------------------------------------------------------------------------- failures


def test_ranks_that_train_something_else_are_named():
    def work(ranks: Ranks) -> Any:
        recipe = dataclasses.replace(RECIPE, seed=ranks.rank // 2)
        data = data_of(recipe, seed=ranks.rank // 2)
        return train_members(data.problem, members_of(SPEC, recipe, data), ranks=ranks)

    for error in together(3, work, fails=True):
        assert isinstance(error, OptionError)
        assert "rank 2 trains something else: data.X is " in str(error)


def test_an_error_in_one_rank_ends_the_others():
    data = data_of(RECIPE)

    def fail(event: mn.Event) -> None:
        if isinstance(event, mn.Evaluated):
            raise ValueError("no more")

    def work(ranks: Ranks) -> Any:
        with pytest.raises((ValueError, RankError)) as caught:
            train_members(data.problem, members_of(SPEC, RECIPE, data), callbacks=[fail], ranks=ranks)
        with pytest.raises(RankError, match="an earlier training of these 3 processes failed"):
            train_members(data.problem, members_of(SPEC, RECIPE, data), ranks=ranks)
        raise caught.value

    first, *others = together(3, work, fails=True)
    assert str(first) == "no more"
    for error in others:
        assert isinstance(error, RankError)
        assert str(error) == "rank 0 of 3 stopped: ValueError: no more"


@pytest.mark.parametrize("method", ["advance", "evaluate"])
def test_an_error_within_a_step_of_rank_0_ends_all(method, monkeypatch):
    data, make = data_of(RECIPE), team.stepper_of

    def fail(*_: Any) -> None:
        raise MemoryError("no more room")

    def failing(ranks: Ranks, *args: Any) -> Any:
        stepper = make(ranks, *args)
        if ranks.rank == 0:
            setattr(stepper, method, fail)
        return stepper

    monkeypatch.setattr(team, "stepper_of", failing)
    errors = together(2, lambda ranks: train_what_can(data.problem, members_of(SPEC, RECIPE, data, 2), ranks=ranks), fails=True)
    for error in errors:
        assert isinstance(error, RankError)
        assert str(error) == "rank 0 of 2 stopped: MemoryError: no more room"


def test_a_rank_that_says_nothing_more_is_named(monkeypatch):
    monkeypatch.setattr(watch, "BEAT", 0.02)
    monkeypatch.setattr(watch, "SILENT", 0.2)
    store = dist.HashStore()
    ours, alive, dead = (watch.Watch(store, rank, 3) for rank in range(3))
    dead.close()
    assert str(ours.blame(RuntimeError("closed"))) == "rank 2 of 3 died, or its machine is out of reach"
    for one in (ours, alive):
        one.close()


@pytest.mark.parametrize(
    ("spec", "recipe", "text"),
    [
        (SPEC, dataclasses.replace(RECIPE, gradient="compiled"), "the core trains in one process, and there are 2"),
        (torch.nn.Sequential(torch.nn.Linear(6, 1), torch.nn.Dropout(0.1)), RECIPE, "1 is a Dropout, which depends on"),
        (torch.nn.Sequential(torch.nn.BatchNorm1d(6), torch.nn.Linear(6, 1)), RECIPE, "0 is a BatchNorm1d, which depends on"),
    ],
)
def test_what_several_ranks_cannot_train_is_refused(spec, recipe, text):
    with pytest.raises(OptionError, match=text):
        by_ranks(2, recipe, spec=spec)


def test_options_for_one_process_are_refused(monkeypatch):
    for module in ("train_arguments", "tabular.training"):
        monkeypatch.setattr(f"manynets.{module}.current_ranks", lambda: Ranks(rank=0, size=2))
    X, y = np.eye(8), np.arange(8) % 2
    with pytest.raises(OptionError, match="engine is 'numpy', which trains in one process, and there are 2"):
        mn.train(X, y, mn.MLP(hidden=(3,)), engine="numpy", checkpoint=mn.Checkpoint(folder="never"), progress=False)
    with pytest.raises(OptionError, match=r"time_limit is 5\.0, but 2 processes train together"):
        mn.train(X, y, time_limit=5.0, progress=False)


# ------------------------------------------------------------------------------------------------------------------- torchrun


def test_without_other_processes_there_are_none(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert launched() == 1
    assert current_ranks() is ALONE
    with joined() as ranks, alone():
        assert ranks is current_ranks() is ALONE
    for name, value in {"RANK": "0", "WORLD_SIZE": "many", "MASTER_ADDR": "here", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OptionError, match="WORLD_SIZE is 'many'"):
        launched()


def test_a_restart_keeps_what_a_checkpoint_does_not_hold(monkeypatch):
    monkeypatch.setattr(together_command, "can_resume", lambda folder, options: True)
    options = {**left_out(), "data": "digits", "out": "run", "report": True, "track": "mlflow", "quiet": True}
    restarted = together_command.restarted_options(options)
    assert (restarted["resume"], restarted["data"]) == ("run", None)
    assert (restarted["report"], restarted["track"], restarted["quiet"]) == (True, "mlflow", True)


def test_a_training_that_diverged_is_an_error_unless_torchrun_would_repeat_it(monkeypatch, capfd):
    def refuse(folder):
        raise DivergenceError(f"all 2 networks diverged; {folder} is written")

    monkeypatch.setattr(together_command, "joined", lambda: contextlib.nullcontext(ALONE))
    monkeypatch.setattr(together_command, "fit", lambda options, begun: "run")
    monkeypatch.setattr(together_command, "refuse_diverged", refuse)
    with pytest.raises(DivergenceError, match="all 2 networks diverged; run is written"):
        together_command.fit_together(left_out())
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "1")
    together_command.fit_together(left_out())
    assert "error: all 2 networks diverged; run is written; the exit code is 0, or torchrun" in capfd.readouterr().err


def test_the_command_in_two_processes_of_which_rank_0_writes(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    options = ["train", "digits", "--hidden", "16", "--dropout", "0.2", "--epochs", "2", "--dtype", "float64"]
    in_two_processes([*options, "--out", "many"], monkeypatch)
    assert capfd.readouterr().out.count('"run_dir"') == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["many"]
    many = mn.load("many/model.safetensors")
    assert many.info["world_size"] == 2
    with pytest.raises(SystemExit, match="0"):
        main([*options, "--out", "one", "--quiet"])
    assert_close(many.members[0], mn.load("one/model.safetensors").members[0], "float64_run")
