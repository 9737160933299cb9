"""What `manynets train` does, once its options are parsed."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import manynets
from manynets import runs
from manynets.cli import checkpoints, defaults
from manynets.cli.baselines import baselines_of
from manynets.cli.bounded import metrics_of, metrics_of_scores
from manynets.cli.data import DataSource, Part, encoded_part, load_source, taken, with_weight
from manynets.cli.diverged import refuse_untrained
from manynets.cli.fingerprint import hashes_of_parts
from manynets.cli.origin import origin_of, stem_of
from manynets.cli.preset import (
    PLAIN,
    changes_of,
    check_preset,
    describe_ensemble,
    plain_note,
    preset_of,
    takes_shifts,
    train_preset,
)
from manynets.cli.recipe import Options, network_of, quantiles_of, recipe_of, recipe_with_shifts
from manynets.cli.report import console_for, describe, describe_model, note, print_layers, print_source
from manynets.cli.table_columns import taken_as_classes
from manynets.cli.thresholds import read_threshold, threshold_for
from manynets.cli.tracking import check_track, tracking
from manynets.cli.written import write_trained
from manynets.data.duplicates import count_shared
from manynets.datasets import with_shifts
from manynets.display import counted
from manynets.engines import ENGINES
from manynets.errors import OptionError, check_count, one_of
from manynets.prepare import EncodedTable, cv_splits, encode_table, holdout
from manynets.spec import PiecewiseLinear, Recipe
from manynets.steps import batch_rows
from manynets.tabular import PRESETS, encoder_options, tabular_network
from manynets.targets import find_target, row_weights
from manynets.tasks import Regression, with_quantiles
from manynets.tasks.objectives import objective_for
from manynets.tasks.thresholds import threshold_of
from manynets.training.torch_settings import find_device

Begin = Callable[[], dict[str, Any]]


def fit(options: Options, *, begun: Callable[[Options], object] = lambda options: None) -> Path:
    """Train with these options, print a report, and write the run folder.

    begun: called with the options, those of the unfinished run where one is resumed, once they are checked and the folder is claimed.
    """
    with contextlib.ExitStack() as stack:
        options = stack.enter_context(checkpoints.resumed(options))
        console = console_for(quiet=options["quiet"], to_stderr=options["json_line"])
        _check_options(options)
        check = functools.partial(runs.check_run_folder, overwrite=options["overwrite"])
        folder = options["out"]
        if folder is not None:
            check(folder)
        origin = origin_of(options)
        if options["resume"] is None:
            folder = stack.enter_context(runs.claimed_folder(folder, stem_of(origin), check=check))
        begin = stack.enter_context(checkpoints.saving_checkpoints(folder, options))
        trackers = stack.enter_context(tracking(options["track"], folder))

        def tracked() -> dict[str, Any]:
            return begin() | ({"callbacks": trackers} if trackers else {})

        stream = None
        if options.get("memory_limit") is not None:
            from manynets.cli import streamed

            stream = streamed.stream_of(options, origin, console)
        begun(options)
        if stream is None:
            written = _fit(options, origin, folder, tracked, console)
        else:
            written = streamed.fit_streamed(stream, options, origin, folder, tracked, console)
        for tracker in trackers:
            tracker.log_folder(written)
    return written


def check_training(options: Options) -> None:
    """Raise an error for options of a training that can be checked before the data are read, and go with any network."""
    check_track(options["track"])
    if options["report"]:
        from manynets.report import require_report

        require_report()
    if one_of(options["engine"] or "torch", ENGINES, what="--engine") == "torch":
        find_device(Recipe(device=options["device"] or "auto").device)
    if options["class_weight"] is not None:
        one_of(options["class_weight"], ["balanced"], what="--class-weight")
    share = options["validation"]
    if share is not None and not 0 <= share < 1:
        raise OptionError(f"--validation is {share:g}, but must be at least 0 and below 1")


def _check_options(options: Options) -> None:
    """Raise an error for invalid options, before the data are read."""
    check_preset(options)
    check_training(options)
    network_of(options)
    if options["preset"] in (None, PLAIN):
        recipe_of(options, rows=1000)
    if options["n_networks"] is not None:
        check_count(options["n_networks"], what="--n-networks")
    if options["threshold"] is not None:
        read_threshold(options["threshold"], metrics=True)


def trained(options: Options, origin: dict[str, Any], begin: Begin, console: Any) -> tuple[DataSource, Any, Any]:
    """Train with these options on the data of this origin; return the data, encoded, the model, and its out-of-fold scores.

    These are the scores of the training rows by the networks that did not train on them, or None. Raises KeyboardInterrupt for a
    training that was interrupted.
    """
    began = time.perf_counter()
    source = load_source(origin)
    more = [] if source.schema is None else taken_as_classes(source.task, origin)
    plain = plain_note(options, source)
    note(console, *source.notes, *more, *([plain] if plain else []))
    source = encode_source(source, options, console)
    preset, wanted = preset_of(options, source), options["threshold"]
    if wanted is not None:
        task = find_target(source.train.y, source.task).task
        wanted = threshold_for(task, wanted, names=source.class_names, metrics=True)
    out_of_fold = None
    if preset is None:
        model = _train(source, options, begin, console)
    else:
        model, out_of_fold = _train_ensemble(source, preset, options, lambda: {**begin(), "began": began}, console)
    if "interrupted" in model.info["stopped"]:
        raise KeyboardInterrupt
    if len(source.targets) > 1:
        model.info["targets"] = list(source.targets)
    return source, _with_threshold(model, wanted, out_of_fold, source), out_of_fold


def _fit(options: Options, origin: dict[str, Any], folder: Any, begin: Begin, console: Any) -> Path:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        source, model, out_of_fold = trained(options, origin, begin, console)
        parts = {"train": source.train, "validation": source.validation, "test": source.test}
        metrics: dict[str, Any] = {"train": metrics_of(model, source.train)}
        refuse_untrained(model, metrics["train"], caught)
        metrics["validation"] = validation_metrics(model, out_of_fold, source)
        metrics["test"] = None if source.test is None else metrics_of(model, source.test)
        test_part, tested = ("test", metrics["test"]) if metrics["test"] else ("validation", metrics["validation"])
        baselines: dict[str, Any] = {}
        left_out: str | None = None
        if tested:
            weight = options["class_weight"]
            baselines, left_out = baselines_of(model.task, source.train, parts[test_part], source.encoder, class_weight=weight)
        # not above: the training begins before the plots are loaded
        from manynets.cli.pictures import Pictured, pictures_of_training

        about = Pictured(
            model=model,
            title=f"{source.name} · {describe_model(model)}",
            part=parts[test_part],
            metrics=tested,
            class_names=source.class_names,
            image_shape=source.image_shape,
            targets=origin.get("target", []),
            unit=source.unit,
        )
        pictures = pictures_of_training(about)
    note(console, *dict.fromkeys(str(entry.message) for entry in caught))

    names = None if model.task.name == "regression" else source.class_names
    known: dict[str, Any] = {"data": dict(origin), "fingerprint": dict(source.fingerprint), "class_names": names}
    known |= {"target_unit": source.unit, "image_shape": source.image_shape, "validation": source.share}
    return write_trained(
        folder,
        model,
        known,
        options,
        console,
        metrics=metrics,
        part=test_part,
        baselines={f"{test_part}: {name}": values for name, values in baselines.items()},
        remark=left_out,
        pictures=pictures,
        seen=hashes_of_parts(model.task, (source.train, source.validation)),
    )


def validation_share(options: Options, source: DataSource) -> float | None:
    """Return the share of the training rows to validate on, 0 for no validation, None for the data's own validation rows."""
    if options["validation"] is None:
        return None if source.validation is not None else defaults.VALIDATION
    return float(options["validation"])


