"""The formulas of the compiled core against torch's autograd."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import numpy as np
import pytest

from manynets import core, spec
from manynets.spec import SklearnAdam, SklearnSGD
from tests.tolerances import assert_close
from tests.training.core_cases import (
    LOSSES,
    MOMENTUM,
    NETWORKS,
    RICH,
    ROWS,
    Case,
    Data,
    assert_alike,
    reference,
    run,
)

pytestmark = pytest.mark.skipif(core.load() is None, reason="there is no compiled core")


@pytest.mark.parametrize("activation", get_args(spec.Activation))
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_activations(activation: str, dtype: Any) -> None:
    assert_alike(Case(activation=activation, dtype=dtype), "float64" if dtype is np.float64 else "float32_run")


@pytest.mark.parametrize("activation", get_args(spec.Activation))
def test_activations_far_from_zero(activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where those of several pieces have all of them."""
    original = Data.__init__

    def widen(self: Data, case: Case) -> None:
        original(self, case)
        self.x *= 5

    monkeypatch.setattr(Data, "__init__", widen)
    assert_alike(Case(hidden=(7,), activation=activation, loss="huber", optimizers=MOMENTUM))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("outputs", [1, 3, 17])
@pytest.mark.parametrize("weights", ["none", "shared", "own"])
def test_losses(loss: str, outputs: int, weights: str) -> None:
    outputs = max(outputs, 2) if loss == "softmax" else outputs
    assert_alike(Case(loss=loss, outputs=outputs, weights=weights))


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_in_single_precision(loss: str) -> None:
    assert_alike(Case(loss=loss, outputs=3, dtype=np.float32, optimizers=MOMENTUM), "float32_run")


@pytest.mark.parametrize(
    "optimizers",
    [
        [spec.SGD(lr=0.1)] * 3,
        [spec.SGD(lr=0.1, weight_decay=0.1), spec.SGD(lr=0.2), spec.SGD(lr=0.1)],
        [spec.SGD(lr=0.1, momentum=0.9), spec.SGD(lr=0.1, momentum=0.5, weight_decay=0.1), spec.SGD(lr=0.1, momentum=0.8)],
        [spec.SGD(lr=0.1, momentum=0.9, nesterov=True)] * 3,
        [SklearnSGD(lr=0.1, momentum=0.9)] * 3,
        [SklearnSGD(lr=0.1, momentum=0.9, nesterov=True)] * 3,
        [spec.Adam(lr=0.02, weight_decay=0.1), SklearnAdam(lr=0.02), spec.Adam(lr=0.01, betas=(0.5, 0.9), eps=1e-4)],
        [spec.AdamW(lr=0.02, weight_decay=0.1), spec.AdamW(lr=0.02), spec.AdamW(lr=0.01, betas=(0.5, 0.9))],
        [spec.NAdam(lr=0.02, weight_decay=0.1), spec.NAdam(lr=0.02), spec.NAdam(lr=0.01, betas=(0.5, 0.9))],
        [spec.RMSprop(lr=0.01, weight_decay=0.1), spec.RMSprop(lr=0.01, alpha=0.9), spec.RMSprop(lr=0.02)],
        [spec.RMSprop(lr=0.01, momentum=0.9), spec.RMSprop(lr=0.01, alpha=0.9, momentum=0.5), spec.RMSprop(momentum=0.2)],
        [spec.Adagrad(lr=0.1, weight_decay=0.1), spec.Adagrad(lr=0.1), spec.Adagrad(lr=0.2)],
        [spec.Lion(lr=0.01, weight_decay=0.1), spec.Lion(lr=0.01), spec.Lion(lr=0.02, betas=(0.5, 0.9))],
    ],
)
def test_optimizers(optimizers: list[spec.Optimizer]) -> None:
    assert_alike(Case(optimizers=optimizers))


@pytest.mark.parametrize("loss", ["softmax", "logistic", "squared_error"])
@pytest.mark.parametrize("weights", ["none", "own"])
def test_batch_norm(loss: str, weights: str) -> None:
    assert_alike(Case(loss=loss, outputs=2, batch_norm=True, weights=weights, optimizers=MOMENTUM))


