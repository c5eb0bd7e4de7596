"""Which weights are kernels and which are biases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reglab.aliases import Variable
from reglab.lazy import keras
from reglab.strategies import Place

__all__ = ["places_of", "role", "weights_by_role"]

# Weights that shift, scale or bend what passes, unit by unit, whatever their rank: regularizers of kernels leave them.
_NEITHER = {"gamma", "beta", "scale", "alpha", "moving_mean", "moving_variance"}


def role(weight: Variable) -> str | None:
    """Return ``kernel``, ``bias`` or None for a weight, by the name Keras' layers give it and then by its rank.

    Kernels are those of dense and convolution layers, depthwise, pointwise and recurrent kernels, embeddings, and any
    other weight of two dimensions or more; weights of normalization layers and slopes of activations are neither.
    """
    name = _short_name(weight)
    if name in _NEITHER:
        return None
    if name.endswith("bias"):
        return "bias"
    if name.endswith(("kernel", "embeddings")) or len(weight.shape) > 1:
        return "kernel"
    return None


def places_of(network: keras.Layer) -> list[tuple[Any, Place]]:
    """Return the trainable weights of a network, each with its place."""
    weights = network.trainable_weights
    return [(weight, _place(weight, index, len(weights))) for index, weight in enumerate(weights)]


def _place(weight: Variable, index: int, count: int) -> Place:
    return Place(role(weight) or "other", _layer(weight), len(weight.shape), index, count, _short_name(weight))


def _layer(weight: Variable) -> str:
    return weight.path.rpartition("/")[0]


def _short_name(weight: Variable) -> str:
    """Return what a layer calls a weight; on TensorFlow, an optimizer's name of it has a path and a number."""
    return weight.name.rsplit("/", 1)[-1].partition(":")[0]


def weights_by_role(network: keras.Layer) -> Iterator[tuple[Any, Place]]:
    """Yield the kernels and biases of a network that are trained; as in Keras, frozen ones are not penalized."""
    for weight, place in places_of(network):
        if place.kind != "other":
            yield weight, place
