"""Small networks, problems and trainings that tests of several strategies share."""

import keras
import numpy as np

import reglab


def problem():
    rng = np.random.default_rng(0)
    return rng.normal(size=(32, 6)).astype("float32"), rng.integers(0, 3, 32)


def network():
    layers = keras.layers
    inputs = keras.Input((6,))
    h = layers.BatchNormalization()(layers.Dense(8, activation="relu")(inputs))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(h))


def trained(model, optimizer):
    """Train for two epochs of two steps, as they are: compiling them takes longer."""
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    model.fit(*problem(), batch_size=16, epochs=2, shuffle=False, verbose=0)
    return getattr(model, "network", model).get_weights()


def assert_equal(found, expected, tolerance=2e-6):
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=tolerance)


def softmax_regression(classes=3, features=4, activation="softmax"):
    inputs = keras.Input((features,))
    return keras.Model(inputs, keras.layers.Dense(classes, activation=activation)(inputs))


def compiled(model, recipe, loss="sparse_categorical_crossentropy", **kwargs):
    regularized = reglab.regularize(model, recipe, seed=0)
    regularized.compile(keras.optimizers.SGD(0.5), loss, **kwargs)
    return regularized


def prepared(model, *batch):
    return [None if part is None else keras.ops.convert_to_numpy(part) for part in model._prepare(batch)]


def identity(shape=(1000,)):
    """A network whose output is its input."""
    inputs = keras.Input(shape)
    return keras.Model(inputs, keras.layers.Activation("linear")(inputs))


def training(model, x):
    return keras.ops.convert_to_numpy(model(x, training=True))


def dense(*after_hidden):
    """A perceptron with layers of the user's own behind its hidden one."""
    layers = keras.layers
    inputs = keras.Input((6,))
    h = layers.Dense(8, activation="relu", name="hidden")(inputs)
    for layer in after_hidden:
        h = layer(h)
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="head")(h))


def assert_same(found, expected, within=1e-6):
    """Compare trainings, each the history that Keras returned and the weights."""
    assert found[0].keys() == expected[0].keys()
    for name, values in expected[0].items():
        np.testing.assert_allclose(found[0][name], values, rtol=1e-5, err_msg=name)
    for ours, theirs in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=within)
