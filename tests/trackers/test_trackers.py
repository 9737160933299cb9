"""The trackers: what they write, read back with the packages themselves, offline."""

from __future__ import annotations

import copy
import csv
import importlib.util
import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import manynets as mn
from manynets.errors import MissingExtraError, OptionError
from manynets.trackers import TRACKERS, MLflow, TensorBoard, Tracker, WandB
from manynets.trackers.tracker import Sink
from tests.cli.conftest import Call, call, table  # noqa: F401  # fixtures

NEEDS_TENSORBOARD = pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="needs the extra tensorboard")
DATA = mn.datasets.load("xor", seed=0, points=60)
SPEC, RECIPE = mn.MLP(hidden=(4,)), mn.Recipe(epochs=3)


class Recorder(Sink):
    """Takes down all that it is to write."""

    def __init__(self) -> None:
        self.taken: dict[str, Any] = {}
        self.lines: dict[str, list[tuple[int, float]]] = {}
        self.results: dict[str, float] = {}
        self.files: dict[str, bytes] = {}
        self.tables: list[Any] = []
        self.closed: list[bool] = []

    def parameters(self, values: dict[str, Any]) -> None:
        self.taken |= values

    def curves(self, values: Any, *, step: int) -> None:
        for name, value in values.items():
            self.lines.setdefault(name, []).append((step, value))

    def metrics(self, values: Any) -> None:
        self.results |= values

    def picture(self, path: Path) -> None:
        self.files[path.name] = path.read_bytes()

    def file(self, path: Path) -> None:
        self.files[path.name] = path.read_bytes()

    def table(self, names: Any, rows: Any, path: Path) -> None:
        self.tables.append((names, rows))
        self.file(path)

    def close(self, *, failed: bool) -> None:
        self.closed.append(failed)


RUNS: list[Recorder] = []


class Recording(Tracker):
    @staticmethod
    def package() -> Any:
        return None

    def open(self) -> Sink:
        RUNS.append(Recorder())
        return RUNS[-1]


@pytest.fixture(autouse=True)
def no_runs() -> None:
    RUNS.clear()


def train(*callbacks: Tracker, **more: Any) -> mn.Model:
    options = {"validation": 0.2, "progress": False} | more
    return mn.train(DATA.X, DATA.y, SPEC, RECIPE, callbacks=callbacks, **options)


def test_one_network_has_the_curves_of_its_history() -> None:
    model = train(Recording())
    (run,) = RUNS
    for name in ("loss", "val_loss", "accuracy", "lr"):
        assert [value for _, value in run.lines[name]] == model.history[name]
    assert (run.taken["hidden"], run.taken["optimizer"], run.taken["lr"], run.taken["n_networks"]) == ("4", "AdamW", RECIPE.lr, 1)
    assert run.tables == []
    assert run.closed == [False]


def test_networks_that_predict_together_have_means_and_a_table() -> None:
    model = train(Recording(), n_networks=3, validation="folds")
    (run,) = RUNS
    for name in ("val_loss", "val_loss_std"):
        assert [value for _, value in run.lines[name]] == pytest.approx(model.history[name], rel=1e-12)
    ((names, rows),) = run.tables
    assert [row[names.index("seed")] for row in rows] == [0, 1, 2]
    assert np.mean([row[names.index("val_loss")] for row in rows]) == pytest.approx(model.history["val_loss"][-1], rel=1e-12)
    assert "seed" not in run.taken
    assert [line[0] for line in csv.reader(run.files["networks.csv"].decode().splitlines())] == ["network", "0", "1", "2"]


def test_candidates_have_the_best_so_far_and_a_table() -> None:
    candidates = [(mn.MLP(hidden=(h,)), mn.Recipe(epochs=2, optimizer=mn.Adam(lr=lr))) for h in (2, 3) for lr in (0.1, 0.01)]
    mn.train_many(DATA.X, DATA.y, candidates, validation=0.2, progress=False, callbacks=[Recording()])
    (run,) = RUNS
    best = [value for _, value in run.lines["best_val_accuracy"]]
    assert best == sorted(best)
    assert [step for step, _ in run.lines["best_val_accuracy"]] == list(range(1, len(best) + 1))
    ((names, rows),) = run.tables
    assert [(row[names.index("hidden")], row[names.index("lr")]) for row in rows] == [
        ("2", 0.1),
        ("2", 0.01),
        ("3", 0.1),
        ("3", 0.01),
    ]
    assert max(row[names.index("val_accuracy")] for row in rows) <= best[-1]


