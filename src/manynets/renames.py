"""Names in files of version 0.1 and their names today: one table for specifications, checkpoints, options and sweeps.

Works on JSON only and imports nothing, so that every reader can use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["LATER", "OPTIONS", "as_version_1", "renamed", "renamed_options", "stored_options"]

_FIELDS: dict[str, dict[str, str]] = {  # kind: {old field: new field}
    "EarlyStopping": {"min_gain": "min_delta"},
    "ReduceOnPlateau": {"min_gain": "min_delta"},
}
_SKLEARN: dict[str, tuple[str, dict[str, Any]]] = {  # kind: its twin with scikit-learn's rule, and the fields that told them apart
    "SGD": ("SklearnSGD", {"lr_in_velocity": False}),
    "Adam": ("SklearnAdam", {"eps_hat": False}),
    "InverseScaling": ("SklearnInverseScaling", {"rows": 1, "start": 0}),
}
OPTIONS: dict[str, str] = {
    "min_gain": "min_delta",
    "lr_min_gain": "lr_min_delta",
    "networks": "n_networks",
    "folds": "cv",
}
"""Options of the command line: {old name: new name}. The old ones are still accepted."""
LATER: dict[str, Any] = {"n_networks": 1, "no_header": False} | dict.fromkeys(
    ("group", "time_column", "stratify", "target_transform")
)
"""Options that a stored run or sweep may lack, as it was written before they came: {name: what it did}."""


def renamed(value: Any) -> Any:
    """Return JSON with the names of today in the specifications that it holds, at any depth; other JSON is returned as it is.

    >>> renamed({"kind": "EarlyStopping", "min_gain": 0.1})
    {'kind': 'EarlyStopping', 'min_delta': 0.1}
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
    if any(new in out for new in names.values()):  # written by both versions: left to the reader to refuse
        names = {}
    out = {names.get(name, name): item for name, item in out.items()}
    if kind in _SKLEARN:
        twin, ordinary = _SKLEARN[kind]
        found = {name: out.pop(name) for name in ordinary if name in out}
        if any(item != ordinary[name] for name, item in found.items()):
            more = found if kind == "InverseScaling" else {}
            return {**out, "kind": twin, **more}
    return out


def as_version_1(value: Any) -> Any:
    """Return JSON as version 0.1 wrote it: the reverse of `renamed`, by which folders named by a hash of it are found.

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
    out = {former.get(name, name): item for name, item in out.items()}
    for old, (twin, ordinary) in _SKLEARN.items():
        if kind == old:
            return {**out, **ordinary}
        if kind == twin:
            return {**out, "kind": old, **{name: out.get(name, True) for name in ordinary}}
    return out


def renamed_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of the command line by the names of today.

    >>> renamed_options({"lr": 0.1, "min_gain": None})
    {'lr': 0.1, 'min_delta': None}
    """
    return {OPTIONS.get(name, name): value for name, value in options.items()}


def stored_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a run or sweep was trained with by the names of today, with those that came later.

    >>> stored_options({"lr": 0.1, "networks": 8})
    {'n_networks': 8, 'no_header': False, 'lr': 0.1}
    """
    return {**LATER, **renamed_options(options)}
