"""The limits of the server: what is just within one is answered, and what is just beyond it is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets.errors import OptionError

pytest.importorskip("fastapi", reason="needs the extra serve")
from starlette.testclient import TestClient

from manynets.serve import ServeSettings
from manynets.serve.app import create_app
from manynets.serve.batching import MOST_EXPLANATIONS, Batcher
from manynets.serve.rows import BadRequest
from manynets.serve.served import Question, ServedModel

PATH = "/v1/models/m:predict"
CSV = {"content-type": "text/csv"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    x = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    path = tmp_path_factory.mktemp("served") / "m.safetensors"
    mn.train(x, x[:, 0], mn.MLP(hidden=()), mn.Recipe(epochs=1), progress=False).save(path)
    return path


def client_of(path: Path, **limits: Any) -> TestClient:
    return TestClient(create_app(ServeSettings(models={"m": str(path)}, **limits)), base_url="http://localhost:8000")


def test_as_many_rows_as_are_allowed(saved: Path) -> None:
    with client_of(saved, max_rows=3) as client:
        for count, status in ((3, 200), (4, 413)):
            assert client.post(PATH, json=[[1.0, 2.0]] * count).status_code == status
            assert client.post(PATH, content="x0,x1\n" + "1,2\n" * count, headers=CSV).status_code == status


def test_as_many_bytes_as_are_allowed(saved: Path) -> None:
    body = json.dumps([[1.0, 2.0]]).encode()
    with client_of(saved, max_bytes=len(body)) as client:
        for more, status in ((b"", 200), (b" ", 413)):

            def parts(more: bytes = more) -> Iterator[bytes]:
                yield from (body[:5], body[5:], more)

            for content in (body + more, parts()):  # with a length in the header, and without
                answer = client.post(PATH, content=content)
                assert answer.status_code == status
                assert "retry-after" not in answer.headers  # the same request would be refused again


def test_a_body_that_was_answered_is_held_no_longer(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps([[1.0, 2.0]])
    monkeypatch.setattr("manynets.serve.predicting.MOST_HELD", 2 * len(body))
    with client_of(saved) as client:
        assert [client.post(PATH, content=body).status_code for _ in range(4)] == [200] * 4


def test_a_wrong_line_and_a_wrong_cell_are_named_by_their_row(saved: Path) -> None:
    with client_of(saved) as client:
        short = client.post(PATH, content="x0,x1\n1,2\n3\n", headers=CSV)
        assert (short.status_code, short.json()["error"]["row"]) == (422, 1)
        large = client.post(PATH, json=[[1.0, "2"], [1.0, "1e999"]])
        wanted = {"message": "the number is too large: it must be at most 1.8e+308", "column": "x1", "row": 1}
        assert (large.status_code, large.json()) == (422, {"error": wanted})


def test_as_many_rows_as_may_wait(saved: Path) -> None:
    served = ServedModel("m", str(saved))

    def question(rows: int) -> Question:
        return served.question(json.dumps([[1.0, 2.0]] * rows).encode(), "application/json", most=100)

    async def ask(batcher: Batcher, *sizes: int) -> list[int]:
        found = await asyncio.gather(*(batcher.answer(question(size)) for size in sizes), return_exceptions=True)
        return [one.status if isinstance(one, BadRequest) else len(one.predictions) for one in found]  # type: ignore[union-attr]

    async def all_of_it() -> None:
        batcher = Batcher(most=5)
        assert await ask(batcher, 3, 2, 1) == [3, 2, 503]
        assert batcher.rows_waiting == 0
        assert await ask(batcher, 4, 1) == [4, 1]  # those that were answered wait no longer
        assert await ask(batcher, 9) == [9]  # one that has the queue for itself
        batcher.close()

    asyncio.run(all_of_it())


def test_as_many_contributions_as_may_wait() -> None:
    async def all_of_it() -> None:
        batcher = Batcher(most=1)
        for _ in range(2):  # those that were computed wait no longer
            calls = (batcher.explained(lambda: 1) for _ in range(MOST_EXPLANATIONS + 1))
            found = await asyncio.gather(*calls, return_exceptions=True)
            assert [one == 1 for one in found] == [True] * MOST_EXPLANATIONS + [False]
            assert isinstance(found[-1], BadRequest)
            assert found[-1].status == 503
        batcher.close()

    asyncio.run(all_of_it())


def test_a_token_is_as_long_as_needed() -> None:
    options: dict[str, Any] = {"models": {"m": "runs/m"}, "host": "0.0.0.0"}
    assert ServeSettings(**options, token="x" * 16).token == "x" * 16
    with pytest.raises(OptionError, match="the token has 15 characters, but needs at least 16"):
        ServeSettings(**options, token="x" * 15)
