"""Weight decay and weight averaging against Keras' own optimizers; early stopping against Keras' callback."""

import keras
import numpy as np
import pytest

import reglab
from reglab.strategies import EMA, EarlyStopping, WeightDecay

pytestmark = pytest.mark.backend


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


@pytest.mark.parametrize("cls", [keras.optimizers.Adam, keras.optimizers.SGD])
def test_weight_decay_is_that_of_keras_optimizers_without_biases_and_normalization(cls):
    source = network()
    decaying = cls(0.05, weight_decay=0.3)
    decaying.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    oracle = keras.models.clone_model(source)
    oracle.set_weights(source.get_weights())
    expected = trained(oracle, decaying)
    own = cls(0.05)
    assert_equal(trained(reglab.regularize(source, WeightDecay(decay=0.3)), own), expected)
    assert own.weight_decay is None  # the user's optimizer is as it was


def test_ema_is_use_ema_of_keras_optimizers():
    source = network()
    oracle = keras.models.clone_model(source)
    oracle.set_weights(source.get_weights())
    expected = trained(oracle, keras.optimizers.Adam(0.05, use_ema=True, ema_momentum=0.8))
    plain = keras.models.clone_model(source)
    plain.set_weights(source.get_weights())
    without = trained(plain, keras.optimizers.Adam(0.05))
    found = trained(reglab.regularize(source, EMA(momentum=0.8)), keras.optimizers.Adam(0.05))
    assert_equal(found, expected)
    assert np.abs(found[0] - without[0]).max() > 1e-3


@pytest.mark.parametrize(
    ("optimizer", "recipe"),
    [
        (lambda: keras.optimizers.AdamW(weight_decay=0.1), "weight_decay(decay=0.1)"),
        (lambda: keras.optimizers.Adam(use_ema=True), "ema"),
    ],
)
def test_an_optimizer_that_does_it_already_is_refused(optimizer, recipe):
    model = reglab.regularize(network(), recipe)
    with pytest.raises(reglab.ReglabError, match=r"The optimizer Adam\w* already"):
        model.compile(optimizer(), "sparse_categorical_crossentropy")


@pytest.mark.parametrize("recipe", ["weight_decay(decay=0.1)", "ema(momentum=0.5)"])
def test_inside_loss_scaling_the_optimizer_that_steps_is_changed(recipe):
    source = network()
    model = reglab.regularize(source, recipe)
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5), initial_scale=4.0)
    found = trained(model, scaled)
    assert_equal(found, trained(reglab.regularize(source, recipe), keras.optimizers.SGD(0.5)), 1e-5)
    without = trained(reglab.regularize(source, "none"), keras.optimizers.SGD(0.5))
    assert np.abs(found[0] - without[0]).max() > 1e-3
    inner = model.optimizer.inner_optimizer
    assert (inner.weight_decay is not None) if "decay" in recipe else inner.use_ema


@pytest.mark.slow
def test_early_stopping_stops_where_keras_callback_does_and_restores_the_best_weights():
    x, y = problem()
    validation = (np.roll(x, 1, axis=0), y)  # labels that mean nothing: validation gets worse
    source = network()
    oracle = keras.models.clone_model(source)
    oracle.set_weights(source.get_weights())
    callback = keras.callbacks.EarlyStopping("val_loss", patience=2, min_delta=1e-3, restore_best_weights=True)
    results = {}
    for name, model, callbacks in (
        ("keras", oracle, [callback]),
        ("reglab", reglab.regularize(source, EarlyStopping(monitor="val_loss", patience=2, min_delta=1e-3)), []),
    ):
        model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(
            x, y, batch_size=32, epochs=30, shuffle=False, verbose=0, validation_data=validation, callbacks=callbacks
        )
        results[name] = len(history.history["loss"]), getattr(model, "network", model).get_weights()
    assert results["keras"][0] == results["reglab"][0] < 30
    assert_equal(results["reglab"][1], results["keras"][1])


def test_early_stopping_without_validation_data_says_so():
    model = reglab.regularize(network(), EarlyStopping())
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    with pytest.raises(reglab.ReglabError, match=r"early_stopping monitors 'val_accuracy'.*no validation data"):
        model.fit(*problem(), verbose=0)


# --- the learning rate ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda r: keras.optimizers.SGD(r, momentum=0.9), keras.optimizers.Adamax])
def test_a_learning_rate_of_the_recipe_is_that_of_the_optimizer(make):
    source = network()
    oracle = keras.models.clone_model(source)
    oracle.set_weights(source.get_weights())
    expected = trained(oracle, make(0.03))
    found = trained(reglab.regularize(source, "learning_rate(rate=0.03)"), make(0.5))
    assert_equal(found, expected)


def test_a_schedule_of_the_learning_rate_is_keras_own_scheduler():
    source = network()
    oracle = keras.models.clone_model(source)
    oracle.set_weights(source.get_weights())
    rates = [0.05, 0.03, 0.01]
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, _: rates[epoch])
    weights = []
    for model, callbacks in (
        (oracle, [scheduler]),
        (reglab.regularize(source, "learning_rate(rate=linear(0.05, 0.01, 2))"), []),
    ):
        model.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy", run_eagerly=True)
        model.fit(*problem(), batch_size=16, epochs=3, shuffle=False, verbose=0, callbacks=callbacks)
        weights.append(getattr(model, "network", model).get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)  # 0.03 by way of a line is not 0.03 to the last bit


def test_a_learning_rate_that_follows_keras_own_schedule_is_not_replaced():
    model = reglab.regularize(network(), "learning_rate(rate=0.1)")
    decaying = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    with pytest.raises(reglab.ReglabError, match=r"SGD follows a schedule of Keras' own"):
        model.compile(keras.optimizers.SGD(decaying), "sparse_categorical_crossentropy")
