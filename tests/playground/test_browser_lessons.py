"""The lessons in a real browser; sizes, themes and accessibility; a file from the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.playground.chromium_page import MARKS, WAIT, PlaygroundProcess, big_table, play_until, ready

AXE = os.environ.get("MANYNETS_AXE", "")
"""axe.min.js of the npm package axe-core: `npm pack axe-core` and unpack it."""
SIZES = [(360, 740), (820, 1100), (1440, 900)]

pytestmark = MARKS


@pytest.mark.parametrize("lesson", range(8))
def test_every_lesson(page: Any, lesson: int) -> None:
    page.click("#tab-lessons")
    page.locator(".lessons li button").nth(lesson).click()
    page.locator(".story .question").wait_for()
    tries = page.locator(".tries button").count()
    for i in range(min(tries, 4)):
        page.locator(".tries button").nth(i).click()
        page.wait_for_timeout(700)
        page.wait_for_function(
            "Number(document.querySelector('#epoch').textContent.replaceAll(',', '')) > 0 || document.querySelector('#status.error')"
        )
        error = page.locator("#status.error")
        if error.count():
            assert "not finite" in error.inner_text()  # the rate that is far too high
    page.get_by_text("Answer", exact=True).click()
    if lesson in (3, 4, 5):
        page.get_by_role("button", name="Show the curves").click()
        page.locator("#panel-curves canvas").first.wait_for()
        page.click("#tab-lessons")
    page.get_by_role("button", name="Show the code").click()
    page.locator("#panel-code pre", has_text="mn.train(").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_sizes_themes_and_accessibility(
    server: PlaygroundProcess, chromium: Any, cookie: Any, size: tuple[int, int], scheme: str
) -> None:
    context = chromium.new_context(
        storage_state=cookie,
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        bypass_csp=True,
        reduced_motion="reduce",
    )
    page = context.new_page()
    ready(page, server.root)
    play_until(page, 5)
    page.click("#play")
    for tab in ("curves", "inside", "networks", "options", "code", "lessons"):
        page.click(f"#tab-{tab}")
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        check_axe(page)
    for source in ("Draw", "Table", "Digits"):
        page.get_by_role("button", name=source, exact=True).click()
        page.wait_for_timeout(800)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        check_axe(page)
    context.close()


def check_axe(page: Any) -> None:
    if not AXE:
        pytest.skip("needs axe-core: set MANYNETS_AXE to its axe.min.js")
    page.evaluate(Path(AXE).read_text())
    found = page.evaluate("axe.run()")["violations"]
    assert [(one["id"], [node["html"][:120] for node in one["nodes"]][:4]) for one in found] == []


def test_a_file_from_the_command_line(chromium: Any, tmp_path: Path) -> None:
    big_table(tmp_path / "houses.csv")
    started = PlaygroundProcess(tmp_path, "houses.csv", "--target", "price")
    context = chromium.new_context(bypass_csp=True)
    page = context.new_page()
    page.set_default_timeout(WAIT)
    ready(page, started.address)
    assert "8,000 training rows" in page.locator("#summary").inner_text()
    again = context.new_page()
    assert again.goto(started.address).status == 200  # the cookie is there
    other = chromium.new_context().new_page()
    assert other.goto(started.address).status == 401  # the address is good for one browser
    context.close()
    assert "Traceback" not in started.end()
