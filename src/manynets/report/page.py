"""The page of a report: headings, tables and charts, with their script, in one file that needs no network."""

from __future__ import annotations

import html
import json
import os
from importlib import resources
from typing import Any

from manynets.modelfile import check_target, replacing
from manynets.report.charts import require_report
from manynets.report.sections import ReportFigure, ReportInput, ReportTable, Section, sections

__all__ = ["ReportInput", "write_report"]


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
            f"<h1>{html.escape(title)}</h1>\n<nav aria-label='Sections'>{links}</nav>\n{body}\n</main>",
            f"<script type='application/json' id='charts'>{_script_json(figures)}</script>",
            f"<script>{_bundle()}</script>\n<script>\n{files['report.js']}</script>\n</body>\n</html>\n",
        ]
    )


def _section(number: int, section: Section, figures: list[dict[str, Any]]) -> str:
    parts = [f'<section id="s{number}" aria-labelledby="h{number}">\n<h2 id="h{number}">{html.escape(section.title)}</h2>']
    parts.append(f"<p>{html.escape(section.text)}</p>")
    for part in section.parts:
        if isinstance(part, ReportTable):
            parts.append(_table(part))
        else:
            parts.append(_figure(part, len(figures)))
            figures.append(part.chart)
    return "\n".join([*parts, "</section>"])


def _figure(figure: ReportFigure, number: int) -> str:
    caption = html.escape(figure.caption)
    return f'<figure><div class="chart" id="chart-{number}" role="img" aria-label="{caption}"></div><figcaption>{caption}</figcaption></figure>'


def _table(table: ReportTable) -> str:
    heads = "".join(
        f'<th scope="col"><button type="button">{html.escape(name)}</button></th>' if name else "<td></td>" for name in table.names
    )
    lines = []
    for row in table.rows:
        cells = [f'<th scope="row">{html.escape(str(row[0]))}</th>', *(f"<td>{html.escape(str(cell))}</td>" for cell in row[1:])]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    head = f"<thead><tr>{heads}</tr></thead>" if any(table.names) else ""
    caption = html.escape(table.caption)
    body = f"<table><caption>{caption}</caption>{head}<tbody>{''.join(lines)}</tbody></table>"
    return f'<div class="wide" tabindex="0" role="region" aria-label="{caption}">{body}</div>'


def _script_json(value: Any) -> str:
    """Return JSON that cannot end the script element it stands in."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def _bundle() -> str:
    """Return the scripts of Vega, Vega-Lite and Vega-Embed."""
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")).replace("</script", "<\\/script")
