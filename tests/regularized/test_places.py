"""Where strategies act is told by what layers and operations do, not by how the network was written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import reglab
from reglab.errors import ReglabError
from reglab.regularized.clone import Tap
from reglab.regularized.graph import Graph, flat_layers, head_layers
from reglab.regularized.roles import role

L, ops = keras.layers, keras.ops
X = np.random.default_rng(0).normal(size=(16, 6, 4)).astype("float32")


def residual(relu: Callable[[Any], Any], add: Callable[[Any, Any], Any]) -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    h = relu(L.Conv2D(4, 3, padding="same", name="c1")(inputs))
    h = relu(add(L.Conv2D(4, 3, padding="same", name="c2")(h), h))
    return keras.Model(inputs, L.Dense(3, name="head")(L.GlobalAveragePooling2D()(h)))


WRITTEN = {
    "layers": residual(lambda h: L.ReLU()(h), lambda a, b: L.Add()([a, b])),
    "operations": residual(ops.relu, lambda a, b: a + b),
    "a Lambda": residual(lambda h: L.Lambda(ops.relu)(h), lambda a, b: L.Lambda(lambda x: x[0] + x[1])([a, b])),
}


@pytest.mark.parametrize("written", WRITTEN)
def test_same_network_is_regularized_in_the_same_places_however_it_is_written(written: str) -> None:
    points = Graph.of(WRITTEN[written]).hidden_points()

    order = list(Graph.of(WRITTEN[written]).layers)
    convolutions = [order.index(name) for name in ("c1", "c2")]
    assert len(points) == 2
    # Behind the activation of the first, and behind the activation of the sum.
    assert convolutions[0] < order.index(points[0]) < convolutions[1] < order.index(points[1])
    assert points[1] == order[order.index("head") - 2]


@pytest.mark.parametrize(
    "follower",
    [L.RMSNormalization(), L.LayerNormalization(), L.Activation("gelu"), ops.gelu, lambda h: ops.clip(h, -1, 1)],
)
def test_point_is_behind_what_bends_units(follower: Any) -> None:
    inputs = keras.Input((6, 4))
    h = follower(L.Dense(5, name="d")(inputs))
    point = h._keras_history[0].name

    assert Graph.of(keras.Model(inputs, L.Dense(2)(h))).hidden_points() == [point]


@pytest.mark.parametrize(
    "other",
    [lambda h: L.Attention()([h, h]), L.AveragePooling1D(3, 1, padding="same"), L.Dropout(0.5), L.Flatten(),
     lambda h: ops.flip(h, 1), lambda h: ops.softmax(h, axis=1)],
)  # fmt: skip
def test_point_is_before_what_mixes_places_or_draws(other: Any) -> None:
    inputs = keras.Input((6, 4))
    h = other(L.Dense(5, name="d")(inputs))

    model = keras.Model(inputs, L.Dense(2)(h))

    assert Graph.of(model).hidden_points() == ["d"]


def test_wrapper_of_a_layer_without_weights_has_no_kernel() -> None:
    inputs = keras.Input((6, 4))
    logits = L.Dense(3, name="logits")(L.Dense(5, name="a")(inputs))
    model = keras.Model(inputs, L.TimeDistributed(L.Activation("softmax"), name="td")(logits))

    assert [layer.name for layer in head_layers(model)] == ["logits"]
    assert Graph.of(model).hidden_points() == ["a"]


def test_slopes_of_an_activation_are_no_kernel() -> None:
    layer = L.PReLU()
    layer.build((None, 6, 4))
    inputs = keras.Input((6, 4))
    model = keras.Model(inputs, L.Dense(2)(L.PReLU()(L.Dense(5, name="d")(inputs))))

    assert role(layer.alpha) is None
    assert Graph.of(model).hidden_points() == ["p_re_lu_1"]


# --- where="output" --------------------------------------------------------------------------------------------------

ENDS: dict[str, Callable[[Any], Any]] = {
    "Dense(softmax)": lambda h: L.Dense(3, activation="softmax")(h),
    "Activation": lambda h: L.Activation("softmax")(L.Dense(3)(h)),
    "Softmax": lambda h: L.Softmax()(L.Dense(3)(h)),
    "ops.softmax": lambda h: ops.softmax(L.Dense(3)(h)),
    "sigmoid": lambda h: L.Activation("sigmoid")(L.Dense(3)(h)),
    "ops.sigmoid": lambda h: ops.sigmoid(L.Dense(3)(h)),
    "TimeDistributed(Dense)": lambda h: L.TimeDistributed(L.Dense(3, activation="softmax"))(h),
    "TimeDistributed(Activation)": lambda h: L.TimeDistributed(L.Activation("softmax"))(L.Dense(3)(h)),
    "temperature": lambda h: ops.softmax(L.Dense(3)(h) / 2.0),
    "softmax, then another shape": lambda h: L.Reshape((3, 6))(L.Dense(3, activation="softmax")(h)),
    "softmax, then another dtype": lambda h: L.Activation("linear", dtype="float32")(ops.softmax(L.Dense(3)(h))),
    "a model at the end": lambda h: keras.Sequential([L.Dense(4), L.Dense(3), L.Softmax()])(h),
    "one convolution": lambda h: L.Conv1D(3, 1, activation="softmax")(h),
}


def ending(end: Callable[[Any], Any]) -> keras.Model:
    inputs = keras.Input((6, 4))
    return keras.Model(inputs, end(L.Dense(5, activation="relu")(inputs)))


def numbers(model: Any, **kwargs: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(model(X, **kwargs)))


@pytest.mark.backend
@pytest.mark.parametrize("name", ENDS)
def test_noise_at_the_output_leaves_probabilities(name: str) -> None:
    model = ending(ENDS[name])

    noisy = reglab.regularize(model, "gaussian_noise(stddev=1, where=output)", seed=0)

    plain, trained = numbers(model), numbers(noisy, training=True)
    np.testing.assert_allclose(numbers(noisy), plain, rtol=1e-5)
    assert np.abs(trained - plain).max() > 0.05
    assert trained.min() >= 0
    assert trained.max() <= 1
    if "sigmoid" not in name and "shape" not in name:
        np.testing.assert_allclose(trained.sum(axis=-1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", ["Dense(softmax)", "Activation", "ops.softmax"])
@pytest.mark.slow
def test_loaded_model_has_its_noise_at_the_logits(name: str, tmp_path: Any) -> None:
    noisy = reglab.regularize(ending(ENDS[name]), "gaussian_noise(stddev=1, where=output)", seed=0)
    noisy.save(tmp_path / "m.keras")

    loaded = keras.models.load_model(tmp_path / "m.keras")

    np.testing.assert_array_equal(numbers(loaded), numbers(noisy))
    np.testing.assert_allclose(numbers(loaded, training=True).sum(axis=-1), 1, rtol=1e-5)


def test_probabilities_whose_logits_are_hidden_are_refused() -> None:
    class Probabilities(L.Dense):
        def call(self, x: Any) -> Any:
            return ops.softmax(super().call(x))

    with pytest.raises(ReglabError, match="logits"):
        reglab.regularize(ending(lambda h: Probabilities(3)(h)), "gaussian_noise(where=output)")


@pytest.mark.slow
def test_activation_inside_a_recurrent_layer_stays_there() -> None:
    model = ending(lambda h: L.LSTM(3)(h))

    noisy = reglab.regularize(model, "gaussian_noise(stddev=1, where=output)", seed=0)

    np.testing.assert_allclose(numbers(noisy), numbers(model), rtol=1e-6)


# --- layers of several outputs, layers inside layers ------------------------------------------------------------------


@pytest.mark.backend
@pytest.mark.parametrize("where", ["hidden", "states"])
@pytest.mark.slow
def test_dropout_behind_a_layer_with_states_leaves_the_states(where: str) -> None:
    inputs = keras.Input((6, 4))
    h, state, carry = L.LSTM(5, return_sequences=True, return_state=True, name="states")(inputs)
    h = L.LSTM(5)(h, initial_state=[state, carry])
    model = keras.Model(inputs, [L.Dense(2)(h), state])

    copy = reglab.regularize(model, f"dropout(rate=0.5, where={where})", seed=0)

    assert any(isinstance(layer, Tap) for layer in flat_layers(copy.network))
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(copy(X, training=True)[1]), keras.ops.convert_to_numpy(model(X)[1])
    )
    assert np.abs(keras.ops.convert_to_numpy(copy(X, training=True)[0] - model(X)[0])).max() > 1e-4


def test_layer_whose_first_output_nobody_takes_is_refused() -> None:
    inputs = keras.Input((6, 4))
    _, state, _ = L.LSTM(5, return_state=True, name="encoder")(inputs)

    with pytest.raises(ReglabError, match="'encoder'"):
        reglab.regularize(keras.Model(inputs, L.Dense(2)(state)), "dropout(rate=0.5)")


ACTIVE: dict[str, Callable[[Any], Any]] = {
    "LSTM": lambda h: L.LSTM(5)(h),
    "Bidirectional": lambda h: L.Bidirectional(L.GRU(5))(h),
    "a cell": lambda h: L.RNN(L.LSTMCell(5))(h),
    "TimeDistributed": lambda h: L.GlobalAveragePooling1D()(L.TimeDistributed(L.Dense(5))(h)),
    "attention": lambda h: L.GlobalAveragePooling1D()(L.MultiHeadAttention(2, 3)(h, h)),
}


@pytest.mark.backend
@pytest.mark.parametrize("name", ACTIVE)
@pytest.mark.slow
def test_activity_of_a_layer_with_layers_inside_is_penalized_once(name: str) -> None:
    inputs = keras.Input((6, 4))
    model = keras.Model(inputs, L.Dense(2)(ACTIVE[name](inputs)))
    outermost = next(layer for layer in model.layers[1:] if layer.weights)
    activity = keras.Model(inputs, outermost.output)
    penalized = reglab.regularize(model, "l2(kernel=0, activity=0.5)", seed=0)
    penalized.compile("sgd", "sparse_categorical_crossentropy")

    penalized.fit(X, np.arange(16) % 2, verbose=0, epochs=1)
    again = reglab.regularize(model, "l2(kernel=0, activity=0.5)", seed=0)
    again(X)

    want = 0.5 * np.square(keras.ops.convert_to_numpy(activity(X))).sum() / len(X)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(sum(again.losses)), want, rtol=1e-4)
