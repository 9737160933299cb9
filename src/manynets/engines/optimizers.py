"""The optimizers, written once for arrays of NumPy, JAX and Keras (`xp` is the module); the formulas are those of torch.optim.

o: the optimizer. w: a parameter. g: its gradient, of the same shape; `update` has let w decay already, or g. State: the arrays that an
optimizer carries from step to step, 0 at first.
Numbers that change with the step t (from 1) are computed ahead, in double precision: `Numbers`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from manynets import spec
from manynets.constants import CLIP_EPS
from manynets.spec import Recipe, SklearnAdam, SklearnSGD

Parameters: TypeAlias = Mapping[str, Any]
State: TypeAlias = Mapping[str, tuple[Any, ...]]
Rule: TypeAlias = Callable[..., tuple[Any, tuple[Any, ...]]]


def sgd(o: spec.SGD, w: Any, g: Any, state: tuple[Any, ...], c: Mapping[str, Any], _: Any) -> tuple[Any, tuple[Any, ...]]:
    """v <- momentum v + g;  w <- w - lr v  (Nesterov: w - lr (g + momentum v)).

    As in scikit-learn (SklearnSGD)  v <- momentum v + lr g;  w <- w - v  (Nesterov: w - lr g - momentum v).
    """
    if not o.momentum:
        return w - c["lr"] * g, ()
    if isinstance(o, SklearnSGD):
        v = o.momentum * state[0] + c["lr"] * g
        return w - (c["lr"] * g + o.momentum * v if o.nesterov else v), (v,)
    v = o.momentum * state[0] + g
    return w - c["lr"] * (g + o.momentum * v if o.nesterov else v), (v,)


def adam(
    o: spec.Adam | spec.AdamW, w: Any, g: Any, state: tuple[Any, ...], c: Mapping[str, Any], xp: Any
) -> tuple[Any, tuple[Any, ...]]:
    """m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  w <- w - lr m_hat / (sqrt(v_hat) + eps).

    m_hat = m / (1 - b1^t) and v_hat = v / (1 - b2^t) make up for the start at 0. As in scikit-learn (SklearnAdam) the eps joins
    sqrt(v) before that is corrected.
    """
    b1, b2 = o.betas
    m = b1 * state[0] + (1 - b1) * g
    v = b2 * state[1] + (1 - b2) * xp.square(g)
    below = (xp.sqrt(v) + o.eps) / c["root"] if isinstance(o, SklearnAdam) else xp.sqrt(v) / c["root"] + o.eps
    return w - c["rate"] * m / below, (m, v)


def nadam(o: spec.NAdam, w: Any, g: Any, state: tuple[Any, ...], c: Mapping[str, Any], xp: Any) -> tuple[Any, tuple[Any, ...]]:
    """As Adam, but the step goes along  (1 - mu_t) g / (1 - mu_1 .. mu_t) + mu_{t+1} m / (1 - mu_1 .. mu_{t+1})."""
    b1, b2 = o.betas
    m = b1 * state[0] + (1 - b1) * g
    v = b2 * state[1] + (1 - b2) * xp.square(g)
    below = xp.sqrt(v) / c["root"] + o.eps
    return w - (c["rate"] * g + c["ahead"] * m) / below, (m, v)


def rmsprop(o: spec.RMSprop, w: Any, g: Any, state: tuple[Any, ...], c: Mapping[str, Any], xp: Any) -> tuple[Any, tuple[Any, ...]]:
    """v <- alpha v + (1 - alpha) g^2;  w <- w - lr d  with d = g / (sqrt(v) + eps);  with momentum b <- momentum b + d;  w <- w - lr b."""
    v = o.alpha * state[0] + (1 - o.alpha) * xp.square(g)
    move = g / (xp.sqrt(v) + o.eps)
    if not o.momentum:
        return w - c["lr"] * move, (v,)
    b = o.momentum * state[1] + move
    return w - c["lr"] * b, (v, b)


def adagrad(o: spec.Adagrad, w: Any, g: Any, state: tuple[Any, ...], c: Mapping[str, Any], xp: Any) -> tuple[Any, tuple[Any, ...]]:
    """s <- s + g^2;  w <- w - lr g / (sqrt(s) + eps)."""
    s = state[0] + xp.square(g)
    return w - c["lr"] * g / (xp.sqrt(s) + o.eps), (s,)


def lion(o: spec.Lion, w: Any, g: Any, state: tuple[Any, ...], c: Mapping[str, Any], xp: Any) -> tuple[Any, tuple[Any, ...]]:
    """w <- w - lr sign(b1 m + (1 - b1) g);  m <- b2 m + (1 - b2) g.

    0 * move makes w not finite where the gradient is not.
    """
    b1, b2 = o.betas
    move = b1 * state[0] + (1 - b1) * g
    return w - c["lr"] * (xp.sign(move) + 0 * move), (b2 * state[0] + (1 - b2) * g,)


_RULES: dict[type, Rule] = {
    spec.SGD: sgd,
    SklearnSGD: sgd,
    spec.Adam: adam,
    SklearnAdam: adam,
    spec.AdamW: adam,
    spec.NAdam: nadam,
    spec.RMSprop: rmsprop,
    spec.Adagrad: adagrad,
    spec.Lion: lion,
}


def state_arrays(o: spec.Optimizer) -> int:
    """Return how many arrays an optimizer carries for each parameter."""
    if isinstance(o, spec.SGD):
        return int(o.momentum > 0)
    if isinstance(o, spec.RMSprop):
        return 1 + int(o.momentum > 0)
    return 1 if isinstance(o, spec.Adagrad | spec.Lion) else 2


def start_state(o: spec.Optimizer, w: Parameters, xp: Any) -> dict[str, tuple[Any, ...]]:
    """Return the state before the first step."""
    return {name: tuple(xp.zeros_like(value) for _ in range(state_arrays(o))) for name, value in w.items()}


class Numbers:
    """What a step's formula needs beside w, g and state: the learning rate, and corrections that depend on t."""

    def __init__(self, optimizer: spec.Optimizer) -> None:
        self.optimizer = optimizer
        self.t = 0
        self.product = 1.0  # mu_1 .. mu_t of NAdam

    def next(self, lr: float) -> dict[str, float]:
        """Return the numbers of the next step, at this learning rate."""
        self.t += 1
        o, t = self.optimizer, self.t
        if isinstance(o, spec.NAdam):
            mu, following = (o.betas[0] * (1 - 0.5 * 0.96 ** (0.004 * s)) for s in (t, t + 1))
            self.product *= mu
            return {
                "rate": lr * (1 - mu) / (1 - self.product),
                "ahead": lr * following / (1 - self.product * following),
                "root": math.sqrt(1 - o.betas[1] ** t),
            }
        shrink = {"shrink": 1 - lr * o.weight_decay} if isinstance(o, spec.AdamW | spec.Lion) else {}
        if isinstance(o, spec.Adam | spec.AdamW):
            return {"rate": lr / (1 - o.betas[0] ** t), "root": math.sqrt(1 - o.betas[1] ** t)} | shrink
        return {"lr": lr} | shrink


