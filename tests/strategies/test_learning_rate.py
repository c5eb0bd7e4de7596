"""The learning rate of a recipe against Keras' own optimizers and scheduler."""

import keras
import numpy as np
import pytest
from small import assert_equal, network, problem, trained

import reglab

pytestmark = pytest.mark.backend


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
