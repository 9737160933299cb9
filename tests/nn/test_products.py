"""Products by oneDNN and by torch's usual library: of small whole numbers, so that every order of additions gives the same bits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from manynets import core
from manynets.nn import products
from manynets.nn.products import multiply

ONEDNN = "mkldnn::_linear_pointwise"

has_onednn = pytest.mark.skipif(not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="this torch has no oneDNN")


def whole(*sizes: int) -> Tensor:
    return torch.randint(-4, 5, sizes, generator=torch.Generator().manual_seed(sum(sizes)), dtype=torch.float32)


def by_onednn(a: Tensor, b: Tensor) -> int:
    """Return how many times a product asks oneDNN."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        multiply(a, b, torch.empty(*a.shape[:-1], b.shape[-1], dtype=a.dtype))
    return sum(event.count for event in found.key_averages() if event.key == ONEDNN)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "mkl_is_narrow", lambda: True)
    products.has_onednn()  # multiplies once, which is not to be counted


@has_onednn
@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("lead", [(), (3,)])
def test_large_products_are_those_of_onednn_and_equal_those_of_torch(
    lead: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, bias = whole(*lead, 130, 160), whole(*lead, 160, 140), whole(*lead, *(1 for _ in lead), 140)
    assert by_onednn(a, b) == (lead or (1,))[0]
    for rows in (1, 33, 130):  # of the product, made at once
        monkeypatch.setattr(products, "MOST_NUMBERS", 140 * rows)
        for left, right in ((a, b), (whole(*lead, 160, 130).mT, whole(*lead, 140, 160).mT)):
            for bias_or_none in (None, bias):
                out = torch.full((*lead, 130, 140), torch.nan)
                multiply(left, right, out, bias=bias_or_none)
                assert torch.equal(out, left @ right + (0 if bias_or_none is None else bias))
            turned = whole(*lead, 140, 130).mT  # as the gradient of the first layer is stored
            expected = turned + left @ right
            multiply(left, right, turned, beta=1)
            assert torch.equal(turned, expected)


@has_onednn
@pytest.mark.usefixtures("narrow")
def test_small_products_vectors_other_types_and_a_user_without_onednn_have_torchs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert by_onednn(whole(130, 160), whole(160, 140)) == 1
    assert by_onednn(whole(13, 16), whole(16, 140)) == 0
    for rows, inner, columns in ((1, 1448, 1449), (1448, 1, 1449), (1448, 1449, 1)):
        assert by_onednn(whole(rows, inner), whole(inner, columns)) == 0
        assert by_onednn(whole(rows + 1, inner + 1), whole(inner + 1, columns + 1)) == 1
    assert by_onednn(whole(130, 160).double(), whole(160, 140).double()) == 0
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    assert by_onednn(whole(130, 160), whole(160, 140)) == 0


@has_onednn
def test_other_processors_have_torchs_own_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "mkl_is_narrow", lambda: False)
    assert by_onednn(whole(130, 160), whole(160, 140)) == 0


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("lead", [(), (2,)])
def test_a_torch_without_the_operator_multiplies_by_itself(lead: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "has_onednn", lambda: False)
    a, b = whole(*lead, 130, 160), whole(*lead, 160, 140)
    assert torch.equal(multiply(a, b, torch.empty(*lead, 130, 140)), a @ b)
    assert torch.equal(multiply(a, b, torch.ones(*lead, 130, 140), beta=1), a @ b + 1)
