"""Case 44 for many networks: what was stopped in the middle of a group goes on with the bits of what was never stopped."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets.cli import main
from manynets.search.candidates import Result
from manynets.steps import total_steps
from manynets.training import loop
from manynets.training.checkpoint import Checkpoint, checkpoint_files
from manynets.training.events import Advanced, Evaluated
from manynets.training.steppers.compiled import Compiled
from tests.candidates import train_candidates
from tests.cli.conftest import Call, call
from tests.reliability.sweeps import kill, written

__all__ = ["call"]

pytestmark = pytest.mark.usefixtures("blank_pictures")

X = np.random.default_rng(0).standard_normal((120, 4))
Y = (X[:, 0] + X[:, 1] ** 2 > 0.5).astype(np.int64)


def tries() -> list[tuple[mn.MLP, mn.Recipe]]:
    """Networks of several groups: optimizers, schedules, dropout, batch norm, early stopping, one that diverges, one that cannot be."""
    small = {"epochs": 5, "batch_size": 16}
    stopping = mn.EarlyStopping(patience=1, min_delta=0.02)
    out: list[tuple[mn.MLP, mn.Recipe]] = [
        (mn.MLP(hidden=(6,), dropout=p), mn.Recipe(optimizer=mn.Adam(lr=lr), seed=seed, schedule=mn.OneCycle(), **small))
        for p in (0.0, 0.3)
        for lr in (1e-3, 1e-1)
        for seed in (0, 1)
    ]
    out += [
        (
            mn.MLP(hidden=(5, 4), batch_norm=True),
            mn.Recipe(optimizer=mn.SGD(lr=lr, momentum=0.9), stopping=stopping, l2=1e-3, **small),
        )
        for lr in (1e-2, 1e-1, 1e30)
    ]
    out.append((mn.MLP(hidden=(4,)), mn.Recipe(optimizer=mn.NAdam(), gradient="autograd", **small)))
    out.append((mn.MLP(hidden=(4,)), mn.Recipe(epochs=1, batch_size=500)))
    return out


class Killed(BaseException):
    """What SIGKILL is to a process: nothing is done any more on the way out."""


def run(**more: Any) -> list[Result]:
    return train_candidates(X, Y, tries(), cv=2, validation=0.2, max_networks=3, progress=False, **more)


def assert_same(found: Sequence[Result], wanted: Sequence[Result]) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert (one.candidate, one.fold, one.stopped, one.best) == (other.candidate, other.fold, other.stopped, other.best)
        assert np.array_equal([one.loss, one.score], [other.loss, other.score], equal_nan=True)
        assert one.divergence == other.divergence
        assert (one.error is None) == (other.error is None)
        assert one.history.keys() == other.history.keys()
        for name in one.history.keys() - {"seconds"}:
            assert np.array_equal(one.history[name], other.history[name], equal_nan=True), name
        assert (one.parameters is None) == (other.parameters is None)
        if one.parameters is not None and other.parameters is not None:
            assert all(np.array_equal(one.parameters[name], value) for name, value in other.parameters.items())


@pytest.fixture(scope="module")
def whole() -> list[Result]:
    results = run()
    assert {result.stopped for result in results} == {"done", "early", "diverged", "failed"}
    return results


def killed_after(events: int) -> Callable[[Any], None]:
    left = [events]

    def callback(event: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    return callback


@pytest.mark.parametrize("every", [{"every_steps": 1}, {"every_steps": 7}, {"every_epochs": 1}, {"every_seconds": 0.001}])
def test_killed_again_and_again(every: dict[str, Any], whole: list[Result], tmp_path: Path) -> None:
    known: dict[tuple[int, int], Result] = {}
    kills = 0
    for number in range(1000):
        moment = 10**9 if number == 40 else 3 + 17 * (number % 3)  # in some rounds before anything is through
        try:
            results = run(
                checkpoint=Checkpoint(folder=tmp_path / "parts", **every),
                resume=tmp_path / "parts" if kills else None,
                finished=known,
                on_results=lambda found: known.update({(one.candidate, one.fold): one for one in found}),
                callbacks=[killed_after(moment)],
            )
        except Killed:
            kills += 1
            assert len(list((tmp_path / "parts").glob("part-*"))) == 1
            continue
        break
    assert kills > 3
    assert_same(results, whole)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("moment", [12, 40])
def test_at_most_the_steps_since_the_last_checkpoint_are_lost(moment: int, tmp_path: Path) -> None:
    """64 networks together: the run that resumes makes its first step at the last multiple of 5."""
    many = [(mn.MLP(hidden=(6,), dropout=0.2), mn.Recipe(epochs=8, batch_size=16, seed=seed)) for seed in range(64)]
    plain = mn.train_many(X, Y, many, scaling=False, progress=False)
    seen: list[int] = []

    def watch(event: Any) -> None:
        if isinstance(event, Advanced):
            seen.append(event.step)

    def stop(event: Any) -> None:
        if isinstance(event, Advanced) and event.step >= moment:
            raise Killed

    keep = Checkpoint(folder=tmp_path, every_steps=5)
    with pytest.raises(Killed):
        mn.train_many(X, Y, many, scaling=False, progress=False, checkpoint=keep, callbacks=[watch, stop])
    [part] = tmp_path.iterdir()
    newest = int(checkpoint_files(part)[0].stem.removeprefix("step-"))
    assert seen[-1] - 5 <= newest <= seen[-1]
    made: list[int] = []
    advance = loop.TrainingRun.advance
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.TrainingRun, "advance", lambda self, stop: made.append(self.step) or advance(self, stop))
        resumed = mn.train_many(X, Y, many, scaling=False, progress=False, checkpoint=keep, resume=tmp_path)
    assert made[0] == newest
    assert_same(resumed, plain)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_writes_a_checkpoint_and_is_gone_on_from(number: int, whole: list[Result], tmp_path: Path) -> None:
    def once(event: Any) -> None:
        if isinstance(event, Evaluated) and event.step >= 6 and not sent:
            sent.append(event.step)
            signal.raise_signal(number)

    sent: list[int] = []
    caught: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: caught.append(number))
    known: dict[tuple[int, int], Result] = {}
    try:
        with pytest.warns(mn.InterruptedWarning):
            stopped = run(checkpoint=Checkpoint(folder=tmp_path), callbacks=[once])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert caught == ([signal.SIGTERM] if number == signal.SIGTERM else [])
    [part] = tmp_path.iterdir()  # of the one that was being trained; those that waited have none
    assert len(checkpoint_files(part)) == 1
    known = {(one.candidate, one.fold): one for one in stopped if one.stopped not in ("interrupted", "early")}
    assert 0 < len(known) < len(whole)
    assert_same(run(resume=tmp_path, finished=known), whole)


def test_without_resume_an_earlier_training_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(checkpoint=Checkpoint(folder=tmp_path, every_steps=1), callbacks=[killed_after(5)])
    with pytest.raises(mn.OptionError, match="holds checkpoints of an earlier training; go on from them with resume="):
        run(checkpoint=Checkpoint(folder=tmp_path))
    [part] = tmp_path.iterdir()
    for file in checkpoint_files(part):
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(mn.ModelFileError, match=f"whole.*; remove .*{part.name} to train its 2 networks anew"):
        run(resume=tmp_path)


def test_parts_of_other_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(checkpoint=Checkpoint(folder=tmp_path, every_steps=1), callbacks=[killed_after(5)])
    with pytest.raises(mn.OptionError, match=r"holds checkpoints of another training: data.y is"):
        mn.train_many(X, 1 - Y, tries()[:2], scaling=False, progress=False, resume=tmp_path)


# --------------------------------------------------------------------------------------------------------- the command line

SWEEP = ("sweep", "moons", "--hidden", "6", "--epochs", "9", "--points", "200", "--batch-size", "16", "-q", "--at-most", "4")
GRID = ("--grid", "lr=1e-3:1e-1:log:3", "--grid", "dropout=0,0.2", "--seeds", "2")


@pytest.mark.parametrize(
    ("number", "more"),
    [
        (signal.SIGINT, ("--halving",)),
        (signal.SIGKILL, ("--halving",)),
        (signal.SIGKILL, ("--cv", "2", "--validation", "0.2", "--patience", "2")),
    ],
)
def test_a_sweep_stopped_in_mid_group(
    number: int, more: tuple[str, ...], call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(*SWEEP, *GRID, *more, "--out", "whole").code == 0
    advance, seen, ended = Compiled.advance, [0], [False]

    def stopping(self: Compiled, rates: Any, alive: Any) -> Any:
        made = advance(self, rates, alive)
        seen[0] += 1
        ended[0] = self.step == max(total_steps(member.recipe, self.batches.steps) for member in self.members)
        if seen[0] in moments:
            if number == signal.SIGINT:
                signal.raise_signal(number)
            else:
                raise Killed
        return made

    moments = {20, 45}
    monkeypatch.setattr(Compiled, "advance", stopping)
    words = [*SWEEP, *GRID, *more, "--out", "here", "--checkpoint-every", "5 steps"]
    for _ in moments:
        try:
            done = call(*words)
            assert done.code == 130
            kept = list(Path("here").glob("checkpoints/part-*/step-*.checkpoint"))
            under_way = ", those in training in here/checkpoints" if kept else ""
            saved = " in here/results.csv" if Path("here/results.csv").is_file() else ""
            assert f"networks are saved{saved}{under_way}; resume with the same command and --resume --out here" in done.err
        except Killed:
            assert number == signal.SIGKILL
        parts = [part for part in Path("here").glob("checkpoints/*") if checkpoint_files(part)]
        assert len(parts) == 1 - (number == signal.SIGINT and ended[0])  # a group that was through when it stopped has none
        if "--resume" not in words:
            words.append("--resume")
    assert call(*words).code == 0
    assert seen[0] > max(moments)
    assert written(Path("here")) == written(Path("whole"))


def test_the_best_model_of_a_sweep_goes_on_too(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    import manynets.cli.fit as module

    words = [*SWEEP, "--grid", "lr=1e-3,1e-1", "--out", "here", "--checkpoint-every", "5 steps"]
    assert call(*words[:-3], "whole").code == 0
    made: list[int] = []

    def train(*args: Any, **more: Any) -> mn.Model:
        def callback(event: Any) -> None:
            if isinstance(event, Advanced):
                made.append(event.step)
                if event.step > 20 and len(made) < 10**6 and not stopped:
                    stopped.append(event.step)
                    raise Killed

        resumed.append(more["resume"])
        return trained(*args, **more, callbacks=[callback])

    trained, stopped, resumed = mn.train, [], []
    monkeypatch.setattr(module.manynets, "train", train)
    with pytest.raises(Killed):
        call(*words)
    assert call(*words, "--resume").code == 0
    assert resumed[0] is None
    assert resumed[1] == Path("here/best.part/checkpoints")
    assert written(Path("here")) == written(Path("whole"))


def test_a_full_disk_at_the_end_is_told_with_how_to_end_the_sweep(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    import manynets.cli.fit as module

    def full(*args: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device", "here/best")

    words = [*SWEEP, "--grid", "lr=1e-3,1e-1", "--out", "here"]
    with monkeypatch.context() as patch:
        patch.setattr(module.runs, "write_run", full)
        done = call(*words)
    saved = "2 networks are saved in here/results.csv; resume with the same command and --resume --out here\n"
    assert (done.code, done.err) == (2, f"{saved}error: here/best: No space left on device\n")
    how = "end it with the command that began it, and --resume --out here\n"
    assert call("show", "here/best").err == f"error: the sweep in here has no best network yet; {how}"
    assert call(*words, "--resume").code == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize(
    "moments", [(1, 1, 25, 1), pytest.param((1, 1), marks=pytest.mark.slow), pytest.param((10**6, 1), marks=pytest.mark.slow)]
)
def test_the_best_model_killed_before_its_first_checkpoint(moments: Sequence[int], call: Call, tmp_path: Path) -> None:
    """Killed in earnest, so that nothing is cleared away; 10^6 is after the run was written, before its checkpoints are removed."""
    import manynets.cli.fit as module

    words = [*SWEEP, "--grid", "lr=1e-3,1e-1", "--out", "here", "--checkpoint-every", "5 steps"]
    assert call(*words[:-3], "whole").code == 0
    trained, write = mn.train, module.runs.write_run

    def killed(moment: int, more: Sequence[str]) -> None:
        def callback(event: Any) -> None:
            if isinstance(event, Advanced) and event.step >= moment:
                os.kill(os.getpid(), signal.SIGKILL)

        def written_and_killed(*args: Any, **more: Any) -> Path:
            write(*args, **more)
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError

        process = os.fork()
        if process:
            assert os.WTERMSIG(os.waitpid(process, 0)[1]) == signal.SIGKILL
            return
        module.manynets.train = lambda *args, **kwargs: trained(*args, **kwargs, callbacks=[callback])  # type: ignore[misc]
        module.runs.write_run = written_and_killed  # type: ignore[assignment]
        try:
            main([*words, *more])
        finally:
            os._exit(1)

    for number, moment in enumerate(moments):
        killed(moment, ["--resume"] if number else [])
    assert call(*words, "--resume").code == 0
    assert written(Path("here")) == written(Path("whole"))


def test_what_was_killed_while_it_wrote_is_cleared_away(call: Call) -> None:
    words = [*SWEEP, "--grid", "lr=1e-3,1e-1", "--out", "here"]
    assert call(*words).code == 0
    before = written(Path("here"))
    for name in (".best.abcdefgh.tmp", "checkpoints/part-0123456789abcdef"):
        Path("here", name).mkdir(parents=True)
    for name in ("results.csv", "lr.png", "parallel.png", "curves.png"):
        Path(f"here/.{name}.xyz_0123.tmp").write_text("half")
    assert written(Path("here"))["strange files"] != before["strange files"]
    assert call(*words, "--resume").code == 0
    assert written(Path("here")) == before


def test_memory_is_that_of_the_beginning(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many networks fit decides which are trained together, so sweep.json has the memory."""
    import json

    from manynets.cli import sweep_networks, sweeping

    words = [*SWEEP, "--grid", "lr=1e-3,1e-1", "--out", "here"]
    monkeypatch.setattr(sweeping, "memory_at_hand", lambda device: 12345678)
    assert call(*words).code == 0
    assert json.loads(Path("here/sweep.json").read_text())["memory"] == 12345678
    given: list[Any] = []
    train = sweep_networks.train_plan
    monkeypatch.setattr(
        sweep_networks, "train_plan", lambda *args, **more: given.append(more["memory_limit"]) or train(*args, **more)
    )
    monkeypatch.setattr(sweeping, "memory_at_hand", lambda device: 99)
    Path("here/results.csv").unlink()
    assert call(*words, "--resume").code == 0
    assert given == [12345678]


def kills(number: int, seed: int) -> None:
    figures = kill(number, seed)
    print(figures)
    assert figures["kills"] == number
    assert figures["failed"] == 0
    assert figures["differences"] == []
    assert figures["same bits"] == figures["sweeps"] > 0
    assert figures["in mid-group"] > 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_sweeps_killed_at_random() -> None:
    kills(40, 5)


def test_a_few_results_are_dataclasses() -> None:
    """`finished` is made by hand, from what was written down."""
    [one] = mn.train_many(X, Y, tries()[:1], scaling=False, progress=False)
    bare = Result(candidate=0, fold=0, spec=one.spec, recipe=one.recipe, task=one.task, stopped="done", score=one.score)
    assert train_candidates(X, Y, tries()[:1], progress=False, finished={(0, 0): bare}) == [bare]
    assert dataclasses.is_dataclass(bare)
