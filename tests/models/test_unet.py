"""The U-Net has the paper's parameters, keeps the size of images, and trains on masks."""

from __future__ import annotations

import numpy as np
import pytest

import reglab
from reglab.errors import ReglabError
from reglab.lazy import keras
from reglab.models import unet


def by_hand(width, depth, channels, classes):
    """Count kernels and biases: 3x3 convolutions, 2x2 up-convolutions, the 1x1 convolution at the end."""
    filters = [width * 2**level for level in range(depth + 1)]
    down = sum(9 * (a + b) * b + 2 * b for a, b in zip([channels, *filters], filters))  # noqa: B905
    up = sum(4 * 2 * f * f + f + 9 * (2 * f + f) * f + 2 * f for f in filters[:-1])
    return down + up + (width + 1) * classes


@pytest.mark.parametrize(("width", "depth", "channels", "classes"), [(2, 1, 1, 2), (3, 3, 3, 5)])
def test_it_has_the_parameters_counted_by_hand(width, depth, channels, classes):
    model = unet((16, 8, channels), classes, width=width, depth=depth)
    assert model.count_params() == by_hand(width, depth, channels, classes)
    assert model.output_shape == (None, 16, 8, classes)


def test_the_network_of_the_paper_has_31_million():
    assert by_hand(64, 4, 1, 2) == 31_030_658


def test_every_size_sees_what_was_there_at_it():
    model = unet((8, 8, 1), 2, width=2, depth=2)
    joined = [model.get_layer(f"up{level}_joined").output.shape[1:] for level in (1, 2)]
    assert joined == [(8, 8, 4), (4, 4, 8)]


@pytest.mark.slow
@pytest.mark.backend
def test_it_learns_which_pixels_are_bright():
    x = np.random.default_rng(0).normal(size=(16, 8, 8, 1)).astype("float32")
    y = (x[..., 0] > 0).astype("int32")
    keras.utils.set_random_seed(0)
    model = reglab.regularize(unet((8, 8, 1), 2, width=4, depth=2), "l2(kernel=1e-5) + dropout(rate=0.01)", seed=0)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    losses = model.fit(x, y, epochs=30, batch_size=8, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        ((8, 8), {}, "unet takes images"),
        ((12, 8, 1), {}, "12x8 cannot be halved 3 times. Give depth=2, or images whose sides are multiples of 8"),
        ((7, 8, 1), {}, "Give images whose sides are multiples of 8"),
        ((8, 8, 1), {"width": 0}, "width=0"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_refused(shape, options, said):
    with pytest.raises(ReglabError, match=said):
        unet(shape, 2, **options)
