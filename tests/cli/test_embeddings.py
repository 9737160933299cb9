"""--embedding and its options in train and sweep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import manynets as mn
from tests.cli.conftest import Call

QUICK = ("--hidden", "8", "--epochs", "2", "--validation", "0.2", "-q")


def test_a_table_with_piecewise_linear_columns(call: Call, table: Path) -> None:
    chosen = ("--embedding", "piecewise-linear", "--bins", "5", "--bins-by", "tree")
    result = call("train", table, "--target", "price", *chosen, *QUICK, "--n-networks", "1", "--json").json
    model = mn.load(Path(result["run_dir"]) / "model.safetensors")
    assert model.spec is not None
    assert model.spec.embedding == mn.PiecewiseLinear(bins=5, by="tree")
    assert model.encoder is not None
    assert model.encoder.piecewise.any()
    assert call("evaluate", result["run_dir"], table, "-q", "--json").code == 0


def test_an_array_with_a_periodic_embedding_and_with_bins(call: Call, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((80, 3))
    np.savez(tmp_path / "data.npz", X=x, y=np.sin(3 * x[:, 0]))
    for chosen in (("periodic", "--frequencies", "4"), ("piecewise-linear", "--bins", "4")):
        result = call("train", "data.npz", "--embedding", *chosen, *QUICK, "--json").json
        assert call("evaluate", result["run_dir"], "data.npz", "-q", "--json").code == 0
        assert call("predict", result["run_dir"], "data.npz", "-q").code == 0


def test_a_sweep_over_embeddings(call: Call, table: Path) -> None:
    grid = ("--grid", "embedding=none,piecewise-linear,periodic", "--cv", "2")
    assert call("sweep", table, "--target", "price", *grid, "--hidden", "8", "--epochs", "2", "-q", "--out", "swept").code == 0
    text = Path("swept/results.csv").read_text(encoding="utf-8")
    assert text.count("piecewise-linear") == text.count("periodic") == 2


def test_means_of_large_categories(call: Call, table: Path) -> None:
    chosen = ("--preset", "plain", "--max-levels", "2", "--category-means", "--n-networks", "1")
    result = call("train", table, "--target", "price", *chosen, *QUICK, "--json").json
    encoder = mn.load(Path(result["run_dir"]) / "model.safetensors").encoder
    assert encoder is not None
    assert "colour, mean of the target" in encoder.feature_names
    swept = ("--max-levels", "2", "--category-means", "--grid", "lr=0.01,0.1", "--cv", "2", "--epochs", "1", "-q")
    assert call("sweep", table, "--target", "price", *swept).code == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--bins", "4"), "--bins is not for the embedding 'none', but for piecewise-linear"),
        (("--embedding", "fourier"), "--embedding is 'fourier'"),
        (("--embedding", "periodic", "--bins", "4"), "--bins is not for the embedding 'periodic'"),
        (("--embedding", "periodic", "--preset", "default"), "--embedding is for a plain network"),
    ],
)
def test_mistakes(call: Call, table: Path, given: tuple[str, ...], message: str) -> None:
    called = call("train", table, "--target", "price", *given, "-q")
    assert called.code == 2
    assert message in called.err
