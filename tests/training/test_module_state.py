"""Modules of your own: what belongs to their state besides the weights that are trained, and what training leaves alone."""

import copy
import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

import manynets as mn
from manynets.errors import DataError, OptionError
from tests.tolerances import assert_close

X = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
RECIPE = mn.Recipe(epochs=10, batch_size=16, optimizer=mn.Adam(lr=0.03))


def train(module, recipe=RECIPE, y=Y, **options):
    return mn.train(X, y, module, recipe, progress=False, validation=0.25, task="multiclass", **options)


def seeded(make, seed=0):
    """Return a module whose initial weights follow from a seed."""
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    module = make()
    torch.set_rng_state(state)
    return module


class Attention(nn.Module):
    """Attends to the columns before a column, by a mask of -inf."""

    mask: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(4))
        self.query, self.output = nn.Linear(1, 8), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.query(x.unsqueeze(-1))
        return self.output((torch.softmax(h @ h.transpose(1, 2) + self.mask, dim=-1) @ h).mean(dim=1))


def test_a_mask_of_minus_infinity_is_no_divergence():
    model = train(seeded(Attention))
    assert model.info["stopped"] == ["done"]
    assert torch.isneginf(model.network().mask).sum() == 6


class Exploding(nn.Module):
    """Has a mask of -inf, and after its first epoch scores whose squares are infinite, with a finite gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.tensor([-torch.inf, 0.0]))
        self.layer, self.calls = nn.Linear(4, 1), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        return self.layer(x) + (0.0 if self.calls <= 3 else 1e25)


def test_a_divergence_is_not_blamed_on_a_mask():
    recipe = mn.Recipe(optimizer=mn.SGD(lr=1e-20), epochs=3, batch_size=16)  # the weights stay finite
    with pytest.warns(mn.DivergenceWarning, match="epoch 2, step 4") as caught:
        mn.train(X, X[:, 0], seeded(Exploding), recipe, validation=0.25, progress=False)
    assert "mask" not in str(caught[0].message)


class Teacher(nn.Module):
    """Predicts by frozen copies of its weights, which follow those that are trained."""

    def __init__(self) -> None:
        super().__init__()
        self.student, self.teacher = nn.Linear(4, 2), nn.Linear(4, 2).requires_grad_(requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return self.teacher(x)
        for mine, own in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            mine.data = 0.9 * mine.data + 0.1 * own.data
        return self.student(x)


@pytest.mark.parametrize(
    "make", [Teacher, lambda: nn.Sequential(nn.Linear(4, 8).requires_grad_(requires_grad=False), nn.Linear(8, 2))]
)
def test_frozen_parameters_are_part_of_the_state(make, tmp_path):
    whole = train(seeded(make))
    train(seeded(make), checkpoint=mn.Checkpoint(folder=tmp_path, every_steps=7, keep=99))
    resumed = train(seeded(make, seed=1), resume=tmp_path / "step-000000014.checkpoint")
    assert_close(resumed.network().state_dict(), dict(whole.network().state_dict()), "bits")


def test_the_best_weights_have_their_frozen_parameters():
    noise, recipe = np.random.default_rng(3).integers(0, 2, 64), mn.Recipe(optimizer=mn.SGD(lr=3.0), epochs=10, batch_size=16)
    model = train(seeded(Teacher), recipe, noise)
    best = model.info["best"]
    assert 0 <= best < 9
    last = train(seeded(Teacher), dataclasses.replace(recipe, epochs=best + 1, keep="last"), noise)
    assert_close(model.network().state_dict(), dict(last.network().state_dict()), "bits")


class Bounded(nn.Module):
    """Gives its weights a largest norm in each step, by replacing them."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.layer.weight.data = torch.renorm(self.layer.weight.data, 2, 0, 1.0)
        return self.layer(x)


def test_weights_that_the_module_replaces_are_trained():
    module = seeded(Bounded)
    before = module.layer.weight.detach().clone()
    model = train(module)
    assert model.evaluate(X, Y)["accuracy"] > 0.9
    weight = module.layer.weight.detach()
    assert float((weight - before).abs().max()) > 0.1
    assert float(weight.norm(dim=1).max()) <= 1 + 1e-6


class Renewed(Bounded):
    """Puts a new parameter in place of the one that is trained."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.layer.weight = nn.Parameter(torch.renorm(self.layer.weight.detach(), 2, 0, 1.0))
        return self.layer(x)


class Rebuilt(Bounded):
    """Puts a new layer in place of the one that is trained, and a new one without weights, which does no harm."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.drop = nn.Dropout(0.2)
        out = self.layer(self.drop(x))
        if not self.training:
            self.layer = copy.deepcopy(self.layer)
        return out


@pytest.mark.parametrize(
    ("kind", "what"), [(Renewed, r"parameter layer\.weight in forward .*"), (Rebuilt, r"layer layer in forward .*")]
)
def test_what_forward_replaces_is_named(kind, what):
    with pytest.raises(DataError, match=rf"{kind.__name__} replaces its {what} self\.layer\.weight\.data = "):
        train(seeded(kind))


