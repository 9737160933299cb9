"""Hostile requests to a real server: python -m tests.serve.hostile --requests 1000000 --seed 1. Prints the result as JSON.

Of a million requests 994,500 are raw (`hostile_requests.py`; 5 of 100 are connections that are no HTTP), 5,000 come from schemathesis,
which reads the OpenAPI document, and 500 are senders that never finish, all at the same time. No answer may be an error of the server
or show a traceback or a path, none may take longer than WAIT, and afterwards the server must predict as before.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import concurrent.futures
import contextlib
import json
import math
import multiprocessing
import random
import socket
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

import manynets as mn
from tests.export.tables import fitted, target, wide_table
from tests.serve.hostile_requests import ROW, broken_connection, framed_request
from tests.serve.process import Server

__all__ = ["hostile"]

WAIT = 60.0
TIMEOUT = 5.0
"""Of the server, for a body."""
TOGETHER = 20
"""Requests that are sent before the first answer is read."""
BROKEN = 0.05
CLIENTS = 2
FINE = {200, 400, 401, 403, 404, 405, 408, 411, 413, 415, 421, 422, 503}
SECRETS = (b"Traceback", str(Path(mn.__file__).parent).encode())


def _answer(file: BinaryIO, *, without_body: bool) -> tuple[int, bytes, bool] | None:
    """Return status, body, and whether the connection goes on; None where it has ended."""
    while True:
        line = file.readline()
        if not line:
            return None
        status = int(line.split()[1])
        headers = {}
        while (header := file.readline()) not in (b"\r\n", b""):
            name, _, value = header.partition(b":")
            headers[name.lower()] = value.strip()
        if status != 100:
            break
    length = 0 if without_body else int(headers.get(b"content-length", 0))
    body = file.read(length)
    return status, line + body, headers.get(b"connection") != b"close" and len(body) == length


class RawClient:
    """Sends raw requests; counts the answers by status, and keeps the first ones that should not be."""

    def __init__(self, port: int, seed: int) -> None:
        self.port, self.rng = port, random.Random(seed)
        self.counts: collections.Counter[str] = collections.Counter()
        self.faults: list[str] = []
        self.slowest = 0.0

    def send(self, count: int, *, until: float = math.inf) -> None:
        """Send so many requests that are answered, or connections that are broken; until: when to stop, as of time.time."""
        connection, file = self._connect()
        done = 0
        while done < count and len(self.faults) < 10 and time.time() < until:
            if self.rng.random() < BROKEN * TOGETHER / (1 + BROKEN * TOGETHER - BROKEN):
                self._broken()
                done += 1
                continue
            requests = [framed_request(self.rng) for _ in range(min(TOGETHER, count - done))]
            began = time.monotonic()
            goes_on = True
            try:
                connection.sendall(b"".join(request for request, _ in requests))
                for request, without_body in requests:
                    found = _answer(file, without_body=without_body)
                    goes_on = found is not None and found[2]
                    if found is not None:
                        self._check(found[0], found[1], request)
                        done += 1
                    if not goes_on:
                        break
            except TimeoutError:
                self.faults.append(f"no answer within {WAIT} s to {[request[:200] for request, _ in requests]}")
                goes_on = False
            except OSError:  # the server closed it first
                goes_on = False
            self.slowest = max(self.slowest, time.monotonic() - began)
            if not goes_on:
                file.close()
                connection.close()
                connection, file = self._connect()
        file.close()
        connection.close()

    def _connect(self) -> tuple[socket.socket, BinaryIO]:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=WAIT)
        return connection, connection.makefile("rb")

    def _broken(self) -> None:
        """Send what is no request, then close one half or both; read what comes."""
        text = broken_connection(self.rng)
        self.counts["broken"] += 1
        with self._connect()[0] as connection:
            try:
                connection.sendall(text)
                if self.rng.random() < 0.5:
                    return
                connection.shutdown(socket.SHUT_WR)
                answer = b""
                while part := connection.recv(1 << 16):
                    answer += part
            except TimeoutError:
                self.faults.append(f"not closed within {WAIT} s: {text[:500]!r}")
                return
            except OSError:  # the server closed it first
                return
        if answer.startswith(b"HTTP/1.1 5") or any(secret in answer for secret in SECRETS):
            self.faults.append(f"{answer[:500]!r} to {text[:500]!r}")

    def _check(self, status: int, answer: bytes, request: bytes) -> None:
        self.counts[str(status)] += 1
        if status not in FINE or any(secret in answer for secret in SECRETS):
            self.faults.append(f"{answer[:500]!r} to {request[:1000]!r}")


def _raw(port: int, count: int, seed: int, until: float) -> dict[str, Any]:
    client = RawClient(port, seed)
    client.send(count, until=until)
    return {"counts": dict(client.counts), "faults": client.faults, "slowest": client.slowest}


def _by_schema(port: int, count: int, seed: int, until: float) -> dict[str, Any]:
    """Send requests that schemathesis draws from the OpenAPI document, right ones and wrong ones."""
    import hypothesis
    import schemathesis
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

    warnings.simplefilter("ignore")
    checks: Any = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json")
    operations: list[Any] = [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr]
    sent, faults = 0, []
    for number, operation in enumerate(operations):
        share = count // 20 if operation.method == "get" else count
        modes = list(schemathesis.GenerationMode)
        for mode in modes if operation.method != "get" else modes[:1]:

            @hypothesis.seed(seed + number)
            @hypothesis.settings(
                max_examples=max(1, share // 2), deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
            )
            @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                nonlocal sent
                if time.time() > until:
                    return
                sent += 1
                case.call_and_validate(checks=checks)

            try:
                ask()
            except BaseException as error:
                faults.append(f"{operation.label}: {str(error)[:1500]}")
    return {"counts": {"schemathesis": sent}, "faults": faults, "slowest": 0.0}


async def _slow_sender(port: int, kind: int) -> float:
    """Send a byte a second until the server ends the connection; return how long that took."""
    heads = [
        b"GET /healthz HTTP/1.1\r\nx: ",
        b"POST /v1/models/m:predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9999\r\n\r\n[",
        b"",
    ]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.monotonic()
    writer.write(heads[kind % 3])

    async def drip() -> None:
        while kind % 3 < 2:
            await asyncio.sleep(1.0)
            writer.write(b"1")
            await writer.drain()

    dripping = asyncio.create_task(drip())
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        await asyncio.wait_for(reader.read(), WAIT)
    dripping.cancel()
    await asyncio.gather(dripping, return_exceptions=True)
    writer.close()
    return time.monotonic() - began


def _slowly(port: int, count: int) -> dict[str, Any]:
    async def together() -> list[Any]:
        return await asyncio.gather(*(_slow_sender(port, kind) for kind in range(count)), return_exceptions=True)

    found = asyncio.run(together())
    faults = [f"a slow sender: {type(one).__name__}" for one in found if isinstance(one, BaseException)]
    seconds = max((one for one in found if isinstance(one, float)), default=0.0)
    return {"counts": {"slow": count - len(faults)}, "faults": faults[:10], "slowest": seconds}


def _result(running: concurrent.futures.Future[dict[str, Any]]) -> dict[str, Any]:
    """Return the result of a sender, or as a fault what it failed with."""
    error = running.exception()
    return running.result() if error is None else {"counts": {}, "faults": [f"a sender failed: {error!r}"], "slowest": 0.0}


def hostile(requests: int, seed: int, *, minutes: float = 15.0) -> dict[str, Any]:
    """Send so many requests, or those of so many minutes. Return counts, faults, the slowest answer in seconds, and the memory of the server in MiB: before, highest."""
    slow, by_schema = requests // 2000, requests // 200
    raw = requests - slow - by_schema
    with tempfile.TemporaryDirectory() as folder:
        frame = wide_table()
        model = fitted(frame, np.where(target(frame) > 160, "dear", "cheap"), n_networks=2)
        model.save(Path(folder) / "m.safetensors")
        server = Server(Path(folder) / "m.safetensors", "--timeout", f"{TIMEOUT:g}")
        before = server.predict([ROW])
        _raw(server.port, 500, seed + 99, math.inf)  # until everything is imported
        memory = [server.memory()]
        began, until = time.monotonic(), time.time() + 60 * minutes
        with concurrent.futures.ProcessPoolExecutor(CLIENTS + 2, multiprocessing.get_context("spawn")) as pool:
            shares = [raw // CLIENTS + (number < raw % CLIENTS) for number in range(CLIENTS)]
            running = [pool.submit(_raw, server.port, share, seed + number, until) for number, share in enumerate(shares)]
            running += [pool.submit(_by_schema, server.port, by_schema, seed, until), pool.submit(_slowly, server.port, slow)]
            waited = 0.0
            while not all(one.done() for one in running):
                time.sleep(1.0)
                asked = time.monotonic()
                server.get("/healthz")
                waited = max(waited, time.monotonic() - asked)
                memory.append(server.memory())
            found = [_result(one) for one in running]
        seconds = time.monotonic() - began
        alive = server.process.poll() is None and server.predict([ROW]) == before
        status, printed = server.end()
    counts = sum((collections.Counter(one["counts"]) for one in found), collections.Counter[str]())
    faults = [fault for one in found for fault in one["faults"]]
    faults += [] if alive else ["the server no longer predicts as before"]
    faults += [f"the server printed: {printed[:2000]}"] if "Traceback" in printed else []
    return {
        "requests": counts.total(), "counts": dict(sorted(counts.items())), "faults": faults, "seconds": round(seconds),
        "slowest_answer": round(max(one["slowest"] for one in found[:CLIENTS]), 2), "slowest_healthz": round(waited, 2),
        "slow_senders_ended_after": round(found[-1]["slowest"], 1), "memory_before": round(memory[0]), "memory_highest": round(max(memory)),
        "memory_last": round(memory[-1]), "exit": status,
    }  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=15.0, help="at most (default 15)")
    options = parser.parse_args()
    print(json.dumps(hostile(options.requests, options.seed, minutes=options.minutes), indent=1))
