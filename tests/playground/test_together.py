"""Two pages train at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from manynets.playground.files import Files
from manynets.playground.problem import make_experiment
from manynets.playground.setup import PlaygroundSetup
from manynets.playground.training import LiveTraining, Sample

MOONS = {"kind": "toy", "name": "moons", "points": 60, "noise": 0.2, "seed": 1}


def is_done(sample: Sample) -> bool:
    return sample.state == "done"


def setup(gradient: str, precision: str) -> PlaygroundSetup:
    recipe = {"kind": "Recipe", "epochs": 40, "batch_size": 16, "gradient": gradient, "precision": precision}
    return PlaygroundSetup.from_json({"data": MOONS, "network": {"kind": "MLP", "hidden": [4], "dropout": 0.2}, "recipe": recipe})


def started(given: PlaygroundSetup) -> LiveTraining:
    training = LiveTraining(make_experiment(given, Files()))
    training.play()
    return training


def weights(training: LiveTraining) -> NDArray[Any]:
    assert training.wait(is_done, 60)
    return training.groups[0].flat


def test_two_pages_at_once_train_as_each_alone() -> None:
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    setups = [setup("autograd", "full"), setup("closed_form", "tf32"), setup("autograd", "tf32")]
    alone = []
    for given in setups:
        training = started(given)
        alone.append(weights(training))
        training.close()
        assert training.join(10)
    together = [started(given) for given in setups]
    for training, expected in zip(together, alone, strict=True):
        np.testing.assert_array_equal(weights(training), expected)
        training.close()  # in the order in which they began
        assert training.join(10)
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == before


def test_the_past_goes_on_while_the_networks_that_ended_first_wait() -> None:
    recipe = {"kind": "Recipe", "epochs": 200, "batch_size": 16, "stopping": {"kind": "EarlyStopping", "patience": 5}}
    recipe["optimizer"] = {"kind": "Adam", "lr": 0.03}
    networks = {"count": 3, "vary": "hidden"}  # three groups, each with a run of its own
    training = started(PlaygroundSetup.from_json({"data": MOONS, "networks": networks, "recipe": recipe}))
    assert training.wait(is_done, 60)
    training.close()
    steps = [group.run.step for group in training.groups]
    assert steps[-1] < max(steps)
    assert list(training.snapshots)[-1].step == max(steps)
