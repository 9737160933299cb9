"""What a run shows while it trains, and that it is what the final table says."""

from __future__ import annotations

import io
import itertools
import re
import sys
import types
from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets.display import number_text
from manynets.prepare import network_splits, prepare
from manynets.progress import in_notebook, progress_callbacks
from manynets.training.events import Callback, Relay

X = np.random.default_rng(0).normal(size=(128, 3))
LABELS = np.where(X[:, 0] + X[:, 1] + np.random.default_rng(1).normal(size=128) > 0, "yes", "no")
PRICE = 50_000 * X[:, 0] + 9_000 * X[:, 1] ** 2 + 1e6
SPEC = mn.MLP(hidden=(8,))


def shown(capsys: pytest.CaptureFixture[str], y: Any, **options: Any) -> tuple[str, mn.Model]:
    """Return the last line that a training prints, and its model."""
    capsys.readouterr()
    recipe = mn.Recipe(epochs=12, optimizer=mn.Adam(lr=0.05))
    model = mn.train(X, y, SPEC, options.pop("recipe", recipe), scaling=False, progress=True, **options)
    return capsys.readouterr().err.splitlines()[-1], model


def out_of_fold(model: mn.Model, y: Any) -> dict[str, Any]:
    problem = prepare(X, y, mn.Recipe(), task=model.task).problem
    scores = model.logits(X)
    for one, split in zip(scores, network_splits(problem, model.size, seed=0), strict=True):
        scores[0][split.held_out] = one[split.held_out]
    return model.figures(scores[0], y)


def test_one_network(capsys: pytest.CaptureFixture[str]) -> None:
    line, model = shown(capsys, LABELS, validation=0.2)
    best = model.info["best"]
    assert line.startswith("epoch 12/12  validation accuracy ")
    assert f"({number_text(model.history['val_accuracy'][best])} at epoch {best + 1}, best by loss)" in line
    line, model = shown(capsys, PRICE)
    loss = model.history["loss"][-1]
    assert f"loss {number_text(loss)}  RMSE {number_text(loss**0.5)}  " in line


