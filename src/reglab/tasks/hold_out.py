"""Holding examples out so that each part has its share of what is to be predicted. Labels in, positions out."""

from __future__ import annotations

import math

import numpy as np

from reglab.lazy import model_selection, stats

__all__ = ["anyhow", "by_class", "by_class_of_few", "by_labels", "by_quantile", "quantiles"]


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


def _number(size: float | int, count: int) -> int:
    """Return how many of ``count`` examples a share or a number of them is, rounded as scikit-learn does."""
    return size if isinstance(size, int) else math.ceil(size * count)


_STRATA = 10  # of equally many examples


def by_quantile(y: np.ndarray, size: float | int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions that stay and those that are held out, both from all over the range of numbers.

    The numbers, of several columns those of the first, are divided into up to ten strata of equally many examples, from
    each of which its share is held out. With few examples there are fewer strata, down to one.

    >>> kept, held = by_quantile(np.arange(20.0), 0.5, seed=0)
    >>> [int((held < 10).sum()), int((held >= 10).sum())]
    [5, 5]
    """
    held = _number(size, len(y))
    strata = max(1, min(_STRATA, len(y) // 2, held, len(y) - held))
    return by_class(quantiles(y, strata), size, seed=seed) if strata > 1 else anyhow(len(y), held, seed=seed)


def quantiles(y: np.ndarray, strata: int = _STRATA) -> np.ndarray:
    """Return which of so many strata of equally many examples each number is in, of several columns the first one's.

    >>> quantiles(np.array([0.1, 5.0, 0.3, 2.0]), 2).tolist()
    [0, 1, 0, 1]
    """
    values = np.asarray(y, "float64").reshape(len(y), -1)[:, 0]
    ranks = stats.rankdata(values, method="ordinal") - 1
    return (ranks * strata / len(y)).astype(int)


def by_labels(y: np.ndarray, size: float | int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions that stay and those that are held out, both with each label in proportion.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011, "On the stratification of multi-label data"): of
    the labels that are left the rarest is divided first, each example of it going where most of that label is still
    wanted. Examples without any label come last. A part that has its number of examples takes no more, so that their
    numbers are exact, which theirs are not.

    >>> y = np.array([[1, 0], [1, 0], [1, 1], [1, 1], [0, 0], [0, 0]])
    >>> kept, held = by_labels(y, 3, seed=0)
    >>> y[held].sum(axis=0).tolist(), y[kept].sum(axis=0).tolist()
    ([2, 1], [2, 1])
    """
    count = len(y)
    held = _number(size, count)
    if not 0 < held < count:
        raise ValueError(f"{count} examples cannot be divided")
    random = np.random.default_rng(seed)
    order = random.permutation(count)
    there = y[order] == 1
    room = np.array([count - held, held])
    wanted = there.sum(axis=0) * room[:, None] / count  # of each label in each part
    part = np.full(count, -1)
    left = there.sum(axis=0)
    while left.any():
        label = int(np.where(left > 0, left, count + 1).argmin())
        for example in np.flatnonzero(there[:, label] & (part < 0)):
            part[example] = chosen = _where_wanted(wanted[:, label], room, random)
            room[chosen] -= 1
            wanted[chosen, there[example]] -= 1
            left[there[example]] -= 1
    part[part < 0] = random.permutation(np.repeat([0, 1], room))
    return np.sort(order[part == 0]), np.sort(order[part == 1])


def _where_wanted(wanted: np.ndarray, room: np.ndarray, random: np.random.Generator) -> int:
    """Return the part that wants most of a label, of equal ones that with more room, or else either."""
    if not room.all():
        return int(room.argmax())
    if wanted[0] == wanted[1] and room[0] == room[1]:
        return int(random.integers(2))
    return int(max((0, 1), key=lambda i: (wanted[i], room[i])))


def anyhow(count: int, size: float | int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions that stay and those that are held out, drawn without regard to labels."""
    held = _number(size, count)
    if not 0 < held < count:
        raise ValueError(f"{count} examples cannot be divided")
    order = np.random.default_rng(seed).permutation(count)
    return np.sort(order[held:]), np.sort(order[:held])
