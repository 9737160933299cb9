"""The page in Chromium: a server in a process of its own, and what tests look at."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
WAIT = 25_000
MARKS = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
    pytest.mark.filterwarnings("default"),
]


class PlaygroundProcess:
    """`manynets playground` in a process of its own; its one-time address gives the cookie for all tests."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "manynets", "playground", "--no-browser", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, line
        self.address, self.folder = found[0], folder
        self.root = self.address.partition("?")[0]

    def end(self) -> str:
        """End it; return what it wrote to stderr."""
        self.process.terminate()
        _, errors = self.process.communicate(timeout=20)
        return errors


def ready(page: Any, address: str) -> None:
    page.goto(address)
    page.locator("#summary", has_text="parameters").wait_for()
    page.wait_for_function("playground.frames > 0")


def epoch(page: Any) -> float:
    return float(page.locator("#epoch").inner_text().replace(",", ""))


def play_until(page: Any, least: float) -> None:
    if page.locator("#play").get_attribute("aria-label") == "Play":
        page.click("#play")
    page.wait_for_function(f"Number(document.querySelector('#epoch').textContent.replaceAll(',', '')) >= {least}")


def painted(page: Any, selector: str) -> int:
    """Return how many different colours a canvas has."""
    script = """canvas => {
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data, seen = new Set();
        for (let i = 0; i < data.length; i += 4) seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
        return seen.size;
    }"""
    return int(page.locator(selector).first.evaluate(script))


def digest(page: Any, selector: str) -> str:
    return str(page.locator(selector).first.evaluate("canvas => canvas.toDataURL()"))


def big_table(path: Path) -> None:
    random = np.random.default_rng(0)
    rows = 10_000
    age, size, town = random.uniform(18, 90, rows), random.normal(80, 25, rows), random.choice(["north", "south", "east"], rows)
    price = 3 * size + 20 * (town == "south") + random.normal(0, 10, rows)
    lines = [f"{a:.1f},{s:.2f},{t},{'yes' if p > 245 else 'no'},{p:.1f}" for a, s, t, p in zip(age, size, town, price, strict=True)]
    path.write_text("age,size,town,dear,price\n" + "\n".join(lines) + "\n")
