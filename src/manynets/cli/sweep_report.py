"""Pictures and tables of a sweep."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from manynets import plots
from manynets.cli.report import note, print_table
from manynets.cli.sweep_results import CURVES_PICTURE, PARALLEL_PICTURE, RESULTS, SweepResults, option_column, picture_of

SHOWN = 10  # candidates


def draw(results: SweepResults, *, best: int | None, folder: Path | None = None) -> dict[Path, str]:
    """Draw the score over each option, all options as parallel coordinates, and the curves of all networks.

    Of candidates that were halved, the scores of the first round are drawn, in which all of them trained for equally long.

    Returns the files in the folder, by default that of the sweep, with what they show.
    """
    folder, options = folder or results.folder, results.options
    scores = {key: results.measure.of(row) for key, row in results.rows.items()}
    written: dict[Path, str] = {}
    lengths = {key[3] for key, score in scores.items() if math.isfinite(score)}
    if not lengths:
        return written
    first, score = {key: value for key, value in scores.items() if key[3] == min(lengths)}, f"validation {results.measure.name}"
    if len(lengths) > 1:
        score += f" after {min(lengths)} {'steps' if results.ensembles else 'epochs'}"
    drawn = "drawn" in results.config  # at random: most values occur once, and the others are the default's
    columns = {name: _drawn_values([results.rows[key][option_column(name)] for key in first]) for name in options}
    for name, values in columns.items():
        if drawn and len(set(values)) == 1:
            continue
        log = all(isinstance(value, float) and value > 0 for value in values) and max(values) >= 10 * min(values)
        axes = plots.score_over(values, [*first.values()], name=name, score=score, log=log, means=not drawn, noun=results.noun)
        written[folder / picture_of(name)] = f"{score} over {name}"
        plots.save(axes, folder / picture_of(name))
    if options:
        # a candidate's seeds and folds are one line: else luck is the best
        lines = dict[int, tuple[dict[str, Any], list[float]]]()
        for key, *values, one in zip(first, *columns.values(), first.values(), strict=True):
            lines.setdefault(key[0], (dict(zip(options, values, strict=True)), []))[1].append(one)
        table = [chosen | {score: math.fsum(found) / len(found)} for chosen, found in lines.values()]
        axes = plots.parallel_coordinates(table, score=score, higher_is_better=not results.measure.less_is_better)
        written[folder / PARALLEL_PICTURE] = f"{score} by all options"
        plots.save(axes, folder / PARALLEL_PICTURE)
    curves = {key: curve for key, curve in results.curves.items() if any(map(math.isfinite, curve))}
    if curves:
        keys = list(curves)
        sign = -1 if results.measure.less_is_better else 1
        of_best = [k for k, key in enumerate(keys) if key[0] == best and key[3] == max(lengths) and math.isfinite(scores[key])]
        marked = max(of_best, key=lambda k: sign * scores[keys[k]], default=None)
        words: dict[str, Any] = {"xlabel": "evaluation"} if results.ensembles else {}
        axes = plots.learning_curves([*curves.values()], best=marked, ylabel="training loss", log=True, noun=results.noun, **words)
        written[folder / CURVES_PICTURE] = "training loss of all candidates"
        plots.save(axes, folder / CURVES_PICTURE)
    return written


def _drawn_values(values: list[Any]) -> list[Any]:
    """Return the values of an option as they are drawn: texts as numbers where each is a single one, else as they are.

    >>> _drawn_values(["0.25", "0.1"]), _drawn_values(["0.25", "0.1,0.2"])
    ([0.25, 0.1], ['0.25', '0.1,0.2'])
    """
    if not all(isinstance(value, str) for value in values):
        return values
    try:
        return [float(value) for value in values]
    except ValueError:
        return values


def print_ranking(console: Any, results: SweepResults, *, best: int | None = None, complete: str = "") -> None:
    """Print the ten best candidates, `best` first, and the default; how many networks failed; and what is left out."""
    ranking = sorted(results.ranking(), key=lambda ranked: ranked.candidate != best)
    shown = ranking[:SHOWN]
    if results.with_default:
        shown += [ranked for ranked in ranking[SHOWN:] if ranked.row["default"] == "yes"]
    columns: list[tuple[str, list[Any]]] = []
    if results.with_default:
        columns.append(("candidate", ["default" if one.row["default"] == "yes" else str(one.candidate) for one in shown]))
    columns += [(name, [_cell(one.row[option_column(name)]) for one in shown]) for name in results.options]
    columns.append((results.measure.heading, [one.score for one in shown]))
    if results.measure.by_loss:
        columns.append(("log loss", [one.loss for one in shown]))
    if any(one.results > 1 for one in shown):
        columns.append(("std", [one.spread if math.isfinite(one.spread) else None for one in shown]))
        columns.append(("results" if results.ensembles else "networks", [one.results for one in shown]))
    if any(one.diverged for one in shown):
        columns.append(("", ["diverged" if one.diverged else "" for one in shown]))
    where = "in cross-validation" if results.config["cv"] is not None else "on the validation rows"
    by = f"by {results.measure.name}"
    what = f"Best {SHOWN} of {results.trained} candidates" if results.trained > SHOWN else "Candidates"
    names, cells = zip(*columns, strict=True)
    print_table(console, names, list(zip(*cells, strict=True)), title=f"{what} {where}, {by}")
    failed = sum(row["stopped"] in ("failed", "diverged") for row in results.rows.values())
    if failed:
        note(console, f"{failed} of {len(results.rows)} {results.noun}s failed or diverged; {RESULTS} says why")
    if complete:
        note(console, complete)


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
