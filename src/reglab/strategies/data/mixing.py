"""Mixing each example of a batch with its neighbour: the shares, and the targets."""

from __future__ import annotations

from reglab.aliases import Random, Tensor
from reglab.lazy import keras
from reglab.strategies.given import Batch

__all__ = ["NO_XLA", "beside", "mix", "mixed_targets", "shares", "spliced", "spliced_targets"]

NO_XLA = "TensorFlow cannot compile its Beta sampler with XLA. Compile with jit_compile=False"


def shares(alpha: Tensor, count: Tensor, random: Random) -> Tensor:
    """Draw ``m ~ Beta(alpha, alpha)`` per example, the share that it keeps of itself; 1 if ``alpha`` is 0."""
    ops = keras.ops
    # Beta(0, 0) puts all its mass on 0 and 1: no mixing, which the sampler cannot be asked for.
    alphas = ops.full((count,), 1.0) * ops.maximum(alpha, 1e-3)
    m = keras.random.beta((count,), alphas, alphas, seed=random)
    return ops.where(alpha > 0, m, 1.0)


def mixed_targets(batch: Batch, m: Tensor) -> Batch:
    """Return a batch with mixed targets, and weights such that the loss is the mixture of the two weighted losses."""
    ops = keras.ops
    if batch.sample_weight is None:
        return batch._replace(y=mix(batch.y, m))
    w = ops.cast(batch.sample_weight, "float32")
    w_mixed = mix(w, m)
    weighted = mix(batch.y * beside(w, batch.y), m)
    return batch._replace(y=weighted / beside(ops.maximum(w_mixed, 1e-12), batch.y), sample_weight=w_mixed)


def beside(values: Tensor, others: Tensor) -> Tensor:
    """Return values with further axes of size 1, so that they broadcast against others of more axes."""
    for _ in range(len(others.shape) - len(values.shape)):
        values = keras.ops.expand_dims(values, -1)
    return values


def spliced_targets(batch: Batch, patch: Tensor) -> Batch:
    """Return a batch whose targets per pixel come from the neighbour inside of a patch, and so do their weights.

    Args:
        batch: with targets ``(batch, height, width, classes)``.
        patch: 1 inside and 0 outside, ``(batch, height, width)``.
    """
    weights = batch.sample_weight
    if weights is not None:
        weights = spliced(beside(keras.ops.cast(weights, "float32"), patch), patch)
    return batch._replace(y=spliced(batch.y, patch), sample_weight=weights)


def spliced(values: Tensor, patch: Tensor) -> Tensor:
    """Return values per pixel that come from the neighbour inside of a patch."""
    inside = beside(patch, values)
    return values * (1.0 - inside) + keras.ops.roll(values, 1, axis=0) * inside


def mix(values: Tensor, m: Tensor) -> Tensor:
    """Return ``m * values + (1 - m) * values of the neighbour``, with one ``m`` per example."""
    m = keras.ops.reshape(m, (-1,) + (1,) * (len(values.shape) - 1))
    # Written so that m = 1 gives the values to the last bit.
    return values + (1.0 - m) * (keras.ops.roll(values, 1, axis=0) - values)
