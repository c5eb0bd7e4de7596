"""Featurewise normalization and ZCA whitening, fitted on the training split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from reglab.lazy import keras

__all__ = ["TINY", "as_layers", "fit"]

TINY = 1e-6  # added to standard deviations, as in ImageDataGenerator
_CHUNK = 4096


def fit(
    x: np.ndarray,
    *,
    prepare: Callable[[np.ndarray], np.ndarray],
    scale: bool,
    zca_epsilon: float | None,
) -> dict[str, np.ndarray]:
    """Return ``mean`` ``(1, 1, channels)`` and, if asked, ``std`` like it and ``zca`` ``(pixels, pixels)``.

    ``x`` is ``(N, height, width, channels)`` and read in chunks, each passed through ``prepare`` first. With singular
    values ``S`` and left singular vectors ``U`` of the transposed data, ``zca = U diag(sqrt(N) / (S + zca_epsilon))
    U'``.
    """
    channels, count = (1, 1, x.shape[-1]), math.prod(x.shape[:-1])
    mean = (sum(chunk.sum(axis=(0, 1, 2)) for chunk in _chunks(x, prepare)) / count).reshape(channels)
    fitted = {"mean": mean}
    if scale:
        squares = sum(np.square(chunk - mean).sum(axis=(0, 1, 2)) for chunk in _chunks(x, prepare))
        fitted["std"] = np.sqrt(squares / count).reshape(channels)
    if zca_epsilon is not None:
        fitted["zca"] = _zca((chunk - mean for chunk in _chunks(x, prepare)), len(x), zca_epsilon)
    return {name: value.astype("float32") for name, value in fitted.items()}


def _zca(chunks: Iterator[np.ndarray], count: int, epsilon: float) -> np.ndarray:
    # The eigenvectors of X'X are the singular vectors, its eigenvalues the squared singular values: pixels x pixels
    # in memory in place of images x pixels.
    product: np.ndarray | float = 0.0
    for chunk in chunks:
        flat = chunk.reshape(len(chunk), -1)
        product = product + flat.T @ flat
    squares, vectors = np.linalg.eigh(product)
    singular = np.sqrt(np.maximum(squares, 0.0))
    return (vectors * (math.sqrt(count) / (singular + epsilon))) @ vectors.T


def _chunks(x: np.ndarray, prepare: Callable[[np.ndarray], np.ndarray]) -> Iterator[np.ndarray]:
    for start in range(0, len(x), _CHUNK):
        yield prepare(np.asarray(x[start : start + _CHUNK])).astype("float64")


def as_layers(x: Any, fitted: Mapping[str, np.ndarray]) -> Any:
    """Apply to a symbolic image what was fitted, as layers of Keras' own that reload with ``safe_mode=True``."""
    if "mean" in fitted:
        channels = x.shape[-1]
        mean = fitted["mean"].reshape(channels)
        std = fitted["std"].reshape(channels) + TINY if "std" in fitted else np.ones(channels)
        x = keras.layers.Normalization(mean=mean.tolist(), variance=np.square(std).tolist(), dtype="float32")(x)
    if "zca" in fitted:
        shape = tuple(x.shape[1:])
        whiten = keras.layers.Dense(math.prod(shape), use_bias=False, trainable=False, dtype="float32", name="zca")
        x = keras.layers.Reshape(shape)(whiten(keras.layers.Flatten()(x)))
        whiten.set_weights([fitted["zca"]])
    return x
