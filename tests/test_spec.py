"""The specification: JSON there and back for every class, and an answer to every wrong value."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import manynets as mn
from manynets import spec
from manynets.errors import one_of
from manynets.spec import from_json, to_json

UNIT = st.floats(0, 1, exclude_max=True)
INSIDE = st.floats(0, 1, exclude_min=True, exclude_max=True)
POSITIVE = st.floats(0, 1e6)
ABOVE = st.floats(1e-12, 1e3)
BETAS = st.tuples(UNIT, UNIT)

OPTIMIZERS: dict[type, st.SearchStrategy[Any]] = {
    mn.SGD: st.builds(mn.SGD, lr=POSITIVE, momentum=INSIDE, nesterov=st.booleans(), weight_decay=POSITIVE),
    mn.Adam: st.builds(mn.Adam, lr=POSITIVE, betas=BETAS, eps=ABOVE, weight_decay=POSITIVE),
    mn.AdamW: st.builds(mn.AdamW, lr=POSITIVE, betas=BETAS, eps=ABOVE, weight_decay=POSITIVE),
    mn.NAdam: st.builds(mn.NAdam, lr=POSITIVE, betas=BETAS, eps=ABOVE, weight_decay=POSITIVE),
    mn.RMSprop: st.builds(mn.RMSprop, lr=POSITIVE, alpha=UNIT, eps=ABOVE, momentum=UNIT, weight_decay=POSITIVE),
    mn.Adagrad: st.builds(mn.Adagrad, lr=POSITIVE, eps=ABOVE, weight_decay=POSITIVE),
    mn.Lion: st.builds(mn.Lion, lr=POSITIVE, betas=BETAS, weight_decay=POSITIVE),
}
SCHEDULES: dict[type, st.SearchStrategy[Any]] = {
    mn.Constant: st.builds(mn.Constant),
    mn.Cosine: st.builds(mn.Cosine, final=st.floats(0, 1), warmup=UNIT),
    mn.OneCycle: st.builds(mn.OneCycle, rise=INSIDE, start_factor=st.floats(1, 1e3), final_factor=st.floats(1, 1e6)),
    mn.Warmup: st.builds(mn.Warmup, steps=st.integers(1, 10**9)),
    mn.StepDecay: st.builds(mn.StepDecay, every=st.integers(1, 100), gamma=INSIDE),
    mn.Exponential: st.builds(mn.Exponential, gamma=INSIDE),
    mn.InverseScaling: st.builds(mn.InverseScaling, power=POSITIVE),
    mn.PiecewiseConstant: st.lists(st.integers(0, 10**9), min_size=1, max_size=4, unique=True).flatmap(
        lambda steps: st.builds(
            mn.PiecewiseConstant, steps=st.just(tuple(sorted(steps))), factors=st.tuples(*[POSITIVE for _ in steps])
        )
    ),
    mn.ReduceOnPlateau: st.builds(
        mn.ReduceOnPlateau, factor=INSIDE, patience=st.integers(0, 9), min_delta=POSITIVE, min_lr=POSITIVE
    ),
}
SKLEARN: dict[type, st.SearchStrategy[Any]] = {  # of the estimators
    spec.SklearnSGD: st.builds(spec.SklearnSGD, lr=POSITIVE, momentum=INSIDE, nesterov=st.booleans(), weight_decay=POSITIVE),
    spec.SklearnAdam: st.builds(spec.SklearnAdam, lr=POSITIVE, betas=BETAS, eps=ABOVE, weight_decay=POSITIVE),
    spec.SklearnInverseScaling: st.builds(
        spec.SklearnInverseScaling, power=POSITIVE, rows=st.integers(1, 999), start=st.integers(0, 999)
    ),
}
GROUPS = st.builds(mn.ParameterGroup, names=st.text(min_size=1, max_size=8), lr_factor=POSITIVE, decay_factor=POSITIVE)
STOPPING = st.builds(
    mn.EarlyStopping,
    patience=st.integers(1, 99),
    min_delta=POSITIVE,
    inclusive=st.booleans(),
    factor=st.one_of(st.none(), INSIDE),
    min_lr=POSITIVE,
)
EMBEDDINGS = st.one_of(
    st.none(),
    st.builds(mn.PiecewiseLinear, bins=st.one_of(st.none(), st.integers(2, 255)), by=st.sampled_from(get_args(spec.BinsBy))),
    st.builds(
        mn.Periodic,
        frequencies=st.integers(1, 99),
        scale=ABOVE,
        outputs=st.integers(1, 99),
        columns=st.one_of(st.none(), st.sets(st.integers(0, 99), min_size=1).map(lambda columns: tuple(sorted(columns)))),
    ),
)
NETWORKS = st.lists(st.integers(1, 999), max_size=4).flatmap(
    lambda hidden: st.builds(
        mn.MLP,
        hidden=st.just(tuple(hidden)),
        activation=st.sampled_from(get_args(spec.Activation)),
        dropout=st.one_of(UNIT, st.tuples(*[UNIT] * len(hidden))),
        input_dropout=UNIT,
        batch_norm=st.booleans(),
        init=st.sampled_from(get_args(spec.Init)),
        bias=st.booleans(),
        input_scale=st.booleans(),
        embedding=EMBEDDINGS,
    )
)
LENGTHS: Any = st.one_of(
    st.just({}),
    st.integers(1, 99).map(lambda n: {"epochs": n}),
    st.integers(1, 99).map(lambda n: {"iterations": n, "evaluate_every": n}),
)
RECIPES = LENGTHS.flatmap(
    lambda length: st.builds(
        mn.Recipe,
        **{name: st.just(value) for name, value in length.items()},
        optimizer=st.one_of(*OPTIMIZERS.values()),
        schedule=st.one_of(*SCHEDULES.values()),
        batch_size=st.one_of(st.none(), st.integers(1, 999)),
        l1=POSITIVE,
        l2=POSITIVE,
        label_smoothing=UNIT,
        clip_norm=st.one_of(st.none(), ABOVE),
        shuffle=st.booleans(),
        stopping=st.one_of(st.none(), STOPPING),
        keep=st.sampled_from(["best", "last"]),
        watch=st.sampled_from(["loss", "metric", "objective"]),
        loss=st.sampled_from([None, *get_args(spec.LossName)]),
        groups=st.lists(GROUPS, max_size=3).map(tuple),
        quantile=INSIDE,
        delta=ABOVE,
        seed=st.integers(0, 2**63),
        device=st.sampled_from(["auto", "cpu", "cuda", "cuda:3"]),
        dtype=st.sampled_from(get_args(spec.DType)),
        precision=st.sampled_from(get_args(spec.Precision)),
        gradient=st.sampled_from(get_args(spec.GradientName)),
    )
)


@given(st.one_of(NETWORKS, RECIPES, STOPPING, *OPTIMIZERS.values(), *SCHEDULES.values(), *SKLEARN.values()))
def test_json_there_and_back(value: Any) -> None:
    text = json.dumps(to_json(value), allow_nan=False)
    back = from_json(json.loads(text))
    assert back == value
    assert type(back) is type(value)
    assert hash(back) == hash(value)
    assert json.dumps(to_json(back), allow_nan=False) == text


def test_every_class_of_the_specification_is_tried() -> None:
    tried = {*OPTIMIZERS, *SCHEDULES, *SKLEARN, *get_args(spec.Embedding), mn.MLP, mn.Recipe, mn.EarlyStopping, mn.ParameterGroup}
    classes = {value for value in vars(spec).values() if dataclasses.is_dataclass(value)}
    assert tried == classes
    assert set(OPTIMIZERS) == set(get_args(spec.Optimizer))
    assert set(SCHEDULES) == set(get_args(spec.Schedule))
    for kind in classes - {mn.ParameterGroup}:  # which needs a pattern
        assert from_json(to_json(kind())) == kind()  # type: ignore[operator]


def test_specifications_are_frozen_and_keyword_only() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        mn.MLP().bias = False  # type: ignore[misc]
    with pytest.raises(TypeError):
        mn.MLP((3,))  # type: ignore[misc]


def test_numpy_numbers_become_python_numbers() -> None:
    network = mn.MLP(hidden=(np.int64(4), np.int32(3)), dropout=np.float32(0.5))  # type: ignore[arg-type]
    assert network == mn.MLP(hidden=(4, 3), dropout=0.5)
    assert mn.MLP(hidden=np.int64(4)).hidden == (4,)  # type: ignore[arg-type]
    recipe = mn.Recipe(optimizer=mn.SGD(lr=np.float32(0.5)), epochs=np.int64(3), seed=np.uint8(7))  # type: ignore[arg-type]
    json.dumps([to_json(network), to_json(recipe)])
    assert recipe == mn.Recipe(optimizer=mn.SGD(lr=0.5), epochs=3, seed=7)


def test_hidden_and_dropout_take_one_number_or_a_list() -> None:
    assert mn.MLP(hidden=[3, 4]).hidden == (3, 4)  # type: ignore[arg-type]
    assert mn.MLP(hidden=5).hidden == (5,)  # type: ignore[arg-type]
    assert mn.MLP(hidden=(3, 4), dropout=[0.1, 0.2]).dropouts == (0.1, 0.2)  # type: ignore[arg-type]
    assert mn.MLP(hidden=(), dropout=0.5).dropouts == ()


WRONG: list[tuple[type, dict[str, Any], str]] = [
    (mn.MLP, {"hidden": (0,)}, r"MLP.hidden is \(0,\), but every hidden layer needs a whole number of at least 1 unit"),
    (mn.MLP, {"hidden": (3, -1)}, r"MLP.hidden is \(3, -1\)"),
    (mn.MLP, {"hidden": (2.5,)}, r"MLP.hidden is \(2.5,\)"),
    (mn.MLP, {"hidden": (True,)}, r"MLP.hidden is \(True,\)"),
    (mn.MLP, {"hidden": "64"}, "MLP.hidden is '64'"),
    (mn.MLP, {"hidden": None}, "MLP.hidden is None"),
    (mn.MLP, {"activation": "rleu"}, "MLP.activation is 'rleu', but must be one of identity, relu, .*; did you mean 'relu'"),
    (mn.MLP, {"activation": "Relu"}, "did you mean 'relu'"),
    (mn.MLP, {"init": "xavier"}, "MLP.init is 'xavier', but must be one of torch, .*did you mean 'xavier_"),
    (mn.MLP, {"dropout": 1.0}, r"MLP.dropout is 1.0, but a probability must be in \[0, 1\)"),
    (mn.MLP, {"dropout": -0.1}, "MLP.dropout is -0.1"),
    (mn.MLP, {"dropout": float("nan")}, "MLP.dropout is nan"),
    (mn.MLP, {"dropout": None}, "MLP.dropout is None"),
    (mn.MLP, {"dropout": True}, "MLP.dropout is True"),
    (mn.MLP, {"dropout": (0.1,)}, "MLP.dropout has 1 number for 2 hidden layers; give one, or one each"),
    (mn.MLP, {"input_dropout": 1}, r"MLP.input_dropout is 1, but must be a number in \[0, 1\)"),
    (mn.MLP, {"batch_norm": "yes"}, "MLP.batch_norm is 'yes', but must be True or False"),
    (mn.MLP, {"bias": 1}, "MLP.bias is 1, but must be True or False"),
    (mn.SGD, {"lr": -0.1}, r"SGD.lr is -0.1, but must be a number in \[0, inf\)"),
    (mn.SGD, {"lr": "0.1"}, "SGD.lr is '0.1'"),
    (mn.SGD, {"lr": float("inf")}, "SGD.lr is inf"),
    (mn.SGD, {"lr": float("nan")}, "SGD.lr is nan"),
    (mn.SGD, {"lr": True}, "SGD.lr is True"),
    (mn.SGD, {"momentum": 1.0}, r"SGD.momentum is 1.0, but must be a number in \[0, 1\)"),
    (mn.SGD, {"nesterov": True}, "SGD.nesterov needs a momentum above 0, for example momentum=0.9"),
    (mn.SGD, {"nesterov": "a", "momentum": 0.5}, "SGD.nesterov is 'a', but must be True or False"),
    (mn.Adam, {"betas": (0.9,)}, r"Adam.betas is \(0.9,\), but must be two numbers in \[0, 1\)"),
    (mn.Adam, {"betas": (0.9, 1.0)}, "Adam.betas"),
    (mn.Adam, {"betas": None}, "Adam.betas is None"),
    (mn.AdamW, {"eps": 0}, r"AdamW.eps is 0, but must be a number in \(0, inf\)"),
    (mn.NAdam, {"weight_decay": -1}, "NAdam.weight_decay is -1"),
    (mn.RMSprop, {"alpha": 1.0}, "RMSprop.alpha is 1.0"),
    (mn.Adagrad, {"lr": None}, "Adagrad.lr is None"),
    (mn.Lion, {"betas": (0.9, 1)}, r"Lion.betas is \(0.9, 1\), but must be two numbers in \[0, 1\)"),
    (mn.Lion, {"weight_decay": -1}, "Lion.weight_decay is -1"),
    (mn.Cosine, {"final": 1.5}, r"Cosine.final is 1.5, but must be a number in \[0, 1\]"),
    (mn.OneCycle, {"rise": 0}, r"OneCycle.rise is 0, but must be a number in \(0, 1\)"),
    (mn.Warmup, {"steps": 0}, "Warmup.steps is 0, but must be a whole number of at least 1"),
    (mn.StepDecay, {"every": 1.5}, "StepDecay.every is 1.5"),
    (mn.Exponential, {"gamma": 0}, "Exponential.gamma is 0"),
    (
        mn.PiecewiseConstant,
        {"steps": (1, 2)},
        r"PiecewiseConstant.factors is \(0.1,\), but must have as many numbers as steps, 2",
    ),
    (mn.PiecewiseConstant, {"steps": (2, 2), "factors": (1, 1)}, r"steps is \(2, 2\), but each step must be larger"),
    (mn.PiecewiseConstant, {"steps": -1}, "PiecewiseConstant.steps is -1, but must be a whole number of at least 0"),
    (mn.PiecewiseConstant, {"factors": -1}, r"PiecewiseConstant.factors is -1, but must be a number in \[0, inf\)"),
    (mn.ReduceOnPlateau, {"patience": -1}, "ReduceOnPlateau.patience is -1"),
    (mn.EarlyStopping, {"patience": 0}, "EarlyStopping.patience is 0, but must be a whole number of at least 1"),
    (mn.EarlyStopping, {"inclusive": 1}, "EarlyStopping.inclusive is 1, but must be True or False"),
    (mn.Recipe, {"epochs": 0}, "Recipe.epochs is 0, but must be a whole number from 1 to 1,000,000,000,000"),
    (mn.Recipe, {"epochs": 2.0}, "Recipe.epochs is 2.0"),
    (mn.Recipe, {"epochs": 1, "iterations": 2}, "Recipe has epochs=1 and iterations=2; give one of the two"),
    (mn.Recipe, {"batch_size": 0}, "Recipe.batch_size is 0"),
    (mn.Recipe, {"l1": -1}, "Recipe.l1 is -1"),
    (mn.Recipe, {"label_smoothing": 1}, "Recipe.label_smoothing is 1"),
    (mn.Recipe, {"clip_norm": 0}, "Recipe.clip_norm is 0"),
    (mn.Recipe, {"seed": -1}, "Recipe.seed is -1"),
    (mn.Recipe, {"shuffle": None}, "Recipe.shuffle is None"),
    (mn.Recipe, {"optimizer": "adam"}, "Recipe.optimizer is 'adam', but must be an instance of SGD, Adam, AdamW, NAdam,"),
    (mn.Recipe, {"optimizer": mn.SGD}, "Recipe.optimizer"),
    (mn.Recipe, {"schedule": mn.Adam()}, "Recipe.schedule is Adam.*, but must be an instance of Constant, Cosine"),
    (mn.Recipe, {"stopping": 5}, "Recipe.stopping is 5, but must be an instance of EarlyStopping"),
    (mn.Recipe, {"keep": "bset"}, "Recipe.keep is 'bset', but must be one of best, last; did you mean 'best'"),
    (mn.Recipe, {"watch": "los"}, "did you mean 'loss'"),
    (mn.Recipe, {"loss": "hubber"}, "Recipe.loss is 'hubber'.*did you mean 'huber'"),
    (mn.Recipe, {"quantile": 1.0}, "Recipe.quantile is 1.0"),
    (mn.Recipe, {"device": "gpu"}, "Recipe.device is 'gpu', but must be auto, cpu, cuda or cuda:N"),
    (mn.Recipe, {"device": "cuda:x"}, "Recipe.device is 'cuda:x'"),
    (mn.Recipe, {"device": None}, "Recipe.device is None"),
    (mn.Recipe, {"dtype": "float16"}, "Recipe.dtype is 'float16', but must be one of float32, float64"),
    (mn.Recipe, {"precision": "tf23"}, "did you mean 'tf32'"),
    (mn.Recipe, {"gradient": "closed"}, "Recipe.gradient is 'closed', but must be one of auto, compiled, closed_form, autograd"),
]


@pytest.mark.parametrize(("kind", "arguments", "message"), WRONG, ids=lambda value: getattr(value, "__name__", repr(value)[:40]))
def test_a_wrong_value_is_named_with_what_is_allowed(kind: type, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(mn.OptionError, match=message):
        kind(**arguments)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "a specification is None, but must be a JSON object with a 'kind'"),
        ([1], "a specification is \\[1\\]"),
        ({}, "kind of a specification is None, but must be one of MLP, Recipe"),
        ({"kind": "MPL"}, "kind of a specification is 'MPL'.*did you mean 'MLP'"),
        ({"kind": ["MLP"]}, "kind of a specification"),
        ({"kind": "MLP", "hiden": [3]}, "field of MLP is 'hiden'.*did you mean 'hidden'"),
        ({"kind": "MLP", "hidden": [[3]]}, "MLP.hidden"),
        ({"kind": "MLP", "hidden": {"kind": "SGD"}}, "MLP.hidden"),
        ({"kind": "Recipe", "optimizer": {"kind": "MLP"}}, "Recipe.optimizer"),
        ({"kind": "Recipe", "optimizer": {"kind": "os.system"}}, "kind of a specification is 'os.system'"),
        ({"kind": "Recipe", "epochs": "3"}, "Recipe.epochs is '3'"),
        ({"kind": "__class__"}, "kind of a specification is '__class__'"),
        ({"kind": "MLP", "__class__": 1}, "field of MLP is '__class__'"),
    ],
)
def test_hostile_json_is_an_option_error(data: Any, message: str) -> None:
    with pytest.raises(mn.OptionError, match=message):
        from_json(data)


def test_only_specifications_turn_into_json() -> None:
    for value in (3, "MLP", object(), mn.MLP):
        with pytest.raises(mn.OptionError, match="is not a specification"):
            to_json(value)


def test_one_of_without_a_near_name_gives_no_hint() -> None:
    with pytest.raises(mn.OptionError, match=r"what is 'zzz', but must be one of a, b$"):
        one_of("zzz", ["a", "b"], what="what")
