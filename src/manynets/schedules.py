"""Learning-rate schedules as factors of the learning rate, in NumPy for all engines."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from manynets import spec
from manynets.steps import MOST_STEPS

Host = NDArray[np.float64]


def schedule_factors(schedule: spec.Schedule, steps: NDArray[np.int64], *, total: int, per_epoch: int) -> Host:
    """Return the factors of the learning rate at these steps (counted from 0), in the shape of `steps`.

    total: steps of the whole run; per_epoch: steps of an epoch. ReduceOnPlateau gives 1, because only the loop knows the loss.
    """
    t = steps.astype(np.float64)
    epoch = steps // per_epoch
    match schedule:
        case spec.Cosine():
            warm = round(schedule.warmup * total)
            share = (t - warm) / max(total - warm, 1)
            return np.where(t < warm, (t + 1) / max(warm, 1), _cosine(1.0, schedule.final, share))
        case spec.OneCycle():
            low = 1 / schedule.start_factor
            top = schedule.rise * total - 1  # the step at which lr is highest
            up = _cosine(low, 1.0, t / top) if top > 0 else np.ones_like(t)
            down = _cosine(1.0, low / schedule.final_factor, (t - top) / max(total - 1 - top, 1e-12))
            return np.where(t <= top, up, down)
        case spec.Warmup():
            return np.minimum(1.0, (t + 1) / schedule.steps)
        case spec.StepDecay():
            return np.power(schedule.gamma, epoch // min(schedule.every, MOST_STEPS))
        case spec.Exponential():
            return np.power(schedule.gamma, epoch)
        case spec.SklearnInverseScaling():
            return np.power(1.0 + schedule.start + epoch * schedule.rows, -schedule.power)
        case spec.InverseScaling():
            return np.power(1.0 + epoch, -schedule.power)
        case spec.PiecewiseConstant():
            return np.array([1.0, *schedule.factors])[np.searchsorted(schedule.steps, steps, side="right")]
        case spec.Constant() | spec.ReduceOnPlateau():
            return np.ones_like(t)


def _cosine(start: float, stop: float, share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate from start to stop along half a cosine, share in [0, 1]."""
    return stop + (start - stop) * 0.5 * (1 + np.cos(math.pi * np.clip(share, 0, 1)))
