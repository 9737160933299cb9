"""A server under load: its memory, its answers, and its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manynets.model import Model
from tests.export.tables import fitted, target, wide_table
from tests.serve.process import Server
from tests.tolerances import assert_close

pytest.importorskip("uvicorn", reason="needs the extra serve")

CONNECTIONS = 64
GROWTH = 16.0
"""MiB that the memory may grow between the 20,000th and the last request."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Model, list[bytes], Any, Any]:
    """Return a model file, the model, requests of one row each, and the labels and probabilities of those rows."""
    frame = wide_table(500)
    model = fitted(frame, np.where(target(frame) > 160, "dear", "cheap"), n_networks=2)
    path = tmp_path_factory.mktemp("served") / "m.safetensors"
    model.save(path)
    requests = []
    for record in frame.to_dicts():
        body = json.dumps({"records": [record]}).encode()
        requests.append(
            b"POST /v1/models/m:predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
        )
    return path, model, requests, model.predict(frame), model.predict_proba(frame)


async def answered(reader: asyncio.StreamReader) -> tuple[dict[str, Any], bool] | None:
    """Return an answer and whether it says that the connection ends, None where the connection ends before its first byte."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except ConnectionResetError:
        return None
    except asyncio.IncompleteReadError as error:
        if error.partial:  # an answer that is cut off
            raise
        return None
    assert head.startswith(b"HTTP/1.1 200 "), head
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return json.loads(await reader.readexactly(length)), b"\r\nconnection: close\r\n" in head


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_memory_stays_flat_and_answers_are_predictions(served: tuple[Path, Model, list[bytes], Any, Any]) -> None:
    path, _, requests, labels, shares = served
    count = int(os.environ.get("SERVE_REQUESTS", "100000"))
    server = Server(path)
    memory: list[float] = []
    differences = [0.0]

    async def connection(first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for number in range(first, count, CONNECTIONS):
            writer.write(requests[number % len(requests)])
            found = await answered(reader)
            assert found is not None
            answer, _ = found
            row = number % len(requests)
            assert answer["predictions"] == [labels[row]]
            differences.append(float(np.abs(np.array(answer["probabilities"][0]) - shares[row]).max()))
            if number % 20_000 == 0:
                memory.append(server.memory())
        writer.close()

    async def together() -> None:
        await asyncio.gather(*(connection(first) for first in range(CONNECTIONS)))

    asyncio.run(together())
    memory.append(server.memory())
    print([round(value) for value in memory], max(differences))
    assert_close(np.array(max(differences)), np.array(0.0), "float32")
    assert memory[-1] - memory[1] < GROWTH
    assert "Traceback" not in server.end()[1]


@pytest.mark.slow
def test_sigterm_under_load_loses_no_request(served: tuple[Path, Model, list[bytes], Any, Any]) -> None:
    """A request is lost only where it came after the server had waited for one long enough, and had closed the idle connection."""
    from manynets.serve.protocol import PARTING_SECONDS

    path, _, requests, labels, _ = served
    server = Server(path)
    ended: list[float] = []
    unanswered: list[float] = []
    answers: list[int] = []

    async def connection(first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        number, closes = first, False
        while not closes:
            row = number % len(requests)
            writer.write(requests[row])
            sent = time.monotonic()
            found = await answered(reader)
            if found is None:
                unanswered.append(sent)
                break
            answer, closes = found
            assert answer["predictions"] == [labels[row]]
            answers.append(row)
            number += CONNECTIONS
        writer.close()

    async def end() -> None:
        await asyncio.sleep(2.0)
        ended.append(time.monotonic())
        server.process.send_signal(signal.SIGTERM)

    async def together() -> None:
        await asyncio.gather(end(), *(connection(first) for first in range(CONNECTIONS)))

    asyncio.run(asyncio.wait_for(together(), 120))
    assert len(answers) > CONNECTIONS
    assert all(sent > ended[0] + PARTING_SECONDS for sent in unanswered)
    assert "Traceback" not in server.end()[1]
