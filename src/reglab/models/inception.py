"""The paper's network: three naive Inception modules and a softmax."""

from __future__ import annotations

from reglab.aliases import Tensor
from reglab.errors import ReglabError
from reglab.lazy import keras
from reglab.models.options import check_image, check_positive, is_positive

__all__ = ["inception", "inception_module"]


def inception_module(x: Tensor, filters: tuple[int, int, int], *, name: str) -> Tensor:
    """Return 1x1, 3x3 and 5x5 convolutions and a 3x3 max pooling of ``x``, concatenated along channels.

    ``(batch, h, w, c)`` becomes ``(batch, h, w, sum(filters) + c)``: same padding, ReLU, stride 1, as in the naive
    version of Szegedy et al. 2015 (arXiv:1409.4842, figure 2a), which is the paper's module.

    Args:
        x: a Keras tensor.
        filters: filters of the 1x1, the 3x3 and the 5x5 convolution.
        name: the name of the concatenation; the branches are called ``{name}_1x1`` and so on.

    Raises:
        ReglabError: if ``filters`` is not three whole numbers.
    """
    _check_filters(filters)
    branches = [
        keras.layers.Conv2D(count, size, padding="same", activation="relu", name=f"{name}_{size}x{size}")(x)
        for count, size in zip(filters, (1, 3, 5), strict=True)
    ]
    branches.append(keras.layers.MaxPooling2D(3, strides=1, padding="same", name=f"{name}_pool")(x))
    return keras.layers.Concatenate(name=name)(branches)


def inception(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    filters: tuple[int, int, int] = (16, 32, 16),
    modules: int = 3,
    pooled: bool = False,
    ending: str = "softmax",
) -> keras.Model:
    """Return the paper's Inception network: modules, global average pooling, softmax.

    The paper ("Regularization Strategies in Deep Learning", S. K. Srivastava) does not give the filters;
    ``(16, 32, 16)`` in each of the three modules is our choice: a size that a CPU trains in minutes
    with ``pooled=True``.

    Args:
        input_shape: ``(height, width, channels)``.
        num_classes: how many outputs there are: one per class, or per number to predict.
        filters: of the 1x1, 3x3 and 5x5 convolutions of each module.
        modules: how many.
        pooled: put a 2x2 max pooling after each module but the last, which makes the network affordable on a CPU.
        ending: the activation of the outputs: ``linear`` for numbers to predict.

    Raises:
        ReglabError: if the data is not images, or an option is not possible.

    Example:
        >>> inception((32, 32, 3), 10, pooled=True).output_shape
        (None, 10)
    """
    _check(input_shape, filters, modules, pooled)
    inputs = x = keras.Input(input_shape, name="image")
    for number in range(1, modules + 1):
        x = inception_module(x, filters, name=f"module{number}")
        if pooled and number < modules:
            x = keras.layers.MaxPooling2D(2, padding="same", name=f"reduce{number}")(x)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    outputs = keras.layers.Dense(num_classes, activation=ending, name="head")(x)
    return keras.Model(inputs, outputs, name="inception")


def _check(input_shape: tuple[int, ...], filters: object, modules: object, pooled: object) -> None:
    check_image("inception", input_shape)
    _check_filters(filters)
    check_positive("inception", modules=modules)
    if not isinstance(pooled, bool):
        raise ReglabError(f"inception: pooled={pooled!r} is not possible. Give true or false.")


def _check_filters(filters: object) -> None:
    if not (isinstance(filters, tuple | list) and len(filters) == 3 and all(is_positive(count) for count in filters)):
        raise ReglabError(f"inception: filters={filters!r} is not possible. Give three whole numbers, as (16, 32, 16).")
