"""The documentation: every public name has an example, generated parts are up to date, and the site builds without a warning.

The blocks of code in the pages are run by test_readme.py, and the examples in docstrings as doctests.
"""

from __future__ import annotations

import doctest
import html.parser
import importlib
import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

import manynets
from hatch_build import absolute_links
from tests.test_readme import PYTHON, blocks_of

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
ROOMS = [f"manynets.{name}" for name in dir(manynets) if isinstance(getattr(manynets, name), types.ModuleType)]
WINDOW = 1300  # pixels
CODE_COLUMNS = 88
"""So many are visible in a window of that width."""
PUBLIC = ["manynets", *ROOMS, "manynets.errors", "manynets.estimators", "manynets.spec", "manynets.studies"]


def script(name: str) -> Any:
    """Return a script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---------------------------------------------------------------------------------------------------------------- docstrings


def runs_something(value: object) -> bool:
    """Return whether a docstring has an example of which at least one line that is not an import runs."""
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(value) or "")
    skipped = doctest.OPTIONFLAGS_BY_NAME["SKIP"]
    return any(not one.options.get(skipped) and not one.source.startswith(("import ", "from ")) for one in examples)


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_has_an_example_that_runs(module: str) -> None:
    names = importlib.import_module(module).__all__
    found = {name: getattr(importlib.import_module(module), name) for name in names}
    missing = [
        name for name, value in found.items() if (inspect.isclass(value) or inspect.isfunction(value)) and not runs_something(value)
    ]
    assert missing == [], "their docstrings have no doctest"


def test_an_example_that_is_skipped_or_only_imports_does_not_count() -> None:
    def skipped() -> None:
        """>>> import manynets
        >>> 1 + 1  # doctest: +SKIP
        2
        """

    assert not runs_something(skipped)
    assert runs_something(manynets.MLP)


def test_the_reference_has_every_public_name() -> None:
    reference = script("make_reference")
    pages = {page.module: reference.api_page(page) for page in reference.pages() if not page.names}
    assert set(pages) == set(ROOMS)
    everything = "".join(reference.api_page(page) for page in reference.pages())
    for name in manynets.__all__:
        assert re.search(rf"(?:auto\w+|py:data):: {name}$", everything, re.M), name


@pytest.mark.parametrize("name", ["docstrings", "make_notebooks"])
def test_the_examples_of_the_scripts_hold(name: str) -> None:
    if name == "docstrings":
        pytest.importorskip("sphinx")
    assert doctest.testmod(script(name)).failed == 0


# ------------------------------------------------------------------------------------------------------------ generated parts


def test_the_chapters_have_the_results_of_the_studies() -> None:
    studies = script("make_studies")
    text = (DOCS / "studies.md").read_text(encoding="utf-8")
    chapters = sorted((DOCS / "learn").glob("t[0-9]-*.md"))
    assert len(chapters) == 5
    for path in chapters:
        page = path.read_text(encoding="utf-8")
        tutorial = path.stem[:2].upper()
        assert len(studies.chapter_rows(text, tutorial)) > 3
        assert studies.with_results(page, text, tutorial) == page, f"run python docs/make_studies.py: {path.name}"


def test_the_chapters_have_every_published_number() -> None:
    """The correct images of each digit, and the accuracy after every 500 steps."""
    page = (DOCS / "learn" / "t4-digits.md").read_text(encoding="utf-8")
    assert "| published | 971 | 1123 | 1001 | 984 | 960 | 870 | 935 | 993 | 946 | 981 |" in page
    page = (DOCS / "learn" / "t5-models.md").read_text(encoding="utf-8")
    for curve in ("85 89 90 91 91 91", "91 92 93 94 94 95", "91 93 94 94 95 95", "91 93 94 95 96 96", "89 94 95 96 96 97"):
        assert f"| published | {curve.replace(' ', ' | ')} |" in page


def test_the_menu_of_versions_lists_every_version() -> None:
    versions = [one["version"] for one in json.loads((DOCS / "switcher.json").read_text(encoding="utf-8"))]
    released = re.findall(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert versions[0] == manynets.__version__
    assert set(released) <= set(versions)


def test_a_notebook_has_the_code_of_its_chapter(tmp_path: Path) -> None:
    written = script("make_notebooks").write(tmp_path)
    for path in written:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = [cell["source"].partition("\n\nfrom IPython")[0] for cell in cells if cell["cell_type"] == "code"]
        page = (DOCS / "learn" / f"{path.stem}.md").read_text(encoding="utf-8")
        assert code == [block.text for block in blocks_of(page) if block.language in PYTHON]
        assert not any("{download}" in cell["source"] for cell in cells)


def test_a_notebook_needs_no_other_file_and_shows_its_pictures(tmp_path: Path) -> None:
    for path in script("make_notebooks").write(tmp_path):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            source = cell["source"]
            if cell["cell_type"] == "markdown":
                links = re.findall(r"\]\(([^)]+)\)", source)
                attached = {f"attachment:{name}" for name in cell.get("attachments", {})}
                assert {link for link in links if not link.startswith("https://")} == attached, path.name
            saved = re.findall(r"(?<!Image\()\"([\w-]+\.png)\"", source) if cell["cell_type"] == "code" else []
            assert re.findall(r"Image\(\"([\w-]+\.png)\"\)", source) == saved, path.name


def test_the_code_of_the_site_fits_beside_its_menus() -> None:
    long = [
        f"{path.name}:{block.line + at}: {line}"
        for path in sorted(DOCS.rglob("*.md"))
        if "api" not in path.parts
        for block in blocks_of(path.read_text(encoding="utf-8"))
        if block.language in PYTHON
        for at, line in enumerate(block.text.splitlines())
        if len(line) > CODE_COLUMNS
    ]
    assert long == []


@pytest.mark.slow
def test_the_notebooks_run(tmp_path: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    for path in script("make_notebooks").write(tmp_path):
        notebook = nbformat.read(path, as_version=4)
        nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()


def test_the_readme_is_short_and_its_links_can_be_absolute() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 150
    published = absolute_links(readme, "https://example.org/nets", version="1.0")
    links = re.findall(r"(!?)\[[^\]]*\]\(([^)]+)\)", published)
    assert all(link.startswith("https://") for _, link in links)
    pictures = [link for bang, link in links if bang]
    assert [link.rpartition(".")[2] for link in pictures] == ["gif", "png"]
    assert all(link.startswith("https://example.org/nets/raw/v1.0/docs/") for link in pictures)
    assert absolute_links(readme, None, version="1.0") == readme


# ------------------------------------------------------------------------------------------------------------------- the site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built anew, where a warning is an error; or the one that `make docs` has just built so, in MANYNETS_SITE."""
    pytest.importorskip("sphinx")
    if built := os.environ.get("MANYNETS_SITE"):
        return Path(built).resolve()
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", f"{folder}-doctrees", "docs", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def pages_of(site: Path) -> list[Path]:
    return sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)  # which has a template of the theme


