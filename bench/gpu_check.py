"""Check manynets on a GPU: the tests marked gpu and a short benchmark, within four minutes: python -m bench.gpu_check.

It writes docs/benchmarks-gpu.md. Exit code 0, or 1 where a part failed (the page has its error), or 2 where there is no CUDA device.
Each part runs in a process of its own with its own budget of time, so that none takes another down.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch

from bench.gpu_page import page
from bench.gpu_parts import precisions, predictions, toys, tutorial
from bench.machine import machine

__all__ = ["PARTS", "Part", "check", "gpu_tests", "main", "run_part"]

Json: TypeAlias = dict[str, Any]

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks-gpu.md"
START = 12.0  # seconds that a process may take to import torch and to start CUDA
MARK = "mark.gpu"


@dataclasses.dataclass(frozen=True)
class Part:
    """One part. budget: seconds after which its process is stopped. run(device, seconds=...): makes it, within so many seconds."""

    budget: float
    run: Callable[..., Json]


def gpu_tests(device: str, *, seconds: float) -> Json:  # noqa: ARG001 - one signature for all parts
    """Run the tests marked gpu; return how many passed, failed and were skipped, and of a failure the end of pytest's output."""
    files = [str(file) for file in sorted((ROOT / "tests").rglob("test_*.py")) if MARK in file.read_text(encoding="utf-8")]
    if not files:
        raise FileNotFoundError(f"no test in {ROOT / 'tests'} is marked gpu")
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *files]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired as late:
        return {"error": f"stopped after {seconds:g} seconds\n" + (late.stdout or b"").decode(errors="replace")[-4000:]}
    counts = {name: int(count) for count, name in re.findall(r"(\d+) (passed|failed|skipped|errors?)\b", done.stdout[-500:])}
    out: Json = {name: counts.get(name, 0) for name in ("passed", "failed", "skipped")}
    if done.returncode != 0:
        out["error"] = (done.stdout + done.stderr)[-4000:]
    return out


PARTS: Mapping[str, Part] = {
    "tests": Part(70, gpu_tests),
    "tutorial": Part(55, tutorial),
    "precisions": Part(50, precisions),
    "toys": Part(30, toys),
    "predictions": Part(25, predictions),
}


def run_part(name: str, device: str, *, budget: float) -> Json:
    """Run a part in a process of its own; return its result, or {"error": text}."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        command = [sys.executable, "-m", "bench.gpu_check", "--part", name, "--device", device, "--json", str(out)]
        command += ["--seconds", f"{max(1.0, budget - START):g}"]
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=budget)
        except subprocess.TimeoutExpired:
            return {"error": f"stopped after its budget of {budget:g} seconds", "seconds": budget}
        result: Json
        if done.returncode == 0 and out.exists():
            result = json.loads(out.read_text(encoding="utf-8"))
        else:
            result = {"error": (done.stderr or done.stdout)[-4000:] or f"exit code {done.returncode}"}
    return result | {"seconds": time.perf_counter() - began}


def _system(device: str) -> Json:
    """Return what the results depend on: hardware and versions."""
    import manynets

    out: Json = {**machine(), "torch": torch.__version__, "cuda": torch.version.cuda or "none", "manynets": manynets.__version__}
    out |= {"gpu": platform.processor() or "CPU", "driver": "none"}
    if torch.device(device).type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        out["gpu"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
        out["driver"] = _driver()
    return out


def _driver() -> str:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "unknown"
    command = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    return next(iter(done.stdout.split()), "unknown")


def check(device: str, path: Path, *, run: Callable[..., Json] = run_part, tell: Callable[[str], object] = print) -> int:
    """Run all parts on a device and write the page; return 0, or 1 where a part failed."""
    results: Json = {"system": _system(device), "parts": {}}
    for name, part in PARTS.items():
        tell(f"{name} (at most {part.budget:g} s) ...")
        results["parts"][name] = run(name, device, budget=part.budget)
        path.write_text(page(results), encoding="utf-8")  # also when this process is stopped half-way
    failed = [name for name, result in results["parts"].items() if "error" in result]
    tell(f"wrote {path}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return int(bool(failed))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_check", description=__doc__)
    parser.add_argument("--out", type=Path, default=PAGE, metavar="FILE", help="the page to write (default docs/benchmarks-gpu.md)")
    parser.add_argument("--device", default="cuda", help="cuda or cuda:N (default cuda)")
    parser.add_argument("--part", choices=list(PARTS), metavar="NAME", help=f"only this part, without a page: {', '.join(PARTS)}")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long the one part may take (default 30)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result of the one part to this file")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check; return the exit code."""
    options = _parser().parse_args(arguments)
    device = torch.device(options.device)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        print(
            f"gpu-check needs {options.device}, but torch {torch.__version__} finds {torch.cuda.device_count()} CUDA devices here"
        )
        return 2
    if options.part is None:
        return check(options.device, options.out)
    result = PARTS[options.part].run(options.device, seconds=options.seconds)
    if device.type == "cuda" and options.part != "tests":
        result["memory_mib"] = torch.cuda.max_memory_allocated(device) / 2**20
    text = json.dumps(result)
    if options.json is None:
        print(text)
    else:
        options.json.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
