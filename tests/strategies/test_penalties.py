"""L1, L2 and L1L2 against the same models built with Keras' own regularizers: weights equal after several steps."""

import keras
import numpy as np
import pytest

import reglab
from reglab.strategies import L1, L1L2, L2

pytestmark = pytest.mark.backend

SLOW_ON_JAX = pytest.mark.slow_on("jax")
STEPS = 3


def images(count=24, classes=3):
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, 8, 8, 2)).astype("float32"), rng.integers(0, classes, count)


def sequences(count=24, classes=3):
    rng = np.random.default_rng(0)
    return rng.integers(0, 11, (count, 5)), rng.integers(0, classes, count)


def convolutional(hidden=None, head=None):
    """The regularizers of hidden layers, and of the output layer, are given as the arguments of Keras' layers."""
    hidden, head = hidden or {}, head or {}
    layers = keras.layers
    separable = {
        key.replace("kernel", which): value
        for key, value in hidden.items()
        for which in ("depthwise", "pointwise")
        if key.startswith("kernel") or which == "depthwise"
    }
    return keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(3, 3, activation="relu", name="conv", **hidden),
            layers.SeparableConv2D(4, 3, activation="relu", name="separable", **separable),
            layers.BatchNormalization(name="norm"),
            layers.Flatten(),
            layers.Dense(5, activation="tanh", name="hidden", **hidden),
            layers.Dense(3, activation="softmax", name="head", **head),
        ]
    )


def recurrent(hidden=None, head=None):
    hidden, head = hidden or {}, head or {}
    layers = keras.layers
    embedding = {key.replace("kernel", "embeddings"): v for key, v in hidden.items() if not key.startswith("bias")}
    lstm = {**hidden, "recurrent_regularizer": hidden.get("kernel_regularizer")}
    return keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            layers.Embedding(11, 4, **embedding),
            layers.LSTM(3, **lstm),
            layers.Dense(3, activation="softmax", **head),
        ]
    )


def trained(model, data, weights):
    """Train for some steps; on TensorFlow as they are, where compiling them takes longer."""
    eager = keras.backend.backend() == "tensorflow"
    model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy", run_eagerly=eager)
    if not model.built:
        model.build((None, *data[0].shape[1:]))
    target = getattr(model, "network", model)
    target.set_weights(weights)
    x, y = data
    losses = [
        float(model.train_on_batch(x[step * 8 : step * 8 + 8], y[step * 8 : step * 8 + 8])) for step in range(STEPS)
    ]
    return target.get_weights(), losses


def start_of(model):
    """Weights to start from, of which none is zero: a penalty on a bias of zero would do nothing."""
    rng = np.random.default_rng(2)
    return [w + rng.choice([-0.1, 0.1], w.shape).astype(w.dtype) for w in model.get_weights()]


