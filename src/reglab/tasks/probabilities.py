"""Metrics of class probabilities: ``(N,)`` labels, ``(N, classes)`` probabilities; pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reglab.lazy import metrics, optimize, special, stats

__all__ = [
    "Calibration",
    "ClassScores",
    "accuracy",
    "auc",
    "average_precision",
    "balanced_accuracy",
    "balanced_hits",
    "brier",
    "calibration",
    "class_scores",
    "confusion",
    "cross_entropy",
    "expected_calibration_error",
    "f1_of_second",
    "hits",
    "macro_f1",
    "macro_precision",
    "macro_recall",
    "overconfidence",
    "placements",
    "surprise",
    "temperature",
    "tempered",
    "threshold",
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

    return float(metrics.top_k_accuracy_score(y, probabilities, k=k, labels=np.arange(classes)))


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


def macro_recall(y: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the recall of each class, averaged over classes."""
    return float(np.mean(_scores(y, probabilities)[1]))


def macro_f1(y: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the F1 of each class, averaged over classes."""
    return float(np.mean(_scores(y, probabilities)[2]))


def balanced_accuracy(y: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the share of each class's examples that are given it, averaged over the classes that there are.

    >>> balanced_accuracy(np.array([0, 0, 0, 1]), np.array([[0.9, 0.1]] * 4))
    0.5
    """
    right = probabilities.argmax(axis=-1) == y
    counts = np.ones(len(y)) if weights is None else weights
    return float(np.mean([np.average(right[y == label], weights=counts[y == label]) for label in np.unique(y)]))


def balanced_hits(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return scores per example whose mean is the balanced accuracy: a right one counts more in a rare class."""
    classes, index, counts = np.unique(y, return_inverse=True, return_counts=True)
    return hits(y, probabilities) * len(y) / (len(classes) * counts[index])


def auc(y: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the area under the ROC curve of two classes: how often one of the second has the larger probability of it.

    NaN where one of them has no example.
    """
    return float(metrics.roc_auc_score(y, probabilities[:, 1])) if len(np.unique(y)) == 2 else float("nan")


def placements(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return scores per example whose mean is the AUC, and whose spread is its own over examples.

    Of an example of the second class, to first order, ``auc + N / n_2 (V - auc)``, with ``V`` the share of the first
    class that has a smaller probability; of the first class likewise (DeLong, DeLong and Clarke-Pearson 1988).
    """
    found, positive, chance = auc(y, probabilities), y == 1, probabilities[:, 1]
    within, ranks = np.empty(len(y)), stats.rankdata(chance)
    for members in (positive, ~positive):
        within[members] = stats.rankdata(chance[members])
    others = np.where(positive, np.count_nonzero(~positive), np.count_nonzero(positive))
    beaten = (ranks - within) / others
    share = np.where(positive, beaten, 1 - beaten)
    return np.asarray(found + len(y) / (len(y) - others) * (share - found))


def average_precision(y: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the area under the precision-recall curve of the second of two classes, as a step function.

    NaN where it has no example.
    """
    return float(metrics.average_precision_score(y, probabilities[:, 1])) if (y == 1).any() else float("nan")


def threshold(y: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the probability of the second of two classes from which on to call it so, for the largest F1.

    >>> threshold(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]]))
    0.3
    """
    precision, recall, cuts = metrics.precision_recall_curve(y, probabilities[:, 1])
    f1 = 2 * precision * recall / np.maximum(precision + recall, _SMALLEST)
    return float(cuts[int(f1[:-1].argmax())])


def f1_of_second(y: np.ndarray, probabilities: np.ndarray, cut: float) -> float:
    """Return the F1 of the second of two classes, called so where its probability is at least ``cut``."""
    return float(metrics.f1_score(y, probabilities[:, 1] >= cut, zero_division=0.0))


def hits(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return 1 for each example whose most probable class is ``y``, else 0."""
    return np.asarray(probabilities.argmax(axis=-1) == y, "float64")


def surprise(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return ``-log p(y)`` of each example in nats, probabilities clipped to ``[1e-7, 1]``."""
    chosen = probabilities[np.arange(len(y)), y].astype("float64")
    return np.asarray(-np.log(np.clip(chosen, _SMALLEST, 1.0)))


def macro_precision(y: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the precision of each class, averaged over classes; of a class that is never predicted it is 0.

    So a model that always predicts one of ten equally frequent classes has 0.1 / 10 = 0.01, as in the paper's Table 3.
    """
    return float(np.mean(_scores(y, probabilities)[0]))


@dataclass(frozen=True, eq=False)
class ClassScores:
    """Precision, recall and F1 of each class, and how many examples it has; arrays ``(classes,)``."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray


def class_scores(y: np.ndarray, probabilities: np.ndarray) -> ClassScores:
    """Return the scores of each class; what would divide by zero is 0."""
    return ClassScores(*_scores(y, probabilities))


def _scores(y: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return precision, recall and F1 of each class, and how many examples it has; what would divide by zero is 0."""
    labels, predicted = np.arange(probabilities.shape[-1]), probabilities.argmax(axis=-1)
    found: tuple[np.ndarray, ...] = metrics.precision_recall_fscore_support(
        y, predicted, labels=labels, zero_division=0.0
    )
    return found


def confusion(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return how often each class (row) was taken for each class (column), ``(classes, classes)`` counts."""
    labels = np.arange(probabilities.shape[-1])
    return np.asarray(metrics.confusion_matrix(y, probabilities.argmax(axis=-1), labels=labels))


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
        return _error(self.confidence, self.accuracy, self.share)

    @property
    def overconfidence(self) -> float:
        """Mean confidence minus accuracy: positive for a model that is surer than it is right."""
        return float(np.sum(self.share * (self.confidence - self.accuracy)))


def calibration(y: np.ndarray, probabilities: np.ndarray, *, bins: int = _BINS) -> Calibration:
    """Return confidence against accuracy in ``bins`` of equal width (Guo et al. 2017, arXiv:1706.04599)."""
    return Calibration(*_binned(y, probabilities, bins))


def _binned(y: np.ndarray, probabilities: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean confidence, share that is right, and share of all examples, of each bin that has any."""
    confidence = probabilities.max(axis=-1).astype("float64")
    right = probabilities.argmax(axis=-1) == y
    # Bin i holds what is in (i / bins, (i + 1) / bins]; a float32 that was rounded up from an edge is on it.
    index = np.clip(np.ceil(confidence * bins - _EDGE).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(index, minlength=bins)
    kept = counts > 0
    sums = np.bincount(index, weights=confidence, minlength=bins), np.bincount(index, weights=right, minlength=bins)
    return sums[0][kept] / counts[kept], sums[1][kept] / counts[kept], counts[kept] / len(y)


def _error(confidence: np.ndarray, right: np.ndarray, share: np.ndarray) -> float:
    """Return how far confidence is from the share that is right, mean over bins by their share of the examples."""
    return float(np.sum(share * np.abs(right - confidence)))


def expected_calibration_error(y: np.ndarray, probabilities: np.ndarray, *, bins: int = _BINS) -> float:
    """Return the expected calibration error, between 0 and 1."""
    return _error(*_binned(y, probabilities, bins))


def overconfidence(y: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean confidence minus accuracy: positive for a model that is surer than it is right."""
    return calibration(y, probabilities).overconfidence


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
