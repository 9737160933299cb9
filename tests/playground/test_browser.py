"""The page in a real browser: controls, views, data sources, drawing, going back, export."""

from __future__ import annotations

import base64
import contextlib
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.playground.chromium_page import MARKS, PlaygroundProcess, big_table, digest, epoch, painted, play_until, ready

pytestmark = MARKS


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


def test_a_new_network_does_not_show_the_numbers_of_the_one_before(page: Any) -> None:
    play_until(page, 5)
    page.click("#play")
    page.get_by_label("Play", exact=True).wait_for()
    page.evaluate(
        """new MutationObserver(() => { window.numbers = ['epoch', 'loss'].map(id => document.getElementById(id).textContent); })
        .observe(document.getElementById('summary'), { childList: true })"""
    )
    page.get_by_label("Add a hidden layer").click()
    page.wait_for_function("window.numbers")
    assert page.evaluate("window.numbers") == ["0", "–"]


def test_the_rate_changes_while_it_runs(page: Any) -> None:
    play_until(page, 5)
    page.get_by_label("Learning rate").first.fill("0.003")
    page.get_by_label("Learning rate").first.press("Enter")
    at = epoch(page)
    play_until(page, at + 5)
    page.click("#tab-code")
    page.locator("#panel-code pre", has_text="The learning rate as it was changed on the page: 0.003 after step").wait_for()
    page.click("#reset")
    page.wait_for_function("document.querySelector('#epoch').textContent === '0'")
    page.locator("#panel-code pre", has_text="mn.Adam(lr=0.003)").wait_for()  # it begins with the rate that is shown


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
        """([text, name]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0))], name));
            return transfer;
        }""",
        [base64.b64encode(path.read_bytes()).decode(), path.name],
    )
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})


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


def test_a_dropped_parquet_file(page: Any, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    frame = pl.DataFrame(
        {"width": random.normal(5, 1, 300), "height": random.normal(3, 1, 300), "kind": ["round", "square", None] * 100}
    )
    frame = frame.with_columns(dear=pl.col("width") > pl.col("height") + 2, day=pl.date(2024, 1, 1))
    frame.write_parquet(tmp_path / "parts.parquet")
    drop(page, tmp_path / "parts.parquet")
    page.locator("#data", has_text="300 rows").wait_for()
    assert page.locator(".schema tbody tr").count() == 5
    page.get_by_label("Target").select_option("dear")
    page.locator("#summary", has_text="240 training rows").wait_for()
    page.wait_for_function("document.querySelector('#plane .plane canvas').getAttribute('aria-label').includes('width and height')")
    play_until(page, 20)


def test_names_and_values_are_text(page: Any, tmp_path: Path) -> None:
    tag = "<img src=x onerror=document.title='run'>"
    lines = [f"{i % 17},{i % 5},{tag if i % 2 else 'other'}" for i in range(60)]
    (tmp_path / "table.csv").write_text("\n".join([f"{tag},b,{tag} y", *lines]) + "\n")
    drop(page, tmp_path / "table.csv")
    page.locator("#data", has_text="60 rows").wait_for()
    assert tag in page.locator("#data").inner_text()
    assert page.locator("img[src=x]").count() == 0
    assert page.title() != "run"


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


def test_ticks_have_all_their_digits_and_room(page: Any) -> None:
    texts = """import('/plane.js').then(module => module.ticks(0, 400000, 5).concat([1.5e9, -2.5e-4, 0.1 + 0.2]).map(module.tickText))"""
    assert page.evaluate(texts) == ["0", "1e5", "2e5", "3e5", "4e5", "1.5e9", "-2.5e-4", "0.3"]
    assert page.evaluate("import('/plane.js').then(module => module.tickText(150000))") == "1.5e5"
    least = """import('/charts.js').then(module => {
        const canvas = document.querySelector('#panel-curves canvas'), context = canvas.getContext('2d'), plain = context.fillText;
        const left = [];
        context.fillText = function (text, x, y) {
            if (this.textAlign === 'right') left.push(x - this.measureText(text).width);
            plain.call(this, text, x, y);
        };
        for (const scale of [1, 1e5, -1e5]) {
            const values = new Float32Array([0, 1.2345 * scale, 0.5 * scale]);
            module.drawLines(canvas, new Float32Array([0, 1, 2]), [{ values, colour: 'red' }]);
            module.drawResiduals(canvas, values, values);
        }
        delete context.fillText;
        return [left.length, Math.min(...left)];
    })"""
    drawn, edge = page.evaluate(least)
    assert drawn > 10
    assert edge >= 0


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
    names = [str(button.get_attribute("aria-label")) for button in page.locator(".wall button").all()]
    losses = [float(name.split()[-1]) for name in names if not name.endswith("–")]
    assert losses == sorted(losses)
    assert len(losses) >= 12
    assert painted(page, ".wall canvas") > 200
    page.locator(".wall button").nth(3).click()
    page.locator(".wall button").nth(3).and_(page.locator(".chosen")).wait_for()
    number = re.findall(r"Open network (\d+)", names[3])[0]
    page.locator("#shown", has_text=f"network {number} of 16").wait_for()


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
