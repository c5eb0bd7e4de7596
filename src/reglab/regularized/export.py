"""The trained network as plain Keras, with what was fitted to the data as ordinary layers before it."""

from __future__ import annotations

import keras
import numpy as np

from reglab.errors import ReglabError
from reglab.keras_internals import is_graph
from reglab.regularized.clone import without_taps
from reglab.regularized.fitted import Fitted
from reglab.regularized.graph import flat_layers, inputs_of
from reglab.regularized.parts import Part

__all__ = ["exported", "why_not_saved"]


def exported(network: keras.Model, parts: list[Part], fitted: Fitted, weights: list[np.ndarray]) -> keras.Model:
    """Return a copy of ``network``, with these weights, in which no layer is reglab's; ``safe_mode=True`` loads it.

    Raises:
        ReglabError: if something was fitted, and the network does not know the shape of its input, or a strategy does
            not say how it is done in Keras' layers.
    """
    plain = without_taps(network)
    if any(part.overrides("reparametrize") for part in parts):
        plain.set_weights(weights)
    preprocessing = [(i, part.strategy) for i, part in enumerate(parts) if part.strategy.preprocesses]
    for _, strategy in preprocessing:
        if not strategy.implements("as_layers"):
            raise ReglabError(
                f"{strategy.name} changes inputs (preprocess), and does not say how Keras' layers do that, so an "
                "exported network would predict otherwise. Give it the method as_layers."
            )
    if not preprocessing:
        return plain
    known = inputs_of(plain) if is_graph(plain) else []  # a Sequential one has no attribute input before it is called
    if not known:
        raise ReglabError("The network has no known input shape, so nothing can be put before it. Train it first.")
    inputs = x = keras.Input(batch_shape=known[0].shape, name="raw_input")
    for position, strategy in preprocessing:
        arrays = {name: np.asarray(keras.ops.convert_to_numpy(value)) for name, value in fitted.of(position).items()}
        x = strategy.as_layers(x, arrays)
    return keras.Model(inputs, plain(x), name=plain.name)


def why_not_saved(network: keras.Model) -> str | None:
    """Return why a file of a network cannot be written, or be read without further ado, or None if it can."""
    try:
        keras.saving.serialize_keras_object(network)
    except Exception as error:  # whatever a configuration raises, it is none
        reason = " ".join(str(error).split()).split(". ")[0].rstrip(".")
        return f"cannot be saved as a file: {reason}. Give the layer a get_config method"
    functions = [layer.name for layer in flat_layers(network) if isinstance(layer, keras.layers.Lambda)]
    if functions:
        return (
            f"has functions in it that a file does not hold in full ({', '.join(functions)}). Make each Lambda a layer "
            "with a call method"
        )
    return None
