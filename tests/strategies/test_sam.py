"""Sharpness-aware minimization, worked out by hand for softmax regression."""

import keras
import numpy as np
import pytest

import reglab
from reglab.strategies import L2, SAM

pytestmark = pytest.mark.backend


def gradients(weights, x, y, sample_weight=None):
    """The gradients of the mean cross-entropy of softmax regression."""
    kernel, bias = weights
    logits = x @ kernel + bias
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    error = p - np.eye(kernel.shape[1])[y]
    if sample_weight is not None:
        error = error * sample_weight[:, None]
    return [x.T @ error / len(x), error.sum(axis=0) / len(x)]


def sam_step(weights, x, y, *, rho, rate, penalty=0.0, sample_weight=None):
    first = gradients(weights, x, y, sample_weight)
    norm = np.sqrt(sum((g**2).sum() for g in first))
    moved = [w + rho * g / norm for w, g in zip(weights, first, strict=True)]
    second = gradients(moved, x, y, sample_weight)
    second[0] = second[0] + 2 * penalty * weights[0]
    return [w - rate * g for w, g in zip(weights, second, strict=True)]


def problem():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(10, 4)).astype("float32"), rng.integers(0, 3, 10)
    return x, y, [rng.normal(size=(4, 3)), rng.normal(size=3)]


def one_step(recipe, weights, *batch):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs))
    model.set_weights(weights)
    regularized = reglab.regularize(model, recipe)
    regularized.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    regularized.train_on_batch(*batch)
    return regularized.network.get_weights()


@pytest.mark.parametrize("rho", [0.05, 2.0])
def test_a_step(rho):
    x, y, weights = problem()
    expected = sam_step(weights, x, y, rho=rho, rate=0.5)
    plain = sam_step(weights, x, y, rho=0.0, rate=0.5)
    assert max(np.abs(a - b).max() for a, b in zip(expected, plain, strict=True)) > 1e-3
    for ours, theirs in zip(one_step(SAM(rho=rho), weights, x, y), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("size", [0.0, 1e-25, 1e-18])
def test_a_gradient_of_nothing_ascends_nowhere(size):
    """Tiny gradients have squares that some processors round to zero and others do not."""
    x, y, weights = problem()
    found = one_step(SAM(rho=1.0), weights, x, y, np.full(10, size, "float32"))
    for ours, before in zip(found, weights, strict=True):
        np.testing.assert_allclose(ours, before.astype("float32"), atol=1e-6)


def test_sample_weights_weigh_in_both_passes():
    x, y, weights = problem()
    w = np.linspace(0, 2, len(x))
    expected = sam_step(weights, x, y, rho=1.0, rate=0.5, sample_weight=w)
    for ours, theirs in zip(one_step(SAM(rho=1.0), weights, x, y, w), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_penalty_is_taken_where_it_stands_in_the_second_pass_only():
    x, y, weights = problem()
    expected = sam_step(weights, x, y, rho=1.0, rate=0.5, penalty=0.1)
    for ours, theirs in zip(one_step(SAM(rho=1.0) + L2(kernel=0.1), weights, x, y), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_both_passes_see_the_same_dropout_and_statistics_and_penalties_of_outputs_count_once():
    layers = keras.layers

    def build():
        inputs = keras.Input((4,))
        h = layers.BatchNormalization(momentum=0.5)(layers.Dense(16, activation="relu")(inputs))
        return keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.Dropout(0.5)(h)))

    x, y, _ = problem()
    keras.utils.set_random_seed(0)
    source = build()
    after = {}
    penalty = L2(kernel=0.0, activity=0.1)
    for name, recipe in {"sam": SAM(rho=1e-9) + penalty, "plain": penalty}.items():
        model = reglab.regularize(source, recipe, seed=5)
        model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
        model.train_on_batch(x, y)
        after[name] = model.network.get_weights()
    # With hardly any ascent the step is the plain one, if and only if the second pass draws what a single pass draws.
    for ours, theirs in zip(after["sam"], after["plain"], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
