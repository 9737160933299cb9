"""One model of the networks of several, and a model with other weights."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

import manynets as mn
from manynets.errors import OptionError
from tests.tolerances import assert_close

X = np.random.default_rng(0).normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)
NUMBERS = X[:, 0] + 10
SPEC = mn.MLP(hidden=(4,))
PAIRS = [(SPEC, mn.Recipe(epochs=2, seed=seed)) for seed in range(3)]


@pytest.mark.parametrize("y", [Y, Y + (X[:, 1] > 0), NUMBERS], ids=["binary", "multiclass", "numbers"])
def test_joined_networks_predict_as_each_does(y: np.ndarray, tmp_path) -> None:
    models = [result.model for result in mn.train_many(X, y, PAIRS, progress=False)]
    joined = mn.joined(models)
    joined.save(tmp_path / "all")
    kind = "float32" if y is NUMBERS else "bits"  # of classes
    for model in (joined, mn.load(tmp_path / "all")):
        assert model.size == 3
        assert_close(model.predict_each(X), np.stack([one.predict(X) for one in models]), kind)
        if y is not NUMBERS:
            assert_close(model.predict_proba_each(X), np.stack([one.predict_proba(X) for one in models]), "float32")
    assert joined.info["stopped"] == ["done"] * 3
    assert joined.info["best"] == [1] * 3
    assert_close(joined.history["loss"], np.mean([one.history["loss"] for one in models], axis=0).tolist(), "float64")
    assert mn.joined([joined, models[0]]).size == 4
    joined.summary()


def trained(spec=SPEC, recipe=PAIRS[0][1], y=Y, rows=slice(None), **options):
    return mn.train(X[rows], y[rows], spec, recipe, progress=False, **options)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: trained(mn.MLP(hidden=(5,))), "model 1 has another spec than model 0; join those with the same"),
        (lambda: trained(y=NUMBERS), "another task"),
        (lambda: trained(rows=slice(30)), "another encoder than model 0; .*scaling=False"),
        (lambda: trained(scaling=False), "another encoder"),
        (lambda: trained(recipe=mn.Recipe(dtype="float64")), "another dtype"),
        (lambda: trained(nn.Linear(3, 1)), "model 1 is a module of your own, but must be a Model of an MLP"),
        (lambda: None, "model 1 is None"),
    ],
)  # fmt: skip
def test_models_that_cannot_be_joined(other, message) -> None:
    with pytest.raises(OptionError, match=message):
        mn.joined([trained(), other()])


def test_a_loss_of_its_own_and_no_models() -> None:
    one, other = (trained(y=NUMBERS, recipe=mn.Recipe(loss=loss, epochs=1)) for loss in ("huber", None))
    with pytest.raises(OptionError, match="another loss"):
        mn.joined([one, other])
    with pytest.raises(OptionError, match="models is empty"):
        mn.joined([])
    with pytest.raises(OptionError, match=r"models is <Model: Regression.*>, but must be a list of Models"):
        mn.joined(one)


def test_ensembles_with_linear_models_count_them() -> None:
    frame = pl.DataFrame(X).with_columns(y=NUMBERS)
    model = mn.train(frame, target="y", preset="fast", n_networks=2, progress=False)
    assert (model.size, model.info["linear"]) == (4, 2)
    assert repr(mn.joined([model, model])).startswith("<Model: Regression model, 4 networks 128-128 silu and 4 linear models")
    assert mn.joined([model, model]).info["n_networks"] == 4
    assert repr(model.with_members(model.members[:1])).startswith("<Model: Regression model, 128-128 silu,")
    assert model.with_members(model.members).info["linear"] == 2


def test_other_members() -> None:
    model = trained()
    network = model.network()
    with torch.no_grad():
        network.output.bias += 1
    state = dict(network.named_parameters())  # tensors that ask for a gradient
    assert_close(model.with_members(state).logits(X), model.logits(X) + np.float32(1), "float32")
    assert model.with_members([state, state]).size == 2
    with pytest.raises(
        OptionError, match=r"members has no 'hidden0.weight', but 0.weight; rename its parameters: it needs hidden0"
    ):
        model.with_members({"0.weight": 1})
    with pytest.raises(OptionError, match="members is empty"):
        model.with_members([])
    with pytest.raises(OptionError, match=r"members is Linear\(.*, but must be parameters by name, .* module.state_dict\(\)"):
        model.with_members(network.output)


def test_members_of_a_type_that_numpy_lacks() -> None:
    model = trained()
    state = {name: value.bfloat16() for name, value in model.network().state_dict().items()}
    expected = {name: value.float().numpy() for name, value in state.items()}
    assert_close(model.with_members(state).members[0], expected, "bits")


def test_other_members_of_a_module() -> None:
    model = trained(nn.Linear(3, 1))
    before = model.logits(X)
    changed = model.with_members({"weight": model.members[0]["weight"], "bias": model.members[0]["bias"] + 1})
    assert_close(changed.logits(X), before + np.float32(1), "float32")
    assert_close(model.logits(X), before, "bits")
    with pytest.raises(OptionError, match="members does not fit Linear: Error"):
        model.with_members({"weight": np.zeros((1, 3))})
    with pytest.raises(OptionError, match="members does not fit Linear: "):
        model.with_members({"weight": "x", "bias": 0})
    with pytest.raises(OptionError, match="members is 5, but must be parameters by name"):
        model.with_members(5)
    with pytest.raises(OptionError, match="2 networks"):
        model.with_members(model.members * 2)


def test_training_starts_from_tensors() -> None:
    network = mn.network(SPEC, in_features=3, out_features=1, seed=9)
    still = mn.Recipe(epochs=1, optimizer=mn.SGD(lr=0.0))
    model = trained(recipe=still, initial=dict(network.named_parameters()))
    expected = {name: value.numpy() for name, value in network.state_dict().items()}
    assert_close(model.members[0], expected, "bits")
    with pytest.raises(OptionError, match=r"initial has no 'hidden0.weight', but 0.weight; rename"):
        trained(recipe=still, initial={"0.weight": 1})


def test_a_stream_refuses_parameters_that_do_not_fit(tmp_path) -> None:
    rows = np.random.default_rng(0).normal(size=(60_000, 4))  # 2 MB
    pl.DataFrame(rows, schema=["a", "b", "c", "y"]).write_parquet(tmp_path / "table.parquet", row_group_size=5_000)
    with pytest.raises(OptionError, match=r"initial has no 'hidden0.weight', but 0.weight; rename"):
        mn.train(
            tmp_path / "table.parquet",
            None,
            SPEC,
            PAIRS[0][1],
            target="y",
            memory_limit="1MB",
            initial={"0.weight": 1},
            progress=False,
        )
