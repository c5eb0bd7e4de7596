"""A column of a table as it was read, and how columns are named to people."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from reglab.data.table_options import joined

__all__ = ["Raw", "flag"]


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


def flag(option: str, *names: str) -> str:
    r"""Return an option of the command line with names of columns, as a shell takes it.

    >>> flag("--drop-columns", "id", "width, mm")
    '--drop-columns \'id,"width, mm"\''
    """
    return f"{option} {shlex.quote(joined(names))}"
