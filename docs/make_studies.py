"""Write the measured parts of docs/studies.md: manynets study --all --json > all.json; python docs/make_studies.py all.json.

Each part stands between two comments, <!-- name --> and <!-- end -->. The tables of the chapters in docs/learn/ are rows of the table in
studies.md, and the picture of the shares is drawn from its table; without an argument only these are written.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from manynets import plots
from manynets.studies.t1_shares import bars

PAGE = Path(__file__).with_name("studies.md")


def parts(studies: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the lines of each part by name."""
    by_id = {one["id"]: one for one in studies}
    notes = {id: f"- {id}: {one['skipped'] or one['note']}" for id, one in by_id.items()}
    return {
        "figures": table(studies),
        "t1": [notes[id] for id in ("T1-prod", "T1-xor", "T1-quadrants", "T1-draws")],
        "shares": shares(by_id["T1-shares"]),
        "t4": [notes["T4-mnist"]],
        "t5": [notes[id] for id in by_id if id.startswith("T5") and not by_id[id]["skipped"]],
    }


def table(studies: list[dict[str, Any]]) -> list[str]:
    """Return the table of all studies, but for T1-shares, which has one of its own."""
    lines = ["| id | result | published | ours | seeds | met | seconds |", "|---|---|---|---|---|---|---|"]
    for one in studies:
        if one["skipped"]:
            lines.append(f"| {one['id']} | {one['title']} | | | | skipped: {one['skipped'].removeprefix('there is ')} | |")
        for i, value in enumerate(one["figures"] if one["id"] != "T1-shares" else ()):
            published = "–" if value["published"] is None else f"{value['published']:.5g}"
            seeds = len(value["per_seed"])
            # a single network is chosen of the 64 of T1, so the spread over all of them is not that of the figure
            spread = f" ± {value['spread']:.2g}" if seeds not in (1, 64) else ""
            met = {True: "yes", False: "NO", None: "–"}[value["met"]]
            first, seconds = (one["id"], f"{one['seconds']:.0f}") if i == 0 else ("", "")
            lines.append(f"| {first} | {value['name']} | {published} | {value['ours']:.5g}{spread} | {seeds} | {met} | {seconds} |")
    return lines


def shares(study: dict[str, Any]) -> list[str]:
    """Return the table of T1-shares; the name of a figure is `problem, variant: seeds there %`."""
    found: dict[str, dict[str, float]] = {}
    for value in study["figures"]:
        problem, variant = value["name"].removesuffix(": seeds there %").split(", ", 1)
        found.setdefault(variant, {})[problem] = value["ours"]
    problems = list(next(iter(found.values())))
    lines = [f"| | {' | '.join(problems)} |", "|---" * (len(problems) + 1) + "|"]
    return lines + [f"| {name} | {' | '.join(f'{one[p]:.0f}' for p in problems)} |" for name, one in found.items()]


def with_part(page: str, name: str, lines: list[str]) -> str:
    """Return a page with these lines in its part of that name."""
    text = "\n".join([f"<!-- {name} -->", "", *lines, "", "<!-- end -->"])
    page, done = re.subn(rf"<!-- {name} -->.*?<!-- end -->", lambda _: text, page, flags=re.DOTALL)
    if done != 1:
        raise SystemExit(f"the page has {done} parts <!-- {name} --> ... <!-- end -->, but must have one")
    return page


def chapter_rows(studies: str, tutorial: str) -> list[str]:
    """Return the rows of studies.md that belong to a tutorial, such as "T1", as a table: id, result, published, ours."""
    lines = ["| study | result | published | ours |", "|---|---|---|---|"]
    rows = re.search(r"<!-- figures -->(.*?)<!-- end -->", studies, re.DOTALL)
    shown = ""
    for row in rows[1].strip().splitlines()[2:] if rows else []:
        name, result, published, ours = (cell.strip() for cell in row.strip("|").split("|")[:4])
        shown = name or shown
        if shown.startswith(f"{tutorial}-") and ours:
            lines.append(f"| {name} | {result} | {published} | {ours} |")
    return lines


def digit_rows(studies: str) -> list[str]:
    """Return the test images of T4 that are recognised, by digit, as a table: published and ours."""
    ours, images, published = zip(*re.findall(r"(\d+)/(\d+) \((\d+)\)", studies), strict=True)
    lines = [f"| digit | {' | '.join(map(str, range(len(ours))))} |", "|---" + "|--:" * len(ours) + "|"]
    rows = {"images": images, "published": published, "ours": ours}
    return lines + [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]


def curve_rows(studies: str) -> list[str]:
    """Return the accuracy curves of T5 as a table: published and ours."""
    lines = ["| study | | 500 steps | 1,000 | 1,500 | 2,000 | 2,500 | 3,000 |", "|---|---" + "|--:" * 6 + "|"]
    for name, ours, published in re.findall(r"- (T5-\S+): .*? steps ([\d. ]+\d)(?: \(published ([\d ]+)\))?", studies):
        if published:
            lines.append(f"| {name} | published | {' | '.join(published.split())} |")
        lines.append(f"| {'' if published else name} | ours | {' | '.join(ours.split())} |")
    return lines


def shares_of(studies: str) -> tuple[tuple[str, ...], dict[str, list[float]]]:
    """Return the problems, and the shares by variant, of the table that `shares` wrote."""
    rows = re.search(r"<!-- shares -->(.*?)<!-- end -->", studies, re.DOTALL)
    header, _, *lines = rows[1].strip().splitlines() if rows else ("", "")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (header, *lines)]
    return tuple(cells[0][1:]), {name: [float(value) for value in values] for name, *values in cells[1:]}


def draw_shares(studies: str) -> None:
    """Draw gallery/study-shares.png."""
    problems, found = shares_of(studies)
    plots.save(bars(found, problems, seeds=64), PAGE.parent / "gallery" / "study-shares.png")


def with_results(page: str, studies: str, tutorial: str) -> str:
    """Return a chapter with the results that studies.md has of its tutorial, such as "T1"."""
    page = with_part(page, "results", chapter_rows(studies, tutorial))
    if tutorial == "T4":
        page = with_part(page, "digits", digit_rows(studies))
    if tutorial == "T5":
        page = with_part(page, "curves", curve_rows(studies))
    return page


def write_chapters() -> None:
    """Write the results into each chapter of docs/learn/."""
    studies = PAGE.read_text(encoding="utf-8")
    for path in sorted(PAGE.parent.glob("learn/t[0-9]-*.md")):
        text = path.read_text(encoding="utf-8")
        path.write_text(with_results(text, studies, path.stem[:2].upper()), encoding="utf-8")


def main() -> None:
    if sys.argv[1:]:
        page = PAGE.read_text(encoding="utf-8")
        for name, lines in parts(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["studies"]).items():
            page = with_part(page, name, lines)
        PAGE.write_text(page, encoding="utf-8")
    write_chapters()
    draw_shares(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