@pytest.mark.parametrize("watch", ["f1", "roc_auc"])
def test_best_goes_by_the_loss_where_the_metric_is_not_defined(watch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(UserWarning, match=f"{watch} is not defined"):
        line, _ = shown(capsys, LABELS, validation=np.flatnonzero(LABELS == "no")[:20], recipe=mn.Recipe(epochs=2, watch=watch))
    assert ", best by loss)" in line


@pytest.mark.parametrize(
    ("y", "watch", "words"),
    [
        (LABELS, "loss", ", best by loss)"),
        (LABELS, "log_loss", ", best by log loss)"),
        (LABELS, "accuracy", "(best 0."),
        (PRICE, "loss", "(best "),
        (PRICE, "mae", ", best by MAE)"),
    ],
)
def test_best_says_what_it_goes_by(y: Any, watch: Any, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    line, _ = shown(capsys, y, validation=0.2, recipe=mn.Recipe(epochs=2, watch=watch))
    assert words in line
    assert ("by" in words) == ("best by" in line)


@pytest.mark.parametrize(("y", "name", "word"), [(LABELS, "accuracy", "accuracy"), (PRICE, "rmse", "RMSE")])
def test_networks_on_folds_show_the_pooled_result_of_the_table(
    y: Any, name: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for stopping in (None, mn.EarlyStopping(patience=3), mn.EarlyStopping(patience=3, shared=True)):
        recipe = mn.Recipe(epochs=40, optimizer=mn.Adam(lr=0.05), stopping=stopping)
        line, model = shown(capsys, y, n_networks=4, validation="folds", recipe=recipe)
        assert "4 of 4 networks finished" in line
        found = re.search(rf"validation {word} \S+ \((?:best )?(\S*\d)(?:,| at) epochs? ", line)
        assert found is not None, line
        assert found[1] == number_text(out_of_fold(model, y)[name])


def test_weights_count_in_the_pooled_result() -> None:
    weight, events = np.linspace(0.5, 2.0, len(X)), list[Any]()
    recipe = mn.Recipe(epochs=2)
    mn.train(
        X,
        LABELS,
        SPEC,
        recipe,
        n_networks=4,
        validation="folds",
        sample_weight=weight,
        scaling=False,
        progress=False,
        callbacks=[events.append],
    )
    assert sum(events[0].pooled.values()) == pytest.approx(weight.sum(), rel=1e-6)
    assert len(set(events[0].pooled.values())) == 4


def test_candidates_show_the_best_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    tries = [(SPEC, mn.Recipe(epochs=2, optimizer=mn.Adam(lr=lr))) for lr in (0.01, 0.1)]
    results = mn.train_many(X, LABELS, tries, validation=0.2, scaling=False, progress=True)
    line = capsys.readouterr().err.splitlines()[-1]
    best = max(max(result.history["val_accuracy"]) for result in results)
    assert f"best validation accuracy {number_text(best)}  2 of 2 networks finished" in line


def test_several_ensembles_show_the_pooled_result_of_the_one_with_the_lowest_loss(capsys: pytest.CaptureFixture[str]) -> None:
    recipes = [mn.Recipe(epochs=9, optimizer=mn.Adam(lr=lr), seed=seed) for lr in (0.003, 0.05) for seed in range(3)]
    results = mn.train_many(X, LABELS, [(SPEC, recipe) for recipe in recipes], validation=0.3, scaling=False, progress=True)
    line = capsys.readouterr().err.splitlines()[-1]
    pooled = []
    for own in ([result.history for result in results[:3]], [result.history for result in results[3:]]):
        best = [int(np.argmin(history["val_loss"])) for history in own]
        means = {n: np.mean([history[n][k] for history, k in zip(own, best, strict=True)]) for n in ("val_loss", "val_accuracy")}
        pooled.append((means["val_loss"], float(means["val_accuracy"])))
    assert pooled[0][1] != pooled[1][1]
    assert f"best of 2 settings: mean validation accuracy {number_text(min(pooled)[1])} at epoch" in line
    assert line.split("  ")[1] == "6 of 6 networks finished"


@pytest.mark.parametrize(
    ("rates", "validation", "wanted"),
    [
        (
            (1e30, 0.05),
            0.3,
            r"best of 2 settings: mean validation accuracy \S+ at epochs? [2-9].*  6 of 6 networks finished  \S+ s",
        ),
        ((0.01, 0.05), None, r"best of 2 settings: training accuracy \S+ at epochs? .*  6 of 6 networks finished  \S+ s"),
        ((1e30, 1e29), 0.3, r"6 of 6 networks finished  \S+ s"),
    ],
)
def test_the_words_about_ensembles_of_which_some_diverge(
    capsys: pytest.CaptureFixture[str], rates: tuple[float, float], validation: float | None, wanted: str
) -> None:
    keep: Any = "best" if min(rates) > 1 else "last"
    recipes = [mn.Recipe(epochs=9, optimizer=mn.SGD(lr=lr), seed=seed, keep=keep) for lr in rates for seed in range(3)]
    mn.train_many(10 * X, LABELS, [(SPEC, recipe) for recipe in recipes], validation=validation, scaling=False, progress=True)
    assert re.fullmatch(wanted, capsys.readouterr().err.splitlines()[-1])


def test_other_engines_show_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    line, model = shown(capsys, LABELS, validation=0.2, engine="numpy")
    best = model.info["best"]
    assert f"({number_text(model.history['val_accuracy'][best])} at epoch {best + 1}, best by loss)" in line
    line, model = shown(capsys, PRICE, validation=0.2, engine="numpy")
    lowest = min(model.history["val_loss"])
    assert f"  validation RMSE {number_text(model.history['val_loss'][-1] ** 0.5)} (best {number_text(lowest**0.5)}, " in line


def test_no_line_says_how_long_a_finished_training_takes(capsys: pytest.CaptureFixture[str]) -> None:
    line, _ = shown(capsys, LABELS, validation=0.2, recipe=mn.Recipe(epochs=200, stopping=mn.EarlyStopping(patience=1)))
    assert "left" not in line


def test_the_last_line_of_a_training_that_stops_early_says_nothing_of_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (show,) = progress_callbacks(True)
    clock = itertools.count(0.0, 10.0)
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    columns = {name: np.array([0.5]) for name in ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")}
    for event in (mn.Started(1, 100, 10, "accuracy"), mn.Advanced(50), mn.Evaluated(50, (0,), columns, 0), mn.Finished(20.0, ())):
        show(event)
    first, last = capsys.readouterr().err.splitlines()
    assert first.endswith("  20.0 s, 20 s left")
    assert last == first.replace("20.0 s, 20 s left", "30.0 s")


def test_the_losses_on_a_log_scale_show_the_metric_of_the_logarithm(capsys: pytest.CaptureFixture[str]) -> None:
    line, _ = shown(capsys, PRICE, task=mn.Regression.of(PRICE, transform="log"), validation=0.2)
    assert "  validation R2 of the logarithm " in line
    line, _ = shown(capsys, PRICE, task=mn.Regression.of(PRICE, transform="log"), validation=0.2, engine="numpy")
    assert "  validation R2 of the logarithm " in line


@pytest.mark.parametrize("n_networks", [4, 7])
def test_the_mean_over_networks_that_validate_on_the_same_rows_says_so(capsys: pytest.CaptureFixture[str], n_networks: int) -> None:
    line, _ = shown(capsys, LABELS, validation="folds", n_networks=n_networks)
    assert len(X) % 4 == 0 != len(X) % 7  # folds of equal size then overlap
    assert ("  validation accuracy " in line) == (n_networks == 4)
    assert ("  mean validation accuracy " in line) == (n_networks == 7)


def test_results_of_the_training_rows_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    line, _ = shown(capsys, LABELS)
    assert "  training loss " in line


def test_a_notebook_has_one_display_that_is_updated(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shown: list[dict[str, str]] = []

    def update(bundle: dict[str, str], *, raw: bool) -> None:
        shown.append(bundle)

    def display(bundle: dict[str, str], *, raw: bool, display_id: bool) -> Any:
        update(bundle, raw=raw)
        return types.SimpleNamespace(update=update)

    kernel = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: kernel))
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=display))
    mn.train(X, LABELS, SPEC, mn.Recipe(epochs=3), validation=0.2, scaling=False, progress="auto")
    assert capsys.readouterr().err == ""
    assert "<progress" in shown[0]["text/html"]
    assert "<progress" not in shown[-1]["text/html"]
    assert shown[-1]["text/plain"].startswith("epoch 3/3  validation accuracy ")
    assert "\x1b" not in str(shown)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: None))
    assert not in_notebook()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_a_bar_with_the_last_results(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "200")
    model = mn.train(X, LABELS, SPEC, mn.Recipe(epochs=3), validation=0.2, scaling=False)
    assert f"100%  epoch 3/3  validation accuracy {number_text(model.history['val_accuracy'][-1])} " in terminal.getvalue()


def test_several_groups_are_one_run() -> None:
    events: list[Any] = []
    relay = Relay({number: (SPEC, mn.Recipe()) for number in range(3)}, [events.append])
    for networks, diverged in ((2, (1,)), (1, (2,))):
        for event in (mn.Started(networks, 10, 5, "accuracy"), mn.Advanced(5), mn.Finished(1.5, diverged)):
            relay(event)
        relay.done(networks)
    relay.finish()
    assert [(type(event).__name__, getattr(event, "step", None)) for event in events[:-1]] == [
        ("Started", None), ("Advanced", 1000), ("Advanced", 2000), ("Advanced", 2500), ("Advanced", 3000),
    ]  # fmt: skip
    assert events[-1] == mn.Finished(3.0, (1, 2))


def test_progress_is_true_auto_or_false() -> None:
    made: list[Callback] = progress_callbacks(False)
    assert made == []
    with pytest.raises(mn.OptionError, match="must be 'auto', True or False"):
        progress_callbacks("yes")  # type: ignore[arg-type]
