"""Downloads, from a server in this process: checksums, mirrors, and nothing half done left behind."""

from __future__ import annotations

import hashlib
import logging
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from manynets.datasets import download, load
from manynets.datasets.download import ARCHIVES, Archive, cache_folder, fetch
from manynets.errors import DataError, MissingExtraError
from tests.datasets.small_mnist import FILES, write_small

GOOD = b"good " * 50_000


class Handler(SimpleHTTPRequestHandler):
    """Files of a folder; of those under /cut/ half, whatever the header says."""

    def log_message(self, *parts: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        if not self.path.startswith("/cut/"):
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Length", str(len(GOOD)))
        self.end_headers()
        self.wfile.write(GOOD[: len(GOOD) // 2])
        return None


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "served" / "good").mkdir(parents=True)
    (tmp_path / "served" / "bad").mkdir()
    (tmp_path / "served" / "good" / "a.gz").write_bytes(GOOD)
    (tmp_path / "served" / "bad" / "a.gz").write_bytes(b"something else")
    running = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "served")))
    running.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def archive(server: ThreadingHTTPServer, *folders: str, port: int | None = None) -> Archive:
    root = f"http://127.0.0.1:{port or server.server_address[1]}"
    mirrors = tuple(f"{root}/{folder}/" for folder in folders)
    return Archive(mirrors=mirrors, sha256={"a.gz": hashlib.sha256(GOOD).hexdigest()}, megabytes=1)


def test_a_file_comes_once(server: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "cache" / "set"
    for _ in range(2):
        assert fetch(archive(server, "good"), "set", folder) == {"a.gz": folder / "a.gz"}
    assert (folder / "a.gz").read_bytes() == GOOD
    assert server.asked == ["/good/a.gz"]
    assert capfd.readouterr() == ("", "")  # not a terminal: no bar, no log


def test_a_damaged_copy_is_replaced(server: Any, tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(GOOD[:100])
    fetch(archive(server, "good"), "set", tmp_path)
    assert (tmp_path / "a.gz").read_bytes() == GOOD


@pytest.mark.parametrize("first", ["none", "bad", "cut"])
def test_the_next_mirror_helps(server: Any, tmp_path: Path, first: str) -> None:
    fetch(archive(server, first, "good"), "set", tmp_path / "cache")
    assert (tmp_path / "cache" / "a.gz").read_bytes() == GOOD
    assert server.asked == [f"/{first}/a.gz", "/good/a.gz"]


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("none", "HTTP status 404"),
        ("bad", "what arrived is not the expected file (wrong sha256)"),
        ("cut", "ChunkedEncodingError"),
    ],
)
def test_a_failure_says_what_to_do_and_leaves_nothing(server: Any, tmp_path: Path, folder: str, reason: str) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(DataError) as caught:
        fetch(archive(server, folder), "set", cache)
    message = str(caught.value)
    assert message.startswith(f"{cache / 'a.gz'} is missing and cannot be downloaded (127.0.0.1:")
    assert reason in message
    assert "Check the connection and try again" in message
    assert "put it with the other files of set into a folder set/" in message
    assert "data_dir or MANYNETS_DATA" in message
    assert caught.value.__cause__ is None
    assert list(cache.iterdir()) == []


def test_no_server_at_all(tmp_path: Path, server: Any) -> None:
    port = server.server_address[1]
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError, match=r"cannot be downloaded .*ConnectionError"):
        fetch(archive(server, "good", port=port), "set", tmp_path / "cache")


def test_poochs_log_level_is_given_back(server: Any, tmp_path: Path) -> None:
    import pooch

    before = pooch.get_logger().level
    with pytest.raises(DataError):
        fetch(archive(server, "none"), "set", tmp_path)
    assert pooch.get_logger().level == before != logging.ERROR


def test_on_a_terminal_there_is_a_bar(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes stderr for a terminal
    monkeypatch.setenv("TERM", "xterm")
    fetch(archive(server, "good"), "set", tmp_path / "cache")
    shown = capfd.readouterr().err
    assert "set/a.gz" in shown
    assert "250.0/250.0 kB" in shown


def test_without_pooch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.delenv("MANYNETS_DATA", raising=False)
    assert cache_folder("mnist") is None
    with pytest.raises(MissingExtraError, match=r"downloading mnist .*needs the package 'pooch'.*manynets\[data\]"):
        load("mnist")


def test_what_is_downloaded_is_read(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = write_small(tmp_path / "served" / "small")
    sums = {f"{file}.gz": hashlib.sha256((served / file).read_bytes()).hexdigest() for file in FILES}
    for file in FILES:
        (served / file).rename(served / f"{file}.gz")
    small = Archive(mirrors=archive(server, "small").mirrors, sha256=sums, megabytes=1)
    monkeypatch.setattr("manynets.datasets.images.ARCHIVES", {"mnist": small})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MANYNETS_DATA", raising=False)
    assert load("mnist").X.shape == (20, 784)
    assert load("mnist").X.shape == (20, 784)
    assert len(server.asked) == 4


def test_the_checksums_of_mnist_are_those_of_the_real_files(data_dir: Path) -> None:
    folder = data_dir / "mnist"
    if not all((folder / file).is_file() for file in ARCHIVES["mnist"].sha256):
        pytest.skip(f"no gzipped mnist in {data_dir}")
    for file, digest in ARCHIVES["mnist"].sha256.items():
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == digest, file


@pytest.mark.parametrize("name", ARCHIVES)
def test_the_archives_are_well_formed(name: str) -> None:
    one = download.ARCHIVES[name]
    assert len(one.sha256) == len(set(one.sha256.values())) == 4
    assert all(len(digest) == 64 and int(digest, 16) for digest in one.sha256.values())
    assert all(mirror.startswith("http") and mirror.endswith("/") for mirror in one.mirrors)
