"""Names in a sentence: the first of many, each as text that can be written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reglab.inert import shortened

__all__ = ["LONGEST", "few", "listed", "readable"]

LONGEST = 40  # characters of a name in a list


def few(names: Iterable[object], most: int = 3) -> str:
    """Return the first names of many, and how many there are besides.

    >>> few(["a.txt", "b.txt", "c.txt", "d.txt", "e.txt"])
    'a.txt, b.txt, c.txt and 2 more'
    """
    return listed([shortened(readable(name), 2 * LONGEST) for name in names], most)


def readable(name: object) -> str:
    r"""Return the name of a file as text that can be written, though it be no UTF-8.

    >>> readable("caf\xe9"), readable("caf\udce9")
    ('café', 'caf\\udce9')
    """
    return str(name).encode("utf-8", "backslashreplace").decode("utf-8")


def listed(names: Sequence[str], most: int = 20) -> str:
    """Return names as text, the first ``most`` of them, and how many there are besides."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")
