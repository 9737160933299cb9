"""One HTML file that says what a model is, how good it is, what it relies on, and where it fails: `manynets report RUN`.

charts.py    Vega-Lite charts, by Altair
sections.py  the sections of the page
page.py      the page: headings, tables, charts and their script in one file
"""

from __future__ import annotations

from manynets.report.page import ReportInput, write_report

__all__ = ["ReportInput", "write_report"]
