"""What was read, told to whoever listens: facts of a data set, and what was assumed or left out on the way."""

from __future__ import annotations

import logging

import numpy as np

from reglab.data.dataset import Dataset

__all__ = ["LOG", "alike", "announce"]

LOG = logging.getLogger("reglab.data")  # facts at INFO, notes at WARNING; the command line shows both


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
