"""What the host knows of K networks in training: histories, the best so far, learning rates, outcomes. Vectors over K throughout."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from manynets.early_stopping import Patience
from manynets.errors import warn_user
from manynets.schedules import schedule_factors
from manynets.spec import Constant, ReduceOnPlateau
from manynets.steps import total_steps
from manynets.tasks.own_metric import Metric, lower_is_better
from manynets.training.trial import Divergence, FitState, Member, Outcome

if TYPE_CHECKING:
    from manynets.training.loop import TrainingRun

Host = NDArray[np.float64]
LATE = 1.05  # times the steps that fit, above which there are too many to make
RACE_FROM = 1 / 3  # share of all steps after which ensembles compete
COOL_BEFORE, COOL_LEAST, COOL_MOST = 0.8, 0.08, 0.4  # shares of all steps: when a rate may fall early, and for how long


class Tracks:
    """Histories and patience of the networks of a run; `alive` says whose training goes on.

    best: the index of each network's best entry in its history, -1 for none. totals: the steps that it makes.
    cool_start: the step at which its learning rate began to fall early (`EarlyStopping.cool_down`), -1 for none; cool_rate: its rate there.
    teams: the number of each network's team, None where no network is in one. beaten: whose team has lost a race (`EarlyStopping.race`).
    lead: the best value that any network of the run has watched, also one that has ended.

    steps: of an epoch. validated: whether there are validation rows, without which the last weights are the best. metric: that they watch, if
    it is the user's own.
    """

    def __init__(self, members: Sequence[Member], steps: int, *, validated: bool = True, metric: Metric | None = None) -> None:
        self.members, self.steps = list(members), steps
        recipes, progress = [member.recipe for member in members], [member.progress for member in members]
        self.alive = np.ones(len(members), dtype=bool)
        self.totals = np.array([total_steps(recipe, steps) for recipe in recipes])
        self.best = np.full(len(members), -1)
        self.keeps_last = np.array([not validated or recipe.keep == "last" for recipe in recipes])
        self.penalised = np.array([bool(recipe.l1 or recipe.l2) for recipe in recipes])
        self.teams = _teams(members)
        races = [recipe.stopping.race if validated and recipe.stopping is not None else None for recipe in recipes]
        self.races, self.behind = np.array([race is not None for race in races]), np.array([(race or 1.0) - 1 for race in races])
        self.beaten, self.lead = np.zeros(len(members), dtype=bool), np.full(len(members), math.inf)
        self.cool_start, self.cool_rate = np.full(len(members), -1), np.zeros(len(members))
        downs = [None if recipe.stopping is None else recipe.stopping.cool_down for recipe in recipes]
        self.cool_down = np.array([0.0 if share is None else share for share in downs])
        self.own = metric is not None
        self.patience = Patience(recipes, lower=None if metric is None else lower_is_better(metric))
        self.patience.best_figure = np.array([one.best for one in progress])
        self.patience.bad = np.array([one.bad for one in progress])
        self.patience.factor = np.array([one.factor for one in progress])
        self.columns: dict[str, list[Host]] = {}
        self.constant = all(isinstance(recipe.schedule, Constant | ReduceOnPlateau) for recipe in recipes)
        courses = [(recipe.schedule, int(total)) for recipe, total in zip(recipes, self.totals, strict=True)]
        self.courses = list(dict.fromkeys(courses))
        self.course = np.array([self.courses.index(course) for course in courses], dtype=np.int64)

    def rates(self, steps: NDArray[np.int64]) -> Host:
        """Return the learning rates (n, K) of steps (n,), counted from 0."""
        now = self.patience.lr * self.patience.factor
        if self.constant:
            rates = np.repeat(now[None], len(steps), axis=0)
        else:
            factors = [schedule_factors(schedule, steps, total=total, per_epoch=self.steps) for schedule, total in self.courses]
            rates = np.stack(factors, axis=1)[:, self.course] * now
        if (self.cool_start >= 0).any():
            left = (self.totals - steps[:, None]) / np.maximum(self.totals - self.cool_start, 1)
            rates = np.where(self.cool_start >= 0, self.cool_rate * left, rates)
        return np.asarray(rates)

    @property
    def exhausted(self) -> NDArray[np.bool_]:
        """Which networks stop early: their patience is at its end, or they have lost a race."""
        return self.beaten | (self.patience.exhausted & (self.cool_down == 0))

    def cool(self, step: int) -> NDArray[np.bool_]:
        """Return which networks go back to their best weights, as their patience ends now; from here on their rates fall to 0.

        They fall from the rate of the best entry, for the share `cool_down` of the steps up to it, at least 8% and at most 40% of all.
        """
        due = self.alive & self.patience.exhausted & (self.cool_down > 0) & (self.cool_start < 0) & (self.best >= 0)
        due &= step < COOL_BEFORE * self.totals
        for k in np.flatnonzero(due):
            best = int(self.columns["step"][self.best[k]][k])
            length = np.clip(self.cool_down[k] * best, COOL_LEAST * self.totals[k], COOL_MOST * self.totals[k])
            self.cool_rate[k] = self.rates(np.array([best]))[0, k]
            self.cool_start[k], self.totals[k] = step, step + max(1, int(length))
        return due

    def hurry(self, step: int, left: float) -> None:
        """Let the rates of networks that have clearly more than `left` steps to make fall in a line to 0 over so many steps, from now on."""
        late = self.alive & (self.totals - step > LATE * left)
        if late.any():
            now = self.rates(np.array([step]))[0]
            self.cool_rate, self.cool_start = np.where(late, now, self.cool_rate), np.where(late, step, self.cool_start)
            self.totals = np.where(late, step + int(left), self.totals)

    def __len__(self) -> int:
        return len(self.members)

    def record(self, columns: Mapping[str, Host]) -> None:
        """Add entries to every history: values (E, K) for each column."""
        for name, values in columns.items():
            self.columns.setdefault(name, []).extend(values)

    def judge(self, columns: Mapping[str, Host], finite: NDArray[np.bool_], metric: str, *, named: bool) -> NDArray[np.bool_]:
        """Judge the entries just recorded; return whose weights are now the best so far (or the last, where these are wanted), (K,).

        finite: which networks are. metric: the task's. named: whether they are judged by another; where that is not defined, by the loss.
        """
        watched = np.where(finite, self.patience.values(columns, metric), np.inf)
        if named or self.teams is not None:
            for values, loss in zip(watched, columns["val_loss" if named else "loss"], strict=True):
                if self.teams is not None:
                    counted = self.alive & finite & (values < np.inf if named else True)
                    values[:] = _team_means(values, self.teams, counted)
                if named and (undefined := finite & (values == np.inf)).any():
                    self._warn_of_undefined(undefined)
                    whole = loss if self.teams is None else _team_means(loss, self.teams, self.alive & finite)
                    values[undefined] = whole[undefined]
        better = self.patience.judge(watched)
        if self.races.any():
            self._race(columns["step"][-1])
        chosen = (better | self.keeps_last) & finite & self.alive
        self.best = np.where(chosen, self.entries - 1, self.best)
        return chosen

    def _race(self, step: Host) -> None:
        """Judge after `step` (K,) steps which networks have lost a race. Of those that have ended, only the best value until then counts."""
        figures = self.patience.best_figure
        self.lead = np.minimum(self.lead, figures[self.alive].min())
        left = (1 - step / self.totals) / (1 - RACE_FROM)
        behind = figures > (1 + self.behind * np.maximum(left, 0)) * self.lead
        self.beaten = self.races & (self.lead > 0) & (left <= 1) & behind

    def _warn_of_undefined(self, undefined: NDArray[np.bool_]) -> None:
        """Say at the first entry that networks (K,) go by the loss, as their metric is not defined on their validation rows."""
        if self.entries == 1:
            which = "" if undefined.all() else f" of {int(undefined.sum())} of {len(self)} networks"
            warn_user(
                f"{self.patience.metric} is not defined on the validation rows{which}{'' if self.own else ', which are all of one class'}: the loss"
                f" decides there which weights are best; {'' if self.own else 'validate on rows of both classes, or '}watch another metric"
            )

    def best_entries(self, indices: NDArray[np.int64]) -> dict[str, Host]:
        """Return the columns (n,) of the best entries of these networks, NaN where one has none."""
        best = self.best[indices].tolist()
        pairs = list(zip(best, indices.tolist(), strict=True))
        return {
            name: np.array([math.nan if entry < 0 else column[entry][k] for entry, k in pairs])
            for name, column in self.columns.items()
        }

    @property
    def entries(self) -> int:
        """Entries of the histories so far."""
        return len(next(iter(self.columns.values()), []))

    def histories(self, indices: Sequence[int]) -> list[dict[str, list[float]]]:
        """Return the histories of networks as columns; one without penalties has no column of them."""
        columns = {name: np.array(values)[:, indices].T.tolist() for name, values in self.columns.items()}
        return [
            {name: column[i] for name, column in columns.items() if name != "penalty" or penalised}
            for i, penalised in enumerate(self.penalised[list(indices)])
        ]

    def take(self, indices: Sequence[int]) -> None:
        """Go on with the networks with these indices only."""
        chosen = np.asarray(indices, dtype=np.int64)
        self.members = [self.members[k] for k in indices]
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(self, name, value[chosen])
        self.patience.take(chosen)
        self.columns = {name: list(np.array(column)[:, chosen]) for name, column in self.columns.items()}


class Sums:
    """The log since the last evaluation, summed in the order of the steps: the same bits however the steps were cut into calls.

    totals (E, K, 3 + M): of each of the E entries that the histories are to get, one if not several were due in one call.
    """

    def __init__(self, networks: int) -> None:
        self.steps = 0
        self.totals: Host = np.zeros((1, networks, 0))
        self.first_bad = np.full(networks, -1)  # the first step whose loss or penalty was not finite, counted from 0

    def add(self, log: Host, finite: NDArray[np.bool_], step: int, *, entries: int = 1) -> None:
        """Add the log of steps of which the first was step `step` of the run. finite (n, K, 2): whether loss and penalty were.

        entries: to which the steps belong in equal parts; only the first call may have several.
        """
        sound = finite[..., 0] & finite[..., 1]
        if not sound.all():
            found = np.where(sound.all(0), -1, step + sound.argmin(0))
            self.first_bad = np.where(self.first_bad < 0, found, self.first_bad)
        whole = log if self.steps == 0 else np.concatenate([self.totals, log])
        with np.errstate(invalid="ignore", over="ignore"):
            self.totals = np.add.reduce(whole.reshape(entries, -1, *log.shape[1:]), axis=1)
        self.steps += len(log)


def new_entries(run: TrainingRun, held_out: Host | None, *, since: float) -> dict[str, Host]:
    """Return what an evaluation adds to the histories: values (E, K) for each column, of the E entries that are due.

    held_out: the log over the validation rows, None for none. since: the seconds that training had taken at the evaluation before; steps that
    were made in one call took equally long.
    """
    stepper, metric, totals = run.stepper, run.problem.task.metric, run.sums.totals
    entries = len(totals)
    steps = run.step - run.every * np.arange(entries - 1, -1, -1)
    seconds = np.linspace(since, run.seconds, entries + 1)[1:]
    when = {"epoch": steps / run.steps, "step": steps.astype(np.float64), "seconds": seconds}
    columns = {name: np.repeat(value[:, None], len(run.tracks), axis=1) for name, value in when.items()}
    columns["lr"] = run.tracks.rates(steps - 1)
    columns["loss"], columns[metric] = stepper.loss.means(totals, stepper.spread)
    if held_out is not None and stepper.validation is not None:
        columns["val_loss"], columns["val_" + metric] = stepper.loss.means(held_out[None], stepper.validation.spread)
        if run.named:
            columns["val_" + run.named] = stepper.validation.figures(
                run.problem.metric or run.named, stepper.tasks, stepper.population.scorer()
            )[None]
    if run.tracks.penalised.any() or "penalty" in run.tracks.columns:
        columns["penalty"] = totals[..., 2] / (run.sums.steps / entries) * stepper.penalty_share
    return columns


def outcomes_of(run: TrainingRun, indices: list[int], diverged: Mapping[int, Divergence], *, halted: str) -> list[Outcome]:
    """Return the outcomes of networks with these indices, which end now. diverged: where and why, of those that have. halted: the word of the halt that
    ends them, "" for none.
    """
    if not indices:
        return []
    tracks, stepper, patience, out = run.tracks, run.stepper, run.tracks.patience, []
    networks, histories = run.best.networks(stepper.population, indices), tracks.histories(indices)
    for k, parameters, history in zip(indices, networks, histories, strict=True):
        member, divergence = tracks.members[k], diverged.get(k)
        early = tracks.cool_start[k] >= 0 or (tracks.exhausted[k] and run.step < tracks.totals[k])
        stopped = "diverged" if divergence else halted or ("early" if early else "done")
        progress: FitState | None = None
        if member.resumable:
            state = {name: tensor[k].cpu().numpy().copy() for name, tensor in stepper.state.items()}
            figures = float(patience.best_figure[k]), int(patience.bad[k]), float(patience.factor[k])
            progress = FitState(stepper.steps_before + run.step, state, *figures)
        out.append(
            Outcome(
                number=member.number,
                parameters=parameters,
                history=history,
                best=int(tracks.best[k]),
                stopped=stopped,
                divergence=divergence,
                seconds=run.seconds,
                progress=progress,
                stepper=stepper.name,
                threads=run.threads,
            )
        )
    return out


def _teams(members: Sequence[Member]) -> NDArray[np.int64] | None:
    """Return the number of each network's team (K,): those of one kind (`Member.kind`) with `EarlyStopping.shared`; None for no team."""
    shared = [member.recipe.stopping is not None and member.recipe.stopping.shared for member in members]
    if not any(shared):
        return None
    known: dict[object, int] = {}
    return np.array([known.setdefault(member.kind if shared[k] else k, len(known)) for k, member in enumerate(members)])


def _team_means(values: Host, teams: NDArray[np.int64], counted: NDArray[np.bool_]) -> Host:
    """Return for each network the mean value of the networks of its team that count; its own where none does."""
    counts = np.bincount(teams[counted], minlength=teams.max() + 1)
    sums = np.bincount(teams[counted], weights=values[counted], minlength=teams.max() + 1)
    return np.where(counts[teams] > 0, sums[teams] / np.maximum(counts[teams], 1), values)
