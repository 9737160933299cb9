"""A process that was forked after training and predicting does both again, instead of waiting for threads that it does not have."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import os
import numpy as np
import torch
import manynets as mn

torch.set_num_threads(2)
X = np.random.default_rng(0).standard_normal((80_000, 20))
y = X[:, 0] > 0


def fit(gradient):
    recipe = mn.Recipe(iterations=3, batch_size=8192, gradient=gradient)
    return mn.train(X, y, mn.MLP(hidden=(256,)), recipe, scaling=False, progress=False)


models = [fit("closed_form"), fit("compiled")]
predicted = [model.predict(X) for model in models]
torch.ones(1500, 1500) @ torch.ones(1500, 1500)  # torch's threads have worked
child = os.fork()
if child == 0:
    same = all((model.predict(X) == before).all() for model, before in zip(models, predicted))
    fitted = [fit("closed_form"), fit("compiled"), fit("autograd")]
    mn.MLPClassifier((8,), max_iter=2, batch_size=8192).fit(X, y).predict(X)
    os._exit(0 if same and len(fitted) == 3 else 1)
sys_exit = os.waitpid(child, 0)[1]
assert sys_exit == 0, sys_exit
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system has no fork")
def test_a_forked_child_fits_and_predicts() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT], timeout=120, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
