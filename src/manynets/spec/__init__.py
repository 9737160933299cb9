"""The specification: what a network is (`MLP`) and how it is trained (`Recipe`), as data, without torch.

Frozen, keyword-only dataclasses that check themselves, convert to and from JSON, and are compared and hashed by value. Ranges,
help texts and names of options are metadata of their fields (`manynets.spec.metadata`).
"""

from manynets.spec.embeddings import EMBEDDINGS, BinsBy, Embedding, Periodic, PiecewiseLinear
from manynets.spec.network import MLP, Activation, Init
from manynets.spec.optimizers import OPTIMIZERS, SGD, Adagrad, Adam, AdamW, Lion, NAdam, Optimizer, RMSprop, SklearnAdam, SklearnSGD
from manynets.spec.recipe import (
    BATCH_SIZE,
    EPOCHS,
    LOWER_IS_BETTER,
    METRICS,
    DType,
    EarlyStopping,
    GradientName,
    LossName,
    MetricName,
    ParameterGroup,
    Precision,
    Recipe,
    score_or_worst,
)
from manynets.spec.schedules import (
    SCHEDULES,
    Constant,
    Cosine,
    Exponential,
    InverseScaling,
    OneCycle,
    PiecewiseConstant,
    ReduceOnPlateau,
    Schedule,
    SklearnInverseScaling,
    StepDecay,
    Warmup,
)
from manynets.spec.serialization import from_json, to_json

__all__ = [
    "BATCH_SIZE", "EMBEDDINGS", "EPOCHS", "LOWER_IS_BETTER", "METRICS", "MLP", "OPTIMIZERS", "SCHEDULES", "SGD", "Activation", "Adagrad",
    "Adam", "AdamW", "BinsBy", "Constant", "Cosine", "DType", "EarlyStopping", "Embedding", "Exponential", "GradientName", "Init",
    "InverseScaling", "Lion", "LossName", "MetricName", "NAdam", "OneCycle", "Optimizer", "ParameterGroup", "Periodic", "PiecewiseConstant", "PiecewiseLinear",
    "Precision", "RMSprop", "Recipe", "ReduceOnPlateau", "Schedule", "SklearnAdam", "SklearnInverseScaling", "SklearnSGD", "StepDecay",
    "Warmup", "from_json", "score_or_worst", "to_json",
]  # fmt: skip
