"""Turn the chapters of the tutorials into notebooks: their text as Markdown cells, their Python blocks as code cells.

`conf.py` calls it before each build of the site; `python docs/make_notebooks.py FOLDER` writes the notebooks elsewhere.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CHAPTERS = HERE / "learn"
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n", re.MULTILINE | re.DOTALL)
ONLY_ON_THE_SITE = re.compile(r"^\{download\}.*\n", re.MULTILINE)


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
            cells.append({"cell_type": "markdown", "metadata": {}, "source": before})
        if match:
            code = match["code"].rstrip("\n")
            cells.append({"cell_type": "code", "metadata": {}, "source": code, "outputs": [], "execution_count": None})
            at = match.end()
    for i, cell in enumerate(cells):
        cell["id"] = f"cell-{i}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


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
