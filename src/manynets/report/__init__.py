"""One HTML file that says what a model is, how good it is, what it relies on, and where it fails: `manynets report RUN`.

parts.py         what is given, and what sections are made of
sections.py      the sections in their order; data, model, versions
quality.py       metrics with intervals, beside baselines
reliance.py      importance and dependence
classes.py       calibration, curves, each class
numbers.py       errors of predicted numbers, intervals
failures.py      groups and rows that are served worst
curves.py        ROC and precision-recall curves
charts.py        Vega-Lite charts, by Altair
page.py          the page: headings, tables, charts and their script in one file
"""

from __future__ import annotations

from manynets.report.charts import require_report
from manynets.report.page import write_report
from manynets.report.parts import ReportInput

__all__ = ["ReportInput", "require_report", "write_report"]
