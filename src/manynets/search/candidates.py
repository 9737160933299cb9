"""`train_many`: candidates that may differ in anything, trained together on shared rows, folds or bootstraps."""

from __future__ import annotations

import dataclasses
import numbers
import os
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets.data.batches import row_weights
from manynets.data.check import as_matrix, as_weights, is_frame, rows_with_weight
from manynets.data.duplicates import report_copies
from manynets.data.stream.limit import memory_bytes
from manynets.display import short
from manynets.encoding import array_scaling, embedded_columns, needs_encoder
from manynets.errors import DataError, ManynetsError, OptionError, warned_once
from manynets.given import check_lengths, named_splits, own_validation, read_given, targets_by_name
from manynets.plan import starting_parameters
from manynets.prepare import Split, SplitBy, TrainingData, copies_held_out, cv_splits
from manynets.progress import Show, progress_callbacks
from manynets.recorded import Recorded
from manynets.results import system_of
from manynets.search.groups import DataGroup, FoldRows, SharedData, stacked, train_groups
from manynets.search.processes import Results, Scores, count_processes, pieces_of, tested_scores, train_pieces
from manynets.search.result import NO_SCORES, Candidate, PlannedNetwork, Result, judged, result_of, warn_of_interrupted
from manynets.search.resuming import check_recorded, weightless_recorded
from manynets.search.streamed import train_many_streamed
from manynets.spec import MLP, LossName, Recipe
from manynets.targets import Target, find_target
from manynets.tasks import Regression, Task
from manynets.tasks.objectives import OwnLoss
from manynets.train_arguments import check_callbacks, check_n_jobs, check_patterns, with_one_loss
from manynets.training.checkpoint import Checkpoint, GroupCheckpoints
from manynets.training.events import Callback
from manynets.training.groups import check_limits, train_what_can
from manynets.training.signals import Halt, listening
from manynets.training.trial import Member

if TYPE_CHECKING:
    from manynets.tables import TableEncoder
    from manynets.tables.scaling import Scaling

__all__ = ["Candidate", "CandidatePlan", "Result", "plan_candidates", "train_many", "train_plan"]

ByFold: TypeAlias = tuple[int, int]  # candidate, fold


