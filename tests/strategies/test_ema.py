"""Averages of weights against Keras' own optimizers."""

import keras
import numpy as np
import pytest

import reglab
from reglab.strategies import EMA

pytestmark = pytest.mark.backend


def problem():
    rng = np.random.default_rng(0)
    return rng.normal(size=(32, 6)).astype("float32"), rng.integers(0, 3, 32)


def network():
    layers = keras.layers
    inputs = keras.Input((6,))
    h = layers.BatchNormalization()(layers.Dense(8, activation="relu")(inputs))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(h))


def trained(model, optimizer):
    """Train for two epochs of two steps, as they are: compiling them takes longer."""
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    model.fit(*problem(), batch_size=16, epochs=2, shuffle=False, verbose=0)
    return getattr(model, "network", model).get_weights()


def assert_equal(found, expected, tolerance=2e-6):
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=tolerance)


def test_ema_is_use_ema_of_keras_optimizers():
    source = network()
    oracle = keras.models.clone_model(source)
    oracle.set_weights(source.get_weights())
    expected = trained(oracle, keras.optimizers.Adam(0.05, use_ema=True, ema_momentum=0.8))
    plain = keras.models.clone_model(source)
    plain.set_weights(source.get_weights())
    without = trained(plain, keras.optimizers.Adam(0.05))
    found = trained(reglab.regularize(source, EMA(momentum=0.8)), keras.optimizers.Adam(0.05))
    assert_equal(found, expected)
    assert np.abs(found[0] - without[0]).max() > 1e-3
