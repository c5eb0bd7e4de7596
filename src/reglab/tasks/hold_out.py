"""Holding examples out so that each part has its share of what is to be predicted. Labels in, positions out."""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import train_test_split

__all__ = ["by_class", "by_class_of_few"]


def by_class(y: np.ndarray, size: float | int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions that stay and those that are held out, both with the classes in proportion.

    >>> kept, held = by_class(np.array([0] * 6 + [1] * 3), 3, seed=0)
    >>> len(kept), np.bincount(np.array([0] * 6 + [1] * 3)[held]).tolist()
    (6, [2, 1])
    """
    kept, held = train_test_split(np.arange(len(y)), test_size=size, stratify=y, random_state=seed)
    return np.sort(kept), np.sort(held)


def by_class_of_few(y: np.ndarray, share: float, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the same; of a class too small for that so many are held out as its share gives, but one stays."""
    try:
        return by_class(y, share, seed=seed)
    except ValueError:
        shuffled = np.random.default_rng(seed).permutation(len(y))
        members = [shuffled[y[shuffled] == label] for label in np.unique(y)]
        held = np.concatenate([of[: min(round(share * len(of)), len(of) - 1)] for of in members])
        return np.setdiff1d(np.arange(len(y)), held), np.sort(held)
