"""Holding examples out so that each part has its share of what is to be predicted. Labels in, positions out."""

from __future__ import annotations

import math

import numpy as np

from reglab.lazy import model_selection, stats

__all__ = ["by_class", "by_class_of_few", "by_quantile"]


def by_class(y: np.ndarray, size: float | int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions that stay and those that are held out, both with the classes in proportion.

    >>> kept, held = by_class(np.array([0] * 6 + [1] * 3), 3, seed=0)
    >>> len(kept), np.bincount(np.array([0] * 6 + [1] * 3)[held]).tolist()
    (6, [2, 1])
    """
    kept, held = model_selection.train_test_split(np.arange(len(y)), test_size=size, stratify=y, random_state=seed)
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


_STRATA = 10  # of equally many examples


def by_quantile(y: np.ndarray, size: float | int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions that stay and those that are held out, both from all over the range of numbers.

    The numbers, of several columns those of the first, are divided into up to ten strata of equally many examples, from
    each of which its share is held out. With few examples there are fewer strata, down to one.

    >>> kept, held = by_quantile(np.arange(20.0), 0.5, seed=0)
    >>> [int((held < 10).sum()), int((held >= 10).sum())]
    [5, 5]
    """
    values = np.asarray(y, "float64").reshape(len(y), -1)[:, 0]
    held = size if isinstance(size, int) else math.ceil(size * len(y))  # as scikit-learn rounds
    strata = max(1, min(_STRATA, len(y) // 2, held, len(y) - held))
    ranks = stats.rankdata(values, method="ordinal") - 1
    strata_of = (ranks * strata / len(y)).astype(int)
    return by_class(strata_of, size, seed=seed) if strata > 1 else _any(len(y), held, seed=seed)


def _any(count: int, held: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    if not 0 < held < count:
        raise ValueError(f"{count} examples cannot be divided")
    order = np.random.default_rng(seed).permutation(count)
    return np.sort(order[held:]), np.sort(order[:held])
