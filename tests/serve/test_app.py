"""The server in this process: its answers, its errors, and whom it answers."""

from __future__ import annotations

import json
import re
import shutil
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

import manynets as mn
from manynets.errors import OptionError
from manynets.model import Model
from tests.export.tables import fitted, target, wide_table
from tests.serve.hostile_requests import ROW
from tests.tolerances import assert_close

pytest.importorskip("fastapi", reason="needs the extra serve")
from starlette.testclient import TestClient

from manynets.serve import ServeSettings
from manynets.serve.app import create_app
from manynets.serve.rows import MOST_NAMED, BadRequest, RowReader

TOKEN = "a-token-of-many-characters"


def row(**cells: Any) -> dict[str, Any]:
    """Return a record as a program sends it."""
    return ROW | cells


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Model]:
    frame = wide_table()
    model = fitted(frame, np.where(target(frame) > 160, "dear", "cheap"), n_networks=2)
    path = tmp_path_factory.mktemp("served") / "houses.safetensors"
    model.save(path)
    return path, model


@pytest.fixture
def client(classifier: tuple[Path, Model]) -> Iterator[TestClient]:
    with client_of(ServeSettings(models={"houses": str(classifier[0])})) as found:
        yield found


def client_of(settings: ServeSettings, *, host: str = "localhost:8000") -> TestClient:
    return TestClient(create_app(settings), base_url=f"http://{host}", raise_server_exceptions=False)


def frame_of(*records: dict[str, Any]) -> polars.DataFrame:
    return polars.DataFrame([{**record, "weight": str(record["weight"])} for record in records])


def test_records_columns_and_csv_give_what_the_model_predicts(client: TestClient, classifier: tuple[Path, Model]) -> None:
    records = [row(), row(size=None, color=None, new=False), row(rooms="5", town="nowhere", sold=None)]
    frame = frame_of(*[record | {"rooms": int(record["rooms"])} for record in records])
    wanted, shares = classifier[1].predict(frame), classifier[1].predict_proba(frame)
    columns = {name: [record[name] for record in records] for name in records[0]}
    text = frame.write_csv()
    bodies: list[dict[str, Any]] = [
        {"json": {"records": records}},
        {"json": records},
        {"json": {"columns": columns}},
        {"json": columns},
        {"content": text, "headers": {"content-type": "text/csv; charset=utf-8"}},
    ]
    for body in bodies:
        answer = client.post("/v1/models/houses:predict", **body)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert found["predictions"] == wanted.tolist()
        assert_close(np.array(found["probabilities"]), shares.astype(np.float64), "float32")
        assert found["classes"] == ["cheap", "dear"]
        assert found["model"] == "houses"


