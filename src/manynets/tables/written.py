"""Numbers as people write them: "$1,299.99", "1.299,99 €", "(12)", "12.5 kg", "15 %", "<50", "1.5M".

How the numbers of a column are written is decided once, from all its cells, and is a `Reading`; it is part of the model.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Generic, Literal, NamedTuple, TypeVar, get_args

from manynets.display import counted
from manynets.tables.parts import digits_of
from manynets.tables.units import conversion, duration_seconds, folded, is_metric, same_unit

Decimal = Literal[".", ","]
Thousands = Literal["", ",", ".", "'", " "]
DECIMALS: tuple[Decimal, ...] = get_args(Decimal)
THOUSANDS: tuple[Thousands, ...] = get_args(Thousands)

LONGEST = 48
"""A longer text is not a number."""
MOST_UNITS = 8
"""With more units than this, what stands behind the numbers of a column is not a unit."""

_SPACES = "\u0020\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_APOSTROPHES = "'’‘´`ʼ"
_MINUS = "\\-\u2212\u2010\u2011\u2012\u2013\u2014\ufe63\uff0d"
_SIGNS = r"$€£¥₹₽₩₪₫₺₴₦₱฿¢₡₲₵₸₿"
_CODES = (
    *("USD", "EUR", "GBP", "JPY", "CNY", "RMB", "CHF", "CAD", "AUD", "NZD", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF", "RON", "BGN"),
    *("ISK", "RUB", "UAH", "TRY", "ILS", "INR", "PKR", "BDT", "LKR", "KRW", "TWD", "HKD", "SGD", "MYR", "THB", "IDR", "PHP", "VND"),
    *("BRL", "MXN", "ARS", "CLP", "COP", "PEN", "UYU", "ZAR", "NGN", "KES", "EGP", "MAD", "SAR", "AED", "QAR", "KWD", "BTC", "ETH"),
)

# The parts of a cell, each with what it matches.
_GAP = f"[{_SPACES}]?"
_BEFORE = rf"(?:(?:US|AU|CA|NZ|HK|NT|MX|[ACRS])?[{_SIGNS}]|{'|'.join(_CODES)}|Rs\.?|S?Fr\.?|kr\.?|Ft|[Ll]ei|RM|zł|Kč)"  # US$, CHF
_WORD = r"[^\W\d_][^\W_]*(?:\.[^\W\d_]+)*\.?"  # kg, m2, sq.ft.
_RATING = r"(?:/ ?|(?:out )?of )(?:5|10|20|100)(?: stars?)?"  # /5, out of 10 stars
_UNIT = (
    rf"(?:{_RATING}|(?:[%‰°º′″]{_WORD}|[%％‰°º℃℉★′″'\"{_SIGNS}]|{_WORD})"  # °C, %, kg
    rf"(?:[ ·*^]?/ ?(?:100 )?[^\W_]+\.?|[ ]per[ ][^\W\d_]+|[ ·*][^\W\d_][^\W_]*\.?"  # m/s, l/100 km, units per day, sq ft
    rf"|\([^\W\d_]{{1,3}}\)|[ ]?[{_SIGNS}]|\^[0-9])?)"  # dB(A), Mio. €, m^2
)
_ABOUT = r"(?:ca|circa|approx|about|over|under|up to|(?:more|less) than|at (?:least|most)|min|max)(?:\.[ ]?|[ ])"
_MARK = r"\*{1,3}|[†‡]|\[[0-9a-z]{1,3}\]"  # of a footnote: **, [a]
_CORE = rf"[0-9](?:[0-9.,{_APOSTROPHES}{_SPACES}]*[0-9])?[.,]?|[.,][0-9]+"  # 1,299.99, .5
_CELL = re.compile(
    rf"(?P<bound>[<>≤≥≈~][=]?|±|\+/-|(?i:{_ABOUT}))?{_GAP}"  # <5, about 5
    rf"(?P<bracket>\()?(?P<sign>[+{_MINUS}])?{_GAP}"  # (5), -5
    rf"(?P<before>{_BEFORE}|%)?{_GAP}(?P<inner>[+{_MINUS}])?"  # $5, $-5
    rf"(?P<core>{_CORE})(?P<power>[eE][+-]?[0-9]+|(?<=[.,0-9])[dD][+-]?[0-9]+)?"  # 5e3, and Fortran's 5.0D3
    r"(?P<minus>-(?=\)?$))?(?P<more>\+)?"  # 5-, 5+
    rf"{_GAP}(?P<after>{_UNIT})?(?P<close>\))?(?P<mark>{_MARK})?"  # 5 kg, (5 kg), 5**
)
_NO_CENTS = re.compile(r"(?<=[0-9])(?:[.,](?:--?|[–—]{1,2})|/-)(?![0-9])")  # 5.-, 5,--, 5/-
_BRACKETS = re.compile(  # $ (5), (5) %
    rf"(?P<before>{_BEFORE})?[{_SPACES}]*\([{_SPACES}]*(?P<inner>[^()]*?)[{_SPACES}]*\)[{_SPACES}]*(?P<after>[%‰{_SIGNS}]|{'|'.join(_CODES)})?"
)
_POWER = re.compile(r" ?[x×*·] ?10\^([+-]?[0-9]{1,3})")  # 3 x 10^5
_ANY_SPACE, _ANY_APOSTROPHE = re.compile(f"[{_SPACES}]"), re.compile(f"[{_APOSTROPHES}]")
_MAGNITUDES = {
    "k": 1e3, "tsd": 1e3, "thousand": 1e3, "lakh": 1e5, "lac": 1e5, "m": 1e6, "mn": 1e6, "mio": 1e6, "million": 1e6,
    "crore": 1e7, "cr": 1e7, "b": 1e9, "bn": 1e9, "mrd": 1e9, "billion": 1e9, "t": 1e12, "tn": 1e12, "trillion": 1e12,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How the numbers of a column are written.

    Attributes:
        decimal: the sign before the decimals.
        thousands: the sign between groups of digits; empty for none, " " for any kind of blank.
        unit: what stands before or after the numbers, such as "kg", "$" or "%"; empty for nothing. "12 %" is read as 12.
        magnitudes: whether K, M, B after a number stand for thousands, millions, billions.
        duration: whether the cells are durations such as "3 days 04:00:00" or "PT3H", read in seconds.
        digits: whether the cells are codes such as "user-0171", whose last digits are the number.
        lenient: whether what is no number counts as missing, as in a column that was declared numeric.
    """

    decimal: Decimal = "."
    thousands: Thousands = ""
    unit: str = ""
    magnitudes: bool = False
    duration: bool = False
    digits: bool = False
    lenient: bool = False

    def __str__(self) -> str:
        if self.lenient:
            return f"{self.strict}, all else missing"
        if self.duration:
            return "durations, read in seconds"
        if self.digits:
            return "the last digits of a code"
        names = {"": "", ",": "comma", ".": "point", "'": "apostrophe", " ": "blank"}
        parts = [
            "decimal comma" if self.decimal == "," else "",
            f"{names[self.thousands]} between thousands" if self.thousands else "",
            f"unit {self.unit!r}" if self.unit else "",
            "K, M and B for thousands, millions and billions" if self.magnitudes else "",
        ]
        return "numbers: " + ", ".join(part for part in parts if part) if any(parts) else "numbers"

    @property
    def strict(self) -> Reading:
        """How numbers are read, whatever counts for what is none."""
        return replace(self, lenient=False) if self.lenient else self


