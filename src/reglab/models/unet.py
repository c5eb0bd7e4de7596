"""A U-Net, for images whose pixels have a label each."""

from __future__ import annotations

from reglab.aliases import Tensor
from reglab.errors import ReglabError
from reglab.lazy import keras
from reglab.models.options import check_image, check_positive

__all__ = ["unet"]


def unet(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    width: int = 16,
    depth: int = 3,
    ending: str = "softmax",
    per_position: bool = True,
) -> keras.Model:
    """Return the U-Net of Ronneberger, Fischer and Brox 2015 (arXiv:1505.04597), which gives each pixel a label.

    Two 3x3 convolutions with ReLU, then ``depth`` times half the size and twice the filters by 2x2 max pooling; back by
    as many 2x2 up-convolutions, each joined with what was there at its size; a 1x1 convolution at the end, written as a
    dense layer over channels. ``width=64, depth=4`` are the paper's, with 31,030,658 weights for one channel and two
    classes.

    Difference from the paper: images are padded, so that the output has the size of the input; no dropout.

    Args:
        input_shape: ``(height, width, channels)``; height and width are multiples of ``2**depth``.
        num_classes: how many outputs a pixel has: one per class, or per number to predict.
        width: filters of the first convolutions.
        depth: how many times the size is halved.
        ending: the activation of the outputs: ``linear`` for numbers to predict.
        per_position: whether each pixel has a label, which is what the network is for.

    Raises:
        ReglabError: if the data is not images of labelled pixels, or an option is invalid.

    Example:
        >>> unet((64, 48, 3), 5).output_shape
        (None, 64, 48, 5)
    """
    check_image("unet", input_shape)
    if not per_position:
        raise ReglabError(
            "unet gives each pixel a label, and the data has labels of whole images. Use inception or resnet, or give "
            "labels (N, height, width)."
        )
    check_positive("unet", width=width, depth=depth)
    _check_size(input_shape, depth)
    layers = keras.layers
    inputs = x = keras.Input(input_shape, name="image")
    beside = []
    for level in range(depth):
        x = _convolutions(x, width * 2**level, name=f"down{level + 1}")
        beside.append(x)
        x = layers.MaxPooling2D(2, name=f"down{level + 1}_pool")(x)
    x = _convolutions(x, width * 2**depth, name="bottom")
    for level in reversed(range(depth)):
        filters = width * 2**level
        x = layers.Conv2DTranspose(filters, 2, strides=2, name=f"up{level + 1}")(x)
        x = layers.Concatenate(name=f"up{level + 1}_joined")([beside[level], x])
        x = _convolutions(x, filters, name=f"up{level + 1}")
    return keras.Model(inputs, layers.Dense(num_classes, activation=ending, name="head")(x), name="unet")


def _convolutions(x: Tensor, filters: int, *, name: str) -> Tensor:
    for part in "ab":
        x = keras.layers.Conv2D(
            filters, 3, padding="same", activation="relu", kernel_initializer="he_normal", name=f"{name}_{part}"
        )(x)
    return x


def _check_size(input_shape: tuple[int, ...], depth: int) -> None:
    step = 2**depth
    if any(side % step for side in input_shape[:2]):
        fitting = max((d for d in range(1, depth) if not any(side % 2**d for side in input_shape[:2])), default=0)
        shallower = f"depth={fitting}, or " if fitting else ""
        raise ReglabError(
            f"unet: images of {input_shape[0]}x{input_shape[1]} cannot be halved {depth} times. Give {shallower}images "
            f"whose sides are multiples of {step} (image_size)."
        )
