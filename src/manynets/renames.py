"""Names of version 0.1 and their current names: one table for specifications, checkpoints, options and sweeps.

Works on JSON only and imports nothing, so that every reader can use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FIELDS: dict[str, dict[str, str]] = {  # kind: {old field: new field}
    "EarlyStopping": {"min_gain": "min_delta"},
    "ReduceOnPlateau": {"min_gain": "min_delta"},
}
_ADDED: dict[str, dict[str, Any]] = {  # kind: {new field: what older versions did}
    "MLP": {"input_scale": False, "prior": False, "embedding": None},
    "Recipe": {"groups": []},
    "EarlyStopping": {"cool_down": None, "shared": False, "race": None},
}
_SKLEARN: dict[str, tuple[str, dict[str, Any]]] = {  # kind: the class with scikit-learn's rule, and the fields that chose it
    "SGD": ("SklearnSGD", {"lr_in_velocity": False}),
    "Adam": ("SklearnAdam", {"eps_hat": False}),
    "InverseScaling": ("SklearnInverseScaling", {"rows": 1, "start": 0}),
}
OPTIONS: dict[str, str] = {"min_gain": "min_delta", "lr_min_gain": "lr_min_delta", "networks": "n_networks", "folds": "cv"}
"""Options of the command line: {old name: new name}. The old ones are still accepted."""
LATER: dict[str, Any] = {"n_networks": 1, "no_header": False, "preset": "plain"} | dict.fromkeys((
    "time_limit", "metric", "threshold", "input_scale", "cool_down", "group", "time_column", "stratify", "target_transform", "positive",
    "embedding", "category_means", "prior", "bins", "bins_by", "frequencies", "frequency_scale", "frequency_outputs", "memory_limit",
    "lr_steps", "lr_factors", "sheet",
))  # fmt: skip
"""Options that runs and sweeps of older versions lack, with the values that they had in effect."""


def renamed(value: Any) -> Any:
    """Return JSON with current names in the specifications that it holds, at any depth; other JSON is unchanged.

    >>> renamed({"kind": "EarlyStopping", "min_gain": 0.1})["min_delta"]
    0.1
    >>> renamed({"kind": "SGD", "lr": 0.1, "lr_in_velocity": False}), renamed({"kind": "SGD", "lr": 0.1, "lr_in_velocity": True})
    ({'kind': 'SGD', 'lr': 0.1}, {'kind': 'SklearnSGD', 'lr': 0.1})
    """
    if isinstance(value, list):
        return [renamed(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    out = {name: renamed(item) for name, item in value.items()}
    kind = out.get("kind")
    if not isinstance(kind, str):
        return out
    names = _FIELDS.get(kind, {})
    if any(new in out for new in names.values()):  # has both names: the reader refuses it
        names = {}
    out = {**_ADDED.get(kind, {}), **{names.get(name, name): item for name, item in out.items()}}
    if kind in _SKLEARN:
        twin, ordinary = _SKLEARN[kind]
        found = {name: out.pop(name) for name in ordinary if name in out}
        if any(item != ordinary[name] for name, item in found.items()):
            more = found if kind == "InverseScaling" else {}
            return {**out, "kind": twin, **more}
    return out


def as_version_1(value: Any) -> Any:
    """Return JSON as version 0.1 wrote it, the reverse of `renamed`. Folders are named by a hash of it.

    >>> as_version_1({"kind": "SklearnAdam", "lr": 0.1}) == {"kind": "Adam", "lr": 0.1, "eps_hat": True}
    True
    """
    if isinstance(value, list | tuple):
        return [as_version_1(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    out = {name: as_version_1(item) for name, item in value.items()}
    kind = out.get("kind")
    if not isinstance(kind, str):
        return out
    former = {new: old for old, new in _FIELDS.get(kind, {}).items()}
    out = {former.get(name, name): item for name, item in out.items() if name not in _ADDED.get(kind, {})}
    for old, (twin, ordinary) in _SKLEARN.items():
        if kind == old:
            return {**out, **ordinary}
        if kind == twin:
            return {**out, "kind": old, **{name: out.get(name, True) for name in ordinary}}
    return out


def renamed_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of the command line by their current names.

    >>> renamed_options({"lr": 0.1, "min_gain": None})
    {'lr': 0.1, 'min_delta': None}
    """
    return {OPTIONS.get(name, name): value for name, value in options.items()}


def stored_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a stored run or sweep by their current names, with those that it lacks.

    >>> options = stored_options({"lr": 0.1, "networks": 8})
    >>> options["n_networks"], options["no_header"], options["lr"]
    (8, False, 0.1)
    """
    return {**LATER, **renamed_options(options)}