def check_transform(task: Any, options: Options) -> None:
    """Raise OptionError for a --target-transform that does not go with the task or the loss."""
    if options.get("target_transform") is None:
        return
    if task.name != "regression":
        raise OptionError(
            f"--target-transform is for a regression, but the task is {task.name!r}; leave it out, or give --task regression"
        )
    if options["loss"] == "poisson":
        raise OptionError(
            "--target-transform does not go with --loss poisson, whose scores are log-rates; leave out one of the two"
        )


def _networks_and_share(source: DataSource, options: Options, preset: Any) -> tuple[int, float | str | None]:
    """Return how many networks to train, and the share to validate on, as `DataSource` has it."""
    networks: int | None = options["n_networks"]
    if networks is None and preset is not None:
        networks = defaults.NETWORKS
    if networks is None:
        ensemble = source.schema is not None and (options["engine"] or "torch") == "torch"
        networks = defaults.networks(source.train.rows) if ensemble else 1
    share = validation_share(options, source)
    if share == 0 and preset is not None:
        raise OptionError(
            "--validation is 0, but the networks of the default ensemble choose their epochs by rows that they hold out; "
            "leave it out, or give --preset plain"
        )
    if networks > 1 and options["validation"] is None and source.validation is None and not takes_shifts(options, source):
        return networks, "folds"
    return networks, share


