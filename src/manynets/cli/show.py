"""`manynets show`: the contents of a run folder."""

from __future__ import annotations

from typing import Any

from manynets.cli.arguments import RunFolder

__all__ = ["show"]


def show(run: RunFolder) -> None:
    """Show a run: network, metrics, training and files."""
    from manynets import runs
    from manynets.cli.diverged import diverged_words
    from manynets.cli.report import console_for, describe, print_classes, print_layers, print_metrics, table_of

    console = console_for()
    found = runs.read_run(run)
    model = found.model
    data = found.config.get("data", {})
    console.print(f"{found.folder}: {describe(model.spec, model.recipe, model.size)}", markup=False, style="bold", soft_wrap=True)
    if model.spec is not None:
        print_layers(console, model, model.spec)
    print_metrics(console, found.metrics, remark=diverged_words(model))
    part = "test" if found.metrics.get("test") else "validation"
    print_classes(console, found.metrics.get(part) or {}, names=found.config.get("class_names"), part=part)
    rows = [
        ("data", data.get("path") or data.get("name")),
        ("target", ", ".join(data.get("target", [])) or None),
        ("trained", _training(model)),
        ("best epoch", _best_epoch(model)),
        ("optimizer", str(model.recipe.optimizer)),
        ("schedule", str(model.recipe.schedule)),
        ("validation", found.config.get("validation")),
        ("versions", ", ".join(f"{name} {version}" for name, version in model.info.get("versions", {}).items())),
        ("files", ", ".join(found.files)),
    ]
    console.print(table_of(["", ""], [row for row in rows if row[1] is not None], title="Run"))


def _training(model: Any) -> str:
    """Return the epochs, seconds and device of a training, and why it ended."""
    epochs, stopped = model.history.get("epoch") or [0], model.info.get("stopped", ["done"])
    text = f"{epochs[-1]:g} epochs in {model.info.get('seconds', 0):.1f} s on {model.info.get('device', '?')}"
    words = {"early": "stopped early", "diverged": "diverged", "interrupted": "interrupted", "done": "finished"}
    if set(stopped) == {"done"}:
        return f"all {text}"
    if len(stopped) == 1:
        return f"{text}; {words[stopped[0]]}"
    ends = [f"{stopped.count(word)} {end}" for word, end in words.items() if word in stopped]
    return f"{text}; of {len(stopped)} networks {', '.join(ends)}"


def _best_epoch(model: Any) -> str | None:
    """Return the epoch with the best weights; for several networks the range of these epochs."""
    epochs, best = model.history.get("epoch", []), model.info.get("best", -1)
    found = sorted({epochs[entry] for entry in (best if isinstance(best, list) else [best]) if 0 <= entry < len(epochs)})
    return " to ".join(f"{epoch:g}" for epoch in dict.fromkeys((found[0], found[-1]))) if found else None
