"""The options that set the fields of a specification, generated from the metadata of the fields."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from manynets.spec.embeddings import EMBEDDINGS
from manynets.spec.metadata import Interval, Metadata, metadata_of
from manynets.spec.network import MLP
from manynets.spec.optimizers import OPTIMIZERS
from manynets.spec.recipe import EarlyStopping, Recipe
from manynets.spec.schedules import SCHEDULES


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpecOption:
    """An option that sets a field of one or more classes.

    classes: the classes by the names that options use ("sgd"; "" for MLP, Recipe and EarlyStopping), all with the field `field`.
    """

    name: str
    field: str
    metadata: Metadata
    panel: str
    classes: Mapping[str, type]
    group: str = ""

    @property
    def value_type(self) -> type:
        """The type of the option's value; several numbers are one text with commas."""
        allowed = self.metadata.allowed
        if allowed is bool:
            return bool
        if isinstance(allowed, Interval) and not self.metadata.several:
            return int if allowed.whole else float
        return str

    @property
    def metavar(self) -> str:
        """The letter or word for the value in help, "" for a flag."""
        return self.metadata.metavar or {int: "N", bool: ""}.get(self.value_type, "NAME")

    @property
    def names(self) -> tuple[str, ...]:
        """The values of an option that takes names, () for others."""
        if self.field in _CHOICES:
            none = ("none",) if self.metadata.none else ()
            return (*none, *_CHOICES[self.field])
        return self.metadata.allowed if isinstance(self.metadata.allowed, tuple) else ()

    @property
    def help(self) -> str:
        """What the option does, with the names that it takes and the embeddings, optimizers or schedules that it is for."""
        text = self.metadata.help
        if text.endswith(":"):
            text += f" {enumeration(self.names, 'or')}"
        return f"{text} ({self.owners})." if self.owners else f"{text}."

    @property
    def owners(self) -> str:
        """The embeddings, optimizers or schedules that the option is for, "" where it is for every training."""
        choices = _CHOICES.get(self.group, {})
        if not choices or self.name == "lr":
            return ""
        others = [name for name in choices if name not in self.classes]
        if len(others) <= 1 < len(self.classes):
            return f"all {self.group}s" + (f" but {others[0]}" if others else "")
        return enumeration(tuple(self.classes), "and")

    @property
    def default(self) -> str:
        """The default as text; where classes differ, the most frequent one last.

        >>> OPTIONS["weight_decay"].default
        '0.01 for adamw, else 0'
        """
        texts: dict[str, list[str]] = {}
        for name, kind in self.classes.items():
            texts.setdefault(self._default_of(kind), []).append(name)
        *rare, usual = sorted(texts, key=lambda text: len(texts[text]))
        if not rare:
            return usual
        parts = [f"{text} for {enumeration(tuple(texts[text]), 'and')}" for text in rare]
        alone = len(texts[usual]) == 1
        return ", ".join([*parts, f"{usual} for {texts[usual][0]}" if alone else f"else {usual}"])

    def _default_of(self, kind: type) -> str:
        if self.field in _CHOICES:
            made = type(getattr(kind(), self.field))
            return next((name for name, choice in _CHOICES[self.field].items() if choice is made), self.metadata.none)
        default = kind.__dataclass_fields__[self.field].default  # type: ignore[attr-defined]
        if default is None:
            return self.metadata.none
        if isinstance(default, bool):
            return "yes" if default else "no"
        values = default if isinstance(default, tuple) else (default,)
        return ",".join(f"{value:g}".replace("e-0", "e-") if isinstance(value, float) else str(value) for value in values)


_CHOICES: dict[str, Mapping[str, type]] = {"embedding": EMBEDDINGS, "optimizer": OPTIMIZERS, "schedule": SCHEDULES}


def enumeration(names: tuple[str, ...], last: str) -> str:
    """Join names with commas, and the last one with a word.

    >>> enumeration(("sgd", "adam", "adamw"), "or")
    'sgd, adam or adamw'
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


def _options_of(classes: Mapping[str, type], *, panel: str, group: str = "") -> dict[str, SpecOption]:
    """Return the options of the fields of some classes by name; a field that several classes have is one option."""
    out: dict[str, SpecOption] = {}
    for owner, kind in classes.items():
        for field in dataclasses.fields(kind):
            metadata = metadata_of(field)
            if metadata.option == "":
                continue
            name = metadata.option or field.name
            owners: dict[str, Any] = {**(out[name].classes if name in out else {}), owner: kind}
            out[name] = SpecOption(
                name=name, field=field.name, metadata=metadata, panel=metadata.panel or panel, classes=owners, group=group
            )
    return out


def _all_options() -> dict[str, SpecOption]:
    """Return all options; those of a part follow the option that names the part."""
    parts = {
        "embedding": _options_of(EMBEDDINGS, panel="Network", group="embedding"),
        "optimizer": _options_of(OPTIMIZERS, panel="Optimizer", group="optimizer"),
        "schedule": _options_of(SCHEDULES, panel="Schedule", group="schedule"),
        "stopping": _options_of({"": EarlyStopping}, panel=""),
    }
    out: dict[str, SpecOption] = {}
    for name, option in (_options_of({"": MLP}, panel="Network") | _options_of({"": Recipe}, panel="")).items():
        out |= ({name: option} if name != "stopping" else {}) | parts.get(name, {})
    return out


OPTIONS: dict[str, SpecOption] = _all_options()
"""The options by name, with underscores."""


@functools.cache
def option_of(kind: str, field: str) -> SpecOption | None:
    """Return the option that sets a field of a class, both by name; None where there is none.

    >>> option_of("Cosine", "final").name, option_of("Dataset", "X")
    ('lr_final', None)
    """
    kind = kind.removeprefix("Sklearn")
    for option in OPTIONS.values():
        if option.field == field and any(owner.__name__ == kind for owner in option.classes.values()):
            return option
    return None


def allowed_values(kind: type, field: str) -> Interval:
    """Return the numbers that a field of a specification may have.

    >>> allowed_values(MLP, "input_dropout")
    a number in [0, 1)
    """
    allowed = metadata_of(kind.__dataclass_fields__[field]).allowed  # type: ignore[attr-defined]
    assert isinstance(allowed, Interval), f"{kind.__name__}.{field} is not a number"
    return allowed
