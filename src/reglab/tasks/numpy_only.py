"""Metrics of numbers in NumPy alone, for scripts that people take home.

Each gives what scikit-learn's function of the same purpose gives, which studies use: labels and predictions, examples
first; of several targets the mean of theirs.
"""

from __future__ import annotations

import numpy as np

__all__ = ["errors", "mae", "medae", "r2", "rmse"]


def errors(y: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Return the errors of predictions, a column per target."""
    return (np.asarray(y, "float64") - np.asarray(predictions, "float64").reshape(np.shape(y))).reshape(len(y), -1)


def rmse(y: np.ndarray, predictions: np.ndarray) -> float:
    """Return the root of the mean squared error."""
    return float(np.sqrt(np.mean(errors(y, predictions) ** 2, axis=0)).mean())


def mae(y: np.ndarray, predictions: np.ndarray) -> float:
    """Return the mean absolute error."""
    return float(np.mean(np.abs(errors(y, predictions)), axis=0).mean())


def medae(y: np.ndarray, predictions: np.ndarray) -> float:
    """Return the median absolute error."""
    return float(np.median(np.abs(errors(y, predictions)), axis=0).mean())


def r2(y: np.ndarray, predictions: np.ndarray) -> float:
    """Return the share of the variance that is explained."""
    around_mean = (np.asarray(y, "float64") - np.mean(y, axis=0, dtype="float64")).reshape(len(y), -1)
    left = np.sum(errors(y, predictions) ** 2, axis=0) / np.sum(around_mean**2, axis=0)
    return float(np.mean(1 - left))
