"""R-Drop: the loss of two passes and the divergence between them, worked out from those passes."""

import keras
import numpy as np
import pytest

import reglab
from reglab.strategies import RDrop

pytestmark = pytest.mark.backend

X, Y = np.random.default_rng(0).normal(size=(16, 4)).astype("float32"), np.arange(16) % 3
W = np.linspace(0.1, 2.0, 16).astype("float32")


def regularized(recipe, *, logits=False, normalized=False):
    layers = keras.layers
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    h = layers.Dense(8, activation="relu")(inputs)
    h = layers.BatchNormalization(momentum=0.5)(h) if normalized else layers.Dropout(0.5)(h)
    network = keras.Model(inputs, layers.Dense(3, activation=None if logits else "softmax")(h))
    model = reglab.regularize(network, recipe, seed=3)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
    model.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=True)
    return model


def two_passes(model, *, logits):
    """Return the probabilities of two passes in training, and be where the first one begins."""
    passes = [np.array(keras.ops.convert_to_numpy(model(X, training=True)), "float64") for _ in range(2)]
    model.set_seed(3)
    if logits:
        passes = [np.exp(each - each.max(axis=1, keepdims=True)) for each in passes]
        passes = [each / each.sum(axis=1, keepdims=True) for each in passes]
    return passes


@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize("weights", [None, W], ids=["alike", "weighted"])
def test_the_loss_is_that_of_two_passes_and_their_divergence(logits, weights):
    model = regularized(RDrop(alpha=2.0), logits=logits)
    p, q = two_passes(model, logits=logits)
    assert np.abs(p - q).max() > 0.1
    found = model.train_on_batch(X, Y, sample_weight=weights)
    rows = np.arange(len(Y))
    each = -np.log(p[rows, Y]) - np.log(q[rows, Y])
    each += 2.0 * ((p * np.log(p / q)).sum(axis=1) + (q * np.log(q / p)).sum(axis=1)) / 2
    expected = (each * (1.0 if weights is None else weights)).mean()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_next_step_draws_on():
    """Neither pass draws what a pass before it drew."""
    model = regularized(RDrop(alpha=2.0))
    plain = regularized("none")
    model.train_on_batch(X, Y)
    for _ in range(2):
        plain(X, training=True)
    plain.network.set_weights(model.network.get_weights())
    expected, found = (keras.ops.convert_to_numpy(each(X, training=True)) for each in (plain, model))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_without_anything_random_it_doubles_the_loss_and_statistics_move_once():
    model, plain = regularized(RDrop(alpha=2.0), normalized=True), regularized("none", normalized=True)
    np.testing.assert_allclose(model.train_on_batch(X, Y), 2 * plain.train_on_batch(X, Y), rtol=1e-5)
    for ours, theirs in zip(
        model.network.non_trainable_weights, plain.network.non_trainable_weights, strict=True
    ):  # mean and variance
        np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, (ours, theirs)), atol=1e-6)


def test_evaluation_has_the_data_loss_alone():
    model, plain = regularized(RDrop(alpha=2.0)), regularized("none")
    np.testing.assert_allclose(model.evaluate(X, Y, verbose=0), plain.evaluate(X, Y, verbose=0), rtol=1e-6)


def test_a_loss_without_distributions_is_refused():
    model = reglab.regularize(keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]), RDrop())
    with pytest.raises(reglab.ReglabError, match=r"r_drop compares predictions .* is no cross-entropy"):
        model.compile("sgd", "mse")
