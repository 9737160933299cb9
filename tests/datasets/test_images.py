"""digits, MNIST and Fashion-MNIST: values, places, and what is said of files that are missing or wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from manynets.datasets import describe, digits, fashion_mnist, images, load, mnist
from manynets.errors import DataError
from tests.datasets.small_mnist import FILES, as_idx, write_small


@pytest.fixture(autouse=True)
def no_cache_and_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no test find what a user has in the cache, nor download."""

    def refuse(archive: object, name: str, folder: Path) -> dict[str, Path]:
        raise DataError(f"asked to download {name} into {folder}")

    monkeypatch.setattr(images, "fetch", refuse)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_digits() -> None:
    data = digits()
    assert data.X.shape == (1437, 64)
    assert data.X_test is not None
    assert data.y_test is not None
    assert data.X_test.shape == (360, 64)
    assert data.X.dtype == data.X_test.dtype == np.float32
    assert data.y.dtype == data.y_test.dtype == np.int64
    assert (data.X.min(), data.X.max()) == (0.0, 1.0)
    assert data.image_shape == (8, 8)
    assert data.task == "multiclass"
    counts, held = np.bincount(data.y), np.bincount(data.y_test)
    assert (counts + held).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    np.testing.assert_allclose(held / (counts + held), 0.2, atol=0.005)


