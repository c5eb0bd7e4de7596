"""Dropout on TensorFlow with random bits that cost little: a counter hashed by a fused XLA kernel.

TensorFlow's own generator and the passes behind it took a third of a training step of the paper's Inception
(docs/performance.md). Here XLA makes the factors of all units in one pass, which does not wait for the units, and one
product in place is all that is left on the way.
"""

from __future__ import annotations

import tensorflow as tf

from reglab.aliases import Random

__all__ = ["DROPPED", "dropped"]


def squares(key: tf.Tensor, counter: tf.Tensor) -> tf.Tensor:
    """Return 32 random bits for each counter, as uint32.

    The generator "squares" of four rounds: Widynski 2020, arXiv:2004.06278. ``key`` is an odd uint64, ``counter`` any
    array of uint64. It is made of integers alone, so the bits are the same on every device, compiled or not.
    """
    half = tf.constant(32, tf.uint64)
    y = counter * key
    z = y + key
    x = y
    for addend in (y, z, y):
        x = x * x + addend
        x = tf.bitwise.bitwise_or(tf.bitwise.right_shift(x, half), tf.bitwise.left_shift(x, half))
    return tf.cast(tf.bitwise.right_shift(x * x + z, half), tf.uint32)


def factors(shape: tf.Tensor, threshold: tf.Tensor, scale: tf.Tensor, key: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
    """Return an array that is ``scale`` where 32 random bits are at least ``threshold``, and zero elsewhere."""
    counter = first + tf.cast(tf.range(tf.reduce_prod(shape)), tf.uint64)
    return tf.reshape(tf.where(squares(key, counter) >= threshold, scale, tf.zeros((), scale.dtype)), shape)


fused = tf.function(factors, jit_compile=True, autograph=False)


def dropped(h: tf.Tensor, rate: tf.Tensor, scale: tf.Tensor, random: Random) -> tf.Tensor:
    """Return ``h`` with each unit left out with probability ``rate``, and the others times ``scale``.

    Args:
        h: units, of any shape; fewer than 2**31.
        rate: a float32 scalar in [0, 1).
        scale: a scalar, ``1 / (1 - rate)``.
        random: a ``keras.random.SeedGenerator``. Its seed gives the key, the number of the draw the upper half of the
            counters; so no two draws of a stream share a counter.
    """
    seed, draw = tf.unstack(tf.cast(random.next(), tf.int64))
    key = tf.random.stateless_uniform((), seed=tf.stack([seed, 0]), minval=None, maxval=None, dtype=tf.uint64)
    key = tf.bitwise.bitwise_or(key, tf.constant(1, tf.uint64))
    first = tf.bitwise.left_shift(tf.cast(draw, tf.uint64), tf.constant(32, tf.uint64))
    # Exact for every rate above 2**-8, and to 32 bits below.
    threshold = tf.cast(tf.cast(tf.convert_to_tensor(rate), tf.float64) * 2.0**32, tf.uint32)
    factor = fused(tf.shape(h), threshold, tf.cast(tf.convert_to_tensor(scale), h.dtype), key, first)
    factor.set_shape(h.shape)  # which fused cannot know
    return h * factor


# What a script needs that is to draw the same, in this order.
DROPPED = (
    squares,
    factors,
    "fused = tf.function(factors, jit_compile=True, autograph=False)",
    dropped,
)
