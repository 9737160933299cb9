"""What callbacks learn of a training run. Events are read-only; a callback is any function that takes one.

A callback that raises StopIteration ends the training, as Ctrl-C does but without a warning: networks that are not through have their best
weights so far, and `info["stopped"]` says "callback". A callback with the attribute `may_skip = True` need not see every evaluation: where a
stepper makes several epochs in one call, it gets the `Evaluated` of the last one. Small networks train faster if all callbacks have it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets.spec import MLP, Recipe
from manynets.tasks import Regression, Task

if TYPE_CHECKING:
    from manynets.training.history import Tracks
    from manynets.training.trial import Member, Problem

WHEN = ("epoch", "step", "seconds", "lr")
"""Columns of a history that are no results, of which several networks have no mean."""
MOST_POOLED = 1000
"""Networks up to which their best entries are collected at each evaluation."""
Settings: TypeAlias = Mapping[int, tuple[MLP | None, Recipe]]


@dataclasses.dataclass(frozen=True)
class Started:
    """Training begins: how many networks, and how many steps and epochs the longest of them will make at most.

    ensembles: the numbers of the networks of each ensemble, which differ in seed and rows only, if all networks belong to one.
    pooled: how much the validation rows of each network of an ensemble count, by its number.
    squared: the loss times this is the mean squared error in the target's unit; 0 where it is another loss.
    settings: the network (None for a module of your own) and the recipe of each, by its number.
    shared_rows: how many validation rows more than one network of an ensemble has, as where folds of equal size overlap; such a row counts
        once for each of them in the pooled results.
    transform: "log" where losses and metric are those of the logarithm of the target.

    >>> import manynets as mn
    >>> seen = []
    >>> _ = mn.train([[0.0], [1.0]] * 8, [0, 1] * 8, mn.MLP(hidden=(4,)), mn.Recipe(epochs=2, batch_size=8), callbacks=[seen.append], progress=False)
    >>> seen[0].n_networks, seen[0].steps
    (1, 4)
    """

    n_networks: int
    steps: int
    steps_per_epoch: int
    metric: str
    pooled: Mapping[int, float] = dataclasses.field(default_factory=dict)
    squared: float = 0.0
    settings: Settings = dataclasses.field(default_factory=dict)
    ensembles: tuple[tuple[int, ...], ...] = ()
    shared_rows: int = 0
    transform: str | None = None


@dataclasses.dataclass(frozen=True)
class Advanced:
    """Some steps were made: `step` so far, of the longest network's `steps`.

    >>> import manynets as mn
    >>> seen = []
    >>> _ = mn.train([[0.0], [1.0]] * 8, [0, 1] * 8, mn.MLP(hidden=(4,)), mn.Recipe(epochs=2, batch_size=8), callbacks=[seen.append], progress=False)
    >>> [event.step for event in seen if isinstance(event, mn.Advanced)][-1]
    4
    """

    step: int


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluated:
    """An evaluation after `step` steps: columns of one value (K,) for each of the networks `numbers`.

    `alive` networks go on. best: the columns of each network's best entry so far, where `Started.pooled` has the networks. The arrays
    are read-only. parameters: the weights of this moment, which `read` copies; use them while the callback is called.

    >>> import manynets as mn
    >>> seen = []
    >>> def callback(event):
    ...     if isinstance(event, mn.Evaluated):
    ...         seen.append((event.step, event.columns["loss"].shape, event.parameters[0]["hidden0.weight"].shape))
    >>> _ = mn.train([[0.0], [1.0]] * 8, [0, 1] * 8, mn.MLP(hidden=(4,)), mn.Recipe(epochs=2, batch_size=8), callbacks=[callback], progress=False)
    >>> seen
    [(2, (1,), (4, 1)), (4, (1,), (4, 1))]
    """

    step: int
    numbers: tuple[int, ...]
    columns: Mapping[str, NDArray[np.float64]]
    alive: int
    best: Mapping[str, NDArray[np.float64]] = dataclasses.field(default_factory=dict)
    read: Callable[[], Iterable[Mapping[str, NDArray[Any]]]] | None = dataclasses.field(default=None, repr=False)

    def __post_init__(self) -> None:
        for values in (*self.columns.values(), *self.best.values()):
            values.flags.writeable = False

    @property
    def entries(self) -> dict[int, dict[str, float]]:
        """The entry of each network by its number."""
        return {number: {name: float(values[k]) for name, values in self.columns.items()} for k, number in enumerate(self.numbers)}

    @property
    def parameters(self) -> dict[int, dict[str, NDArray[Any]]]:
        """Copies of the parameters and running statistics that each network has now, by its number and by name, as in `Model.members`; {} of an
        event that was pickled."""
        networks = () if self.read is None else zip(self.numbers, self.read(), strict=True)
        return {number: dict(one) for number, one in networks}

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"read": None}  # an event may be kept in another process, the networks stay in theirs


@dataclasses.dataclass(frozen=True)
class Finished:
    """Training is over after `seconds`; `diverged` networks stopped because their loss was not finite.

    >>> import manynets as mn
    >>> seen = []
    >>> _ = mn.train([[0.0], [1.0]] * 8, [0, 1] * 8, mn.MLP(hidden=(4,)), mn.Recipe(epochs=2, batch_size=8), callbacks=[seen.append], progress=False)
    >>> seen[-1].diverged
    ()
    """

    seconds: float
    diverged: tuple[int, ...]


Event: TypeAlias = Started | Advanced | Evaluated | Finished
Callback: TypeAlias = Callable[[Event], None]


def started(problem: Problem, members: Sequence[Member], *, steps: int, steps_per_epoch: int) -> Started:
    """Return the event with which a training of these networks begins. steps: that the longest of them makes."""
    task, ensembles = problem.task, _ensembles(members)
    return Started(
        len(members),
        steps,
        steps_per_epoch,
        task.metric,
        pooled={member.number: _validated_rows(problem, member) for member in members} if ensembles else {},
        squared=squared_share(task, members[0].recipe),
        settings={member.number: member.settings for member in members},
        ensembles=ensembles,
        shared_rows=_shared_rows(problem, members, ensembles),
        transform=task.transform if isinstance(task, Regression) else None,
    )


def evaluated(
    step: int,
    tracks: Tracks,
    columns: Mapping[str, NDArray[np.float64]],
    ended: NDArray[np.bool_],
    *,
    pooled: bool,
    network: Callable[[int], Mapping[str, NDArray[Any]]],
) -> Evaluated:
    """Return the event of an evaluation, which added `columns` (E, K), and after which some networks have ended (K,).

    pooled: whether the event has the best entries. network: returns copies of the parameters of network k, by name.
    """
    seen = np.flatnonzero(tracks.alive)
    numbers = tuple(tracks.members[k].number for k in seen)
    last = {name: values[-1, seen] for name, values in columns.items()}
    best = tracks.best_entries(seen) if pooled else {}
    alive = int((tracks.alive & ~ended).sum())
    return Evaluated(step, numbers, last, alive, best, read=lambda: [network(k) for k in seen.tolist()])


def _ensembles(members: Sequence[Member]) -> tuple[tuple[int, ...], ...]:
    """Return the numbers of the members of each kind (`Member.kind`); nothing where one of several kinds has one member only."""
    if len(members) > MOST_POOLED:
        return ()
    kinds: dict[Any, list[int]] = {}
    for member in members:
        kinds.setdefault(member.kind, []).append(member.number)
    found = tuple(map(tuple, kinds.values()))
    return found if len(found) == 1 or min(map(len, found)) > 1 else ()


def _validated_rows(problem: Problem, member: Member) -> float:
    """Return how much the validation rows of a network count; 1 where all networks have the same."""
    rows, weight = member.validation_rows, problem.rows.weight
    if rows is None:
        return 1.0
    return float(len(rows) if weight is None else weight.cpu().numpy()[rows].sum())


def _shared_rows(problem: Problem, members: Sequence[Member], ensembles: Sequence[Sequence[int]]) -> int:
    """Return how many validation rows several networks of the first ensemble have."""
    if not ensembles or len(ensembles[0]) == 1:
        return 0
    if problem.validation is not None:
        return len(problem.validation)
    first = set(ensembles[0])
    held_out = [member.validation_rows for member in members if member.number in first and member.validation_rows is not None]
    return int((np.bincount(np.concatenate(held_out)) > 1).sum()) if held_out else 0


def squared_share(task: Task, recipe: Recipe) -> float:
    """Return what turns the loss into the mean squared error in the target's unit, 0 where nothing does."""
    if not isinstance(task, Regression) or task.transform is not None:
        return 0.0
    return {"squared_error": 1.0, "half_squared_error": 2.0}.get(recipe.loss or "squared_error", 0.0)


