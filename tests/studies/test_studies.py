"""Studies: every id runs quickly and draws; in full (slow) they meet the published results."""

from __future__ import annotations

import io
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from manynets import plots
from manynets.errors import DataError
from manynets.studies import STUDIES, StudyResult
from manynets.studies.in_turn import in_turn
from manynets.studies.study import Skipped, figure


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


IMAGES = [name for name in STUDIES if name.startswith(("T4", "T5"))]
NUMBERS = [name for name in STUDIES if name not in IMAGES]
GPU = [name for name in STUDIES if name.endswith("-gpu")]


@pytest.fixture
def mnist(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (data_dir / "mnist").is_dir():
        pytest.skip(f"no MNIST in {data_dir}")
    monkeypatch.setenv("MANYNETS_DATA", str(data_dir))


@pytest.mark.parametrize(("stream", "shown"), [(Terminal(), "draws"), (io.StringIO(), "")])
def test_parts_of_a_study_are_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, shown: str) -> None:
    monkeypatch.setattr("sys.stderr", stream)
    assert list(in_turn(range(3), "draws")) == [0, 1, 2]
    assert shown in stream.getvalue()
    assert ("3/3" in stream.getvalue()) == bool(shown)


def check_quick(name: str, folder: Path) -> None:
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    result = STUDIES[name].run(quick=True)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    if name in GPU and not torch.cuda.is_available():
        assert result.skipped == "there is no CUDA device here"
        assert not result.figures
        assert result.met is None
        return
    assert result.skipped is None
    assert result.figures
    assert all(np.isfinite([one.ours, one.spread]).all() for one in result.figures)
    assert result.pictures
    for file, axes in result.pictures.items():
        plots.save(axes, folder / file)
        assert (folder / file).stat().st_size > 2000


@pytest.mark.parametrize("name", NUMBERS)
def test_a_quick_run(name: str, tmp_path: Path) -> None:
    check_quick(name, tmp_path)


@pytest.mark.parametrize("name", ["T4-mnist", "T5-logistic", "T5-E", "T5-E-gpu"])
def test_a_quick_run_on_images(name: str, tmp_path: Path, mnist: None) -> None:
    check_quick(name, tmp_path)


# The published numbers again, by hand: (figure of the study, at least or at most, by how many seeds).
FULL = {
    "T1-prod": ("loss", 0.00074, 64),
    "T1-xor": ("accuracy %", 99.80, 64),
    "T1-quadrants": ("accuracy %", 99.84, 64),
    "T1-draws": ("xor: accuracy %, by draw", 99.80, 10),
    "T2-tensors": ("loss", 1.54, 5),
    "T2-functional": ("loss", 1.411, 5),
    "T2-parameter": ("loss", 1.411, 5),
    "T2-linear": ("loss", 1.411, 5),
    "T2-sequential": ("loss", 1.411, 5),
    "T3-autograd": ("dz/dx", 12.0, 1),
    "T3-perceptron": ("points on the right side %", 100.0, 5),
    "T4-mnist": ("accuracy %", 97.64, 3),
    "T5-A": ("accuracy %", 91.0, 5),
    "T5-B": ("accuracy %", 95.0, 5),
    "T5-C": ("accuracy %", 95.0, 5),
    "T5-D": ("accuracy %", 96.0, 5),
    "T5-E": ("accuracy %", 97.0, 5),
    **{
        f"T2-{name}": ("accuracy %, the library against plain torch", 0.0, 5)
        for name in ("moons", "deeper", "momentum", "nesterov", "rmsprop", "adam", "init")
    },
}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", [name for name in STUDIES if name not in GPU])
def test_the_published_figures_are_met(name: str, request: pytest.FixtureRequest) -> None:
    if name in IMAGES:
        request.getfixturevalue("mnist")
    result = STUDIES[name].run()
    assert result.skipped is None
    assert result.met is not False, result.figures
    if name in FULL:
        what, published, seeds = FULL[name]
        [found] = [one for one in result.figures if one.name == what]
        assert found.ours >= published if found.better == "higher" else found.ours <= published
        assert len(found.per_seed) == seeds
    if name == "T4-mnist":
        assert result.figures[1].ours <= 0.0744


def test_the_levels_agree_over_the_whole_history() -> None:
    from manynets.studies.t2_levels import LEVELS, train_level

    levels = [name for name in LEVELS if name != "T2-gpu"]
    assert len(levels) == 5
    histories = np.array([train_level(name, 0, 300)[0] for name in levels])
    assert histories.shape == (5, 300)
    assert histories[0, -1] < histories[0, 0] - 0.1
    assert np.abs(histories - histories[0]).max() < 1e-6
    assert np.abs(histories[0] - train_level("T2-tensors", 1, 300)[0]).max() > 1e-3  # another seed is another history


