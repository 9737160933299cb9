"""A process of `manynets serve`, for the tests."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import weakref
from pathlib import Path
from typing import Any

__all__ = ["WAIT", "Server"]

WAIT = 240.0


class Server:
    """A process of `manynets serve`, which does not outlive this object."""

    def __init__(self, model: Path, *options: str) -> None:
        with socket.socket() as trial:
            trial.bind(("127.0.0.1", 0))
            self.port = int(trial.getsockname()[1])
        command = [sys.executable, "-m", "manynets", "serve", f"m={model}", "--port", str(self.port), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        weakref.finalize(self, _ended, self.process)  # also where a test fails or runs out of time
        self.wait()

    def wait(self) -> None:
        """Wait until the server answers."""
        until = time.monotonic() + WAIT
        while time.monotonic() < until:
            try:
                self.get("/readyz")
            except OSError:
                assert self.process.poll() is None, self.process.stdout.read()  # type: ignore[union-attr]
                time.sleep(0.1)
            else:
                return
        raise AssertionError("the server did not start")

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            return bytes(answer.read())

    def predict(self, rows: Any) -> Any:
        body = json.dumps(rows).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/models/m:predict", body, {"content-type": "application/json", "connection": "close"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())["predictions"]

    def end(self) -> tuple[int, str]:
        """End the process by SIGTERM; return its exit status and what it printed."""
        if self.process.poll() is None:
            self.process.terminate()
        out, _ = self.process.communicate(timeout=60)
        return self.process.returncode, out.decode()

    def workers(self) -> list[int]:
        """Return the ids of the processes that serve, but for the helper of multiprocessing."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    line = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if parent == self.process.pid and b"spawn_main" in line:
                    found.append(int(entry.name))
        return found or [self.process.pid]

    def memory(self) -> float:
        """Return the memory of the processes that serve, MiB."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.workers())
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _ended(process: subprocess.Popen[bytes]) -> None:
    """End a process that still runs."""
    if process.poll() is None:
        process.terminate()
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
