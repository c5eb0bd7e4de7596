"""Gaussian noise: what it draws, where it acts, and Keras' own layer as an oracle."""

import keras
import numpy as np
import pytest
from small import dense, identity, training

import reglab
from reglab.strategies import GaussianNoise

pytestmark = pytest.mark.backend


@pytest.mark.parametrize("stddev", [0.05, 1.0])
def test_gaussian_noise_has_its_standard_deviation_and_no_mean(stddev):
    x = np.full((200, 1000), 2.0, "float32")
    noise = training(reglab.regularize(identity(), GaussianNoise(stddev=stddev, where="input"), seed=1), x) - x
    assert abs(noise.mean()) < 5 * stddev / np.sqrt(noise.size)
    np.testing.assert_allclose(noise.std(), stddev, rtol=0.01)
    np.testing.assert_allclose(np.mean(noise**4) / noise.std() ** 4, 3.0, rtol=0.03)  # a normal's kurtosis


def test_the_same_draws_never_come_twice():
    x = np.ones((50, 1000), "float32")
    model = reglab.regularize(identity(), GaussianNoise(stddev=1.0, where="input"), seed=1)
    first, second = training(model, x) - x, training(model, x) - x
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.03


def test_noise_at_the_output_is_added_to_the_logits():
    model = reglab.regularize(dense(), GaussianNoise(stddev=0.5, where="output"), seed=1)
    x = np.random.default_rng(0).normal(size=(4000, 6)).astype("float32")
    clean = keras.ops.convert_to_numpy(model(x, training=False))
    noisy = training(model, x)
    np.testing.assert_allclose(noisy.sum(axis=1), 1, atol=1e-5)  # the softmax comes after the noise
    # The difference of two logits is the log of the ratio of two probabilities, and carries the noise of both.
    noise = np.log(noisy[:, 0] / noisy[:, 1]) - np.log(clean[:, 0] / clean[:, 1])
    np.testing.assert_allclose(noise.std(), 0.5 * np.sqrt(2), rtol=0.05)


def test_integer_inputs_cannot_be_noisy():
    inputs = keras.Input((4,), dtype="int32")
    h = keras.layers.Flatten()(keras.layers.Embedding(5, 3)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(h))
    with pytest.raises(reglab.ReglabError, match=r"gaussian_noise changes the numbers .* indices .*where='hidden'"):
        reglab.regularize(model, GaussianNoise(stddev=0.1, where="input"))
