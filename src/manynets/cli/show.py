"""`manynets show`: the contents of a run folder."""

from __future__ import annotations

from typing import Any

from manynets.cli.arguments import RunFolder
from manynets.cli.report import console_for, describe_model, note, print_details, print_layers, print_metrics, print_table
from manynets.cli.saved_runs import open_run, sweep_of, unended_sweep, validation_words


def show(run: RunFolder) -> None:
    """Show the network, metrics, training and files of a run, and the candidates of a sweep.

    \b
    manynets show runs/houses-1
    manynets show runs/houses-sweep-1
    """
    from manynets.cli.diverged import diverged_words
    from manynets.cli.thresholds import threshold_words
    from manynets.model_tools import best_epoch_text, training_text

    console = console_for()
    sweep = sweep_of(run)
    if sweep is not None:
        from manynets.cli.sweep_report import print_ranking
        from manynets.cli.sweep_results import read_sweep

        results = read_sweep(sweep)
        if results.rows:
            print_ranking(console, results)
        unended = unended_sweep(sweep)
        if unended:
            note(console, unended)
            return
    found = open_run(run)
    model = found.saved  # which needs no torch
    data = found.config.get("data", {})
    text = describe_model(model)
    console.print(f"{found.folder}: {text}", style="bold")
    if model.spec is not None:
        print_layers(console, model.spec, model.task, model.in_features, networks=model.size)
    parts: dict[str, Any] = {name: found.metrics[name] for name in ("train", "validation", "test") if name in found.metrics}
    print_metrics(console, parts, baselines=found.metrics.get("baselines"), remark=diverged_words(model))
    part = "test" if found.metrics.get("test") else "validation"
    names = found.config.get("class_names") or model.target_names
    print_details(console, found.metrics.get(part) or {}, names=names, part=part, weighted="weight" in data)
    rows = [
        ("data", data.get("path") or data.get("name")),
        ("target", ", ".join(data.get("target", [])) or None),
        ("trained", training_text(model.history, model.info)),
        ("best epoch", best_epoch_text(model.history, model.info)),
        ("optimizer", str(model.recipe.optimizer)),
        ("schedule", str(model.recipe.schedule)),
        ("validation", validation_words(found) if "validation" in found.config else None),
        ("decision", threshold_words(model.task, names=found.config.get("class_names"))),
        ("versions", ", ".join(f"{name} {version}" for name, version in model.info.get("versions", {}).items())),
        ("files", ", ".join(found.files) if found.folder.is_dir() else None),
    ]
    print_table(console, ["", ""], [row for row in rows if row[1] is not None], title="Run")
