"""Metrics of a classifier from its predicted probabilities."""

from __future__ import annotations

import numpy as np

__all__ = ["accuracy", "cross_entropy", "macro_precision"]

_SMALLEST = 1e-7  # Keras' epsilon: a probability of zero costs this much, not infinity


def accuracy(y: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the share of examples whose most probable class is ``y``; ``(N,)`` labels, ``(N, classes)`` probabilities.

    >>> accuracy(np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]))
    0.5
    """
    return float(np.mean(probabilities.argmax(axis=-1) == y))


def cross_entropy(y: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean of ``-log p(y)`` in nats, probabilities clipped to ``[1e-7, 1]``."""
    chosen = probabilities[np.arange(len(y)), y].astype("float64")
    return float(-np.mean(np.log(np.clip(chosen, _SMALLEST, 1.0))))


def macro_precision(y: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the precision of each class, averaged over classes; of a class that is never predicted it is 0.

    So a model that always predicts one of ten equally frequent classes has 0.1 / 10 = 0.01, as in the paper's Table 3.
    """
    # scikit-learn takes half a second to import, and the command line's help does not need it.
    from sklearn.metrics import precision_score

    labels = np.arange(probabilities.shape[-1])
    predicted = probabilities.argmax(axis=-1)
    return float(precision_score(y, predicted, labels=labels, average="macro", zero_division=0.0))
