"""Read text tables with random faults: python -m tests.tables.mutated FILES FIRST. Prints figures as JSON; run by test_mutated_files.py.

Each file is a small table with one to six random faults. It is read, or refused with a reason and, where a line is to blame, its
number; an encoder learns from what can be read, text columns included, and again with the last column as the target. None may end
with anything but an error of manynets, and none may take 20 s.
"""

from __future__ import annotations

import collections
import json
import re
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from manynets.errors import ManynetsError
from manynets.tables import fit_encoder, read_table, split_target
from manynets.tables.hashed import TextColumn

__all__ = ["WHOLE_FILE", "try_all"]

WHOLE_FILE = ("holds 0 data rows", "splits the lines evenly", "the header is one field", "cannot be read as a text table")
"""Reasons that are not about one line."""
SEEDS = [
    "a,b,y\n1,x,0\n2.5,y,1\n-3e2,,0\n4,z z,1\n",
    'n;price;when;y\n1;"1.299,99";31.12.2024;a\n2;"5,00";01.02.2024;b\n3;"7,25";n/a;a\n',
    "sep=,\nname,amount,at\nu,$1,2024-01-01T10:00:00Z\nv,($2),2024-01-02T10:00:00+02:00\nw,#N/A,\n",
    "# a comment\nid\tweight\tt\n1\t12.5 kg\t13:15\n2\t3 kg\t1:15 PM\n3\t-\t00:00\n\nSource: x\n",
    'a,b\r\n"x ""y""\nz",1\r\n"1,234",2\r\n,3\r\n',
    "Report,,\n,,\nx,y,z\n1,PT3H,20240131\n2,PT1H,20240229\nTotal,4,5\n",
    "a\n1\n\n2\nNA\n",
    "a|b|c|\n1|2|3|\n4|5|6|\n",
    "review,stars,sold\n"
    + "".join(
        f'"the {word} was {how}, {more} I would buy it again",{i % 5 + 1},{how}\n'
        for i, (word, how, more) in enumerate(
            (word, how, more)
            for word in ("soup", "long table", "shop")
            for how in ("good", "bad")
            for more in ("and", "so", "but", "although not often")
        )
    ),
]
ODD = [
    *(b"\n", b"\r", b"\r\n", b",", b";", b"\t", b"|", b'"', b'""', b"'", b"\0", b"\xff", b"\xc3", b"\xef\xbb\xbf", b"\xff\xfe"),
    *(
        b"#",
        b"//",
        b"sep=;",
        b"Total",
        b"$",
        b"%",
        b"(",
        b")",
        b"-",
        b"1e999",
        b"9" * 25,
        b"inf",
        b"NA",
        b" ",
        b"\xc2\xa0",
        b"=1+1",
    ),
    *(
        b"2024-13-45",
        b"99:99",
        b"P",
        b"1.234",
        b"1,234",
        b"a" * 300,
        b"\x1a",
        b"\x0b",
        b"\x85",
        "é".encode(),
        "日本".encode("utf-16"),
    ),
    *(
        "1\u2028".encode(),
        "−5".encode(),
        b"9999-12-31",
        b"0000-00-00",
        b"+99:99",
        b"24:00",
        b"10000 days 00:00:00",
        b"1D5",
        b".",
        b"e5",
    ),
]


def mutated(random: np.random.Generator) -> bytes:
    """Return one of the seeds with one to six random faults."""
    data = bytearray(SEEDS[random.integers(len(SEEDS))].encode())
    if random.random() < 0.05:
        data = bytearray(bytes(data).decode().encode(str(random.choice(["utf-16", "utf-16-le", "latin-1", "utf-32"]))))
    for _ in range(random.integers(1, 7)):
        start = int(random.integers(len(data) + 1))
        stop = min(len(data), start + int(random.geometric(0.3)))
        match random.integers(6):
            case 0:
                del data[start:stop]
            case 1:
                data[start:start] = ODD[random.integers(len(ODD))]
            case 2:
                data[start:stop] = ODD[random.integers(len(ODD))]
            case 3:
                data[start:start] = data[start : start + int(random.integers(1, 30))]
            case 4:
                if start < len(data):
                    data[start] = int(random.integers(256))
            case _:
                other = int(random.integers(len(data) + 1))
                data[start:stop] = data[other : other + stop - start]
    return bytes(data)


def try_all(folder: Path, count: int, first: int) -> dict[str, Any]:
    """Read so many files, learn from those that can be read, and return figures."""
    figures: dict[str, Any] = {"files": count, "read": 0, "with text columns": 0, "with a target": 0, "refused": 0, "longest": 0.0}
    reasons: collections.Counter[str] = collections.Counter()
    path = folder / "t.csv"
    for seed in range(first, first + count):
        random = np.random.default_rng(seed)
        path.write_bytes(mutated(random))
        header = bool(random.random() < 0.9)
        start, frame = time.process_time(), None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                frame = read_table(path, header=header)
                encoder = fit_encoder(frame)
                encoder.transform(frame)
                figures["with text columns"] += any(isinstance(column, TextColumn) for column in encoder.columns)
                features, y, _ = split_target(frame, frame.columns[-1], drop_missing_target=True)
                fit_encoder(features, y=y).transform(features)
                figures["with a target"] += 1
        except ManynetsError as error:
            if frame is None:
                figures["refused"] += 1
                where = "a line" if re.search(r"\bline \d", str(error)) else "the file"
                reason = next((words for words in WHOLE_FILE if words in str(error)), "a fault in it")
                reasons[f"{where}: {reason}"] += 1
                if where == "the file" and reason == "a fault in it":
                    raise AssertionError(f"seed {seed}: neither line nor reason: {error}") from error
        except BaseException as error:  # polars' panics are no Exception
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
        figures["read"] += frame is not None
        taken = time.process_time() - start
        figures["longest"] = max(figures["longest"], round(taken, 2))
        assert taken < 20.0, seed
        if (seed - first) % 1000 == 999:
            print(seed, figures, file=sys.stderr, flush=True)
    return {**figures, "reasons": dict(reasons)}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(try_all(Path(name), int(sys.argv[1]), int(sys.argv[2])), indent=1))
