"""A residual network for small images."""

from __future__ import annotations

from reglab.aliases import Tensor
from reglab.errors import ReglabError
from reglab.lazy import keras
from reglab.models.options import check_image, check_positive

__all__ = ["resnet"]


def resnet(
    input_shape: tuple[int, ...], num_classes: int, *, depth: int = 20, width: int = 16, ending: str = "softmax"
) -> keras.Model:
    """Return the residual network of He et al. 2016 (arXiv:1512.03385, section 4.2) for images such as CIFAR-10's.

    A 3x3 convolution, three stages of ``(depth - 2) / 6`` blocks of two 3x3 convolutions with ``width``, ``2 * width``
    and ``4 * width`` filters, each stage after the first beginning with stride 2, global average pooling, softmax;
    batch normalization after each convolution. Shortcuts that change shape are 1x1 convolutions (their option B; the
    section uses option A, which has no weights).

    Args:
        input_shape: ``(height, width, channels)``.
        num_classes: how many outputs there are: one per class, or per number to predict.
        depth: weighted layers: 8, 14, 20, 32, 44, 56, ...
        width: filters of the first stage.
        ending: the activation of the outputs: ``linear`` for numbers to predict.

    Raises:
        ReglabError: if the data is not images, or an option is not possible.

    Example:
        >>> resnet((32, 32, 3), 10).output_shape
        (None, 10)
    """
    check_image("resnet", input_shape)
    check_positive("resnet", depth=depth, width=width)
    if depth < 8 or (depth - 2) % 6:
        raise ReglabError(f"resnet: depth={depth!r} is not possible. Give 6 n + 2: 8, 14, 20, 32, 44, 56, ...")
    inputs = keras.Input(input_shape, name="image")
    x = _convolution(inputs, width, name="stem")
    x = keras.layers.ReLU(name="stem_relu")(x)
    for stage in range(3):
        for block in range((depth - 2) // 6):
            stride = 2 if stage > 0 and block == 0 else 1
            x = _block(x, width * 2**stage, stride=stride, name=f"stage{stage + 1}_block{block + 1}")
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(inputs, keras.layers.Dense(num_classes, activation=ending, name="head")(x), name="resnet")


def _block(x: Tensor, filters: int, *, stride: int, name: str) -> Tensor:
    shortcut = x
    if stride != 1 or x.shape[-1] != filters:
        shortcut = _convolution(x, filters, size=1, stride=stride, name=f"{name}_shortcut")
    h = keras.layers.ReLU(name=f"{name}_relu1")(_convolution(x, filters, stride=stride, name=f"{name}_a"))
    h = _convolution(h, filters, name=f"{name}_b")
    return keras.layers.ReLU(name=f"{name}_relu2")(keras.layers.Add(name=f"{name}_add")([h, shortcut]))


def _convolution(x: Tensor, filters: int, *, size: int = 3, stride: int = 1, name: str) -> Tensor:
    x = keras.layers.Conv2D(
        filters,
        size,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    return keras.layers.BatchNormalization(name=f"{name}_norm")(x)
