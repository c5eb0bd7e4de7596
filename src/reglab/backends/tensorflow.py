"""TensorFlow: gradients from a tape, and a training step whose state lives in variables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

if TYPE_CHECKING:
    from reglab.backends.trainer import Trainer as _Trainer
else:
    _Trainer = object

__all__ = ["StepMixin", "compiled", "gradient"]


def gradient(function: Callable[[Any], Any], at: Any) -> Any:
    """Return the gradient of the scalar ``function`` at ``at``, a tensor or a list of tensors."""
    at = keras.tree.map_structure(tf.convert_to_tensor, at)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(at)
        value = function(at)
    return tape.gradient(value, at, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def compiled(function: Callable[..., Any], variables: Sequence[Any]) -> Callable[..., Any]:
    """Return ``function`` compiled; it may read ``variables`` and change nothing."""
    return tf.function(function, autograph=False)


class StepMixin(_Trainer):
    """Prepares the batch, then leaves the step to Keras."""

    def train_step(self, data: Any) -> Any:
        return super().train_step(self._prepare(data))

    def _settle(self) -> None:
        """Nothing is left to do after a fit."""
