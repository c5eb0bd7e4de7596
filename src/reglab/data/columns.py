"""What the columns of a table are: numbers, names, dates, identifiers; each said where it had to be assumed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reglab.data.numerals import COMMA, POINT, Numerals, is_missing, notations, read_numerals
from reglab.data.table_options import joined
from reglab.errors import ReglabError

__all__ = ["Column", "Raw", "flag", "identifier", "is_date", "listed", "settled"]

MOST_CATEGORIES = 50  # distinct texts in a column; more are names or identifiers, not a feature
_FEW_NUMBERS = 10  # distinct numbers among other texts, up to which they are names too ("2", "3", "5 or more")
_NEARLY_ALL = 0.9  # share of distinct values from which on a column called id is one
_SHOWN = 4  # values that are named


@dataclass(eq=False)
class Raw:
    """A column as it was read.

    Attributes:
        name: its name.
        typed: a pandas series in which types were found.
        texts: returns the values as they are written, of a text file; None of a file that has types.
    """

    name: str
    typed: Any
    texts: Callable[[], np.ndarray] | None = None

    def __post_init__(self) -> None:
        self._texts: np.ndarray | None = None

    def written(self) -> np.ndarray:
        """Return the values as text, without spaces around; a missing one is an empty text."""
        if self._texts is None:
            if self.texts is not None:
                self._texts = self.texts()
            else:
                missing = self.typed.isna().to_numpy()
                held = self.typed.astype(object).to_numpy()
                self._texts = np.array(
                    ["" if gone else str(value).strip() for value, gone in zip(held, missing, strict=True)],
                    dtype=object,
                )
        return self._texts


@dataclass(eq=False)
class Column:
    """A column that is a feature.

    Attributes:
        name: its name.
        numbers: float64 values, NaN where one is missing; or None.
        names: texts, None where one is missing; or None.
        absent: what stands where values are missing, and how often.
        levels: all names there can be, where the file says so.
    """

    name: str
    numbers: np.ndarray | None = None
    names: np.ndarray | None = None
    absent: tuple[tuple[str, int], ...] = ()
    levels: tuple[str, ...] = ()

    @property
    def missing(self) -> np.ndarray:
        """Where there is no value."""
        if self.numbers is not None:
            return np.isnan(self.numbers)
        assert self.names is not None
        return np.array([value is None for value in self.names])

    def only(self, rows: np.ndarray) -> Column:
        """Return the column of some of the rows."""
        return replace(
            self, numbers=None if self.numbers is None else self.numbers[rows],
            names=None if self.names is None else self.names[rows],
        )  # fmt: skip


# --- kinds of columns ------------------------------------------------------------------------------------------------


def settled(columns: Sequence[Raw], *, where: str, decimal: str | None, categorical: Sequence[str], kept: Sequence[str],
            said: list[str]) -> list[Column]:  # fmt: skip
    """Return what the columns are, in their order; those that are left out are said.

    Args:
        columns: as they were read.
        where: the file.
        decimal: the mark that numbers are written with; by default what each column shows, and a point.
        categorical: columns whose values are names as they stand.
        kept: columns that are used although they look as identifiers or dates.
        said: gets what was assumed.

    Raises:
        ReglabError: for a column that is nothing that can be learned from, or can be read in two ways.
    """
    own = [column for column in columns if column.name not in categorical]
    numerals, others = _numerals(own, decimal)
    marks = _marks(where, numerals, others, decimal, said)
    found: list[Column] = []
    for column in columns:
        if column.name in categorical:
            found.append(Column(column.name, names=column.written()))
            continue
        made = _settled(column, numerals.get(column.name), marks.get(column.name, POINT), where, said)
        if made is not None:
            made = _used(column, made, column.name in kept, where, said)
        if made is not None:
            found.append(made)
    named = [column for column in found if column.names is not None]
    if named:
        said.append(f"texts are features of 0 and 1, one per text: {listed([_levels(column) for column in named])}")
    return found


def _settled(column: Raw, numerals: Numerals | None, mark: str, where: str, said: list[str]) -> Column | None:
    """Return a column as numbers or names, or None if it has no values."""
    import pandas

    typed = column.typed
    if typed.isna().all():
        said.append(f"{column.name!r} was left out: it has no values")
        return None
    if numerals is not None:
        return _of_numerals(column, numerals, mark, where, said)
    if pandas.api.types.is_timedelta64_dtype(typed):
        said.append(f"{column.name!r} is a duration, taken in seconds")
        typed = typed.dt.total_seconds()
    if pandas.api.types.is_datetime64_any_dtype(typed):
        return Column(column.name, names=_texts(column))
    if pandas.api.types.is_numeric_dtype(typed):
        numbers = typed.to_numpy(dtype="float64", na_value=np.nan)
        return Column(column.name, numbers=numbers, absent=_absent(column, np.isnan(numbers)))
    held = typed.dropna().iloc[0]
    if isinstance(held, list | dict | tuple | set | np.ndarray | bytes):
        raise ReglabError(
            f"{where}: column {column.name!r} holds a {type(held).__name__} in each row, and a feature is one number or "
            f"text. Leave it out ({flag('--drop-columns', column.name)}), or give each of its values a column."
        )
    levels = tuple(str(level) for level in typed.cat.categories) if hasattr(typed, "cat") else ()
    return Column(column.name, names=_texts(column), absent=_absent(column, typed.isna().to_numpy()), levels=levels)


def _of_numerals(column: Raw, numerals: Numerals, mark: str, where: str, said: list[str]) -> Column:
    """Return a column of texts that are numbers, or most of which are."""
    if numerals.odd:
        return _mixed(column, numerals, where)
    texts = column.written()
    values = numerals.values(mark)
    numbers = np.array([values.get(text, np.nan) for text in texts])
    units = {unit: count for unit, count in numerals.units.items() if unit}
    if len(units) > 1 or ("%" in units and "" in numerals.units):
        names = listed([repr(unit) if unit else "nothing" for unit in numerals.units])
        raise ReglabError(
            f"{where}: numbers of column {column.name!r} have {names} beside them, so they are not of one unit. Give all "
            f"in one, or leave the column out ({flag('--drop-columns', column.name)})."
        )
    if units:
        said.append(f"{column.name!r} is a number; {next(iter(units))!r} beside it was taken off")
    return Column(column.name, numbers=numbers, absent=_absent(column, np.isnan(numbers)))


def _mixed(column: Raw, numerals: Numerals, where: str) -> Column:
    texts = column.written()
    numeric = np.array([text in numerals.written for text in texts])
    odd = set(numerals.odd)
    others = np.array([text in odd for text in texts])
    if len(numerals.written) > _FEW_NUMBERS and numeric.sum() >= others.sum():
        raise ReglabError(
            f"{where}: column {column.name!r} has {numeric.sum()} numbers and {others.sum()} other texts: "
            f"{_counted(texts[others])}. Make them numbers or empty, leave the column out ("
            f"{flag('--drop-columns', column.name)}), or say that all its values are names ({flag('--categorical', column.name)})."
        )
    return Column(column.name, names=_texts(column), absent=_absent(column, column.typed.isna().to_numpy()))


def _used(column: Raw, found: Column, kept: bool, where: str, said: list[str]) -> Column | None:
    """Return a column as a feature; None for dates and identifiers, unless they are kept."""
    name = column.name
    if found.names is not None and is_date(column, found.names):
        if not kept:
            said.append(f"{name!r} was left out: it is a date ({flag('--keep-columns', name)} takes it in, in days)")
            return None
        return Column(name, numbers=_days(column, where), absent=found.absent)
    if not kept and (reason := identifier(name, found)):
        said.append(f"{name!r} was left out: {reason} ({flag('--keep-columns', name)} takes it in)")
        return None
    if found.numbers is not None:
        if not kept and _counts_rows(found.numbers):
            said.append(f"{name!r} counts the rows, and is a feature ({flag('--drop-columns', name)} leaves it out)")
        return found
    assert found.names is not None
    different = {text for text in found.names if text is not None}
    if len(different) > MOST_CATEGORIES:
        raise ReglabError(
            f"{where}: column {name!r} has {len(different)} different texts, too many for a feature (at most "
            f"{MOST_CATEGORIES}): {listed([repr(text) for text in sorted(different)], _SHOWN)}. Leave it out "
            f"({flag('--drop-columns', name)}), group its values, or make each a feature ({flag('--categorical', name)})."
        )
    return found


def _levels(column: Column) -> str:
    assert column.names is not None
    different = {text for text in column.names if text is not None}
    signs = [repr(text) for text in sorted(different) if is_missing(text)]
    among = f", {' and '.join(signs)} among them" if signs else ""
    return f"{column.name!r} ({len(different)}{among})"


# --- numbers ---------------------------------------------------------------------------------------------------------


def _numerals(columns: Sequence[Raw], decimal: str | None) -> tuple[dict[str, Numerals], set[str]]:
    """Return what columns of texts are as numbers, where they are numbers at all, and the marks that others show.

    Where decimals are written with a comma, pandas' numbers are such texts too: its 1.234 may be a thousand.
    """
    import pandas

    found: dict[str, Numerals] = {}
    others: set[str] = set()
    for column in columns:
        typed = column.typed
        text = pandas.api.types.is_object_dtype(typed) or pandas.api.types.is_string_dtype(typed)
        if not text or typed.isna().all() or not _may_be_number(column):
            continue
        numerals = read_numerals(dict.fromkeys(column.written()))
        # A file that has types says that these are texts; few of them are names then.
        if numerals.written and (column.texts is not None or len(numerals.written) > _FEW_NUMBERS):
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
    import decimal

    return column.texts is not None or isinstance(column.typed.dropna().iloc[0], str | decimal.Decimal)


def _marks(
    where: str, numerals: dict[str, Numerals], others: set[str], decimal: str | None, said: list[str]
) -> dict[str, str]:
    """Return the decimal mark of each column of texts that are numbers; ``others`` are those that further columns show."""
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


# --- identifiers and dates -------------------------------------------------------------------------------------------

_UNNAMED = re.compile(r"(Unnamed: \d+(_level_\d+)?(\.\d+)?|__index_level_\d+__|)")
_CALLED_ID = re.compile(
    r"((?i:id|ids|idx|index|uuid|guid|key|no|nr|num|row|rowid|(row|record|line|serial|sample)[ _.-]?(id|no|nr|num|number|"
    r"names?|index)|.+[ _.-](id|idx|uuid|guid|index)|id[ _.-].+)|.*[a-z]I[dD])"
)


def identifier(name: str, column: Column) -> str:
    """Return why a column says which row it is and not how it is; an empty text if it does not."""
    if column.numbers is not None:
        values: np.ndarray = column.numbers[~np.isnan(column.numbers)]
        if not len(values) or not (np.isfinite(values) & (values == np.round(values))).all():
            return ""
        distinct = len(np.unique(values))
    else:
        assert column.names is not None
        values = np.array([text for text in column.names if text is not None], dtype=object)
        distinct = len(set(values))
        if distinct == len(values) > 2:
            return "each row has another text"
        if distinct > MOST_CATEGORIES and distinct >= _NEARLY_ALL * len(values):
            return f"{distinct} of {len(values)} rows have a text of their own"
    if distinct < 3:
        return ""
    if _UNNAMED.fullmatch(name) and distinct == len(values):
        return "it has no name, and each row has another value"
    if _CALLED_ID.fullmatch(name) and distinct >= _NEARLY_ALL * len(values):
        return "by its name and values it says which row it is"
    return ""


def _counts_rows(numbers: np.ndarray) -> bool:
    """Whether a column goes up by one from row to row."""
    return len(numbers) > 2 and bool((np.diff(numbers) == 1).all())


_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_TIME = r"(?:[T ,]+\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[AaPp][Mm])?(?: ?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}))?)?"
_DATE = re.compile(
    rf"(?:\d{{4}}[-/.]\d{{1,2}}(?:[-/.]\d{{1,2}})?|\d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{2,4}}|\d{{1,2}}[-/ .]*"
    rf"(?i:{_MONTHS})[a-z]*[-/ .,]*\d{{2,4}}|(?i:{_MONTHS})[a-z]*[-/ .]*\d{{1,2}},? +\d{{4}}|(?i:{_MONTHS})[a-z]*[-/ .]*"
    rf"\d{{4}}|(?i:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? .*\d{{4}}){_TIME}|\d{{1,2}}:\d{{2}}(?::\d{{2}}(?:\.\d+)?)?"
)


def is_date(column: Raw, names: np.ndarray) -> bool:
    """Whether all values of a column are dates or times of a day."""
    import datetime

    import pandas

    if pandas.api.types.is_datetime64_any_dtype(column.typed):
        return True
    held = column.typed.dropna().iloc[0]
    if isinstance(held, datetime.date | datetime.time | pandas.Period):
        return True
    different = {text for text in names if text is not None}
    return bool(different) and all(_DATE.fullmatch(text) for text in different)


def _days(column: Raw, where: str) -> np.ndarray:
    """Return a column of dates as days since 1970."""
    import pandas

    held = column.typed
    try:
        if column.texts is not None:
            held = pandas.Series([None if gone else t for t, gone in zip(column.written(), held.isna(), strict=True)])
            if any(text is not None and not re.match(r"\d{4}-", text) for text in held):
                raise ValueError("day and month could change places, or there is no day")
        dates = pandas.to_datetime(held, utc=True, format="ISO8601" if column.texts is not None else None)
    except (ValueError, TypeError) as error:
        raise ReglabError(
            f"{where}: the dates of column {column.name!r} cannot be read: {error}. Write them as 2026-01-31, or leave "
            f"the column out ({flag('--drop-columns', column.name)})."
        ) from None
    return ((dates - pandas.Timestamp(0, tz="UTC")) / pandas.Timedelta(days=1)).to_numpy(dtype="float64")


# --- texts -----------------------------------------------------------------------------------------------------------


def _texts(column: Raw) -> np.ndarray:
    missing = column.typed.isna().to_numpy()
    return np.array([None if gone else t for t, gone in zip(column.written(), missing, strict=True)], dtype=object)


def _absent(column: Raw, missing: np.ndarray) -> tuple[tuple[str, int], ...]:
    if not missing.any():
        return ()
    texts, counts = np.unique([str(text) for text in column.written()[missing]], return_counts=True)
    return tuple((str(texts[i]), int(counts[i])) for i in np.argsort(-counts))


def _counted(texts: np.ndarray) -> str:
    different, counts = np.unique(texts.astype(str), return_counts=True)
    order = np.argsort(-counts)[:_SHOWN]
    more = len(different) - len(order)
    return ", ".join(f"{str(different[i])!r} ({counts[i]})" for i in order) + (f" and {more} more" if more else "")


def flag(option: str, *names: str) -> str:
    r"""Return an option of the command line with names of columns, as a shell takes it.

    >>> flag("--drop-columns", "id", "width, mm")
    '--drop-columns \'id,"width, mm"\''
    """
    return f"{option} {shlex.quote(joined(names))}"


def listed(names: Sequence[str], most: int = 20) -> str:
    """Return names as text, the first ``most`` of them."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