def train_many(
    X: Any,
    y: Any = None,
    candidates: Sequence[Candidate] = (),
    *,
    target: str | Sequence[str] | None = None,
    cv: Any = None,
    groups: Any = None,
    times: Any = None,
    stratify: Any = None,
    sample_weight: Any = None,
    task: str | Task | None = None,
    validation: Any = None,
    encoder: TableEncoder | None = None,
    scaling: Scaling | Literal[False] | None = None,
    category_means: bool = False,
    loss: LossName | OwnLoss | None = None,
    progress: Show = "auto",
    callbacks: Sequence[Callback] = (),
    n_jobs: int | None = None,
    memory_limit: int | str | None = None,
    checkpoint: Checkpoint | None = None,
    resume: str | os.PathLike[str] | None = None,
) -> list[Result]:
    """Train every candidate on every fold, as many at once as can share their steps; return results, candidates x folds.

    X, y, target, task, encoder, scaling, category_means: as for `manynets.train`. candidates: pairs (MLP, Recipe), which may differ in anything. Networks with the
    same shape, kind of optimizer, batch size and number of steps share each step; everything else is a vector over them.
    cv: None (train on all rows, test on none: `score` is NaN, and `Result.row` has what the validation rows say); a number (rows are dealt
        at random, each class evenly); a splitter such as scikit-learn's, which is given `groups`; or pairs (training rows, test rows) of
        row numbers, possibly repeated, or of masks.
    groups, times, stratify: columns (N,) that say how rows are split, by a number as cv and by a fraction as validation: a group is
        never on both sides; the later rows are held out, and tested after training on all before them; both sides get the same
        share of each value of stratify, in place of each class. Each may be the name of a column of the table X, as for `manynets.train`.
    sample_weight: (N,), how much each row counts, or (C, N) for weights by candidate. No network visits rows of its weight 0; those by candidate
        have no say in folds and scaling, which all candidates share.
    loss: of all candidates, a name or a function of your own, as for `manynets.train`.
    validation: None; a fraction of each fold's training rows, split by the recipe's seed; or a set (X, y) or (X, y, sample_weight).
    n_jobs: processes of joblib's backend among which the networks are divided, or the threads of this one, as for `MLPSearchCV`; within
        `joblib.parallel_config("dask")` the workers of a cluster. With processes there are no checkpoints.
    callbacks: functions that are called with each event (`mn.Event`). With processes they get no `Evaluated`, and `Advanced` only when a group
        of networks is finished, as the progress does; the curves are in `Result.model.history`.
    memory_limit: bytes, or such as "2GB"; networks that would take more are trained in parts, one after the other. Where X is the path of
        a table whose rows would take more, they are streamed, as in `manynets.train`: the networks of one shape share a stream, without
        cv, n_jobs, checkpoint and resume, and validation is a fraction of the rows, the same ones for all candidates.
    checkpoint: where and how often to write the state of the part that is being trained, in a subfolder that is removed once the
        part is finished. resume: a folder of such parts, to continue from as if nothing had happened; parts of other networks or data are an OptionError.
        With one of them, folds and seeds that have a copy of the rows each are trained in turn; without, several of them at once. The
        weights are the same but for rounding, and so are losses and scores, whose sums over padded rows differ in the last digits.

    Each result equals that of `train(X[rows], y[rows], spec, recipe, task=task, ...)`, where classes are those of the whole y.
    The columns of a frame or an array are scaled, and a regression target is standardised, by the training rows of each fold. So each fold
    has a copy of the rows, and with a fraction for validation each seed has one. With scaling=False an array is shared by all: its rows
    are gathered by index and never copied, which takes less memory where there are many folds or seeds. A frame is shared where an
    `encoder` is given. Then the target is standardised by all rows that any of the networks trains on, unless task is a `Regression` of your own.

    The results of a candidate that does not fit the data, or the memory, have the error, and those of one whose loss was not
    finite the divergence; the others are complete. Ctrl-C ends the unfinished networks as "interrupted" (in other processes without a
    model), with an InterruptedWarning; with a checkpoint, SIGTERM writes it before the process ends. A callback that raises StopIteration
    ends them in the same way, but as "callback" and without the warning.
    Raises DataError and OptionError for data and options with which no candidate can be trained.

    >>> import manynets as mn
    >>> X, y = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 3
    >>> tries = [(mn.MLP(hidden=(8,)), mn.Recipe(optimizer=mn.Adam(lr=lr), epochs=2)) for lr in (0.01, 0.1)]
    >>> [(r.candidate, r.fold, r.stopped) for r in mn.train_many(X, y, tries, cv=2, progress=False)]
    [(0, 0, 'done'), (0, 1, 'done'), (1, 0, 'done'), (1, 1, 'done')]
    """
    if isinstance(memory_limit, str):
        memory_limit = memory_bytes(memory_limit)
    check_limits(memory_limit=memory_limit)
    check_callbacks(callbacks)
    check_n_jobs(n_jobs)
    if isinstance(X, str | os.PathLike) and memory_limit is not None:
        refused: dict[str, Any] = {"y": y, "cv": cv, "times": times, "stratify": stratify, "encoder": encoder}
        refused |= {"n_jobs": n_jobs, "checkpoint": checkpoint, "resume": resume}
        found = train_many_streamed(
            X, *with_one_loss(_checked(candidates), loss), target=target, sample_weight=sample_weight, groups=groups, memory_limit=memory_limit,
            task=task, validation=validation, scaling=scaling, category_means=category_means, progress=progress, callbacks=callbacks,
            refused=refused,
        )  # fmt: skip
        if found is not None:
            return found
    X, y, sample_weight, _ = read_given(X, y, target, sample_weight, drop_missing_target=False)
    y, validation, names = targets_by_name(y, validation, target)
    columns, left_out = named_splits(X, {"groups": groups, "times": times, "stratify": stratify}, encoder)
    declared = {"category_means": category_means, "target_names": names, **({"drop": left_out} if left_out else {})}
    with warned_once():
        plan = plan_candidates(
            X, y, candidates, cv=cv, **columns, sample_weight=sample_weight, task=task, validation=validation, encoder=encoder,
            scaling=scaling, declared=declared, resume=resume, loss=loss,
        )  # fmt: skip
        check_recorded(plan.networks, len(plan.networks) + len(plan.failed), plan.recorded)
        return train_plan(
            plan,
            progress=progress,
            callbacks=callbacks,
            n_jobs=n_jobs,
            memory_limit=memory_limit,
            checkpoint=checkpoint,
            resume=resume,
        )


