"""A table and its columns as they were read, and how columns are named to people."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from reglab.data.table_options import joined

__all__ = ["Raw", "RawTable", "flag"]


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


@dataclass(frozen=True, eq=False)
class RawTable:
    """A table as it was read, from a file or from what Python holds.

    Attributes:
        where: what errors call it.
        short: what notes call it.
        name: what the data is called.
        columns: all of them, those of labels among them.
        said: what was assumed so far.
        lines: for each row, the line of the text file that it ends in.
        part: the part that each row is of, where the table comes in parts.
        header: whether the names of columns stand in a line that could be an example.
    """

    where: str
    short: str
    name: str
    columns: list[Raw]
    said: tuple[str, ...] = ()
    lines: np.ndarray | None = None
    part: np.ndarray | None = None
    header: bool = True

    @classmethod
    def of(
        cls, frame: Any, *, where: str, short: str, name: str, part: np.ndarray | None = None, header: bool = True
    ) -> RawTable:
        """Return what a pandas frame holds, whose columns have types."""
        named = [each for each in frame.index.names if each is not None]
        said = tuple(f"{each!r}, the index of the table, was left out" for each in named)
        columns = [Raw(str(each).strip(), frame.iloc[:, i]) for i, each in enumerate(frame.columns)]
        return cls(where, short, name, columns, said, part=part, header=header)


def flag(option: str, *names: str) -> str:
    r"""Return an option of the command line with names of columns, as a shell takes it.

    >>> flag("--drop-columns", "id", "width, mm")
    '--drop-columns \'id,"width, mm"\''
    """
    return f"{option} {shlex.quote(joined(names))}"
