"""Modules of your own: what they may be made of, and one clear error for those that cannot be trained."""

import numpy as np
import pytest
import torch
from torch import nn

import manynets as mn
from manynets.errors import DataError, DivergenceWarning, OptionError
from tests.tolerances import assert_close

X = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
CODES = np.random.default_rng(1).integers(0, 10, (64, 3))
LATE = np.where(np.arange(64)[:, None] == 40, 99, CODES)  # beyond the table, but not in the first rows
RECIPE = mn.Recipe(epochs=20, batch_size=16, optimizer=mn.Adam(lr=0.03))


class Embedded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 4)
        self.output = nn.Linear(12, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(self.table(x).flatten(1))


def train(module, X=X, y=Y, **options):
    return mn.train(X, y, module, RECIPE, progress=False, **options)


def test_lazy_layers_see_a_row_first():
    state = torch.get_rng_state()
    models = [train(nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(1))) for _ in range(2)]
    assert models[0].evaluate(X, Y)["accuracy"] > 0.9
    assert models[0].network()[0].in_features == 4
    assert models[0].predict(X).tolist() == models[1].predict(X).tolist()
    assert torch.equal(torch.get_rng_state(), state)


def test_inference_mode_around_the_module_and_the_call():
    with torch.inference_mode():
        shared = nn.Linear(4, 4)
        module = nn.Sequential(shared, nn.BatchNorm1d(4), shared, nn.Linear(4, 1))
        model = train(module)
    assert model.evaluate(X, Y)["accuracy"] > 0.9
    assert module[0].weight is module[2].weight
    assert not module[0].weight.is_inference()


class Centered(nn.Module):
    """Subtracts a moving mean, a buffer that each step replaces by another tensor."""

    mean: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(dim=0)
        return x - self.mean


def test_a_buffer_that_the_module_replaces_is_part_of_its_state(tmp_path):
    def module():
        torch.manual_seed(0)
        return nn.Sequential(Centered(), nn.Linear(4, 1))

    options = {"validation": 0.25, "scaling": False}
    whole = train(module(), X + 5, **options)
    assert np.abs(whole.network()[0].mean.numpy() - 5).max() < 1
    train(module(), X + 5, checkpoint=mn.Checkpoint(folder=tmp_path, every_steps=7, keep=99), **options)
    resumed = train(module(), X + 5, resume=tmp_path / "step-000000021.checkpoint", **options)
    assert_close(resumed.network().state_dict(), dict(whole.network().state_dict()), "bits")


@pytest.mark.parametrize(
    "codes", [CODES, CODES.astype(np.int8), torch.from_numpy(CODES), CODES.tolist()], ids=["int64", "int8", "tensor", "list"]
)
@pytest.mark.filterwarnings("ignore::manynets.errors.LeakWarning")
def test_integers_stay_integers(codes, tmp_path):
    y = (CODES[:, 0] > 4).astype(int)
    model = train(Embedded(), codes, y, validation=(codes, y))
    assert model.evaluate(codes, y)["accuracy"] > 0.9
    model.save(tmp_path / "model")
    assert mn.load(tmp_path / "model", module=Embedded()).predict(codes).tolist() == model.predict(codes).tolist()
    with pytest.raises(DataError, match="not whole"):
        model.predict(CODES + 0.5)


def test_a_module_that_takes_floats_gets_them():
    assert train(nn.Linear(3, 1), CODES).info.get("integers") is None


@pytest.mark.parametrize(
    ("module", "codes", "message"),
    [
        (nn.Linear(5, 1), X, "Linear does not accept X, rows of 4 numbers of type float32: mat1 and mat2"),
        (nn.Conv2d(1, 2, 3), X, "Conv2d does not accept X"),
        (Embedded(), X[:, :3], "Embedded does not accept X, .*Long, Int"),
        (Embedded(), CODES + 5, "Embedded does not accept X.*index out of range"),
        (Embedded(), LATE, "whole numbers from 0 to 99: index out of range"),
        (nn.Sequential(nn.EmbeddingBag(10, 4), nn.Linear(4, 1)), CODES + 5, "does not accept X.*not in the valid range"),
        (nn.Sequential(nn.EmbeddingBag(10, 4), nn.Linear(4, 1)), LATE, "whole numbers from 0 to 99: .*not in the valid range"),
        (nn.GRU(4, 1), X, "returned a tuple"),
        (nn.Linear(4, 3), X, "returns 3 scores a row, but this target needs 1"),
    ],
)  # fmt: skip
def test_modules_that_do_not_fit(module, codes, message):
    with pytest.raises(DataError, match=message):
        train(module, codes)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_module_that_was_compiled_to_a_script():
    with pytest.raises(OptionError, match=r"made by torch.jit, .*; give the module that it was made of"):
        train(torch.jit.script(nn.Linear(4, 1)))


