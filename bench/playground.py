"""How fast the playground is, measured in a real browser: `python -m bench.playground [--minutes M]`.

Prints steps a second and frames a second of one network on spirals and of a wall of 256, and the memory of server and page over M minutes,
half of them with the one network and half with the wall. A line for each promise says whether it holds; the exit status is 1 where one
does not. It takes M minutes and some 40 s more.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
SECONDS = 8
STEPS, FRAMES, WALL_FRAMES = 5000, 30, 10
"""Promised for a second."""
NEARLY = 0.97  # of the frames: the last one of a measurement may be half done
SAMPLES, SHARE, MIB = 12, 0.03, 8.0
"""Of the memory in a watch: how many, and the growth that counts as flat, as a share and in MiB."""


def main() -> None:
    """Measure, and print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.0, help="how long to watch the memory")
    minutes = parser.parse_args().minutes
    from playwright.sync_api import sync_playwright

    command = [sys.executable, "-m", "manynets", "playground", "--no-browser"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    found = re.search(r"http://\S+", server.stdout.readline())
    assert found
    try:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            page = browser.new_page(viewport={"width": 1440, "height": 900}, bypass_csp=True)
            began = time.perf_counter()
            page.goto(found[0])
            page.locator("#summary", has_text="parameters").wait_for()
            page.wait_for_function("playground.frames > 0")
            show("load", seconds=time.perf_counter() - began)
            holds = measure(page, server.pid, minutes)
            browser.close()
    finally:
        server.terminate()
        server.wait()
    sys.exit(not all(holds))


def measure(page: Any, pid: int, minutes: float) -> list[bool]:
    """Measure one network and the wall; return which promises hold."""
    endless(page)
    page.click("#play")
    page.wait_for_timeout(2000)
    one = speed(page)
    show("one network, 2-8-8-1 on spirals", **one)
    holds = [verdict("steps a second of one network", one["steps_per_second"], least=STEPS)]
    holds.append(verdict("frames a second of one network", one["frames_per_second"], least=NEARLY * FRAMES))
    if minutes:
        holds += watch(page, pid, minutes / 2, "one network")
    page.click("#tab-networks")
    page.get_by_label("Networks trained together").select_option("256")
    page.locator(".wall button").nth(255).wait_for()
    page.wait_for_timeout(3000)
    wall = speed(page)
    show("a wall of 256 networks", **wall)
    holds.append(verdict("frames a second of the wall", wall["frames_per_second"], least=NEARLY * WALL_FRAMES))
    if minutes:
        holds += watch(page, pid, minutes / 2, "the wall")
    return holds


def endless(page: Any) -> None:
    """Let the training go on for as long as it is watched."""
    epochs = page.get_by_label("Epochs").first
    epochs.fill("1000000")
    epochs.press("Enter")
    page.wait_for_timeout(1500)


def speed(page: Any) -> dict[str, float]:
    """Return the frames that the page draws and the steps that the engine makes in a second."""
    script = "() => [playground.frames, playground.step, performance.now()]"
    first = page.evaluate(script)
    page.wait_for_timeout(1000 * SECONDS)
    last = page.evaluate(script)
    seconds = (last[2] - first[2]) / 1000
    return {"frames_per_second": (last[0] - first[0]) / seconds, "steps_per_second": (last[1] - first[1]) / seconds}


def watch(page: Any, pid: int, minutes: float, what: str) -> list[bool]:
    """Show the memory of server and page from time to time; return whether each stays flat.

    Once the first third is over, in which curves and remembered epochs fill up: the last third is compared with the middle one.
    """
    began, servers, heaps = time.monotonic(), [], []
    for number in range(SAMPLES):
        page.wait_for_timeout(max(0.0, 1000 * (began + 60 * minutes * (number + 1) / SAMPLES - time.monotonic())))
        servers.append(int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1024)
        page.request_gc()
        heaps.append(page.evaluate("performance.memory.usedJSHeapSize") / 2**20)
        show(f"memory, {what}", minute=(time.monotonic() - began) / 60, server_rss_mib=servers[-1], page_heap_mib=heaps[-1])
    return [flat(f"RSS of the server, {what}", servers), flat(f"heap of the page, {what}", heaps)]


def flat(what: str, values: Sequence[float]) -> bool:
    """Print and return whether memory does not grow from the second third of the values to the last."""
    third = len(values) // 3
    before, after = statistics.median(values[third : 2 * third]), statistics.median(values[2 * third :])
    allowed = max(SHARE * before, MIB)
    return verdict(f"growth in MiB: {what}", after - before, most=allowed)


def verdict(what: str, value: float, *, least: float = float("-inf"), most: float = float("inf")) -> bool:
    """Print and return whether a value is within its limits."""
    holds = least <= value <= most
    bound = {name: round(limit, 2) for name, limit in (("least", least), ("most", most)) if abs(limit) != float("inf")}
    print(json.dumps({"verdict": "holds" if holds else "FAILS", "what": what, "value": round(value, 2), **bound}), flush=True)
    return holds


def show(what: str, **numbers: float) -> None:
    """Print a measurement."""
    print(json.dumps({"what": what, **{name: round(value, 2) for name, value in numbers.items()}}), flush=True)


if __name__ == "__main__":
    main()
