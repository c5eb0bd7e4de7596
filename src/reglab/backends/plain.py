"""What JAX and PyTorch do as Keras does it; TensorFlow has faster ways."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Protocol

import keras

from reglab.aliases import Random, Tensor, Tensors

__all__ = ["DROPPED", "Batches", "Fed", "by_class", "dropped", "feed", "random_kept", "sum_of_squares"]


def dropped(h: Tensor, rate: Tensor, scale: Tensor, random: Random) -> Tensor:
    """Return ``h`` with each unit left out with probability ``rate``, and the others times ``scale``."""
    kept = keras.random.uniform(keras.ops.shape(h), dtype=h.dtype, seed=random) >= keras.ops.cast(rate, h.dtype)
    return keras.ops.where(kept, h * keras.ops.cast(scale, h.dtype), keras.ops.zeros((), dtype=h.dtype))


DROPPED = (dropped,)  # what a script needs that is to draw the same


def sum_of_squares(x: Tensor) -> Tensor:
    """Return the sum of all squares."""
    return keras.ops.sum(keras.ops.square(x))


class Batches(Protocol):
    """The batches of all epochs as one sequence, ``steps`` an epoch, of which the first ``whole`` are of one size."""

    steps: int
    whole: int

    def __len__(self) -> int: ...

    def __getitem__(self, item: int, /) -> Tensors: ...


class Fed(NamedTuple):
    """Batches as ``fit`` is to be given them.

    Attributes:
        data: what ``fit`` iterates over.
        steps: items of it in an epoch.
        most: training steps of an item, at most.
    """

    data: Any
    steps: int
    most: int = 1


def feed(batches: Batches, *, watched: bool = False) -> Fed:
    """Return the batches of a training as ``fit`` is to be given them.

    Args:
        batches: those of all epochs.
        watched: whether somebody looks at each step, so that several cannot be taken together.
    """
    return Fed(batches, batches.steps)


def by_class(outputs: Tensor) -> Tensor:
    """Return outputs of which the sparse cross-entropy has a gradient: on these backends, as they are."""
    return outputs


def random_kept() -> AbstractContextManager[None]:
    """Return a scope that leaves the backend's own random state as it was; there is none but streams."""
    return nullcontext()
