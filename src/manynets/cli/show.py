"""`manynets show`: what a run folder holds."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["show"]


def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run folder that manynets train wrote.", show_default=False)],
) -> None:
    """Show a run: network, figures, how it was trained, files."""
    from manynets import runs
    from manynets.cli.report import console_for, describe, print_classes, print_figures, print_layers, table_of

    console = console_for()
    found = runs.read_run(run)
    model, info = found.model, found.model.info
    data = found.config.get("data", {})
    console.print(f"{found.folder}: {describe(model.spec, model.recipe, model.size)}", markup=False, style="bold", soft_wrap=True)
    if model.spec is not None:
        print_layers(console, model, model.spec)
    print_figures(console, found.metrics)
    part = "test" if found.metrics.get("test") else "validation"
    print_classes(console, found.metrics.get(part) or {}, names=found.config.get("class_names"), part=part)
    how = {"done": "to its end", "early": "until it stopped early", "diverged": "until its loss was not finite"}
    how["interrupted"] = "until it was interrupted"
    ended = " or ".join(how[word] for word in dict.fromkeys(info.get("stopped", ["done"])))
    epochs = model.history["epoch"][-1] if model.history.get("epoch") else 0
    rows = [
        ("data", data.get("path") or data.get("name")),
        ("target", ", ".join(data.get("target", [])) or None),
        ("trained", f"{epochs:g} epochs, {ended}, in {info.get('seconds', 0):.1f} s on {info.get('device', '?')}"),
        ("best epoch", _best(model)),
        ("optimizer", str(model.recipe.optimizer)),
        ("schedule", str(model.recipe.schedule)),
        ("validation", found.config.get("validation")),
        ("versions", ", ".join(f"{name} {version}" for name, version in info.get("versions", {}).items())),
        ("files", ", ".join(found.files)),
    ]
    console.print(table_of(["", ""], [row for row in rows if row[1] is not None], title="Run"))


def _best(model: object) -> str | None:
    """Return the epoch whose weights were kept; of several networks the first and the last of these."""
    epochs, best = model.history.get("epoch", []), model.info.get("best", -1)  # type: ignore[attr-defined]
    found = sorted({epochs[place] for place in (best if isinstance(best, list) else [best]) if 0 <= place < len(epochs)})
    return " to ".join(f"{epoch:g}" for epoch in dict.fromkeys((found[0], found[-1]))) if found else None
