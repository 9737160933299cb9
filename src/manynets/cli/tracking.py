"""`--track`: a training, or a sweep, as a run of TensorBoard, MLflow or Weights & Biases."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manynets.cli.saved_runs import BEST
from manynets.errors import OptionError, one_of

if TYPE_CHECKING:
    from manynets.cli.sweep_results import SweepResults


def check_track(names: Sequence[str] | None) -> None:
    """Raise OptionError for an unknown tracker, and MissingExtraError for one whose package is not installed."""
    if names:
        from manynets.trackers import TRACKERS

        for name in names:
            TRACKERS[one_of(name, TRACKERS, what="--track")].package()


@contextlib.contextmanager
def tracking(names: Sequence[str] | None, folder: Any) -> Iterator[list[Any]]:
    """Within this context, the trackers of these names, which write runs called like the folder that will be written.

    TensorBoard writes to the folder `tensorboard` next to it; where the others write is set by their own environment variables.
    """
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(_tracker(name, Path(folder))) for name in dict.fromkeys(names or [])]


def log_sweep(tracker: Any, results: SweepResults) -> None:
    """Add what a finished sweep found to the run that the tracker has begun: results one after the other, their table, and the best."""
    best = math.nan
    for step, row in enumerate(results.rows.values(), 1):
        score = results.measure.of(row)
        better = score < best if results.measure.less_is_better else score > best
        best = score if better or math.isnan(best) else best
        tracker.log_curves({"score": row["score"], "loss": row["loss"], f"best {results.measure.name}": best}, step=step)
    tracker.log_table(results.names, [[row.get(name) for name in results.names] for row in results.rows.values()])
    tracker.log_folder(results.folder)
    tracker.log_folder(results.folder / BEST)


def _tracker(name: str, folder: Path) -> Any:
    from manynets.trackers import TRACKERS

    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise OptionError(f"--track cannot be used with {str(folder)!a}, a name that is not UTF-8; give another --out") from None
    more: Mapping[str, Any] = {"folder": str(folder.parent / "tensorboard")} if name == "tensorboard" else {}
    return TRACKERS[name](name=folder.name, **more)
