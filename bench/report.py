"""Results as tables: on the terminal, and in docs/benchmarks.md between two marks."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from bench import saved
from bench.many import turning_point
from bench.systems import SYSTEMS

__all__ = ["BEGIN", "END", "markdown", "missed_goals", "terminal", "write_docs"]

Json: TypeAlias = Mapping[str, Any]

BEGIN, END = "<!-- speed: begin (python -m bench --write-docs) -->", "<!-- speed: end -->"
PICTURE = Path("benchmarks-cost.png")
HEAD = ("system", "threads", "time", "by ours", "by floor", "loss", "peak MiB")


def _label(row: Json) -> str:
    return SYSTEMS[row["system"]].label


def _time(microseconds: float) -> str:
    if microseconds < 1e4:
        return f"{microseconds:.1f} µs" if microseconds < 100 else f"{microseconds:,.0f} µs"
    return f"{microseconds / 1e3:,.1f} ms"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if value < 20 else f"{value:.0f}"


def cells(row: Json) -> list[str]:
    """Return the cells of a system's line, in the order of HEAD."""
    if row["problem"]:
        return [_label(row), "", row["problem"], "", "", "", ""]
    if row["loss"] is not None:
        result = f"{row['loss']:.4g}"
    else:
        result = "" if row["agree"] is None else f"{row['agree']:.1%} right"
    return [
        _label(row),
        str(row["threads"]),
        _time(row["median"]),
        _number(row["to_ours"]),
        _number(row["to_floor"]),
        result + (" OFF" if row["off"] else ""),
        f"{row['peak_mib']:.0f}",
    ]


def _title(case: Json) -> str:
    what = "prediction" if case["kind"] == "predict" else "step"
    return f"{case['about']} (`{case['name']}`): time of one {what}, {case['rounds']} rounds of {case['steps']:,}"


def footnotes(case: Json) -> list[str]:
    """Return the remarks below a case's table."""
    rows = {row["system"]: row for row in case["rows"]}
    out = []
    if "setup" in rows.get("ours", {}).get("notes", {}):
        out.append(f"Of our time {rows['ours']['notes']['setup']:.1%} goes to set-up, checks and building the model.")
    for row in rows.values():
        timed = row["notes"].get("networks_timed", case["networks"])
        if timed < case["networks"]:
            out.append(f"{_label(row)}: {timed:.0f} networks were timed, one after the other, and scaled to {case['networks']}.")
    return out


def missed_goals(case: Json) -> list[str]:
    """Return a line for each goal of the case that was not met."""
    rows = {row["system"]: row for row in case["rows"] if not row["problem"]}
    ours, out = rows.get("ours"), []
    if ours is None:
        return []
    for name, goal in case["goals"].items():
        if name not in rows:
            continue
        if name == "floor":
            if ours["to_floor"] > goal:
                out.append(f"{case['name']}: {ours['to_floor']:.2f} times the floor, wanted at most {goal:g}")
        elif rows[name]["to_ours"] < goal:
            wanted = "slower than ours" if goal == 1 else f"at least {goal:g}"
            out.append(f"{case['name']}: {_label(rows[name])} takes {rows[name]['to_ours']:.2f} of our time, wanted {wanted}")
    eager = rows.get("torch_eager")
    if case["kind"] == "train" and eager and case["networks"] == 1 and ours["peak_mib"] > eager["peak_mib"]:
        out.append(f"{case['name']}: {ours['peak_mib']:.0f} MiB at the peak, the PyTorch loop {eager['peak_mib']:.0f}")
    out += [f"{case['name']}: {_label(row)} gives other results than the rest" for row in rows.values() if row["off"]]
    return out


def terminal(case: Json) -> Any:
    """Return a rich table of one case."""
    from rich.table import Table

    table = Table(title=_title(case), title_justify="left", caption="\n".join(footnotes(case)), caption_justify="left")
    for name in HEAD:
        table.add_column(name, justify="left" if name == "system" else "right", no_wrap=name == "system")
    for row in case["rows"]:
        style = "bold" if row["system"] == "ours" else "red" if row["off"] or row["problem"] else None
        table.add_row(*cells(row), style=style)
    return table


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|---{'|--:' * (len(head) - 1)}|",
        *(f"| {' | '.join(line)} |" for line in lines),
        "",
    ]


