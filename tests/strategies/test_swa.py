"""Stochastic weight averaging: the mean of what epochs end with, and statistics that belong to it."""

import keras
import numpy as np
import pytest
from small import assert_equal, network, problem

import reglab
from reglab.backends import name as backend
from reglab.regularized.statistics import settle
from reglab.strategies import SWA

pytestmark = pytest.mark.backend
EAGER = backend() != "jax"


def ends_of_epochs(epochs):
    """Train a network with Keras alone, and return it with its trainable weights at the end of each epoch."""
    keras.utils.set_random_seed(0)
    source = network()
    plain = keras.models.clone_model(source)
    plain.set_weights(source.get_weights())
    plain.compile(keras.optimizers.SGD(0.3), "sparse_categorical_crossentropy", run_eagerly=EAGER)
    seen = []
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append([np.array(weight) for weight in plain.trainable_weights])
    )
    plain.fit(*problem(), batch_size=16, epochs=epochs, shuffle=False, verbose=0, callbacks=[keep])
    return source, seen


def statistics(weights, *, size):
    """Mean and variance behind the hidden layer, the mean over the batches that are read to compute them."""
    x, _ = problem()
    h = np.maximum(x @ weights[0] + weights[1], 0)
    order = np.random.default_rng(0).permutation(len(x))
    parts = [h[order[start : start + size]] for start in range(0, len(x), size)]
    shares = [len(part) / len(x) for part in parts]
    means = sum(share * part.mean(axis=0) for share, part in zip(shares, parts, strict=True))
    return means, sum(share * part.var(axis=0) for share, part in zip(shares, parts, strict=True))


@pytest.mark.slow
def test_fit_leaves_the_mean_of_the_last_epochs_and_statistics_of_it():
    source, seen = ends_of_epochs(5)
    model = reglab.regularize(source, SWA(start=0.4, every=2), seed=0)
    model.compile(keras.optimizers.SGD(0.3), "sparse_categorical_crossentropy", run_eagerly=EAGER)
    history = model.fit(*problem(), batch_size=16, epochs=5, shuffle=False, verbose=0, validation_data=problem())
    expected = [np.mean(each, axis=0) for each in zip(seen[2], seen[4], strict=True)]
    assert_equal([np.array(weight) for weight in model.network.trainable_weights], expected)
    found = [np.array(weight) for weight in model.network.non_trainable_weights]
    for ours, theirs in zip(found, statistics(expected, size=16), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    loss = model.evaluate(*problem(), verbose=0)
    np.testing.assert_allclose(history.history["val_loss"][-1], loss, rtol=1e-5)


def test_statistics_do_not_depend_on_momentum_nor_on_how_often_a_layer_is_called():
    norm = keras.layers.BatchNormalization(momentum=0.9)
    inputs = keras.Input((6,))
    h = norm(norm(inputs))
    model = reglab.regularize(keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(h)), "none")
    before = [np.array(weight) for weight in model.network.trainable_weights]
    x, _ = problem()
    settle(model, [100 * x[:20], 100 * x[20:]])
    mean, variance = (np.array(weight) for weight in model.network.non_trainable_weights)
    first, second = 100 * x[:20], 100 * x[20:]
    # The second call of a batch gets what the first one normalized, and counts 1, the first one 0.9.
    shares = 0.9 / 1.9, 1 / 1.9
    means = (20 * first.mean(axis=0) + 12 * second.mean(axis=0)) / 32
    variances = (20 * first.var(axis=0) + 12 * second.var(axis=0)) / 32
    np.testing.assert_allclose(mean, shares[0] * means, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(variance, shares[0] * variances + shares[1], rtol=1e-3)
    assert_equal([np.array(weight) for weight in model.network.trainable_weights], before, 0)


def test_an_iterator_is_refused_before_training():
    model = reglab.regularize(network(), SWA())
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(reglab.ReglabError, match=r"swa reads the training inputs again.*iterator"):
        model.fit(iter([problem()]), steps_per_epoch=1)


def test_two_averages_are_refused():
    with pytest.raises(reglab.ReglabError, match=r"ema and swa cannot be combined|swa and ema cannot be combined"):
        reglab.regularize(network(), "ema + swa")
