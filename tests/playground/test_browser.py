"""The page in a real browser: lessons, views, data sources, drawing, going back, export, sizes, accessibility."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="needs the group browser")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
AXE = os.environ.get("MANYNETS_AXE", "")
"""axe.min.js of the npm package axe-core: `npm pack axe-core` and unpack it."""
SIZES = [(360, 740), (820, 1100), (1440, 900)]
WAIT = 25_000

pytestmark = [
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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlaygroundProcess]:
    found = PlaygroundProcess(tmp_path_factory.mktemp("playground"))
    yield found
    assert "Traceback" not in found.end()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
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


def test_the_page_keeps_to_its_policy(server: PlaygroundProcess, chromium: Any, cookie: Any) -> None:
    context = chromium.new_context(storage_state=cookie)
    page, errors = context.new_page(), []
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.goto(server.root)
    page.locator("#summary", has_text="parameters").wait_for()
    page.click("#play")
    page.wait_for_timeout(2000)
    assert float(page.locator("#epoch").inner_text().replace(",", "")) > 1
    assert errors == []
    context.close()


def test_play_pause_step_reset(page: Any) -> None:
    assert epoch(page) == 0
    page.click("#epoch-step")
    page.wait_for_function(
        "document.querySelector('#epoch').textContent === '1.00' || document.querySelector('#epoch').textContent === '1'"
    )
    page.click("#single-step")
    page.wait_for_function("document.querySelector('#epoch').textContent === '1.06'")
    play_until(page, 30)
    page.click("#play")
    page.get_by_label("Play", exact=True).wait_for()
    assert painted(page, "#plane .plane canvas") > 50
    assert painted(page, ".column .unit canvas") > 20
    page.click("#reset")
    page.wait_for_function("document.querySelector('#epoch').textContent === '0'")


def test_the_rate_changes_while_it_runs(page: Any) -> None:
    play_until(page, 5)
    page.get_by_label("Learning rate").first.fill("0.003")
    page.get_by_label("Learning rate").first.press("Enter")
    at = epoch(page)
    play_until(page, at + 5)
    page.click("#tab-code")
    page.locator("#panel-code pre", has_text="The learning rate was 0.003 after step").wait_for()


def test_layers_and_units(page: Any) -> None:
    page.get_by_label("Add a hidden layer").click()
    page.locator("#layers", has_text="3 hidden layers").wait_for()
    page.get_by_label("More units in hidden layer 1").click()
    page.locator(".column h3", has_text="9 units").wait_for()
    page.get_by_label("Unit 2 of hidden layer 1: show its map").click()
    page.locator("#shown", has_text="unit 2 of hidden layer 1").wait_for()
    for count in (2, 1, 0):
        page.get_by_label("Remove the last hidden layer").click()
        page.locator("#layers", has_text=f"{count} hidden layer").wait_for()
    play_until(page, 3)


@pytest.mark.parametrize("name", ["spirals", "moons", "circles", "xor", "gauss", "blobs", "quadrants", "prod", "plane"])
def test_every_toy(page: Any, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()
    page.locator(f'[data-key="toy-{name}"].chosen').wait_for()
    page.locator("#range-Points").fill("200")
    page.locator("#summary", has_text="200 training rows").wait_for()
    page.locator("#range-Noise").fill("0.1")
    page.get_by_role("button", name="x₁x₂").click()
    page.locator("#diagram [aria-label='Input x1*x2']").wait_for()
    play_until(page, 10)
    page.get_by_label(re.compile("errors|residuals")).check()
    assert painted(page, "#plane .plane canvas") > 30


def test_drawn_points(page: Any) -> None:
    page.get_by_role("button", name="Draw", exact=True).click()
    page.locator("#data", has_text="20 points").wait_for()
    page.wait_for_function("document.querySelector('#plane .plane canvas').classList.contains('drawing')")
    page.get_by_label("Draw class 2").click()
    canvas = page.locator("#plane .plane canvas")
    box = canvas.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.locator("#data", has_text="21 points").wait_for()
    page.locator(".legend", has_text="2").wait_for()
    canvas.press("ArrowRight")
    canvas.press("Enter")
    page.locator("#data", has_text="22 points").wait_for()
    play_until(page, 5)
    page.get_by_label("Target").select_option("regression")
    page.locator(".legend", has_text="residuals").wait_for()
    play_until(page, 5)


def drop(page: Any, path: Path) -> None:
    """Drop a file on the page."""
    transfer = page.evaluate_handle(
        "([text, name]) => { const t = new DataTransfer(); t.items.add(new File([text], name)); return t; }",
        [path.read_text(), path.name],
    )
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})


def big_table(path: Path) -> None:
    random = np.random.default_rng(0)
    rows = 10_000
    age, size, town = random.uniform(18, 90, rows), random.normal(80, 25, rows), random.choice(["north", "south", "east"], rows)
    price = 3 * size + 20 * (town == "south") + random.normal(0, 10, rows)
    lines = [f"{a:.1f},{s:.2f},{t},{'yes' if p > 245 else 'no'},{p:.1f}" for a, s, t, p in zip(age, size, town, price, strict=True)]
    path.write_text("age,size,town,dear,price\n" + "\n".join(lines) + "\n")


def test_a_dropped_table_of_ten_thousand_rows(page: Any, tmp_path: Path) -> None:
    big_table(tmp_path / "houses.csv")
    drop(page, tmp_path / "houses.csv")
    page.locator("#data", has_text="10,000 rows").wait_for()
    assert page.locator(".schema tbody tr").count() == 5
    page.get_by_label("Target").select_option("dear")
    page.locator("#summary", has_text="8,000 training rows").wait_for()
    page.get_by_label("Use price").uncheck()
    page.locator("#diagram [aria-label^='Input']").first.wait_for()
    page.get_by_label("Horizontal axis").select_option("size")
    page.get_by_label("Vertical axis").select_option("age")
    page.wait_for_function("document.querySelector('#plane .plane canvas').getAttribute('aria-label').includes('size and age')")
    play_until(page, 3)
    page.click("#play")
    page.get_by_label("Play", exact=True).wait_for()
    before = digest(page, "#plane .plane canvas")
    options = page.locator("#slider-0 option").all_inner_texts()
    page.locator("#slider-0").select_option(options[-1])
    page.wait_for_function("before => document.querySelector('#plane .plane canvas').toDataURL() !== before", arg=before)
    page.get_by_role("button", name="x₁x₂").click()
    page.locator("#diagram [aria-label='Input x1*x2']").wait_for()
    page.get_by_label("Plane").select_option("pca")
    page.wait_for_function(
        "document.querySelector('#plane .plane canvas').getAttribute('aria-label').includes('principal component 1')"
    )
    page.get_by_label("Target").select_option("price")
    page.locator(".legend", has_text="residuals").wait_for()
    page.click("#tab-inside")
    play_until(page, 2)
    page.locator("#panel-inside", has_text="Residuals").wait_for()


def test_a_drawn_digit(page: Any) -> None:
    page.get_by_role("button", name="Digits", exact=True).click()
    page.locator("#image-set").select_option("digits")
    page.locator("#summary", has_text="1,150 training rows").wait_for()
    play_until(page, 20)
    page.get_by_label("Example 1").click()
    page.locator("#data", has_text="The network sees: ").wait_for()
    assert page.locator("#data meter").count() == 10
    page.get_by_role("button", name="Clear the pad").click()
    box = page.locator(".pad").bounding_box()
    page.mouse.move(box["x"] + 90, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 90, box["y"] + 160, steps=12)
    page.mouse.up()
    page.locator("#data", has_text="The network sees: ").wait_for()
    assert page.locator("#data .strip").count() == 2
    page.click("#tab-inside")
    page.locator("#panel-inside table").wait_for()
    assert page.locator("#panel-inside tbody tr").count() == 10


def test_going_back_and_forth(page: Any) -> None:
    play_until(page, 60)
    page.click("#play")
    page.get_by_label("Play", exact=True).wait_for()
    page.wait_for_timeout(300)
    now = digest(page, "#plane .plane canvas")
    page.locator("#scrub").fill("0")
    page.locator("#scrub-at", has_text="epoch 0").wait_for()
    page.wait_for_function("now => document.querySelector('#plane .plane canvas').toDataURL() !== now", arg=now)
    page.locator("#scrub").press("End")
    page.locator("#scrub-at", has_text="now").wait_for()
    page.wait_for_function("now => document.querySelector('#plane .plane canvas').toDataURL() === now", arg=now)


def test_the_curves_and_the_inside(page: Any) -> None:
    play_until(page, 20)
    assert painted(page, "#panel-curves canvas") > 4
    page.get_by_label("logarithmic").check()
    page.click("#tab-inside")
    page.locator("#panel-inside .small-charts canvas").nth(5).wait_for()
    assert painted(page, "#panel-inside .small-charts canvas") > 3
    page.locator("#panel-inside", has_text="Dead units").wait_for()
    page.locator("#panel-inside tbody tr").nth(1).wait_for()
    page.locator("#tab-inside").press("ArrowRight")
    assert page.locator("#tab-networks").get_attribute("aria-selected") == "true"


@pytest.mark.parametrize("vary", ["seed", "lr", "hidden"])
def test_a_wall_of_networks(page: Any, vary: str) -> None:
    page.click("#tab-networks")
    page.get_by_label("that differ in their").select_option(vary)
    page.get_by_label("Networks trained together").select_option("16")
    page.locator(".wall button").nth(15).wait_for()
    play_until(page, 8)
    page.wait_for_timeout(1500)
    page.click("#play")
    page.get_by_label("Play", exact=True).wait_for()
    page.wait_for_timeout(1500)
    losses = [float(text) for text in page.locator(".wall span").all_inner_texts() if text != "–"]
    assert losses == sorted(losses)
    assert len(losses) >= 12
    page.locator(".wall button").nth(3).click()
    page.locator(".wall button").nth(3).and_(page.locator(".chosen")).wait_for()
    assert "of 16" in page.locator("#shown").inner_text()


def test_every_option_can_be_set(page: Any) -> None:
    page.click("#tab-options")
    page.locator("#panel-options [data-field=optimizer]").select_option("SGD")
    page.locator("#panel-options [data-field=momentum]").fill("0.9")
    page.locator("#panel-options [data-field=momentum]").press("Enter")
    page.locator("#panel-options [data-field=schedule]").select_option("Cosine")
    page.locator("#panel-options [data-field=batch_norm]").check()
    page.locator("#panel-options [data-field=init]").select_option("orthogonal")
    page.locator("#panel-options [data-field=stopping]").select_option("EarlyStopping")
    page.locator("#panel-options [data-field=patience]").wait_for()
    page.wait_for_timeout(600)
    page.click("#tab-code")
    program = page.locator("#panel-code pre", has_text="EarlyStopping").inner_text()
    for part in ("momentum=0.9", "mn.Cosine()", "batch_norm=True", "init='orthogonal'"):
        assert part in program


def test_a_bad_option_says_what_is_wrong(page: Any) -> None:
    page.get_by_label("Dropout").first.fill("0.1 0.2 0.3")
    page.get_by_label("Dropout").first.press("Enter")
    page.locator("#status.error", has_text="dropout has 3 numbers for 2 hidden layers").wait_for()


def test_a_batch_that_is_larger_than_the_data(page: Any) -> None:
    page.get_by_label("Batch size").first.fill("5000")
    page.get_by_label("Batch size").first.press("Enter")
    page.locator(".notes", has_text="a batch was to have 5,000 rows, but there are 500 to train on").wait_for()


@pytest.mark.parametrize("language", ["manynets", "PyTorch", "scikit-learn"])
def test_the_exported_program_runs(page: Any, language: str) -> None:
    page.locator("#range-Points").fill("100")
    page.locator("#summary", has_text="100 training rows").wait_for()
    for _ in range(3):
        page.click("#epoch-step")
        page.wait_for_timeout(200)
    page.wait_for_function("document.querySelector('#epoch').textContent.startsWith('3')")
    shown = float(page.locator("#loss").inner_text())
    page.click("#tab-code")
    page.get_by_role("button", name=language, exact=True).click()
    marks = {"manynets": "mn.train(", "PyTorch": "loss.backward()", "scikit-learn": "MLPClassifier("}
    program = page.locator("#panel-code pre", has_text=marks[language]).inner_text()
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(program, "program", "exec"), {"__name__": "program"})
    if language != "scikit-learn":
        assert abs(float(out.getvalue().split()[0]) - shown) < 6e-4  # as the page rounds it


def test_share_save_and_record(page: Any, server: PlaygroundProcess) -> None:
    page.get_by_role("button", name="circles", exact=True).click()
    page.locator('[data-key="toy-circles"].chosen').wait_for()
    page.get_by_label("Add a hidden layer").click()
    page.locator("#layers", has_text="3 hidden layers").wait_for()
    play_until(page, 10)
    page.click("#save")
    page.locator("#status", has_text="Saved as").wait_for()
    assert list((server.folder / "runs").glob("playground-*/model.safetensors"))
    with page.expect_download() as download:
        page.click("#record")
    assert Path(download.value.path()).read_bytes()[:6] == b"GIF89a"
    page.click("#share")
    address = page.evaluate("location.href")
    other = page.context.new_page()
    ready(other, address)
    assert other.locator("#layers").inner_text().endswith("3 hidden layers\n+")
    assert other.locator('[data-key="toy-circles"].chosen').count() == 1
    other.close()


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
