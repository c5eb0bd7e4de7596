"""Numbers as people write them: decimal commas, thousands, currencies, per cent, and signs that nothing was measured.

Pure: texts in, numbers out. Which of two notations a text is in is never decided from one that fits both.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["COMMA", "MISSING", "POINT", "Numerals", "is_missing", "notations", "one_unit", "read_numerals"]

POINT, COMMA = ".", ","

# What stands where a number was not measured; pandas' own list, signs, and what spreadsheets and people write.
MISSING = frozenset({
    "", "?", "-", "--", "---", "\u2013", "\u2014", ".", "..", "...", "*", "na", "n/a", "n.a.", "n.a", "n. a.", "n/d",
    "nd", "n.d.", "nan", "-nan", "null", "(null)", "none", "nil", "missing", "unknown", "not available", "k.a.",
    "k. a.", "#n/a", "#n/a n/a", "#na", "<na>", "#value!", "#div/0!", "#ref!", "#null!", "#num!", "#name?", "1.#ind",
    "-1.#ind", "1.#qnan", "-1.#qnan",
})  # fmt: skip

_EXPONENT = r"(?:[eE][+-]?\d+)?"
_SPACED = r"[1-9]\d{0,2}(?:[ '\u2019]\d{3})+"
_NOTATIONS = {
    mark: re.compile(rf"(?:(?:\d+|{_SPACED}|[1-9]\d{{0,2}}(?:{re.escape(other)}\d{{3}})+)(?:{re.escape(mark)}\d*)?"
                     rf"|{re.escape(mark)}\d+){_EXPONENT}")
    for mark, other in ((POINT, COMMA), (COMMA, POINT))
}  # fmt: skip
_CURRENCY = (
    r"(?:[$\u20ac\u00a3\u00a5\u20b9\u20bd\u20a9\u20ba\u20aa\u0e3f\u20ab\u20b4]|US\$|R\$|Fr\.|kr|z\u0142|K\u010d"
    r"|(?:USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|SEK|NOK|DKK|PLN|CZK|BRL|RUB|MXN|ZAR|KRW|TRY)\b)"
)
_WRITTEN = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[+-])?\s*(?P<before>{_CURRENCY})?\s*(?P<after_unit>[+-])?\s*"
    rf"(?P<number>[\d.,][\d.,' \u2019]*{_EXPONENT})\s*(?P<after>%|{_CURRENCY})?\s*(?P<close>\))?"
)
_WITH_UNIT = re.compile(r"(?P<number>[+-]?[\d.,' ]*\d) *(?P<unit>[^\W\d_]\S{0,9})")
_SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2212": "-"})


@dataclass(frozen=True)
class Written:
    """One number as it was written: its sign, its digits with separators, and the unit beside it."""

    sign: str
    digits: str
    unit: str


@dataclass(frozen=True)
class Numerals:
    """What the different texts of a column are.

    Attributes:
        written: each text that is a number in some notation.
        missing: texts that stand for a missing value.
        odd: the others.
    """

    written: Mapping[str, Written]
    missing: frozenset[str]
    odd: tuple[str, ...]

    @property
    def units(self) -> Counter[str]:
        """How many different texts have which unit; the empty one counts."""
        return Counter(each.unit for each in self.written.values())

    def fits(self, mark: str) -> bool:
        """Whether all numbers can be read with this decimal mark."""
        return all(_NOTATIONS[mark].fullmatch(each.digits) for each in self.written.values())

    def values(self, mark: str) -> dict[str, float]:
        """Return the number of each text, written with this decimal mark."""
        return {text: _number(each, mark) for text, each in self.written.items()}

    def example(self, mark: str) -> str:
        """Return a text that can be read with this decimal mark and not with the other one; empty if there is none."""
        other = COMMA if mark == POINT else POINT
        for text, each in self.written.items():
            if _NOTATIONS[mark].fullmatch(each.digits) and not _NOTATIONS[other].fullmatch(each.digits):
                return text
        return ""


def is_missing(text: str) -> bool:
    """Whether a text stands for a value that is not there.

    >>> [is_missing(text) for text in ("?", " n.a. ", "0", "red")]
    [True, True, False, False]
    """
    return text.strip().casefold() in MISSING


def read_numerals(texts: Iterable[str]) -> Numerals:
    """Sort the different texts of a column.

    >>> found = read_numerals(["1.234,5 €", "?", "7 €"])
    >>> found.values(","), found.missing, found.odd
    ({'1.234,5 €': 1234.5, '7 €': 7.0}, frozenset({'?'}), ())
    """
    written: dict[str, Written] = {}
    missing, odd = [], []
    for text in texts:
        if is_missing(text):
            missing.append(text)
            continue
        found = _read(text)
        if found is None:
            odd.append(text)
        else:
            written[text] = found
    return Numerals(written, frozenset(missing), tuple(odd))


def notations(found: Numerals) -> str:
    """Return the decimal mark that the texts of a column show: one of them, both, or an empty text if they do not.

    Both means that some can only be read with one and some only with the other.

    >>> [notations(read_numerals(texts)) for texts in (["1,5", "2"], ["0.5"], ["1,5", "1.5"], ["1,234"], ["1"])]
    [',', '.', ',.', '', '']
    """
    return "".join(mark for mark in (COMMA, POINT) if found.example(mark))


def one_unit(texts: Iterable[str]) -> tuple[str, dict[str, float]] | None:
    """Return the unit that stands behind every number, and the numbers; None if these are not such texts.

    >>> one_unit(["12.5 kg", "7 kg"]), one_unit(["1a", "2b"])
    (('kg', {'12.5 kg': 12.5, '7 kg': 7.0}), None)
    """
    numbers: dict[str, str] = {}
    units = set()
    for text in texts:
        found = _WITH_UNIT.fullmatch(text)
        if found is None:
            return None
        numbers[text] = found["number"]
        units.add(found["unit"])
    read = read_numerals(numbers.values())
    plain = read.fits(POINT) and not any(COMMA in number for number in numbers.values())
    mark = notations(read) or (POINT if plain else "")
    if len(units) != 1 or read.odd or read.missing or mark not in (COMMA, POINT):
        return None
    values = read.values(mark)
    return units.pop(), {text: values[number] for text, number in numbers.items()}


def _read(text: str) -> Written | None:
    found = _WRITTEN.fullmatch(text.translate(_SPACES).strip())
    if found is None or (found["open"] is None) != (found["close"] is None):
        return None
    signs = [sign for sign in (found["sign"], found["after_unit"]) if sign]
    unit = found["before"] or found["after"] or ""
    both = found["before"] and found["after"]
    bracketed = found["open"] is not None  # as accountants write a negative amount
    if len(signs) > 1 or both or (bracketed and (signs or not unit)):
        return None
    digits = found["number"].strip()
    if not any(notation.fullmatch(digits) for notation in _NOTATIONS.values()):
        return None
    return Written("-" if bracketed or signs == ["-"] else "", digits, unit)


def _number(written: Written, mark: str) -> float:
    kept = re.sub(r"[ '\u2019]", "", written.digits).replace(COMMA if mark == POINT else POINT, "")
    return float(written.sign + kept.replace(mark, "."))
