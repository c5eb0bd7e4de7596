"""The trained network as plain Keras, with what was fitted to the data as ordinary layers before it."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from reglab.errors import ReglabError
from reglab.regularized.clone import without_taps
from reglab.regularized.fitted import Fitted
from reglab.strategies import Augmentation, Strategy
from reglab.strategies.whitening import TINY

__all__ = ["exported"]


def exported(network: Any, strategies: list[Strategy], fitted: Fitted) -> keras.Model:
    """Return a copy of ``network`` in which no layer is reglab's, loadable with ``safe_mode=True``."""
    plain = without_taps(network)
    augmentation = next(
        ((i, s) for i, s in enumerate(strategies) if isinstance(s, Augmentation) and _normalizes(s)), None
    )
    if augmentation is None:
        return plain
    position, strategy = augmentation
    if not plain.built or not hasattr(plain, "input"):
        raise ReglabError("The network has no known input shape, so nothing can be put before it. Train it first.")
    inputs = keras.Input(batch_shape=plain.input.shape, name="raw_input")
    arrays = {name: np.asarray(keras.ops.convert_to_numpy(value)) for name, value in fitted.of(position).items()}
    return keras.Model(inputs, plain(_normalized(inputs, strategy, arrays)), name=plain.name)


def _normalizes(strategy: Augmentation) -> bool:
    return strategy.needs_data or strategy.samplewise_center or strategy.samplewise_std_normalization


def _normalized(x: Any, strategy: Augmentation, arrays: dict[str, np.ndarray]) -> Any:
    ops = keras.ops
    if strategy.samplewise_center:
        x = x - ops.mean(x, axis=(1, 2, 3), keepdims=True)
    if strategy.samplewise_std_normalization:
        x = x / (ops.std(x, axis=(1, 2, 3), keepdims=True) + TINY)
    if "mean" in arrays or "std" in arrays:
        channels = x.shape[-1]
        mean = arrays.get("mean", np.zeros(channels)).reshape(channels)
        std = arrays["std"].reshape(channels) + TINY if "std" in arrays else np.ones(channels)
        x = keras.layers.Normalization(mean=mean.tolist(), variance=np.square(std).tolist(), dtype="float32")(x)
    if "zca" in arrays:
        shape = tuple(x.shape[1:])
        whiten = keras.layers.Dense(math.prod(shape), use_bias=False, trainable=False, dtype="float32", name="zca")
        x = keras.layers.Reshape(shape)(whiten(keras.layers.Flatten()(x)))
        whiten.set_weights([arrays["zca"]])
    return x