@pytest.mark.parametrize("scaling", [None, False])
def test_an_array_and_numbers(scaling: Any, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    model = mn.train(x, x[:, 0] * 10, mn.MLP(hidden=(4,)), mn.Recipe(epochs=1), scaling=scaling, progress=False)
    model.save(tmp_path / "m.safetensors")
    with client_of(ServeSettings(models={"m": str(tmp_path / "m.safetensors")})) as client:
        answer = client.post("/v1/models/m:predict", json={"records": x.tolist()})
        assert_close(np.array(answer.json()["predictions"]), model.predict(x), "float32")
        assert "probabilities" not in answer.json()
        named = client.post("/v1/models/m:predict", json=[{"x0": 1.0, "x1": 2, "x2": "3"}])
        assert_close(np.array(named.json()["predictions"]), model.predict([[1.0, 2.0, 3.0]]), "float32")
        short = client.post("/v1/models/m:predict", json=[[1.0, 2.0]])
        assert (short.status_code, short.json()["error"]["row"]) == (422, 0)
        gap = client.post("/v1/models/m:predict", json=[[1.0, 2.0, None]])
        if scaling is None:
            assert_close(np.array(gap.json()["predictions"]), model.predict([[1.0, 2.0, np.nan]]), "float32")
            return
        assert (gap.status_code, gap.json()["error"]) == (
            422,
            {"message": "a number is missing, but the columns of this model may not have gaps", "column": "x2", "row": 0},
        )


def test_quantiles_are_beside_the_predictions(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    recipe = mn.Recipe(loss="quantile", quantile=(0.1, 0.5, 0.9), epochs=1)
    model = mn.train(x, x[:, 0] * 10, mn.MLP(hidden=(4,)), recipe, progress=False)
    model.save(tmp_path / "m.safetensors")
    with client_of(ServeSettings(models={"m": str(tmp_path / "m.safetensors")})) as client:
        found = client.post("/v1/models/m:predict", json={"records": x[:4].tolist()}).json()
    assert found["quantiles"]["levels"] == [0.1, 0.5, 0.9]
    assert_close(np.array(found["quantiles"]["values"]), model.predict_quantiles(x[:4]), "float32")


def test_an_array_with_gaps(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(200, 4))
    x[::7, 2] = np.nan
    x[:, 3] = np.nan
    with pytest.warns(UserWarning, match="x3"):
        model = mn.TabularRegressor(preset="fast", n_networks=2).fit(x, x[:, 0]).model_
    model.save(tmp_path / "m.safetensors")
    with client_of(ServeSettings(models={"m": str(tmp_path / "m.safetensors")})) as client:
        answer = client.post("/v1/models/m:predict", json=[[1.0, 2, None, "3"], [0, "", 1, None]])
        wanted = model.predict([[1.0, 2.0, np.nan, 3.0], [0.0, np.nan, 1.0, np.nan]])
        assert_close(np.array(answer.json()["predictions"]), wanted, "float32")


def test_intervals_and_contributions(tmp_path: Path) -> None:
    frame = wide_table()
    model = fitted(frame, target(frame), validation=0.3)
    model.save(tmp_path / "m.safetensors")
    records = [row(), row(size=None, color=None)]
    rows = frame_of(*records)
    with client_of(ServeSettings(models={"m": str(tmp_path / "m.safetensors")})) as client:
        found = client.post("/v1/models/m:predict?interval=0.8&contributions=true", json=records).json()
        limits = model.predict_interval(rows, 0.8)
        assert found["interval"]["coverage"] == 0.8
        assert_close(np.array(found["interval"]["lower"]), limits[:, 0], "float32")
        assert_close(np.array(found["interval"]["upper"]), limits[:, 1], "float32")
        parts = found["contributions"]
        assert parts["columns"] == list(frame.columns)
        assert parts["outputs"] == ["prediction"]
        assert_close(parts["base"] + np.array(parts["values"]).sum(axis=1), model.predict(rows), "float32_run")
        assert client.get("/v1/models/m").json()["interval"] is True
        plain = client.post("/v1/models/m:predict", json=records).json()
        assert plain["predictions"] == found["predictions"]
        assert not {"interval", "contributions"} & set(plain)
        for query, words in [
            ("interval=90", "interval is '90', but must be a number above 0 and below 1"),
            ("interval=0.9999", "held-out rows support at most"),
            ("contributions=perhaps", "contributions is 'perhaps'"),
            ("intervals=0.9", "did you mean 'interval'"),
            ("=&=", "the query cannot be read"),
        ]:
            answer = client.post(f"/v1/models/m:predict?{query}", json=records)
            assert answer.status_code == 422
            assert words in answer.json()["error"]["message"]
        many = client.post("/v1/models/m:predict?contributions=true", json=[row()] * 101)
        assert (many.status_code, many.json()["error"]["message"]) == (
            422,
            "the request asks for contributions to 101 rows, but this model gives them for at most 100",
        )


def test_contributions_to_classes(client: TestClient, classifier: tuple[Path, Model]) -> None:
    found = client.post("/v1/models/houses:predict?contributions=1", json=[row()]).json()["contributions"]
    assert found["outputs"] == ["cheap", "dear"]
    total = np.array(found["base"]) + np.array(found["values"]).sum(axis=1)
    assert_close(total, classifier[1].predict_proba(frame_of(row())).astype(np.float64), "float32_run")
    refused = client.post("/v1/models/houses:predict?interval=0.9", json=[row()])
    assert refused.status_code == 422
    assert "intervals are for numbers" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "where", "words"),
    [
        ([row(), row(size="large")], 422, ("size", 1), "'large' is not a number"),
        ([row(), row(size=[1])], 422, ("size", 1), "is not a number"),
        ([row(size=10**400)], 422, ("size", 0), "too large"),
        ([row(weight="3 lb")], 422, ("weight", 0), "is not a number"),
        ([row(), row(sold="sometime")], 422, ("sold", 1), "'sometime' cannot be read"),
        ([row(), row(town="\ud800")], 422, ("town", 1), "neither text nor a number"),
        ([row(town="x" * 10_001)], 422, ("town", 0), "more than 10,000 characters"),
        ([*[row()] * 20, row(sold="sometime"), *[row()] * 20, row(sold="never")], 422, ("sold", 20), "'sometime' cannot be read"),
        ([row(color={"a": 1})], 422, ("color", 0), "dict is neither text"),
        ([{name: cell for name, cell in row().items() if name != "town"}], 422, ("town", 0), "'town' is missing"),
        ({"columns": {"size": [1, 2], "rooms": [1]}}, 422, ("rooms", None), "has 1 cell, but others have 2"),
        ({"columns": {"size": 1}}, 422, ("size", None), "must be a list"),
        ({"columns": {}}, 422, (None, None), "0 rows"),
        ({"instances": [row()]}, 422, (None, None), 'rows must come as {"records": [...]}, not as {"instances": [...]}'),
        ([], 422, (None, None), "0 rows"),
        ([1], 422, (None, 0), "must be an object"),
        ("text", 422, (None, None), "must be"),
        (12, 422, (None, None), "must be"),
    ],
)
def test_wrong_cells_are_named(client: TestClient, body: Any, status: int, where: Any, words: str) -> None:
    answer = client.post("/v1/models/houses:predict", content=json.dumps(body))
    error = answer.json()["error"]
    assert answer.status_code == status
    assert words in error["message"]
    assert (error.get("column"), error.get("row")) == where


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b'[{"size": NaN}]', b"[" * 100_000, b'{"records": [1' + b"0" * 5000 + b"]}", b"9" * 5000]
)
def test_bodies_that_are_no_json(client: TestClient, content: bytes) -> None:
    answer = client.post("/v1/models/houses:predict", content=content)
    assert answer.status_code in (400, 422)
    assert "Traceback" not in answer.text
    assert set(answer.json()) == {"error"}


