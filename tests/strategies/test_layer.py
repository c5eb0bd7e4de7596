"""Layers of Keras' own as strategies: placed they are what they are by themselves."""

import keras
import numpy as np
import pytest
from small import training

import reglab
from reglab import ReglabError
from reglab.recipe import Recipe
from reglab.strategies import Layer

pytestmark = pytest.mark.backend
layers = keras.layers
X = np.random.default_rng(0).normal(size=(6, 5, 5, 3)).astype("float32")


def passing():
    """A network that gives what it gets, behind a convolution."""
    kernel = np.eye(3, dtype="float32")[None, None]
    inputs = keras.Input((5, 5, 3))
    conv = layers.Conv2D(3, 1, use_bias=False, name="conv")
    model = keras.Model(
        inputs, layers.Dense(3, use_bias=False, kernel_initializer="identity", name="end")(conv(inputs))
    )
    conv.set_weights([kernel])
    return model


@pytest.mark.parametrize(
    ("name", "options"),
    [("SpatialDropout2D", {"rate": 0.5}), ("GaussianDropout", {"rate": 0.3}), ("AlphaDropout", {"rate": 0.4})],
)
def test_it_is_keras_layer_with_the_numbers_of_its_own_stream(name, options):
    model = reglab.regularize(passing(), Layer(name, **options), seed=4)
    layer = getattr(layers, name)(**options)
    layer.seed_generator.state.assign(model._held.parts[0].random.state)
    expected = keras.ops.convert_to_numpy(layer(X, training=True))
    np.testing.assert_allclose(training(model, X), expected, atol=1e-6)
    assert np.abs(expected - X).max() > 0.1
    np.testing.assert_allclose(model.predict(X, verbose=0), X, atol=1e-6)


def test_at_the_input_augmentations_of_keras_act():
    model = reglab.regularize(passing(), Layer("RandomFlip", mode="horizontal", where="input"), seed=0)
    found = training(model, X)
    flipped = np.array([np.allclose(each, x[:, ::-1], atol=1e-6) for each, x in zip(found, X, strict=True)])
    kept = np.array([np.allclose(each, x, atol=1e-6) for each, x in zip(found, X, strict=True)])
    assert (flipped | kept).all()
    assert flipped.any()


def test_of_hidden_places_those_are_taken_that_it_accepts():
    inputs = keras.Input((5, 5, 3))
    h = layers.Flatten()(layers.Conv2D(2, 3, name="conv")(inputs))
    model = keras.Model(inputs, layers.Dense(3, name="head")(layers.Dense(4, name="dense")(h)))
    found = [layer.name for layer in reglab.regularize(model, Layer(rate=0.5)).network.layers]
    assert [name for name in found if name.startswith("tap")] == ["tap0_conv"]
    with pytest.raises(ReglabError, match=r"SpatialDropout2D cannot be placed at 'dense', which gives \(None, 4\)"):
        reglab.regularize(model, Layer(rate=0.5, where="dense"))
    with pytest.raises(ReglabError, match="layer acts at none of its places"):
        reglab.regularize(model, Layer("SpatialDropout3D", rate=0.5))


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("layer(BatchNormalization)", "BatchNormalization has weights"),
        ("layer(ReLU)", "ReLU changes what passes at evaluation too"),
        ("layer(MaxPooling2D)", "MaxPooling2D changes what passes at evaluation too, or its shape"),
        ("layer(SpatialDropout)", "keras.layers has no 'SpatialDropout'. Did you mean"),
        ("layer(SpatialDropout2D)", r"SpatialDropout2D cannot be made with \{\}.* It takes rate"),
        ("layer(SpatialDropout2D, rate=2)", r"SpatialDropout2D cannot be made with \{'rate': 2\}"),
    ],
)
def test_what_cannot_be_an_arm_is_refused(recipe, said):
    with pytest.raises(ReglabError, match=said):
        reglab.regularize(passing(), recipe)


def test_its_arguments_stand_beside_its_own():
    strategy = Layer("SpatialDropout2D", rate=0.2, data_format="channels_last", where=("conv", "input"))
    text = "layer(layer=SpatialDropout2D, where=(conv, input), data_format=channels_last, rate=0.2)"
    assert Recipe(strategy).to_text() == text
    assert Recipe.parse("layer(SpatialDropout2D, rate=0.2, data_format=channels_last, where=(conv, input))") == Recipe(
        strategy
    )
    (held,) = Recipe(strategy).to_list()
    assert held["layer"]["rate"] == 0.2
    assert Recipe.from_list([held]) == Recipe(strategy)
    assert Recipe.from_list([{"layer": {"rate": "2e-1"}}]) == Recipe(Layer(rate=0.2))  # as YAML gives it
    assert Layer(rate=0.2) == Layer(options={"rate": 0.2})
    with pytest.raises(ReglabError, match=r"layer: options=.*rate is neither a number nor a text"):
        Layer(rate=object())