PLAIN = Reading()
DECIMAL_COMMA = Reading(decimal=",")


class _Cell(NamedTuple):
    """The parts of a number: sign, digits with their separators, power of ten, unit, whether it is a bound, and a sign behind."""

    negative: bool
    core: str
    power: str
    before: str
    after: str
    bound: bool
    sign_behind: str


def _split(text: str) -> _Cell | None:
    """Return the parts of a cell that looks like a number, or None."""
    if len(text) > LONGEST:
        return None
    found = _CELL.fullmatch(_simplified(text))
    if found is None:
        return None
    bound, bracket, sign, before, inner, core, power, minus, more, after, close, mark = found.groups("")
    signs = bool(sign) + bool(inner) + bool(minus)
    if bool(bracket) != bool(close) or signs > (0 if bracket else 1):
        return None
    if power[:1] in ("d", "D"):  # Fortran's; "3d" and "12D7" are a unit and a code
        if "." not in core:
            return None
        power = f"e{power[1:]}"
    if core[-1] in ".," and after[:1].isalpha():  # "2. Middle Atlantic" is a label with its number
        return None
    negative = bool(bracket or minus or (sign + inner).strip("+"))
    if not core.isdigit():
        core = _ANY_SPACE.sub(" ", _ANY_APOSTROPHE.sub("'", core))
    if after[-1:] in _SIGNS and len(after) > 1 and not before:  # "2.5 Mio. €"
        before, after = after[-1], after[:-1].rstrip()
    return _Cell(negative, core, power, before.rstrip("."), after, bool(bound or more or mark), minus + more)


