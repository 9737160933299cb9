"""Scripts for torch and Keras that are brought here: what does not fit is told with what to write instead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import manynets as mn
from manynets.errors import DataError, OptionError
from manynets.spec.ported import LOSSES, SCHEDULES
from manynets.spec.schedules import SCHEDULES as KNOWN

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
TWO, THREE = np.arange(40) % 2, np.arange(40) % 3
QUICK = mn.Recipe(epochs=1)


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"optimizer": "adam"}, "; write mn.Adam()"),
        ({"optimizer": "rms_prop"}, "; write mn.RMSprop()"),
        ({"optimizer": "adamx"}, r"; did you mean mn.Adam\w?\(\)\?"),
        ({"optimizer": mn.AdamW}, "; write mn.AdamW()"),
        ({"optimizer": torch.optim.NAdam}, "; write mn.NAdam()"),
        ({"optimizer": torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.5)}, r"; write mn.SGD\(lr=0.5\)"),
        ({"optimizer": torch.optim.LBFGS}, "; one of your own needs a training loop of your own"),
        ({"schedule": torch.optim.lr_scheduler.StepLR}, "; write mn.StepDecay"),
        ({"schedule": "cosine"}, "; write mn.Cosine()"),
        ({"schedule": lambda step: 0.9**step}, "; write mn.PiecewiseConstant"),
        ({"stopping": 5}, "must be an instance of EarlyStopping$"),
        ({"loss": nn.MSELoss()}, "; write loss='squared_error'"),
        ({"loss": nn.functional.binary_cross_entropy_with_logits}, "; write loss='cross_entropy'"),
        ({"loss": "mae"}, "; write loss='absolute_error'"),
        ({"loss": "absolut_error"}, "; did you mean 'absolute_error'"),
        ({"loss": lambda a, b: a - b}, "; give a function of your own to mn.train, as loss="),
        ({"watch": "val_loss"}, "; write 'loss', which is that of the validation rows"),
        ({"watch": "acuracy"}, "; did you mean 'accuracy'"),
        ({"watch": max}, "; give a function of your own to mn.train, as metric="),
    ],
)
def test_parts_of_other_libraries_in_a_recipe(options: dict[str, Any], advice: str) -> None:
    with pytest.raises(OptionError, match=advice.replace("()", r"\(\)") if "\\" not in advice else advice):
        mn.Recipe(**options)


def test_what_is_advised_exists() -> None:
    for name in set(LOSSES.values()):
        assert mn.Recipe(loss=name).loss == name
    for written in SCHEDULES.values():
        assert written.split("(")[0] in {kind.__name__ for kind in KNOWN.values()}
    assert {getattr(torch.optim.lr_scheduler, name, None) for name in ("StepLR", "OneCycleLR")} <= {
        kind for kind in vars(torch.optim.lr_scheduler).values() if getattr(kind, "__name__", "").lower() in SCHEDULES
    }


@pytest.mark.parametrize(
    ("call", "error", "advice"),
    [
        (lambda: mn.Recipe(max_grad_norm=1.0), TypeError, r"write Recipe\(clip_norm=1.0\)"),
        (lambda: mn.Recipe(criterion=nn.MSELoss()), TypeError, r"write Recipe\(loss='squared_error'\)"),
        (lambda: mn.train(X, TWO, loss=nn.BCEWithLogitsLoss()), OptionError, "; or write loss='cross_entropy'"),
        (lambda: mn.train(X, TWO, criterion=nn.BCEWithLogitsLoss()), TypeError, "write loss=..."),
        (lambda: mn.train(X, TWO, model=nn.Linear(3, 1)), TypeError, "write spec="),
        (lambda: mn.train(X, TWO, mn.MLP(), metric=max), OptionError, r"write metric=mn.Metric\(max, higher_is_better="),
        (lambda: mn.train(X, TWO, nn.Linear), OptionError, r"spec is the class Linear; give an instance: Linear\(...\)"),
        (lambda: mn.train(X, TWO, [nn.Linear(3, 1)]), OptionError, r"write torch.nn.Sequential\(\*layers\)"),
        (lambda: mn.train(X, TWO, mn.MLP(), QUICK, progress=False).state_dict(), AttributeError, "model.network()"),
        (lambda: mn.train(X, TWO, mn.MLP(), QUICK, progress=False).load_state_dict({}), AttributeError, "model.with_members"),
    ],
)
def test_calls_of_other_libraries(call: Any, error: type[Exception], advice: str) -> None:
    with pytest.raises(error, match=advice):
        call()


@pytest.mark.parametrize(
    ("y", "outputs", "task", "why"),
    [
        (TWO, 2, None, "returns 2 scores a row, but this target needs 1; one for two classes; .*, or give task='multiclass'"),
        (THREE, 1, None, "returns 1 score a row, but this target needs 3; one for each class; .*, or give task='regression' if"),
        (THREE.astype(str), 1, None, "one for each class; change its last layer$"),
        (X[:, 0], 3, None, "needs 1; one for each column of y; .*, or give a task, such as task='multiclass', if y holds classes"),
    ],
)
def test_a_module_with_another_number_of_scores(y: Any, outputs: int, task: Any, why: str) -> None:
    with pytest.raises(DataError, match=why):
        mn.train(X, y, nn.Linear(3, outputs), QUICK, task=task, progress=False)


class Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.layer(x)).squeeze(-1)


@pytest.mark.parametrize(
    ("module", "y", "squashed"),
    [
        (nn.Sequential(nn.Linear(3, 3), nn.Softmax(dim=1)), THREE, "softmax"),
        (Flat(), TWO, "sigmoid"),
    ],
)
def test_a_module_that_returns_probabilities(module: nn.Module, y: Any, squashed: str) -> None:
    with pytest.warns(UserWarning, match=f"the last function of .* is a {squashed}, but the loss takes raw scores"):
        mn.train(X, y, module, QUICK, progress=False)


@pytest.mark.parametrize(("module", "y"), [(nn.Sequential(nn.Linear(3, 3), nn.LogSoftmax(dim=1)), THREE), (Flat(), X[:, 0])])
def test_scores_that_may_be_so(module: nn.Module, y: Any) -> None:
    mn.train(X, y, module, QUICK, progress=False)  # a warning is an error


def test_a_device_of_torch_is_kept_as_text(tmp_path: Any) -> None:
    model = mn.train(X, TWO, mn.MLP(hidden=(2,)), mn.Recipe(epochs=1, device=torch.device("cpu")), progress=False)  # type: ignore[arg-type]
    model.save(tmp_path / "model")
    assert mn.load(tmp_path / "model").recipe.device == "cpu"


def test_a_class_in_place_of_a_module(tmp_path: Any) -> None:
    mn.train(X, TWO, nn.Linear(3, 1), QUICK, progress=False).save(tmp_path / "model")
    with pytest.raises(OptionError, match=r"module is <class .*Linear.*, but must be a torch module"):
        mn.load(tmp_path / "model", module=nn.Linear)  # type: ignore[arg-type]