def test_digits_are_scikit_learns_and_always_split_alike() -> None:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data, again = digits(), load("digits", seed=5)
    assert data.X.tobytes() == again.X.tobytes()
    assert data.X_test is not None
    pixels, labels = load_digits(return_X_y=True)
    parts = train_test_split(pixels / 16, labels, test_size=0.2, stratify=labels, random_state=0)
    for ours, theirs in zip((data.X, data.X_test, data.y, data.y_test), parts, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_digits_leave_the_global_generator_alone() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    digits()
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_the_real_mnist(data_dir: Path) -> None:
    if not (data_dir / "mnist").is_dir():
        pytest.skip(f"no folder mnist in {data_dir}")
    data = mnist(data_dir=data_dir)
    assert data.X.shape == (60_000, 784)
    assert data.X_test is not None
    assert data.y_test is not None
    assert data.X_test.shape == (10_000, 784)
    assert data.X.mean(dtype=np.float64) == pytest.approx(0.1306605, abs=1e-6)  # known as 0.1307
    assert data.X.std(dtype=np.float64) == pytest.approx(0.3081078, abs=1e-6)  # known as 0.3081
    assert (data.X.min(), data.X.max()) == (0.0, 1.0)
    assert data.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.y_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(data.y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_values_types_and_names(tmp_path: Path) -> None:
    write_small(tmp_path / "mnist")
    data = mnist(data_dir=str(tmp_path))
    assert data.X.dtype == np.float32
    assert data.y.dtype == np.int64
    assert (np.float32(0.2) == data.X).all()  # 51 / 255
    assert data.X.shape == (20, 784)
    assert data.feature_names is not None
    assert data.feature_names[29] == "pixel_1_1"
    assert data.class_names == tuple("0123456789")
    assert data.image_shape == (28, 28)
    write_small(tmp_path / "fashion-mnist", shade=255)
    clothes = fashion_mnist(data_dir=tmp_path)
    assert (clothes.X == 1).all()
    assert clothes.class_names is not None
    assert clothes.class_names[9] == "Ankle boot"
    assert clothes.name == "fashion-mnist"


def test_gzipped_or_spelled_with_a_dot(tmp_path: Path) -> None:
    folder = write_small(tmp_path / "mnist")
    for file in FILES[:2]:
        (folder / f"{file}.gz").write_bytes(gzip.compress((folder / file).read_bytes()))
        (folder / file).unlink()
    for file in FILES[2:]:
        (folder / file).rename(folder / file.replace("-idx", ".idx"))
    assert mnist(data_dir=tmp_path).X.shape == (20, 784)


def test_data_dir_goes_before_the_environment_and_that_before_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_small(tmp_path / "given" / "mnist", shade=255)
    write_small(tmp_path / "named" / "mnist", shade=0)
    monkeypatch.setenv("MANYNETS_DATA", str(tmp_path / "named"))
    assert load("mnist", data_dir=tmp_path / "given").X[0, 0] == 1
    assert load("mnist").X[0, 0] == 0
    monkeypatch.delenv("MANYNETS_DATA")
    with pytest.raises(DataError, match=r"asked to download mnist into .*cache.manynets.mnist"):
        load("mnist")


def test_an_environment_without_the_set_goes_on_to_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_small(tmp_path / "mnist")
    monkeypatch.setenv("MANYNETS_DATA", str(tmp_path))
    with pytest.raises(DataError, match="asked to download fashion-mnist"):
        load("fashion-mnist")


def test_describe_tells_what_is_here_and_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYNETS_DATA", str(tmp_path))
    write_small(tmp_path / "mnist")
    by_name = {line.name: line for line in describe()}
    assert by_name["mnist"].here
    assert by_name["mnist"].where == str(tmp_path / "mnist")
    assert not by_name["fashion-mnist"].here
    assert by_name["fashion-mnist"].where == "downloaded at first use, 31 MB"
    write_small(tmp_path / "cache" / "manynets" / "fashion-mnist")
    assert {line.name: line for line in describe()}["fashion-mnist"].here
    (tmp_path / "mnist" / FILES[3]).unlink()
    assert not {line.name: line for line in describe(data_dir=tmp_path)}["mnist"].here


def test_a_place_that_was_asked_for_is_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        mnist(data_dir=tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'mnist' / FILES[0]} is missing (with .gz or without)")
    assert "leave out data_dir and MANYNETS_DATA to download it" in message
    assert "or put train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz" in message


@pytest.mark.parametrize("file", FILES)
def test_one_file_of_four_missing_is_named_wherever_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    (write_small(tmp_path / "mnist") / file).unlink()
    with pytest.raises(DataError, match=f"{file} is missing"):
        mnist(data_dir=tmp_path)
    monkeypatch.setenv("MANYNETS_DATA", str(tmp_path))
    with pytest.raises(DataError, match=f"{file} is missing"):
        mnist()


WRONG = {
    "images for labels": ("train-labels-idx1-ubyte", np.zeros((20, 28, 28)), "but labels must be uint8 of shape (N,)"),
    "labels for images": ("train-images-idx3-ubyte", np.zeros(20), "but expected were images: uint8 of shape (N, 28, 28)"),
    "other size": ("t10k-images-idx3-ubyte", np.zeros((10, 32, 32)), "holds uint8 of shape (10, 32, 32), but expected"),
    "fewer labels": ("t10k-labels-idx1-ubyte", np.zeros(9), "holds 10 images, but"),
    "eleventh class": (
        "train-labels-idx1-ubyte",
        np.arange(20) % 11,
        "holds the label 10 at index 10, but labels must be from 0 to 9",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_files_that_do_not_belong_here_are_named(tmp_path: Path, case: str) -> None:
    file, values, message = WRONG[case]
    path = write_small(tmp_path / "mnist") / file
    path.write_bytes(as_idx(values))
    with pytest.raises(DataError) as caught:
        mnist(data_dir=tmp_path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    assert "To get mnist: " in str(caught.value)


def test_a_truncated_file_is_named_with_the_way_to_a_good_one(tmp_path: Path) -> None:
    path = write_small(tmp_path / "mnist") / FILES[0]
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DataError) as caught:
        mnist(data_dir=tmp_path)
    assert f"{path} is cut short: expected 15,680 bytes of values for shape (20, 28, 28), found 15,673. To get" in str(caught.value)


def test_reading_holds_the_bytes_and_their_floats_once(tmp_path: Path) -> None:
    import tracemalloc

    folder = write_small(tmp_path / "mnist")
    (folder / FILES[0]).write_bytes(as_idx(np.zeros((5000, 28, 28))))
    (folder / FILES[1]).write_bytes(as_idx(np.zeros(5000)))
    tracemalloc.start()
    try:
        mnist(data_dir=tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5000 * 784 * (1 + 4) + 1_000_000
