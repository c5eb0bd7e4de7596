"""A copy is compared with its model before anything is trained; what Keras' configurations lose is kept or refused."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
import pytest

import reglab
from reglab.errors import ReglabError
from reglab.regularized import guard
from reglab.regularized.clone import clone
from reglab.regularized.guard import difference

L = keras.layers
X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
FACTOR = 3.0

pytestmark = pytest.mark.backend


class Scaled(L.Dense):
    """Inherits a get_config that does not know ``factor``."""

    def __init__(self, units: int, factor: float = 1.0, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.factor = factor

    def call(self, x: Any) -> Any:
        return super().call(x) * self.factor


class Named(L.Layer):
    """Its keyword arguments are called otherwise than Keras expects, so its configuration has no name."""

    def __init__(self, units: int, **kw: Any) -> None:
        super().__init__(**kw)
        self.units = units

    def build(self, shape: Any) -> None:
        self.w = self.add_weight(shape=(shape[-1], self.units), name="kernel")
        self.b = self.add_weight(shape=(self.units,), name="bias", initializer="random_normal")

    def call(self, x: Any) -> Any:
        return keras.ops.tanh(x @ self.w + self.b)


class Linear(L.Layer):
    """As in the guide "Making new layers": no ``**kwargs``."""

    def __init__(self, units: int = 4, input_dim: int = 4) -> None:
        super().__init__()
        self.w = self.add_weight(shape=(input_dim, units), name="w")

    def call(self, x: Any) -> Any:
        return x @ self.w


class Block(L.Layer):
    """Layers inside a layer, one a Sequential model, none with a configuration."""

    def __init__(self, dim: int, function: Any) -> None:
        super().__init__()
        self.inner = keras.Sequential([L.Dense(dim, activation="relu"), L.Dense(dim)])
        self.norms = [L.LayerNormalization(), L.BatchNormalization()]
        self.dropout, self.function = L.Dropout(0.3), function

    def call(self, x: Any, training: bool = False) -> Any:
        x = x + self.dropout(self.inner(x), training=training)
        return self.function(self.norms[1](self.norms[0](x), training=training))


class Remembering(L.Layer):
    """Keeps a plain attribute that is set after it was made."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mean = np.float32(0)

    def call(self, x: Any) -> Any:
        return x - self.mean


class Penalized(L.Layer):
    """A weight with a regularizer that is in no configuration."""

    def __init__(self, coefficient: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.regularizer = keras.regularizers.L2(coefficient)

    def build(self, shape: Any) -> None:
        self.w = self.add_weight(shape=(shape[-1], 4), name="w", regularizer=self.regularizer)

    def call(self, x: Any) -> Any:
        return x @ self.w

    def get_config(self) -> dict[str, Any]:
        return L.Layer.get_config(self)


def functional(layer: Any, units: int = 4) -> keras.Model:
    inputs = keras.Input((4,))
    h = L.Dense(4, activation="tanh", bias_initializer="random_normal")(layer(inputs))
    return keras.Model(inputs, L.Dense(units, activation="softmax")(h))


def remembering() -> L.Layer:
    layer = Remembering()
    layer.mean = np.float32(5)
    return layer


LAYERS = {
    "an argument that get_config leaves out": lambda: Scaled(4, factor=5.0),
    "a name that the configuration leaves out, beside weights of equal shapes": lambda: Named(4),
    "no **kwargs": Linear,
    "layers inside and a closure": lambda: Block(4, lambda x: x * FACTOR),
    "a plain attribute": remembering,
    "a Lambda with a global name": lambda: L.Lambda(lambda x: x * FACTOR),
    "an activation that is nowhere registered": lambda: L.Dense(4, activation=lambda x: keras.ops.sin(FACTOR * x)),
}


def predicted(model: Any, x: Any = X) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(model(x)))


@pytest.mark.parametrize("recipe", ["none", "dropout"])
@pytest.mark.parametrize("kind", LAYERS)
def test_layer_that_its_configuration_does_not_tell_whole_is_copied_whole(kind: str, recipe: str) -> None:
    model = functional(LAYERS[kind]())

    copy = reglab.regularize(model, recipe, seed=0)

    np.testing.assert_array_equal(predicted(copy), predicted(model))
    assert not {id(w) for w in model.variables} & {id(w) for w in copy.variables}
    assert [w.shape for w in copy.network.weights] == [w.shape for w in model.weights]


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.slow
def test_training_the_copy_leaves_the_model_alone_and_its_export_predicts_the_same(kind: str) -> None:
    model = functional(LAYERS[kind]())
    before = [w.copy() for w in model.get_weights()]

    copy = reglab.regularize(model, "l2 + dropout", seed=0)
    copy.compile("sgd", "sparse_categorical_crossentropy")
    copy.fit(X, np.arange(8) % 4, verbose=0)

    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert not np.array_equal(copy.network.get_weights()[-1], before[-1])
    np.testing.assert_allclose(predicted(copy.export_network()), predicted(copy), rtol=1e-6)


