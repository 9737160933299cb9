"""Turn the chapters of the tutorials into notebooks: their text as Markdown cells, their Python blocks as code cells.

A notebook is downloaded alone, so it holds its pictures, and a link to a page of the site becomes the text of the link. A cell that saves
pictures also shows them.

`conf.py` calls it before each build of the site; `python docs/make_notebooks.py FOLDER` writes the notebooks elsewhere.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CHAPTERS = HERE / "learn"
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n", re.MULTILINE | re.DOTALL)
ONLY_ON_THE_SITE = re.compile(r"^\{download\}.*\n", re.MULTILINE)
PICTURE = re.compile(r"!\[(?P<text>[^\]]*)\]\((?P<file>[^)]+)\)")
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?!https?:)[^)]+\)")
SAVED = re.compile(r"^mn\.plots\.save\(.*?\"(?P<name>[\w-]+\.png)\",?\s*\)$", re.MULTILINE | re.DOTALL)


def chapters() -> list[Path]:
    """Return the pages of the chapters, in their order."""
    return sorted(CHAPTERS.glob("t[0-9]-*.md"))


def notebook(text: str) -> dict[str, Any]:
    """Return a Markdown page as a notebook in Jupyter's format 4.5.

    >>> [cell["cell_type"] for cell in notebook("# A\\n\\n```python\\nx = 1\\n```\\n\\nText\\n")["cells"]]
    ['markdown', 'code', 'markdown']
    """
    cells: list[dict[str, Any]] = []
    at = 0
    text = ONLY_ON_THE_SITE.sub("", text)
    for match in [*BLOCK.finditer(text), None]:
        before = text[at : match.start() if match else len(text)].strip("\n")
        if before:
            cells.append(_markdown(before))
        if match:
            code = match["code"].rstrip("\n") + _shown(match["code"])
            cells.append({"cell_type": "code", "metadata": {}, "source": code, "outputs": [], "execution_count": None})
            at = match.end()
    for i, cell in enumerate(cells):
        cell["id"] = f"cell-{i}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def _markdown(text: str) -> dict[str, Any]:
    """Return a cell of text that needs no other file."""
    files = {Path(match["file"]).name: CHAPTERS / match["file"] for match in PICTURE.finditer(text)}
    source = PICTURE.sub(lambda match: f"![{match['text']}](attachment:{Path(match['file']).name})", text)
    cell: dict[str, Any] = {"cell_type": "markdown", "metadata": {}, "source": LINK.sub(r"\g<text>", source)}
    if files:
        cell["attachments"] = {
            name: {"image/png": base64.b64encode(path.read_bytes()).decode("ascii")} for name, path in files.items()
        }
    return cell


def _shown(code: str) -> str:
    """Return lines that show the pictures that a cell saves.

    >>> print(_shown('mn.plots.save(ax, "a.png")'))
    <BLANKLINE>
    <BLANKLINE>
    from IPython.display import Image, display
    <BLANKLINE>
    display(Image("a.png"))
    """
    calls = ", ".join(f'Image("{match["name"]}")' for match in SAVED.finditer(code))
    return f"\n\nfrom IPython.display import Image, display\n\ndisplay({calls})" if calls else ""


def write(folder: Path) -> list[Path]:
    """Write the notebook of each chapter into a folder, and return the files."""
    written = []
    for page in chapters():
        path = folder / f"{page.stem}.ipynb"
        text = json.dumps(notebook(page.read_text(encoding="utf-8")), indent=1, ensure_ascii=False) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


if __name__ == "__main__":
    write(Path(sys.argv[1]))
