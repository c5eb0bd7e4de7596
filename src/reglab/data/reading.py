"""What was read, in words: the facts of a data set, and what was assumed or left out on the way."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from reglab.inert import shortened

if TYPE_CHECKING:
    from reglab.data.dataset import Dataset

__all__ = ["LOG", "alike", "announce", "facts", "few", "listed", "readable"]

LOG = logging.getLogger("reglab.data")  # facts at INFO, notes at WARNING; the command line shows both
_MOST_CLASSES = 10  # named with their counts; of more, the first ones
_LONGEST = 40  # characters of a name in a list


def facts(data: Dataset) -> tuple[str, ...]:
    r"""Return what the data is: examples, shape, values, classes with counts, and parts.

    >>> from reglab.data import load
    >>> print(*facts(load("iris")), sep="\n")
    iris: 150 examples of 4 (float32, 0.1 to 7.9), 3 classes: setosa 50, versicolor 50, virginica 50
    no parts are given: test and validation are split off
    """
    shape = "x".join(map(str, data.input_shape))
    counts = np.bincount(data.y, minlength=data.num_classes)
    classes = [f"{shortened(name, _LONGEST)} {count:,}" for name, count in zip(data.class_names, counts, strict=True)]
    return (
        f"{data.name}: {len(data):,} examples of {shape} ({data.x.dtype}, {_range(data)}), {data.num_classes} classes: "
        f"{listed(classes, _MOST_CLASSES)}",
        _parts(data),
    )


def announce(data: Dataset) -> None:
    """Tell whoever listens what was read; the notes reach standard error where nobody does."""
    if LOG.isEnabledFor(logging.INFO):
        for fact in data.facts:
            LOG.info("%s", fact)
    for note in data.notes:
        LOG.warning("%s", note)


def alike(x: np.ndarray) -> list[str]:
    """Return what has to be said of images that are all the same one.

    >>> alike(np.zeros((3, 2, 2, 1), "uint8"))
    ['All 3 images are alike, so nothing can be learned from them. ...']
    """
    if len(x) < 2 or any((np.asarray(x[i]) != x[0]).any() for i in range(1, len(x))):
        return []
    return [
        f"All {len(x):,} images are alike, so nothing can be learned from them. Look at one; color_mode (--color-mode) "
        "and preprocessing of your own can take away what differs."
    ]


def few(names: Iterable[object], most: int = 3) -> str:
    """Return the first names of many, and how many there are besides.

    >>> few(["a.txt", "b.txt", "c.txt", "d.txt", "e.txt"])
    'a.txt, b.txt, c.txt and 2 more'
    """
    return listed([shortened(readable(name), 2 * _LONGEST) for name in names], most)


def readable(name: object) -> str:
    r"""Return the name of a file as text that can be written, though it be no UTF-8.

    >>> readable("caf\xe9"), readable("caf\udce9")
    ('café', 'caf\\udce9')
    """
    return str(name).encode("utf-8", "backslashreplace").decode("utf-8")


def listed(names: Sequence[str], most: int = 20) -> str:
    """Return names as text, the first ``most`` of them, and how many there are besides."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def _range(data: Dataset) -> str:
    ends = [(np.fmin.reduce(chunk, axis=None), np.fmax.reduce(chunk, axis=None)) for chunk in data.chunks()]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    return f"{low:g} to {high:g}" if data.x.dtype.kind != "b" else "0 or 1"


def _parts(data: Dataset) -> str:
    from reglab.data.dataset import PARTS

    if data.part is None:
        return "no parts are given: test and validation are split off"
    counts = np.bincount(np.asarray(data.part), minlength=len(PARTS))
    given = ", ".join(f"{name} {count:,}" for name, count in zip(PARTS, counts, strict=True) if count)
    absent = [name for name, count in zip(("training", "validation", "test"), counts, strict=True) if not count]
    return f"parts: {given}" + (f"; {' and '.join(absent)} split off" if absent else "")
