"""An early end by cooling down, and networks that share their best step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import manynets as mn
from tests.tolerances import assert_close

random = np.random.default_rng(0)
X = random.standard_normal((80, 3))
Y = X[:, 0] + 2 * random.standard_normal(80)  # mostly noise, so that the validation loss soon rises


def _recipe(**stopping: Any) -> mn.Recipe:
    return mn.Recipe(
        optimizer=mn.Adam(lr=0.03),
        schedule=mn.Cosine(),
        iterations=200,
        evaluate_every=5,
        batch_size=16,
        stopping=mn.EarlyStopping(patience=4, **stopping),
        dtype="float64",
    )


def _train(recipe: mn.Recipe, **more: Any) -> mn.Model:
    return mn.train(
        X, Y, mn.MLP(hidden=(32,)), recipe, scaling=False, progress=False, **{"n_networks": 3, "validation": "folds", **more}
    )


def test_the_rate_falls_in_a_line_from_that_of_the_best_weights() -> None:
    model = _train(_recipe(cool_down=0.6, shared=True))
    steps, rates, losses = (np.array(model.history[name]) for name in ("step", "lr", "val_loss"))
    start = next(i for i in range(len(losses)) if i - losses[: i + 1].argmin() == 4)  # the patience
    best = start - 4
    length = np.clip(0.6 * steps[best], 0.08 * 200, 0.4 * 200)
    end = steps[start] + int(length)
    assert steps[-1] == end < 200
    rate = 0.03 * 0.5 * (1 + np.cos(np.pi * steps[best] / 200))
    after = steps[start + 1 :]
    assert_close(rates[start + 1 :], rate * (end - (after - 1)) / (end - steps[start]), "float64")
    assert model.info["stopped"] == ["early"] * 3


def test_shared_networks_keep_the_weights_of_one_step() -> None:
    shared, each = _train(_recipe(cool_down=0.6, shared=True)), _train(_recipe(cool_down=0.6))
    assert len(set(shared.info["best"])) == 1
    assert len(set(each.info["best"])) > 1
    assert shared.info["best"][0] == int(np.argmin(shared.history["val_loss"]))


def test_networks_that_cool_down_by_themselves_equal_each_trained_alone() -> None:
    recipes = [mn.Recipe(**{**vars(_recipe(cool_down=0.6)), "optimizer": mn.Adam(lr=lr)}) for lr in (0.003, 0.01, 0.03)]
    options: dict[str, Any] = {"validation": 0.3, "scaling": False, "progress": False}
    together = mn.train_many(X, Y, [(mn.MLP(hidden=(32,)), recipe) for recipe in recipes], **options)
    ends = [result.model.history["step"][-1] for result in together]
    assert len(set(ends)) > 1
    for result, recipe in zip(together, recipes, strict=True):
        alone = mn.train(X, Y, mn.MLP(hidden=(32,)), recipe, **options)
        assert result.model.history["step"] == alone.history["step"]
        assert_close(result.model.members[0], alone.members[0], "float64_run")


def test_patience_that_ends_late_changes_nothing() -> None:
    late = mn.Recipe(
        **{**vars(_recipe(cool_down=0.6, shared=True)), "stopping": mn.EarlyStopping(patience=33, cool_down=0.6, shared=True)}
    )
    model = _train(late)
    assert model.history["step"][-1] == 200
    assert model.info["stopped"] == ["done"] * 3


def test_networks_of_unlike_recipes_are_no_team() -> None:
    recipes = [_recipe(shared=True), mn.Recipe(**{**vars(_recipe(shared=True)), "l2": 0.5})]
    results = mn.train_many(
        X, Y, [(mn.MLP(hidden=(32,)), recipe) for recipe in recipes], cv=3, validation=0.3, scaling=False, progress=False
    )
    alone = mn.train_many(X, Y, [(mn.MLP(hidden=(32,)), recipes[1])], cv=3, validation=0.3, scaling=False, progress=False)
    for together, one in zip(results[3:], alone, strict=True):
        assert_close(together.model.members[0], one.model.members[0], "float64_run")


@pytest.mark.parametrize("steps", [20, 33, 41])
def test_it_resumes_bit_for_bit(tmp_path: Any, steps: int) -> None:
    recipe = _recipe(cool_down=0.6, shared=True)
    whole = _train(recipe)
    assert whole.history["step"][-1] > steps

    def stop(event: Any) -> None:
        if isinstance(event, mn.Advanced) and event.step >= steps:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _train(recipe, callbacks=[stop], checkpoint=mn.Checkpoint(folder=tmp_path, every_steps=3))
    resumed = _train(recipe, resume=tmp_path)
    for k in range(3):
        assert_close(resumed.members[k], whole.members[k], "bits")
    assert resumed.history["lr"] == whole.history["lr"]


@pytest.mark.parametrize("gradient", ["autograd", "closed_form"])
def test_every_stepper_cools_down_alike(gradient: Any) -> None:
    recipe = _recipe(cool_down=0.6, shared=True)
    one = _train(recipe)
    other = _train(mn.Recipe(**{**vars(recipe), "gradient": gradient}))
    assert other.info["stepper"] == gradient != one.info["stepper"]
    assert_close(other.members[0], one.members[0], "float64_run")


def test_a_module_of_your_own_cools_down_too() -> None:
    import torch

    module = torch.nn.Sequential(torch.nn.Linear(3, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))
    model = mn.train(X, Y, module, _recipe(cool_down=0.6), validation=0.3, scaling=False, progress=False)
    assert model.info["stopped"] == ["early"]
    assert model.history["step"][-1] < 200


def test_refusals() -> None:
    with pytest.raises(mn.OptionError, match=r"EarlyStopping has cool_down=0\.5 and factor=0\.1; give one of the two"):
        mn.EarlyStopping(cool_down=0.5, factor=0.1)
    with pytest.raises(mn.OptionError, match=r"cool_down is 0\.6, but engine='numpy' has none"):
        mn.train(X, Y, mn.MLP(hidden=()), _recipe(cool_down=0.6), engine="numpy", validation=0.3, scaling=False, progress=False)
