"""Who may ask, what is answered, and that everything else is refused."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import json
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from manynets.cli import main
from manynets.errors import OptionError
from manynets.playground.app import MOST_PAGES, free_port
from manynets.playground.files import Files, StoredTable
from manynets.playground.messages import read_message
from manynets.playground.problem import make_experiment
from manynets.playground.session import PageGone, PageSession
from manynets.playground.setup import PlaygroundSetup
from manynets.spec import MLP
from tests.playground.pages import ADDRESS, PORT, browser, opened

PATHS = ("/", "/index.html", "/main.js", "/about", "/upload", "/picture/p1", "/docs", "/openapi.json", "/../setup.py", "/live")
SMALL: dict[str, Any] = {"data": {"kind": "toy", "name": "moons", "points": 60}, "network": {"kind": "MLP", "hidden": [4]}}


def test_without_the_token_there_is_nothing() -> None:
    client, _ = browser(known=False)
    for path in PATHS:
        for method in ("GET", "POST", "HEAD", "OPTIONS", "DELETE"):
            reply = client.request(method, path)
            assert reply.status_code == 401, (method, path)
            assert "function" not in reply.text
    assert client.get("/", params={"token": "x" * 32}).status_code == 401
    assert client.get("/?" + "&".join(["a=1"] * 9)).status_code == 401
    assert client.get("/?token=%C3%A4%FF").status_code == 401
    with pytest.raises(WebSocketDisconnect), opened(client):
        pass


def test_the_token_is_good_once() -> None:
    client, app = browser()
    assert client.get("/about").status_code == 200
    other = TestClient(app, base_url=ADDRESS)
    assert other.get("/", params={"token": app.token}).status_code == 401
    cookie = client.cookies.get(app.cookie)
    assert cookie is not None
    assert app.token != cookie


@pytest.mark.parametrize(
    "host", ["example.org", f"example.org:{PORT}", "127.0.0.1", f"127.0.0.1:{PORT + 1}", f"127.0.0.1.example.org:{PORT}", ""]
)
def test_other_hosts_are_refused(host: str) -> None:
    client, _ = browser()
    assert client.get("/about", headers={"host": host}).status_code in (400, 421)


@pytest.mark.parametrize(
    "origin", ["http://example.org", "null", f"http://127.0.0.1:{PORT + 1}", f"https://127.0.0.1:{PORT}", "http://localhost"]
)
def test_other_origins_are_refused(origin: str) -> None:
    client, _ = browser()
    assert client.get("/about", headers={"origin": origin}).status_code == 403
    with pytest.raises(WebSocketDisconnect), opened(client, origin=origin):
        pass


@pytest.mark.parametrize("path", ["/", "/main.js", "/about", "/picture/p1", "/upload", "/nothing"])
def test_head_is_answered_as_get_without_the_body(path: str) -> None:
    client, _ = browser()
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.headers, head.content) == (get.status_code, get.headers, b"")
    assert get.content


def test_head_does_not_use_up_the_token() -> None:
    client, app = browser(known=False)
    assert client.head("/", params={"token": app.token}).status_code == 401
    assert client.get("/", params={"token": app.token}, follow_redirects=False).status_code == 303


def test_the_page_and_its_headers() -> None:
    client, _ = browser()
    page = client.get("/")
    assert "playground" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-frame-options"] == "DENY"
    for name in ("main.js", "style.css", "icon.svg"):
        assert client.get(f"/{name}").status_code == 200
    for path in ("/setup.py", "/page/main.js", "/main.js/", "/..%2fsetup.py", "/%2e%2e/app.py"):
        assert client.get(path).status_code == 404
    about = client.get("/about").json()
    assert {"MLP", "Recipe", "Adam", "Cosine"} <= set(about["options"]["kinds"])
    assert PlaygroundSetup.from_json(about["defaults"]) == PlaygroundSetup()


def test_a_training_from_the_first_frame_to_the_run_folder(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    client, _ = browser()
    with opened(client) as page:
        data, arrays = page.begin(**SMALL)
        assert data["task"] == "binary"
        assert arrays["points"].shape == (60, 2)
        _, arrays = page.until(lambda h: h["step"] == 0)
        assert arrays["output"].shape == (data["resolution"] ** 2,)
        page.send("epoch")
        first, _ = page.until(lambda h: h["epoch"] == 1 and h["state"] == "paused")
        page.send("play")
        page.until(lambda h: h["epoch"] > 30)
        page.send("rate", lr=0.5)
        page.until(lambda h: h["lr"] == 0.5)
        page.send("pause")
        now, last = page.until(lambda h: h["state"] == "paused")
        assert now["last"]["loss"] < first["last"]["loss"]
        page.send("view", network=0, step=0, details=True, wall=False)
        past, arrays = page.until(lambda h: h["past"])
        assert past["step"] == 0
        assert arrays["confusion"].sum() == 100
        assert not np.array_equal(arrays["output"], last["output"])
        page.send("save")
        folder, _ = page.receive("saved")
        assert (tmp_path / folder["folder"] / "model.safetensors").is_file()
        picture = client.get(f"/picture/{page.key}")
        assert picture.content[:6] == b"GIF89a"
        page.send("reset")
        page.until(lambda h: h["live_step"] == 0)


TABLE = b"size,rooms,price\n" + b"".join(b"%d,%d,%d\n" % (i, i % 4, 3 * i) for i in range(40))


@pytest.mark.parametrize("kind", ["table", "drawn", "terms"])
def test_saved_runs_of_any_data_predict(
    kind: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        return ended.value.code, *capsys.readouterr()  # type: ignore[return-value]

    monkeypatch.chdir(tmp_path)
    (tmp_path / "houses.csv").write_bytes(TABLE)
    rows = [[i / 10, j / 10, float(i > j)] for i in range(6) for j in range(6)]
    terms = ["x1", "x2", "x1*x2"] if kind == "terms" else ["x1", "x2"]
    np.save(tmp_path / "points.npy", np.zeros((3, len(terms)), dtype=np.float32))
    files = Files()
    data = {
        "table": {"kind": "table", "file": files.add("houses.csv", TABLE), "target": "price"},
        "drawn": {"kind": "drawn", "rows": rows},
        "terms": SMALL["data"],
    }[kind]
    client, _ = browser(files)
    with opened(client) as page:
        page.begin(**SMALL | {"data": data, "terms": terms})
        page.send("save")
        folder = page.receive("saved")[0]["folder"]
    code, out, err = call("predict", folder, "houses.csv" if kind == "table" else "points.npy")
    assert (code, len(out.splitlines())) == (0, 41 if kind == "table" else 4), err
    if kind == "table":
        assert call("evaluate", folder, "houses.csv")[0] == 0  # it names the target
    code, _, err = call("evaluate", folder)
    assert (code, "give data" in err) == (2, True), err


def test_many_networks_and_an_image_set() -> None:
    client, _ = browser()
    with opened(client) as page:
        page.begin(**SMALL, networks={"count": 5, "vary": "hidden"})
        page.send("view", network=3, step=None, details=False, wall=True)
        page.send("epoch")
        header, arrays = page.until(lambda h: h["epoch"] == 1 and h["network"] == 3)
        assert header["hidden"] == [4]
        page.send("rate", lr=0.5)
        assert "several networks" in page.receive("error")[0]["message"]
        assert arrays["wall"].shape[0] == 5
        data, arrays = page.begin(data={"kind": "images", "name": "digits"}, network={"kind": "MLP", "hidden": [8]})
        assert data["axes"] == ["principal component 1", "principal component 2"]
        page.send("probe", pixels=arrays["images"][0].tolist())
        found, layers = page.receive("probe")
        assert layers["layer0"].shape == (8,)
        assert abs(layers["shares"].sum() - 1) < 1e-5
        assert found["prediction"] == layers["shares"].argmax()


def test_a_program_that_cannot_be_written_says_why() -> None:
    client, _ = browser()
    with opened(client) as page:
        page.begin(**SMALL | {"network": {"kind": "MLP", "hidden": [3], "input_scale": True}})
        page.send("code", language="pytorch")
        found, _ = page.receive("code")
        assert (found["text"], "no plain PyTorch for input_scale" in found["refused"]) == ("", True)
        assert "input_scale=True" in page.code("manynets")


def test_a_dropped_table() -> None:
    random = np.random.default_rng(0)
    frame = pl.DataFrame(
        {"a": random.normal(size=200), "b": random.normal(size=200), "c": random.normal(size=200), "kind": ["x", "y"] * 100}
    )
    text = io.BytesIO()
    frame.with_columns(label=pl.when(pl.col("a") > pl.col("b")).then(pl.lit("up")).otherwise(pl.lit("down"))).write_csv(text)
    client, _ = browser()
    found = client.post("/upload", content=text.getvalue(), headers={"x-file-name": "some%20table.csv"}).json()
    assert found["about"]["name"] == "some table.csv"
    assert found["about"]["columns"] == ["a", "b", "c", "kind", "label"]
    with opened(client) as page:
        data, _ = page.begin(
            data={"kind": "table", "file": found["file"], "target": "label", "x": "a", "y": "b"},
            network={"kind": "MLP", "hidden": [3]},
        )
        assert [slider["name"] for slider in data["sliders"]] == ["c", "kind"]
        _, before = page.receive("frame")
        page.send("sliders", values={"kind": "y", "c": 1.0})
        after = before
        while np.array_equal(before["output"], after["output"]):  # a frame of before the change may be on its way
            _, after = page.receive("frame")
        page.send("schema", file=found["file"], target="label")
        assert page.receive("schema")[0]["about"]["schema"]["targets"][0]["name"] == "label"
        data, _ = page.begin(data={"kind": "table", "file": found["file"], "target": "label", "view": "pca"})
        assert data["axes"][0] == "principal component 1"


def test_sliders_of_decimals_bools_and_bytes() -> None:
    frame = pl.DataFrame({"a": range(60), "b": [i % 7 for i in range(60)], "price": [Decimal("1.5"), Decimal("2.5"), None] * 20})
    frame = frame.with_columns(new=pl.col("a") % 3 == 0, key=pl.lit(b"x"), y=pl.col("a") * 2.0)
    content = io.BytesIO()
    frame.write_parquet(content)
    files = Files()
    choice = {"kind": "table", "file": files.add("t.parquet", content.getvalue()), "target": "y", "x": "a", "y": "b"}
    client, _ = browser(files)
    with opened(client) as page:
        data, _ = page.begin(data=choice, network={"kind": "MLP", "hidden": [3]})
    assert data["sliders"] == [
        {"name": "price", "low": 1.5, "high": 2.5, "value": 2.5},
        {"name": "new", "values": [False, True], "value": False},
        {"name": "key", "values": [None], "value": None},
    ]


def test_a_column_with_the_name_of_a_term() -> None:
    files = Files()
    key = files.add("t.csv", "\n".join(["a,b,x1^2,y", *(f"{i % 13},{i % 7},{i % 5},{i}" for i in range(80))]).encode())
    choice = {"kind": "table", "file": key, "target": "y", "x": "a", "y": "b"}
    for terms in (["x1", "x2", "x1^2"], ["x1", "x2", "x2^2"]):
        setup = PlaygroundSetup.from_json({"data": choice, "terms": terms})
        if "x1^2" in terms:
            with pytest.raises(OptionError, match=r"the table has a column 'x1\^2', so no input can have this name"):
                make_experiment(setup, files)
        else:
            assert make_experiment(setup, files).inputs == ["a", "b", "x1^2", "x2^2"]


def test_the_ends_of_the_colours_have_no_rounding_errors() -> None:
    files = Files()
    key = files.add("t.csv", "\n".join(["a,b,y", *(f"{i % 13},{i % 7},{i * i % 11 + i}" for i in range(80))]).encode())
    client, _ = browser(files)
    with opened(client) as page:
        data, _ = page.begin(data={"kind": "table", "file": key, "target": "y"}, network={"kind": "MLP", "hidden": [3]})
        assert (data["least"], data["most"]) == (0, 83)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.exe", b"x"), ("a.csv", b""), ("a.parquet", b"PAR1 no"), ("../../etc/passwd", b"a,b\n1,2\n"), ("a.csv", b"\x00\xff" * 50)],
)
def test_files_that_are_no_tables(name: str, content: bytes) -> None:
    client, _ = browser()
    reply = client.post("/upload", content=content, headers={"x-file-name": name})
    assert reply.status_code == 422
    assert "/tmp" not in reply.json()["message"]


def test_two_pages_ask_for_two_targets_of_a_table() -> None:
    class Replaced(dict[Any, Any]):
        def __contains__(self, target: object) -> bool:
            found = super().__contains__(target)
            self.clear()  # as by the other page
            return found

    table = StoredTable("houses.csv", pl.DataFrame({"size": [1, 2, 3], "price": [2, 4, 7]}), [])
    first = table.about("price")
    table.described = Replaced(table.described)
    assert table.about("price") == first


def test_the_oldest_table_goes() -> None:
    files = Files()
    keys = [files.add("t.csv", f"a,b\n1,{i}\n2,3\n".encode()) for i in range(6)]
    with pytest.raises(OptionError, match="drop its file"):
        files.get(keys[0])
    assert files.get(keys[-1]).frame["b"].to_list() == [5, 3]


WRONG = [
    "", "[]", "{", '{"type": "launch"}', '{"type": "rate", "lr": NaN}', '{"type": "rate", "lr": "1"}', '{"type": "rate"}', '{"type": "play", "x": 1}',
    '{"type": "step", "steps": 1e9}', '{"type": "step", "steps": true}', '{"type": "view", "network": -1, "step": null, "details": false, "wall": false}',
    '{"type": "probe", "pixels": [2]}', '{"type": "code", "language": "c"}', '{"type": "setup", "setup": []}', '{"type": ["play"]}',
    "[" * 100_000, '{"type": "play", "pad": "' + "x" * 300_000 + '"}',
]  # fmt: skip


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_messages_that_the_page_would_not_send(text: str) -> None:
    with pytest.raises(OptionError):
        read_message(text)


SETUPS: list[Any] = [
    {"data": {"kind": "toy", "name": "moon"}}, {"data": {"kind": "toy", "points": 10**9}}, {"data": {"kind": "toy", "noise": float("inf")}},
    {"data": {"kind": "file", "path": "/etc/passwd"}}, {"data": {"kind": "toy", "path": "/etc/passwd"}}, {"data": {"kind": "table", "file": "/etc/passwd"}},
    {"data": {"kind": "drawn", "rows": [[0, 0, 0]]}}, {"data": {"kind": "drawn", "rows": [[0, 0]]}}, {"data": {"kind": "drawn", "rows": 3}},
    {"network": {"kind": "MLP", "hidden": [10**6]}}, {"network": {"kind": "MLP", "hidden": [8] * 9}}, {"network": {"kind": "Recipe"}}, {"network": 3},
    {"recipe": {"kind": "Recipe", "epochs": 10**9}}, {"recipe": {"kind": "Recipe", "batch_size": 0}}, {"terms": []}, {"terms": ["x1", "x1"]},
    {"terms": ["__import__('os')"]}, {"networks": {"count": 257}}, {"validation": 2}, {"extra": 1},
    {"network": {"kind": "MLP", "hidden": [1024, 1024]}, "networks": {"count": 256}},
]  # fmt: skip


@pytest.mark.parametrize("setup", SETUPS, ids=range(len(SETUPS)))
def test_setups_that_cannot_be(setup: Any) -> None:
    client, _ = browser()
    with opened(client) as page:
        text = json.dumps({"type": "setup", "setup": setup})
        page.socket.send_text(text)
        found, _ = page.receive("error")
        assert found["message"]
        page.begin(**SMALL)  # the page goes on


def test_layers_that_would_take_all_memory() -> None:
    from manynets.playground.problem import make_experiment

    data = {"kind": "toy", "name": "moons", "points": 10_000}
    recipe = {"kind": "Recipe", "batch_size": 10_000}
    wide = {"kind": "MLP", "hidden": [1024]}  # 786,432 weights, and 10 GB of outputs
    setup = PlaygroundSetup.from_json({"data": data, "network": wide, "recipe": recipe, "networks": {"count": 256}})
    with pytest.raises(OptionError, match=r"2,624,000,000 outputs for 10,000 rows at a time, .*at most 100,000,000; use smaller"):
        make_experiment(setup, Files())
    narrow = dataclasses.replace(setup, network=MLP(hidden=(8, 8)))
    assert len(make_experiment(narrow, Files()).members) == 256


def test_the_first_frame_that_fails_is_a_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    left = iter([ValueError("first"), ValueError("second"), PageGone()])

    async def fail(_: Any) -> None:
        raise next(left)

    async def send(_: Any) -> None: ...

    monkeypatch.setattr(PageSession, "next_frame", fail)
    with caplog.at_level("DEBUG", "manynets.playground"):
        asyncio.run(PageSession(Files(), send).send_frames())
    assert [record.levelname for record in caplog.records if record.name == "manynets.playground"] == ["WARNING", "DEBUG"]


def test_columns_that_are_named_twice() -> None:
    with pytest.raises(OptionError, match="the column 'a' is named twice"):
        PlaygroundSetup.from_json({"data": {"kind": "table", "columns": ["a", "b", "a"]}})


@pytest.mark.parametrize("error", [pl.exceptions.DuplicateError("a"), AssertionError()])
def test_errors_of_any_kind_are_answered(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise error

    client, _ = browser()
    with opened(client) as page:
        with monkeypatch.context() as patched:
            patched.setattr("manynets.playground.session.make_experiment", fail)
            page.send("setup", setup=SMALL)
            page.send("play")
            assert "its log says why" in page.receive("error")[0]["message"]
            assert "no network" in page.receive("error")[0]["message"]
        page.begin(**SMALL)  # the page goes on


def test_a_page_whose_work_failed_is_no_longer_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: Any) -> None:
        raise KeyError("work")

    client, _ = browser()
    with monkeypatch.context() as patched:
        patched.setattr("manynets.playground.session.PageSession.work", fail)
        for _ in range(MOST_PAGES + 1):
            with contextlib.suppress(KeyError), opened(client):
                pass
    with opened(client) as page:
        page.begin(**SMALL)


def test_what_needs_a_network_says_so() -> None:
    client, _ = browser()
    with opened(client) as page:
        for kind in ("play", "pause", "reset", "epoch", "save"):
            page.send(kind)
            assert "no network" in page.receive("error")[0]["message"]
        assert client.get(f"/picture/{page.key}").status_code == 422
        assert client.get("/picture/other").status_code == 422


def test_pages_are_counted_and_end_with_their_socket() -> None:
    import threading

    def trainings() -> int:
        return sum(thread.name == "playground training" for thread in threading.enumerate())

    before = trainings()
    client, _ = browser()
    with opened(client) as page:
        page.begin(**SMALL)
        page.send("play")
        page.until(lambda h: h["state"] == "running")
        assert trainings() == before + 1
    for thread in threading.enumerate():
        if thread.name == "playground training":
            thread.join(5)
    assert trainings() == before
    with client:
        sockets = [client.websocket_connect(f"ws://127.0.0.1:{PORT}/live", headers={"origin": ADDRESS}) for _ in range(MOST_PAGES)]
        for socket in sockets:
            socket.__enter__()
            assert json.loads(socket.receive_text())["type"] == "page"
        with client.websocket_connect(f"ws://127.0.0.1:{PORT}/live", headers={"origin": ADDRESS}) as socket:
            assert json.loads(socket.receive_text())["type"] == "full"
        for socket in sockets:
            socket.__exit__(None, None, None)


def test_ports() -> None:
    assert free_port(0) > 1024
    with pytest.raises(OptionError, match="port is 70000"):
        free_port(70_000)
