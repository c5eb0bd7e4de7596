"""What the columns of a table are: numbers, names, dates, identifiers; each said where it had to be assumed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from reglab.data.decimals import FEW_NUMBERS, decimal_marks, numerals_of
from reglab.data.identifiers import MOST_CATEGORIES, counts_rows, days, identifier, is_date
from reglab.data.listing import listed
from reglab.data.numerals import POINT, Numerals, is_missing, one_unit
from reglab.data.raw import Raw, flag
from reglab.errors import ReglabError
from reglab.lazy import pandas

__all__ = ["Column", "settled"]

_SHOWN = 4  # values that are named
_NINES = re.compile(r"-?99+(\.9+)?")


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


def settled(
    columns: Sequence[Raw], *, where: str, decimal: str | None, categorical: Sequence[str], kept: Sequence[str],
    said: list[str],
) -> list[Column]:  # fmt: skip
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
    numerals, others = numerals_of(own, decimal)
    marks = decimal_marks(where, numerals, others, decimal, said)
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
        return Column(column.name, names=_texts(column), absent=_absent(column, typed.isna().to_numpy()))
    if pandas.api.types.is_numeric_dtype(typed):
        numbers = typed.to_numpy(dtype="float64", na_value=np.nan)
        return Column(column.name, numbers=numbers, absent=_absent(column, np.isnan(numbers)))
    held = typed.dropna().iloc[0]
    if isinstance(held, list | dict | tuple | set | np.ndarray | bytes):
        raise ReglabError(
            f"{where}: column {column.name!r} holds a {type(held).__name__} in each row, and a feature is one number "
            f"or text. Leave it out ({flag('--drop-columns', column.name)}), or give each of its values a column."
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
            f"{where}: numbers of column {column.name!r} have {names} beside them, so they are not of one unit. Give "
            f"all in one, or leave the column out ({flag('--drop-columns', column.name)})."
        )
    if units:
        said.append(f"{column.name!r} is a number; {next(iter(units))!r} beside it was taken off")
    return Column(column.name, numbers=numbers, absent=_absent(column, np.isnan(numbers)))


def _mixed(column: Raw, numerals: Numerals, where: str) -> Column:
    texts = column.written()
    numeric = np.array([text in numerals.written for text in texts])
    odd = set(numerals.odd)
    others = np.array([text in odd for text in texts])
    if len(numerals.written) > FEW_NUMBERS and numeric.sum() >= others.sum():
        raise ReglabError(
            f"{where}: column {column.name!r} has {numeric.sum()} numbers and {others.sum()} other texts: "
            f"{_counted(texts[others])}. Make them numbers or empty, leave the column out "
            f"({flag('--drop-columns', column.name)}), or say that all its values are names "
            f"({flag('--categorical', column.name)})."
        )
    return Column(column.name, names=_texts(column), absent=_absent(column, column.typed.isna().to_numpy()))


def _used(column: Raw, found: Column, kept: bool, where: str, said: list[str]) -> Column | None:
    """Return a column as a feature; None for dates and identifiers, unless they are kept."""
    name = column.name
    if found.names is not None and is_date(column, found.names):
        if not kept:
            said.append(f"{name!r} was left out: it is a date ({flag('--keep-columns', name)} takes it in, in days)")
            return None
        return Column(name, numbers=days(column, where), absent=found.absent)
    if found.names is not None and (measured := _measured(found)) is not None:
        unit, numbers = measured
        said.append(f"{name!r} is a number; {unit!r} beside it was taken off")
        return Column(name, numbers=numbers, absent=found.absent)
    if not kept and (reason := identifier(name, found.numbers, found.names)):
        said.append(f"{name!r} was left out: {reason} ({flag('--keep-columns', name)} takes it in)")
        return None
    if found.numbers is not None:
        if not kept and counts_rows(found.numbers):
            said.append(f"{name!r} counts the rows, and is a feature ({flag('--drop-columns', name)} leaves it out)")
        for value, count in _stand_ins(found.numbers):
            said.append(
                f"{name!r} is {value:g} in {count} rows, far from all other values; if that stands for a missing one, "
                "leave it empty in the file (--missing)"
            )
        return found
    assert found.names is not None
    different = {text for text in found.names if text is not None}
    if len(different) > MOST_CATEGORIES:
        raise ReglabError(
            f"{where}: column {name!r} has {len(different)} different texts, too many for a feature (at most "
            f"{MOST_CATEGORIES}): {listed([repr(text) for text in sorted(different)], _SHOWN)}. Leave it out "
            f"({flag('--drop-columns', name)}), group its values, or make each a feature "
            f"({flag('--categorical', name)})."
        )
    return found


def _stand_ins(numbers: np.ndarray) -> list[tuple[float, int]]:
    """Return values of nines, such as -999, further from all others than these are from one another, and their counts.

    >>> _stand_ins(np.array([1.0, 2.5, -999, 3, -999]))
    [(-999.0, 2)]
    >>> _stand_ins(np.array([900.0, 999, 999, 1001]))
    []
    """
    values, counts = np.unique(numbers[~np.isnan(numbers)], return_counts=True)
    found = []
    for end in (0, -1):
        others = np.delete(values, end)
        nines = counts[end] > 1 and len(others) and _NINES.fullmatch(f"{values[end]:.15g}")
        if nines and np.abs(others - values[end]).min() > np.ptp(others):
            found.append((float(values[end]), int(counts[end])))
    return found


def _measured(column: Column) -> tuple[str, np.ndarray] | None:
    """Return unit and numbers of a column such as ``12.5 kg`` that has too many texts for a feature each."""
    assert column.names is not None
    different = {text for text in column.names if text is not None}
    if len(different) <= MOST_CATEGORIES and len(different) < len(column.names):
        return None
    found = one_unit(different)
    if found is None:
        return None
    unit, values = found
    return unit, np.array([values.get(text, np.nan) for text in column.names])


def _levels(column: Column) -> str:
    assert column.names is not None
    different = {text for text in column.names if text is not None}
    signs = [repr(text) for text in sorted(different) if is_missing(text)]
    among = f", {' and '.join(signs)} among them" if signs else ""
    return f"{column.name!r} ({len(different)}{among})"


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