# ------------------------------------------------------------------------------------------------------------------ planning


@dataclasses.dataclass(frozen=True, eq=False)
class CandidatePlan:
    """The networks of `train_many` in groups, and the results of the candidates that the data rule out. recorded: by checkpoints to resume from.

    A network's number is candidate * number of folds + fold.
    """

    folds: Sequence[Split]
    groups: Sequence[DataGroup]
    failed: Sequence[Result]
    recorded: Recorded

    @property
    def networks(self) -> dict[int, PlannedNetwork]:
        """The networks by their numbers."""
        return {
            member.number: PlannedNetwork(*divmod(member.number, len(self.folds)), member, group.data)
            for group in self.groups
            for member in group.members
        }


def plan_candidates(
    X: Any,
    y: Any,
    candidates: Sequence[Candidate],
    *,
    cv: Any = None,
    groups: Any = None,
    times: Any = None,
    stratify: Any = None,
    sample_weight: Any = None,
    task: str | Task | None = None,
    validation: Any = None,
    encoder: TableEncoder | None = None,
    scaling: Scaling | Literal[False] | None = None,
    declared: Mapping[str, Any] | None = None,
    split_seed: int | None = None,
    one_encoder: bool = False,
    resume: str | os.PathLike[str] | None = None,
    standardise_by_all: bool = False,
    loss: LossName | OwnLoss | None = None,
) -> CandidatePlan:
    """Return the networks that `train_many` trains, with their data; the arguments are its, and some of `manynets sweep`.

    declared: more options of `manynets.tables.fit_encoder`. split_seed: splits the training rows of a fold in the same way for all networks, which then
    share one encoded copy. one_encoder: whether they share one whose encoder is fitted to the rows that they validate on, too.
    standardise_by_all: whether all rows standardise a regression target, as in version 0.1, not only those that are trained on.
    """
    (pairs, function), recorded = with_one_loss(_checked(candidates), loss), Recorded(resume)
    scaling = (scaling or None) if encoder is not None else array_scaling(X, scaling, recorded)
    if not is_frame(X):
        fitted_to = any(needs_encoder(X, encoder, spec.embedding, scaling=scaling) for spec, _ in pairs)
        X = as_matrix(X, columns=None if encoder is None else encoder.width, gaps=fitted_to)
    target = find_target(y, task)
    check_lengths(X, len(target))
    if not isinstance(task, Task):
        standardise_by_all = standardise_by_all or recorded.has_task(target.task)
    own, fraction = _own_or_fraction(validation)
    by = _checked_split(len(X), cv, fraction, groups=groups, times=times, stratify=stratify)
    common, each = _weights(sample_weight, len(X), len(pairs))
    rows = dataclasses.replace(_folds(target, cv, fraction, by, common, recorded, X=X, y=y, groups=groups), seed=split_seed)
    data = SharedData(
        X, y, rows, {recipe.seed for _, recipe in pairs},
        standardised=isinstance(target.task, Regression) and not isinstance(task, Task), by_all=standardise_by_all, one_encoder=one_encoder,
        options={"validation": own, "sample_weight": common, "encoder": encoder, "loss": function},
        encoding={"scaling": scaling, "declared": declared},
    )  # fmt: skip
    older = each is not None and weightless_recorded(rows, [recipe.seed for _, recipe in pairs], each, recorded)
    failed = []
    for c, (spec, recipe) in enumerate(pairs):
        weight = None if each is None else each[c]
        for f, fold in enumerate(rows.folds):
            split, own_spec = rows.of(f, recipe.seed), spec
            try:
                group = data.group(spec, recipe, f, split)
                _check_weights(group.data, split, fold, weight, fold_number=f)
                own_spec = embedded_columns(spec, group.data.encoder)
                trained = split.train if older else rows_with_weight(split.train, weight)
                initial = starting_parameters(own_spec, recipe, group.data, trained, weight)
            except (ManynetsError, MemoryError) as error:
                result = Result(candidate=c, fold=f, spec=own_spec, recipe=recipe, task=target.task, stopped="failed", error=error)
                failed.append(judged(result, fold.held_out))
            else:
                number, tested = c * len(rows.folds) + f, fold.held_out
                group.members.append(
                    Member(number, own_spec, recipe, initial, trained, split.held_out, weight=weight, test_rows=tested)
                )
    planned = CandidatePlan(rows.folds, [one for one in data.found.values() if isinstance(one, DataGroup)], failed, recorded)
    if not planned.groups:
        raise next(one for one in data.found.values() if isinstance(one, ManynetsError))
    _warn_of_copies(planned)
    return planned


