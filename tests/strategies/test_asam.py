"""Adaptive sharpness-aware minimization, worked out by hand for softmax regression."""

import keras
import numpy as np
import pytest

import reglab
from reglab.strategies import ASAM

pytestmark = pytest.mark.backend


def gradients(weights, x, y):
    """The gradients of the mean cross-entropy of softmax regression."""
    kernel, bias = weights
    logits = x @ kernel + bias
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    error = (p / p.sum(axis=1, keepdims=True) - np.eye(kernel.shape[1])[y]) / len(x)
    return [x.T @ error, error.sum(axis=0)]


def asam_step(weights, x, y, *, rho, eta, rate):
    scales = [np.abs(weights[0]) + eta, 1.0]
    scaled = [g * scale for g, scale in zip(gradients(weights, x, y), scales, strict=True)]
    norm = np.sqrt(sum((g**2).sum() for g in scaled))
    moved = [w + rho * scale * g / norm for w, scale, g in zip(weights, scales, scaled, strict=True)]
    return [w - rate * g for w, g in zip(weights, gradients(moved, x, y), strict=True)]


def test_a_step():
    rng = np.random.default_rng(0)
    x, y, weights = (
        rng.normal(size=(10, 4)).astype("float32"),
        rng.integers(0, 3, 10),
        [rng.normal(size=(4, 3)), np.ones(3)],
    )
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs))
    model.set_weights(weights)
    regularized = reglab.regularize(model, ASAM(rho=1.0, eta=0.2))
    regularized.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    regularized.train_on_batch(x, y)
    expected = asam_step(weights, x, y, rho=1.0, eta=0.2, rate=0.5)
    plain = asam_step(weights, x, y, rho=0.0, eta=0.2, rate=0.5)
    assert max(np.abs(a - b).max() for a, b in zip(expected, plain, strict=True)) > 1e-2
    for ours, theirs in zip(regularized.network.get_weights(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_it_is_not_combined_with_sam():
    with pytest.raises(reglab.ReglabError, match="sam and asam cannot be combined: each moves the weights"):
        reglab.Recipe.parse("sam + asam")