def _simplified(text: str) -> str:
    """Return a cell without the signs for no cents ("5,-"), powers of ten with an e, and brackets around the currency too.

    >>> [_simplified(text) for text in ("1'234.-", "3 x 10^5", "$ (1,234)", "(5) %")]
    ["1'234", '3e5', '($1,234)', '(5%)']
    """
    if "10^" in text:
        text = _POWER.sub(r"e\1", text, count=1)
    if any(sign in text for sign in "-–—"):
        text = _NO_CENTS.sub("", text, count=1)
    if "(" in text and (found := _BRACKETS.fullmatch(text)):
        text = f"({''.join(found.groups(''))})"
    return text


def _magnitude(after: str) -> float | None:
    """Return what a word such as "Mio." multiplies a number by, or None."""
    return _MAGNITUDES.get(after.lower().rstrip("."))


@cache
def _grammar(decimal: Decimal, thousands: Thousands) -> re.Pattern[str]:
    """Return what matches digits with these separators."""
    groups = rf"[0-9]{{1,3}}(?:{re.escape(thousands)}[0-9]{{3}})+"
    if thousands == ",":  # 12,34,567 as in India
        groups = f"(?:{groups}|[0-9]{{1,2}}(?:,[0-9]{{2}})+,[0-9]{{3}})"
    whole = f"(?:(?!0[0-9]*[^0-9]{{1}}[0-9]{{3}}){groups}|[0-9]+)" if thousands else "[0-9]+"
    point = re.escape(decimal)
    return re.compile(rf"(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)", re.ASCII)


def _value(cell: _Cell, reading: Reading) -> float | None:
    if not _grammar(reading.decimal, reading.thousands).fullmatch(cell.core):
        return None
    digits = cell.core.replace(reading.thousands, "") if reading.thousands else cell.core
    number = float(digits.replace(",", ".") + cell.power)
    if reading.magnitudes:
        number *= _magnitude(cell.after) or 1.0
    return -number if cell.negative else number


def _unit(cell: _Cell, magnitudes: bool) -> str | None:
    """Return the unit of a cell, or None where it has two."""
    after = "" if magnitudes and _magnitude(cell.after) is not None else cell.after
    if cell.before and after:
        return None
    return cell.before or after


def read_number(text: str, reading: Reading) -> float | None:
    """Return the number that a cell without blanks around it holds, or None if it is none in this reading.

    A number in another unit is converted where that is known (see `conversion`).

    >>> reading = Reading(decimal=",", thousands=".", unit="kg")
    >>> [read_number(cell, reading) for cell in ("1.299,99 kg", "-5", "500 g", "5 $", "n/a")]
    [1299.99, -5.0, 0.5, None, None]
    """
    if reading.duration:
        return duration_seconds(text)
    if reading.digits:
        return digits_of(text)
    cell = _split(text)
    if cell is None:
        return None
    unit = _unit(cell, reading.magnitudes)
    factor = 1.0 if unit == "" else None if unit is None else conversion(unit, reading.unit)
    value = None if factor is None else _value(cell, reading)
    return None if factor is None or value is None else value * factor


def reading_for(cells: Iterable[str | None], reading: Reading) -> Reading:
    """Return how cells are read where training had this reading: a point is before decimals if none of them has the decimal comma.

    So other files may have points, but not in a column with commas, where they may stand between thousands.

    >>> [read_number("1.5", reading_for(cells, DECIMAL_COMMA)) for cells in (["1.5", "2"], ["1.5", "2,5"])]
    [1.5, None]
    """
    if reading.strict != DECIMAL_COMMA or any(cell is not None and "," in cell for cell in cells):
        return reading
    return replace(reading, decimal=".")


