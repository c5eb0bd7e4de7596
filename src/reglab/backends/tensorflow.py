"""TensorFlow: gradients from a tape, and a training step whose state lives in variables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from reglab.aliases import Tensor, Tensors
from reglab.backends.cheap_bits import DROPPED, dropped
from reglab.backends.plain import Batches, Fed, by_class, random_kept

if TYPE_CHECKING:
    from reglab.backends.trainer import Trainer as _Trainer
else:
    _Trainer = object

__all__ = [
    "DROPPED",
    "StepMixin",
    "by_class",
    "compiled",
    "device",
    "dropped",
    "feed",
    "gradient",
    "random_kept",
    "sum_of_squares",
]


def gradient(function: Callable[[Any], Tensor], at: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
    """Return the gradient of the scalar ``function`` at ``at``, a tensor or a list of tensors."""
    at = keras.tree.map_structure(tf.convert_to_tensor, at)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(at)
        value = function(at)
    return tape.gradient(value, at, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def device() -> str:
    """Return what is computed on: CPU, or the name of the first GPU."""
    gpus = tf.config.list_physical_devices("GPU")
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")) if gpus else "CPU"


def compiled(function: Callable[..., Any], variables: Sequence[keras.Variable]) -> Callable[..., Any]:
    """Return ``function`` compiled; it may read ``variables`` and change nothing."""
    return tf.function(function, autograph=False)


def sum_of_squares(x: Tensor) -> Tensor:
    """Return the sum of all squares, whose gradient is one product and not an array of ones and three of them."""
    return 2 * tf.nn.l2_loss(x)


def feed(batches: Batches, *, watched: bool = False) -> Fed:
    """Return the batches as ``fit`` is to be given them: as a ``tf.data`` pipeline that does not tune itself.

    Keras would make one that does. The thread that tunes it sleeps twice as long after each look, and a pipeline that
    is left waits for it to wake up, in about half of all cases: up to as long again as it had been in use
    (docs/performance.md). There is nothing to tune in one generator.
    """
    signature = keras.tree.map_structure(lambda part: tf.TensorSpec((None, *part.shape[1:]), part.dtype), batches[0])
    dataset = tf.data.Dataset.from_generator(
        lambda: (batches[position] for position in range(len(batches))), output_signature=signature
    ).prefetch(2)
    options = tf.data.Options()
    options.autotune.enabled = False
    return Fed(dataset.with_options(options), batches.steps)


class StepMixin(_Trainer):
    """Prepares the batch, then leaves the step to Keras."""

    def train_step(self, data: Tensors) -> dict[str, Tensor]:
        logs = super().train_step(self._prepare(data))
        self._after_update()
        return logs

    def _settle(self) -> None:
        """Nothing is left to do after a fit."""
