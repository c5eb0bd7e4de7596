"""The batches of a training, in an order that only its seed decides."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from reglab.data.several import fed
from reglab.seeds import derive

__all__ = ["Batches", "epoch_order"]


def epoch_order(seed: int, epoch: int, size: int) -> np.ndarray:
    """Return the order in which ``size`` examples come in an epoch, counted from 0: a permutation."""
    return np.random.default_rng(derive(seed, "epoch", epoch)).permutation(size)


class Batches(keras.utils.PyDataset):
    """All batches of all epochs, as one sequence: item ``k`` is batch ``k % steps`` of epoch ``k // steps``.

    So ``fit(batches, epochs=E, steps_per_epoch=batches.steps, shuffle=False)`` sees the same batches on every backend,
    whatever else was drawn before. The last batch of an epoch is smaller if it must be. A training that goes on from
    epoch ``E0`` gets the sequence from there: ``first_epoch=E0``, beside ``initial_epoch=E0`` of ``fit``.

    Args:
        x, y: raw examples and labels, of which ``indices`` are used; ``x`` may lie on disk.
        indices: the training examples.
        preprocess: applied to each batch.
        first_epoch: the epoch, counted from 0, that the sequence begins with.
        weights: how much each example counts in the loss, where they do not count alike.

    Attributes:
        steps: batches of an epoch, of which the first ``whole`` have all examples that a batch can have.
    """

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray,
        indices: np.ndarray,
        *,
        batch_size: int,
        epochs: int,
        seed: int,
        preprocess: Callable[[np.ndarray], np.ndarray],
        first_epoch: int = 0,
        weights: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.steps = math.ceil(len(indices) / batch_size)
        self.whole = len(indices) // batch_size
        self._x, self._y, self._indices = x, y, indices
        self._batch_size, self._epochs, self._seed, self._preprocess = batch_size, epochs, seed, preprocess
        self._first_epoch, self._weights = first_epoch, weights
        self._order: tuple[int, np.ndarray] = (-1, indices)

    def __len__(self) -> int:
        return (self._epochs - self._first_epoch) * self.steps

    def __getitem__(self, item: int) -> tuple[Any, ...]:
        epoch, step = divmod(item + self._first_epoch * self.steps, self.steps)
        if self._order[0] != epoch:
            self._order = (epoch, self._indices[epoch_order(self._seed, epoch, len(self._indices))])
        chosen = self._order[1][step * self._batch_size : (step + 1) * self._batch_size]
        weights = () if self._weights is None else (self._weights[chosen],)
        return fed(self._preprocess(self._x[chosen])), fed(self._y[chosen]), *weights