def simple_pattern(reading: Reading) -> str | None:
    """Return a regular expression for the usual numbers in a reading, for libraries that know no look-around, or None.

    Each has the unit, if there is one, on the same side.
    """
    if reading.duration or reading.digits or reading.magnitudes:
        return None
    escape = partial(re.sub, r"([.^$*+?{}\[\]\\|()])", r"\\\1")
    sign, point, unit = escape(reading.thousands), escape(reading.decimal), escape(reading.unit)
    whole = f"(?:[1-9][0-9]{{0,2}}(?:{sign}[0-9]{{3}})+|[0-9]+)" if sign else "[0-9]+"
    number = f"{whole}(?:{point}[0-9]+)?"
    return f"^-?(?:{unit} ?{number}|{number} ?{unit})$" if unit else f"^-?{number}$"


def is_unit(unit: str) -> bool:
    """Return whether a text can be the unit of a `Reading`; one of a hostile file may not be just anything."""
    return len(unit) <= LONGEST and re.fullmatch(f"(?:{_BEFORE}|{_UNIT})?", unit) is not None


def is_currency(unit: str) -> bool:
    """Return whether a unit is money."""
    return re.fullmatch(_BEFORE, unit) is not None or (len(unit) == 1 and unit in _SIGNS)


def unit_of(text: str) -> str:
    """Return the unit of a number, or nothing."""
    cell = _split(text)
    return "" if cell is None else _unit(cell, magnitudes=False) or ""


def numbers_among(counts: Mapping[str, int]) -> dict[str, int]:
    """Return those texts, with their counts, that are numbers in some reading.

    >>> numbers_among({"5 kg": 2, "see note": 1})
    {'5 kg': 2}
    """
    return {text: count for text, count in counts.items() if _split(text) is not None}


def units_of(counts: Mapping[str, int]) -> Counter[str]:
    """Return how many cells have each unit, where more than half of them are numbers in several, one of them well known.

    >>> sorted(units_of({"5 kg": 2, "11 lb": 2}))
    ['kg', 'lb']
    """
    units: Counter[str] = Counter()
    for text, count in counts.items():
        if unit := unit_of(text):
            units[unit] += count
    several = 1 < len(units) <= MOST_UNITS and any(is_metric(unit) or is_currency(unit) for unit in units)
    return units if several and 2 * units.total() > sum(counts.values()) else Counter()


Form = TypeVar("Form")


class Meaning(NamedTuple, Generic[Form]):
    """How the cells of a column of text are numbers or dates: the form, the cells that are neither, and a remark."""

    form: Form
    words: tuple[str, ...]
    note: str


def find_reading(counts: Mapping[str, int], *, comma_first: bool = False) -> Meaning[Reading] | None:
    """Return in which way more than half of these cells are numbers, or None.

    Args:
        counts: how often each text occurs, without blanks around it; missing ones left out.
        comma_first: whether "1,234" is more likely to hold a decimal comma, as in files with semicolons.

    >>> find_reading({"1,000": 3, "$2.50": 9, "900 $": 1})[0]
    Reading(decimal='.', thousands=',', unit='$', magnitudes=False, duration=False, digits=False, lenient=False)
    """
    cells = {text: cell for text in counts if (cell := _split(text)) is not None}
    if {"+", "-"} <= {cell.sign_behind for cell in cells.values()}:  # marks such as 2+, 2 and 2-
        cells = {text: cell for text, cell in cells.items() if not cell.sign_behind}
    total = sum(counts.values())
    usual = sum(counts[text] for text, cell in cells.items() if not cell.bound)
    if 2 * usual <= total:
        return None
    magnitudes = _has_magnitudes(cells)
    units = {text: own for text, cell in cells.items() if (own := _unit(cell, magnitudes)) is not None}
    if not units:
        return None
    unit = _common_unit(units, counts)
    fits = {text: cells[text].core for text, own in units.items() if not own or conversion(own, unit) is not None}
    decimal, thousands, note = _separators(list(fits.values()), comma_first)
    reading = Reading(decimal=decimal, thousands=thousands, unit=unit, magnitudes=magnitudes)
    grammar = _grammar(decimal, thousands)
    numbers = {text: units[text] for text, core in fits.items() if grammar.fullmatch(core)}
    if 2 * sum(counts[text] for text in numbers) <= total:
        return None
    bare = sum(counts[text] for text, own in numbers.items() if not own) if unit else 0
    others: Counter[str] = Counter()
    for text, own in numbers.items():
        if own and not same_unit(own, unit):
            others[own] += counts[text]
    notes = [
        note,
        f"{counted(bare, 'cell')} without the unit count{'' if bare > 1 else 's'} as if it were there" if bare else "",
        f"{counted(others.total(), 'cell')} in {', '.join(map(repr, others))} {'are' if others.total() > 1 else 'is'} converted to {unit!r}"
        if others
        else "",
        bounds_note({text: counts[text] for text in numbers if cells[text].bound}),
    ]
    return Meaning(reading, tuple(text for text in counts if text not in numbers), "; ".join(text for text in notes if text))


