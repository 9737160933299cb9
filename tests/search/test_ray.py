"""joblib's backend of Ray trains the same networks; skipped where Ray is not installed."""

from __future__ import annotations

import joblib
import numpy as np
import pytest

import manynets as mn

ray = pytest.importorskip("ray")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_the_same_networks_on_ray() -> None:
    from ray.util.joblib import register_ray

    X, y = np.random.default_rng(0).normal(size=(300, 5)), np.arange(300) % 3
    tries = [(mn.MLP(hidden=(hidden,)), mn.Recipe(epochs=3)) for hidden in (4, 8, 16, 32)]
    expected = mn.train_many(X, y, tries, cv=2, scaling=False, progress=False)
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=200 << 20)
    try:
        register_ray()
        with joblib.parallel_config("ray"):
            found = mn.train_many(X, y, tries, cv=2, n_jobs=2, scaling=False, progress=False)
    finally:
        ray.shutdown()
    for one, two in zip(found, expected, strict=True):
        assert (one.candidate, one.fold, one.stopped) == (two.candidate, two.fold, two.stopped)
        assert all(np.array_equal(value, two.parameters[name]) for name, value in one.parameters.items())  # type: ignore[union-attr, index]
