"""`manynets train --memory-limit`: a table that is larger is trained on a stream of its rows."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from manynets import streaming
from manynets.cli import defaults
from manynets.cli.baselines import baselines_of
from manynets.cli.bounded import bounded, metrics_of
from manynets.cli.data import Part
from manynets.cli.diverged import refuse_untrained
from manynets.cli.origin import name_of, stem_of
from manynets.cli.preset import changes_of, describe_ensemble, preset_of_table
from manynets.cli.recipe import Options, flag_of, network_of, recipe_of
from manynets.cli.report import describe, describe_model, note, print_layers, print_schema
from manynets.cli.table_columns import columns_named, leak_notes
from manynets.cli.written import write_trained
from manynets.data.stream.limit import memory_bytes
from manynets.errors import DataError, OptionError
from manynets.progress import progress_callbacks
from manynets.tables.source import is_plain_text
from manynets.tabular import tabular_network

_NOT_OF_A_STREAM = (
    "test", "time_column", "stratify", "class_weight", "positive", "engine", "encoding", "report", "sheet",
    "threshold", "time_limit",
)  # fmt: skip
FEWEST_GROUPS = 4
"""With fewer row groups in a window, it is said that the rows are mixed less than in memory."""


def stream_of(options: Options, origin: Mapping[str, Any], console: Any) -> tuple[Any, Any] | None:
    """Return the files and columns of a table that is to be streamed; None for one that fits the limit, which is then read as usual.

    Errors: OptionError for options that do not go with a stream.
    """
    limit = memory_bytes(options["memory_limit"], what="--memory-limit")
    if origin["kind"] != "table":
        raise OptionError("--memory-limit is for tables; leave it out")
    _refuse_encoding(origin["path"], options["encoding"], limit)
    text = {"delimiter": options["delimiter"], "header": not options["no_header"]}
    opened = streaming.files_of(origin["path"], limit, what="--memory-limit", **text)
    if opened is None:
        return None
    files, remark = opened
    if remark:
        note(console, remark)
    targets = columns_named(options["target"], files.names)
    named: dict[str, Any] = {name: columns_named(options[name] or [], files.names) for name in ("drop", "categorical", "numeric")}
    named |= {name: options[name] for name in ("scaling", "max_levels", "category_means") if options[name] is not None}
    named |= {"weight": options["weight"], "group": options["group"], "drop_missing_target": bool(options["drop_missing_target"])}
    columns = streaming.Columns(target=targets[0], **named)
    why = streaming.too_large(files, columns, limit, what="--memory-limit", ensemble=preset_of_table(options) is not None)
    if why is None:
        return None
    if len(targets) > 1:
        raise OptionError(f"--target names {len(targets)} columns, but a stream has one; raise --memory-limit, or leave it out")
    for name in _NOT_OF_A_STREAM:
        if options[name] not in (None, False, [], "torch"):
            raise OptionError(f"{flag_of(name)} does not go with a stream, and {why}; leave it out, or raise the limit")
    if options["preset"] == "best":
        raise OptionError(
            f"--preset best chooses among settings by the scores of all rows, but {why}; give --preset default, or raise the limit"
        )
    note(console, why)
    return files, columns


def _refuse_encoding(path: str, encoding: str | None, limit: int) -> None:
    """Raise OptionError for the encoding of a text table that would be converted, before it is."""
    if encoding is not None and is_plain_text(path) and Path(path).stat().st_size > limit:
        raise OptionError(
            f"--encoding does not go with a stream, and {path} is larger than --memory-limit; write it as UTF-8 and leave the option out, or"
            " raise the limit"
        )


def fit_streamed(
    found: tuple[Any, Any],
    options: Options,
    origin: Mapping[str, Any],
    folder: Any,
    begin: Callable[[], dict[str, Any]],
    console: Any,
) -> Path:
    """Train on the stream, print the report, write the run folder, and return it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stream, spec, train, line = _open(found, options, origin)
        with contextlib.closing(stream):
            title = f"{stem_of(origin)}: a sample of {len(stream.sample.x):,} rows"
            print_schema(console, stream.schema, title=title)
            note(console, *leak_notes(stream.schema), stream.remark(), *_few_groups(stream))
            task = stream.data.problem.task
            print_layers(console, spec, task, stream.encoder.width, networks=train.keywords["n_networks"])
            console.print(f"{line} · {len(stream.rows):,} rows")
            model = _train(train, options, begin)
        metrics = _metrics(stream, model, caught)
    note(console, *dict.fromkeys(str(entry.message) for entry in caught))
    return _write(stream, model, metrics, options, origin, folder, console)


