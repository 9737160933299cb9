"""The page that the check on a GPU writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

__all__ = ["page"]

Json: TypeAlias = Mapping[str, Any]

GOAL = 0.9764  # what the tutorial reports of its network
HEAD = """# Benchmarks on a GPU

Written by `make gpu-check`, which runs the tests marked `gpu` and a short benchmark, in four minutes at most. Each part has a process
and a budget of time of its own. Times of training leave out the first epochs, in which kernels are loaded and steps are captured.
"""


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    rule = f"|---{'|--:' * (len(head) - 1)}|"
    return [f"| {' | '.join(head)} |", rule, *(f"| {' | '.join(line)} |" for line in lines)]


def _tests(result: Json) -> list[str]:
    return [f"{result['passed']} passed, {result['failed']} failed, {result['skipped']} skipped."]


def _tutorial(result: Json) -> list[str]:
    verdict = "reached" if result["accuracy"] >= GOAL else "not reached"
    return [
        f"Dropout 0.2, batch 20, SGD 0.01, the best of {result['epochs']} epochs by 20% validation rows (`{result['stepper']}`).",
        "",
        *_table(
            ("what", "value"),
            [
                ("test accuracy", f"{result['accuracy']:.2%}"),
                (f"the tutorial's {GOAL:.2%}", verdict),
                ("test loss", f"{result['loss']:.4f}"),
                ("time of an epoch", f"{result['epoch_seconds']:.2f} s"),
                ("time of a step", f"{result['epoch_seconds'] / result['steps_per_epoch'] * 1e6:,.0f} µs"),
            ],
        ),
    ]


def _precisions(result: Json) -> list[str]:
    head = ("precision", "stepper", "steps a second", "plain torch loop", "bare products", "times the loop", "time by products")
    lines = [
        (
            row["precision"],
            row["stepper"],
            f"{row['ours']:,.0f}",
            f"{row['loop']:,.0f}",
            f"{row['products']:,.0f}",
            f"{row['ours'] / row['loop']:.2f}",
            f"{row['products'] / row['ours']:.2f}",
        )
        for row in result["rows"]
    ]
    note = (
        "The loop is eager torch with its data on the device. The products are those of a step, replayed as a CUDA graph, without "
        "activation, loss, update or gathering of rows."
    )
    return [f"{result['about']}. Data: {result['source']}.", "", *_table(head, lines), "", note]


def _toys(result: Json) -> list[str]:
    return [
        f"{result['networks']:,} networks 2-6-1, batch {result['batch']}, Adam, {result['rows']:,} rows, each network on its own order of "
        f"them (`{result['stepper']}`): {result['step_microseconds']:,.0f} µs for a step of all, "
        f"**{result['each_microseconds']:.3f} µs per network and step**, the making of the orders on the host included. "
        f"After {result['epochs']} epochs their mean prediction is right on {result['accuracy']:.1%} of 250 rows."
    ]


def _predictions(result: Json) -> list[str]:
    lines = [
        ('`model.to("cuda").predict(x)`', f"{result['ours_ms']:,.1f} ms"),
        ("the plain module on the device", f"{result['loop_ms']:,.1f} ms"),
        ("`model.predict(x)` on the CPU", f"{result['cpu_ms']:,.1f} ms"),
    ]
    network = "-".join(map(str, result["layers"]))
    return [
        f"{result['rows']:,} rows through {network}; a NumPy array in and labels out, with both copies.",
        "",
        *_table(("how", "time"), lines),
        "",
        f"{result['agree']:.4%} of the labels are those of the CPU; a score next to 0 may round to the other side.",
    ]


SECTIONS: Mapping[str, tuple[str, Callable[[Json], list[str]]]] = {
    "tests": ("Tests", _tests),
    "tutorial": ("The tutorial's network on MNIST: 784-512-512-10", _tutorial),
    "precisions": ("Precision: 784-512-512-10 at batch 100", _precisions),
    "toys": ("Many small networks", _toys),
    "predictions": ("Prediction", _predictions),
}


def page(results: Json) -> str:
    """Return the page for the results of the parts that are through."""
    on = results["system"]
    lines = [
        HEAD,
        f"Measured on {on['date']}: {on['gpu']}; driver {on['driver']}, CUDA {on['cuda']}, torch {on['torch']}, manynets "
        f"{on['manynets']}, Python {on['python']}, {on['system']}; host {on['processor']}, {on['cores']} cores.",
        "",
    ]
    for name, (title, write) in SECTIONS.items():
        result = results["parts"].get(name)
        lines += [f"## {title}", ""]
        if result is None:
            lines += ["Not run.", ""]
            continue
        if "skipped" in result and isinstance(result["skipped"], str):
            lines += [f"Skipped: {result['skipped']}.", ""]
            continue
        if "error" in result:
            lines += ["**Failed.**", "", "```text", result["error"].strip(), "```", ""]
        if "error" not in result or (name == "tests" and "passed" in result):
            lines += [*write(result), ""]
        spent = f"{result['seconds']:.0f} s" if "seconds" in result else ""
        memory = f"{result['memory_mib']:,.0f} MiB of GPU memory at the peak" if "memory_mib" in result else ""
        if spent or memory:
            lines += [f"({', '.join(filter(None, (spent, memory)))})", ""]
    return "\n".join(lines).rstrip() + "\n"
