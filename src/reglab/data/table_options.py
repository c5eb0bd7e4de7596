"""How a table is read, where it does not say so itself: the names of the options are those of a study's settings."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from reglab.errors import ReglabError, nearest

__all__ = ["MISSING_POLICIES", "SEPARATORS", "TableOptions", "column_names", "joined", "separator_of", "target_columns"]

MISSING_POLICIES = ("refuse", "drop", "mean")
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}  # those that are recognized
_WORDS = {"tab": "\t", "\\t": "\t", "space": " ", **{word: sign for sign, word in SEPARATORS.items()}}


@dataclass(frozen=True)
class TableOptions:
    """What is said of a table.

    Attributes:
        separator: what stands between the columns of a CSV file; by default recognized.
        encoding: of a CSV file; by default recognized.
        decimal: ``"."`` or ``","``; by default what each column shows.
        missing: what becomes of missing values: ``refuse``; ``drop`` leaves their rows out; ``mean`` puts the mean of
            the training split in their place.
        drop_columns: columns that are left out.
        keep_columns: columns that are used although they look as identifiers, dates or a copy of the label.
        categorical: columns whose values are names as they stand, also where they look as numbers or as missing.
        group: the column whose values say which rows belong together, which then lie in one part; it is no feature.
    """

    separator: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    missing: str = "refuse"
    drop_columns: tuple[str, ...] = ()
    keep_columns: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    group: str | None = None

    @classmethod
    def of(cls, given: dict[str, Any]) -> TableOptions:
        """Return the options from settings, in which names of columns are one text.

        Raises:
            ReglabError: for an option that there is not.
        """
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                raise ReglabError(f"Data has no option {name!r}.{nearest(name, known)} A table has {', '.join(known)}.")
        lists = ("drop_columns", "keep_columns", "categorical")
        found: dict[str, Any] = {name: column_names(value) if name in lists else value for name, value in given.items()}
        if found.get("missing", "refuse") not in MISSING_POLICIES:
            raise ReglabError(
                f"missing={found['missing']!r} is not possible. Expected one of {', '.join(MISSING_POLICIES)}."
            )
        if found.get("decimal") not in (None, ".", ","):
            raise ReglabError(f"decimal={found['decimal']!r} is not possible. Expected '.' or ','.")
        return cls(**found)

    def changed(self) -> list[str]:
        """Return the names of the options that are not at their default."""
        return [field.name for field in fields(self) if getattr(self, field.name) != field.default]


def column_names(given: object) -> tuple[str, ...]:
    """Return names of columns from a list, or from one text in which commas stand between them, as in a line of CSV.

    >>> column_names('id, "width, mm"')
    ('id', 'width, mm')
    """
    if given is None:
        return ()
    if isinstance(given, str):
        rows = list(csv.reader([given], skipinitialspace=True))
        return tuple(name.strip() for row in rows for name in row if name.strip())
    if isinstance(given, Iterable):
        return tuple(str(name).strip() for name in given)
    raise ReglabError(f"{given!r} are no names of columns. Give a list, or a text with commas between.")


def target_columns(target: str, columns: Iterable[str]) -> tuple[str, ...]:
    """Return which columns hold labels: one of that name, or else those with commas between.

    >>> target_columns("a,b", ["a", "b", "c"]), target_columns("a,b", ["a,b", "c"])
    (('a', 'b'), ('a,b',))
    """
    return (target,) if target in columns else column_names(target)


def joined(names: Iterable[Any]) -> str:
    """Return names of columns as one text that :func:`column_names` reads.

    >>> joined(["id", "width, mm"])
    'id,"width, mm"'
    """
    held = io.StringIO()
    csv.writer(held, lineterminator="").writerow([str(name) for name in names])
    return held.getvalue()


def separator_of(given: str) -> str:
    """Return the sign that a word or a sign stands for.

    >>> separator_of("bar"), separator_of(";")
    ('|', ';')
    """
    found = _WORDS.get(given.lower(), given)
    if len(found) != 1 or found in '"\r\n' or found.isalnum():
        raise ReglabError(
            f"separator={given!r} is not possible. Expected one sign, such as ',' or ';', or one of tab, space, bar."
        )
    return found