def encode_source(source: DataSource, options: Options, console: Any) -> DataSource:
    """Return the data with training, validation and test rows as matrices.

    Each part of a table is released as soon as it is encoded, so that none takes memory beside the matrices during training.
    """
    whole, source = source.train, with_weight(source)
    if source.train.rows < whole.rows:
        note(console, f"{whole.rows - source.train.rows:,} of {whole.rows:,} rows to train on have the weight 0 and are left out")
    train, validation, test = source.train, source.validation, source.test
    target, preset = find_target(train.y, source.task), preset_of(options, source)
    task = target.task
    check_transform(task, options)
    row_weights(task, target.encoded, train.rows, train.weight, options["class_weight"])  # an error before any output
    networks, share = _networks_and_share(source, options, preset)
    if share == 0:
        validation = None
    elif isinstance(share, float):
        rows, held_out = holdout(target, share, seed=options["seed"], by=train.by)
        train, validation = taken(train, rows), taken(train, held_out)
    if isinstance(task, Regression):
        task = Regression.of(train.y, standardise=options["loss"] != "poisson", transform=options.get("target_transform"))
    task = with_quantiles(task, quantiles_of(options))
    if preset is None:
        recipe = recipe_of(options, rows=train.rows)
        # a loss for another task, or a batch with more rows than there are, is an error before any output
        objective_for(task, recipe)
        batch_rows(recipe, train.rows)
    encoder = None
    if source.schema is not None:
        print_source(console, source)
        own = encoder_options(train.rows, len(train.X.names))
        if preset is None:
            embedding = network_of(options).embedding
            own = {"embedding": embedding if isinstance(embedding, PiecewiseLinear) else None}
        own["target"] = task.encode(train.y)
        matrix, encoder, hashes = encode_table(train.X, **{**own, **encoding(source, options)})
        train = dataclasses.replace(train, X=matrix, hashes=hashes)
        for text in () if test is None else encoder.check(test.X):
            note(console, f"test rows: {text}")
        validation, test = (None if part is None else encoded_part(part, encoder) for part in (validation, test))
    if test is not None:
        targets = {"target": task.encode(train.y), "other_target": task.encode(test.y)}
        if shared := count_shared(train.identity, test.identity, **targets):
            note(console, f"{shared:,} of {test.rows:,} test rows are identical to a row that is trained on, target included")
    parts: dict[str, Any] = {"train": train, "validation": validation, "test": test}
    return dataclasses.replace(source, **parts, task=task, encoder=encoder, share=share, networks=networks)


def _train(source: DataSource, options: Options, begin: Begin, console: Any) -> Any:
    """Return the model of plain networks."""
    share, networks = source.share, source.networks
    train, validation, task = source.train, source.validation, source.task
    spec = network_of(options, networks=networks)
    rows = train.rows - math.ceil(train.rows / networks) if share == "folds" else train.rows
    recipe = recipe_of(options, rows=rows)
    X, y, what = train.X, train.y, "rows"
    if takes_shifts(options, source):
        recipe = recipe_with_shifts(recipe, rows)
        assert source.image_shape is not None
        (X, y), what = with_shifts(X, y, source.image_shape), "images, and each moved in four directions"
    print_layers(console, spec, task, train.X.shape[1], networks=networks)
    console.print(f"{describe(spec, recipe, networks)} · {rows:,} {what}")
    return manynets.train(
        X if source.encoder is None else EncodedTable(X, source.encoder, train.hashes),
        y,
        spec,
        recipe,
        task=task,
        validation="folds" if share == "folds" else None if validation is None else validation.as_set,
        sample_weight=train.weight,
        class_weight=options["class_weight"],
        **(train.split_columns if share == "folds" else {}),
        encoder=source.encoder,
        scaling=source.scaling,
        n_networks=networks,
        engine=options["engine"] or "torch",
        progress=False if options["quiet"] else "auto",
        **begin(),
    )