def _folds(
    target: Target,
    cv: Any,
    fraction: float | None,
    by: SplitBy | None,
    weight: NDArray[np.float64] | None,
    recorded: Recorded,
    **options: Any,
) -> FoldRows:
    """Return the folds, and the rows that each trains and validates on, without those of weight 0."""
    folds = cv_splits(target, cv, by=by, weight=weight, **options)
    if recorded.identities and weight is not None and not weight.all():
        older = cv_splits(target, cv, by=by, **options) if isinstance(cv, int | np.integer) else folds
        if any(recorded.has_rows(fold.train) for fold in older):
            folds, weight = older, None
    return FoldRows(folds, target, fraction=fraction, by=by, weight=weight)


def _own_or_fraction(validation: Any) -> tuple[tuple[Any, ...] | None, float | None]:
    """Return the validation set, or the fraction of each fold's training rows, that was given."""
    own = own_validation(validation)
    if own is not None or validation is None:
        return own, None
    if isinstance(validation, bool) or not isinstance(validation, numbers.Real):
        raise OptionError(
            f"validation is {short(validation)}, but must be None, a fraction of each fold's training rows, or a set (X, y)"
        )
    return None, float(validation)


def _warn_of_copies(planned: CandidatePlan) -> None:
    """Warn of rows to test on, or without these to validate on, that are identical to one that is trained on."""
    shared, total, networks = 0, 0, planned.networks
    first = min((one.candidate for one in networks.values()), default=0)  # its rows are like those of all
    for group in planned.groups:
        members = [member for member in group.members if networks[member.number].candidate == first]
        splits = [planned.folds[networks[member.number].fold] for member in members]
        if all(split.held_out is None for split in splits):
            splits = [Split(member.rows, member.validation_rows) for member in members]
        if members:
            found = copies_held_out(group.data, splits)
            shared, total = shared + found[0], total + found[1]
    report_copies(shared, total, what="held-out")


def _checked_split(rows: int, cv: Any, fraction: float | None, **columns: Any) -> SplitBy | None:
    """Return how the rows are split, None for at random or by a splitter; OptionError for columns that no split asks for."""
    given = [name for name, column in columns.items() if column is not None]
    if not given:
        return None
    if fraction is not None or isinstance(cv, int | np.integer):
        return SplitBy.of(rows, **columns)
    if given != ["groups"] or not hasattr(cv, "split"):
        raise OptionError(
            f"{given[0]} says how to split the rows, which needs a number of folds as cv or a fraction as validation"
            + (", or a splitter such as GroupKFold as cv" if given == ["groups"] else "")
        )
    return None


def _check_weights(data: TrainingData, split: Split, fold: Split, own: NDArray[np.float64] | None, *, fold_number: int) -> None:
    """Raise DataError for a fold whose rows to train, validate or test on all have the weight 0."""
    weights = row_weights(data.problem.rows, [own])
    if weights is None:
        return
    weight = weights[0].cpu().numpy()
    for part, what in ((split.train, "training"), (split.held_out, "validation"), (fold.held_out, "test")):
        if part is not None and not weight[part].any():
            raise DataError(f"sample_weight is zero for all {len(part)} {what} rows of fold {fold_number}; at least one must count")


def _checked(candidates: Sequence[Candidate]) -> list[Candidate]:
    pairs = list(candidates)
    for number, pair in enumerate(pairs):
        good = isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], MLP) and isinstance(pair[1], Recipe)
        if not good:
            raise OptionError(
                f"candidate {number} is {short(pair)}, but candidates must be a list of tuples (MLP, Recipe); a module of your own is"
                " trained by manynets.train"
            )
    if not pairs:
        raise OptionError("candidates is empty; give at least one pair (MLP, Recipe)")
    check_patterns(pairs)
    return pairs


