"""What the commands load before they do anything: `show` and the predictions of a table need no torch."""

from __future__ import annotations

import csv
import gc
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import manynets as mn
from manynets.saved_model import read_saved_model
from manynets.tables import read_table
from tests.cli.conftest import Call
from tests.tolerances import assert_close

HEAVY = {"torch", "sklearn", "scipy", "joblib", "matplotlib", "pandas", "pyarrow", "polars", "sympy"}


def loaded_by(*arguments: str) -> tuple[set[str], str]:
    """Return which of the heavy packages a command loads, and its standard output."""
    code = (
        f"import sys, manynets.cli\ntry: manynets.cli.main({list(arguments)!r})\n"
        f"finally: print(*[name for name in {sorted(HEAVY)!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split()), done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["study"]])
def test_help_and_lists_load_nothing_heavy(arguments: list[str]) -> None:
    assert loaded_by(*arguments)[0] == set()


@pytest.mark.parametrize("target", ["kind", "price"])
def test_show_and_predict_load_no_torch(call: Call, table: Path, target: str) -> None:
    assert call("train", table, "--target", target, "--preset", "fast", "--n-networks", 2, "--out", "run", "-q").code == 0
    loaded, shown = loaded_by("show", "run")
    assert loaded == set()
    assert "Metrics" in shown
    loaded, out = loaded_by("predict", "run", str(table))
    assert loaded == {"polars"}
    model = mn.load("run")
    predicted = [row["prediction"] for row in csv.DictReader(io.StringIO(out))]
    expected = model.predict(read_table(table))
    if target == "kind":
        assert predicted == expected.tolist()
    else:
        assert_close(np.array(predicted, dtype=np.float64), expected, "float32")


def test_sweeps_and_studies_are_loaded_without_scikit_learn() -> None:
    code = (
        "import sys, manynets.cli.sweeping, manynets.search.processes, manynets.studies.together; "
        "assert not {'sklearn', 'scipy', 'pandas', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_commands_restore_the_garbage_collector(call: Call) -> None:
    before = gc.get_threshold()
    assert call("datasets").code == 0
    assert gc.get_threshold() == before


def test_the_command_predicts_with_numpy_what_the_model_predicts_with_torch(call: Call, table: Path) -> None:
    """Every activation, batch norm, several networks: the scores agree up to rounding."""
    frame = read_table(table).drop("id", "kind")
    X, y = frame.drop("price"), frame["price"].to_numpy()
    for activation in ("relu", "silu", "mish", "gelu", "hard_swish"):
        spec = mn.MLP(hidden=(8, 4), activation=activation, batch_norm=activation == "relu", input_scale=activation == "silu")  # type: ignore[arg-type]
        model = mn.train(X, y, spec, mn.Recipe(epochs=2), n_networks=2, progress=False)
        model.save("model.safetensors")
        saved = read_saved_model("model.safetensors")
        assert_close(saved.logits(X), model.logits(X), "float32")
        assert_close(saved.predict(X), model.predict(X), "float32")
        assert saved.is_quick(10) == (activation != "gelu")


def test_digits_are_read_without_scikit_learn() -> None:
    code = "import sys; from manynets.datasets import load; load('digits'); assert not {'sklearn', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_large_table_is_predicted_by_torch(call: Call, table: Path) -> None:
    X = np.linspace(-1, 1, 40)[:, None]
    mn.train(X, X[:, 0], mn.MLP(hidden=(64, 64)), mn.Recipe(epochs=1), progress=False).save("model.safetensors")
    saved = read_saved_model("model.safetensors")
    assert saved.is_quick(1000)
    assert not saved.is_quick(100_000_000)


def test_numbers_too_large_for_the_model_are_the_same_error(tmp_path: Path) -> None:
    X = np.linspace(-1, 1, 40)[:, None]
    model = mn.train(X, X[:, 0], mn.MLP(hidden=(4,)), mn.Recipe(epochs=1), scaling=False, progress=False)
    model.save(tmp_path / "model.safetensors")
    for one in (model, read_saved_model(tmp_path / "model.safetensors")):
        with pytest.raises(mn.DataError, match=r"X column 0 reaches 1e\+300, but float32 ends at 3.4e\+38; scale it"):
            one.predict(np.array([[1e300]]))
