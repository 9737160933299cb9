"""How fast the playground is, measured in a real browser: `python -m bench.playground [--minutes M]`.

Prints steps a second and frames a second of one network on spirals and of a wall of 256, and the memory of server and page over time.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
SECONDS = 8


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
            endless(page)
            page.click("#play")
            page.wait_for_timeout(2000)
            show("one network, 2-8-8-1 on spirals", **speed(page))
            if minutes:
                watch(page, server.pid, minutes)
            page.click("#tab-networks")
            page.get_by_label("Networks trained together").select_option("256")
            page.locator(".wall button").nth(255).wait_for()
            page.wait_for_timeout(3000)
            show("a wall of 256 networks", **speed(page))
            browser.close()
    finally:
        server.terminate()
        server.wait()


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


def watch(page: Any, pid: int, minutes: float) -> None:
    """Show the memory of server and page every tenth of the time."""
    for _ in range(11):
        server = int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1024
        page.request_gc()
        heap = page.evaluate("performance.memory.usedJSHeapSize") / 2**20
        show("memory", server_mib=server, page_mib=heap, **speed(page))
        page.wait_for_timeout(max(0.0, 60_000 * minutes / 10 - 1000 * SECONDS))


def show(what: str, **numbers: float) -> None:
    """Print a measurement."""
    print(json.dumps({"what": what, **{name: round(value, 2) for name, value in numbers.items()}}), flush=True)


if __name__ == "__main__":
    main()