def _weights(sample_weight: Any, rows: int, candidates: int) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return weights (N,) for all candidates, or (C, N) by candidate."""
    if sample_weight is None or np.ndim(sample_weight) < 2:
        return as_weights(sample_weight, rows), None
    table = np.asarray(sample_weight, dtype=np.float64)
    if table.shape != (candidates, rows):
        raise DataError(
            f"sample_weight has shape {table.shape}, but must be ({rows},), or ({candidates}, {rows}): a line for each candidate"
        )
    lines = [as_weights(line, rows, what=f"sample_weight of candidate {c}") for c, line in enumerate(table)]
    return None, np.stack(lines)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------------------ training


def train_plan(
    planned: CandidatePlan,
    *,
    progress: Show = "auto",
    callbacks: Sequence[Callback] = (),
    n_jobs: int | None = None,
    memory_limit: int | None = None,
    checkpoint: Checkpoint | None = None,
    resume: str | os.PathLike[str] | None = None,
    max_networks: int | None = None,
    on_results: Callable[[Sequence[Result]], None] | None = None,
    finished: Collection[ByFold] = (),
) -> list[Result]:
    """Train what `plan_candidates` planned; see `train_many` for the results and the arguments that it shares.

    max_networks: in a part. on_results: called with the results of a part as soon as it is finished, and only then is its folder
        of checkpoints removed.
    finished: candidates and folds whose results an earlier call's on_results was given, and which are left out. The parts are cut as
        with them, so the other results have the same bits as in a single call (same machine, versions, thread count and memory_limit).
    """
    if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
        raise OptionError(f"checkpoint is {checkpoint!r}, but must be a Checkpoint, such as Checkpoint(folder='many')")
    check_limits(memory_limit=memory_limit, max_networks=max_networks)
    parts = GroupCheckpoints(checkpoint, resume) if checkpoint is not None or resume is not None else None
    results: dict[ByFold, Result] = {}

    def collect(found: Sequence[Result]) -> None:
        found = [result for result in found if (result.candidate, result.fold) not in finished]
        results.update({(result.candidate, result.fold): result for result in found})
        if on_results is not None and found:
            on_results(found)

    collect(planned.failed)
    halt, networks = Halt(), planned.networks
    known = [number for number, one in networks.items() if (one.candidate, one.fold) in finished]

    def told(found: Results, scores: Scores) -> None:
        collect([result_of(one, networks[one.number], scores=scores.get(one.number, NO_SCORES)) for one in found])

    def train_group(group: DataGroup, listeners: Sequence[Callback]) -> None:
        problem, members = group.data.problem, group.members
        jobs = count_processes(problem, members, n_jobs)
        if jobs and parts is not None:
            raise OptionError("checkpoint and resume are for networks that this process trains; leave them out, or n_jobs")
        if not jobs:
            with listening(halt, (signal.SIGINT,) if checkpoint is None else (signal.SIGINT, signal.SIGTERM)):
                train_what_can(
                    problem,
                    members,
                    callbacks=listeners,
                    memory_limit=memory_limit,
                    at_most=max_networks,
                    told=lambda found: told(found, tested_scores(problem, members, found)),
                    halt=halt,
                    keep=None if parts is None else lambda members: parts.keeper(problem, members, system_of(group.data)),
                    known=known,
                )
        elif not halt.asked:
            pieces = pieces_of(problem, members, jobs, at_most=max_networks)
            pieces = [piece for piece in pieces if not all(member.number in known for member in piece)]
            try:
                for found in train_pieces(
                    problem, pieces, n_jobs=n_jobs, halt=halt, callbacks=listeners, memory_limit=memory_limit
                ):
                    told(*found)
            except KeyboardInterrupt:
                halt.asked, halt.signal = True, signal.SIGINT

    groups = planned.groups if parts is not None else stacked(planned.groups)  # a checkpoint is of a group as it was planned
    train_groups(groups, train_group, callbacks=[*progress_callbacks(progress), *callbacks])
    if halt.signal == signal.SIGTERM:
        signal.raise_signal(signal.SIGTERM)
    if halt.asked:
        for number in networks.keys() - set(known):  # what other processes did not end
            one = networks[number]
            results.setdefault((one.candidate, one.fold), result_of(None, one, halted=halt.word))
    if halt.signal is not None:
        warn_of_interrupted(results.values())
    return [results[place] for place in sorted(results)]
