"""Weight noise: what it draws, and at which weights the gradient is taken."""

import keras
import numpy as np
import pytest

import reglab
from reglab.strategies import WeightNoise

pytestmark = pytest.mark.backend


def training(model, x):
    return keras.ops.convert_to_numpy(model(x, training=True))


def test_weight_noise_moves_kernels_of_the_forward_pass_alone():
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(4000, name="wide")(inputs))
    model.set_weights([np.full((1, 4000), 2.0), np.full(4000, 3.0)])
    regularized = reglab.regularize(model, WeightNoise(stddev=0.25), seed=1)
    out = training(regularized, np.ones((2, 1), "float32"))
    np.testing.assert_array_equal(out[0], out[1])  # one draw a batch
    noise = out[0] - 5.0
    np.testing.assert_allclose(noise.std(), 0.25, rtol=0.06)
    assert abs(noise.mean()) < 5 * 0.25 / np.sqrt(4000)
    np.testing.assert_array_equal(regularized.network.get_weights()[0], 2.0)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(regularized(np.ones((2, 1)), training=False)), 5.0)


def test_the_gradient_is_taken_at_the_noisy_weights_and_applied_to_the_clean_ones():
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False)(inputs))
    model.set_weights([np.array([[2.0]])])
    regularized = reglab.regularize(model, WeightNoise(stddev=0.5), seed=3)
    regularized.compile(keras.optimizers.SGD(0.1), "mse")
    noisy = float(training(regularized, np.ones((1, 1), "float32"))[0, 0])
    regularized.set_seed(3)
    regularized.train_on_batch(np.ones((1, 1), "float32"), np.zeros((1, 1), "float32"))
    assert noisy != 2.0
    # d/dw of (w x - 0)^2 at the noisy weight, for x = 1, is 2 w.
    np.testing.assert_allclose(regularized.network.get_weights()[0][0, 0], 2.0 - 0.1 * 2 * noisy, rtol=1e-5)
