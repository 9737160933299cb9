"""Units behind or before a number: when two of them are one, and how a unit of the metric system is converted to another."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

_APART = frozenset({"m", "g", "k", "b", "t", "mw", "mb", "mv", "ma", "mj", "mm", "mbit", "mhz", "mwh"})
"""Units in which a capital letter may mean another one: mW and MW."""

_SIZES = {
    "mass": {"μg": 1e-9, "mg": 1e-6, "g": 1e-3, "kg": 1.0, "t": 1e3},
    "length": {"nm": 1e-9, "μm": 1e-6, "mm": 1e-3, "cm": 1e-2, "dm": 1e-1, "m": 1.0, "km": 1e3},
    "area": {"mm2": 1e-6, "cm2": 1e-4, "m2": 1.0, "ha": 1e4, "km2": 1e6},
    "volume": {"ml": 1e-3, "cl": 1e-2, "dl": 1e-1, "l": 1.0, "hl": 1e2, "m3": 1e3},
    "power": {"mW": 1e-3, "w": 1.0, "kw": 1e3, "MW": 1e6, "gw": 1e9},
    "energy": {"wh": 1.0, "kwh": 1e3, "MWh": 1e6, "gwh": 1e9},
    "frequency": {"hz": 1.0, "khz": 1e3, "MHz": 1e6, "ghz": 1e9},
    "voltage": {"mV": 1e-3, "v": 1.0, "kv": 1e3},
    "current": {"mA": 1e-3, "a": 1.0},
    "pressure": {"pa": 1.0, "hpa": 1e2, "mbar": 1e2, "kpa": 1e3, "bar": 1e5},
    "data": {"kb": 1e3, "MB": 1e6, "gb": 1e9, "tb": 1e12},
}
_SIZE_OF = {unit: (quantity, size) for quantity, units in _SIZES.items() for unit, size in units.items()}


def same_unit(one: str, other: str) -> bool:
    """Return whether two units are the same. Blanks, points and the plural do not count, nor the case where it means no other unit.

    >>> same_unit("Days", "day"), same_unit("sq. ft.", "sq ft"), same_unit("m²", "m2"), same_unit("mW", "MW")
    (True, True, True, False)
    """
    return folded(one) == folded(other)


def conversion(unit: str, other: str) -> float | None:
    """Return the factor that converts a number in `unit` to the other unit, or None where it is not known.

    >>> conversion("g", "kg"), conversion("km", "m"), conversion("days", "day"), conversion("lb", "kg")
    (0.001, 1000.0, 1.0, None)
    """
    one, two = folded(unit), folded(other)
    if one == two:
        return 1.0
    quantity, size = _SIZE_OF.get(one, ("", 0.0))
    wanted, base = _SIZE_OF.get(two, (None, 1.0))
    return size / base if quantity == wanted else None


def is_metric(unit: str) -> bool:
    """Return whether a unit is one that can be converted."""
    return folded(unit) in _SIZE_OF


@cache
def folded(unit: str) -> str:
    """Return a spelling that is the same for all spellings of a unit."""
    plain = re.sub(r"[\s.^]", "", unicodedata.normalize("NFKC", unit))  # m² and m^2 are m2, and both signs of micro one
    low = plain.casefold()
    if low in _APART:
        return plain
    return low.removesuffix("s") if len(low) > 3 else low