def test_candidates_of_several_networks_have_the_best_pooled_result() -> None:
    """Not that of the luckiest network."""
    candidates = [(SPEC, mn.Recipe(epochs=2, optimizer=mn.Adam(lr=lr), seed=seed)) for lr in (0.1, 0.01) for seed in range(4)]
    events: list[Any] = []
    mn.train_many(DATA.X, DATA.y, candidates, validation=0.2, progress=False, callbacks=[Recording(), events.append])
    (run,) = RUNS
    evaluated = [one for one in events if isinstance(one, mn.Evaluated)]
    at_best = {n: (one.best["val_loss"][k], one.best["val_accuracy"][k]) for one in evaluated for k, n in enumerate(one.numbers)}
    networks = np.array([at_best[number] for number in range(8)]).reshape(2, 4, 2)
    loss, accuracy = min(networks.mean(axis=1).tolist())
    assert run.lines["best_val_loss"][-1][1] == pytest.approx(loss, rel=1e-12)
    assert run.lines["best_val_accuracy"][-1][1] == pytest.approx(accuracy, rel=1e-12)
    assert accuracy < networks[..., 1].max()
    last = {n: one.columns["val_loss"][k] for one in evaluated for k, n in enumerate(one.numbers)}
    leader = int(networks[..., 0].mean(axis=1).argmin())
    curve = run.lines["val_loss"]
    assert curve[-1][1] == pytest.approx(np.mean([last[4 * leader + seed] for seed in range(4)]), rel=1e-12)
    steps = [step for step, _ in curve]
    assert steps == sorted(set(steps))


def test_the_default_for_tables_has_the_curves_of_its_networks() -> None:
    events: list[Any] = []
    mn.TabularClassifier(n_networks=2, random_state=0, callbacks=[Recording(), events.append]).fit(DATA.X, DATA.y)
    (run,) = RUNS
    evaluated = [one for one in events if isinstance(one, mn.Evaluated)]
    assert [step for step, _ in run.lines["val_loss"]] == [one.step for one in evaluated]
    first = evaluated[0].columns["val_loss"].reshape(-1, 2).mean(axis=1)  # of the two ensembles
    assert run.lines["val_loss"][0][1] == pytest.approx(first.min(), rel=1e-12)
    assert run.lines["val_loss_std"]


def test_log_adds_model_metrics_and_pictures_while_the_run_is_open(tmp_path: Path) -> None:
    tracker = Recording()
    with tracker:
        model = train(tracker)
        tracker.log(model, metrics={"test": model.evaluate(DATA.X, DATA.y)})
        assert RUNS[0].closed == []
    (run,) = RUNS
    assert run.closed == [False]
    assert run.results["test/accuracy"] == model.evaluate(DATA.X, DATA.y)["accuracy"]
    assert run.files["history.png"].startswith(b"\x89PNG")
    (tmp_path / "model.safetensors").write_bytes(run.files["model.safetensors"])
    assert np.array_equal(mn.load(tmp_path / "model.safetensors").predict(DATA.X), model.predict(DATA.X))
    with pytest.raises(OptionError, match="no open run"):
        tracker.log(model)


def test_a_run_that_breaks_off_has_failed() -> None:
    tracker = Recording()

    def breaks_off() -> None:
        with tracker:
            tracker(mn.Started(1, 10, 1, "accuracy"))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        breaks_off()
    tracker(mn.Started(1, 10, 1, "accuracy"))
    tracker(mn.Started(1, 10, 1, "accuracy"))
    assert [run.closed for run in RUNS] == [[True], [True], []]


@pytest.mark.parametrize("kind", TRACKERS.values(), ids=TRACKERS)
def test_copies_have_the_settings(kind: type[Tracker]) -> None:
    tracker = kind(name="houses")
    assert pickle.loads(pickle.dumps(tracker)) == copy.deepcopy(tracker) == tracker
    assert clone(mn.MLPClassifier(callbacks=[tracker])).callbacks == [tracker]
    with pytest.raises(OptionError, match="name is 'a/b'"):
        kind(name="a/b")


@pytest.mark.parametrize(("name", "module"), [("tensorboard", "tensorboard"), ("mlflow", "mlflow"), ("wandb", "wandb")])
def test_a_missing_package_is_named(name: str, module: str, monkeypatch: pytest.MonkeyPatch, call: Call, table: Path) -> None:  # noqa: F811
    monkeypatch.setitem(sys.modules, module, None)
    for name_of_part in [part for part in sys.modules if part.startswith(("torch.utils.tensorboard", f"{module}."))]:
        monkeypatch.delitem(sys.modules, name_of_part)
    monkeypatch.delattr(torch.utils, "tensorboard", raising=False)
    with pytest.raises(MissingExtraError, match=rf"pip install 'manynets\[{name}\]'"):
        TRACKERS[name].package()
    found = call("train", table, "--target", "price", "--track", name)
    assert (found.code, f"manynets[{name}]" in found.err) == (2, True)


