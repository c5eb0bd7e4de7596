"""The built-in networks are what their descriptions say: parameters, shapes, names, options."""

from __future__ import annotations

import pytest

from reglab.errors import ReglabError
from reglab.lazy import keras
from reglab.models import inception, inception_module, mlp, resnet


def test_a_module_concatenates_its_convolutions_and_the_pooled_input():
    x = keras.Input((8, 6, 3))
    assert inception_module(x, (2, 4, 5), name="m").shape == (None, 8, 6, 2 + 4 + 5 + 3)


@pytest.mark.backend
def test_a_module_pools_its_input_unchanged_in_channels_and_size():
    x = keras.Input((4, 4, 2))
    model = keras.Model(x, inception_module(x, (1, 1, 1), name="m"))
    data = keras.random.uniform((2, 4, 4, 2), seed=0)
    pooled = keras.ops.max_pool(data, 3, strides=1, padding="same")
    assert bool(keras.ops.all(model(data)[..., 3:] == pooled))


def test_inception_has_the_parameters_counted_by_hand():
    # Convolutions: (size * size * channels + 1) * filters. A module of (1, 2, 3) passes its c channels on as c + 6.
    module = {c: (1 * c + 1) * 1 + (9 * c + 1) * 2 + (25 * c + 1) * 3 for c in (1, 7)}
    assert module == {1: 2 + 20 + 78, 7: 8 + 128 + 528}
    model = inception((8, 8, 1), 10, filters=(1, 2, 3), modules=2)
    assert model.count_params() == 100 + 664 + (13 + 1) * 10


@pytest.mark.parametrize("pooled", [False, True])
def test_pooling_changes_sizes_and_no_weights(pooled):
    model = inception((8, 8, 1), 10, filters=(2, 4, 2), pooled=pooled)
    assert model.output_shape == (None, 10)
    sizes = [model.get_layer(f"module{n}").output.shape[1:] for n in (1, 2, 3)]
    assert sizes == ([(8, 8, 9), (4, 4, 17), (2, 2, 25)] if pooled else [(8, 8, 9), (8, 8, 17), (8, 8, 25)])
    assert model.count_params() == inception((8, 8, 1), 10, filters=(2, 4, 2)).count_params()


def test_inception_names_do_not_depend_on_what_was_built_before():
    names = [[layer.name for layer in inception((8, 8, 1), 10, filters=(1, 1, 1)).layers] for _ in range(2)]
    assert names[0] == names[1]
    module = ["module1_1x1", "module1_3x3", "module1_5x5", "module1_pool", "module1"]
    assert names[0][:6] == ["image", *module]
    assert names[0][-2:] == ["average", "head"]


def test_the_convolutions_are_relu_with_same_padding_and_the_head_is_softmax():
    model = inception((8, 8, 1), 10, filters=(1, 1, 1))
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(convolutions) == 9
    assert {(layer.activation.__name__, layer.padding) for layer in convolutions} == {("relu", "same")}
    assert model.layers[-1].activation is keras.activations.softmax


def test_the_mlp_has_the_parameters_counted_by_hand():
    assert mlp((30,), 2, units=(8, 4)).count_params() == (30 + 1) * 8 + (8 + 1) * 4 + (4 + 1) * 2


def test_the_mlp_flattens_images_and_takes_one_number_as_one_layer():
    model = mlp((8, 8, 1), 10, units=5)
    assert [layer.name for layer in model.layers] == ["features", "flat", "hidden1", "head"]
    assert model.count_params() == (64 + 1) * 5 + (5 + 1) * 10


@pytest.mark.parametrize(("depth", "blocks"), [(8, 3), (20, 9)])
def test_depth_counts_the_weighted_layers_of_the_residual_network(depth, blocks):
    model = resnet((8, 8, 1), 10, depth=depth, width=2)
    weighted = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)]
    assert len([layer for layer in weighted if "shortcut" not in layer.name]) == depth
    assert len([layer for layer in model.layers if isinstance(layer, keras.layers.Add)]) == blocks


def test_the_residual_network_of_the_paper_has_its_parameters():
    # He et al. give 0.27 million for depth 20. Kernels of 3x3 without biases, the two 1x1 shortcuts, the head:
    kernels = 9 * (3 * 16 + 6 * 16 * 16 + 16 * 32 + 5 * 32 * 32 + 32 * 64 + 5 * 64 * 64) + 16 * 32 + 32 * 64
    normalized = 7 * 16 + 7 * 32 + 7 * 64  # outputs of convolutions, the shortcuts among them
    model = resnet((32, 32, 3), 10)
    trainable = sum(int(keras.ops.size(weight)) for weight in model.trainable_weights)
    assert trainable == kernels + 2 * normalized + (64 + 1) * 10 == 272_474


@pytest.mark.parametrize(
    ("build", "options", "said"),
    [
        (inception, {"filters": (1, 2)}, r"filters=\(1, 2\)"),
        (inception, {"filters": (1, 2, 0)}, "three whole numbers"),
        (inception, {"filters": "123"}, "filters='123'"),
        (inception, {"modules": 0}, "modules=0"),
        (inception, {"pooled": "no"}, "true or false"),
        (mlp, {"units": ()}, r"units=\(\)"),
        (mlp, {"units": 3.5}, "units=3.5"),
        (mlp, {"units": (8, -1)}, "whole numbers"),
        (mlp, {"activation": "rleu"}, "activation='rleu'"),
        (resnet, {"depth": 19}, "6 n"),
        (resnet, {"depth": 2}, "depth=2"),
        (resnet, {"width": True}, "width=True"),
    ],
)
def test_an_impossible_option_is_named_with_what_is_possible(build, options, said):
    with pytest.raises(ReglabError, match=said):
        build((8, 8, 1), 10, **options)


def test_a_module_refuses_other_than_three_filters():
    with pytest.raises(ReglabError, match="three whole numbers"):
        inception_module(keras.Input((8, 8, 1)), (1, 2), name="m")


@pytest.mark.parametrize("build", [inception, resnet])
def test_networks_for_images_refuse_tables_and_name_the_mlp(build):
    with pytest.raises(ReglabError, match="mlp"):
        build((30,), 2)
