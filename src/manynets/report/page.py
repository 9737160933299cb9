"""The page of a report: headings, tables and charts, with their script, in one file that needs no network."""

from __future__ import annotations

import base64
import functools
import html
import io
import itertools
import json
import os
import re
from importlib import resources
from typing import Any

import numpy as np

from manynets.modelfile import check_target, replacing
from manynets.report.charts import require_report
from manynets.report.parts import Part, ReportFigure, ReportInput, ReportPicture, ReportTable, Section
from manynets.report.sections import sections

_NUMBER = re.compile(r"[+-]?[\d,]*\.?\d+(e[+-]?\d+)?|nan|inf")


def write_report(given: ReportInput, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Write the report as one HTML file, all or nothing. Errors: MissingExtraError without the extra `report`, OptionError for a path."""
    require_report()
    check_target(path)
    text = page(given.title, list(sections(given)))
    with replacing(path, overwrite=overwrite) as file:
        file.write(text.encode())


def page(title: str, parts: list[Section]) -> str:
    """Return the HTML text of sections."""
    figures: list[dict[str, Any]] = []
    body = "\n".join(_section(number, part, figures) for number, part in enumerate(parts))
    links = " ".join(f'<a href="#s{number}">{html.escape(part.title)}</a>' for number, part in enumerate(parts))
    files = {
        name: resources.files("manynets.report").joinpath(name).read_text(encoding="utf-8") for name in ("report.css", "report.js")
    }
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)}</title>\n<style>\n{files['report.css']}</style>\n</head>\n<body>\n<main>",
            f"<h1>{html.escape(title)}</h1>\n<nav aria-label='Sections'>{links}</nav>",
            "<noscript><p>The charts need JavaScript; the tables do not.</p></noscript>",
            f"{body}\n</main>",
            f"<script type='application/json' id='charts'>{_script_json(figures)}</script>",
            f"<script>{_bundle()}</script>\n<script>\n{files['report.js']}</script>\n</body>\n</html>\n",
        ]
    )


def _section(number: int, section: Section, figures: list[dict[str, Any]]) -> str:
    parts = [f'<section id="s{number}" aria-labelledby="h{number}">\n<h2 id="h{number}">{html.escape(section.title)}</h2>']
    parts += [f"<p>{html.escape(section.text)}</p>"] if section.text else []
    for side_by_side, group in itertools.groupby(section.parts, key=_stands_beside):
        parts += ['<div class="grid">'] if side_by_side else []
        for part in group:
            if isinstance(part, ReportTable):
                parts.append(_table(part))
            elif isinstance(part, ReportPicture):
                parts.append(_picture(part))
            else:
                parts.append(_figure(part, len(figures)))
                figures.append(part.chart)
        parts += ["</div>"] if side_by_side else []
    return "\n".join([*parts, "</section>"])


def _stands_beside(part: Part) -> str:
    """Return "pictures" or "charts" for parts that stand side by side, "" for a part on a line of its own."""
    if isinstance(part, ReportPicture):
        return "pictures"
    return "charts" if isinstance(part, ReportFigure) and part.small else ""


def _picture(picture: ReportPicture) -> str:
    caption = html.escape(picture.caption)
    data = base64.b64encode(grey_png(picture.image)).decode()
    return f'<figure class="picture"><img src="data:image/png;base64,{data}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'


def grey_png(image: Any) -> bytes:
    """Return an image (H, W) of numbers between 0 and 1 as a PNG file.

    >>> grey_png([[0.0, 1.0]])[:4]
    b'\\x89PNG'
    """
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray((np.clip(np.asarray(image), 0, 1) * 255).round().astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def _figure(figure: ReportFigure, number: int) -> str:
    caption = html.escape(figure.caption)
    return f'<figure><div class="chart" id="chart-{number}" role="img" aria-label="{caption}"></div><figcaption>{caption}</figcaption></figure>'


def _table(table: ReportTable) -> str:
    numbers = [all(_is_number(row[i]) for row in table.rows) and i > 0 for i in range(len(table.names))]
    kinds = [' class="number"' if number else "" for number in numbers]
    heads = "".join(
        f'<th scope="col"{kind}><button type="button">{html.escape(name)}</button></th>' if name else "<td></td>"
        for name, kind in zip(table.names, kinds, strict=True)
    )
    lines = []
    for row in table.rows:
        rest = (f"<td{kind}>{html.escape(str(text))}</td>" for text, kind in zip(row[1:], kinds[1:], strict=True))
        cells = [f'<th scope="row">{html.escape(str(row[0]))}</th>', *rest]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    head = f"<thead><tr>{heads}</tr></thead>" if any(table.names) else ""
    caption = html.escape(table.caption)
    facts = "" if head else ' class="facts"'
    body = f"<table{facts}><caption>{caption}</caption>{head}<tbody>{''.join(lines)}</tbody></table>"
    wide = f'<div class="wide" tabindex="0" role="region" aria-label="{caption}">{body}</div>'
    return f"<details><summary>{caption}</summary>{wide}</details>" if table.folded else wide


def _is_number(text: object) -> bool:
    """Return whether a cell is empty, a number, a percentage or a range of numbers."""
    return all(_NUMBER.fullmatch(word) for word in str(text).replace(" to ", " ").removesuffix(" %").split())


def _script_json(value: Any) -> str:
    """Return JSON that cannot end the script element it stands in."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


@functools.cache
def _bundle() -> str:
    """Return the scripts of Vega, Vega-Lite and Vega-Embed."""
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")).replace("</script", "<\\/script")
