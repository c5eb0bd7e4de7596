"""The one error class for bad input: what was given, what is expected, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

__all__ = ["ReglabError", "nearest", "of_output"]


class ReglabError(ValueError):
    """Something the user gave cannot work. The message says what was given, what is expected, and what to do.

    The command line prints it without a traceback; everything else that is raised is a bug in reglab.

    Example:
        >>> import reglab
        >>> try:
        ...     reglab.Recipe.parse("droput(rate=0.1)")
        ... except reglab.ReglabError as error:
        ...     print(error)
        Unknown strategy 'droput'. Did you mean 'dropout'? ...
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the known name closest to ``name``, or an empty string."""
    close = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


@contextmanager
def of_output(name: str) -> Iterator[None]:
    """Say of which of several outputs of a model an error is."""
    try:
        yield
    except ReglabError as error:
        raise ReglabError(f"Output {name}: {error}") from None
