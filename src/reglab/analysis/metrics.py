"""Metrics of a classifier from its predicted probabilities: ``(N,)`` labels, ``(N, classes)`` probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, top_k_accuracy_score

__all__ = [
    "Calibration",
    "ClassScores",
    "accuracy",
    "brier",
    "calibration",
    "class_scores",
    "confusion",
    "cross_entropy",
    "expected_calibration_error",
    "macro_precision",
    "scores",
    "sparsity",
    "temperature",
    "tempered",
    "top_k",
]

_SMALLEST = 1e-7  # Keras' epsilon: a probability of zero costs this much, not infinity
_BINS = 15  # of confidence, as in Guo et al. 2017
_EDGE = 1e-5  # of a bin's width: rounding of float32 probabilities
_TEMPERATURES = (0.05, 20.0)


def accuracy(y: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the share of examples whose most probable class is ``y``.

    >>> accuracy(np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]))
    0.5
    """
    return float(np.mean(probabilities.argmax(axis=-1) == y))


def top_k(y: np.ndarray, probabilities: np.ndarray, k: int = 5) -> float:
    """Return the share of examples whose class is among the ``k`` most probable; 1 with ``k`` classes or fewer."""
    classes = probabilities.shape[-1]
    if k >= classes:
        return 1.0
    if classes == 2:  # scikit-learn takes one column there; k is 1
        return accuracy(y, probabilities)

    return float(top_k_accuracy_score(y, probabilities, k=k, labels=np.arange(classes)))


