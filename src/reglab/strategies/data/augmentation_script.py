"""Augmentation as a training script has it: only the transforms that a recipe draws, with its numbers as constants."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reglab.strategies.data import resample, whitening
from reglab.strategies.data.mixing import beside
from reglab.strategies.script import TrainingScript

if TYPE_CHECKING:
    from reglab.strategies.data.augmentation import Augmentation

__all__ = ["write"]


def write(
    augmentation: Augmentation, script: TrainingScript, *, draws: int, helpers: dict[str, Callable[..., Any]]
) -> None:
    """Fill the slots of a script.

    Args:
        augmentation: what to write.
        script: whose slots are filled.
        draws: how many uniform numbers are drawn an image.
        helpers: the functions of the strategy that the script has too, by name.
    """
    for line in _preprocessing(augmentation, script):
        script.preprocess.append(line)
    lines = _transforms(augmentation, script, helpers)
    if not lines:
        return
    body = "\n".join(f"    {line}" for line in lines)
    what, with_it = ("x, y", " with its mask") if _moves_masks(augmentation, script) else ("x", "")
    script.define(
        f'''def augment({what}, random):\n    """Transform each image{with_it} at random."""\n'''
        f'    x = ops.cast(x, "float32")\n'
        f"    u = keras.random.uniform(({draws}, ops.shape(x)[0]), seed=random)\n{body}\n    return {what}"
    )
    script.on_batch(f"{what} = augment({what}, {{random}})", stream=True)


def _moves_masks(a: Augmentation, script: TrainingScript) -> bool:
    """Whether labels are of pixels, which move with the images."""
    return script.task.per_position and ("geometric" in a.terms() or a.horizontal_flip or a.vertical_flip)


def _transforms(a: Augmentation, script: TrainingScript, helpers: dict[str, Callable[..., Any]]) -> list[str]:
    lines: list[str] = []
    terms = a.terms()
    if "geometric" in terms or "channel_shift_range" in terms or a.brightness_range is not None:
        script.define(helpers["_between"])
    if "geometric" in terms:
        script.define(resample.affine_matrices)
        if a.fill_mode == "nearest":
            script.define(_NEAREST)
        else:
            for function in (resample._neighbours, resample._inside, resample.affine_resample):
                script.define(function)
        lines += _affine(a, script)
        if script.task.per_position:
            size = "height={}, width={}".format(*script.input_shape[:2])
            named = script.carry(resample.affine_nearest)
            lines.append(f'y = {named}(y, matrices, {size}, fill_mode="{a.fill_mode}")')
    elif a.horizontal_flip or a.vertical_flip:
        script.define(helpers["_per_image"])
        lines += ["x = ops.where(per_image(u[6] < 0.5), ops.flip(x, axis=2), x)"] if a.horizontal_flip else []
        lines += ["x = ops.where(per_image(u[7] < 0.5), ops.flip(x, axis=1), x)"] if a.vertical_flip else []
        if script.task.per_position:
            script.carry(beside)
            lines += ["y = ops.where(beside(u[6] < 0.5, y), ops.flip(y, axis=2), y)"] if a.horizontal_flip else []
            lines += ["y = ops.where(beside(u[7] < 0.5, y), ops.flip(y, axis=1), y)"] if a.vertical_flip else []
    if "channel_shift_range" in terms:
        script.define(helpers["_per_image"])
        script.define(helpers["_shift_channels"])
        lines.append(f"x = shift_channels(x, {_range(-a.channel_shift_range, a.channel_shift_range, 8)})")
    if a.brightness_range is not None:
        script.define(helpers["_per_image"])
        low, high = script.range()
        factor = _range(*a.brightness_range, 9)
        lines.append(f"x = ops.clip({low} + (x - {low}) * per_image({factor}), {low}, {high})")
    return lines


def _affine(a: Augmentation, script: TrainingScript) -> list[str]:
    height, width = script.input_shape[:2]
    upwards, sideways = (
        shift * extent if shift < 1 else shift
        for shift, extent in ((a.height_shift_range, height), (a.width_shift_range, width))
    )
    low, high = a.zoom_range if isinstance(a.zoom_range, tuple) else (1.0 - a.zoom_range, 1.0 + a.zoom_range)
    rotation, shear = math.radians(a.rotation_range), math.radians(a.shear_range)
    arguments = {
        "angle": _range(-rotation, rotation, 0) if rotation else "0.0 * u[0]",
        "shear": _range(-shear, shear, 1) if shear else "0.0",
        "row_shift": _range(-upwards, upwards, 2) if upwards else "0.0",
        "col_shift": _range(-sideways, sideways, 3) if sideways else "0.0",
        "row_zoom": _range(low, high, 4) if (low, high) != (1, 1) else "1.0",
        "col_zoom": _range(low, high, 5) if (low, high) != (1, 1) else "1.0",
        "height": str(height),
        "width": str(width),
    }
    lines = ["matrices = affine_matrices(", *(f"    {key}={value}," for key, value in arguments.items()), ")"]
    flips = [(a.horizontal_flip, 6, "col", width), (a.vertical_flip, 7, "row", height)]
    if any(flip for flip, *_ in flips):
        lines.append("row, col, offset = matrices[:, :, 0], matrices[:, :, 1], matrices[:, :, 2]")
        for flip, draw, axis, extent in flips:
            if flip:
                lines += [
                    f'flip = ops.expand_dims(ops.cast(u[{draw}] < 0.5, "float32"), -1)',
                    f"offset, {axis} = offset + {axis} * (flip * {extent - 1}), {axis} * (1 - 2 * flip)",
                ]
        lines.append("matrices = ops.stack([row, col, offset], axis=-1)")
    if a.fill_mode == "nearest":
        return [*lines, "x = affine_resample(x, matrices)"]
    cval = f", cval={a.cval!r}" if a.fill_mode == "constant" else ""
    return [*lines, f'x = affine_resample(x, matrices, fill_mode="{a.fill_mode}"{cval})']


# What affine_resample of reglab.strategies.data.resample comes to where the edge is repeated.
_NEAREST = '''
def affine_resample(images, matrices):
    """Return images read at the mapped coordinates, bilinearly; what lies beyond the edge is the edge."""
    height, width, channels = images.shape[1:]
    i = ops.cast(ops.reshape(ops.arange(height), (1, height, 1)), "float32")
    j = ops.cast(ops.reshape(ops.arange(width), (1, 1, width)), "float32")
    m = ops.reshape(matrices, (-1, 2, 3, 1, 1))
    rows = ops.clip((m[:, 0, 0] * i + m[:, 0, 2]) + m[:, 0, 1] * j, 0.0, height - 1.0)
    cols = ops.clip((m[:, 1, 0] * i + m[:, 1, 2]) + m[:, 1, 1] * j, 0.0, width - 1.0)
    row, col = ops.cast(ops.floor(rows), "int32"), ops.cast(ops.floor(cols), "int32")
    below, right = ops.minimum(row + 1, height - 1), ops.minimum(col + 1, width - 1)
    row_share, col_share = (ops.expand_dims(p - ops.floor(p), -1) for p in (rows, cols))

    first = ops.reshape(ops.arange(ops.shape(images)[0]) * (height * width), (-1, 1, 1))
    pixels = ops.reshape(images, (-1, channels))

    def row_of(row):
        start = first + row * width
        left = ops.take(pixels, start + col, axis=0)
        return left + (ops.take(pixels, start + right, axis=0) - left) * col_share

    upper = row_of(row)
    return upper + (row_of(below) - upper) * row_share
'''


def _range(low: float, high: float, draw: int) -> str:
    return f"between({low!r}, {high!r}, u[{draw}])"


def _preprocessing(a: Augmentation, script: TrainingScript) -> list[str]:
    """Return what centring, scaling and whitening do to inputs, in training and evaluation alike."""
    lines, fitted = [], script.fitted(a)
    if a.samplewise_center or a.samplewise_std_normalization:
        lines.append(f"centred = x - ops.mean(x, {_EACH})")
        lines += _scaling() if a.samplewise_std_normalization else ["x = centred"]
    if "mean" in fitted:
        lines.append(f"x = x - {script.array('feature_mean', fitted['mean'])}")
    if "std" in fitted:
        lines.append(f"x = x / ({script.array('feature_std', fitted['std'])} + {whitening.TINY!r})")
    if "zca" in fitted:
        pixels = math.prod(script.input_shape)
        zca = script.array("zca", fitted["zca"])
        shift = script.array("zca_shift", fitted["shift"])
        lines.append(f"x = ops.reshape(ops.matmul(ops.reshape(x, (-1, {pixels})), {zca}) + {shift}, ops.shape(x))")
    return lines


_EACH = "axis=(1, 2, 3), keepdims=True"


def _scaling() -> list[str]:
    return [
        f"highest, lowest = ops.max(x, {_EACH}), ops.min(x, {_EACH})",
        f"varied = highest - lowest > {whitening.FLAT!r} * ops.maximum(ops.abs(highest), ops.abs(lowest))",
        f"scaled = centred / (ops.std(centred, {_EACH}) + {whitening.TINY!r})",
        "x = ops.where(varied, scaled, ops.zeros_like(scaled))  # an image of one value becomes 0",
    ]
