"""Requests as nobody sends them by mistake, drawn at random: bodies, headers, and connections that are no HTTP."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

__all__ = ["ROW", "broken_connection", "framed_request"]

ROW: dict[str, Any] = {
    "size": 80,
    "weight": "60.5 kg",
    "rooms": 3,
    "color": "red",
    "town": "town 1",
    "new": True,
    "sold": "2001-02-03",
    "opens": "07:08",
}
PREDICT = b"/v1/models/m:predict"
METHODS = [b"GET", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"PROPFIND"]
PATHS = [
    b"/", b"/docs", b"/openapi.json", b"/healthz", b"/readyz", b"/v1/models", b"/v1/models/m", b"/v1/models/x", b"//", b"/..//..//etc/passwd",
    b"/v1/models/m%3Apredict", b"/v1/models/%00:predict", b"/%ff%fe", b"/v1/models/m:predict/", b"/" + b"a" * 3000, b"/?a=b&a=c&%zz", b"/form.js",
    b"/v1/models/m:predict?x=" + b"1" * 500, b"/v1/models/m:predict?interval=2&contributions=x",
]  # fmt: skip
KINDS = [
    b"application/json", b"text/csv", b"application/csv; charset=utf-16", b"text/csv; charset=x", b"application/x-www-form-urlencoded",
    b"multipart/form-data; boundary=x", b"\xff\xfe", b"", b"application/json; charset=utf-7", b"TEXT/CSV", b"image/png",
]  # fmt: skip
HEADERS = [
    b"origin: http://evil.example", b"origin: null", b"authorization: Bearer x", b"authorization: \xff", b"accept: \x01", b"cookie: a=b",
    b"x-forwarded-for: 1.2.3.4, ::1", b"x-forwarded-proto: gopher", b"content-encoding: gzip", b"range: bytes=0-", b"te: trailers",
    b"x-http-method-override: DELETE", b"if-match: *", b"expect: 100-continue", b"accept-encoding: \x80", b"x: " + b"y" * 5000,
]  # fmt: skip
HOSTS = [b"evil.example", b"localhost.evil.example", b"[::1", b"", b"\xff", b"127.0.0.1:8000:9", b"localhost\t"]


def _noise(rng: random.Random, most: int = 300) -> bytes:
    return rng.randbytes(rng.randrange(most))


def _cell(rng: random.Random) -> Any:
    texts = [
        "",
        "x" * rng.choice([50, 9_999, 10_001]),
        "\x00",
        "\ud800",
        "½",
        "٣",
        "nan",
        "1e999",
        "-inf",
        "#N/A",
        "9" * 400,
        "0x10",
        "'; DROP",
        "\u202e",
        "😀",
    ]
    dates = [
        "2001-02-30",
        "99999-01-01",
        "0000-00-00",
        "31.12.1999",
        "2001-02-03T25:61",
        "1e9",
        "-1",
        "24:00:00",
        "2001-02-03T04:05:06+99:99",
    ]
    draws: list[Callable[[], Any]] = [
        lambda: rng.choice(texts),
        lambda: rng.choice(dates),
        lambda: rng.choice([10**400, -(10**4000), 2**63, -(2**64), 1.7976931348623157e308, 5e-324, -0.0, 1e300, 1e39]),
        lambda: rng.choice([None, True, False, [], {}, [1], {"a": 1}, [[[[]]]]]),
        lambda: rng.random() * 10 ** rng.randrange(-300, 300),
        lambda: "".join(chr(rng.randrange(0xD7FF)) for _ in range(rng.randrange(20))),
    ]
    return rng.choice(draws)()


def _record(rng: random.Random) -> dict[str, Any]:
    record = dict(ROW)
    for _ in range(rng.randrange(3)):
        record[rng.choice(list(ROW))] = _cell(rng)
    if rng.random() < 0.1:
        del record[rng.choice(list(record))]
    if rng.random() < 0.1:
        record[str(_cell(rng))] = _cell(rng)
    return record


def _table(rng: random.Random) -> Any:
    kind = rng.randrange(6)
    records = [_record(rng) for _ in range(rng.choice([0, 1, 1, 1, 2, 5]))]
    if kind < 3:
        return {"records": records} if kind else records
    columns = {
        name: [_cell(rng) if rng.random() < 0.1 else cell for _ in range(rng.choice([1, 1, 1, 2]))] for name, cell in ROW.items()
    }
    if kind < 5:
        return {"columns": columns} if kind == 3 else columns
    return rng.choice(
        [1, "x", None, [1, 2], {"records": {}}, {"columns": []}, {"records": [records]}, {"": ""}, [None], {"a": {"b": []}}]
    )


def _mutated(rng: random.Random, body: bytes) -> bytes:
    out = bytearray(body)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(out) + 1)
        if rng.random() < 0.4:
            out[at:at] = rng.choice([b"\x00", b"\xff", b'"', b"{", b"]", b"\\u", b"1" * 50, b",", b"\xed\xa0\x80", b"NaN", b"-"])
        elif rng.random() < 0.5:
            del out[at : at + rng.randrange(9)]
        elif at < len(out):
            out[at] = rng.randrange(256)
    return bytes(out)


def _csv(rng: random.Random) -> bytes:
    lines = [",".join(ROW), *(",".join(str(cell) for cell in _record(rng).values()) for _ in range(rng.randrange(4)))]
    text = "\n".join(lines).encode("utf-8", "surrogatepass")
    odd = [b'"', b"\r\r\n", b"\x00", b",,,,,", b"\xff", b"a,b\n" * 200, b"\n" * 2000, b'"' + b"x" * 1000, b"\xef\xbb\xbf"]
    return _mutated(rng, text) + (rng.choice(odd) if rng.random() < 0.3 else b"")


def _body(rng: random.Random) -> tuple[bytes, bytes]:
    """Return a body, and its content type."""
    draw = rng.random()
    if draw < 0.15:
        return _noise(rng), rng.choice(KINDS)
    if draw < 0.35:
        return _csv(rng), b"text/csv"
    if draw < 0.40:
        depth = rng.choice([10, 900, 1100, 20_000])
        return rng.choice(
            [b"[" * depth, b'{"records":' * depth, b"[" * depth + b"]" * depth, b'[{"size":' + b"[" * depth]
        ), b"application/json"
    body = json.dumps(_table(rng)).encode()
    if draw < 0.45:
        return body.decode().encode(rng.choice(["utf-16", "utf-32", "utf-16-le", "utf-7", "cp037"])), b"application/json"
    if draw < 0.47:
        return b'[{"size": ' + rng.choice(
            [b"NaN", b"Infinity", b"1e99999", b"9" * 5000, b"-", b"01", b"1.", b"0" * 3000]
        ) + b"}]", b"application/json"
    if draw < 0.70:
        return _mutated(rng, body), b"application/json"
    return body, b"application/json"


def framed_request(rng: random.Random) -> tuple[bytes, bool]:
    """Return a request whose length is right, so that others may follow on its connection; and whether its answer has no body (HEAD)."""
    method, path = b"POST", PREDICT
    draw = rng.random()
    if draw < 0.06:
        method = rng.choice([*METHODS, b"HEAD"])
    if draw < 0.12:
        path = rng.choice(PATHS)
    if draw > 0.999:
        path += b"?contributions=true&interval=0.9"
    body, kind = _body(rng)
    lines = [method + b" " + path + b" HTTP/1.1", b"host: " + (rng.choice(HOSTS) if rng.random() < 0.02 else b"localhost")]
    lines.append(b"content-type: " + (rng.choice(KINDS) if rng.random() < 0.05 else kind))
    if rng.random() < 0.1:
        lines.append(rng.choice(HEADERS))
    if rng.random() < 0.1:
        lines.append(b"transfer-encoding: chunked")
        parts = [body[at : at + 97] for at in range(0, min(len(body), 2000), 97)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    else:
        lines.append(b"content-length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body, method == b"HEAD"


def broken_connection(rng: random.Random) -> bytes:
    """Return what a connection sends that is no HTTP, or stops in the middle of it."""
    head = b"POST " + PREDICT + b" HTTP/1.1\r\nhost: localhost\r\n"
    whole = framed_request(rng)[0]
    sizes = [
        b"zz\r\n",
        b"-1\r\n",
        b"f" * 16 + b"\r\n",
        b"5;" + b"x" * 500 + b"\r\nabcde\r\n",
        b"3\r\nabcdef\r\n",
        b"0\r\nx: " + b"y" * 70_000,
    ]
    lengths = [b"-1", b"9" * 30, b"1e3", b"0x10", b"10, 10", b"\xff", b"5\r\ncontent-length: 6"]
    headers = [b"x: " + b"a" * 200_000, b"a: b\r\n" * 9000, b"no colon\r\n", b"x\x00y: z\r\n", b" folded: 1\r\n"]
    others = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET /\r\n", b"GET / HTTP/9.9\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nhost: localhost\r\n\r\n", b"GET / HTTP/1.1\r\nhost: localhost\r\nhost: evil\r\n\r\n",
        head + b"expect: 100-continue\r\ncontent-length: 1000\r\n\r\n",
        head + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\n[[1\r\n0\r\n\r\n",
    ]  # fmt: skip
    upgrade = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: "
    chunked = head + b"transfer-encoding: chunked\r\n\r\n"
    draws: list[Callable[[], bytes]] = [
        lambda: _noise(rng, 3000),
        lambda: whole[: rng.randrange(len(whole))],
        lambda: _mutated(rng, whole),
        lambda: whole + _noise(rng),
        lambda: chunked + rng.choice(sizes),
        lambda: head + b"content-length: " + rng.choice(lengths) + b"\r\n\r\n[[1",
        lambda: b"GET / HTTP/1.1\r\n" + rng.choice(headers) + b"\r\n\r\n",
        lambda: rng.choice(others),
        lambda: upgrade + rng.choice([b"websocket", b"h2c", b"x"]) + b"\r\n\r\n" + _noise(rng),
    ]
    return rng.choice(draws)()
