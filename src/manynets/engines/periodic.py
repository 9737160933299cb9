"""The periodic embedding and its gradient for NumPy, and forward for JAX; the equations are in `manynets.nn.embeddings`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from manynets.spec import MLP, Periodic


def embedded(spec: MLP, w: Mapping[str, Any], x: Any, xp: Any = np) -> Any:
    """Return the input of the first layer for x (n, D): with a periodic embedding, x and its outputs (n, D + F m). xp: NumPy, or JAX's."""
    if not isinstance(spec.embedding, Periodic):
        return x
    cosines = xp.cos(_angles(spec.embedding, w, x))  # (n, F, k)
    outputs = xp.einsum("nfk,fmk->nfm", cosines, w["embedding.weight"]) + w["embedding.bias"]
    return xp.concatenate([x, outputs.reshape(len(x), -1)], axis=1)


def embedding_gradient(spec: MLP, w: Mapping[str, Any], x: Any, d: Any) -> dict[str, Any]:
    """Return the gradient of the embedding's parameters by name, from d (n, D + F m), the derivative by what `embedded` returned."""
    embedding = spec.embedding
    if not isinstance(embedding, Periodic):
        return {}
    angles, outputs = _angles(embedding, w, x), d[:, x.shape[1] :].reshape(len(x), *w["embedding.bias"].shape)
    turned = -np.einsum("nfm,fmk->nfk", outputs, w["embedding.weight"]) * np.sin(angles)
    return {
        "embedding.frequencies": 2 * math.pi * np.einsum("nfk,nf->fk", turned, _columns(embedding, x)),
        "embedding.phases": turned.sum(axis=0),
        "embedding.weight": np.einsum("nfm,nfk->fmk", outputs, np.cos(angles)),
        "embedding.bias": outputs.sum(axis=0),
    }


def _columns(embedding: Periodic, x: Any) -> Any:
    return x[:, list(embedding.embedded(x.shape[1]))]


def _angles(embedding: Periodic, w: Mapping[str, Any], x: Any) -> Any:
    return 2 * math.pi * _columns(embedding, x)[:, :, None] * w["embedding.frequencies"] + w["embedding.phases"]
