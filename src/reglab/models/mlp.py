"""A multilayer perceptron, for tables."""

from __future__ import annotations

from typing import Any

from reglab.errors import ReglabError
from reglab.lazy import keras

__all__ = ["mlp"]


def mlp(
    input_shape: tuple[int, ...], num_classes: int, *, units: tuple[int, ...] = (128, 128), activation: str = "relu"
) -> Any:
    """Return dense hidden layers and a softmax; inputs of more than one dimension are flattened.

    Args:
        input_shape: ``(features,)``, or the shape of one example.
        num_classes: outputs of the softmax.
        units: units of each hidden layer.
        activation: of the hidden layers, by Keras' name.
    """
    units = (units,) if isinstance(units, int) else tuple(units)
    if not units or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in units):
        raise ReglabError(f"mlp: units={units!r} is not possible. Give whole numbers, as (128, 128).")
    inputs = x = keras.Input(input_shape, name="features")
    if len(input_shape) > 1:
        x = keras.layers.Flatten(name="flat")(x)
    for number, count in enumerate(units, start=1):
        x = keras.layers.Dense(count, activation=activation, name=f"hidden{number}")(x)
    outputs = keras.layers.Dense(num_classes, activation="softmax", name="head")(x)
    return keras.Model(inputs, outputs, name="mlp")