def test_a_server_that_cannot_be_reached_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch,
    call: Call,  # noqa: F811
    table: Path,  # noqa: F811
) -> None:
    def refuse(self: TensorBoard) -> Sink:
        raise RuntimeError("no answer\nfrom 127.0.0.1")

    monkeypatch.setattr(TensorBoard, "open", refuse)
    monkeypatch.setattr(TensorBoard, "package", staticmethod(object))
    found = call("train", table, "--target", "price", "--preset", "plain", "--epochs", "1", "--track", "tensorboard", "--quiet")
    assert (found.code, found.err) == (2, "error: the tracker TensorBoard cannot begin a run: no answer from 127.0.0.1\n")


def test_an_unknown_tracker_is_refused_before_the_data_are_read(call: Call) -> None:  # noqa: F811
    found = call("train", "xor", "--track", "wandbb")
    assert (found.code, "'wandb'" in found.err) == (2, True)


# ------------------------------------------------------------------------------------------------------- the packages themselves


def scalars(folder: Path) -> dict[str, list[float]]:
    """Return the curves in the event files of a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {name: [one.value for one in events.Scalars(name)] for name in events.Tags()["scalars"]}


@NEEDS_TENSORBOARD
def test_tensorboard(tmp_path: Path) -> None:
    tracker = TensorBoard(folder=tmp_path, name="xor")
    with tracker:
        model = train(tracker)
        tracker.log(model, metrics={"test": {"accuracy": 0.5}})
    train(tracker)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["xor", "xor-2"]
    found = scalars(tmp_path / "xor")
    assert found["val_loss"] == pytest.approx(model.history["val_loss"], rel=1e-6)
    assert found["test/accuracy"] == [0.5]
    assert (tmp_path / "xor" / "model.safetensors").is_file()


@NEEDS_TENSORBOARD
def test_a_search_writes_a_run_for_each_fit(tmp_path: Path) -> None:
    tracker = TensorBoard(folder=tmp_path, name="fit")
    estimator = mn.MLPClassifier(hidden_layer_sizes=(3,), max_iter=2, callbacks=[tracker], random_state=0)
    with warnings.catch_warnings(action="ignore"):  # two epochs do not converge
        GridSearchCV(estimator, {"learning_rate_init": [0.1, 0.01]}, cv=2, refit=False).fit(DATA.X, DATA.y)
    assert len(list(tmp_path.iterdir())) == 4


@NEEDS_TENSORBOARD
def test_the_commands_track(call: Call, table: Path, tmp_path: Path) -> None:  # noqa: F811
    options = ("--target", "price", "--preset", "plain", "--epochs", "2", "--quiet", "--drop", "id,kind")
    assert call("train", table, *options, "--out", "runs/one", "--track", "tensorboard").code == 0
    assert scalars(tmp_path / "runs" / "tensorboard" / "one")["test/r2"]
    assert (tmp_path / "runs" / "tensorboard" / "one" / "model.safetensors").is_file()
    assert call("sweep", table, *options, "--grid", "lr=0.1,0.01", "--out", "runs/two", "--track", "tensorboard").code == 0
    folder = tmp_path / "runs" / "tensorboard" / "two"
    assert len(scalars(folder)["score"]) == 2
    assert {"networks.csv", "results.csv", "model.safetensors"} <= {path.name for path in folder.iterdir()}
    assert call("rerun", "runs/one").code == 0


@pytest.mark.slow
def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    with warnings.catch_warnings(action="ignore"):  # of its own code
        mlflow = pytest.importorskip("mlflow", reason="needs the extra mlflow")
        tracker = MLflow(tracking_uri=str(tmp_path), experiment="tests", name="xor")
        with tracker:
            model = train(tracker, n_networks=2)
            tracker.log(model, metrics={"test": {"accuracy": 0.5}})
        client = mlflow.MlflowClient(tracking_uri=str(tmp_path))
        experiment = client.get_experiment_by_name("tests")
        (run,) = client.search_runs([experiment.experiment_id])
        assert (run.info.run_name, run.info.status) == ("xor", "FINISHED")
        assert (run.data.params["hidden"], run.data.metrics["test/accuracy"]) == ("4", 0.5)
        curve = [one.value for one in client.get_metric_history(run.info.run_id, "val_loss")]
        assert curve == pytest.approx(model.history["val_loss"], rel=1e-12)
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert {"networks.csv", "model.safetensors", "pictures"} == files


@pytest.mark.slow
def test_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "own"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with warnings.catch_warnings(action="ignore"):  # of its own code
        wandb = pytest.importorskip("wandb", reason="needs the extra wandb")
        tracker = WandB(folder=tmp_path, name="xor")
        with tracker:
            model = train(tracker, n_networks=2)
            tracker.log(model, metrics={"test": {"accuracy": 0.5}})
        wandb.teardown()  # waits until all is written
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    (records,) = folder.glob("run-*.wandb")
    content = records.read_bytes()
    for text in (b"val_loss_std", b"hidden", b"model.safetensors", b"test/accuracy"):
        assert text in content
    assert list((folder / "files" / "media" / "images").glob("history*.png"))
    assert list((folder / "files" / "media" / "table").glob("networks*.json"))