def may_skip(callbacks: Iterable[Callback]) -> bool:
    """Return whether all of these do without some events."""
    return all(getattr(callback, "may_skip", False) for callback in callbacks)


def tell(callbacks: Iterable[Callback], *events: Event) -> bool:
    """Call all callbacks with each of the events; return whether one of them raised StopIteration, to end the training."""
    stop = False
    for event in events:
        for callback in callbacks:
            try:
                callback(event)
            except StopIteration:
                stop = True
    return stop


class Relay:
    """Reports groups of networks to the callbacks: several as one run, which starts and finishes once; a network counts as PARTS steps.

    settings: of all networks, as in `Started`. several: whether there are several groups; else events are passed on as they are. error: what
    a callback raised, which is no failure of the networks. It is a callback itself, so relays can be stacked.
    """

    PARTS = 1000

    def __init__(self, settings: Settings, callbacks: Sequence[Callback], *, several: bool = True) -> None:
        self.callbacks, self.several = list(callbacks), several
        self.may_skip = may_skip(callbacks)
        self.before = 0
        self.seconds = 0.0
        self.diverged: tuple[int, ...] = ()
        self.settings = settings
        self.started = False
        self.share = 0
        self.stop = False  # whether a callback asked for it
        self.error: Exception | None = None

    def __call__(self, event: Event) -> None:
        if not self.several or isinstance(event, Evaluated):
            self._tell(event)
        elif isinstance(event, Started):
            if not self.started:
                self.started = True
                count = len(self.settings)
                self._tell(Started(count, count * self.PARTS, self.PARTS, event.metric, settings=self.settings))
            self.share = event.n_networks
            self.steps = max(event.steps, 1)
        elif isinstance(event, Advanced):
            self._tell(Advanced(self.before * self.PARTS + self.share * self.PARTS * event.step // self.steps))
        else:
            self.seconds += event.seconds
            self.diverged += event.diverged
        if self.stop:
            raise StopIteration

    def done(self, networks: int) -> None:
        """Count so many networks as trained."""
        self.before += networks
        if self.started:
            self._tell(Advanced(self.before * self.PARTS))

    def finish(self) -> None:
        """Report that all groups are done."""
        if self.started:
            self._tell(Finished(self.seconds, self.diverged))

    def _tell(self, event: Event) -> None:
        try:
            self.stop |= tell(self.callbacks, event)
        except Exception as error:
            self.error = error
            raise
