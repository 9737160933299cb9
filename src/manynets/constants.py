"""Constants of the formulas that torch and the other engines share; `core/core.cpp` repeats them."""

from __future__ import annotations

BN_EPS = 1e-5  # added to the variance by batch norm
BN_MOMENTUM = 0.1  # by which its running statistics move towards those of a batch
CLIP_EPS = 1e-6  # added to the norm of the gradient by which clipping divides
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. 2017