class Logarithm(nn.Linear):
    def forward(self, x):
        return torch.log(super().forward(x) - 100)


@pytest.mark.parametrize(
    ("module", "layer"),
    [
        (Logarithm(4, 1), "the network"),
        (nn.Sequential(nn.Linear(4, 3), Logarithm(3, 1)), "layer 1"),
    ],
)
def test_a_module_whose_scores_are_not_finite(module, layer):
    with pytest.warns(DivergenceWarning, match=rf"the first not to be finite was {layer} \(its output\)"):
        train(module)


@pytest.mark.parametrize("scaling", ["standard", "robust"])
def test_a_module_may_ask_for_scaled_columns(scaling):
    torch.manual_seed(0)
    model = train(nn.Linear(4, 1), X * 1e6 + 1e7, scaling=scaling)
    assert model.evaluate(X * 1e6 + 1e7, Y)["accuracy"] > 0.9


def test_parameters_without_data():
    with pytest.raises(OptionError, match="weight of Linear is on the device 'meta' and has no data; give it some"):
        train(nn.Linear(4, 1, device="meta"))


DATASET = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (DATASET, "X is a TensorDataset, .*X, y = dataset.tensors"),
        (torch.utils.data.DataLoader(DATASET), "X is a DataLoader, .*batch_size"),
        (torch.utils.data.Subset(DATASET, [0]), "X is a Subset, .*torch.stack"),
        ({"a": [1, 2]}, "X is a dict, .*DataFrame"),
        (None, "X is a NoneType"),
        ((row for row in X), "X is a generator"),
        ([[1, 2], [3]] * 32, "row 0 has 2 values, but row 1 has 1"),
        ([[1, 2], 3] * 32, "row 0 has 2 values, but row 1 has 1"),
    ],
)
def test_things_that_are_no_rows(given, message):
    with pytest.raises(DataError, match=message):
        train(mn.MLP(), given)


def test_ragged_targets_and_folds():
    with pytest.raises(DataError, match="y must be one value for each row"):
        train(mn.MLP(), X, [[1, 2], [3]] * 32)
    with pytest.raises(DataError, match="fold 0 must be row numbers"):
        mn.train_many(X, Y, [(mn.MLP(), RECIPE)], cv=[([1, [2]], [3])], progress=False)


def test_links_that_lead_back_to_themselves(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for options in ({"checkpoint": mn.Checkpoint(folder=tmp_path / "a", every_epochs=1)}, {"resume": tmp_path / "a"}):
        with pytest.raises(OptionError, match="a symbolic link that leads back to itself"):
            train(mn.MLP(), **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mn.MLP((16,)), r"MLP takes its options by name, such as MLP\(hidden=\(16,\)\)"),
        (lambda: mn.Recipe(10), r"such as Recipe\(epochs=10\)"),
        (lambda: mn.Constant(0.1), r"Constant has no options; write Constant\(\)"),
        (lambda: mn.Adam(0.1), r"such as Adam\(lr=0.1\)"),
        (lambda: mn.Recipe(lr=0.1), r"no option 'lr'; write Recipe\(optimizer=AdamW\(lr=0.1\)\)"),
        (lambda: mn.Recipe(learning_rate_init=0.1), r"write Recipe\(optimizer=AdamW\(lr=0.1\)\)"),
        (lambda: mn.Recipe(patience=3), r"write Recipe\(stopping=EarlyStopping\(patience=3\)\)"),
        (lambda: mn.Recipe(dropout=0.1), r"it is one of MLP, as in MLP\(dropout=0.1\)"),
        (lambda: mn.Recipe(epoch=3), "did you mean 'epochs'"),
        (lambda: mn.MLP(hidden_layer_sizes=(8,)), r"write MLP\(hidden=\(8,\)\)"),
        (lambda: mn.MLP(units=8), r"write MLP\(hidden=8\)"),
        (lambda: mn.Recipe(random_state=8), r"write Recipe\(seed=8\)"),
        (lambda: mn.Recipe(xyz=8), "no option 'xyz'; it has optimizer"),
    ],
)
def test_type_errors_show_the_right_call(call, message):
    with pytest.raises(TypeError, match=message):
        call()