def _lost(results: Json) -> list[str]:
    out = [
        f"- {case['about']}: {_label(row)} takes {row['to_ours']:.2f} of our time."
        for case in results["cases"]
        for row in case["rows"]
        if row["system"] not in ("ours", "floor") and row["to_ours"] is not None and row["to_ours"] < 1
    ]
    return out or ["In none of these cases."]


def _cost(cost: Sequence[Json]) -> list[str]:
    lines = [
        [f"{line['networks']:,}", _time(line["step"]), _time(line["each"]), _number(line["to_floor"]), f"{line['peak_mib']:.0f}"]
        for line in cost
    ]
    out = [
        "### Many networks at once: cost over K",
        "",
        "Networks 2-6-1, batch 32, Adam, each on its own order of the rows. Fewer networks are trained longer.",
        "",
    ]
    out += [f"![Time of a step and memory over the number of networks]({PICTURE.name})", ""]
    out += _table(("networks", "one step of all", "of each", "by floor", "peak MiB"), lines)
    turn = turning_point(cost)  # type: ignore[arg-type]
    where = "It never turns linear up to here." if turn is None else f"From about {turn:,} networks on the cost is linear."
    return [*out, f"{where} (Slope of the logarithms of time and K of at least 0.8.)", ""]


def draw_cost(cost: Sequence[Json], path: Path) -> None:
    """Draw time of a step and peak memory over the number of networks, with the point where time turns linear."""
    from matplotlib.figure import Figure

    from manynets.plots.canvas import PALETTE

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    time, memory = figure.subplots(1, 2)
    networks = [line["networks"] for line in cost]
    time.loglog(networks, [line["step"] for line in cost], "o-", color=PALETTE[0], label="all, one step")
    time.loglog(networks, [line["each"] for line in cost], "s-", color=PALETTE[1], label="of each")
    turn = turning_point(cost)  # type: ignore[arg-type]
    if turn is not None:
        time.axvline(turn, color="grey", linestyle=":", label=f"linear from {turn:,}")
    time.set(xlabel="networks K", ylabel="microseconds", title="Time")
    time.legend(frameon=False)
    memory.semilogx(networks, [line["peak_mib"] for line in cost], "o-", color=PALETTE[0])
    memory.set(xlabel="networks K", ylabel="peak MiB of the process", title="Memory")
    memory.set_ylim(bottom=0)
    figure.savefig(path, dpi=100)


def markdown(results: Json) -> str:
    """Return the section on speed."""
    on, out = results["machine"], []
    packages = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    machine = f"{on['processor']}, {on['cores']} cores, {on.get('memory_gib', '?')} GiB, {on['system']}, Python {on['python']}"
    out += [textwrap.fill(f"Measured on {on['date']}: {machine}; {packages}.", 150, break_on_hyphens=False), ""]
    if results["quick"]:
        out += ["**Rounds of few steps: set-up weighs more in these numbers than in a long training.**", ""]
    for case in results["cases"]:
        out += [f"### {case['about']}", ""]
        what = "One prediction" if case["kind"] == "predict" else f"One step ({case['steps']:,} a round)"
        out += [f"`--case {case['name']}`. {what}, median of {case['rounds']} rounds. Data: {case['source']}.", ""]
        out += _table(HEAD, [cells(row) for row in case["rows"]])
        out += [line + "\n" for line in footnotes(case)]
    if results.get("cost"):
        out += _cost(results["cost"])
    if results.get("commands"):
        out += ["### Start", ""]
        lines = [[f"`{line['label']}`", line["problem"] or f"{line['median']:.0f} ms"] for line in results["commands"]]
        out += _table(("a fresh process", "time"), lines)
    out += ["### Where we lose", "", *_lost(results), ""]
    used = {row["system"] for case in results["cases"] for row in case["rows"]}
    out += ["### Settings", ""]
    out += [f"- {system.label}: {system.setting}." for name, system in SYSTEMS.items() if name in used]
    return "\n".join(out).rstrip() + "\n"


def write_docs(results: Json, path: Path) -> None:
    """Put the section between the marks of the file, and its picture beside it; a file without marks is a ValueError."""
    saved.write_docs(markdown(results).rstrip("\n"), path, begin=BEGIN, end=END)
    if results.get("cost"):
        draw_cost(results["cost"], path.with_name(PICTURE.name))
