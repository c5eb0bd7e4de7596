"""Columns that say which row it is, or when, and not how it is: identifiers, counts of rows, dates."""

from __future__ import annotations

import datetime
import re

import numpy as np

from reglab.data.raw import Raw, flag
from reglab.errors import ReglabError
from reglab.lazy import pandas

__all__ = ["MOST_CATEGORIES", "counts_rows", "days", "identifier", "is_date"]

MOST_CATEGORIES = 50  # distinct texts in a column; more are names or identifiers, not a feature
_NEARLY_ALL = 0.9  # share of distinct values from which on a column called id is one

_UNNAMED = re.compile(r"(Unnamed: \d+(_level_\d+)?(\.\d+)?|__index_level_\d+__|)")
_CALLED_ID = re.compile(
    r"((?i:id|ids|idx|index|uuid|guid|key|no|nr|num|row|rowid"
    r"|(row|record|line|serial|sample)[ _.-]?(id|no|nr|num|number|names?|index)"
    r"|.+[ _.-](id|idx|uuid|guid|index)|id[ _.-].+)|.*[a-z]I[dD])"
)


def identifier(name: str, numbers: np.ndarray | None, names: np.ndarray | None) -> str:
    """Return why a column of numbers or names says which row it is; an empty text if it does not."""
    if numbers is not None:
        values: np.ndarray = numbers[~np.isnan(numbers)]
        if not len(values) or not (np.isfinite(values) & (values == np.round(values))).all():
            return ""
        distinct = len(np.unique(values))
    else:
        assert names is not None
        values = np.array([text for text in names if text is not None], dtype=object)
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


def counts_rows(numbers: np.ndarray) -> bool:
    """Whether a column goes up by one from row to row."""
    return len(numbers) > 2 and bool((np.diff(numbers) == 1).all())


_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_TIME = r"(?:[T ,]+\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[AaPp][Mm])?(?: ?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}))?)?"
_DATE = re.compile(
    r"(?:"
    r"\d{4}[-/.]\d{1,2}(?:[-/.]\d{1,2})?"  # 2026-01-31, 2026-01
    r"|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}"  # 31.01.2026, 1/31/26
    rf"|\d{{1,2}}[-/ .]*(?i:{_MONTHS})[a-z]*[-/ .,]*\d{{2,4}}"  # 31 January 2026
    rf"|(?i:{_MONTHS})[a-z]*[-/ .]*\d{{1,2}},? +\d{{4}}"  # January 31, 2026
    rf"|(?i:{_MONTHS})[a-z]*[-/ .]*\d{{4}}"  # January 2026
    r"|(?i:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? .*\d{4}"  # Sat, 31 Jan 2026
    rf"){_TIME}"
    r"|\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?"  # a time of the day
)


def is_date(column: Raw, names: np.ndarray) -> bool:
    """Whether all values of a column are dates or times of a day."""
    if pandas.api.types.is_datetime64_any_dtype(column.typed):
        return True
    held = column.typed.dropna().iloc[0]
    if isinstance(held, datetime.date | datetime.time | pandas.Period):
        return True
    different = {text for text in names if text is not None}
    return bool(different) and all(_DATE.fullmatch(text) for text in different)


def days(column: Raw, where: str) -> np.ndarray:
    """Return a column of dates as days since 1970."""
    held = column.typed
    try:
        if column.texts is not None:
            texts = [None if gone else text for text, gone in zip(column.written(), held.isna(), strict=True)]
            if any(text is not None and not re.match(r"\d{4}-", text) for text in texts):
                raise ValueError("day and month could change places, or there is no day")
            held = pandas.Series(texts, dtype=object)
        dates = pandas.to_datetime(held, utc=True, format="ISO8601" if column.texts is not None else None)
    except (ValueError, TypeError) as error:
        raise ReglabError(
            f"{where}: the dates of column {column.name!r} cannot be read: {error}. Write them as 2026-01-31, or leave "
            f"the column out ({flag('--drop-columns', column.name)})."
        ) from None
    return ((dates - pandas.Timestamp(0, tz="UTC")) / pandas.Timedelta(days=1)).to_numpy(dtype="float64")
