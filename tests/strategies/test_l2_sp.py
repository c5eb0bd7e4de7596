"""L2-SP against a regularizer of Keras' around the weights that training begins with."""

import keras
import numpy as np
import pytest

import reglab
from reglab.strategies import L2SP

pytestmark = pytest.mark.backend

X, Y = np.random.default_rng(0).normal(size=(32, 4)).astype("float32"), np.arange(32) % 3


def network(*, starts=None, coefficient=0.0):
    """A network; each of its weights drawn to where it starts, if that is given."""

    def around(start):
        return lambda weight: coefficient * keras.ops.sum(keras.ops.square(weight - start))

    layers = keras.layers
    drawn: list[dict] = [{}, {}]
    for arguments, (kernel, bias) in zip(drawn, [] if starts is None else [starts[:2], starts[2:]], strict=False):
        arguments |= {"kernel_regularizer": around(kernel), "bias_regularizer": around(bias)}
    inputs = keras.Input((4,))
    h = layers.Dense(5, activation="tanh", **drawn[0])(inputs)
    return keras.Model(inputs, layers.Dense(3, activation="softmax", **drawn[1])(h))


def trained(model, epochs=2):
    if getattr(model, "optimizer", None) is None:
        model.compile(keras.optimizers.SGD(0.5, momentum=0.5), "sparse_categorical_crossentropy", run_eagerly=True)
    model.fit(X, Y, batch_size=16, epochs=epochs, shuffle=False, verbose=0)
    return getattr(model, "network", model).get_weights()


def test_it_is_a_penalty_around_the_start():
    keras.utils.set_random_seed(0)
    source = network()
    oracle = network(starts=source.get_weights(), coefficient=0.3)
    oracle.set_weights(source.get_weights())
    expected = trained(oracle)
    found = trained(reglab.regularize(source, L2SP(coefficient=0.3)))
    plain = trained(reglab.regularize(source, L2SP(coefficient=0.0)))
    for ours, theirs, without in zip(found, expected, plain, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)
        assert np.abs(ours - without).max() > 1e-3


@pytest.mark.slow
def test_a_saved_model_is_drawn_to_where_its_training_began(tmp_path):
    model = reglab.regularize(network(), L2SP(coefficient=0.3), seed=0)
    model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    trained(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for ours, theirs in zip(trained(loaded), trained(model), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.slow
def test_training_again_can_begin_with_other_weights():
    model = reglab.regularize(network(), L2SP(coefficient=0.3), seed=0)
    trained(model)
    other = network()
    model.network.set_weights(other.get_weights())
    model.restart_state()
    model.compile(keras.optimizers.SGD(0.5, momentum=0.5), "sparse_categorical_crossentropy", run_eagerly=True)
    expected = trained(reglab.regularize(other, L2SP(coefficient=0.3), seed=0))
    for ours, theirs in zip(trained(model), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_model_without_weights_has_no_start():
    model = keras.Sequential([keras.layers.Dense(3)])
    with pytest.raises(reglab.ReglabError, match=r"l2_sp keeps something of the weights .* Build it first"):
        reglab.regularize(model, L2SP())
