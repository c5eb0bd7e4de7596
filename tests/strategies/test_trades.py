"""TRADES against gradients and divergences that are worked out by hand for a linear network."""

import keras
import numpy as np
import pytest
from small import softmax_regression

import reglab
from reglab.strategies import TRADES
from reglab.strategies.penalties.trades import ascended

pytestmark = pytest.mark.backend
RNG = np.random.default_rng(0)
W, B = RNG.normal(size=(4, 3)).astype("float32"), RNG.normal(size=3).astype("float32")
X, Y = RNG.normal(size=(10, 4)).astype("float32"), np.arange(10) % 3


def softmax(x, w=W):
    z = x @ w + B[: w.shape[1]]
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def divergence(p, q):
    return (p * np.log(p / q)).sum(axis=-1)


def by_hand(x, start, *, epsilon, step, steps, limits=None):
    """Steps along ``d KL(p(x) || p(x')) / dx' = (p(x') - p(x)) W'``."""
    p, moved = softmax(x), start
    for _ in range(steps):
        moved = np.clip(moved + step * np.sign((softmax(moved) - p) @ W.T), x - epsilon, x + epsilon)
        moved = moved if limits is None else np.clip(moved, *limits)
    return moved


@pytest.mark.parametrize("limits", [None, (-0.5, 0.5)])
def test_steps_lead_where_the_gradient_of_the_divergence_does(limits):
    start = (X + 0.001 * RNG.normal(size=X.shape)).astype("float32")
    how = {"epsilon": 0.3, "step": 0.1, "steps": 5, "limits": limits}
    p = softmax(X)

    def gradient(x):
        x = keras.ops.convert_to_numpy(x)
        return keras.ops.convert_to_tensor(((softmax(x) - p) @ W.T).astype("float32"))

    found = ascended(*map(keras.ops.convert_to_tensor, (X, start)), gradient, **how)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), by_hand(X, start, **how), atol=1e-6)


def step_of(recipe, weights=None):
    """Return the loss of a step of plain gradient descent, and the kernel after it."""
    source = softmax_regression()
    source.set_weights([W, B])
    model = reglab.regularize(source, recipe, seed=0)
    random = keras.random.SeedGenerator(0)
    random.state.assign(model._held.parts[0].random.state)
    start = X + 0.001 * keras.ops.convert_to_numpy(keras.random.normal(X.shape, seed=random))
    model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy", run_eagerly=True)
    loss = model.train_on_batch(X, Y, sample_weight=weights)
    return float(np.ravel(loss)[0]), model.network.get_weights()[0], start


@pytest.mark.parametrize("weights", [None, np.linspace(0.1, 2, 10).astype("float32")])
def test_loss_and_step_are_those_of_the_mean_divergence(weights):
    loss, kernel, start = step_of(TRADES(beta=2.0, epsilon=0.3, steps=4, step_size=0.1), weights)
    moved = by_hand(X, start, epsilon=0.3, step=0.1, steps=4)
    p, q, w = softmax(X), softmax(moved), np.ones(10) if weights is None else weights
    cross_entropy = -np.log(p[np.arange(10), Y])
    np.testing.assert_allclose(loss, (w * (cross_entropy + 2 * divergence(p, q))).mean(), rtol=1e-5)
    # d CE = x (p - y)'; d KL(p || q): by q, x' (q - p)'; by p, through log p - log q + 1 and the softmax.
    inner = np.log(p / q)
    through_p = p * (inner - (p * inner).sum(axis=1, keepdims=True))
    slope = np.einsum("n,ni,nj->ij", w, X, p - np.eye(3)[Y] + 2 * through_p)
    slope += np.einsum("n,ni,nj->ij", w, moved, 2 * (q - p))
    np.testing.assert_allclose(kernel, W - 0.5 * slope / 10, atol=1e-5)


def test_what_is_no_distribution_or_no_number_is_refused():
    model = reglab.regularize(softmax_regression(), TRADES())
    with pytest.raises(reglab.ReglabError, match=r"trades compares predictions as distributions"):
        model.compile("sgd", "mse")
    inputs = keras.Input((4,), dtype="int32")
    h = keras.layers.Flatten()(keras.layers.Embedding(5, 2)(inputs))
    tokens = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(h))
    with pytest.raises(reglab.ReglabError, match=r"trades changes the numbers that the model is given"):
        reglab.regularize(tokens, TRADES())
