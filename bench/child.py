"""One system in a process of its own: reads requests on stdin and answers on stdout, a JSON object a line.

{"repeat": n} runs n epochs (or predictions) and answers {"seconds": s, "notes": {...}}; {"result": true} answers the loss, or the
share of right answers, and the peak of memory. Started by `bench.runner`: python -m bench.child SYSTEM FOLDER THREADS.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from bench.cases import case_of
from bench.data import LOSS_ROWS, read, reference_answers, training_loss
from bench.systems import SYSTEMS, Session, prepare

__all__ = ["peak_mib"]


def peak_mib() -> float:
    """Return the most memory that this process has held, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would also count the parent's memory at the fork
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def _serve(name: str, folder: Path, threads: int) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints must not get between the answers

    def answer(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")

    try:
        if SYSTEMS[name].one_cpu and threads == 1 and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        case = case_of(json.loads((folder / "case.json").read_text()))
        arrays = read(case, folder)
        session = prepare(name, case, arrays)
        answer({"ready": True})
        for line in sys.stdin:
            request = json.loads(line)
            if "repeat" in request:
                seconds = session.run(request["repeat"])
                answer({"seconds": seconds, "notes": session.notes})
            else:
                answer({"peak_mib": peak_mib()} | _result(session, arrays))
    except Exception as error:
        answer({"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()})


def _result(session: Session, arrays: Any) -> dict[str, float]:
    if session.layers is not None:
        return {"loss": training_loss(session.layers(), arrays)}
    if session.answers is not None:
        return {"agree": float(np.mean(session.answers()[:LOSS_ROWS] == reference_answers(arrays)))}
    return {}


if __name__ == "__main__":
    _serve(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