def _train_ensemble(source: DataSource, preset: Any, options: Options, begin: Begin, console: Any) -> tuple[Any, Any]:
    """Return the default ensemble, and its scores of the training rows by the networks that did not train on them, or None."""
    train, task, changes = source.train, source.task, changes_of(options)
    spec = tabular_network(task, train.rows, changes=changes)
    settings = len(PRESETS[preset].settings_for(source.encoder, train.rows, validated=True))
    print_layers(console, spec, task, train.X.shape[1], networks=source.networks * settings)
    console.print(f"{describe_ensemble(source.networks, preset, options, settings=settings)} · {counted(train.rows, 'row')}")
    fit = train_preset(source, preset, options, begin=begin())
    return fit.model, fit.out_of_fold


def encoding(source: DataSource, options: Options) -> dict[str, Any]:
    """Return how the encoder of a table is to be fitted, as options of `manynets.tables.fit_encoder`."""
    return {"schema": source.schema} | {
        name: options[name] for name in ("scaling", "max_levels", "category_means") if options[name] is not None
    }


def validation_metrics(model: Any, out_of_fold: Any, source: DataSource) -> dict[str, Any] | None:
    """Return the metrics on the validation rows: by the out-of-fold scores where there are any; None without validation."""
    found = _held_out_scores(model, out_of_fold, source)
    return None if found is None else metrics_of_scores(model, *found)


def _held_out_scores(model: Any, out_of_fold: Any, source: DataSource) -> tuple[Any, Part] | None:
    """Return the scores of the rows that were held out, (N, O), and these rows."""
    if out_of_fold is not None:
        known = np.flatnonzero(np.isfinite(out_of_fold).all(axis=1))  # not a row whose class has no other, nor an early one
        all_or_none = len(known) in (0, len(out_of_fold))
        return (out_of_fold, source.train) if all_or_none else (out_of_fold[known], taken(source.train, known))
    if source.share == "folds":
        few = "temperature" in model.info  # a default ensemble on too few rows for folds
        return None if few else _scores_by_fold(model, source.train)
    part = source.validation
    return None if part is None else (model.mean_logits(model.logits(part.X)), part)


def _scores_by_fold(model: Any, train: Part) -> tuple[Any, Part]:
    """Return the scores of the training rows, each by the one network that held it out, and the rows."""
    if train.by is not None and train.by.times is not None:
        late = taken(train, holdout(find_target(train.y, model.task), 1.0 / model.size, seed=0, by=train.by).held_out)
        return model.mean_logits(model.logits(late.X)), late
    folds = cv_splits(find_target(train.y, model.task), model.size, seed=model.recipe.seed, by=train.by)
    scores = model.logits(train.X)
    out_of_fold = np.empty_like(scores[0])
    for one, fold in zip(scores, folds, strict=True):
        out_of_fold[fold.held_out] = one[fold.held_out]
    return out_of_fold, train


def _with_threshold(model: Any, wanted: Any, out_of_fold: Any, source: DataSource) -> Any:
    """Return the model with the threshold of --threshold, found on the held-out scores where it is that of a metric."""
    if wanted is None:
        return model
    if not isinstance(wanted, str):
        return model.with_threshold(wanted)
    probability, positive, weight = None, None, None
    held_out = _held_out_scores(model, out_of_fold, source)
    if held_out is not None:
        scores, part = held_out
        known = np.isfinite(scores).all(axis=1)
        probability, positive = model.task.proba(scores[known])[:, 1], model.task.encode(part.y)[known, 0] > 0.5
        weight = None if part.weight is None else np.asarray(part.weight)[known]
    return model.with_threshold(threshold_of(wanted, probability, positive, weight))
