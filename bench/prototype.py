"""A yardstick for the default on tables: eight small networks in plain torch on scaled numbers and piecewise-linear columns.

    model = Prototype.fit(frame, y, "binary", seed=0)     # a polars frame; y numbers, or codes 0, 1, ... of the classes
    model.predict(frame)                                  # values, or probabilities (N, classes)

Every constant is part of the recipe and nothing is an option. `python -m bench.tables` compares the library with it.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

__all__ = ["Columns", "Prototype"]

Array = NDArray[Any]

MEMBERS, HIDDEN, BATCH, STEPS = 8, (128, 128), 64, 1500
DROPOUT, WEIGHT_DECAY, BETAS = 0.1, 0.02, (0.9, 0.95)
SCALE_RATE, BIAS_RATE, RATE, RATE_OF_CLASSES = 6.0, 0.1, 0.04, 0.08
SMOOTHING = 0.1
LOOKS, PATIENCE = 24, 5
LEVELS, LEAST_COUNT = 50, 3
PIECES, LEAST_PIECES, ROWS_PER_PIECE, PIECE_SIZE = 16, 4, 400, 0.25


# ------------------------------------------------------------------------------------------------------------- columns


def edges(x: Array, pieces: int) -> Array:
    """Return the sorted ends: the values where they are few, else quantiles; where these coincide, more for the light values."""
    values, counts = np.unique(x, return_counts=True)
    if len(values) <= pieces + 1:
        return values
    out = np.unique(np.quantile(x, np.linspace(0, 1, pieces + 1)))
    if len(out) == pieces + 1:
        return out
    heavy = values[counts > len(x) / pieces]
    rest, left = x[~np.isin(x, heavy)], max(pieces + 1 - len(heavy), 2)
    return np.unique(np.r_[heavy, np.quantile(rest, np.linspace(0, 1, left))])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Number:
    """A numeric column: robust scaling, a smooth clip, an indicator of gaps, and its piecewise-linear columns."""

    name: str
    median: float
    factor: float
    gaps: bool
    edges: Array | None

    @classmethod
    def fit(cls, name: str, x: Array, pieces: int) -> Number | None:
        gap = np.isnan(x)
        if gap.all() or (not gap.any() and x.min() == x.max()):
            return None
        low, q25, median, q75, high = np.quantile(x[~gap], (0, 0.25, 0.5, 0.75, 1))
        factor = 1 / (q75 - q25) if q75 > q25 else (2 / (high - low) if high > low else 0.0)
        ends = edges(np.where(gap, median, x), pieces)
        return cls(name=name, median=median, factor=factor, gaps=bool(gap.any()), edges=ends if len(ends) > 2 else None)

    def columns(self, x: Array) -> tuple[Array, Array]:
        filled = np.where(np.isnan(x), self.median, x)
        z = (filled - self.median) * self.factor
        plain = [z / np.sqrt(1 + (z / 3) ** 2)] + ([np.isnan(x)] if self.gaps else [])
        if self.edges is None:
            return np.stack(plain, 1), np.empty((len(x), 0))
        pieces = (filled[:, None] - self.edges[:-1]) / np.diff(self.edges)
        return np.stack(plain, 1), pieces.clip(0, 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Words:
    """A column of categories: 0 or 1 for each level (+1 and -1 for two), nothing for rare and unknown ones; a gap is a level."""

    name: str
    levels: Array

    @classmethod
    def fit(cls, name: str, x: Array) -> Words | None:
        levels, counts = np.unique(x, return_counts=True)
        often = counts >= LEAST_COUNT
        levels = levels[often][np.argsort(-counts[often], kind="stable")][:LEVELS]
        return None if len(levels) == 0 or counts.max() == len(x) else cls(name=name, levels=levels)

    def columns(self, x: Array) -> tuple[Array, Array]:
        hits = (x[:, None] == self.levels).astype(float)
        return hits[:, :1] - hits[:, 1:] if len(self.levels) == 2 else hits, np.empty((len(x), 0))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Columns:
    """From a frame to a matrix: the plain columns, then the piecewise-linear ones, centred and made small."""

    parts: list[Number | Words]
    plain: int
    means: Array

    @classmethod
    def fit(cls, frame: Any) -> Columns:
        pieces = int(np.clip(len(frame) / ROWS_PER_PIECE, LEAST_PIECES, PIECES))
        found: list[Number | Words | None] = []
        for name in frame.columns:
            x = _values(frame[name])
            found.append(Number.fit(name, x, pieces) if x.dtype.kind == "f" else Words.fit(name, x))
        parts = [part for part in found if part is not None]
        blocks = [part.columns(_values(frame[part.name])) for part in parts]
        small = np.concatenate([block[1] for block in blocks], 1)
        return cls(parts=parts, plain=sum(block[0].shape[1] for block in blocks), means=small.mean(0))

    def transform(self, frame: Any) -> Tensor:
        blocks = [part.columns(_values(frame[part.name])) for part in self.parts]
        small = (np.concatenate([block[1] for block in blocks], 1) - self.means) * PIECE_SIZE
        return torch.from_numpy(np.concatenate([*(block[0] for block in blocks), small], 1).astype(np.float32))


def _values(series: Any) -> Array:
    numeric = series.dtype.is_numeric()
    return series.cast(float).fill_null(math.nan).to_numpy() if numeric else series.cast(str).fill_null("").to_numpy().astype(str)


# ------------------------------------------------------------------------------------------------------------ networks


def initial(x: Tensor, plain: int, outputs: int, bias: Tensor, rate: float, generator: torch.Generator) -> list[dict[str, Any]]:
    """Return the optimizer's groups: scale (K, D), then weight (K, in, out) and bias (K, out) of each layer."""
    variance = x.var(0, unbiased=False)
    sizes = (x.shape[1], *HIDDEN, outputs)
    groups = [{"params": [torch.ones(MEMBERS, sizes[0])], "rate": SCALE_RATE * rate, "weight_decay": WEIGHT_DECAY}]
    for i, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        weight = torch.randn(MEMBERS, fan_in, fan_out, generator=generator)
        start = torch.zeros(MEMBERS, fan_out)
        size = float(fan_in)
        if i == 0:
            weight *= float(variance[:plain].sum()) ** -0.5
            weight[:, plain:] = 0
            size = max(float(variance.sum()), 4)
        elif i < len(HIDDEN):
            weight *= math.sqrt(2 / fan_in)
        else:
            weight *= 0.1 / math.sqrt(fan_in)
            start += bias
        groups.append({"params": [weight], "rate": rate / math.sqrt(size), "weight_decay": WEIGHT_DECAY})
        groups.append({"params": [start], "rate": BIAS_RATE * rate, "weight_decay": 0.0})
    for group in groups:
        group["params"][0].requires_grad_()
    return groups


