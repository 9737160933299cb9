"""Load on `manynets serve`, beside a plain FastAPI endpoint around a scikit-learn pipeline: python -m bench.serving.

Both serve a model of adult (a ColumnTransformer and MLPClassifier; the default ensemble of manynets) with one worker on loopback. In turn
each gets `--seconds` of load: 64 connections, one row in a request, the next request once the answer is there.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.machine import free_port

CONNECTIONS = 64
NUMBERS = ("age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week")


@dataclasses.dataclass(frozen=True)
class Load:
    """Answers, those that were not 200, seconds, and the seconds that each took."""

    answers: int
    failures: int
    seconds: float
    latencies: list[float]

    def __str__(self) -> str:
        p50, p99 = np.percentile(self.latencies, [50, 99]) * 1000
        return f"{self.answers / self.seconds:,.0f} a second, p50 {p50:.1f} ms, p99 {p99:.1f} ms, {self.failures} failed"


async def _connection(port: int, requests: list[bytes], until: float, found: list[tuple[float, bool]]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    number = 0
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(requests[number % len(requests)])
        number += 1
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        found.append((time.perf_counter() - began, head.startswith(b"HTTP/1.1 200")))
    writer.close()


def load(port: int, path: str, records: list[dict[str, Any]], seconds: float, *, wrap: bool) -> Load:
    """Ask for the records, one in a request, on 64 connections. wrap: as {"records": [record]}."""
    requests = []
    for record in records:
        body = json.dumps({"records": [record]} if wrap else record).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        requests.append(head.encode() + body)
    found: list[tuple[float, bool]] = []

    async def together() -> None:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(_connection(port, requests[i:] + requests[:i], until, found) for i in range(CONNECTIONS)))

    began = time.perf_counter()
    asyncio.run(together())
    latencies = [latency for latency, _ in found]
    return Load(len(found), sum(not fine for _, fine in found), time.perf_counter() - began, latencies)


@contextlib.contextmanager
def server(command: list[str], port: int, path: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the end of the context; it is there once `path` answers."""
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5):
                break
            if process.poll() is not None:
                raise RuntimeError(f"the server ended with {process.returncode}: {' '.join(command)}")
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


def _memory(process: subprocess.Popen[bytes]) -> float:
    """Return the resident memory of a process, MiB."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _processor_seconds(process: subprocess.Popen[bytes]) -> float:
    """Return the processor time of a process, which tells on a busy machine what a request costs."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def sklearn_app(path: str) -> Any:
    """Return a plain FastAPI application around a pickled scikit-learn pipeline."""
    import joblib
    import pandas
    from fastapi import FastAPI

    pipeline = joblib.load(path)
    app = FastAPI()

    @app.post("/predict")
    def predict(record: dict[str, Any]) -> dict[str, Any]:
        shares = pipeline.predict_proba(pandas.DataFrame([record]))[0]
        return {"prediction": str(pipeline.classes_[shares.argmax()]), "probabilities": shares.tolist()}

    return app


def _train(folder: Path) -> list[dict[str, Any]]:
    """Write both models, and return records to ask for."""
    import joblib
    from sklearn.compose import make_column_transformer
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    import manynets as mn

    frame = mn.tables.read_table(Path(os.environ.get("MANYNETS_DATA", "../shared/data")) / "adult" / "adult_train.csv.gz").head(
        8000
    )
    X, y = frame.drop("income"), frame["income"]
    mn.TabularClassifier(preset="fast", random_state=0).fit(X, y.to_numpy()).model_.save(folder / "adult.safetensors")
    others = [name for name in X.columns if name not in NUMBERS]
    columns = make_column_transformer((StandardScaler(), list(NUMBERS)), (OneHotEncoder(handle_unknown="ignore"), others))
    joblib.dump(
        make_pipeline(columns, MLPClassifier(max_iter=5, random_state=0)).fit(X.to_pandas(), y.to_list()), folder / "adult.joblib"
    )
    return X.head(500).to_dicts()


def main() -> None:
    """Print both loads, and their ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of load a turn (default 10)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each (default 3)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        records = _train(folder)
        ports = free_port(), free_port()
        ours = [sys.executable, "-m", "manynets", "serve", str(folder / "adult.safetensors"), "--port", str(ports[0])]
        code = f"import uvicorn; from bench.serving import sklearn_app; uvicorn.run(sklearn_app({str(folder / 'adult.joblib')!r}), port={ports[1]}, access_log=False)"
        with server(ours, ports[0], "/readyz") as process, server([sys.executable, "-c", code], ports[1], "/docs"):
            ratios = []
            for turn in range(options.rounds):
                before, seconds = _memory(process), _processor_seconds(process)
                one = load(ports[0], "/v1/models/adult:predict", records, options.seconds, wrap=True)
                cost = (_processor_seconds(process) - seconds) / one.answers * 1e6
                other = load(ports[1], "/predict", records, options.seconds, wrap=False)
                ratios.append(one.answers / one.seconds * other.seconds / other.answers)
                print(
                    f"turn {turn + 1}: manynets {one}, {before:.0f} to {_memory(process):.0f} MiB, {cost:.0f} us of"
                    f" processor time an answer; scikit-learn {other}",
                    flush=True,
                )
            print(f"manynets answers {np.median(ratios):.1f} times as many")


if __name__ == "__main__":
    main()
