"""The random bits that dropout is drawn with on TensorFlow: the published generator, and what they look like."""

import keras
import numpy as np
import pytest
from scipy import stats

from reglab.backends import name

if name() != "tensorflow":
    pytest.skip("TensorFlow's own dropout", allow_module_level=True)

import tensorflow as tf

from reglab.backends.cheap_bits import dropped, factors, fused, squares

KEY = 0xC58EFD154CE32F6D


def bits(key, counters):
    return squares(tf.constant(key, tf.uint64), tf.constant(np.array(counters, "uint64"))).numpy()


def by_hand(key, counter):
    """Widynski's listing of squares32, in whole numbers of any size."""
    low = 2**64 - 1
    x = y = counter * key & low
    z = y + key & low
    for addend in (y, z, y):
        x = x * x + addend & low
        x = x >> 32 | x << 32 & low
    return (x * x + z & low) >> 32


def test_the_bits_are_those_of_the_published_generator():
    counters = [0, 1, 2, 1000, (7 << 32) + 5, (2**31 << 32) + 2**31 - 1]
    assert bits(KEY, counters).tolist() == [by_hand(KEY, counter) for counter in counters]


@pytest.mark.parametrize("key", [KEY, 1])
def test_every_byte_is_uniform_and_neighbours_do_not_know_of_each_other(key):
    # Counters of the twelfth draw of a stream. The key 1 is the worst there is.
    found = bits(key, (11 << 32) + np.arange(2**20))
    for shift in (0, 8, 16, 24):
        counts = np.bincount((found >> shift) & 255, minlength=256)
        assert stats.chisquare(counts).pvalue > 1e-6
    for lag in (1, 2, 67, 1024):
        correlation = np.corrcoef(found[:-lag], found[lag:])[0, 1]
        assert abs(correlation) < 5 / np.sqrt(len(found))


def test_streams_and_draws_are_independent():
    masks = []
    for seed in (1, 2, 3):
        random = keras.random.SeedGenerator(seed)
        masks += [dropped(tf.ones(100_000), 0.5, 2.0, random).numpy() - 1 for _ in range(3)]
    correlations = np.corrcoef(masks)[np.triu_indices(9, 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(100_000)


def test_compiled_or_not_the_factors_are_the_same():
    shape = tf.constant([7, 5, 3])
    numbers = tf.constant(2**30, tf.uint32), tf.constant(4 / 3), tf.constant(KEY, tf.uint64), tf.constant(5, tf.uint64)
    np.testing.assert_array_equal(fused(shape, *numbers), factors(shape, *numbers))


def test_the_backward_pass_has_the_mask_of_the_forward_pass():
    h = tf.constant(np.random.default_rng(0).normal(size=(40, 50)).astype("float32"))
    with tf.GradientTape() as tape:
        tape.watch(h)
        out = dropped(h, 0.3, np.float32(1 / 0.7), keras.random.SeedGenerator(5))
    slope = tape.gradient(out, h).numpy()
    np.testing.assert_array_equal(slope != 0, out.numpy() != 0)
    np.testing.assert_array_equal(np.unique(slope), np.float32([0, 1 / 0.7]))


def test_a_rate_of_zero_keeps_everything_to_the_last_bit():
    h = tf.constant(np.random.default_rng(0).normal(size=1000).astype("float32"))
    np.testing.assert_array_equal(dropped(h, 0.0, 1.0, keras.random.SeedGenerator(5)), h)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_mask_does_not_depend_on_the_precision(dtype):
    wide = dropped(tf.ones(10_000), 0.1, 1 / 0.9, keras.random.SeedGenerator(5))
    narrow = dropped(tf.ones(10_000, dtype), 0.1, 1 / 0.9, keras.random.SeedGenerator(5))
    assert narrow.dtype == dtype
    np.testing.assert_array_equal(narrow != 0, wide != 0)
