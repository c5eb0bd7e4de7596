"""Gradient centralization, worked out by hand for softmax regression, and what follows from it for convolutions."""

import keras
import numpy as np
import pytest

import reglab
from reglab.strategies import L2, GradientCentralization

pytestmark = pytest.mark.backend


def test_a_step_goes_along_the_gradient_less_its_mean():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(10, 4)).astype("float32"), rng.integers(0, 3, 10)
    kernel, bias = rng.normal(size=(4, 3)), rng.normal(size=3)
    logits = x @ kernel + bias
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    error = (p / p.sum(axis=1, keepdims=True) - np.eye(3)[y]) / len(x)
    gradient = x.T @ error + 2 * 0.1 * kernel  # of the penalty too
    expected = [kernel - 0.5 * (gradient - gradient.mean(axis=0)), bias - 0.5 * error.sum(axis=0)]

    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs))
    model.set_weights([kernel, bias])
    optimizer = keras.optimizers.SGD(0.5)
    regularized = reglab.regularize(model, GradientCentralization() + L2(kernel=0.1))
    regularized.compile(optimizer, "sparse_categorical_crossentropy")
    regularized.train_on_batch(x, y)
    for ours, theirs in zip(regularized.network.get_weights(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert not optimizer.built  # the user's own optimizer is as it was


@pytest.mark.parametrize("scaled", [False, True], ids=["float32", "scaled losses"])
def test_the_weights_that_come_into_a_unit_keep_their_sum(scaled):
    layers = keras.layers
    inputs = keras.Input((6, 6, 2))
    h = layers.Flatten()(layers.Conv2D(3, 3, activation="relu")(inputs))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(h))
    regularized = reglab.regularize(model, GradientCentralization())
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=4.0)
    regularized.compile(optimizer, "sparse_categorical_crossentropy", run_eagerly=True)
    rng = np.random.default_rng(0)
    regularized.fit(rng.normal(size=(32, 6, 6, 2)), rng.integers(0, 3, 32), batch_size=16, epochs=2, verbose=0)
    for before, after in zip(model.get_weights(), regularized.network.get_weights(), strict=True):
        assert np.abs(after - before).max() > 1e-3
        if before.ndim > 1:
            axes = tuple(range(before.ndim - 1))
            np.testing.assert_allclose(after.sum(axis=axes), before.sum(axis=axes), atol=1e-5)