@pytest.mark.parametrize("rates", [(0.2, 0.0, 0.0), (0.0, 0.3, 0.0), (0.1, 0.3, 0.5)])
@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_dropout(rates: tuple[float, ...], activation: str) -> None:
    assert_alike(Case(rates=rates, activation=activation))


@pytest.mark.parametrize("hidden", [(), (1,), (16,), (33, 70), (8, 8, 8)])
@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("bias", [True, False])
def test_shapes(hidden: tuple[int, ...], outputs: int, bias: bool) -> None:
    assert_alike(Case(hidden=hidden, outputs=outputs, bias=bias))


@pytest.mark.parametrize("columns", [1, 8, 40])
@pytest.mark.parametrize("hidden", [(130,), (64, 64), (150, 96)])
def test_wide_shapes(hidden: tuple[int, ...], columns: int) -> None:
    assert_alike(Case(hidden=hidden, columns=columns))
    slow = [spec.SGD(lr=1e-3, momentum=0.9)] * NETWORKS
    assert_alike(Case(hidden=hidden, columns=columns, dtype=np.float32, optimizers=slow), "float32_run")


@pytest.mark.parametrize("optimizer", [spec.SGD(lr=0.1), spec.SGD(lr=0.1, momentum=0.9)])
@pytest.mark.parametrize("hidden", [(130,), (150, 7, 129)])
def test_products_over_many_columns_and_units(hidden: tuple[int, ...], optimizer: spec.SGD) -> None:
    """Such products are made in blocks."""
    assert_alike(Case(hidden=hidden, columns=300, outputs=3, optimizers=[optimizer] * 3))
    slow = dataclasses.replace(optimizer, lr=1e-3)
    assert_alike(Case(hidden=hidden, columns=300, outputs=3, dtype=np.float32, optimizers=[slow] * 3), "float32_run")


def test_penalties_and_clipping() -> None:
    case = Case(l1=(0.01, 0.0, 0.1), l2=(0.0, 0.1, 0.2), clip=(0.5, None, 0.01))
    assert_alike(case)
    assert_alike(dataclasses.replace(case, grown=True))


@pytest.mark.parametrize("loss", ["softmax", "logistic"])
def test_label_smoothing(loss: str) -> None:
    assert_alike(Case(loss=loss, outputs=3, smoothing=(0.1, 0.0, 0.3)))


def test_merged_last_row() -> None:
    assert_alike(Case(rows=33, counts=(33, 33, 33), merged=True, batch_norm=True, optimizers=MOMENTUM))


def test_shared_order() -> None:
    assert_alike(Case(shared=True, weights="shared"))


def test_unlike_counts() -> None:
    assert_alike(Case(counts=(37, 35, 36), batch_norm=True, weights="own", optimizers=MOMENTUM))
    assert_alike(Case(counts=(37, 35, 33), batch_norm=True, optimizers=MOMENTUM))


def test_everything_at_once() -> None:
    assert_alike(RICH)


def test_a_batch_whose_weights_are_all_zero_changes_nothing() -> None:
    case = Case(weights="shared", optimizers=[spec.SGD(lr=0.1)] * 3, batch=ROWS)
    original = Data.__init__

    def zero(self: Data, case: Case) -> None:
        original(self, case)
        self.weights = np.zeros_like(self.weights)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Data, "__init__", zero)
        made = run(case)
    np.testing.assert_array_equal(made.flat, Data(case).flat)
    np.testing.assert_array_equal(made.log, 0.0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_evaluation(loss: str, batch_norm: bool) -> None:
    case = Case(loss=loss, outputs=3, batch_norm=batch_norm, weights="own", rates=(0.1, 0.2, 0.3), smoothing=(0.1,) * 3)
    case = dataclasses.replace(case, rows=700, counts=(700, 513, 256))
    made, expected = run(case, evaluate=True), reference(case, evaluate=True)
    assert_close(made.log, expected.log, "float64")
    np.testing.assert_array_equal(made.flat, Data(case).flat)
    np.testing.assert_array_equal(made.statistics, Data(case).statistics)
