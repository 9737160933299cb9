"""What the server tells its clients, and who started it: where a request is wrong, and what it may hold."""

from __future__ import annotations

import logging
import math
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

from manynets.errors import OptionError
from tests.export.tables import fitted, target, wide_table
from tests.serve.hostile_requests import ROW

pytest.importorskip("fastapi", reason="needs the extra serve")
from starlette.testclient import TestClient

from manynets.serve import ServeSettings
from manynets.serve.app import create_app
from manynets.serve.running import when_listening
from manynets.serve.schema import columns_of
from manynets.serve.served import ServedModel

PATH = "/v1/models/m:predict"
WAIT = 30.0


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frame = wide_table()
    path = tmp_path_factory.mktemp("served") / "m.safetensors"
    fitted(frame, target(frame)).save(path)
    return path


@pytest.fixture(scope="module")
def client(saved: Path) -> Iterator[TestClient]:
    with TestClient(create_app(ServeSettings(models={"m": str(saved)})), base_url="http://localhost:8000") as found:
        yield found


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"records": [ROW], "columns": {}}, "the body must have nothing beside 'records', but has 'columns'"),
        ({"id": 7, "columns": {name: [cell] for name, cell in ROW.items()}}, "nothing beside 'columns', but has 'id'"),
        ({"records": ROW}, "'records' must be a list of rows"),
        ({"columns": [ROW]}, "'columns' must be an object with a list of cells for each column"),
        ([ROW | {"sold": "3.2.2001"}], "'3.2.2001' cannot be read as in training; send one such as 2024-12-31, or null"),
        ([ROW | {"opens": "25:00"}], "'25:00' cannot be read as in training; send one such as 13:45:00, or null"),
    ],
)
def test_a_wrong_body_is_told_what_it_should_be(client: TestClient, body: Any, words: str) -> None:
    answer = client.post(PATH, json=body)
    assert answer.status_code == 422
    assert words in answer.json()["error"]["message"]


def test_csv_under_another_content_type_is_told_the_right_one(client: TestClient) -> None:
    answer = client.post(PATH, content=wide_table()[:2].write_csv(), headers={"content-type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].endswith("; CSV needs the header content-type: text/csv")


def test_a_compressed_body_is_refused(client: TestClient) -> None:
    answer = client.post(PATH, json=[ROW], headers={"content-encoding": "gzip"})
    assert answer.status_code == 415
    assert answer.json()["error"]["message"] == "the body is compressed (content-encoding: gzip); send it as it is"
    assert client.post(PATH, json=[ROW], headers={"content-encoding": "identity"}).status_code == 200


def test_a_query_names_nothing_twice(client: TestClient) -> None:
    answer = client.post(f"{PATH}?interval=0.9&interval=0.8", json=[ROW])
    assert (answer.status_code, answer.json()["error"]["message"]) == (422, "the query names a parameter twice")


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/models/nothing"), ("POST", "/v1/models/nothing:predict")])
def test_an_unknown_model_is_told_where_the_models_are(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "there is no model 'nothing'; GET /v1/models lists those that there are"


def test_the_document_says_what_the_columns_hold(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    records, columns = document["paths"][PATH]["post"]["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    cells = records["properties"]["records"]["items"]["properties"]
    assert cells["rooms"]["description"] == "in training from 1 to 5"
    assert cells["sold"]["description"] == "as in training, such as 2024-12-31"
    assert cells["opens"]["description"] == "as in training, such as 13:45:00"
    assert "boolean" in cells["rooms"]["type"]
    assert client.post(PATH, json=[ROW | {"rooms": True}]).status_code == 200
    assert columns["properties"]["columns"]["required"] == list(cells)


def test_the_range_of_a_column_is_what_training_had() -> None:
    x = np.arange(60) % 5
    frame = polars.DataFrame({"small": x, "shares": x * 0.75, "tenths": 2 + x * 34.825, "large": x * 1e9})
    model = fitted(frame, np.random.default_rng(0).normal(size=60), validation=None)
    assert [(column["from"], column["to"]) for column in columns_of(model)] == [(0, 4), (0, 3), (2, 141.3), (0, 4e9)]
    assert not any(math.copysign(1.0, column["from"]) < 0 for column in columns_of(model))  # -0


def test_a_damaged_file_is_named_once(saved: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(saved.read_bytes())
    served = ServedModel("m", str(path))
    path.write_bytes(b"damaged")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert not served.reload()
        assert len(caplog.records) == 1
        path.unlink()
        assert not served.reload()
    assert ["ModelFileError" in caplog.text, "FileNotFoundError" in caplog.text, len(caplog.records)] == [True, True, 2]


def test_settings_are_named_as_the_options(saved: Path) -> None:
    for name, option in (("max_bytes", "--max-body"), ("max_rows", "--max-rows")):
        with pytest.raises(OptionError, match=f"^{option} is -1, but must be from 1 to "):
            ServeSettings(models={"m": str(saved)}, **{name: -1})  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"^the token has 1 character, but needs at least 16$"):
        ServeSettings(models={"m": str(saved)}, token="x")


def test_a_server_is_announced_when_it_listens(saved: Path) -> None:
    called = threading.Event()
    with socket.socket() as late:
        late.bind(("127.0.0.1", 0))
        when_listening(ServeSettings(models={"m": str(saved)}, port=late.getsockname()[1]), called.set)
        assert not called.wait(0.5)
        late.listen()
        assert called.wait(WAIT)


def test_a_server_of_several_workers_says_so_once_they_answer(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from manynets.cli import main
    from manynets.serve import running

    order: list[str] = []
    monkeypatch.setattr(running, "when_listening", lambda settings, call: order.append(f"waits for {settings.workers}"))
    monkeypatch.setattr(running, "run", lambda settings, app: order.append("runs"))
    monkeypatch.setattr("rich.console.Console.print", lambda *_, **__: order.append("says so"))
    for options in (["--workers", "2"], []):
        with pytest.raises(SystemExit) as ended:
            main(["serve", str(saved), *options])
        assert ended.value.code == 0
    assert order == ["waits for 2", "runs", "says so", "runs"]


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/v1/models/m:predict/", "leave out the slash at its end"),
        ("/v1/models/", "leave out the slash at its end"),
        ("/v2", "GET /openapi.json lists the paths"),
    ],
)
def test_a_path_with_nothing_at_it(client: TestClient, path: str, hint: str) -> None:
    for answer in (client.get(path, follow_redirects=False), client.post(path, json=[ROW], follow_redirects=False)):
        assert (answer.status_code, answer.json()) == (404, {"error": {"message": f"there is nothing at {path!r}; {hint}"}})
    assert client.get("/openapi.json").status_code == 200
