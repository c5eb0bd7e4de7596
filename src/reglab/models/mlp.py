"""A multilayer perceptron, for tables."""

from __future__ import annotations

from reglab.errors import ReglabError
from reglab.lazy import keras
from reglab.models.options import is_positive

__all__ = ["mlp"]


def mlp(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    units: int | tuple[int, ...] = (128, 128),
    activation: str = "relu",
    ending: str = "softmax",
) -> keras.Model:
    """Return dense hidden layers and a softmax, or other outputs; inputs of several dimensions are flattened.

    Args:
        input_shape: ``(features,)``, or the shape of one example.
        num_classes: how many outputs there are: one per class, or per number to predict.
        units: units of each hidden layer; a single number makes one layer.
        activation: of the hidden layers, by Keras' name.
        ending: the activation of the outputs: ``linear`` for numbers to predict.

    Raises:
        ReglabError: if an option is not possible.

    Example:
        >>> [layer.name for layer in mlp((30,), 2, units=(64, 32)).layers]
        ['features', 'hidden1', 'hidden2', 'head']
    """
    counts = units if isinstance(units, tuple | list) else (units,)
    if not counts or not all(is_positive(count) for count in counts):
        raise ReglabError(f"mlp: units={units!r} is not possible. Give whole numbers, as (128, 128).")
    try:
        keras.activations.get(activation)
    except (TypeError, ValueError):
        raise ReglabError(
            f"mlp: activation={activation!r} is not possible. Give an activation by Keras' name, as relu, gelu or tanh."
        ) from None
    inputs = x = keras.Input(input_shape, name="features")
    if len(input_shape) > 1:
        x = keras.layers.Flatten(name="flat")(x)
    for number, count in enumerate(counts, start=1):
        x = keras.layers.Dense(count, activation=activation, name=f"hidden{number}")(x)
    outputs = keras.layers.Dense(num_classes, activation=ending, name="head")(x)
    return keras.Model(inputs, outputs, name="mlp")