def _is_matrix(name: str) -> bool:
    return name.endswith(".weight") and not name.startswith(("norm", "input_scale", "embedding"))


def penalty(recipe: Recipe, w: Parameters, xp: Any) -> Any:
    """Return l1 sum |w| + l2 / 2 sum w^2 over the weight matrices; a sum that does not count may overflow."""
    matrices = [value for name, value in w.items() if _is_matrix(name)]
    absolute = recipe.l1 * sum(xp.sum(xp.abs(one)) for one in matrices) if recipe.l1 else 0.0
    squares = recipe.l2 / 2 * sum(xp.sum(xp.square(one)) for one in matrices) if recipe.l2 else 0.0
    return absolute + squares


def update(
    recipe: Recipe, w: Parameters, g: Parameters, state: State, c: Mapping[str, Any], xp: Any
) -> tuple[dict[str, Any], dict[str, tuple[Any, ...]]]:
    """Return parameters and state after one step: penalties join the gradient, it is clipped, the weights decay, the optimizer moves.

    Clipping: with |g| the Euclidean norm of the whole gradient, g <- g min(1, clip_norm / (|g| + eps)), as torch does. Decay:
    g <- g + decay w, or for AdamW and Lion w <- w (1 - lr decay).
    """
    if recipe.l1 or recipe.l2:
        g = {n: one + recipe.l2 * w[n] + recipe.l1 * xp.sign(w[n]) if _is_matrix(n) else one for n, one in g.items()}
    if recipe.clip_norm is not None:
        norm = xp.sqrt(sum(xp.sum(xp.square(one)) for one in g.values()))
        g = {name: one * xp.minimum(1.0, recipe.clip_norm / (norm + CLIP_EPS)) for name, one in g.items()}
    optimizer, moved = recipe.optimizer, {}
    for name, old in w.items():
        lr, decay = recipe.factors(name)
        numbers = {of: value * lr if of in ("lr", "rate", "ahead") else value for of, value in c.items()}
        if "shrink" in c:
            old, slope = old * (1 - (1 - c["shrink"]) * lr * decay), g[name]
        else:
            slope = g[name] + optimizer.weight_decay * decay * old
        moved[name] = _RULES[type(optimizer)](optimizer, old, slope, state[name], numbers, xp)
    return {name: new for name, (new, _) in moved.items()}, {name: own for name, (_, own) in moved.items()}
