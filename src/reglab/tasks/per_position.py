"""Metrics of a class per position: ``(N, ...)`` class indices and ``(N, ..., classes)`` probabilities; pure.

Positions whose label is :data:`IGNORED` count nowhere. All others count alike, whatever example they are in.
"""

from __future__ import annotations

import numpy as np

from reglab.data.labels import IGNORED

__all__ = [
    "accuracy",
    "accuracy_scores",
    "confusion",
    "counts",
    "cross_entropy",
    "cross_entropy_scores",
    "dice",
    "dice_scores",
    "mean_iou",
    "mean_iou_scores",
]

_SMALLEST = 1e-7  # Keras' epsilon: a probability of zero costs this much, not infinity


def counts(y: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, for each example and class, how many positions are hit, are given it, and have it: ``(N, classes)``."""
    classes, there = probabilities.shape[-1], y != IGNORED
    chosen = _given(probabilities)
    example = np.broadcast_to(np.arange(len(y)).reshape(-1, *[1] * (y.ndim - 1)), y.shape)

    def count(which: np.ndarray, of: np.ndarray) -> np.ndarray:
        found = np.bincount(example[which] * classes + of[which], minlength=len(y) * classes)
        return found.reshape(len(y), classes)

    return count(there & (chosen == y), y), count(there, chosen), count(there, y)


def _given(probabilities: np.ndarray) -> np.ndarray:
    """Return the most probable class of each position."""
    return np.asarray(probabilities.astype("float32", copy=False).argmax(axis=-1))


def confusion(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return how often each class (row) was taken for each class (column), ``(classes, classes)`` counts."""
    classes, there = probabilities.shape[-1], y != IGNORED
    found = np.bincount(y[there] * classes + _given(probabilities)[there], minlength=classes**2)
    return found.reshape(classes, classes)


# --- ratios of counts ------------------------------------------------------------------------------------------------


def _sums(each: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Return the sum over examples."""
    return each.sum(axis=0) if weights is None else np.asarray(weights @ each)


def _ratios(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return ratios; NaN where there is 0 / 0."""
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=np.asarray(below) > 0)


def _mean(values: np.ndarray) -> float:
    """Return the mean of what is a number."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _scores(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return scores per example whose mean is that of ``sum(above) / sum(below)`` over columns, to first order.

    What an example adds to a ratio is ``ratio + N (above - ratio * below) / sum(below)``, the infinitesimal jackknife.
    Columns of 0 / 0 are left out.
    """
    known = below.sum(axis=0) > 0
    above, below = above[:, known].astype("float64"), below[:, known].astype("float64")
    totals = below.sum(axis=0)
    ratios = above.sum(axis=0) / totals
    return np.asarray((ratios + len(below) * (above - ratios * below) / totals).mean(axis=1))


def accuracy(y: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the share of positions whose most probable class is theirs.

    >>> accuracy(np.array([[0, 1, -1]]), np.array([[[0.9, 0.1], [0.8, 0.2], [0.5, 0.5]]]))
    0.5
    """
    return _mean(_ratios(*(_sums(each, weights) for each in _hits(y, probabilities)))[0])


def accuracy_scores(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return scores per example whose mean is the accuracy."""
    return _scores(*_hits(y, probabilities))


def _hits(y: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many positions of each example are right, and count: ``(N, 1)`` both."""
    there = (y != IGNORED).reshape(len(y), -1)
    right = (_given(probabilities) == y).reshape(len(y), -1)
    return (right & there).sum(axis=1)[:, None], there.sum(axis=1)[:, None]


def mean_iou(y: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the intersection over union of each class, mean over the classes that are there or given somewhere.

    Of a class it is the share, of the positions that have it or are given it, that do both, as
    ``keras.metrics.MeanIoU`` and scikit-learn's ``jaccard_score`` have it.

    >>> mean_iou(np.array([[0, 0, 1, 1]]), np.eye(2)[[[0, 1, 1, 1]]])
    0.5833333333333333
    """
    hits, given, true = (_sums(each, weights) for each in counts(y, probabilities))
    return _mean(_ratios(hits, given + true - hits))


def mean_iou_scores(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return scores per example whose mean is the mean IoU."""
    hits, given, true = counts(y, probabilities)
    return _scores(hits, given + true - hits)


def dice(y: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the Dice coefficient, or F1, of each class, mean over the classes that are there or given somewhere.

    >>> dice(np.array([[0, 0, 1, 1]]), np.eye(2)[[[0, 1, 1, 1]]])
    0.7333333333333334
    """
    hits, given, true = (_sums(each, weights) for each in counts(y, probabilities))
    return _mean(_ratios(2 * hits, given + true))


def dice_scores(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return scores per example whose mean is the Dice coefficient."""
    hits, given, true = counts(y, probabilities)
    return _scores(2 * hits, given + true)


# --- probabilities ---------------------------------------------------------------------------------------------------


def cross_entropy(y: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the mean over positions of ``-log p(y)`` in nats, probabilities clipped to ``[1e-7, 1]``."""
    return _mean(_ratios(*(_sums(each, weights) for each in _costs(y, probabilities)))[0])


def cross_entropy_scores(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return scores per example whose mean is the cross-entropy."""
    return _scores(*_costs(y, probabilities))


def _costs(y: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the summed costs of the positions of each example, and how many count: ``(N, 1)`` both."""
    there = y != IGNORED
    chosen = np.take_along_axis(probabilities, np.where(there, y, 0)[..., None], axis=-1)[..., 0].astype("float64")
    costs = np.where(there, -np.log(np.clip(chosen, _SMALLEST, 1.0)), 0.0)
    return costs.reshape(len(y), -1).sum(axis=1)[:, None], there.reshape(len(y), -1).sum(axis=1)[:, None]
