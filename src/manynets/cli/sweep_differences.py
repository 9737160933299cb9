"""Whether a sweep is the one that was begun, and what differs, in the words of the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from manynets.cli.recipe import flag_of
from manynets.errors import OptionError


def check_same(former: Mapping[str, Any], now: Mapping[str, Any], *, where: str, remedy: str) -> None:
    """Raise OptionError where a sweep is not what it was. Candidates are numbered by the order of the grid, so that counts, too."""
    for name in sorted(set(former) | set(now), key=lambda name: (name == "drawn", name)):
        then, given = former.get(name), now.get(name)
        if then != given or (name == "grid" and list(then or ()) != list(given or ())):
            what = "data" if name == "data" else "options"
            raise OptionError(f"{where} has other {what}: {_difference(name, then, given)}; give the same {what}, or {remedy}")


def _difference(name: str, then: Any, now: Any) -> str:
    """Return what differs in a part of a sweep's configuration, in the words of the command line.

    >>> _difference("options", {"lr": 0.1, "hidden": "8"}, {"lr": 0.1, "hidden": None})
    '--hidden was 8, is not given now'
    >>> _difference("options", {"seed": 0}, {"seed": 1}), _difference("options", {"shuffle": False}, {"shuffle": None})
    ('--seed was 0, is 1 now', '--no-shuffle was given, is not given now')
    >>> _difference("grid", {"lr": [0.1, 0.2], "hidden": ["8", "8,8"]}, {"lr": [0.1, 0.2]})
    '--grid hidden=8,8-8 is not given now'
    """
    if name == "drawn":
        return f"its candidates were {'drawn at random' if then else 'not drawn at random'}"
    if not isinstance(then, dict) or not isinstance(now, dict):
        return _change(flag_of(name), then, now)
    differing = [one for one in (*then, *now) if then.get(one) != now.get(one)]
    if name == "data":
        return f"{differing[0]} has other contents"
    if name == "options":
        return _change("DATA" if differing[0] == "data" else flag_of(differing[0]), then.get(differing[0]), now.get(differing[0]))
    if not differing:
        return f"--grid was given for {', '.join(then)} in this order"
    one = differing[0]
    if one in then and one in now:
        return f"--grid {one} was {_grid_values(then[one])}, is {_grid_values(now[one])} now"
    if one in then:
        return f"--grid {one}={_grid_values(then[one])} is not given now"
    return f"--grid {one}={_grid_values(now[one])} was not given then"


def _grid_values(values: Iterable[Any]) -> str:
    """Return the values of an option as --grid takes them."""
    return ",".join(str(value).replace(",", "-") for value in values)


def _change(flag: str, then: Any, now: Any) -> str:
    if (then is None or then is False) and (now is None or now is False):  # of an option that is on where it is not given
        flag, then, now = f"--no-{flag[2:]}", then is False, now is False
    return f"{flag} was {_shown(then)}, is {_shown(now)} now"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "given" if value else "not given"
    if value is None or value == []:
        return "not given"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
