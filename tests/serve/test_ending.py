"""The end of a server: what has arrived is answered, and nobody waits for nothing."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import manynets as mn
from tests.serve.process import WAIT, Server

pytest.importorskip("uvicorn", reason="needs the extra serve")

CASE = """
import sys
import uvicorn
from manynets.serve.ending import run_server
from manynets.serve.protocol import PatientProtocol

port, loop, timers = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "timers"
connections, stops = [], False

class Known(PatientProtocol):
    def connection_made(self, transport):
        super().connection_made(transport)
        connections.append(self)

async def app(scope, receive, send):
    global stops
    if scope["type"] == "lifespan":
        for name in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{name}.complete"})
        return
    stops = scope["path"] == "/stop"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})

async def stop():  # where uvicorn looks for a signal next, without reading in between
    if stops:
        print("stopped", flush=True)
        sys.stdin.readline()
        for connection in connections if timers else []:
            connection.timeout_keep_alive_handler()

print("loaded", flush=True)
run_server(uvicorn.Config(app, port=port, log_level="error", http=Known, loop=loop, callback_notify=stop, timeout_notify=0))
"""


class Stopped:
    """A server whose loop stands still after a request for /stop, until a line comes."""

    def __init__(self, loop: str, *, timers: bool = False) -> None:
        with socket.socket() as trial:
            trial.bind(("127.0.0.1", 0))
            self.port = int(trial.getsockname()[1])
        self.connections: list[socket.socket] = []
        command = [sys.executable, "-c", CASE, str(self.port), loop, "timers" if timers else ""]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self.line() == b"loaded\n"
        until = time.monotonic() + WAIT
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                self.connect().close()
                return
            time.sleep(0.05)
        raise AssertionError("the server did not start")

    def __enter__(self) -> Stopped:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self.connections:
            connection.close()
        self.process.kill()
        self.process.communicate()

    def line(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def connect(self) -> socket.socket:
        self.connections.append(socket.create_connection(("127.0.0.1", self.port), timeout=WAIT))
        return self.connections[-1]

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()


def get(path: bytes) -> bytes:
    return b"GET %s HTTP/1.1\r\nhost: localhost\r\n\r\n" % path


def answer_of(connection: socket.socket) -> bytes:
    found = b""
    while not found.endswith(b"\r\n\r\nok"):
        part = connection.recv(4096)
        assert part, f"the connection ended after {found!r}"
        found += part
    return found


@pytest.fixture(params=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest) -> str:
    if request.param == "uvloop":
        pytest.importorskip("uvloop", reason="not on this system")
    return str(request.param)


def wait_until_refused(address: tuple[str, int]) -> None:
    until = time.monotonic() + WAIT
    while time.monotonic() < until:
        with socket.create_connection(address, timeout=WAIT):
            time.sleep(0.05)


def test_a_request_that_has_arrived_unread_is_answered(loop: str) -> None:
    with Stopped(loop) as server:
        idle, quiet, half, last = (server.connect() for _ in range(4))
        for connection in (idle, quiet):
            connection.sendall(get(b"/"))
            assert b"connection: close" not in answer_of(connection)
        half.sendall(get(b"/")[:20])
        last.sendall(get(b"/stop"))
        answer_of(last)
        assert server.line() == b"stopped\n"
        idle.sendall(get(b"/"))
        new = server.connect()  # in the queue of those to be accepted
        new.sendall(get(b"/"))
        server.process.send_signal(signal.SIGTERM)
        server.go_on()
        for connection in (idle, new):
            assert b"connection: close" in answer_of(connection)
        half.sendall(get(b"/")[20:])
        assert b"connection: close" in answer_of(half)
        assert quiet.recv(1) == b""
        out, errors = server.process.communicate(timeout=WAIT)
        assert (server.process.returncode, out, errors) == (-signal.SIGTERM, b"", b"")  # and no word of connections that stayed


def test_an_idle_connection_is_not_closed_with_a_request_unread(loop: str) -> None:
    with Stopped(loop, timers=True) as server:
        connection = server.connect()
        connection.sendall(get(b"/stop"))
        answer_of(connection)
        assert server.line() == b"stopped\n"
        connection.sendall(get(b"/"))
        server.go_on()
        assert b"connection: close" not in answer_of(connection)


def test_workers_that_end_refuse_new_connections_and_finish_the_others(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    mn.train(x, x[:, 0], mn.MLP(hidden=(4,)), mn.Recipe(epochs=1), progress=False).save(tmp_path / "m.safetensors")
    server = Server(tmp_path / "m.safetensors", "--workers", "2")
    address = ("127.0.0.1", server.port)
    with server.process, socket.create_connection(address, timeout=WAIT) as begun:
        begun.sendall(
            b"POST /v1/models/m:predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 12\r\nexpect: 100-continue\r\n\r\n"
        )
        assert begun.recv(100).startswith(b"HTTP/1.1 100 ")
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionRefusedError):
            wait_until_refused(address)
        begun.sendall(b"[[1,2,3,4]] ")
        answer = begun.recv(4096)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in answer
        out, _ = server.process.communicate(timeout=WAIT)
        assert b"Traceback" not in out