class Noisy(nn.Module):
    """Draws in prediction, too."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.drop = nn.Linear(4, 2), nn.Dropout(0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.drop(x) + 0.5 * torch.randn_like(x))


def test_what_a_module_draws_in_an_evaluation_follows_from_the_seed():
    torch.manual_seed(1)
    first, state = train(seeded(Noisy)), torch.get_rng_state()
    torch.manual_seed(2)
    second = train(seeded(Noisy))
    assert first.history["val_loss"] == second.history["val_loss"]
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_modules_that_threads_train_at_the_same_time_are_those_of_one_thread():
    def weights(seed: int) -> list[float]:
        return train(copy.deepcopy(modules[seed]), mn.Recipe(epochs=10, batch_size=4, seed=seed)).history["val_loss"]

    modules, state = [seeded(Noisy, seed) for seed in range(8)], torch.get_rng_state()
    alone = [weights(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(weights, range(8)))
    assert together == alone
    assert torch.equal(torch.get_rng_state(), state)


class InPlace(nn.Module):
    """Halves the very rows that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.mul_(0.5))


@pytest.mark.filterwarnings("ignore::manynets.errors.LeakWarning")
def test_a_module_that_changes_its_input_does_not_change_the_rows():
    rows = X.copy()
    model = mn.train(rows, Y, seeded(InPlace), RECIPE, task="multiclass", validation=(rows, Y), progress=False)
    assert np.array_equal(rows, X)
    assert model.predict_proba(rows).tolist() == model.predict_proba(rows).tolist()
    assert np.array_equal(rows, X)


class Complex(nn.Module):
    def __init__(self, make) -> None:
        super().__init__()
        make(self, torch.randn(4, 3, dtype=torch.complex64))
        self.output = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output((x.to(torch.complex64) @ self.waves).abs())


def test_complex_buffers_stay_and_complex_parameters_are_refused(tmp_path):
    module = seeded(lambda: Complex(lambda own, waves: own.register_buffer("waves", waves)))
    waves = module.waves.clone()
    model = train(module)
    assert torch.equal(module.waves, waves)
    model.save(tmp_path / "m.safetensors")
    assert torch.equal(mn.load(tmp_path / "m.safetensors", module=module).module.waves, waves)
    with pytest.raises(OptionError, match=r"waves of Complex is complex128, .* give it that type"):
        train(Complex(lambda own, waves: own.register_buffer("waves", waves.to(torch.complex128))))
    module = Complex(lambda own, waves: setattr(own, "waves", nn.Parameter(waves)))
    with pytest.raises(OptionError, match=r"waves of Complex is complex, .*use torch.view_as_complex"):
        train(module)
    assert module.waves.is_complex()


class Detached(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).detach()


class Whole(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).long()


@pytest.mark.parametrize(("kind", "dtype"), [(Detached, "float32"), (Whole, "int64")])
def test_scores_without_a_gradient_are_named(kind, dtype):
    with pytest.raises(DataError, match=f"scores of {kind.__name__}, of type {dtype}, have no gradient; remove torch.no_grad"):
        train(kind(4, 2))


def test_a_model_of_a_module_that_is_trained_further_stays_as_it_was():
    first = train(seeded(lambda: nn.Linear(4, 2)))
    before = first.predict_proba(X)
    more = mn.train(X, Y, first, RECIPE, progress=False)
    assert np.array_equal(first.predict_proba(X), before)
    assert not np.array_equal(more.predict_proba(X), before)


class Slope(nn.Module):
    """Has the gradient of an energy as its output."""

    def __init__(self) -> None:
        super().__init__()
        self.energy, self.output = nn.Linear(4, 3), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            [slope] = torch.autograd.grad(torch.tanh(self.energy(x)).square().sum(), x, create_graph=True)
            return self.output(slope)


def test_a_module_may_take_gradients_in_prediction():
    model = train(seeded(Slope))
    assert model.info["stopped"] == ["done"]
    assert_close(model.predict_proba(X).sum(axis=1), np.ones(64, dtype=np.float32), "float32")


class Remembering(nn.Linear):
    """Has the last batch as a buffer."""

    def __init__(self) -> None:
        super().__init__(4, 2)
        self.register_buffer("last", torch.zeros(1, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.last = x
        return super().forward(x)


class Extra(nn.Linear):
    def get_extra_state(self) -> dict[str, int]:
        return {"calls": 1}


def test_state_that_a_model_cannot_hold_is_named():
    with pytest.raises(DataError, match=r"Remembering changes the shape of its buffer last from \(1, 4\) to \(16, 4\); keep it as"):
        train(Remembering())
    with pytest.raises(
        OptionError, match="_extra_state of Extra is a dict, but a model holds tensors only; remove get_extra_state"
    ):
        train(Extra(4, 2))
