"""Averages of weights against Keras' own optimizers."""

import keras
import numpy as np
import pytest
from small import assert_equal, network, trained

import reglab
from reglab.strategies import EMA

pytestmark = pytest.mark.backend


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