@pytest.mark.parametrize("text", ["", "size\n1,2\n", "size,size\n1,2\n", "size\n1\n", "\xff"])
def test_bodies_that_are_no_table(client: TestClient, text: str) -> None:
    answer = client.post("/v1/models/houses:predict", content=text.encode("latin-1"), headers={"content-type": "text/csv"})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["message"]


def test_other_columns_are_reported(client: TestClient) -> None:
    answer = client.post("/v1/models/houses:predict", json=[row(garden=True)])
    assert answer.json()["ignored_columns"] == ["garden"]


def test_unknown_names_of_records_take_no_memory() -> None:
    names = {f"n{j}": 1 for j in range(3000)}
    body = json.dumps([names | {"x0": 1}] + [{"x0": 1}] * 20_000).encode()
    reader = RowReader(None, ["x0"])
    tracemalloc.start()
    try:
        rows = reader.read(body, "application/json", most=100_000)
        with pytest.raises(BadRequest, match="20,001 rows"):
            reader.read(body, "application/json", most=100)
        assert tracemalloc.get_traced_memory()[1] < 100e6  # columns for them would take 480 MB
    finally:
        tracemalloc.stop()
    assert (rows.count, len(rows.ignored)) == (20_001, MOST_NAMED)


def test_limits(classifier: tuple[Path, Model]) -> None:
    settings = ServeSettings(models={"houses": str(classifier[0])}, max_bytes=2000, max_rows=3)
    with client_of(settings) as client:
        many = client.post("/v1/models/houses:predict", json={"columns": {name: [cell] * 4 for name, cell in row().items()}})
        assert (many.status_code, many.json()["error"]["message"]) == (413, "the request has 4 rows, but must have from 1 to 3")
        lines = b"a,b\n" + b"1,2\n" * 4
        text = client.post("/v1/models/houses:predict", content=lines, headers={"content-type": "text/csv"})
        assert (text.status_code, text.json()["error"]["message"]) == (413, "the request has more than 3 rows")
        large = client.post("/v1/models/houses:predict", content=b" " * 3000)
        assert (large.status_code, large.json()["error"]["message"]) == (413, "the body is larger than 2,000 bytes")

        def parts() -> Iterator[bytes]:
            yield from (b" " * 1000 for _ in range(3))

        assert client.post("/v1/models/houses:predict", content=parts()).status_code == 413  # without a length