def assert_same_training(builder, data, strategy, regularizer, *, activity=None):
    """``regularizer`` on kernels and biases of every layer, ``activity`` on the outputs of hidden ones."""
    both = {"kernel_regularizer": regularizer("kernel"), "bias_regularizer": regularizer("bias")}
    hidden = {**both, "activity_regularizer": regularizer("activity")} if activity else both
    oracle = builder(hidden, both)
    weights = start_of(oracle)
    expected, expected_loss = trained(oracle, data, weights)
    found, found_loss = trained(reglab.regularize(builder(), strategy), data, weights)
    np.testing.assert_allclose(found_loss, expected_loss, rtol=1e-5)
    for ours, theirs, start in zip(found, expected, weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
        assert np.abs(theirs - start).max() > 1e-4  # training moved it, so that being equal says something


COEFFICIENTS = {"kernel": 0.03, "bias": 0.02, "activity": 0.01}
OURS = {
    "l1": (L1, lambda what: keras.regularizers.L1(COEFFICIENTS[what])),
    "l2": (L2, lambda what: keras.regularizers.L2(COEFFICIENTS[what])),
    "l1l2": (L1L2, lambda what: keras.regularizers.L1L2(COEFFICIENTS[what], COEFFICIENTS[what])),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_kernels_and_biases_train_as_with_keras_regularizers(name):
    strategy, regularizer = OURS[name]
    assert_same_training(convolutional, images(), strategy(kernel=0.03, bias=0.02), regularizer)


@pytest.mark.parametrize("name", [pytest.param("l1", marks=SLOW_ON_JAX), pytest.param("l2", marks=SLOW_ON_JAX), "l1l2"])
def test_activities_train_as_with_keras_regularizers(name):
    strategy, regularizer = OURS[name]
    recipe = strategy(kernel=0.03, bias=0.02, activity=0.01)
    assert_same_training(convolutional, images(), recipe, regularizer, activity=True)


@SLOW_ON_JAX
@pytest.mark.slow
def test_embeddings_and_recurrent_kernels_are_penalized():
    assert_same_training(recurrent, sequences(), L2(kernel=0.03, bias=0.02), OURS["l2"][1])


@SLOW_ON_JAX
def test_l1l2_takes_a_pair():
    pair = {"kernel": keras.regularizers.L1L2(0.01, 0.05), "bias": None}
    assert_same_training(convolutional, images(), L1L2(kernel=(0.01, 0.05)), pair.get)


@SLOW_ON_JAX
def test_the_users_own_penalties_stay():
    own, data = keras.regularizers.L1(0.02), images()
    with_own = convolutional({"kernel_regularizer": own}, {})
    oracle = convolutional(
        {"kernel_regularizer": keras.regularizers.L1L2(0.02, 0.03)}, {"kernel_regularizer": keras.regularizers.L2(0.03)}
    )
    weights = start_of(oracle)
    expected, _ = trained(oracle, data, weights)
    found, _ = trained(reglab.regularize(with_own, L2(kernel=0.03)), data, weights)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
    assert with_own.get_layer("conv").kernel_regularizer is own


def penalty(model):
    return float(keras.ops.convert_to_numpy(sum(model.losses)))


def test_frozen_layers_are_not_penalized():
    model = convolutional()
    model.get_layer("conv").trainable = False
    regularized = reglab.regularize(model, L2(kernel=1.0))
    regularized.compile("sgd", "sparse_categorical_crossentropy")
    x, _ = images()
    regularized(x)
    penalized = [w for w in regularized.network.trainable_weights if len(w.shape) > 1]
    assert len(penalized) == 4  # two of the separable convolution, two of dense layers
    expected = sum(float((keras.ops.convert_to_numpy(w) ** 2).sum()) for w in penalized)
    np.testing.assert_allclose(penalty(regularized), expected, rtol=1e-5)


class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = keras.layers.Dense(5, activation="relu")
        self.head = keras.layers.Dense(3, activation="softmax")

    def call(self, x):
        return self.head(self.hidden(keras.ops.reshape(x, (-1, 128))))


def test_a_subclassed_model_is_penalized_too():
    x, _ = images()
    model = Subclassed()
    model(x)
    regularized = reglab.regularize(model, L2(kernel=0.5, bias=0.1, activity=0.2))
    regularized.compile("sgd", "sparse_categorical_crossentropy")
    regularized(x)
    h = keras.ops.convert_to_numpy(model.hidden(x.reshape(-1, 128)))
    kernels = sum(float((w**2).sum()) for w in model.get_weights() if w.ndim > 1)
    np.testing.assert_allclose(penalty(regularized), 0.5 * kernels + 0.2 * float((h**2).sum()) / len(x), rtol=1e-5)


def test_the_users_own_penalty_of_outputs_stays():
    x = images()[0].reshape(24, -1)
    hidden = keras.layers.Dense(5, activation="relu", activity_regularizer=keras.regularizers.L2(0.1))
    model = keras.Sequential([keras.Input((128,)), hidden, keras.layers.Dense(3, activation="softmax")])
    regularized = reglab.regularize(model, L2(kernel=0.0, activity=0.2))
    regularized(x)
    h = keras.ops.convert_to_numpy(hidden(x))
    np.testing.assert_allclose(penalty(regularized), (0.1 + 0.2) * float((h**2).sum()) / len(x), rtol=1e-5)


def test_l1_makes_weights_sparse_and_l2_does_not():
    x, y = images(48)
    x = x.reshape(48, -1)
    small = {}
    for name, strategy in {"l1": L1(kernel=0.1), "l2": L2(kernel=0.1)}.items():
        keras.utils.set_random_seed(0)
        network = keras.Sequential([keras.Input((128,)), keras.layers.Dense(3, activation="softmax", name="head")])
        model = reglab.regularize(network, strategy, seed=0)
        model.compile(keras.optimizers.SGD(0.02), "sparse_categorical_crossentropy")
        for _ in range(120):
            model.train_on_batch(x, y)
        kernel = model.network.get_layer("head").get_weights()[0]
        small[name] = float((np.abs(kernel) < 4e-3).mean())
    assert small["l1"] > small["l2"] + 0.3
