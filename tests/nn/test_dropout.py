"""Dropout masks: their bits, their share, and that a network's masks are its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from manynets import rng
from manynets.nn.dropout import Masks, mix64
from tests.tolerances import assert_close

SIZE, STEPS = 6, 5


def masks_of(seeds: list[int], widths: list[int], rates: list[list[float]], *, steps: int = STEPS, start: int = 0) -> Masks:
    masks = Masks(seeds, widths, np.array(rates, dtype=np.float64), torch.zeros(1, dtype=torch.float64))
    masks.fill(start, steps, SIZE, steps)
    return masks


def factor(masks: Masks, layer: int, s: int) -> torch.Tensor:
    """What the activations (K, b, H) of a layer are multiplied by at step s."""
    slots = masks.layers[layer]
    assert slots is not None
    mask = masks.of(s, slots[s].shape[-2])[layer]
    assert mask is not None
    return mask * masks.scales[layer]


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
    masks = masks_of([11], [5, 9, 16], [[0.3, 0.0, 0.5]], start=start)
    assert masks.layers[1] is None
    for layer, units, rate in ((0, 5, 0.3), (2, 16, 0.5)):
        for s in range(STEPS):
            assert_close(factor(masks, layer, s), by_hand(11, layer, start + s, units, rate), "float64")


def test_networks_together_have_the_masks_that_each_has_alone() -> None:
    seeds, widths = [1, 2, 1], [7, 10]
    rates = [[0.2, 0.5], [0.0, 0.3], [0.2, 0.0]]
    together = masks_of(seeds, widths, rates)
    for k, seed in enumerate(seeds):
        alone = masks_of([seed], widths, [rates[k]])
        for layer in range(2):
            for s in range(STEPS):
                expected = torch.ones(SIZE, widths[layer]) if alone.layers[layer] is None else factor(alone, layer, s)
                assert_close(factor(together, layer, s)[k].clone(), expected.double(), "float64")


def test_steps_at_once_or_one_by_one_are_the_same() -> None:
    whole = masks_of([3], [8], [[0.4]])
    for s in range(STEPS):
        assert_close(factor(masks_of([3], [8], [[0.4]], steps=1, start=s), 0, 0), factor(whole, 0, s), "bits")


def test_a_shorter_last_batch_has_the_first_rows_of_the_mask() -> None:
    masks = masks_of([3], [8], [[0.4]])
    whole = factor(masks, 0, 2).clone()
    masks.fill(2, 1, 4, 1)
    assert_close(factor(masks, 0, 0), whole[:4], "bits")
    masks.fill(0, STEPS, SIZE, STEPS)  # and the buffers of the whole batch are still there
    assert_close(factor(masks, 0, 2), whole, "bits")


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.5, 0.9])
def test_the_share_of_dropped_units_and_the_mean(rate: float) -> None:
    masks = Masks([0], [200], np.array([[rate]]), torch.zeros(1))
    masks.fill(0, 20, 50, 20)
    values = torch.stack([factor(masks, 0, s) for s in range(20)]).double()
    assert_close(float((values == 0).double().mean()), rate, "sampled")
    assert_close(float(values.mean()), 1.0, "sampled")
    kept = values[values > 0]
    assert_close(kept, torch.full_like(kept, 1 / (1 - rate)), "float32")


def test_a_rate_next_to_one_stays_finite() -> None:
    masks = Masks([0], [8], np.array([[1 - 1e-9]]), torch.zeros(1))
    masks.fill(0, 3, 4, 3)
    assert all(bool(torch.isfinite(factor(masks, 0, s)).all()) for s in range(3))


def test_the_mixer_on_tensors_is_the_mixer_on_words() -> None:
    words = [0, 1, rng.GOLDEN, 2**63, 2**64 - 1, 123456789]
    x = torch.from_numpy(np.array(words, dtype=np.uint64).view(np.int64).copy())
    mix64(x, torch.empty_like(x))
    assert x.numpy().view(np.uint64).tolist() == [rng.mix64(word) for word in words]


def test_the_device_way_gives_the_bits_of_the_host_way() -> None:
    from manynets.nn import dropout

    masks = masks_of([4, 5], [9], [[0.3], [0.6]])
    [layer] = masks._buffers(STEPS, SIZE)
    words = rng.step_words(masks.keys[0], 0, STEPS)
    levels = rng.drop_levels(words, masks.rates)
    host, device = torch.zeros_like(layer.kept), torch.zeros_like(layer.kept)
    block = len(layer.drawn)
    assert block == STEPS
    dropout._on_host(words, levels, layer, host)
    dropout._on_device(words, levels, layer, device)
    assert 0 < int(host.sum()) < host.numel()
    assert_close(device, host, "bits")