class Page(html.parser.HTMLParser):
    """The links of a page, what it loads, and the ids that links lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids.add(given.get("id", ""))
        if tag == "a":
            self.links.append(given.get("href", ""))
        elif tag in ("script", "img", "source", "iframe"):
            self.loaded.append(given.get("src", ""))
        elif tag == "link" and given.get("rel") not in ("canonical", "license"):
            self.loaded.append(given.get("href", ""))


@pytest.mark.slow
def test_the_site_has_no_broken_link_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in pages_of(site)}
    assert len(pages) > 40
    broken = []
    for path, page in pages.items():
        for link in [*page.links, *page.loaded]:
            target = urlsplit(link)
            if target.scheme or target.netloc:
                assert link not in page.loaded, f"{path.relative_to(site)} loads {link}"
                continue
            file = (path.parent / unquote(target.path)).resolve() if target.path else path
            known = file in pages
            if not file.exists() or (target.fragment and known and unquote(target.fragment) not in pages[file].ids):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert broken == []
    for path in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:https?:)?//", path.read_text(encoding="utf-8")), path


@pytest.mark.slow
def test_the_reference_has_no_text_that_is_meant_for_sphinx(site: Path) -> None:
    for path in sorted((site / "reference" / "api").glob("*.html")):
        text = re.sub(r"<[^>]*>", "", path.read_text(encoding="utf-8"))
        assert re.findall(r".*(?:~\w+\.|:class:|&lt;class |&lt;factory|object at 0x).*", text) == [], path.name


@pytest.mark.slow
def test_the_site_in_a_browser(site: Path) -> None:
    """No page has an error in the console, a control without a name, or text that is cut off at 400 pixels; nor a table that is cut off at
    1,300 pixels.
    """
    playwright = pytest.importorskip("playwright.sync_api")
    browser_path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    if not Path(browser_path).exists():
        pytest.skip("there is no Chromium here; CHROMIUM names another one")
    nameless = """[...document.querySelectorAll('a, button, input, select, img')].filter(one => {
        const label = one.labels && one.labels.length ? one.labels[0].textContent : '';
        const name = one.getAttribute('aria-label') || one.getAttribute('title') || one.getAttribute('alt') || one.placeholder;
        const shown = one.offsetParent !== null && one.getAttribute('aria-hidden') !== 'true';
        return shown && !(name || label || one.textContent.trim() || (one.querySelector('img[alt]') || {}).alt || '').trim();
    }).map(one => one.outerHTML.slice(0, 200))"""
    cut_off = """[...document.querySelectorAll('article *')].filter(one =>
        one.getBoundingClientRect().right > innerWidth && !one.closest('pre, table, .headerlink, p:has(> img)')
    ).map(one => one.textContent.slice(0, 80))"""
    scrolled = (
        "[...document.querySelectorAll('article table')].filter(one => one.scrollWidth > one.clientWidth).map(one => one.outerHTML)"
    )
    sideways = "[...document.querySelectorAll('.bd-article-container')].some(one => one.scrollWidth > one.clientWidth)"
    problems: list[str] = []
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=browser_path, args=arguments)
        page = browser.new_page(viewport={"width": 400, "height": 800})
        page.on("console", lambda said: problems.append(f"{page.url}: {said.text}") if said.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(f"{page.url}: {error}"))
        page.on(
            "request", lambda one: problems.append(f"{page.url}: {one.url}") if not one.url.startswith(("file:", "data:")) else None
        )
        for path in pages_of(site):
            page.goto(path.as_uri())
            problems += [f"{page.url}: no name: {one}" for one in page.evaluate(nameless)]
            width = page.evaluate("document.documentElement.scrollWidth")
            problems += [f"{page.url}: {width} pixels wide"] if width > 400 else []
            problems += [f"{page.url}: cut off: {one}" for one in page.evaluate(cut_off)]
            problems += [f"{page.url}: the article scrolls sideways"] if page.evaluate(sideways) else []
        page.set_viewport_size({"width": WINDOW, "height": 800})
        for path in pages_of(site):
            page.goto(path.as_uri())
            problems += [f"{page.url}: cut off: {one[:200]}" for one in page.evaluate(scrolled)]
        page.goto((site / "search.html").as_uri() + "?q=dropout")
        page.wait_for_selector("#search-results li", timeout=20_000)
        browser.close()
    assert problems == []
