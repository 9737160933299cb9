"""The form at / in a real browser."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

from tests.export.tables import fitted, target, wide_table
from tests.serve.process import Server

playwright = pytest.importorskip("playwright.sync_api", reason="needs the group browser")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
    pytest.mark.filterwarnings("default"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Any]]:
    frame = wide_table()
    model = fitted(frame, np.where(target(frame) > 160, "dear", "cheap"))
    path = tmp_path_factory.mktemp("served") / "m.safetensors"
    model.save(path)
    found = Server(path)
    yield found, model
    found.end()


@pytest.fixture
def page(server: tuple[Server, Any]) -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        found = browser.new_page(viewport={"width": 1000, "height": 900})
        errors: list[str] = []
        found.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        found.on("pageerror", lambda error: errors.append(str(error)))
        found.goto(f"http://127.0.0.1:{server[0].port}/")
        yield found
        browser.close()
        assert errors == []


def test_the_form_predicts(page: Any, server: tuple[Server, Any], tmp_path: Path) -> None:
    page.get_by_label("size").fill("80")
    page.get_by_label("weight").fill("60.5 kg")
    page.get_by_label("town").fill("town 1")
    page.get_by_label("sold").fill("2001-02-03")
    page.get_by_role("button", name="Predict").click()
    page.locator("#answer strong").wait_for()
    record = dict.fromkeys(wide_table().columns) | {"size": "80", "weight": "60.5 kg", "town": "town 1", "sold": "2001-02-03"}
    assert page.locator("#answer strong").inner_text() == server[0].predict([record])[0]
    assert page.locator("#answer table").first.locator("tr").count() == 2
    assert page.locator("#contributions tr").count() == len(record)
    page.screenshot(path=tmp_path / "form.png")
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.locator("input:not([id])").count() == 0  # each has its label
    print(tmp_path / "form.png")


def test_the_page_of_the_api_sends_requests(page: Any, server: tuple[Server, Any], tmp_path: Path) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"http://127.0.0.1:{server[0].port}/docs")
    first = page.locator("section").first
    first.locator("textarea").wait_for()
    assert first.locator("h2").inner_text() == "POST /v1/models/m:predict"
    assert all(url.startswith(f"http://127.0.0.1:{server[0].port}/") for url in asked)
    first.get_by_role("button", name="Send").click()
    first.locator("div strong").wait_for()
    assert first.locator("div strong").inner_text() == "200"
    example = json.loads(first.locator("textarea").input_value())
    assert json.loads(first.locator("div pre").inner_text())["predictions"] == server[0].predict(example)
    page.screenshot(path=tmp_path / "api.png")
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    print(tmp_path / "api.png")


def test_the_page_of_the_api_asks_for_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYNETS_TOKEN", "a-token-of-many-characters")
    frame = wide_table()
    fitted(frame, target(frame)).save(tmp_path / "m.safetensors")
    server = Server(tmp_path / "m.safetensors")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.port}/docs")
        page.get_by_label("Token of this server").fill("a-token-of-many-characters")
        page.get_by_role("button", name="Continue").click()
        page.locator("section").first.wait_for()
        assert not page.get_by_label("Token of this server").is_visible()
        browser.close()
    server.end()


def test_numbers_are_rounded_and_outputs_are_named(tmp_path: Path) -> None:
    x = np.arange(120) % 5
    y = np.stack([x * 2e4 + np.sin(np.arange(120)), -x / 7 + np.cos(np.arange(120)) / 50], axis=1)
    frame = polars.DataFrame({"rooms": x, "built": 1950 + x})
    fitted(frame, polars.DataFrame(y, schema=["price", "rate"]), validation=0.3).save(tmp_path / "m.safetensors")
    server = Server(tmp_path / "m.safetensors")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.port}/")
        page.get_by_role("button", name="Predict").click()
        page.locator("#contributions").wait_for()
        assert page.locator("#columns small").all_inner_texts() == ["in training 0 to 4", "in training 1950 to 1954"]
        [[price, rate]] = server.predict([{"rooms": None, "built": None}])
        assert page.locator("#answer strong").inner_text() == f"price {price:,.6g}; rate {rate:.6g}"
        assert page.locator("#interval").inner_text().startswith("90% interval: price ")
        assert page.locator("#contributions caption").inner_text().startswith("Contributions to output price, beginning at ")
        browser.close()
    server.end()


def test_the_form_waits_for_the_model(server: tuple[Server, Any]) -> None:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        held: list[Any] = []
        page.route("**/v1/models", lambda route: held.append(route))
        page.goto(f"http://127.0.0.1:{server[0].port}/")
        button = page.get_by_role("button", name="Predict")
        assert button.is_disabled()
        held.pop().continue_()
        button.click()
        page.locator("#answer strong").wait_for()
        browser.close()


def test_the_form_shows_what_is_wrong(server: tuple[Server, Any]) -> None:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server[0].port}/")
        page.get_by_label("size").fill("large")
        page.get_by_role("button", name="Predict").click()
        page.locator("#answer .error").wait_for()
        assert page.locator("#answer .error").inner_text() == "size: 'large' is not a number"
        browser.close()


def test_the_form_shows_names_and_values_as_text(tmp_path: Path) -> None:
    tag = "<img src=x onerror=document.title='run'>"
    frame = wide_table().rename({"size": tag})
    fitted(frame, np.where(np.arange(len(frame)) % 2 > 0, tag, "other")).save(tmp_path / "m.safetensors")
    server = Server(tmp_path / "m.safetensors")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.port}/")
        page.get_by_role("button", name="Predict").click()
        page.locator("#answer strong").wait_for()
        assert tag in page.locator("body").inner_text()
        assert page.locator("img").count() == 0
        assert page.title() != "run"
        browser.close()
    server.end()


def test_the_form_shows_interval_and_contributions(tmp_path: Path) -> None:
    frame = wide_table()
    model = fitted(frame, target(frame), validation=0.3)
    model.save(tmp_path / "m.safetensors")
    server = Server(tmp_path / "m.safetensors")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1000, "height": 1400})
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(f"http://127.0.0.1:{server.port}/")
        page.get_by_label("size").fill("80")
        page.get_by_role("button", name="Predict").click()
        page.locator("#contributions").wait_for()
        row = dict.fromkeys(frame.columns) | {"size": 80.0}
        low, high = model.predict_interval(frame.clear().vstack(polars.DataFrame([row], schema=frame.schema)), 0.9)[0]
        shown = page.locator("#interval").inner_text()
        assert shown == f"90% interval: {low:.6g} to {high:.6g}"
        names = page.locator("#contributions th").all_inner_texts()
        assert sorted(names) == sorted(frame.columns)
        page.screenshot(path=tmp_path / "form.png")
        browser.close()
        assert errors == []
    server.end()
    print(tmp_path / "form.png")