def test_the_perceptron_learns_and_the_tutorials_cannot() -> None:
    from manynets.studies.t3_perceptron import Perceptron, Tutorial, learn

    x = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        correct, tutorial = Perceptron(), Tutorial()
    assert learn(correct, x, torch.tensor([[0.0], [0.0], [1.0], [1.0]]), epochs=50)[-1] == 0
    assert correct(x)[:, 0].tolist() == [0, 0, 1, 1]
    assert tutorial(x)[:, 0].tolist() == [0, 0, 1, 2]  # ReLU of x, whatever the weights


def test_figures_are_judged_by_their_direction() -> None:
    assert figure("accuracy %", [97.0, 98.0], published=97.5).met is True
    assert figure("accuracy %", [97.0, 97.9], published=97.5).met is False
    assert figure("loss", [0.2], published=0.1, better="lower").met is False
    assert figure("loss", [0.1], published=0.1, better="lower").met is True
    assert figure("loss", [0.1]).met is None
    two = figure("x", [1.0, 3.0])
    assert (two.ours, two.spread, two.per_seed) == (2.0, 1.0, (1.0, 3.0))
    bad = figure("y", [0.0], published=1.0)
    assert StudyResult(figures=(two,)).met is None
    assert StudyResult(figures=(two, bad)).met is False


def test_without_mnist_a_study_is_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import manynets.datasets.images

    def offline(*_: object) -> None:
        raise DataError("no network")

    monkeypatch.setenv("MANYNETS_DATA", str(tmp_path))
    monkeypatch.setattr(manynets.datasets.images, "cache_folder", lambda name: tmp_path / "cache")
    monkeypatch.setattr(manynets.datasets.images, "fetch", offline)
    result = STUDIES["T5-A"].run(quick=True)
    assert result.skipped is not None
    assert result.skipped.startswith("MNIST is not here: no network")
    assert issubclass(Skipped, Exception)


def test_the_list_of_studies_loads_no_torch() -> None:
    code = "import manynets.studies, sys; print({'torch', 'matplotlib', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "set()"


def test_every_published_id_is_here() -> None:
    published = {
        *("T1-prod", "T1-xor", "T1-quadrants", "T2-tensors", "T2-functional", "T2-parameter", "T2-linear", "T2-sequential"),
        *("T2-gpu", "T3-autograd", "T3-perceptron", "T3-feedforward", "T4-mnist", "T5-logistic", "T5-A", "T5-B", "T5-C"),
        *("T5-D", "T5-E", "T5-E-gpu"),
    }
    assert len(published) == 20
    assert published <= set(STUDIES)
    assert all(name == one.id and one.title for name, one in STUDIES.items())


def test_the_page_is_written_from_what_was_measured() -> None:
    make = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "make_studies.py"))
    value = {
        "name": "loss",
        "published": 0.5,
        "ours": 0.75,
        "spread": 0.25,
        "per_seed": [0.5, 1.0],
        "better": "lower",
        "met": False,
    }
    done = {"id": "T9", "title": "a net", "figures": [value], "seconds": 1.6, "skipped": None}
    left = {"id": "T9-gpu", "title": "on a GPU", "figures": [], "seconds": 0.0, "skipped": "there is no CUDA device here"}
    assert make["table"]([done, left])[2:] == [
        "| T9 | loss | 0.5 | 0.75 ± 0.25 | 2 | NO | 2 |",
        "| T9-gpu | on a GPU | | | | skipped: no CUDA device here | |",
    ]
    shares = [{"name": f"{problem}, no biases: seeds there %", "ours": 5.0} for problem in ("prod", "xor")]
    assert make["shares"]({"figures": shares})[2:] == ["| no biases | 5 | 5 |"]


@pytest.mark.slow
def test_xor_from_nothing_to_its_pictures(tmp_path: Path) -> None:
    """That it takes less than ten seconds on a quiet machine is said, with the figure, in docs/studies.md."""
    subprocess.run([sys.executable, "-m", "manynets", "study", "T1-xor", "--out", str(tmp_path)], check=True, capture_output=True)
    drawn = {path.name for path in (tmp_path / "T1-xor").iterdir()}
    assert {"points.png", "history.png", "seeds.png", "network.png", "regions.png", "result.json"} <= drawn
