"""The server as a process: start, signals, workers, and connections that misbehave."""

from __future__ import annotations

import errno
import gc
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import manynets as mn
from tests.serve.process import WAIT, Server
from tests.tolerances import assert_close

pytest.importorskip("uvicorn", reason="needs the extra serve")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    x = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    path = tmp_path_factory.mktemp("served") / "m.safetensors"
    mn.train(x, x[:, 0], mn.MLP(hidden=(64, 64)), mn.Recipe(epochs=1), progress=False).save(path)
    return path


@pytest.fixture
def server(model: Path) -> Iterator[Server]:
    found = Server(model)
    yield found
    if found.process.poll() is None:
        found.end()


def test_a_server_that_a_test_forgot_is_ended(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "wait", lambda server: None)
    process = Server(model).process
    gc.collect()
    assert process.poll() is not None


def test_older_releases_of_uvicorn_know_the_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    from manynets.serve.protocol import PatientProtocol
    from manynets.serve.running import run
    from manynets.serve.settings import ServeSettings

    configured: list[Any] = []
    monkeypatch.setattr("manynets.serve.ending.run_server", configured.append)
    run(ServeSettings(models={"m": "m.safetensors"}), lambda: None)
    assert configured[0].http is PatientProtocol  # which they take as a class only, not by its name


def test_accepted_requests_are_answered_after_sigterm(server: Server, model: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(20_000, 4)).round(3)
    wanted = mn.load(model).predict(rows.astype(np.float32))
    body = json.dumps(rows.tolist()).encode()
    head = f"POST /v1/models/m:predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    connections = [socket.create_connection(("127.0.0.1", server.port), timeout=60) for _ in range(6)]
    for connection in connections:
        connection.sendall(head.encode() + body)
    connections[0].recv(1, socket.MSG_PEEK)  # the first is answered
    server.process.send_signal(signal.SIGTERM)
    for connection in connections:
        answer = b""
        while part := connection.recv(1 << 16):
            answer += part
        connection.close()
        found = json.loads(answer.partition(b"\r\n\r\n")[2])["predictions"]
        assert_close(np.array(found), wanted.astype(np.float64), "float32")
    assert "Traceback" not in server.end()[1]
    with pytest.raises(urllib.error.URLError):
        server.get("/healthz")


def test_connections_that_misbehave(server: Server) -> None:
    head = b"POST /v1/models/m:predict HTTP/1.1\r\nhost: localhost\r\n"
    texts = [
        b"",
        os.urandom(2000),
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/9.9\r\nhost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\nhost: evil\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"a" * 200_000 + b"\r\n\r\n",
        head + b"content-length: -1\r\n\r\n",
        head + b"content-length: 99999999999999999999\r\n\r\n",
        head + b"content-length: 10\r\n\r\n[[1",
        head + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        head + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n3\r\n[[1\r\n0\r\n\r\n",
        head + b"content-length: 4\r\n\r\n\xff\xfe\x00\x00",
    ]
    for text in texts:
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.settimeout(60)
            try:
                connection.sendall(text)
                connection.shutdown(socket.SHUT_WR)
                answer = b""
                while part := connection.recv(65536):
                    answer += part
            except OSError as error:  # a TimeoutError has another number
                if error.errno not in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN):
                    raise
                continue
            assert b"Traceback" not in answer
            assert str(Path(mn.__file__).parent).encode() not in answer
    whole = head + b"content-length: 14\r\n\r\n[[0, 0, 0, 0]]"
    for _ in range(20):  # many requests, and nobody to read the answers
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(whole * 50)
    assert server.predict([[0.0] * 4]) == pytest.approx(server.predict([[0.0] * 4]))
    assert "Traceback" not in server.end()[1]


def test_a_worker_that_is_killed_is_replaced(model: Path) -> None:
    server = Server(model, "--workers", "2")
    try:
        before = server.workers()
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        until = time.monotonic() + WAIT
        while set(server.workers()) <= set(before) and time.monotonic() < until:
            time.sleep(0.1)
        assert len(set(server.workers()) - set(before)) == 1
        server.wait()
        assert len(server.predict([[0.0] * 4])) == 1
        assert b"manynets_requests_total" in server.get("/metrics")
    finally:
        assert "Traceback" not in server.end()[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "the run folder nowhere does not exist; "),
        (["m=runs/nowhere"], "the run folder runs/nowhere does not exist; "),
        (["m", "--host", "0.0.0.0"], "set a token"),
        (["m", "x/m"], "two models are called 'm'"),
        (["m", "--port", "0"], "port is 0"),
    ],
)
def test_what_keeps_it_from_starting(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    from manynets.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["serve", *arguments])
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert words in err
    assert out == ""  # nothing of an address


def test_a_port_that_is_taken(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from manynets.cli import main

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SystemExit) as ended:
            main(["serve", str(model), "--port", str(taken.getsockname()[1])])
    assert ended.value.code == 2
    assert "cannot be listened on" in capsys.readouterr().err


SIGNALS_CASE = """
import asyncio, os, signal, time
import uvicorn
from manynets.serve.ending import run_server

class Stopped(BaseException):
    pass

def stop(*_):
    raise Stopped

def signal_later():
    time.sleep(0.3)  # then the loop waits for this thread
    os.kill(os.getpid(), number)

async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.complete"})
    os.kill(os.getpid(), number)
    await receive()
    asyncio.get_running_loop().run_in_executor(None, signal_later)
    await send({"type": "lifespan.shutdown.complete"})

for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, stop)
    try:
        run_server(uvicorn.Config(app, port=0, log_level="error"))
    except Stopped:
        print(number.name, "stopped once it had ended", flush=True)
"""


def test_signals_while_the_loop_closes_do_not_interrupt_it() -> None:
    """The first signal ends the server and has its effect at the end, whenever a second one comes."""
    done = subprocess.run([sys.executable, "-c", SIGNALS_CASE], capture_output=True, text=True, check=False, timeout=WAIT)
    lines = [f"{name} stopped once it had ended" for name in ("SIGTERM", "SIGINT")]
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, lines, "")


FORCED_CASE = """
import contextlib, os, signal
import uvicorn
from fastapi import FastAPI
from manynets.serve.ending import run_server

@contextlib.asynccontextmanager
async def lifespan(app):
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)
    yield

signal.signal(signal.SIGINT, lambda *_: print("stopped", flush=True))
run_server(uvicorn.Config(FastAPI(lifespan=lifespan), port=0, log_level="warning"))
"""


def test_a_second_signal_ends_the_server_without_a_traceback() -> None:
    done = subprocess.run([sys.executable, "-c", FORCED_CASE], capture_output=True, text=True, check=False, timeout=WAIT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped\n", "")


class EndsWorkers:
    """An option that ends a process with exit code 7 as soon as it reads it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (7,)


def test_workers_that_end_again_and_again_end_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    from manynets.serve import workers

    monkeypatch.setattr(workers, "MOST_ENDS", 2)
    with pytest.raises(mn.errors.WorkerError, match=r"^workers ended 4 times in \d+ s, the last with exit code 7$"):
        workers.run_workers(2, {"host": "127.0.0.1", "port": 0, "reload": EndsWorkers(), "log_level": "error"})