def test_the_bodies_in_memory_are_bounded(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manynets.serve.predicting.MOST_HELD", 1000)
    answer = client.post("/v1/models/houses:predict", content=b" " * 2000)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "too many large requests" in answer.json()["error"]["message"]
    assert client.post("/v1/models/houses:predict", json=[row()]).status_code == 200  # what was refused is not counted


def test_requests_that_arrive_together_get_their_own_answers(client: TestClient, classifier: tuple[Path, Model]) -> None:
    sizes = list(range(40, 140, 5))
    wanted = classifier[1].predict_proba(frame_of(*[row(size=size) for size in sizes]))
    found: dict[int, Any] = {}

    def ask(size: int) -> None:
        bad = client.post("/v1/models/houses:predict", json=[row(sold="sometime")])
        found[size] = client.post("/v1/models/houses:predict", json=[row(size=size)]).json()["probabilities"][0]
        found[-size] = bad.status_code

    threads = [threading.Thread(target=ask, args=(size,)) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_close(np.array([found[size] for size in sizes]), wanted.astype(np.float64), "float32")
    assert {found[-size] for size in sizes} == {422}


def test_a_changed_file_is_loaded_and_a_damaged_one_is_not(classifier: tuple[Path, Model], tmp_path: Path) -> None:
    from manynets.serve.served import ServedModel

    path = tmp_path / "m.safetensors"
    shutil.copy(classifier[0], path)
    served = ServedModel("m", str(path))
    before = served.loaded.version
    assert not served.reload()
    path.write_bytes(b"damaged")
    assert not served.reload()
    assert served.loaded.version == before
    frame = wide_table()
    fitted(frame, target(frame)).save(path)
    assert served.reload()
    assert served.loaded.version != before
    assert served.loaded.model.task.name == "regression"


def test_a_request_is_answered_by_the_model_it_was_read_for(classifier: tuple[Path, Model], tmp_path: Path) -> None:
    from manynets.serve.served import Answer, ServedModel, answers

    path = tmp_path / "m.safetensors"
    shutil.copy(classifier[0], path)
    served = ServedModel("m", str(path))
    first = served.question(json.dumps([row()]).encode(), "application/json", most=9)
    x = np.zeros((8, 2), dtype=np.float32)
    model = mn.train(x, np.arange(8.0), mn.MLP(hidden=()), mn.Recipe(epochs=1), progress=False)
    model.save(path)
    assert served.reload()
    second = served.question(b"[[1, 2]]", "application/json", most=9)
    found = answers([first, second, first])
    assert [answer.predictions for answer in found if isinstance(answer, Answer)] == [
        classifier[1].predict(frame_of(row())).tolist(),
        model.predict([[1.0, 2.0]]).tolist(),
        classifier[1].predict(frame_of(row())).tolist(),
    ]
    assert first.loaded.version != second.loaded.version


def test_who_is_answered(classifier: tuple[Path, Model]) -> None:
    models = {"houses": str(classifier[0])}
    with client_of(ServeSettings(models=models)) as client:
        assert client.get("/v1/models").status_code == 200
        for host in ("evil.example", "localhost.evil.example", "127.0.0.1.nip.io", ""):
            assert client.get("/v1/models", headers={"host": host}).status_code == 421
        assert client.get("/v1/models", headers={"host": "[::1]:8000"}).status_code == 200
        for origin in ("http://evil.example", "null", "https://localhost:8000", "http://localhost:8001"):
            assert client.get("/v1/models", headers={"origin": origin}).status_code == 403
        assert client.get("/v1/models", headers={"origin": "http://localhost:8000"}).status_code == 200
        assert "access-control-allow-origin" not in client.options("/v1/models").headers
    settings = ServeSettings(models=models, host="0.0.0.0", token=TOKEN, allowed_hosts=("models.example",))
    with client_of(settings, host="models.example") as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/docs").status_code == 200  # it asks for the token
        for path in ("/v1/models", "/metrics", "/openapi.json"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers={"authorization": f"Bearer {TOKEN}x"}).status_code == 401
            assert client.get(path, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"host": "0.0.0.0"}, "set a token"),
        ({"token": "short"}, "needs at least 16"),
        ({"token": "has blanks in it, so it is refused"}, "without spaces"),
        ({"port": 0}, "port is 0, but must be from 1 to 65535"),
        ({"workers": 0}, "workers is 0"),
        ({"certificate": "a.pem"}, "TLS needs both"),
        ({"models": {}}, "no model to serve"),
        ({"models": {"a/b": "x"}}, "cannot be the name of a model"),
        ({"timeout": 0.0}, "timeout is 0.0"),
    ],
)
def test_settings_are_checked(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        ServeSettings(**{"models": {"m": "runs/m"}, **options})


def test_settings_survive_as_text() -> None:
    settings = ServeSettings(models={"m": "runs/m"}, allowed_hosts=("a", "b"), token=TOKEN)
    assert ServeSettings.from_json(settings.to_json()) == settings


def test_what_a_model_says_of_itself(client: TestClient) -> None:
    about = client.get("/v1/models/houses").json()
    columns = {column["name"]: column for column in about["columns"]}
    assert about["task"] == "binary"
    assert columns["weight"]["unit"] == "kg"
    assert "red" in columns["color"]["levels"]
    api = client.get("/openapi.json").json()
    post = api["paths"]["/v1/models/houses:predict"]["post"]
    assert post["requestBody"]["content"]["application/json"]["example"]["records"]
    example = post["requestBody"]["content"]["application/json"]["example"]
    assert client.post("/v1/models/houses:predict", json=example).status_code == 200
    assert set(post["responses"]) >= {"200", "422", "503"}


def test_pages_metrics_and_errors(client: TestClient) -> None:
    client.post("/v1/models/houses:predict", json=[row()])
    text = client.get("/metrics").text
    assert 'manynets_requests_total{model="houses",status="200"} 1.0' in text
    assert 'manynets_rows_total{model="houses"} 1.0' in text
    page = client.get("/")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.headers["x-content-type-options"] == "nosniff"
    assert client.get("/form.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/readyz").json() == {"status": "ready", "models": 1}
    gone = client.get("/v1/models/nothing")
    assert gone.status_code == 404
    assert client.get("/v1/models/houses:predict").status_code == 405


def test_head_answers_as_get_without_the_body(client: TestClient) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/", "/docs", "/v1/models", "/v1/models/houses", "/openapi.json", "/nothing"):
        head, get = client.head(path), client.get(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        if path != "/metrics":  # which counts its own requests
            assert head.headers["content-length"] == get.headers["content-length"]
    assert client.head("/v1/models/houses:predict").status_code == 405


def test_pages_load_nothing_from_elsewhere(client: TestClient) -> None:
    for path in ("/", "/docs"):
        page = client.get(path)
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        for found in re.findall(r'(?:src|href)="([^"]*)"', page.text):
            assert found.startswith("/")
            assert client.get(found).status_code == 200


def test_an_error_of_the_server_shows_nothing(classifier: tuple[Path, Model], monkeypatch: pytest.MonkeyPatch) -> None:
    with client_of(ServeSettings(models={"houses": str(classifier[0])})) as client:
        monkeypatch.setattr(Model, "logits", lambda self, x: 1 / 0 if False else [][1])
        answer = client.post("/v1/models/houses:predict", json=[row()])
        assert (answer.status_code, json.loads(answer.text)) == (500, {"error": {"message": "the server failed; its log says why"}})


def test_a_body_with_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    lines = [f"{s % 9},{s % 10}00;{s % 7}" for s in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["size;price", *lines]) + "\n")
    model = mn.train(tmp_path / "t.csv", target="price", spec=mn.MLP(hidden=(4,)), recipe=mn.Recipe(epochs=1), progress=False)
    model.save(tmp_path / "m.safetensors")
    csv = {"content-type": "text/csv"}
    with client_of(ServeSettings(models={"m": str(tmp_path / "m.safetensors")})) as client:
        bodies: list[dict[str, Any]] = [{"json": [{"size": size}]} for size in ("2,5", "2.5", 2.5)]
        texts = ["size;town\n2,500;Bern\n", "size\ttown\n2,5\tBern\n", "town, canton;size\nBern;2,5\n"]
        texts += ["\n\nsize;town\n2,5;Bern\n", "size;town\r2,5;Bern\r"]  # empty lines first, and the ends of lines of old Macs
        bodies += [{"content": text, "headers": csv} for text in texts]
        answers = [client.post("/v1/models/m:predict", **body) for body in bodies]
        mixed = client.post("/v1/models/m:predict", json=[{"size": "2,5"}, {"size": "1.234"}])
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({answer.json()["predictions"][0] for answer in answers}) == 1
    assert "'1.234' is not a number" in mixed.json()["error"]["message"]  # it may be 1234
