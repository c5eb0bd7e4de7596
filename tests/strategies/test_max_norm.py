"""Max-norm against Keras' own constraint."""

import keras
import numpy as np
import pytest

import reglab
from reglab.strategies import MaxNorm

pytestmark = pytest.mark.backend


def network(constraint=None):
    """A network of each kind of kernel, its weights constrained by Keras where that is asked for."""

    def over(*axes):
        return {"kernel_constraint": constraint(list(axes))} if constraint else {}

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(3, 3, activation="relu", **over(0, 1, 2)),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(5, activation="relu", **over(0)),
            layers.Dense(3, activation="softmax", **over(0)),
        ]
    )


def trained(model, weights):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 6, 6, 2)).astype("float32"), rng.integers(0, 3, 32)
    getattr(model, "network", model).set_weights(weights)
    model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy", run_eagerly=True)
    model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    return getattr(model, "network", model).get_weights()


def test_it_is_keras_own_constraint_over_all_axes_but_the_last():
    keras.utils.set_random_seed(0)
    weights = network().get_weights()
    expected = trained(network(lambda axes: keras.constraints.MaxNorm(0.8, axis=axes)), weights)
    found = trained(reglab.regularize(network(), MaxNorm(norm=0.8)), weights)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)
    norms = np.linalg.norm(found[6], axis=0)  # of the units of the hidden layer
    assert norms.max() <= 0.8 + 1e-6
    assert np.isclose(norms, 0.8, atol=1e-5).any()
    assert np.abs(found[1]).max() > 0  # biases are left alone


def test_embeddings_are_left_alone():
    inputs = keras.Input((4,), dtype="int32")
    h = keras.layers.Flatten()(keras.layers.Embedding(5, 3, embeddings_initializer="ones")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax", kernel_initializer="ones")(h))
    regularized = reglab.regularize(model, MaxNorm(norm=0.1))
    regularized.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy", run_eagerly=True)
    regularized.train_on_batch(np.zeros((2, 4), "int32"), np.array([0, 1]))
    embeddings, kernel, _ = regularized.network.get_weights()
    np.testing.assert_array_equal(embeddings, 1.0)
    np.testing.assert_allclose(np.linalg.norm(kernel, axis=0), 0.1, rtol=1e-5)