def cross_entropy(y: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean of ``-log p(y)`` in nats, probabilities clipped to ``[1e-7, 1]``."""
    chosen = probabilities[np.arange(len(y)), y].astype("float64")
    return float(-np.mean(np.log(np.clip(chosen, _SMALLEST, 1.0))))


def brier(y: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the Brier score, the mean over examples of ``sum_c (p_c - [y = c])**2``: 0 is perfect, 2 the worst.

    Brier 1950. scikit-learn's ``brier_score_loss`` halves it for two classes by default.
    """
    p = probabilities.astype("float64")
    right = p[np.arange(len(y)), y]
    return float(np.mean(np.sum(p * p, axis=1) - 2 * right + 1))


def macro_precision(y: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the precision of each class, averaged over classes; of a class that is never predicted it is 0.

    So a model that always predicts one of ten equally frequent classes has 0.1 / 10 = 0.01, as in the paper's Table 3.
    """
    return float(np.mean(class_scores(y, probabilities).precision))


@dataclass(frozen=True, eq=False)
class ClassScores:
    """Precision, recall and F1 of each class, and how many examples it has; arrays ``(classes,)``."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray


def class_scores(y: np.ndarray, probabilities: np.ndarray) -> ClassScores:
    """Return the scores of each class; what would divide by zero is 0."""
    # scikit-learn takes half a second to import, and the command line's help does not need it.

    labels = np.arange(probabilities.shape[-1])
    predicted = probabilities.argmax(axis=-1)
    return ClassScores(*precision_recall_fscore_support(y, predicted, labels=labels, zero_division=0.0))


def confusion(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return how often each class (row) was taken for each class (column), ``(classes, classes)`` counts."""
    labels = np.arange(probabilities.shape[-1])
    return np.asarray(confusion_matrix(y, probabilities.argmax(axis=-1), labels=labels))


@dataclass(frozen=True, eq=False)
class Calibration:
    """Examples by confidence, the probability of the class they were given; arrays ``(bins,)``, empty bins left out.

    Attributes:
        confidence: mean of the bin.
        accuracy: share of the bin that is right.
        share: share of all examples that the bin has.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    share: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: ``sum share * |accuracy - confidence|``."""
        return float(np.sum(self.share * np.abs(self.accuracy - self.confidence)))

    @property
    def overconfidence(self) -> float:
        """Mean confidence minus accuracy: positive for a model that is surer than it is right."""
        return float(np.sum(self.share * (self.confidence - self.accuracy)))


def calibration(y: np.ndarray, probabilities: np.ndarray, *, bins: int = _BINS) -> Calibration:
    """Return confidence against accuracy in ``bins`` of equal width (Guo et al. 2017, arXiv:1706.04599)."""
    confidence = probabilities.max(axis=-1).astype("float64")
    right = probabilities.argmax(axis=-1) == y
    # Bin i holds what is in (i / bins, (i + 1) / bins]; a float32 that was rounded up from an edge is on it.
    index = np.clip(np.ceil(confidence * bins - _EDGE).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(index, minlength=bins)
    kept = counts > 0
    sums = np.bincount(index, weights=confidence, minlength=bins), np.bincount(index, weights=right, minlength=bins)
    return Calibration(sums[0][kept] / counts[kept], sums[1][kept] / counts[kept], counts[kept] / len(y))


def expected_calibration_error(y: np.ndarray, probabilities: np.ndarray, *, bins: int = _BINS) -> float:
    """Return the expected calibration error, between 0 and 1."""
    return calibration(y, probabilities, bins=bins).error


def temperature(y: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the temperature that minimizes the cross-entropy of these probabilities, between 0.05 and 20.

    Above 1 for a model that is too sure of itself. Fit on validation and used on test, it changes no decision
    (Guo et al. 2017, section 4.2).
    """
    logits = np.log(np.clip(probabilities.astype("float64"), _SMALLEST, 1.0))
    rows = np.arange(len(y))
    ahead = logits - logits[rows, y][:, None]
    ahead[rows, y] = -np.inf  # of the class that is right it is what the others are compared with

    def cost(log_temperature: float) -> float:
        # log(1 + sum of exp), so that the cost of what is surely right is tiny and not 0: else it has no minimum.
        return float(np.mean(np.logaddexp(0.0, special.logsumexp(ahead / np.exp(log_temperature), axis=1))))

    low, high = np.log(_TEMPERATURES)
    found = optimize.minimize_scalar(cost, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return ``softmax(log p / temperature)``, the probabilities of a network whose logits are divided by it."""
    logits = np.log(np.clip(probabilities.astype("float64"), _SMALLEST, 1.0))
    return np.asarray(special.softmax(logits / temperature, axis=-1))


def sparsity(weights: Sequence[np.ndarray]) -> float:
    """Return the share of kernel entries smaller than a hundredth of the largest of their array, in magnitude.

    Kernels are the weights with two axes or more. Gradient steps under an L1 penalty bring weights near zero and
    hardly ever to it, so what counts is small in comparison. NaN without kernels.

    >>> sparsity([np.array([[1.0, 0.001], [0.0, -0.5]]), np.zeros(3)])
    0.5
    """
    kernels = [np.abs(weight) for weight in weights if weight.ndim >= 2 and weight.size]
    total = sum(kernel.size for kernel in kernels)
    small = sum(int(np.count_nonzero(kernel <= 0.01 * kernel.max())) for kernel in kernels)
    return small / total if total else float("nan")


def scores(
    y: np.ndarray, probabilities: np.ndarray, *, validation: tuple[np.ndarray, np.ndarray] | None = None
) -> dict[str, float]:
    """Return every scalar that predictions give; with ``validation`` (labels, probabilities) the tempered ones too.

    Example:
        >>> sorted(scores(np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]])))
        ['accuracy', 'brier', 'cross_entropy', 'ece', 'f1', 'overconfidence', 'precision', 'recall', 'top_5']
    """
    classes, curve = class_scores(y, probabilities), calibration(y, probabilities)
    found = {
        "accuracy": accuracy(y, probabilities),
        "precision": float(np.mean(classes.precision)),
        "recall": float(np.mean(classes.recall)),
        "f1": float(np.mean(classes.f1)),
        "top_5": top_k(y, probabilities),
        "cross_entropy": cross_entropy(y, probabilities),
        "brier": brier(y, probabilities),
        "ece": curve.error,
        "overconfidence": curve.overconfidence,
    }
    if validation is not None:
        found["temperature"] = temperature(*validation)
        scaled = tempered(probabilities, found["temperature"])
        found["ece_tempered"] = expected_calibration_error(y, scaled)
        found["cross_entropy_tempered"] = cross_entropy(y, scaled)
    return found
