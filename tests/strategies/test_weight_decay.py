"""Weight decay against Keras' own optimizers."""

import keras
import numpy as np
import pytest
from small import assert_equal, network, trained

import reglab
from reglab.strategies import WeightDecay

pytestmark = pytest.mark.backend


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
@pytest.mark.slow
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