def is_bound(text: str) -> bool:
    """Return whether a number has a sign such as that of a bound, an estimate or a footnote: "<5", "~5", "5+", "5*"."""
    cell = _split(text)
    return cell is not None and cell.bound


def bounds_note(counts: Mapping[str, int]) -> str:
    """Return what to tell of texts that are bounds, with how often each occurs; nothing where there are none.

    >>> bounds_note({"<5": 2, "<1": 1})
    "3 bounds such as '<5' are read as the number"
    """
    count = sum(counts.values())
    such = f"such as {next(iter(counts))!r} {'are' if count > 1 else 'is'} read as the number" if counts else ""
    return f"{counted(count, 'bound')} {such}" if counts else ""


def find_duration(counts: Mapping[str, int]) -> Meaning[Reading] | None:
    """Return how more than half of these cells are durations, or None."""
    words = tuple(text for text in counts if duration_seconds(text) is None)
    if 2 * sum(counts[text] for text in words) >= sum(counts.values()):
        return None
    return Meaning(Reading(duration=True), words, "")


def _has_magnitudes(cells: Mapping[str, _Cell]) -> bool:
    """Return whether several of K, M, B occur, or one of them beside a currency."""
    powers = {size for cell in cells.values() if (size := _magnitude(cell.after)) is not None}
    currency = any(cell.before for cell in cells.values())
    return len(powers) > 1 or (bool(powers) and currency)


def _common_unit(units: Mapping[str, str], counts: Mapping[str, int]) -> str:
    """Return the unit that most cells have, "" where most have none. units: of each text."""
    spelled: Counter[str] = Counter()
    shared: Counter[str] = Counter()
    for text, unit in units.items():
        spelled[unit] += counts[text]
        shared[folded(unit)] += counts[text]
    bare = shared.pop("", 0)
    best, most = shared.most_common(1)[0] if shared else ("", 0)
    if most < bare:
        return ""
    return max((unit for unit in spelled if unit and folded(unit) == best), key=lambda unit: spelled[unit])


def _separators(cores: Sequence[str], comma_first: bool) -> tuple[Decimal, Thousands, str]:
    """Return the decimal sign and that between thousands with which most cores are numbers, and a note where both could be."""
    signs = {sign for core in cores for sign in core if not sign.isdigit()}
    choices = [
        (decimal, thousands)
        for decimal in DECIMALS
        for thousands in THOUSANDS
        if decimal != thousands
        and (not thousands or thousands in signs)
        and (decimal in signs or decimal == "." or thousands == ".")
    ]
    fitting = {choice: sum(1 for core in cores if _grammar(*choice).fullmatch(core)) for choice in choices}
    best = max(fitting.values())
    fits = [choice for choice in choices if fitting[choice] == best]
    if len(fits) == 1 or not signs:
        return *fits[0], ""
    example = next((core for core in cores if re.fullmatch(r"[1-9][0-9]{0,2}[.,][0-9]{3}", core)), "")
    if (",", "") in fits and (".", ",") in fits:  # 1,234
        chosen: tuple[Decimal, Thousands] = (",", "") if comma_first else (".", ",")
    elif (".", "") in fits and (",", ".") in fits:  # 1.234
        chosen = (",", ".") if _groups_of_thousands(cores) else (".", "")
    else:
        return *fits[0], ""
    if not example:
        return *chosen, ""
    meaning = example.replace(",", ".") if not chosen[1] else re.sub("[.,]", "", example)
    return *chosen, f"{example!r} is read as {meaning}, though the other reading is possible"


def _groups_of_thousands(cores: Iterable[str]) -> bool:
    """Return whether points, each before three digits, are more likely between thousands than before decimals.

    So it is where numbers without a point are below 1000, and some with one end in a zero: decimals would have lost it.
    """
    whole = [core for core in cores if core.isdigit()]
    return bool(whole) and all(len(core) <= 3 for core in whole) and any("." in core and core.endswith("0") for core in cores)
