"""The networks for series and tokens: parameters as their papers have them, padding, options, a step of training."""

from __future__ import annotations

import numpy as np
import pytest

import reglab
from reglab.errors import ReglabError
from reglab.lazy import keras
from reglab.models import fcn, output_mask, text_cnn, transformer
from reglab.regularized.inputs import takes_indices

WORDS, LENGTH = 20, 9


def trained(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def test_the_fully_convolutional_network_of_the_paper_has_its_parameters():
    # Convolutions with biases, gamma and beta of each normalization, the head.
    convolutions = (8 * 1 + 0) * 128 + 128 + 5 * 128 * 256 + 256 + 3 * 256 * 128 + 128
    assert trained(fcn((50, 1), 2)) == convolutions + 2 * (128 + 256 + 128) + (128 + 1) * 2 == 264_962


def test_the_length_of_series_changes_no_weight():
    one, other = (fcn((length, 3), 4, filters=(2, 3), kernels=(4, 2)) for length in (10, 31))
    assert [weight.shape for weight in one.weights] == [weight.shape for weight in other.weights]


def test_the_convolutional_network_of_texts_has_the_parameters_counted_by_hand():
    # Kim 2014, CNN-rand: vectors of 300, 100 filters of 3, 4 and 5 words.
    paper = text_cnn((50,), 2, vocabulary=1000, width=300)
    assert trained(paper) == 1000 * 300 + (3 + 4 + 5) * 300 * 100 + 3 * 100 + (300 + 1) * 2


@pytest.mark.parametrize(("width", "depth"), [(8, 1), (12, 3)])
def test_the_transformer_has_the_parameters_counted_by_hand(width, depth):
    # Attention 4 (d^2 + d), dense layers 8 d^2 + 5 d, two normalizations 4 d: 12 d^2 + 13 d a block.
    model = transformer((LENGTH,), 3, vocabulary=WORDS, width=width, depth=depth, heads=2)
    blocks = depth * (12 * width**2 + 13 * width)
    assert trained(model) == (WORDS + LENGTH) * width + blocks + 2 * width + (width + 1) * 3


@pytest.fixture(scope="module")
def encoder():
    return transformer((LENGTH,), 3, vocabulary=WORDS, width=8, depth=2, heads=2)


def ids():
    x = np.random.default_rng(0).integers(1, WORDS, (4, LENGTH))
    x[1, 5:], x[2] = 0, 0
    return x


@pytest.mark.backend
def test_padding_changes_nothing_and_the_order_of_words_does(encoder):
    x = ids()
    before = encoder.predict(x, verbose=0)
    longer = transformer((LENGTH + 4,), 3, vocabulary=WORDS, width=8, depth=2, heads=2)
    weights = encoder.get_weights()
    place = next(i for i, weight in enumerate(weights) if weight.shape == (LENGTH, 8))
    weights[place] = np.concatenate([weights[place], np.ones((4, 8), "float32")])
    longer.set_weights(weights)
    np.testing.assert_allclose(longer.predict(np.pad(x, ((0, 0), (0, 4))), verbose=0), before, atol=1e-5)
    assert np.isfinite(before).all()  # of a text of nothing too
    assert np.abs(encoder.predict(x[:, ::-1].copy(), verbose=0)[0] - before[0]).max() > 1e-3


@pytest.mark.slow
@pytest.mark.backend
@pytest.mark.parametrize(
    ("build", "options", "x"),
    [
        (fcn, {"filters": (3, 4), "kernels": (3, 2)}, np.random.default_rng(0).normal(size=(4, 12, 2))),
        (text_cnn, {"vocabulary": WORDS, "width": 4, "filters": 3, "kernels": (2, 3)}, ids()),
        (transformer, {"vocabulary": WORDS, "width": 4, "heads": 2, "depth": 1}, ids()),
    ],
)
def test_a_step_of_training_moves_every_kernel(build, options, x):
    keras.utils.set_random_seed(0)  # of so few units one may begin dead
    network = build(x.shape[1:], 3, **options)
    model = reglab.regularize(network, "l2 + dropout(rate=0.1) + label_smoothing", seed=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    before = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights]
    model.fit(x, np.arange(4) % 3, epochs=1, verbose=0)
    after = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights]
    # A bias before a normalization has no gradient but rounding.
    kernels = [pair for pair in zip(before, after, strict=True) if pair[0].ndim > 1]
    assert kernels
    assert not any(np.array_equal(*pair) for pair in kernels)


@pytest.mark.parametrize(("build", "options"), [(text_cnn, {"kernels": (2,)}), (transformer, {"depth": 1})])
def test_networks_of_tokens_are_known_to_look_them_up(build, options):
    assert takes_indices(build((LENGTH,), 3, vocabulary=WORDS, width=4, **options))


@pytest.mark.slow
def test_the_encoder_is_the_same_when_it_is_saved_and_exported(encoder, tmp_path):
    encoder.save(tmp_path / "encoder.keras")
    again = keras.models.load_model(tmp_path / "encoder.keras")
    plain = reglab.regularize(encoder, "dropout(rate=0.1)").export_network()
    for other in (again, plain):
        np.testing.assert_array_equal(other.predict(ids(), verbose=0), encoder.predict(ids(), verbose=0))


@pytest.mark.parametrize(
    ("build", "shape", "options", "said"),
    [
        (fcn, (9,), {}, r"fcn takes series \(time, features\); the data is \(9,\)"),
        (fcn, (9, 1), {"filters": (3, 0), "kernels": (3, 3)}, r"filters=\(3, 0\) is invalid"),
        (fcn, (9, 1), {"filters": (3,)}, "of 1 blocks and .* of 3"),
        (text_cnn, (9, 1), {"vocabulary": 5}, r"takes tokens \(length,\)"),
        (text_cnn, (9,), {}, r"how many there can be. Say that the data is tokens \(kind='tokens'"),
        (text_cnn, (9,), {"vocabulary": 5, "kernels": 3}, "kernels=3 is invalid"),
        (transformer, (9,), {"vocabulary": 5, "width": 6}, "width=6 is no multiple of heads=4"),
        (transformer, (9,), {"vocabulary": 5, "depth": 0}, "depth=0"),
    ],
)
def test_what_cannot_be_built_is_refused(build, shape, options, said):
    with pytest.raises(ReglabError, match=said):
        build(shape, 2, **options)


@pytest.mark.backend
def test_padding_is_masked_to_the_output_of_a_transformer_that_tags():
    model = transformer((4,), 3, vocabulary=5, width=4, heads=1, depth=2, per_position=True)
    tokens = np.array([[1, 2, 0, 0], [3, 1, 4, 0]])
    assert output_mask(model, tokens).tolist() == [[True, True, False, False], [True, True, True, False]]
