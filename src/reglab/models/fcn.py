"""A fully convolutional network, for series."""

from __future__ import annotations

from reglab.errors import ReglabError
from reglab.lazy import keras
from reglab.models.options import check_series, is_positive

__all__ = ["fcn"]


def fcn(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    filters: tuple[int, ...] = (128, 256, 128),
    kernels: tuple[int, ...] = (8, 5, 3),
    ending: str = "softmax",
    per_position: bool = False,
) -> keras.Model:
    """Return the fully convolutional network of Wang, Yan and Oates 2017 (arXiv:1611.06455) for series.

    Blocks of a convolution over time, batch normalization and ReLU, then global average pooling and softmax. The number
    of weights does not depend on the length: 264,962 are trained for one feature and two classes.

    Args:
        input_shape: ``(time, features)``.
        num_classes: how many outputs there are: one per class, or per number to predict.
        filters: of the convolution of each block; smaller ones train faster.
        kernels: the time steps that the convolution of each block sees.
        ending: the activation of the outputs: ``linear`` for numbers to predict.
        per_position: whether each time step has a label: then nothing is averaged over time.

    Raises:
        ReglabError: if the data is not series, or an option is invalid.

    Example:
        >>> fcn((100, 1), 2).output_shape
        (None, 2)
    """
    check_series("fcn", input_shape)
    for name, values in (("filters", filters), ("kernels", kernels)):
        if not (isinstance(values, tuple | list) and values and all(map(is_positive, values))):
            raise ReglabError(f"fcn: {name}={values!r} is invalid. Give whole numbers, one per block, as (128, 256).")
    if len(filters) != len(kernels):
        raise ReglabError(
            f"fcn: filters={filters!r} are of {len(filters)} blocks and kernels={kernels!r} of {len(kernels)}. Give "
            "one of each per block."
        )
    inputs = x = keras.Input(input_shape, name="series")
    for number, (count, size) in enumerate(zip(filters, kernels, strict=True), start=1):
        x = keras.layers.Conv1D(count, size, padding="same", name=f"block{number}_conv")(x)
        x = keras.layers.BatchNormalization(name=f"block{number}_norm")(x)
        x = keras.layers.ReLU(name=f"block{number}_relu")(x)
    x = x if per_position else keras.layers.GlobalAveragePooling1D(name="average")(x)
    return keras.Model(inputs, keras.layers.Dense(num_classes, activation=ending, name="head")(x), name="fcn")
