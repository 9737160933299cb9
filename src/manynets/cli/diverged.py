"""Runs whose loss stopped being finite: an error where nothing was learned before, a remark where earlier weights are in use."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from manynets import runs
from manynets.cli.wording import in_flags
from manynets.errors import DivergenceError, DivergenceWarning


def _best(model: Any) -> list[int]:
    best = model.info.get("best", -1)
    return list(best) if isinstance(best, list) else [best]


def refuse_untrained(model: Any, metrics: Mapping[str, Any], caught: Iterable[Any]) -> None:
    """Raise DivergenceError if all networks diverged and their weights are no better than the initial ones.

    That is so where they are the initial ones, and where predictions on the training rows are no better than a constant's.
    metrics: on the training rows. caught: the warnings of the training, which say where and why.
    """
    if set(model.info["stopped"]) != {"diverged"}:
        return
    loss, r2, classes = metrics.get("loss", math.nan), metrics.get("r2"), getattr(model.task, "classes", (0, 1))
    learned = r2 > 0 if r2 is not None else loss < math.log(len(classes))
    if learned and max(_best(model)) >= 0:
        return
    texts = [str(entry.message) for entry in caught if issubclass(entry.category, DivergenceWarning)]
    where, _, rest = (texts or ["the loss was not finite; training stopped; use a smaller learning rate"])[0].partition(
        "; training stopped"
    )
    remedy = in_flags(rest.rpartition("; ")[2])
    raise DivergenceError(f"{where}; no epoch before was better than the initial weights, so no model is written; {remedy}")


def refuse_diverged(folder: Path) -> None:
    """Raise DivergenceError where all networks of a run diverged, though it is written: scripts are not to take it for done."""
    stopped = runs.read_run(folder).config["info"].get("stopped", [])
    if set(stopped) == {"diverged"}:
        whose = "the training" if len(stopped) == 1 else f"all {len(stopped)} networks"
        raise DivergenceError(
            f"{whose} diverged; {folder} is written with the last finite weights; use a smaller --lr or --clip-norm 1"
        )


def diverged_words(model: Any) -> str | None:
    """Return a remark on a model whose training diverged, None for others."""
    stopped = model.info.get("stopped", [])
    count = stopped.count("diverged")
    if not count:
        return None
    if len(stopped) > 1:
        return f"{count} of {len(stopped)} networks diverged and have their last finite weights"
    epochs, best = model.history.get("epoch", []), _best(model)[0]
    return "training diverged" + (f"; weights of epoch {epochs[best]:g}" if 0 <= best < len(epochs) else "; initial weights")
