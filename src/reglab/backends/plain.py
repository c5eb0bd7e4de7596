"""What JAX and PyTorch do as Keras does it; TensorFlow has faster ways."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import keras

from reglab.aliases import Random, Tensor, Tensors

__all__ = ["DROPPED", "by_class", "dropped", "feed", "random_kept", "sum_of_squares"]


def dropped(h: Tensor, rate: Tensor, scale: Tensor, random: Random) -> Tensor:
    """Return ``h`` with each unit left out with probability ``rate``, and the others times ``scale``."""
    kept = keras.random.uniform(keras.ops.shape(h), dtype=h.dtype, seed=random) >= keras.ops.cast(rate, h.dtype)
    return keras.ops.where(kept, h * keras.ops.cast(scale, h.dtype), keras.ops.zeros((), dtype=h.dtype))


DROPPED = (dropped,)  # what a script needs that is to draw the same


def sum_of_squares(x: Tensor) -> Tensor:
    """Return the sum of all squares."""
    return keras.ops.sum(keras.ops.square(x))


def feed(batches: Sequence[Tensors]) -> Sequence[Tensors]:
    """Return the batches as ``fit`` is to be given them."""
    return batches


def by_class(outputs: Tensor) -> Tensor:
    """Return outputs of which the sparse cross-entropy has a gradient: on these backends, as they are."""
    return outputs


def random_kept() -> AbstractContextManager[None]:
    """Return a scope that leaves the backend's own random state as it was; there is none but streams."""
    return nullcontext()
