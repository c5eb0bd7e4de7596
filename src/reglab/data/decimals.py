"""Which decimal mark the numbers of each column are written with: what the column shows, then what others show."""

from __future__ import annotations

import decimal
from collections.abc import Sequence

from reglab.data.listing import listed
from reglab.data.numerals import COMMA, POINT, Numerals, notations, read_numerals
from reglab.data.raw import Raw, flag
from reglab.errors import ReglabError
from reglab.lazy import pandas

__all__ = ["FEW_NUMBERS", "decimal_marks", "numerals_of"]

FEW_NUMBERS = 10  # distinct numbers among other texts, up to which they are names too ("2", "3", "5 or more")


def numerals_of(columns: Sequence[Raw], decimal: str | None) -> tuple[dict[str, Numerals], set[str]]:
    """Return what columns of texts are as numbers, where they are numbers at all, and the marks that others show.

    Where decimals are written with a comma, pandas' numbers are such texts too: its 1.234 may be a thousand.
    """
    found: dict[str, Numerals] = {}
    others: set[str] = set()
    for column in columns:
        typed = column.typed
        text = pandas.api.types.is_object_dtype(typed) or pandas.api.types.is_string_dtype(typed)
        if not text or typed.isna().all() or not _may_be_number(column):
            continue
        numerals = read_numerals(dict.fromkeys(column.written()))
        # A file that has types says that these are texts; few of them are names then.
        if numerals.written and (column.texts is not None or len(numerals.written) > FEW_NUMBERS):
            found[column.name] = numerals
    open_questions = (not each.odd and notations(each) != POINT and _marked(each) for each in found.values())
    if decimal == COMMA or any(open_questions):
        for column in columns:
            if column.texts is not None and pandas.api.types.is_float_dtype(column.typed):
                numerals = read_numerals(dict.fromkeys(column.written()))
                if notations(numerals) == POINT and decimal != COMMA:
                    others.add(POINT)
                elif numerals.written:
                    found[column.name] = numerals
    return found, others


def _may_be_number(column: Raw) -> bool:
    return column.texts is not None or isinstance(column.typed.dropna().iloc[0], str | decimal.Decimal)


def decimal_marks(
    where: str, numerals: dict[str, Numerals], others: set[str], decimal: str | None, said: list[str]
) -> dict[str, str]:
    """Return the decimal mark of each column of texts that are numbers; ``others`` show in further columns."""
    numeric = {name: found for name, found in numerals.items() if not found.odd}
    shown = {name: notations(found) for name, found in numeric.items()}
    others = others | {mark for mark in shown.values() if mark}
    marks: dict[str, str] = {}
    for name, found in numeric.items():
        if len(shown[name]) > 1 or (decimal is not None and not found.fits(decimal)):
            wrong = [text for mark in (COMMA, POINT) if mark != decimal and (text := found.example(mark))]
            raise ReglabError(
                f"{where}: column {name!r} has numbers such as {' and '.join(map(repr, wrong))}, which "
                + ("are written in two ways" if decimal is None else f"have no decimal {_called(decimal)}")
                + f". Write them in one way, or leave the column out ({flag('--drop-columns', name)})."
            )
        marks[name] = decimal or shown[name] or _by_others(where, name, found, others)
    by_others = {name: _marked(numeric[name]) for name in marks if decimal is None and not shown[name]}
    commas = {name: text for name, mark in marks.items() if mark == COMMA and (text := _marked(numeric[name]))}
    if commas and decimal is None:
        name = next(iter(commas))
        said.append(
            f"numbers of {listed([repr(each) for each in commas])} have decimal commas, as in {commas[name]!r} "
            "(--decimal says otherwise)"
        )
    grouped = {name: text for name, text in by_others.items() if text and marks[name] == POINT}
    if grouped:
        name = next(iter(grouped))
        said.append(
            f"numbers of {listed([repr(each) for each in grouped])} have thousands, as in {grouped[name]!r} (--decimal "
            "says otherwise)"
        )
    return marks


def _marked(found: Numerals) -> str:
    """Return a text with a comma or a point in it, one that shows which is which if there is one."""
    return found.example(COMMA) or next((t for t, w in found.written.items() if {COMMA, POINT} & set(w.digits)), "")


def _by_others(where: str, name: str, found: Numerals, others: set[str]) -> str:
    """Return the decimal mark of a column that fits both, as do ``1,234`` and ``5``, by what other columns have."""
    ambiguous = _marked(found)
    if not ambiguous or (COMMA not in ambiguous and POINT in others):
        return POINT
    if len(others) == 1:
        return next(iter(others))
    raise ReglabError(
        f"{where}: {ambiguous!r} in column {name!r} can be a number with decimals or with thousands. Say which mark "
        f"numbers have before their decimals (--decimal), or leave the column out ({flag('--drop-columns', name)})."
    )


def _called(mark: str) -> str:
    return "comma" if mark == COMMA else "point"