def follow_stream(found: tuple[Any, Any], options: Options, origin: Mapping[str, Any], begin: Callable[[], dict[str, Any]]) -> None:
    """Train on the stream as rank 0 does, which prints and writes."""
    stream, _, train, _ = _open(found, options, origin)
    with contextlib.closing(stream):
        _train(train, options, begin)


def _open(found: tuple[Any, Any], options: Options, origin: Mapping[str, Any]) -> tuple[Any, Any, functools.partial[Any], str]:
    """Return the stream, the network, a function that trains it on the stream, and a line about it: as the options describe them."""
    files, columns = found
    test, preset = float(origin["test_fraction"]), preset_of_table(options)
    more = {name: options[name] for name in ("task", "target_transform", "validation", "memory_limit")}
    more["test"] = test
    if preset is not None:
        networks, changes = streaming.NETWORKS if options["n_networks"] is None else options["n_networks"], changes_of(options)
        shared = {"preset": preset, "metric": options["metric"], "changes": changes}
        shared |= {"seed": options["seed"], "device": options["device"] or "auto"}
        stream = streaming.open_ensemble(files, columns, **shared, **more)
        network = tabular_network(stream.data.problem.task, len(stream.rows), changes=changes)
        train = functools.partial(streaming.train_stream_ensemble, stream, n_networks=networks, **shared)
        return stream, network, train, describe_ensemble(networks, preset, options)
    networks = options["n_networks"] or 1
    rows = int(files.rows * (1 - test) * (1 - (defaults.VALIDATION if options["validation"] is None else options["validation"])))
    spec, recipe = network_of(options, networks=networks), recipe_of(options, rows=max(rows, 1))
    stream = streaming.open_stream(files, columns, recipe, spec=spec, **more)
    train = functools.partial(streaming.train_stream, stream, spec, recipe, n_networks=networks)
    return stream, spec, train, describe(spec, recipe, networks)


def _few_groups(stream: Any) -> list[str]:
    layout = stream.rows.layout
    groups = int((layout.counts > 0).sum()) / layout.windows
    if layout.windows == 1 or groups >= FEWEST_GROUPS:
        return []
    return [
        f"a window holds {groups:.1f} row groups, so that rows far apart in the file are rarely in one window; if the file is sorted, write"
        " it in another order or with smaller row groups, or raise --memory-limit"
    ]


def _train(train: Callable[..., Any], options: Options, begin: Callable[[], dict[str, Any]]) -> Any:
    given = begin()
    listeners = [*progress_callbacks(False if options["quiet"] else "auto"), *given.pop("callbacks", ())]
    model = train(callbacks=listeners, **given)
    if "interrupted" in model.info["stopped"]:
        raise KeyboardInterrupt
    return model


def _part(rows: Any) -> Part:
    return Part(X=rows.x, y=rows.y, weight=rows.weight)


def _metrics(stream: Any, model: Any, caught: Any) -> dict[str, Any]:
    """Return the metrics of a model on the sample of the training rows, on the validation rows, and on the test rows."""
    out: dict[str, Any] = {}
    for name, rows in (("train", stream.sample), ("validation", stream.validation)):
        out[name] = None if rows is None else metrics_of(model, _part(rows))
    refuse_untrained(model, out["train"], caught)
    try:
        tested = stream.evaluate(model)
    except DataError as error:  # a model that took hours to train is written all the same
        warnings.warn(f"there are no metrics on the test rows: {error}", UserWarning, stacklevel=2)
        tested = None
    out["test"] = None if tested is None else bounded(tested)
    return out


def _write(
    stream: Any, model: Any, metrics: Mapping[str, Any], options: Options, origin: Mapping[str, Any], folder: Any, console: Any
) -> Path:
    from manynets.cli.pictures import Pictured, pictures_of_training

    baselines: dict[str, Any] = {}
    left_out = None
    if stream.validation is not None:
        baselines, left_out = baselines_of(model.task, _part(stream.sample), _part(stream.validation), stream.encoder)
    files, split = stream.table.files, stream.table.split
    known: dict[str, Any] = {"data": {**origin, "path": files.name}, "validation": split.validation}
    known["fingerprint"] = {name_of(files.name): {"sha256": files.fingerprint, "rows": files.rows, "columns": len(files.names)}}
    known["stream"] = {name: getattr(split, name) for name in ("seed", "validation", "test", "group")}
    known["stream"]["memory_limit"] = options["memory_limit"]
    title = f"{stem_of(origin)} · {describe_model(model)}"
    return write_trained(
        folder,
        model,
        known,
        options,
        console,
        metrics=metrics,
        part="test" if metrics["test"] else "validation",
        baselines={f"validation: {name}": values for name, values in baselines.items()},
        remark=left_out,
        pictures=pictures_of_training(Pictured(model=model, title=title)),
        titles={"train": "train (sample)"},
    )
