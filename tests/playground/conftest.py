"""A server, a browser, and a page that has redeemed the token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.playground.chromium_page import CHROMIUM, FLAGS, WAIT, PlaygroundProcess, ready


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlaygroundProcess]:
    found = PlaygroundProcess(tmp_path_factory.mktemp("playground"))
    yield found
    assert "Traceback" not in found.end()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the group browser")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def cookie(server: PlaygroundProcess, chromium: Any) -> Any:
    context = chromium.new_context()
    context.new_page().goto(server.address)
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def page(server: PlaygroundProcess, chromium: Any, cookie: Any) -> Iterator[Any]:
    context = chromium.new_context(
        storage_state=cookie, viewport={"width": 1440, "height": 900}, bypass_csp=True
    )  # for the tests' own scripts
    found = context.new_page()
    found.set_default_timeout(WAIT)
    errors: list[str] = []
    found.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    found.on("pageerror", lambda error: errors.append(str(error)))
    ready(found, server.root)
    yield found
    context.close()
    assert errors == []
