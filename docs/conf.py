"""Sphinx's configuration of the documentation site: `make docs` builds it into site/.

Pages that follow from the code (the API, the commands) and the notebooks of the chapters are written first, into folders that git ignores.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import docstrings  # noqa: E402
import make_notebooks  # noqa: E402
import make_reference  # noqa: E402

import manynets  # noqa: E402

project = "manynets"
author = copyright = "The manynets developers"
version = release = manynets.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
templates_path = ["_templates"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

smartquotes = False  # quotes are those of Python
autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_show_search_summary = False  # it fetches pages, which a browser refuses for files
html_title = f"manynets {version}"
html_static_path = ["_static"]
html_css_files = ["manynets.css"]
html_context = {
    "default_mode": "auto",
    "versions": json.loads((HERE / "switcher.json").read_text(encoding="utf-8")),
}
html_copy_source = html_show_sourcelink = False
html_theme_options: dict[str, Any] = {
    "navbar_end": ["versions", "theme-switcher"],
    "navbar_align": "left",
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 8,
    "logo": {"text": html_title},
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": [], "changelog": [], "benchmarks": [], "reliability": []}


def setup(app: Any) -> None:
    """Write the generated pages, and have docstrings read as they are written here."""
    make_reference.write(HERE / "reference")
    make_notebooks.write(HERE / "learn")
    app.connect("autodoc-process-docstring", docstrings.process)
    app.connect("autodoc-process-signature", docstrings.process_signature)
    app.add_transform(docstrings.LinkNames)
    app.add_transform(docstrings.LinkPages)
