"""Compare manynets with other libraries: python -m bench [--quick] [--case NAME] [--json FILE]."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.cases import CASES, shortened
from bench.commands import run_commands
from bench.machine import machine, versions
from bench.many import SIZES, cost_over_k, thread_counts
from bench.report import missed_goals, terminal, write_docs
from bench.runner import run_case
from bench.saved import save
from bench.systems import SYSTEMS

__all__ = ["main"]

DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
OTHERS = ("cost", "commands")
QUICK_STEPS = 100


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = [*CASES, *OTHERS]
    parser.add_argument(
        "--case", action="append", choices=names, metavar="NAME", help=f"one of {', '.join(names)}; may be repeated"
    )
    parser.add_argument(
        "--system", action="append", choices=list(SYSTEMS), metavar="NAME", help=f"one of {', '.join(SYSTEMS)}; may be repeated"
    )
    parser.add_argument("--quick", action="store_true", help="few steps and rounds: to try it, not to measure")
    parser.add_argument("--steps", type=int, metavar="N", help="at most about N steps a round")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds (default 7; 3 with --quick)")
    parser.add_argument(
        "--threads", type=int, metavar="N", help="this thread count for all, instead of the faster of 1 and 2 for each"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to this file")
    parser.add_argument(
        "--write-docs", type=Path, metavar="FILE", help="measure nothing: put the results of this file into docs/benchmarks.md"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0, or 1 where a system failed."""
    options = _parser().parse_args(arguments)
    if options.write_docs is not None:
        write_docs(json.loads(options.write_docs.read_text(encoding="utf-8")), DOCS)
        return 0
    console, log = Console(), Console(stderr=True)
    if not console.is_terminal:
        console.width = 120
    wanted = options.case or [*CASES, *OTHERS]
    systems = options.system or list(SYSTEMS)
    rounds = options.rounds or (3 if options.quick else 7)
    steps = options.steps or (QUICK_STEPS if options.quick else None)
    threads = (options.threads,) if options.threads else thread_counts()

    def tell(line: str) -> None:
        log.print(line, style="dim", highlight=False)

    results: dict[str, Any] = {"quick": steps is not None, "machine": machine(), "versions": versions(), "cases": []}
    missed: list[str] = []
    for case in CASES.values():
        if case.name not in wanted:
            continue
        one = case if steps is None else shortened(case, steps=steps)
        outcome = run_case(one, systems, rounds=rounds, threads=threads, tell=tell)
        results["cases"].append(outcome)
        missed += missed_goals(outcome)
        console.print(terminal(outcome))
        save(results, options.json)
    if "cost" in wanted:
        case = CASES["many-256"] if steps is None else shortened(CASES["many-256"], steps=steps)
        sizes = SIZES if steps is None else SIZES[:4]
        results["cost"] = cost_over_k(case, sizes=sizes, rounds=min(rounds, 3), threads=threads, tell=tell)
        console.print_json(data=results["cost"])
    if "commands" in wanted:
        results["commands"] = run_commands(rounds=rounds)
        console.print_json(data=results["commands"])
    save(results, options.json)
    for line in missed:
        console.print(f"missed: {line}", style="yellow", highlight=False)
    return int(any(row["problem"].startswith("failed") for case in results["cases"] for row in case["rows"]))


if __name__ == "__main__":
    sys.exit(main())
