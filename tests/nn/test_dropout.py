"""Dropout masks: their bits, their share, and that a network's masks are its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from manynets import rng
from manynets.nn.dropout import Masks, kept_on_device, kept_on_host, mix64
from tests.tolerances import assert_close

SIZE, STEPS = 6, 5


def masks_of(seeds: list[int], rates: list[list[float]], widths: list[int]) -> Masks:
    return Masks(seeds, widths, np.array(rates, dtype=np.float64), torch.zeros(1, dtype=torch.float64))


def factors(masks: Masks, *, start: int = 0, steps: int = STEPS, size: int = SIZE) -> dict[int, torch.Tensor]:
    """What the activations of each layer with dropout are multiplied by, (steps, K, b, H)."""
    return {i: kept * masks.scales[i] for i, kept in masks.make(start, steps, size).items()}


def by_hand(seed: int, layer: int, step: int, units: int, rate: float) -> np.ndarray:
    """The mask (b, units) straight from its definition, bit by bit in Python."""
    word = rng.mix64(rng.stream_key(seed, "dropout", layer) + rng.GOLDEN * (step + 1))
    level = rng.drop_levels(np.array([[word]], dtype=np.uint64), np.array([[rate]]))[0, 0, 0]
    padded = -(-units // 8) * 8
    drawn = b"".join(rng.mix64(word + rng.GOLDEN * (i + 1)).to_bytes(8, "little") for i in range(SIZE * padded // 8))
    kept = np.frombuffer(drawn, np.uint8).reshape(SIZE, padded)[:, :units] >= level
    return kept / (1 - rate)


@pytest.mark.parametrize("start", [0, 7])
def test_masks_are_their_definition(start: int) -> None:
    found = factors(masks_of([11], [[0.3, 0.0, 0.5]], [5, 9, 16]), start=start)
    assert set(found) == {0, 2}
    for layer, units, rate in ((0, 5, 0.3), (2, 16, 0.5)):
        for s in range(STEPS):
            assert_close(found[layer][s, 0], by_hand(11, layer, start + s, units, rate), "float64")


def test_networks_together_have_the_masks_that_each_has_alone() -> None:
    seeds, widths = [1, 2, 1], [7, 10]
    rates = [[0.2, 0.5], [0.0, 0.3], [0.2, 0.0]]
    together = factors(masks_of(seeds, rates, widths))
    for k, seed in enumerate(seeds):
        alone = factors(masks_of([seed], [rates[k]], widths))
        for layer, units in enumerate(widths):
            expected = alone[layer][:, 0] if layer in alone else torch.ones(STEPS, SIZE, units, dtype=torch.float64)
            assert_close(together[layer][:, k].clone(), expected, "float64")


def test_steps_at_once_or_one_by_one_are_the_same() -> None:
    whole = factors(masks_of([3], [[0.4]], [8]))[0]
    for s in range(STEPS):
        assert_close(factors(masks_of([3], [[0.4]], [8]), steps=1, start=s)[0][0], whole[s], "bits")


def test_a_shorter_last_batch_has_the_first_rows_of_the_mask() -> None:
    masks = masks_of([3], [[0.4]], [8])
    whole = factors(masks)[0]
    assert_close(factors(masks, start=2, steps=1, size=4)[0][0], whole[2, :, :4].clone(), "bits")
    assert_close(factors(masks)[0], whole, "bits")


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.5, 0.9])
def test_the_share_of_dropped_units_and_the_mean(rate: float) -> None:
    values = factors(masks_of([0], [[rate]], [200]), steps=20, size=50)[0].double()
    assert_close(float((values == 0).double().mean()), rate, "sampled")
    assert_close(float(values.mean()), 1.0, "sampled")
    kept = values[values > 0]
    assert_close(kept, torch.full_like(kept, 1 / (1 - rate)), "float64")


def test_a_rate_next_to_one_stays_finite() -> None:
    assert torch.isfinite(factors(masks_of([0], [[1 - 1e-9]], [8]))[0]).all()


def test_the_mixer_on_tensors_is_the_mixer_on_words() -> None:
    words = [0, 1, rng.GOLDEN, 2**63, 2**64 - 1, 123456789]
    x = torch.from_numpy(np.array(words, dtype=np.uint64).view(np.int64).copy())
    mix64(x)
    assert x.numpy().view(np.uint64).tolist() == [rng.mix64(word) for word in words]


def test_the_device_way_gives_the_bits_of_the_host_way() -> None:
    masks = masks_of([4, 5], [[0.3], [0.6]], [9])
    words = rng.step_words(masks.keys[:, 0], 0, STEPS)
    levels = rng.drop_levels(words, masks.rates)
    host = masks.make(0, STEPS, SIZE)[0]
    device = kept_on_device(words, levels, range(SIZE), 9, torch.device("cpu"))
    assert_close(kept_on_host(words, levels, range(SIZE), 9), host, "bits")
    assert 0 < int(host.sum()) < host.numel()
    assert_close(device, host, "bits")
