"""The network as data."""

from __future__ import annotations

import numbers
from typing import Literal, TypeAlias, get_args

from manynets.display import counted
from manynets.errors import OptionError
from manynets.spec.embeddings import Embedding
from manynets.spec.metadata import AT_LEAST_ONE, BELOW_ONE, SearchRange, check_fields, plain_number, plain_tuple, setting, specified

Activation: TypeAlias = Literal[
    "identity", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "tanh", "sigmoid", "softplus", "hard_swish"
]
Init: TypeAlias = Literal[
    "torch", "normal_fan_in", "randn_sqrt_fan_in", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal",
    "lecun_normal", "orthogonal",
]  # fmt: skip


@specified
class MLP:
    """A feed-forward network: per hidden layer linear, batch norm, activation, dropout; then a linear output layer.

    Without hidden layers it is a linear model (logistic regression for classes). Dropout is one probability, or one for each
    hidden layer. Batch norm has momentum 0.1 and eps 1e-5, as in torch. For the initial weights see `manynets.nn.initial`. The factors
    of input_scale start at 1 and usually learn quickly (`ParameterGroup`), so that uninformative columns fade; this is the scaling layer
    of Holzmueller et al. 2024 (RealMLP). With an embedding, its outputs are what is scaled, dropped and read by the first layer.

    >>> MLP(hidden=(512, 512), dropout=0.2).dropouts
    (0.2, 0.2)
    """

    hidden: tuple[int, ...] = setting(
        (256, 256),
        help="Units of each hidden layer, or 'none' for a linear model",
        allowed=AT_LEAST_ONE,
        several=True,
        metavar="N,N,...",
        search=SearchRange(choices=((128,), (64, 64), (128, 128), (256, 256), (128, 128, 128))),
    )
    activation: Activation = setting(
        "relu",
        help="Activation of the hidden layers:",
        allowed=get_args(Activation),
        search=SearchRange(choices=("relu", "gelu", "silu", "mish")),
    )
    dropout: float | tuple[float, ...] = setting(
        0.0,
        help="Probability that a hidden unit is dropped in a training step: one number, or one per layer",
        allowed=BELOW_ONE,
        several=True,
        metavar="P",
        search=SearchRange(high=0.5),
    )
    input_dropout: float = setting(
        0.0, help="Probability that an input column is dropped in a training step", allowed=BELOW_ONE, metavar="P"
    )
    batch_norm: bool = setting(False, help="Normalise each hidden unit over the batch, before the activation", allowed=bool)
    init: Init = setting("torch", help="Initial weights:", allowed=get_args(Init))
    bias: bool = setting(True, help="Whether the layers have biases", allowed=bool)
    input_scale: bool = setting(False, help="Multiply each input column by a learned factor", allowed=bool)
    prior: bool = setting(
        False,
        help="Start the output biases at the scores that predict the mean of the target, or the shares of its classes",
        allowed=bool,
    )
    embedding: Embedding | None = setting(None, help="Embedding of the numeric columns:", none="none")

    def __post_init__(self) -> None:
        one = isinstance(self.hidden, numbers.Integral)
        hidden = (plain_number(self.hidden),) if one else plain_tuple(self, "hidden")
        object.__setattr__(self, "hidden", hidden)
        if not all(units in AT_LEAST_ONE for units in hidden):
            raise OptionError(f"MLP.hidden is {hidden!r}, but every hidden layer needs a whole number of at least 1 unit")
        check_fields(self)
        if self.prior and not self.bias:
            raise OptionError(
                "MLP.prior is True, but with bias=False there is no output bias to start there; leave out one of the two"
            )
        if not isinstance(self.embedding, (*get_args(Embedding), type(None))):
            kinds = ", ".join(f"{kind.__name__}()" for kind in get_args(Embedding))
            raise OptionError(f"MLP.embedding is {self.embedding!r}, but must be one of {kinds}, or None")
        dropout = plain_number(self.dropout)
        object.__setattr__(self, "dropout", dropout if isinstance(dropout, int | float) else plain_tuple(self, "dropout"))
        if not all(rate in BELOW_ONE for rate in self.dropouts) or isinstance(dropout, bool):
            raise OptionError(f"MLP.dropout is {self.dropout!r}, but a probability must be in [0, 1)")
        if len(self.dropouts) != len(hidden):
            raise OptionError(
                f"MLP.dropout has {counted(len(self.dropouts), 'number')} for {counted(len(hidden), 'hidden layer')}; give one, or one each"
            )

    @property
    def dropouts(self) -> tuple[float, ...]:
        """The dropout probability of each hidden layer."""
        if isinstance(self.dropout, tuple):
            return self.dropout
        return (self.dropout,) * len(self.hidden)
