"""Metrics of label sets: ``(N, labels)`` of 0 and 1, and probabilities, from a half on a label is given; pure."""

from __future__ import annotations

import numpy as np

from reglab.lazy import metrics

__all__ = [
    "average_precisions",
    "bit_surprise",
    "counts",
    "exact",
    "exact_scores",
    "given",
    "hamming",
    "hamming_scores",
    "log_loss",
    "macro_f1",
    "macro_f1_scores",
    "mean_average_precision",
    "micro_f1",
    "micro_f1_scores",
    "precision_scores",
    "subset_accuracy",
]

_SMALLEST = 1e-7  # Keras' epsilon: a probability of zero costs this much, not infinity


def given(probabilities: np.ndarray) -> np.ndarray:
    """Return which labels are given, booleans."""
    return np.asarray(probabilities >= 0.5)


# --- rankings --------------------------------------------------------------------------------------------------------


def average_precisions(y: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the average precision of each label, ``(labels,)``, as scikit-learn's; NaN of one that no example has.

    It is the mean, over the examples that have the label, of the share that has it among those at least as probable.
    """
    found = np.full(y.shape[1], np.nan)
    for i in np.flatnonzero(y.any(axis=0)):
        found[i] = metrics.average_precision_score(y[:, i], probabilities[:, i], sample_weight=weights)
    return found


def mean_average_precision(y: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the average precision, mean over the labels that some example has; NaN if none has one.

    >>> mean_average_precision(np.array([[1, 0], [0, 1], [0, 1]]), np.array([[0.9, 0.1], [0.2, 0.7], [0.3, 0.0]]))
    0.9166666666666666
    """
    found = average_precisions(y, probabilities, weights)
    return float(np.nanmean(found)) if np.isfinite(found).any() else float("nan")


def precision_scores(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return scores per example whose mean is the mAP: what each adds to it, to first order.

    The infinitesimal jackknife of the average precision, with ties; see :func:`_of_label`.
    """
    there = np.flatnonzero(y.any(axis=0))
    if not len(there):
        return np.full(len(y), np.nan)
    return np.mean([_of_label(y[:, i].astype("float64"), probabilities[:, i]) for i in there], axis=0)


def _of_label(y: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return what each example adds to the average precision of one label.

    With ``D_i`` examples at least as probable as ``i``, ``P_i`` the share of them that has the label and ``n`` examples
    that have it, ``ap = sum_i y_i P_i / n``. An example ``k`` that counted a little more would change it by
    ``(y_k (P_k - ap) + sum (y_k - P_i) y_i / D_i) / n``, the sum over all ``i`` that are at most as probable.
    """
    order = np.argsort(-scores, kind="stable")
    falling, y = -scores[order], y[order]
    above = np.searchsorted(falling, falling, side="right")  # D
    first = np.searchsorted(falling, falling, side="left")
    precision = np.cumsum(y)[above - 1] / above
    total = y.sum()
    ap = float(y @ precision / total)
    each, of_others = (np.cumsum((y * what / above)[::-1])[::-1] for what in (np.ones(len(y)), precision))
    change = (y * (precision - ap) + y * each[first] - of_others[first]) / total
    found = np.empty(len(y))
    found[order] = ap + len(y) * change
    return found


# --- labels that are given -------------------------------------------------------------------------------------------


def counts(
    y: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, for each label, how many examples have it and are given it, are given it, and have it."""
    predicted, w = given(probabilities), np.ones(len(y)) if weights is None else weights
    return w @ (predicted & (y == 1)), w @ predicted, w @ (y == 1)


def micro_f1(y: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the F1 of all labels of all examples together; 0 where none is given and none is there."""
    hits, predicted, true = (np.sum(each) for each in counts(y, probabilities, weights))
    return float(_f1(hits, predicted + true))


def micro_f1_scores(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return scores per example whose mean is the micro-averaged F1: what each adds to it, to first order."""
    predicted, true = given(probabilities), y == 1
    return _ratio(2.0 * (predicted & true).sum(axis=1), (predicted.sum(axis=1) + true.sum(axis=1)).astype("float64"))


def macro_f1(y: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the F1 of each label, averaged over labels; of one that is never given and never there it is 0."""
    hits, predicted, true = counts(y, probabilities, weights)
    return float(_f1(hits, predicted + true).mean())


def _f1(hits: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Return twice the hits over the sums; 0 where that is 0 / 0."""
    sums = np.asarray(sums, "float64")
    return np.divide(2.0 * hits, sums, out=np.zeros_like(sums), where=sums > 0)


def macro_f1_scores(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return scores per example whose mean is the macro-averaged F1: what each adds to it, to first order."""
    predicted, true = given(probabilities), y == 1
    of_labels = zip((predicted & true).T, predicted.T, true.T, strict=True)
    return np.mean([_ratio(2.0 * hit, given_ + there.astype("float64")) for hit, given_, there in of_labels], axis=0)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return scores per example whose mean is ``sum(above) / sum(below)``, to first order; 0 where that is 0 / 0."""
    total = below.sum()
    if not total:
        return np.zeros(len(below))
    ratio = above.sum() / total
    return np.asarray(ratio + len(below) * (above - ratio * below) / total)


def exact(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return which examples are given all the labels that they have and no other, booleans ``(N,)``."""
    return np.asarray((given(probabilities) == (y == 1)).all(axis=1))


def exact_scores(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return 1 for each example that is given all the labels that it has and no other, else 0."""
    return exact(y, probabilities).astype("float64")


def subset_accuracy(y: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the share of examples that are given all the labels that they have and no other.

    >>> subset_accuracy(np.array([[1, 0], [1, 1]]), np.array([[0.9, 0.1], [0.9, 0.1]]))
    0.5
    """
    return float(exact(y, probabilities).mean())


def hamming_scores(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the share of labels of each example that are wrongly given or missing."""
    return np.asarray((given(probabilities) != (y == 1)).mean(axis=1))


def hamming(y: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the share of all labels of all examples that are wrongly given or missing.

    >>> hamming(np.array([[1, 0], [1, 1]]), np.array([[0.9, 0.1], [0.9, 0.1]]))
    0.25
    """
    return float(hamming_scores(y, probabilities).mean())


# --- probabilities ---------------------------------------------------------------------------------------------------


def bit_surprise(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return ``-log p`` of what is so, mean over the labels of each example, in nats; ``p`` clipped to [1e-7, 1]."""
    p = probabilities.astype("float64")
    return np.asarray(-np.log(np.clip(np.where(y == 1, p, 1 - p), _SMALLEST, 1.0)).mean(axis=1))


def log_loss(y: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the binary cross-entropy in nats, mean over labels and examples."""
    return float(bit_surprise(y, probabilities).mean())
