"""What the page asks to be trained, as dataclasses: read from its JSON, and checked against the limits of the page."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, TypeVar

from manynets.display import short
from manynets.errors import OptionError, one_of
from manynets.playground.terms import TERMS
from manynets.spec import MLP, Adam, Recipe
from manynets.spec.serialization import from_json, to_json

TOYS = ("spirals", "moons", "circles", "xor", "gauss", "blobs", "quadrants", "prod", "plane")
IMAGES = ("digits", "mnist", "fashion-mnist")
MOST_POINTS, MOST_DRAWN, MOST_LAYERS, MOST_UNITS, MOST_NETWORKS = 10_000, 2_000, 8, 1_024, 256
MOST_EPOCHS, MOST_SIZE, MOST_COLUMNS, LONGEST = 1_000_000, 1e4, 2_000, 200
MOST_WEIGHTS, MOST_NUMBERS = 4_000_000, 100_000_000
"""Limits for all networks together: on the weights, and on the outputs of all layers for a batch or a small map."""
T = TypeVar("T")
Vary: TypeAlias = Literal["seed", "lr", "hidden"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Toy:
    """One of the 2-D data sets of `manynets.datasets`."""

    name: str = "spirals"
    points: int = 500
    noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        one_of(self.name, TOYS, what="data set")
        _whole("points", self.points, 10, MOST_POINTS)
        _number("noise", self.noise, 0.0, 10.0)
        _whole("seed", self.seed, 0, 2**31)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawn:
    """Points drawn with the mouse: rows of x1, x2 and a class code or a value."""

    task: Literal["classes", "regression"] = "classes"
    rows: tuple[tuple[float, float, float], ...] = ()

    def __post_init__(self) -> None:
        one_of(self.task, ("classes", "regression"), what="task")
        if not isinstance(self.rows, tuple) or not 1 <= len(self.rows) <= MOST_DRAWN:
            raise OptionError(f"draw from 2 to {MOST_DRAWN:,} points")
        for row in self.rows:
            if not isinstance(row, tuple) or len(row) != 3:
                raise OptionError("a drawn point must have x1, x2 and a value")
            for value in row:
                _number("a drawn point", value, -MOST_SIZE, MOST_SIZE)
        values = {row[2] for row in self.rows}
        if self.task == "classes" and not values <= set(range(7)):
            raise OptionError("the classes of drawn points must be whole numbers from 0 to 6")
        if len(values) < 2:
            raise OptionError("all points have one class or value; draw some of another")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableChoice:
    """A table: its target, the columns to learn from (none: all), and the two axes of the plane."""

    file: str = ""
    target: str = ""
    columns: tuple[str, ...] = ()
    x: str = ""
    y: str = ""
    view: Literal["slice", "pca"] = "slice"

    def __post_init__(self) -> None:
        for name in ("file", "target", "x", "y"):
            _text(name, getattr(self, name))
        if not isinstance(self.columns, tuple) or len(self.columns) > MOST_COLUMNS:
            raise OptionError(f"columns must be a list of at most {MOST_COLUMNS:,} names")
        for column in self.columns:
            _text("a column", column)
        if len(set(self.columns)) != len(self.columns):
            twice = next(name for name in self.columns if self.columns.count(name) > 1)
            raise OptionError(f"the column {short(twice)} is named twice; name each column once")
        one_of(self.view, ("slice", "pca"), what="view")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Images:
    """Images: the small digits that come with scikit-learn, or MNIST or Fashion-MNIST where its files are. rows: how many, from the first on."""

    name: str = "digits"
    rows: int = 5_000

    def __post_init__(self) -> None:
        one_of(self.name, IMAGES, what="data set")
        _whole("rows", self.rows, 100, 60_000)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Networks:
    """How many networks are trained together, and in what they differ: seeds, learning rates, or units of each hidden layer."""

    count: int = 1
    vary: Vary = "seed"

    def __post_init__(self) -> None:
        _whole("networks", self.count, 1, MOST_NETWORKS)
        one_of(self.vary, ("seed", "lr", "hidden"), what="vary")


DataChoice: TypeAlias = Toy | Drawn | TableChoice | Images
KINDS: Mapping[str, type[DataChoice]] = {"toy": Toy, "drawn": Drawn, "table": TableChoice, "images": Images}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlaygroundSetup:
    """The data, the network, its training, and how many networks are trained.

    terms: the inputs made of the two axes (`manynets.playground.terms`). validation: the share of the rows to validate on, where the data
    has no validation rows of its own.

    >>> setup = PlaygroundSetup.from_json({"data": {"kind": "toy", "name": "moons"}, "network": {"kind": "MLP", "hidden": [4]}})
    >>> setup.data.name, setup.network.hidden
    ('moons', (4,))
    """

    data: DataChoice = dataclasses.field(default_factory=Toy)
    terms: tuple[str, ...] = ("x1", "x2")
    network: MLP = dataclasses.field(default_factory=lambda: MLP(hidden=(8, 8), activation="tanh"))
    recipe: Recipe = dataclasses.field(
        default_factory=lambda: Recipe(optimizer=Adam(lr=0.01), epochs=20_000, batch_size=32, keep="last", device="cpu")
    )
    validation: float = 0.2
    networks: Networks = dataclasses.field(default_factory=Networks)

    def __post_init__(self) -> None:
        if not isinstance(self.terms, tuple) or not self.terms:
            raise OptionError("the network needs at least one input")
        for term in self.terms:
            one_of(term, TERMS, what="input")
        if len(set(self.terms)) != len(self.terms):
            raise OptionError("an input may be given only once")
        _number("validation", self.validation, 0.0, 0.9)
        if len(self.network.hidden) > MOST_LAYERS or any(units > MOST_UNITS for units in self.network.hidden):
            raise OptionError(f"the page takes at most {MOST_LAYERS} hidden layers of at most {MOST_UNITS:,} units")
        for name, value in (("epochs", self.recipe.epochs), ("iterations", self.recipe.iterations)):
            if value is not None and value > MOST_EPOCHS:
                raise OptionError(f"{name} is {value:,}, but the page takes at most {MOST_EPOCHS:,}")

    @property
    def more_terms(self) -> list[str]:
        """The terms that are not a column itself; a table has them beside all of its columns."""
        return [term for term in self.terms if term not in ("x1", "x2")]

    def to_json(self) -> dict[str, Any]:
        """Return the setup as JSON types."""
        kind = next(name for name, made in KINDS.items() if made is type(self.data))
        return {
            "data": {"kind": kind, **dataclasses.asdict(self.data)},
            "terms": list(self.terms),
            "network": to_json(self.network),
            "recipe": to_json(self.recipe),
            "validation": self.validation,
            "networks": dataclasses.asdict(self.networks),
        }

    @classmethod
    def from_json(cls, given: Any) -> PlaygroundSetup:
        """Return the setup that JSON describes. Errors: OptionError for whatever does not fit."""
        makers: dict[str, Callable[[Any], Any]] = {
            "data": _data,
            "terms": _names,
            "network": lambda value: _spec(MLP, value),
            "recipe": lambda value: dataclasses.replace(_spec(Recipe, value), device="cpu"),
            "validation": lambda value: value,
            "networks": lambda value: Networks(**_object(value, "networks", {"count", "vary"})),
        }
        fields = _object(given, "the setup", set(makers))
        return cls(**{name: makers[name](value) for name, value in fields.items()})


def _data(given: Any) -> DataChoice:
    fields = dict(_object(given, "data", None))
    kind = KINDS[one_of(fields.pop("kind", None), KINDS, what="kind of data")]
    names = {field.name for field in dataclasses.fields(kind)}
    fields = dict(_object(fields, "data", names))
    for name in ("rows", "columns"):
        if isinstance(fields.get(name), list):
            fields[name] = tuple(tuple(row) if isinstance(row, list) else row for row in fields[name])
    return kind(**fields)


def _names(given: Any) -> tuple[Any, ...]:
    if not isinstance(given, list):
        raise OptionError("the inputs must be a list of names")
    return tuple(given)


def _spec(kind: type[T], given: Any) -> T:
    found = from_json(given)
    if not isinstance(found, kind):
        raise OptionError(f"a {kind.__name__} is needed, not a {type(found).__name__}")
    return found


def _object(given: Any, what: str, names: set[str] | None) -> Mapping[str, Any]:
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise OptionError(f"{what} must be a JSON object")
    for name in given:
        if names is not None:
            one_of(name, sorted(names), what=f"field of {what}")
    return given


def _whole(what: str, value: Any, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise OptionError(f"{what} is {short(value)}, but must be a whole number from {low:,} to {high:,}")


def _number(what: str, value: Any, low: float, high: float) -> None:
    if type(value) not in (int, float) or not math.isfinite(value) or not low <= value <= high:
        raise OptionError(f"{what} is {short(value)}, but must be a number from {low:g} to {high:g}")


def _text(what: str, value: Any) -> None:
    if not isinstance(value, str) or len(value) > LONGEST:
        raise OptionError(f"{what} is {short(value)}, but must be a text of at most {LONGEST} characters")
