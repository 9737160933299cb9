"""Which training `manynets train` makes: the default for tables (`manynets.tabular`), that for images, or a plain network by the options.

The default for images with classes, such as MNIST, is the plain network, trained on shifted copies too. It makes as many steps as without
copies. Each training image is seen as it is and moved by one pixel up, down, left and right (`manynets.datasets.with_shifts`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from manynets.cli.data import DataSource
from manynets.cli.recipe import Options, flag_of, parsed
from manynets.display import counted, listed
from manynets.errors import OptionError, one_of
from manynets.spec import METRICS, Recipe
from manynets.spec.options import OPTIONS

PLAIN = "plain"
PRESETS = ("default", "fast", "best", PLAIN)
OF_BOTH = ("hidden", "seed", "device")
"""Options of the specification that the defaults for tables and images take without --preset, too."""
OF_PLAIN_ONLY = ("engine", "lr_in_velocity", "eps_hat")
SMALLEST_SIDE = 20
"""Pixels: in smaller images, one pixel is too large a step."""


def plain_options(options: Options) -> list[str]:
    """Return the options of a network and its training that were given, without those of `OF_BOTH`."""
    names = [*(name for name in OPTIONS if name not in OF_BOTH), *OF_PLAIN_ONLY]
    return [name for name in names if options.get(name) is not None]


def check_preset(options: Options) -> None:
    """Raise OptionError for an unknown preset, and for options that it does not take."""
    preset, given = options["preset"], plain_options(options)
    if preset is not None:
        one_of(preset, PRESETS, what="--preset")
    if preset not in (None, PLAIN):
        refuse_plain(given, preset)
    if options["metric"] is not None:
        one_of(options["metric"], METRICS, what="--metric")
    limit = options["time_limit"]
    if limit is not None and not limit > 0:
        raise OptionError(f"--time-limit is {limit:g}, but must be a number of seconds above 0")
    if limit is not None and (preset == PLAIN or (preset is None and given)):
        raise OptionError("--time-limit is for the default ensemble of tables, not for a plain network; give --epochs instead")


def refuse_plain(names: Any, preset: str) -> None:
    """Raise OptionError if one of these options cannot change the recipe of the default ensemble."""
    from manynets.tabular.changes import CHANGEABLE

    for name in names:
        if name not in CHANGEABLE:
            instead = "give --iterations, or --preset plain" if name == "epochs" else "give --preset plain, or leave it out"
            raise OptionError(
                f"{flag_of(name)} is for a plain network, but --preset {preset} trains an ensemble by a recipe of its own; {instead}"
            )


def changes_of(options: Options) -> dict[str, Any]:
    """Return the options that change the recipe of the default ensemble, as `manynets.tabular.train_ensemble` takes them."""
    from manynets.tabular.changes import CHANGEABLE

    return {name: parsed(name, options[name]) for name in CHANGEABLE if options.get(name) is not None}


def describe_ensemble(networks: int, preset: Any, options: Options, *, settings: int = 1) -> str:
    """Return one line that describes the default ensemble, and what the options change in it. networks: in each of so many settings."""
    changes = (f"{flag_of(name)[2:]} {options[name]}" for name in changes_of(options))
    each = "" if settings == 1 else f" in each of {settings} settings, of which the best are kept"
    return " · ".join([f"{counted(networks, 'network')}{each}", f"preset {preset}", *changes])


def preset_of(options: Options, source: DataSource) -> Any:
    """Return the preset of the default ensemble, or None for a plain network: for data that are no table, and, without --preset,
    with options of a plain network."""
    preset, given = options["preset"], plain_options(options)
    if source.schema is not None:
        return preset_of_table(options)
    name = source.name
    if options["time_limit"] is not None:
        raise OptionError(f"--time-limit is for tables, but {name} is a set of arrays; leave it out")
    if preset == "fast" or (preset == "default" and not _has_images(options, source)):
        larger = "" if preset == "fast" else f" and images with classes, of at least {SMALLEST_SIDE} pixels a side"
        raise OptionError(f"--preset {preset} is for tables{larger}, but {name} is a set of arrays; leave it out")
    if preset == "default" and given:
        option = flag_of(given[0])
        raise OptionError(
            f"{option} is for a plain network, but --preset default trains {name} by a recipe of its own; leave one out"
        )
    return None


def preset_of_table(options: Options) -> Any:
    """Return the preset of the default ensemble that these options ask for, or None for a plain network."""
    preset = options["preset"]
    return None if preset == PLAIN or (preset is None and plain_options(options)) else preset or "default"


def plain_note(options: Options, source: DataSource) -> str | None:
    """Return a note that the options end the default for tables or images, and how to keep it; None where they do not, or --preset says so."""
    from manynets.tabular.changes import CHANGEABLE

    given = plain_options(options)
    if options["preset"] is not None or not given:
        return None
    flags = listed(map(flag_of, given), 3)
    if source.schema is None:
        if not _has_images(options, source):
            return None
        return f"{flags}: a plain network is trained, without the shifted copies of the images that the default adds"
    fixed = [name for name in given if name not in CHANGEABLE]
    if fixed == ["epochs"]:
        return (
            f"{flags}: plain networks are trained, not the default ensemble for tables; give it --preset default and --iterations"
        )
    if fixed:
        return f"{flags}: plain networks are trained, not the default ensemble for tables, which has no {flag_of(fixed[0])}"
    return f"{flags}: plain networks are trained, not the default ensemble for tables; give --preset default to change its recipe instead"


def takes_shifts(options: Options, source: DataSource) -> bool:
    """Return whether the default for images is trained: for images with classes, without options of a plain network."""
    return _has_images(options, source) and options["preset"] != PLAIN and not plain_options(options)


def _has_images(options: Options, source: DataSource) -> bool:
    """Return whether the data are images with classes, large enough to be moved by a pixel."""
    shape, classes = source.image_shape, source.class_names is not None and options["task"] in (None, "multiclass")
    return classes and shape is not None and min(shape) >= SMALLEST_SIDE


def train_preset(source: DataSource, preset: Any, options: Options, *, begin: Mapping[str, Any]) -> Any:
    """Return the trained ensemble (`manynets.tabular.TabularFit`) of encoded data.

    begin: more arguments of `train_ensemble`, such as checkpoint and resume.
    """
    from manynets.prepare import prepare
    from manynets.tabular import train_ensemble

    train, validation = source.train, None if source.share == "folds" else source.validation
    base = Recipe(seed=options["seed"], device=options["device"] or "auto")
    prepared = prepare(
        train.X,
        train.y,
        base,
        task=source.task,
        validation=None if validation is None else validation.as_set,
        sample_weight=train.weight,
        class_weight=options["class_weight"],
    )
    more: dict[str, Any] = {"progress": False if options["quiet"] else "auto", **begin}
    return train_ensemble(
        dataclasses.replace(prepared, encoder=source.encoder, hashes=train.hashes),
        n_networks=source.networks,
        preset=preset,
        metric=options["metric"],
        time_limit=options["time_limit"],
        changes=changes_of(options),
        by=train.by if validation is None else None,
        seed=base.seed,
        device=base.device,
        **more,
    )
