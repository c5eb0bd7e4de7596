"""What was learned from the training data before training: statistics, a whitening, the range of raw values."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from reglab.strategies import InputRange

__all__ = ["Fitted"]


class Fitted(keras.layers.Layer):
    """Holds arrays as non-trainable float32 weights, made when the first ones are assigned.

    It is a layer so that Keras saves them with the model and hands them to compiled steps as state.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # There is nothing to build. Keras runs a model with a layer that is not built once more before each call of
        # train_on_batch, to build it.
        self.built = True

    @property
    def ready(self) -> bool:
        """Whether there is anything."""
        return bool(self.weights)

    def assign(self, arrays: dict[str, np.ndarray]) -> None:
        """Set all arrays. Other values of the same shapes take effect in a step that is compiled already."""
        if not self.ready:
            for name, value in arrays.items():
                self.add_weight(
                    name=name,
                    shape=np.shape(value),
                    initializer="zeros",
                    trainable=False,
                    dtype="float32",
                    autocast=False,
                )
        by_name = {weight.name: weight for weight in self.weights}
        for name, value in arrays.items():
            by_name[name].assign(value)

    def of(self, position: int) -> dict[str, Any]:
        """Return the arrays of one strategy of the recipe, as tensors."""
        start = f"{position}_"
        return {
            weight.name.removeprefix(start): keras.ops.convert_to_tensor(weight)
            for weight in self.weights
            if weight.name.startswith(start)
        }

    def input_range(self) -> InputRange | None:
        """Return where raw pixel values lie in the model's input."""
        by_name = {weight.name: keras.ops.convert_to_tensor(weight) for weight in self.weights}
        return InputRange(by_name["low"], by_name["high"]) if "low" in by_name else None

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each array, by name."""
        return {weight.name: tuple(weight.shape) for weight in self.weights}
