"""Featurewise normalization and ZCA whitening, fitted on the training split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from reglab.aliases import Tensor
from reglab.lazy import keras
from reglab.rounding import varies

__all__ = ["TINY", "as_layers", "fit", "samplewise", "whiten"]

TINY = 1e-6  # added to standard deviations, as in ImageDataGenerator
FLAT = 1e-6  # an image whose values differ by less than this share of the largest is one value and its rounding
_CHUNK = 4096
_EPS = float(np.finfo("float32").eps)
# Directions are whitened down to this share of the length of the images: rounding of float32 stays below a hundredth.
_RESOLVED = 100 * _EPS


def fit(
    x: np.ndarray,
    *,
    prepare: Callable[[np.ndarray], np.ndarray],
    scale: bool,
    zca_epsilon: float | None,
) -> dict[str, np.ndarray]:
    """Return what is learned from images ``(N, height, width, channels)``, read in chunks that ``prepare`` is given.

    Centring gives ``mean`` ``(1, 1, channels)``, and scaling ``std`` like it. Whitening is, with singular values ``S``
    and left singular vectors ``U`` of the transposed data (each channel less its mean ``c``),
    ``(x - c) Z, Z = U diag(sqrt(N) / (S + zca_epsilon)) U'``, as in ``ImageDataGenerator``; but a direction in which
    images differ by rounding alone gets 0 in place of ``sqrt(N) / zca_epsilon``: pixels that never vary, and all but
    ``N`` directions of ``N`` images. Computed in float64, and given as ``mean`` ``(height, width, channels)``, the mean
    ``m`` of each pixel, ``zca`` ``(pixels, pixels)`` and ``shift`` ``(pixels,)``, for ``(x - m) Z + (m - c) Z`` is the
    same with nothing large in it that cancels.
    """
    channels, count = (1, 1, x.shape[-1]), math.prod(x.shape[:-1])
    mean = (sum(chunk.sum(axis=(0, 1, 2)) for chunk in _chunks(x, prepare)) / count).reshape(channels)
    if zca_epsilon is not None:
        return _as_float32(_whitening(lambda: _chunks(x, prepare), mean, zca_epsilon))
    fitted = {"mean": mean}
    if scale:
        squares = sum(np.square(chunk - mean).sum(axis=(0, 1, 2)) for chunk in _chunks(x, prepare))
        std = np.sqrt(squares / count).reshape(channels)
        fitted["std"] = np.where(varies(std, mean, count=count, dtype="float32"), std, 1.0)
    return _as_float32(fitted)


def _whitening(chunks: Callable[[], Iterator[np.ndarray]], mean: np.ndarray, epsilon: float) -> dict[str, np.ndarray]:
    # The eigenvectors of X'X are the singular vectors, its eigenvalues the squared singular values: pixels x pixels
    # in memory in place of images x pixels.
    count, squares = 0, 0.0
    total: Any = 0.0
    product: Any = 0.0
    for chunk in chunks():
        flat = (chunk - mean).reshape(len(chunk), -1)
        count, total, product = count + len(chunk), total + chunk.sum(axis=0), product + flat.T @ flat
        squares += float(np.square(chunk).sum())
    pixels = (total / count).astype("float32")
    shift = (pixels.astype("float64") - mean).ravel()
    variances, vectors = np.linalg.eigh(product / count)
    deviations = np.sqrt(np.maximum(variances, 0.0))
    spread = math.sqrt(max(float(np.trace(product)) / count - float(shift @ shift), 0.0))
    rounding = _EPS * math.sqrt(squares / (count * pixels.size))  # of one value
    gains = math.sqrt(count) / (math.sqrt(count) * deviations + epsilon)
    gains = np.where(deviations > max(_RESOLVED * spread, rounding), gains, 0.0)
    zca = (vectors * gains) @ vectors.T
    return {"mean": pixels, "zca": zca, "shift": shift @ zca}


def _as_float32(fitted: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: value.astype("float32") for name, value in fitted.items()}


def _chunks(x: np.ndarray, prepare: Callable[[np.ndarray], np.ndarray]) -> Iterator[np.ndarray]:
    for start in range(0, len(x), _CHUNK):
        yield prepare(np.asarray(x[start : start + _CHUNK])).astype("float64")


def samplewise(x: Tensor, *, scale: bool, ops: ModuleType) -> Tensor:
    """Centre each image, and divide it by its standard deviation; an image of one value becomes 0.

    ``ops`` is ``keras.ops``, or NumPy.
    """
    axes = (1, 2, 3)
    centred = x - ops.mean(x, axis=axes, keepdims=True)
    if not scale:
        return centred
    # What is left of an image of one value is the rounding of its mean, which TINY would make large.
    highest, lowest = ops.max(x, axis=axes, keepdims=True), ops.min(x, axis=axes, keepdims=True)
    varied = highest - lowest > FLAT * ops.maximum(ops.abs(highest), ops.abs(lowest))
    scaled = centred / (ops.std(centred, axis=axes, keepdims=True) + TINY)
    return ops.where(varied, scaled, ops.zeros_like(scaled))


def whiten(x: Tensor, fitted: Mapping[str, Tensor]) -> Tensor:
    """Whiten centred images with ``zca`` and ``shift``."""
    ops = keras.ops
    flat = ops.reshape(x, (-1, math.prod(x.shape[1:])))
    return ops.reshape(ops.matmul(flat, fitted["zca"]) + fitted["shift"], ops.shape(x))


def as_layers(x: Tensor, fitted: Mapping[str, np.ndarray]) -> Tensor:
    """Apply to a symbolic image what was fitted, as layers of Keras' own that reload with ``safe_mode=True``."""
    if "zca" in fitted:
        shape = tuple(x.shape[1:])
        means = fitted["mean"].ravel().tolist()
        whitening = keras.layers.Dense(math.prod(shape), trainable=False, dtype="float32", name="zca")
        x = keras.layers.Normalization(mean=means, variance=[1.0] * len(means), dtype="float32")(
            keras.layers.Flatten()(x)
        )
        x = keras.layers.Reshape(shape)(whitening(x))
        whitening.set_weights([fitted["zca"], fitted["shift"]])
    elif "mean" in fitted:
        channels = x.shape[-1]
        mean = fitted["mean"].reshape(channels)
        std = fitted["std"].reshape(channels) + TINY if "std" in fitted else np.ones(channels)
        x = keras.layers.Normalization(mean=mean.tolist(), variance=np.square(std).tolist(), dtype="float32")(x)
    return x
