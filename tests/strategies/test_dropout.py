"""Dropout: what it draws, where it acts, and a layer of Keras' as an oracle."""

import keras
import numpy as np
import pytest
from small import dense, identity, training

import reglab
from reglab import Recipe
from reglab.backends import adapter
from reglab.backends import name as backend
from reglab.regularized.parts import streams_of
from reglab.strategies import Dropout, GaussianNoise

pytestmark = pytest.mark.backend


def trained(model, weights):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(24, 6)).astype("float32"), rng.integers(0, 3, 24)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
    target = getattr(model, "network", model)
    target.set_weights(weights)
    model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    return target.get_weights()


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_dropout_leaves_out_its_share_and_scales_the_rest(rate):
    x = np.ones((200, 1000), "float32")
    out = training(reglab.regularize(identity(), Dropout(rate=rate, where="input"), seed=1), x)
    kept = out != 0
    np.testing.assert_allclose(out[kept], 1 / (1 - rate), rtol=1e-6)
    sigma = np.sqrt(rate * (1 - rate) / out.size)
    assert abs(kept.mean() - (1 - rate)) < 5 * sigma
    # Every unit of every example is drawn on its own: rows and columns vary as binomial counts do.
    for axis in (0, 1):
        counts = kept.sum(axis=axis)
        expected = kept.shape[axis] * rate * (1 - rate)
        assert 0.7 < counts.var() / expected < 1.4


@pytest.mark.slow
def test_dropout_learns_as_with_keras_own_layer():
    """Masks differ, so it is compared over many: the mean of 200 trainings of a step each, to four standard errors."""
    inputs = keras.Input((50,))
    model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False, name="only")(inputs))
    model.set_weights([np.ones((50, 1))])
    x, y = np.ones((4, 50), "float32"), np.zeros((4, 1), "float32")
    ours = reglab.regularize(model, Dropout(rate=0.4, where="input"), seed=3)
    theirs = keras.Sequential(
        [keras.Input((50,)), keras.layers.Dropout(0.4, seed=4), keras.layers.Dense(1, use_bias=False)]
    )
    found = []
    for network, weights in ((ours, ours.network), (theirs, theirs)):
        network.compile(keras.optimizers.SGD(0.01), "mse")
        steps = []
        for _ in range(200):
            weights.set_weights([np.ones((50, 1))])
            network.train_on_batch(x, y)
            steps.append(weights.get_weights()[0].mean())
        found.append(steps)
    error = np.sqrt(sum(np.var(steps) / len(steps) for steps in found))
    assert abs(np.mean(found[0]) - np.mean(found[1])) < 4 * error
    np.testing.assert_allclose(np.std(found[0]), np.std(found[1]), rtol=0.3)


class Masked(keras.layers.Layer):
    """What keras.layers.Dropout is, with the mask that reglab draws: a product, whose gradient Keras takes."""

    def __init__(self, rate):
        super().__init__()
        self.rate, self.seed_generator = rate, keras.random.SeedGenerator(0)

    def call(self, h, training=False):
        if not training:
            return h
        ones = keras.ops.ones_like(h)
        return h * adapter().dropped(ones, np.float32(self.rate), np.float32(1 / (1 - self.rate)), self.seed_generator)


@pytest.mark.parametrize(
    ("strategy", "layer"),
    [
        (Dropout(rate=0.3), lambda: Masked(0.3)),
        (GaussianNoise(stddev=0.3, where="hidden"), lambda: keras.layers.GaussianNoise(0.3)),
    ],
    ids=["dropout", "gaussian_noise"],
)
def test_training_is_that_of_a_layer_given_the_same_stream(strategy, layer):
    own = layer()
    oracle = dense(own)
    weights = oracle.get_weights()
    (stream,) = streams_of(Recipe(strategy), 7)
    own.seed_generator.state.assign(np.array([stream, 0], dtype="uint32" if backend() != "torch" else "int64"))
    expected = trained(oracle, weights)
    found = trained(reglab.regularize(dense(), strategy, seed=7), weights)
    exact = backend() == "tensorflow"
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=0 if exact else 1e-6)


def test_hidden_is_behind_joined_branches_and_normalization_once():
    layers = keras.layers
    inputs = keras.Input((8, 8, 1))
    one, two = layers.Conv2D(2, 1, name="one")(inputs), layers.Conv2D(2, 3, padding="same", name="two")(inputs)
    h = layers.Concatenate(name="joined")([one, two])
    h = layers.Conv2D(3, 3, name="conv")(h)
    h = layers.Activation("relu", name="relu")(layers.BatchNormalization(name="norm")(h))
    h = layers.GlobalAveragePooling2D(name="pool")(h)
    model = keras.Model(inputs, layers.Dense(3, activation="softmax", name="head")(h))
    network = reglab.regularize(model, Dropout(rate=0.5)).network
    after = {tap.name: tap.input._keras_history.operation.name for tap in network.layers if "tap" in tap.name}
    assert sorted(after.values()) == ["joined", "relu"]


def test_named_layers_and_the_error_for_a_name_that_is_not_there():
    network = reglab.regularize(dense(), Dropout(rate=0.5, where=("hidden",))).network
    assert sum("tap" in layer.name for layer in network.layers) == 1
    with pytest.raises(reglab.ReglabError, match=r"no layer 'hiden'.*Did you mean 'hidden'"):
        reglab.regularize(dense(), Dropout(rate=0.5, where="hiden"))
