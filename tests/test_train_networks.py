"""`train(n_networks=...)`: several networks that predict together, with a validation part in common or a fold each."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets.data.split import SplitBy, even_folds
from manynets.training.checkpoint import Checkpoint, checkpoint_files
from tests.test_train import RECIPE, N, Own, data, fit
from tests.tolerances import assert_close


@pytest.mark.filterwarnings("ignore::manynets.errors.LeakWarning")
def test_networks_trained_together_are_those_trained_alone() -> None:
    x, y = data()
    model = fit(validation=(x[:20], y[:20]), n_networks=3, seed=4)
    alone = [fit(validation=(x[:20], y[:20]), seed=4 + k) for k in range(3)]
    assert model.size == 3
    for k, one in enumerate(alone):
        assert_close(model.members[k], one.members[0], "float32_run", what=str(k))
    for name in ("loss", "val_loss", "accuracy", "val_accuracy"):
        curves = [one.history[name] for one in alone]
        assert_close(model.history[name], np.mean(curves, axis=0), "float32_run", what=name)
        assert_close(model.history[f"{name}_std"], np.std(curves, axis=0), "float32_run", what=f"{name}_std")
    assert not any(name.endswith("_std") for name in alone[0].history)
    assert model.info["best"] == [one.info["best"] for one in alone]
    assert_close(model.predict_proba(x), np.mean([one.predict_proba(x) for one in alone], axis=0), "float32_run")


def test_with_folds_each_network_keeps_other_rows_apart() -> None:
    _, y = data()
    model = fit(validation="folds", n_networks=4, seed=1)  # 90 rows: 22 or 23 apart
    strata = model.task.strata(model.task.encode(y))
    for k, (train, held) in enumerate(even_folds(N, 4, by=SplitBy(strata=strata), seed=1)):
        alone = fit(validation=held, seed=1 + k)
        assert len(train) == N - 23
        assert_close(model.members[k], alone.members[0], "float32_run", what=str(k))
        assert model.info["best"][k] == alone.info["best"]


def test_networks_that_stop_at_their_own_epochs_have_one_history() -> None:
    recipe = dataclasses.replace(RECIPE, epochs=60, optimizer=mn.Adam(lr=0.1), stopping=mn.EarlyStopping(patience=2))
    model = fit(recipe=recipe, validation="folds", n_networks=5)
    lengths = {len(column) for column in model.history.values()}
    assert len(lengths) == 1
    assert model.history["epoch"] == [float(k + 1) for k in range(lengths.pop())]
    assert set(model.info["stopped"]) == {"early"}
    assert len(set(model.info["best"])) > 1


def test_several_networks_resume_bit_for_bit(tmp_path: Path) -> None:
    whole = fit(validation="folds", n_networks=3)
    kept = fit(validation="folds", n_networks=3, checkpoint=Checkpoint(folder=tmp_path, every_steps=7, keep=9))
    files = checkpoint_files(tmp_path)
    assert len(files) > 2
    for model in (kept, fit(validation="folds", n_networks=3, resume=files[len(files) // 2])):
        assert_close(dict(enumerate(model.members)), dict(enumerate(whole.members)), "bits")
        assert model.info["best"] == whole.info["best"]
    with pytest.raises(mn.OptionError, match=r"of another training: .*networks\.3 is"):
        fit(validation="folds", n_networks=4, resume=files[0])


@pytest.mark.parametrize("step", [7, 60])  # in the first group; in the second, once the first is through
def test_networks_whose_epochs_differ_in_steps_resume_bit_for_bit(tmp_path: Path, step: int) -> None:
    """Groups of unlike size: the folds have 50, 65 and 65 rows to train on, which are 4, 5 and 5 batches."""
    options: dict[str, Any] = {"validation": "folds", "n_networks": 3, "groups": np.repeat([0, 1, 2], [40, 25, 25])}
    options["recipe"] = dataclasses.replace(RECIPE, batch_size=16, epochs=10)
    whole, seen = fit(**options), list[mn.Checkpoint]()

    def stop(event: Any) -> None:
        if isinstance(event, mn.Evaluated):
            seen.append(event)
            if len(seen) > step // 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(**options, callbacks=[stop], checkpoint=Checkpoint(folder=tmp_path, every_steps=3))
    with pytest.raises(mn.OptionError, match="holds checkpoints of an earlier training"):
        fit(**options, checkpoint=Checkpoint(folder=tmp_path))
    resumed = fit(**options, checkpoint=Checkpoint(folder=tmp_path), resume=tmp_path)
    assert_close(dict(enumerate(resumed.members)), dict(enumerate(whole.members)), "bits")
    assert resumed.info["best"] == whole.info["best"]
    with pytest.raises(mn.OptionError, match="of another training"):
        fit(**{**options, "seed": 9}, resume=tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_networks": 0}, "n_networks is 0, but must be a whole number of at least 1"),
        ({"n_networks": 2.0}, "n_networks is 2.0"),
        ({"n_networks": 2, "engine": "numpy"}, "n_networks is 2, but with engine='numpy' only one network is trained"),
        ({"n_networks": 2, "spec": Own()}, "with a module of your own only one network is trained"),
        ({"n_networks": 2, "initial": {}}, "with initial only one network is trained"),
        ({"validation": "folds"}, "validation='folds' is for several networks; give n_networks=8"),
        ({"n_networks": 91, "validation": "folds"}, "folds is 91, but must be a whole number from 2 to 90"),
    ],
)
def test_networks_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(mn.OptionError, match=message):
        fit(**options)


def test_seed_and_number_of_networks_may_be_numpys_numbers() -> None:
    given, plain = fit(seed=np.int64(3), n_networks=np.int64(2)), fit(seed=3, n_networks=2)
    assert_close(dict(enumerate(given.members)), dict(enumerate(plain.members)), "bits")


def test_too_few_rows_with_weight_for_the_folds() -> None:
    with pytest.raises(mn.DataError, match="sample_weight is above 0 for 1 of 90 rows, which is too few for 4 folds"):
        fit(validation="folds", n_networks=4, sample_weight=np.r_[1.0, np.zeros(N - 1)])
