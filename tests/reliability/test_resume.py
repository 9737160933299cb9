"""Case 44: a training that goes on from any of its steps ends with the bits of the one that was never stopped."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets.training.checkpoint import Checkpoint, checkpoint_files
from manynets.training.threads import fixed_threads
from tests.reliability.draws import STEPS, assert_same_bits, draw, run_with

X = np.random.default_rng(0).standard_normal((120, 4))
Y = (X[:, 0] + X[:, 1] ** 2 > 0.5).astype(np.int64)
SPEC, RECIPE = mn.MLP(hidden=(6,), dropout=0.2), mn.Recipe(epochs=3, batch_size=16)


def check(number: int, folder: Path, *, most: int | None = None) -> int:
    """Resume draw `number` from every step (or from `most` of them); return from how many."""
    drawn = draw(number)
    plain = run_with(drawn)
    kept = run_with(drawn, checkpoint=Checkpoint(folder=folder, every_steps=1, keep=STEPS))
    assert_same_bits(kept, plain, f"{drawn.what}, with checkpoints")
    files = checkpoint_files(folder)
    last = max(int(outcome.history["step"][-1]) for outcome in plain)
    assert len(files) == last  # one after each step that was made
    if most is not None and most < len(files):
        files = [files[k] for k in np.random.default_rng(number).choice(len(files), most, replace=False)]
    for file in files:
        assert_same_bits(run_with(drawn, resume=file), plain, f"{drawn.what}, from {file.name}")
    return len(files)


@pytest.mark.parametrize("number", range(7, 20))
def test_from_some_steps_of_each_drawn_recipe(number: int, tmp_path: Path) -> None:
    assert check(number, tmp_path, most=2) > 0


@pytest.mark.slow
@pytest.mark.parametrize("number", range(20))
def test_from_every_step_of_each_drawn_recipe(number: int, tmp_path: Path) -> None:
    assert check(number, tmp_path) > 10


def test_stopped_and_resumed_again_and_again(tmp_path: Path) -> None:
    """Every process makes a few steps only; each goes on from the last one's checkpoint, in mid-chunk and in mid-epoch."""
    drawn = draw(2)
    plain = run_with(drawn)
    place = tmp_path / "run"

    class Enough(Exception):
        pass

    from manynets.training import checkpoint as module

    resume: Path | None = None
    for _ in range(STEPS):
        writes = 0
        write = module.write_checkpoint

        def counted(*args: Any, write: Any = write, **more: Any) -> None:
            nonlocal writes
            write(*args, **more)
            writes += 1
            if writes == 4:
                raise Enough

        module.write_checkpoint = counted
        try:
            outcomes = run_with(drawn, checkpoint=Checkpoint(folder=place, every_steps=3), resume=resume)
        except Enough:
            resume = place
            continue
        finally:
            module.write_checkpoint = write
        assert_same_bits(outcomes, plain, drawn.what)
        return
    pytest.fail("the training never ended")


def fit(**more: Any) -> mn.Model:
    return mn.train(X, Y, **({"spec": SPEC, "recipe": RECIPE, "validation": 0.2, "progress": False} | more), scaling=False)


def test_train_resumes(tmp_path: Path) -> None:
    plain = fit()
    fit(checkpoint=Checkpoint(folder=tmp_path, every_steps=1, keep=100))
    for file in checkpoint_files(tmp_path)[::4]:
        resumed = fit(resume=file)
        assert all(np.array_equal(resumed.members[0][name], value) for name, value in plain.members[0].items())
        assert resumed.history["val_loss"] == plain.history["val_loss"]


def test_case_45_another_training_is_refused_with_the_differences(tmp_path: Path) -> None:
    fit(checkpoint=Checkpoint(folder=tmp_path, every_epochs=1))
    cases: list[tuple[dict[str, Any], str]] = [
        ({"recipe": dataclasses.replace(RECIPE, epochs=4)}, r"recipe\.epochs is 4, in the checkpoint 3"),
        (
            {"recipe": dataclasses.replace(RECIPE, optimizer=mn.AdamW(lr=0.5))},
            r"recipe\.optimizer\.lr is 0\.5, in the checkpoint 0\.001",
        ),
        ({"spec": mn.MLP(hidden=(7,), dropout=0.2)}, r"spec\.hidden is \[7\], in the checkpoint \[6\]"),
        ({"X": X + 1e-9}, r"data\.X is '\w+', in the checkpoint '\w+'"),
        ({"y": 1 - Y}, r"data\.y is"),
        ({"validation": 0.3}, r"networks\.0\.rows is"),
        ({"sample_weight": np.arange(1.0, 121.0)}, r"data\.weights is '\w+', in the checkpoint None"),
    ]
    for change, message in cases:
        given = {"X": X, "y": Y, "spec": SPEC, "recipe": RECIPE, "validation": 0.2} | change
        with pytest.raises(mn.OptionError, match=message):
            mn.train(**given, scaling=False, progress=False, resume=tmp_path)


def test_fewer_threads_than_before_give_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 63: the promise is for the same machine, versions and thread count; they are recorded."""
    recipe = dataclasses.replace(RECIPE, gradient="closed_form")
    with fixed_threads(2):
        monkeypatch.setattr("manynets.training.threads.usable_threads", lambda most: min(most, 2))
        monkeypatch.setattr("manynets.training.threads.torch.get_num_threads", lambda: 2)
        fit(checkpoint=Checkpoint(folder=tmp_path), recipe=recipe)
    monkeypatch.setattr("manynets.training.threads.torch.get_num_threads", lambda: 17)
    fit(resume=tmp_path, recipe=recipe)
    monkeypatch.setattr("manynets.training.threads.torch.get_num_threads", lambda: 1)
    with pytest.warns(mn.CheckpointWarning, match=r"threads is 1, in the checkpoint 2; training goes on, but not bit for bit"):
        fit(resume=tmp_path, recipe=recipe)


def test_a_checkpoint_of_the_end_gives_the_model_at_once(tmp_path: Path) -> None:
    plain = fit(checkpoint=Checkpoint(folder=tmp_path))
    events: list[Any] = []
    again = fit(resume=tmp_path, callbacks=[events.append])
    assert again.history == plain.history
    assert [type(event).__name__ for event in events] == ["Started", "Finished"]


def test_a_folder_of_an_earlier_training_is_not_written_to(tmp_path: Path) -> None:
    fit(checkpoint=Checkpoint(folder=tmp_path))
    with pytest.raises(mn.OptionError, match="holds checkpoints of an earlier training; go on from them with resume="):
        fit(checkpoint=Checkpoint(folder=tmp_path))


def test_nothing_to_resume_from(tmp_path: Path) -> None:
    with pytest.raises(mn.ModelFileError, match="there is no checkpoint in this folder"):
        fit(resume=tmp_path)
    with pytest.raises(mn.ModelFileError, match="there is no such file"):
        fit(resume=tmp_path / "none")
    fit().save(tmp_path / "model")
    with pytest.raises(mn.ModelFileError, match="this is a model, but a checkpoint is needed"):
        fit(resume=tmp_path / "model")


def test_other_engines_have_no_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(
        mn.OptionError, match="the engine 'numpy' does not have; use engine='torch', or leave out checkpoint and resume"
    ):
        fit(engine="numpy", checkpoint=Checkpoint(folder=tmp_path))