class Classifier(keras.Model):
    """A subclassed model whose configuration lacks how often it scales."""

    def __init__(self, factor: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dense, self.norm, self.factor = L.Dense(8, activation="relu"), L.BatchNormalization(), factor
        self.head = L.Dense(3, activation="softmax")

    def call(self, x: Any, training: bool | None = None) -> Any:
        return self.head(self.norm(self.dense(x), training=training) * self.factor)

    def get_config(self) -> dict[str, Any]:
        return keras.Model.get_config(self)


def subclassed(factor: float) -> keras.Model:
    model = Classifier(factor)
    model(X)
    return model


@pytest.mark.parametrize("factor", [1.0, 7.0])
def test_what_is_frozen_in_a_subclassed_model_is_frozen_in_its_copy(factor: float) -> None:
    model = subclassed(factor)
    model.norm.trainable = model.dense.trainable = False

    copy = reglab.regularize(model, "l2", seed=0)
    moving = copy.network.norm.get_weights()
    copy.compile("sgd", "sparse_categorical_crossentropy")
    copy.fit(X + 3, np.arange(8) % 3, verbose=0)

    assert all(np.array_equal(a, b) for a, b in zip(moving, copy.network.norm.get_weights(), strict=True))
    assert [w.shape for w in copy.network.trainable_weights] == [w.shape for w in model.trainable_weights]
    np.testing.assert_array_equal(predicted(reglab.regularize(model, "none", seed=0)), predicted(model))


def test_argument_of_a_layer_that_was_never_built_is_kept() -> None:
    model = keras.Sequential([Scaled(4, factor=0.0), L.Dense(2)])

    copy = reglab.regularize(model, "l2", seed=0)

    assert not predicted(copy).any()


def test_model_that_cannot_be_copied_is_refused_by_the_name_of_its_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scaled, "__deepcopy__", None, raising=False)
    monkeypatch.setattr("reglab.regularized.clone.Twins.of", lambda self, layer, **kwargs: L.Dense(4, name=layer.name))
    model = functional(Scaled(4, factor=5.0, name="scaled"))

    with pytest.raises(ReglabError, match=r"'scaled' \(Scaled\)") as error:
        reglab.regularize(model, "l2")
    assert "function that builds the model" in str(error.value)


# --- the comparison itself -------------------------------------------------------------------------------------------


def pair(model: keras.Model) -> tuple[keras.Model, list[tuple[Any, Any]]]:
    copy = clone(model)
    return copy, [(a, b) for a, b in zip(model.layers, copy.layers, strict=True)]


def deep() -> keras.Model:
    inputs = keras.Input((4,))
    h = L.Dense(4, activation="relu", name="first", kernel_regularizer="l2", kernel_constraint="non_neg")(inputs)
    h = L.Dropout(0.5, name="drop")(L.BatchNormalization(name="norm")(h))
    return keras.Model(inputs, L.Dense(4, name="last")(h))


def exchange(copy: Any) -> None:
    first, last = copy.get_layer("first"), copy.get_layer("last")
    weights = first.get_weights()
    first.set_weights(last.get_weights())
    last.set_weights(weights)


CHANGES = {
    "exchanged weights": (exchange, "first"),
    "another statistic": (lambda c: c.get_layer("norm").non_trainable_weights[0].assign([1.0, 0, 0, 0]), "norm"),
    "unfrozen": (lambda c: setattr(c.get_layer("norm"), "trainable", False), "norm"),
    "another activation": (lambda c: setattr(c.get_layer("first"), "activation", keras.activations.tanh), "first"),
    "another epsilon": (lambda c: setattr(c.get_layer("norm"), "epsilon", 0.5), "norm"),
    "another rate of dropout": (lambda c: setattr(c.get_layer("drop"), "rate", 0.9), "drop"),
    "no penalty": (lambda c: setattr(c.get_layer("first").kernel, "regularizer", None), "first"),
    "no constraint": (lambda c: setattr(c.get_layer("first").kernel, "constraint", None), "first"),
    "an activity penalty": (
        lambda c: setattr(c.get_layer("last"), "activity_regularizer", keras.regularizers.L2(1.0)), "last",
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_difference_is_found_and_its_layer_named(change: str) -> None:
    model = deep()
    copy, pairs = pair(model)
    assert difference(model, copy, pairs) is None

    act, name = CHANGES[change]
    act(copy)

    found = difference(model, copy, pairs)
    assert found is not None
    assert found.layer is model.get_layer(name)


def test_comparing_leaves_no_trace() -> None:
    model = deep()
    copy, pairs = pair(model)
    random.seed(3)
    np.random.seed(3)  # the state that users seed
    keras.utils.set_random_seed(3)
    state = random.getstate(), np.random.get_state()[1].tolist()
    before = [keras.ops.convert_to_numpy(v).tolist() for v in (*model.variables, *copy.variables)]
    drawn = keras.ops.convert_to_numpy(keras.random.normal((2,)))
    keras.utils.set_random_seed(3)

    difference(model, copy, pairs)

    assert (random.getstate(), np.random.get_state()[1].tolist()) == state
    assert [keras.ops.convert_to_numpy(v).tolist() for v in (*model.variables, *copy.variables)] == before
    assert not model.losses[1:]
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(keras.random.normal((2,))), drawn)


@pytest.mark.slow
def test_inputs_are_made_for_every_structure_and_dtype() -> None:
    ids, table = keras.Input((3,), dtype="int32", name="ids"), keras.Input((None, 4), name="table")
    h = L.Concatenate()([L.GRU(3)(L.Embedding(5, 2, mask_zero=True)(ids)), L.LSTM(3)(table)])
    model = keras.Model({"ids": ids, "table": table}, {"a": L.Dense(2)(h), "b": L.Dense(1)(h)})
    ran: list[Any] = []
    run = guard.runs

    def kept(*args: Any, **kwargs: Any) -> Any:
        ran.append(run(*args, **kwargs))
        return ran[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "runs", kept)
        assert difference(model, clone(model), ()) is None
    assert ran
    assert all(outputs is not None for outputs in ran)
