"""Random messages and requests: no crash, no traceback, nothing read outside. The slow tests have 120,000 of them."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from typing import Any

import pytest

from manynets.playground.files import Files
from manynets.playground.frames import unpack
from manynets.playground.messages import CHECKS
from manynets.playground.session import PageSession
from manynets.playground.setup import PlaygroundSetup
from tests.playground.pages import ADDRESS, browser

ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2, 3, 1e308, -1e308, 10**30, 0.5, 1e-300, "", "x", "x1", "../../etc/passwd", "/etc/passwd", "\x00", "ü" * 300, [],
    [[]], {}, {"kind": "MLP"}, {"kind": "Recipe"}, {"kind": "toy"}, {"kind": "table", "file": "/etc/passwd", "target": "x"}, {"__class__": 1},
    {"kind": "drawn", "rows": [[0, 0, 0], [1, 1, 1]]}, ["x1", "x2"], [1, 2, 3], [float(i) for i in range(50)], {"count": 3, "vary": "lr"},
]  # fmt: skip


def mutated(value: Any, chance: random.Random, share: float) -> Any:
    """Return JSON with some parts replaced."""
    if chance.random() < share:
        return chance.choice(ODD)
    if isinstance(value, dict):
        out = {name: mutated(item, chance, share) for name, item in value.items()}
        if chance.random() < share:
            out[chance.choice(["extra", "kind", "", "__proto__"])] = chance.choice(ODD)
        return out
    if isinstance(value, list):
        return [mutated(item, chance, share) for item in value]
    return value


def small_setup(chance: random.Random) -> dict[str, Any]:
    setup = PlaygroundSetup().to_json()
    setup["data"] = {
        "kind": "toy",
        "name": chance.choice(["moons", "prod", "blobs"]),
        "points": chance.choice([10, 30]),
        "noise": 0.1,
        "seed": 0,
    }
    setup["network"] |= {"hidden": chance.choice([[], [2], [3, 2]]), "batch_norm": chance.random() < 0.2}
    setup["recipe"] |= {"epochs": 3, "batch_size": 8}
    setup["networks"] = {"count": chance.choice([1, 1, 3]), "vary": chance.choice(["seed", "lr", "hidden"])}
    return setup


def message(chance: random.Random) -> str:
    kind = chance.choice([*CHECKS, "setup", "view"])
    plain: dict[str, Any] = {
        "steps": 3, "lr": 0.1, "network": chance.choice([0, 1, 5]), "step": chance.choice([None, 0, 4]), "details": chance.random() < 0.5,
        "wall": chance.random() < 0.5, "values": {"a": 1}, "frame": chance.randrange(100), "pixels": [0.5] * 64, "file": "t1", "target": "b",
        "language": chance.choice(["manynets", "pytorch", "sklearn"]), "setup": small_setup(chance),
    }  # fmt: skip
    found = {"type": kind} | {name: plain[name] for name in CHECKS[kind]}
    text = json.dumps(mutated(found, chance, chance.choice([0.0, 0.02, 0.2])), allow_nan=True)
    if chance.random() < 0.1:
        at = chance.randrange(len(text))
        text = text[:at] + chance.choice(['"', "}", "[", "\\", "\x00", "NaN", ""]) + text[at + chance.randrange(3) :]
    return text


async def talk(count: int, seed: int) -> dict[str, int]:
    """Send a session so many random messages; return how many answers of each kind came."""
    chance, answers = random.Random(seed), dict[str, int]()

    async def send(text: str | bytes) -> None:
        kind = json.loads(text)["type"] if isinstance(text, str) else unpack(text)[0]["kind"]
        answers[kind] = answers.get(kind, 0) + 1
        if isinstance(text, str):
            assert "root:" not in text
            assert "Traceback" not in text

    files = Files()
    files.add("t.csv", b"a,b,c\n" + b"1,x,2\n2,y,3\n3,x,1\n4,y,5\n" * 5)
    session = PageSession(files, send)
    frames = asyncio.create_task(session.send_frames())
    for _ in range(count):
        await session.receive(message(chance))
        assert not frames.done()
    frames.cancel()
    session.close()
    return answers


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("count", [60, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])])
def test_random_messages(count: int, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.ERROR):
        answers = asyncio.run(talk(count, seed=count))
    assert not caplog.records
    assert {"error", "data"} <= set(answers)


@pytest.mark.parametrize("count", [100, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_random_requests(count: int, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(count)
    knowing, app = browser()
    stranger, _ = browser(known=False)
    pieces = [
        "",
        "/",
        "..",
        "%2e%2e",
        "page",
        "main.js",
        "setup.py",
        "etc/passwd",
        "picture",
        "p1",
        "about",
        "upload",
        "live",
        "?token=",
        app.token,
        "%00",
        "//",
        "\\",
        "ü",
    ]
    with caplog.at_level(logging.ERROR):
        for _ in range(count):
            path = "/" + "".join(chance.choice(pieces) for _ in range(chance.randrange(5)))
            method = chance.choice(["GET", "GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "TRACE"])
            given = {
                name: chance.choice(["", "x", "127.0.0.1:8123", "example.org", "a" * 2000])
                for name in ("cookie", "origin", "host")
                if chance.random() < 0.2
            }
            content = chance.choice([None, b"", b"a,b\n1,2\n", bytes(chance.randrange(256) for _ in range(50))])
            name = {"x-file-name": chance.choice(["a.csv", "../../a.csv", "a.parquet", "", "a.csv\x7f"])}
            reply = knowing.request(method, ADDRESS + path, headers={**name, **given}, content=content)
            assert reply.status_code < 500, (method, path, given)
            assert b"root:" not in reply.content
            assert b"from __future__" not in reply.content
            reply = stranger.request(method, ADDRESS + path, headers=given, content=content)
            assert reply.status_code in (400, 401, 403, 421), (method, path, given)
    assert not caplog.records