def outputs_of(parameters: list[Tensor], x: Tensor, masks: list[Tensor] | None = None) -> Tensor:
    """Return the outputs (K, N, C) of all members for x (K, N, D)."""
    scale, *layers = parameters
    h = x * scale[:, None]
    for i in range(0, len(layers), 2):
        h = torch.baddbmm(layers[i + 1][:, None], h, layers[i])
        if i < len(layers) - 2:
            h = functional.silu(h) if masks is None else functional.silu(h) * masks[i // 2]
    return h


def losses(outputs: Tensor, y: Tensor, task: str, smoothing: float = 0.0) -> Tensor:
    """Return the loss of each row (K, N)."""
    if task == "regression":
        return (outputs[..., 0] - y) ** 2
    if task == "binary":
        target = y.float() * (1 - smoothing) + smoothing / 2
        return functional.binary_cross_entropy_with_logits(outputs[..., 0], target, reduction="none")
    return functional.cross_entropy(outputs.movedim(2, 1), y, reduction="none", label_smoothing=smoothing)


def folds_of(y: Array, random: np.random.Generator) -> Array:
    """Return the fold (N,) of each row; every fold has its share of each class, or of each range of values."""
    order = np.lexsort((random.random(len(y)), y))
    rounds = -(-len(y) // MEMBERS)
    dealt = random.permuted(np.tile(np.arange(MEMBERS), (rounds, 1)), axis=1)
    out = np.empty(len(y), dtype=int)
    out[order] = dealt.ravel()[: len(y)]
    return out


def cosine(step: int) -> float:
    """Return the factor of the learning rates: warm-up over a twentieth of the steps, then a cosine to 0."""
    warm = 0.05 * STEPS
    return (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / (STEPS - warm)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prototype:
    """What `fit` returns; `out_of_fold` holds the answer of the one member that did not see the row, before the temperature."""

    columns: Columns
    task: str
    parameters: list[Tensor]
    centre: float = 0.0
    spread: float = 1.0
    limits: tuple[float, float] = (0.0, 0.0)
    temperature: float = 1.0
    steps: int = 0
    out_of_fold: Tensor

    @classmethod
    def fit(cls, frame: Any, y: Array, task: str, *, seed: int = 0) -> Prototype:
        """Train on a polars frame and y: "regression", "binary" or "multiclass"."""
        columns = Columns.fit(frame)
        x, known = columns.transform(frame), {}
        if task == "regression":
            known = {"centre": float(y.mean()), "spread": float(y.std()) or 1.0}
            target = torch.from_numpy(((y - known["centre"]) / known["spread"]).astype(np.float32))
            known["limits"] = (float(target.min()), float(target.max()))
            bias = torch.zeros(1)
        else:
            target = torch.from_numpy(y)
            prior = torch.log(torch.bincount(target) / len(y))
            bias = prior[1:] - prior[:1] if task == "binary" else prior
        parameters, out, steps = train(x, target, task, columns.plain, bias, known.get("limits"), seed)
        if task != "regression":
            known["temperature"] = best_temperature(out, target, task)
        return cls(columns=columns, task=task, parameters=parameters, steps=steps, out_of_fold=out, **known)

    @torch.no_grad()
    def predict(self, frame: Any) -> Array:
        """Return the mean of the members: values, or probabilities (N, classes)."""
        x = self.columns.transform(frame)
        out = torch.cat([outputs_of(self.parameters, rows.expand(MEMBERS, -1, -1)) for rows in x.split(4096)], 1)
        if self.task == "regression":
            return (out[..., 0].clamp(*self.limits).mean(0) * self.spread + self.centre).double().numpy()
        if self.task == "multiclass":
            return torch.softmax(out / self.temperature, 2).mean(0).double().numpy()
        p = torch.sigmoid(out[..., 0] / self.temperature).mean(0).double().numpy()
        return np.stack([1 - p, p], 1)


def best_temperature(out: Tensor, target: Tensor, task: str) -> float:
    """Return the divisor of the out-of-fold outputs (N, C) that makes their mean log loss smallest."""
    candidates = torch.exp(torch.linspace(-3, 3, 241)).tolist()
    return min(candidates, key=lambda t: losses(out[None] / t, target[None], task).mean().item())


def train(x: Tensor, y: Tensor, task: str, plain: int, bias: Tensor, limits: Any, seed: int) -> tuple[list[Tensor], Tensor, int]:
    """Return the parameters at the best look, the out-of-fold outputs (N, C) there, and how many steps were made."""
    random, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    groups = initial(x, plain, len(bias), bias, RATE if task == "regression" else RATE_OF_CLASSES, generator)
    parameters = [group["params"][0] for group in groups]
    optimizer = torch.optim.AdamW(groups, betas=BETAS, fused=True)
    fold = folds_of(y.numpy(), random)
    mine, others = ([torch.from_numpy(np.flatnonzero((fold == k) == same)) for k in range(MEMBERS)] for same in (True, False))
    batch = min(BATCH, *(len(rows) for rows in others))
    queues = [torch.empty(0, dtype=torch.long)] * MEMBERS
    size = MEMBERS * batch * HIDDEN[0]
    pool = (torch.rand(2 * size + 4096, generator=generator) >= DROPOUT) / (1 - DROPOUT)  # dropout masks are slices of it
    best: tuple[float, int, list[Tensor], Tensor] = (math.inf, 0, parameters, torch.empty(0))
    step, bad, end, cooling = 0, 0, STEPS, None  # cooling: (the step that it began at, the factor there)
    while step < end:
        factor = cosine(step) if cooling is None else cooling[1] * (end - step) / (end - cooling[0])
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * factor
        for k in range(MEMBERS):
            if len(queues[k]) < batch:
                queues[k] = others[k][torch.randperm(len(others[k]), generator=generator)]
        rows, queues = torch.stack([queue[:batch] for queue in queues]), [queue[batch:] for queue in queues]
        masks = [pool[i : i + size].view(MEMBERS, batch, -1) for i in random.integers(0, len(pool) - size, len(HIDDEN))]
        losses(outputs_of(parameters, x[rows], masks), y[rows], task, SMOOTHING).mean(1).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        if step < end and step * LOOKS // STEPS == (step - 1) * LOOKS // STEPS:
            continue
        out = out_of_fold(parameters, x, mine)
        loss = losses((out if limits is None else out.clamp(*limits))[None], y[None], task).mean().item()
        bad = 0 if loss <= best[0] else bad + 1
        if bad == 0:
            best = (loss, step, [p.detach().clone() for p in parameters], out)
        elif bad >= PATIENCE and cooling is None and step < 0.8 * STEPS:
            with torch.no_grad():
                for p, q in zip(parameters, best[2], strict=True):
                    p.copy_(q)
            cooling = (step, cosine(best[1]))
            end = step + int(np.clip(0.6 * best[1], 0.08 * STEPS, 0.4 * STEPS))
    return best[2], best[3], step


@torch.no_grad()
def out_of_fold(parameters: list[Tensor], x: Tensor, mine: list[Tensor]) -> Tensor:
    """Return the outputs (N, C), each by the member that does not train on the row."""
    rows = torch.nn.utils.rnn.pad_sequence(mine, batch_first=True)
    out = outputs_of(parameters, x[rows])
    answers = torch.empty(len(x), out.shape[2])
    for k, own in enumerate(mine):
        answers[own] = out[k, : len(own)]
    return answers
