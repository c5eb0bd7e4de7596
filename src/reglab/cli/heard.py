"""What the library tells of the data it reads, on standard error: the same for every command."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import click

from reglab.cli.say import say

__all__ = ["heard"]


class _Heard(logging.Handler):
    """Prints each line once a command: a search reads the same data for several studies."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text in self._said:
            return
        self._said.add(text)
        note = record.levelno >= logging.WARNING
        click.secho("note: " if note else "data: ", fg="yellow" if note else "cyan", err=True, nl=False)
        say(text, err=True)


@contextmanager
def heard() -> Iterator[None]:
    """Print what is told meanwhile."""
    log = logging.getLogger("reglab.data")
    handler, level, propagate = _Heard(), log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False  # TensorFlow's handler of the root would print it again
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagate
