"""Affine maps of images: one matrix and one bilinear resampling an image, on any backend, inside a compiled step."""

from __future__ import annotations

from typing import Any

from reglab.aliases import Tensor
from reglab.lazy import keras

__all__ = ["FILL_MODES", "affine_matrices", "affine_nearest", "affine_resample"]

FILL_MODES = ("nearest", "constant", "reflect", "wrap")


def affine_matrices(
    *,
    angle: Tensor,
    shear: Tensor,
    row_shift: Tensor,
    col_shift: Tensor,
    row_zoom: Tensor,
    col_zoom: Tensor,
    height: int,
    width: int,
) -> Tensor:  # fmt: skip
    """Return the maps from output to input coordinates, ``(batch, 2, 3)`` in (row, column) order.

    All arguments are arrays ``(batch,)``: ``angle`` and ``shear`` in radians, shifts in pixels, zooms as factors on the
    coordinates (below 1 enlarges). About the centre of the image the map is rotation after shift after shear after
    zoom, as in Keras' ``apply_affine_transform``, whose ``tx`` is ``col_shift`` here and ``zx`` ``col_zoom``.
    """
    ops = keras.ops
    cos, sin = ops.cos(angle), ops.sin(angle)
    cos_both, sin_both = ops.cos(angle + shear), ops.sin(angle + shear)
    row_row, row_col = cos_both * row_zoom, sin * col_zoom
    col_row, col_col = -sin_both * row_zoom, cos * col_zoom
    row_centre, col_centre = (height - 1) / 2, (width - 1) / 2
    row_offset = cos * row_shift + sin * col_shift + row_centre - (row_row * row_centre + row_col * col_centre)
    col_offset = cos * col_shift - sin * row_shift + col_centre - (col_row * row_centre + col_col * col_centre)
    rows = ops.stack([row_row, row_col, row_offset], axis=-1)
    cols = ops.stack([col_row, col_col, col_offset], axis=-1)
    return ops.stack([rows, cols], axis=1)


def affine_resample(images: Tensor, matrices: Tensor, *, fill_mode: str = "nearest", cval: float = 0.0) -> Tensor:
    """Return ``images`` ``(batch, height, width, channels)`` read at the mapped coordinates, bilinearly.

    ``output[b, i, j] = images[b] at matrices[b] @ (i, j, 1)``. Beyond the edges ``fill_mode`` decides, with the meaning
    it has in ``scipy.ndimage`` (and so in ``ImageDataGenerator``): ``nearest`` repeats the edge, ``constant`` gives
    ``cval``, ``reflect`` mirrors about the edge of the outermost pixel, ``wrap`` repeats with period ``extent - 1``.
    """
    ops = keras.ops
    height, width, channels = images.shape[1:]
    batch = ops.shape(images)[0]
    i = ops.cast(ops.reshape(ops.arange(height), (1, height, 1)), "float32")
    j = ops.cast(ops.reshape(ops.arange(width), (1, 1, width)), "float32")
    m = ops.reshape(matrices, (-1, 2, 3, 1, 1))
    # Row and column apart for as long as possible: what is added last is the only thing of the size of an image.
    rows = (m[:, 0, 0] * i + m[:, 0, 2]) + m[:, 0, 1] * j
    cols = (m[:, 1, 0] * i + m[:, 1, 2]) + m[:, 1, 1] * j
    row_low, row_high, row_share = _neighbours(rows, height, fill_mode)
    col_low, col_high, col_share = _neighbours(cols, width, fill_mode)

    first = ops.reshape(ops.arange(batch) * (height * width), (-1, 1, 1))
    pixels = ops.reshape(images, (-1, channels))
    row_share, col_share = ops.expand_dims(row_share, -1), ops.expand_dims(col_share, -1)

    def row_of(row: Tensor) -> Tensor:
        start = first + row * width
        left = ops.take(pixels, start + col_low, axis=0)
        return left + (ops.take(pixels, start + col_high, axis=0) - left) * col_share

    above = row_of(row_low)
    result = above + (row_of(row_high) - above) * row_share
    if fill_mode == "constant":
        within = ops.logical_and(_inside(rows, height), _inside(cols, width))
        result = ops.where(ops.expand_dims(within, -1), result, cval)
    return result


def affine_nearest(values: Tensor, matrices: Tensor, *, height: int, width: int, fill_mode: str = "nearest") -> Tensor:
    """Return values of pixels, ``(batch, height, width)`` or with a last axis, each the nearest at the mapped place.

    The map and the fill modes are those of :func:`affine_resample`, but for ``constant``, for there is no value between
    two classes and none beyond the edge.
    """
    ops = keras.ops
    batch, last = ops.shape(values)[0], ops.shape(values)[3:]
    i = ops.cast(ops.reshape(ops.arange(height), (1, height, 1)), "float32")
    j = ops.cast(ops.reshape(ops.arange(width), (1, 1, width)), "float32")
    m = ops.reshape(matrices, (-1, 2, 3, 1, 1))
    rows = (m[:, 0, 0] * i + m[:, 0, 2]) + m[:, 0, 1] * j
    cols = (m[:, 1, 0] * i + m[:, 1, 2]) + m[:, 1, 1] * j
    nearest = []
    for position, extent in ((rows, height), (cols, width)):
        low, high, share = _neighbours(position, extent, fill_mode)
        nearest.append(ops.where(share < 0.5, low, high))
    first = ops.reshape(ops.arange(batch) * (height * width), (-1, 1, 1))
    return ops.take(ops.reshape(values, (-1, *last)), first + nearest[0] * width + nearest[1], axis=0)


def _neighbours(position: Tensor, extent: int, fill_mode: str) -> tuple[Any, Any, Any]:
    """Return the two pixels around each position, and how far it is from the first to the second."""
    ops = keras.ops
    last = extent - 1
    if fill_mode == "reflect":
        folded = ops.mod(position + 0.5, 2.0 * extent)
        position = ops.minimum(folded, 2.0 * extent - folded) - 0.5
    elif fill_mode == "wrap" and last > 0:
        beyond = ops.logical_or(position < 0, position > last)
        position = ops.where(beyond, ops.mod(position, float(last)), position)
    position = ops.clip(position, 0.0, float(last))
    low = ops.floor(position)
    low_index = ops.cast(low, "int32")
    return low_index, ops.minimum(low_index + 1, last), position - low


def _inside(position: Tensor, extent: int) -> Tensor:
    """Return which positions lie between the first and the last pixel."""
    return keras.ops.logical_and(position >= 0, position <= extent - 1)
