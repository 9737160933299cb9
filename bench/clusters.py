"""A search on the workers of a dask cluster against the same search in local processes: python -m bench.clusters [--quick].

Both train by joblib on as many processes with one thread each. They run in turn, after a warm-up; the cluster is up. Then the cost model
of docs/scaling.md: `--simulate` measures what one group of networks costs to plan, to send, to train and to take back, and schedules
10,000 networks on 64 workers.
"""

from __future__ import annotations

import argparse
import dataclasses
import heapq
import json
import math
import pickle
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch

import manynets as mn
from bench.machine import machine, versions
from bench.search import CASES, FOLDS, GRID, NEVER, SearchCase, load

__all__ = ["Costs", "main", "measure_costs", "predict", "race", "simulate"]

COMPARED = ("breast_cancer-64-64", "adult-64-64")
LONGER = {"breast_cancer-64-64": 15, "adult-64-64": 4}  # epochs of the case times this: a search of at least 20 s
GOAL = 1.15
BANDWIDTH, LATENCY = 1.25e9, 1e-3  # of each machine's network in the cost model: bytes a second (10 Gbit/s), and seconds


def race(case: SearchCase, *, epochs: int, rounds: int, jobs: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Return seconds and best scores of a search in processes of this machine, and on a dask cluster of as many."""
    from distributed import Client, LocalCluster

    X, y = load(case)

    def search(seed: int) -> float:
        settings: dict[str, Any] = {"max_iter": epochs, "tol": 0.0, "n_iter_no_change": NEVER, "random_state": seed}
        net = mn.MLPClassifier(case.hidden, **settings)
        return float(mn.MLPSearchCV(net, GRID, cv=FOLDS, refit=False, n_jobs=jobs).fit(X, y).best_score_)

    options: dict[str, Any] = {"n_workers": jobs, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "silence_logs": 60}
    seconds: dict[str, list[float]] = {"processes": [], "dask": []}
    scores: dict[str, list[float]] = {"processes": [], "dask": []}
    with LocalCluster(host="127.0.0.1", **options) as cluster, Client(cluster):
        for number in range(rounds + 1):
            for name in ("processes", "dask") if number % 2 else ("dask", "processes"):
                with warnings.catch_warnings(action="ignore"), joblib.parallel_config("dask" if name == "dask" else "loky"):
                    began = time.perf_counter()
                    score = search(number)
                if number:
                    seconds[name].append(time.perf_counter() - began)
                    scores[name].append(score)
                    tell(f"{case.name}  {name}  {seconds[name][-1]:.2f} s  best {score:.4f}")
    ratio = statistics.median(b / a for a, b in zip(seconds["processes"], seconds["dask"], strict=True))
    return {
        "case": case.name, "epochs": epochs, "jobs": jobs, "rounds": rounds, "seconds": seconds, "ratio": ratio,
        "same_scores": scores["processes"] == scores["dask"], "reached": ratio <= GOAL,
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------------------- the cost model


@dataclasses.dataclass(frozen=True)
class Costs:
    """What a search costs: seconds of processor time, and bytes.

    plan, send, take: of the client for each network planned, and each piece sent and taken back. piece: of a worker for each of the pieces that were
    measured, each of `networks` networks. piece_bytes, result_bytes: of a piece and its result; row_bytes: of the rows, for each worker once.
    """

    networks: int
    plan: float
    send: float
    take: float
    piece: tuple[float, ...]
    piece_bytes: int
    result_bytes: int
    row_bytes: int


def measure_costs(case: SearchCase, *, sample: int) -> Costs:
    """Train a sample of the pieces of a search in this process, and measure all that a worker and the client would do."""
    from manynets.search.candidates import plan_candidates
    from manynets.search.processes import pieces_of, train_piece

    X, y = load(case)
    count = 16 * sample
    rates = np.geomspace(1e-4, 1e-2, count).tolist()
    tries = [(mn.MLP(hidden=case.hidden), mn.Recipe(optimizer=mn.Adam(lr=lr), epochs=case.epochs)) for lr in rates]
    began = time.process_time()
    with warnings.catch_warnings(action="ignore"):
        planned = plan_candidates(X, y, tries, cv=FOLDS, scaling=False)
    plan = (time.process_time() - began) / (count * FOLDS)
    [group] = planned.groups
    problem = group.data.problem
    pieces = pieces_of(problem, group.members, 64)
    seconds, sent, taken, sizes, result_sizes = [], [], [], [], []
    for piece in [pieces[0], *pieces[:: max(1, len(pieces) // sample)][:sample]]:
        before = time.process_time()
        head = pickle.dumps(
            [dataclasses.replace(m, rows=None, validation_rows=None, test_rows=None) for m in piece], pickle.HIGHEST_PROTOCOL
        )
        middle = time.process_time()
        found = train_piece(problem, piece, 1 << 30)
        after = time.process_time()
        packed = pickle.dumps(found, pickle.HIGHEST_PROTOCOL)
        pickled = time.process_time()
        pickle.loads(packed)
        sent.append(middle - before)
        seconds.append(after - middle)
        taken.append(time.process_time() - pickled)
        sizes.append(len(head))
        result_sizes.append(len(packed))
    rows = sum(value.nbytes for value in (problem.rows.x, problem.rows.target)) + sum(split.train.nbytes for split in planned.folds)
    overhead = _dask_overhead()
    return Costs(
        networks=len(pieces[0]), plan=plan, send=statistics.median(sent) + overhead / 2, take=statistics.median(taken) + overhead / 2,
        piece=tuple(seconds[1:]), piece_bytes=int(statistics.median(sizes)), result_bytes=int(statistics.median(result_sizes)),
        row_bytes=rows,
    )  # fmt: skip


def _dask_overhead(calls: int = 200) -> float:
    """Return the seconds of processor time that client and scheduler take for a call, both in this process."""
    from distributed import Client, LocalCluster

    options: dict[str, Any] = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "silence_logs": 60}
    with LocalCluster(host="127.0.0.1", **options) as cluster, Client(cluster) as client:
        client.gather(client.map(abs, range(20), pure=False))
        began = time.process_time()
        client.gather(client.map(abs, range(calls), pure=False))
        return (time.process_time() - began) / calls


def _seconds_of_rows(costs: Costs, workers: int) -> float:
    """Return how long it takes until each worker has the rows; those that have them hand them on."""
    return (1 + math.ceil(math.log2(workers))) * (costs.row_bytes / BANDWIDTH + LATENCY)


def predict(costs: Costs, *, networks: int, workers: int) -> dict[str, float]:
    """Return seconds and efficiency by the formula of docs/scaling.md."""
    pieces, each = -(-networks // costs.networks), statistics.fmean(costs.piece)
    work = pieces * each
    planning, rows = networks * costs.plan, _seconds_of_rows(costs, workers)
    client = pieces * (costs.send + costs.take)
    network = pieces * (costs.piece_bytes + costs.result_bytes) / BANDWIDTH
    total = planning + rows + max(work / workers + max(costs.piece) / 2, client, network)
    return {
        "work": work, "planning": planning, "rows": rows, "client": client, "network": network, "seconds": total,
        "efficiency": work / workers / total,
    }  # fmt: skip


def simulate(costs: Costs, *, networks: int, workers: int, seed: int = 0) -> dict[str, float]:
    """Schedule pieces, drawn from those measured, on the workers as they get free, each with one more waiting; return what it takes.

    The client sends and takes pieces back one at a time, and all go through its network.
    """
    random = np.random.default_rng(seed)
    pieces = -(-networks // costs.networks)
    times = random.choice(costs.piece, pieces)
    start = networks * costs.plan + _seconds_of_rows(costs, workers)
    per_send = max(costs.send, costs.piece_bytes / BANDWIDTH)
    per_take = max(costs.take, costs.result_bytes / BANDWIDTH)
    client, free = start, [start] * workers
    ends: list[tuple[float, int]] = []  # (when a piece ends, its worker)
    waiting = iter(times.tolist())
    last = start

    def send(worker: int) -> None:
        nonlocal client
        seconds = next(waiting, None)
        if seconds is not None:
            client += per_send
            free[worker] = max(free[worker], client + LATENCY) + seconds
            heapq.heappush(ends, (free[worker], worker))

    for _ in range(2):
        for worker in range(workers):
            send(worker)
    while ends:
        end, worker = heapq.heappop(ends)
        client = max(client, end + LATENCY) + per_take
        last = client
        send(worker)
    work = float(times.sum())
    return {"work": work, "seconds": last, "efficiency": work / workers / last}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the races, or the cost model, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", action="append", choices=COMPARED, help="of the races; both if left out")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="one round of a few epochs, to see that it works")
    parser.add_argument("--simulate", action="store_true", help="the cost model instead of the races")
    parser.add_argument("--networks", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    found: list[dict[str, Any]] = []
    for name in given.case or COMPARED:
        case = CASES[name]
        if given.simulate:
            costs = measure_costs(case, sample=2 if given.quick else 12)
            options = {"networks": given.networks, "workers": given.workers}
            one = {"case": name, **options, "costs": dataclasses.asdict(costs)}
            one |= {"formula": predict(costs, **options), "simulation": simulate(costs, **options)}
            print(json.dumps(one, indent=2))
        else:
            epochs = max(1, case.epochs // 20) if given.quick else case.epochs * LONGER[name]
            one = race(case, epochs=epochs, rounds=1 if given.quick else given.rounds, jobs=given.jobs, tell=print)
            print(f"{name}: dask takes {one['ratio']:.2f} times as long (goal {GOAL}), same scores: {one['same_scores']}")
        found.append(one)
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), "versions": versions(), "results": found}, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
