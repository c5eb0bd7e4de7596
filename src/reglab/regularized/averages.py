"""Averages of weights together with the weights of the best epoch.

Keras leaves the averages (``use_ema``) in the weights when ``fit`` ends, and its EarlyStopping then puts the weights of
the best epoch over them, judged and kept without an average. Where both are there and a recipe asked for one of them,
the averages are what is validated and what is kept as best.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from reglab.errors import ReglabError
from reglab.keras_internals import averages_in
from reglab.regularized.optimizer import unscaled
from reglab.strategies.averaging.ema import EMA

__all__ = ["averages_for", "averages_of"]


def averages_of(model: Any) -> list[np.ndarray]:
    """Return the averages of a model's trainable variables, in their order, which its optimizer keeps."""
    # By way of NumPy: on JAX, memory that two variables share is gone for both once a step was given it.
    averages = averages_in(unscaled(model.optimizer))
    return [np.array(keras.ops.convert_to_numpy(average)) for average in averages]


def averages_for(model: Any, *, users: list[Any], own: list[Any]) -> list[Any]:
    """Return the callback by which averages and best weights go together, where a recipe brought one of them."""
    restoring = [c for c in (*users, *own) if isinstance(c, keras.callbacks.EarlyStopping) and c.restore_best_weights]
    averaging = getattr(unscaled(getattr(model, "optimizer", None)), "use_ema", False)
    asked = any(isinstance(strategy, EMA) for strategy in model.recipe) or any(c in own for c in restoring)
    if not (restoring and averaging and asked):
        return []
    if any(isinstance(callback, keras.callbacks.SwapEMAWeights) for callback in users):
        raise ReglabError(
            "SwapEMAWeights is not needed where weights are averaged and the best ones are restored: the averages are "
            "what is validated and restored. Take it out."
        )
    return [_Averages()]


class _Averages(keras.callbacks.Callback):
    """Has the averages in the weights from validation, or the end of the epoch, until the next epoch begins."""

    def __init__(self) -> None:
        super().__init__()
        self._moving: list[np.ndarray] | None = None

    def on_test_begin(self, logs: Any = None) -> None:
        self._show()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._show()  # where there was no validation

    def _show(self) -> None:
        if self._moving is not None:
            return
        weights = self.model.trainable_variables
        self._moving = [np.array(keras.ops.convert_to_numpy(weight)) for weight in weights]
        for weight, average in zip(weights, averages_of(self.model), strict=True):
            weight.assign(average)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._moving is not None:
            for weight, value in zip(self.model.trainable_variables, self._moving, strict=True):
                weight.assign(value)
            self._moving = None

    def on_train_begin(self, logs: Any = None) -> None:
        self._moving = None
