"""Which weights are kernels and which are biases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["role", "weights_by_role"]

# Weights that shift, scale or bend what passes, unit by unit, whatever their rank: regularizers of kernels leave them.
_NEITHER = {"gamma", "beta", "scale", "alpha", "moving_mean", "moving_variance"}


def role(weight: Any) -> str | None:
    """Return ``kernel``, ``bias`` or None for a weight, by the name Keras' layers give it and then by its rank.

    Kernels are those of dense and convolution layers, depthwise, pointwise and recurrent kernels, embeddings, and any
    other weight of two dimensions or more; weights of normalization layers and slopes of activations are neither.
    """
    name = weight.name.rsplit("/", 1)[-1].partition(":")[0]
    if name in _NEITHER:
        return None
    if name.endswith("bias"):
        return "bias"
    if name.endswith(("kernel", "embeddings")) or len(weight.shape) > 1:
        return "kernel"
    return None


def weights_by_role(network: Any) -> Iterator[tuple[Any, str]]:
    """Yield the trainable weights of a network that have a role; as in Keras, frozen ones are not penalized."""
    for weight in network.trainable_weights:
        if found := role(weight):
            yield weight, found
