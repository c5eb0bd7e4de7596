"""From what a network gives to what a task keeps of it; scripts carry these."""

from __future__ import annotations

import numpy as np

from reglab.lazy import special

__all__ = ["halved", "of_two", "sigmoids", "softmaxed"]


def softmaxed(outputs: np.ndarray) -> np.ndarray:
    """Return probabilities of logits, along the last axis."""
    return np.asarray(special.softmax(outputs, axis=-1))


def sigmoids(outputs: np.ndarray) -> np.ndarray:
    """Return the probability of each logit by itself."""
    return np.asarray(special.expit(outputs))


def of_two(outputs: np.ndarray) -> np.ndarray:
    """Return probabilities of two classes from that of the second, along the last axis."""
    return np.concatenate([1 - outputs, outputs], axis=-1)


def halved(outputs: np.ndarray) -> np.ndarray:
    """Return numbers in half as many bytes: float16."""
    return np.asarray(outputs, "float16")
