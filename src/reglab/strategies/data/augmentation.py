"""Dataset augmentation: random transforms of images, under the names of Keras' ``ImageDataGenerator``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from reglab.aliases import Random, Tensor
from reglab.data.kinds import IMAGE
from reglab.declare import param
from reglab.errors import ReglabError
from reglab.lazy import keras
from reglab.schedules import Schedule
from reglab.strategies.base import Strategy
from reglab.strategies.data import augmentation_script, whitening
from reglab.strategies.data.mixing import beside
from reglab.strategies.data.resample import FILL_MODES, affine_matrices, affine_nearest, affine_resample
from reglab.strategies.given import Batch, InputRange, ModelInput, StrengthView
from reglab.strategies.script import TrainingScript
from reglab.strategies.stage import Stage

__all__ = ["Augmentation"]

_GEOMETRIC = ("rotation_range", "width_shift_range", "height_shift_range", "shear_range", "zoom_range")
_DRAWS = 10  # random numbers an image; always as many, so that no transform moves the draws of another


@dataclass(frozen=True)
class Augmentation(Strategy):
    """Transforms each training image at random, and normalizes or whitens all images.

    The arguments are those of ``keras.preprocessing.image.ImageDataGenerator``. The geometric ones are drawn anew for
    each image and epoch, composed to one affine map (flips included) and applied by one bilinear resampling inside the
    compiled training step. Two kinds of argument must be told apart:

    * random transforms (rotation, shifts, shear, zoom, channel shift, brightness, flips) act in training only;
    * centring, scaling and ZCA whitening are fitted on the training split (``adapt``) and are part of the network from
      then on: training, validation, test and export.

    Classes of pixels, as of segmentation, move with the images: by the same map, each pixel that of the nearest.

    Shifts below 1 are fractions of the image, from 1 on pixels. A zoom of ``z`` draws factors from ``[1 - z, 1 + z]``
    for rows and columns apart. ``channel_shift_range`` is in units of the model's input. ``brightness_range``
    multiplies raw pixel values, and so needs ``adapt`` to know where the raw range lies in the model's input.

    Differences from ``ImageDataGenerator``: pixels that never vary in training, and other directions that differ by
    rounding alone, are whitened to 0 and not amplified by ``1 / zca_epsilon``; a channel or an image of one value is
    centred and not divided; shifts are continuous in pixels also for integers; brightness is not
    rounded to 8 bits, and one number draws around 1; both flips are drawn with probability 1/2 as there.

    Example: ``Augmentation(rotation_range=10, width_shift_range=0.1, height_shift_range=0.1, horizontal_flip=True)``
    """

    name: ClassVar[str] = "augmentation"
    formula: ClassVar[str] = "x at A (i, j), A = rotation . shift . shear . zoom . flip drawn an image"
    paper: ClassVar[str] = (
        "Srivastava, Regularization Strategies in Deep Learning, Table 1; Goodfellow et al. 2016, 7.4"
    )
    stage: ClassVar[Stage] = Stage.EXAMPLES
    kinds: ClassVar[frozenset[str] | None] = frozenset({IMAGE})
    zero: ClassVar[dict[str, Any]] = {
        "rotation_range": 0.0,
        "width_shift_range": 0.0,
        "height_shift_range": 0.0,
        "shear_range": 0.0,
        "zoom_range": 0.0,
        "channel_shift_range": 0.0,
    }

    rotation_range: float = param(
        0.0, "largest rotation", low=0, high=180, strength=True, search=(1.0, 45.0, "linear"), unit="degrees"
    )
    width_shift_range: float = param(
        0.0,
        "largest shift sideways: a fraction below 1, pixels from 1 on",
        low=0,
        strength=True,
        search=(0.02, 0.3, "linear"),
        unit="widths or pixels",
    )
    height_shift_range: float = param(
        0.0,
        "largest shift up or down: a fraction below 1, pixels from 1 on",
        low=0,
        strength=True,
        search=(0.02, 0.3, "linear"),
        unit="heights or pixels",
    )
    shear_range: float = param(
        0.0, "largest shear angle", low=0, high=89, strength=True, search=(1.0, 30.0, "linear"), unit="degrees"
    )
    zoom_range: float | tuple[float, float] = param(
        0.0,
        "z for factors in [1 - z, 1 + z], or (lowest, highest) factor",
        kind="pair",
        low=0,
        high=10,
        strength=True,
        search=(0.02, 0.3, "linear"),
    )
    channel_shift_range: float = param(
        0.0, "largest shift of all values of an image, within its own extremes", low=0, strength=True, unit="x"
    )
    brightness_range: tuple[float, float] | None = param(
        None, "lowest and highest factor on raw pixel values", kind="bounds", low=0, optional=True
    )
    horizontal_flip: bool = param(False, "mirror half of the images left to right", kind="bool", search=(False, True))
    vertical_flip: bool = param(False, "mirror half of the images upside down", kind="bool", search=(False, True))
    fill_mode: str = param("nearest", "what lies beyond the edge", kind="choice", choices=FILL_MODES)
    cval: float = param(0.0, "value beyond the edge with fill_mode constant", strength=True, unit="x")
    samplewise_center: bool = param(False, "subtract each image's mean", kind="bool")
    samplewise_std_normalization: bool = param(
        False, "subtract each image's mean and divide by its standard deviation", kind="bool"
    )
    featurewise_center: bool = param(False, "subtract the training split's mean, a channel", kind="bool")
    featurewise_std_normalization: bool = param(
        False, "subtract the training split's mean, a channel, and divide by its standard deviation", kind="bool"
    )
    zca_whitening: bool = param(False, "centre the data and decorrelate the pixels", kind="bool")
    zca_epsilon: float = param(1e-6, "added to singular values when whitening", low=0, open_low=True)

    def validate(self) -> None:
        low, high = _zoom_limits(self.zoom_range) if not isinstance(self.zoom_range, Schedule) else (1.0, 1.0)
        if low <= 0 or low > high:
            raise ReglabError(
                f"augmentation: zoom_range={self.zoom_range} draws factors from [{low:g}, {high:g}]. "
                "Give z below 1, or (lowest, highest) with 0 < lowest <= highest."
            )

    # --- strengths and terms ---------------------------------------------------------------------------------------

    def strengths(self) -> dict[str, float]:
        zoom_low, zoom_high = _zoom_limits(self.zoom_range)
        low, high = self.brightness_range or (1.0, 1.0)
        return {
            "rotation": math.radians(self.rotation_range),
            "shear": math.radians(self.shear_range),
            "width_shift": self.width_shift_range,
            "height_shift": self.height_shift_range,
            "zoom_low": zoom_low,
            "zoom_high": zoom_high,
            "channel_shift": self.channel_shift_range,
            "brightness_low": low,
            "brightness_high": high,
            "cval": self.cval,
        }

    def structure(self) -> tuple[Any, ...]:
        fixed = dict(super().structure()[1:])
        fixed["brightness_range"] = self.brightness_range is not None  # its numbers are strengths
        return (self.name, *fixed.items())

    def terms(self) -> frozenset[str]:
        return frozenset(name for name in ("geometric", "channel_shift_range") if self._has(name))

    def _has(self, term: str) -> bool:
        values = [getattr(self, name) for name in (_GEOMETRIC if term == "geometric" else (term,))]
        return any(isinstance(value, Schedule) or value not in (0, (1, 1)) for value in values)

    def active_transforms(self) -> frozenset[str]:
        names = (*_GEOMETRIC, "channel_shift_range", "horizontal_flip", "vertical_flip")
        drawn = {name for name in names if getattr(self, name) not in (0, False, (1, 1))}
        return frozenset(drawn | ({"brightness_range"} if self.brightness_range else set()))

    # --- normalization and whitening -------------------------------------------------------------------------------

    @property
    def needs_range(self) -> bool:
        return self.brightness_range is not None

    @property
    def needs_data(self) -> bool:
        return self.featurewise_center or self.featurewise_std_normalization or self.zca_whitening

    @property
    def preprocesses(self) -> bool:
        return self.needs_data or self._centres_samples

    @property
    def _centres_samples(self) -> bool:
        return self.samplewise_center or self.samplewise_std_normalization

    def fit_data(self, x: np.ndarray) -> dict[str, np.ndarray]:
        if not self.needs_data:
            return {}
        return whitening.fit(
            x,
            prepare=self._samplewise_numpy,
            scale=self.featurewise_std_normalization and not self.zca_whitening,
            zca_epsilon=self.zca_epsilon if self.zca_whitening else None,
        )

    def _samplewise_numpy(self, x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, "float32")
        return whitening.samplewise(x, scale=self.samplewise_std_normalization, ops=np) if self._centres_samples else x

    def preprocess(self, x: Tensor, fitted: Mapping[str, Tensor]) -> Tensor:
        ops = keras.ops
        if self._centres_samples or fitted:
            x = ops.cast(x, "float32")
        if self._centres_samples:
            x = whitening.samplewise(x, scale=self.samplewise_std_normalization, ops=ops)
        if "mean" in fitted:
            x = x - fitted["mean"]
        if "std" in fitted:
            x = x / (fitted["std"] + whitening.TINY)
        return whitening.whiten(x, fitted) if "zca" in fitted else x

    def as_layers(self, x: Tensor, fitted: Mapping[str, np.ndarray]) -> Tensor:
        if self._centres_samples:
            x = whitening.samplewise(x, scale=self.samplewise_std_normalization, ops=keras.ops)
        return whitening.as_layers(x, fitted)

    # --- random transforms -----------------------------------------------------------------------------------------

    def check_input(self, given: ModelInput) -> None:
        super().check_input(given)
        if len(given.shape) != 4 or None in given.shape[1:]:
            raise ReglabError(
                f"augmentation transforms images (batch, height, width, channels) of one size; the model's input is "
                f"{tuple(given.shape)}. Leave it out of the recipe, or give the model a fixed image size."
            )

    def check_targets(self, given: ModelInput, shape: tuple[int | None, ...]) -> None:
        moves = self._has("geometric") or self.horizontal_flip or self.vertical_flip
        if not moves or len(shape) < 3:
            return
        of_pixels = _of_pixels(shape, given.shape)
        if len(shape) > 3 and not of_pixels:
            raise ReglabError(
                f"augmentation moves the pixels of images {given.shape[1:3]}, and the targets {tuple(shape)} are of "
                "another size, and would stay where they are. Leave it out of the recipe, or give the model outputs of "
                "the size of its inputs."
            )
        if of_pixels and self._has("geometric") and self.fill_mode == "constant":
            raise ReglabError(
                f"augmentation: fill_mode=constant has no class for the targets {tuple(shape)} beyond the edge. Use "
                "fill_mode nearest, reflect or wrap."
            )

    def on_batch(self, batch: Batch, s: StrengthView, random: Random, input_range: InputRange | None) -> Batch:
        x = keras.ops.cast(batch.x, "float32")
        self.check_input(ModelInput(tuple(x.shape)))
        if not self._draws():
            return batch._replace(x=x)
        # One draw of uniform numbers in [0, 1), (kinds, batch).
        u = keras.random.uniform((_DRAWS, keras.ops.shape(x)[0]), seed=random)
        geometric = self._has("geometric")
        if geometric:
            matrices = self._matrices(u, s, height=x.shape[1], width=x.shape[2])
            if self.fill_mode != "constant":
                x = affine_resample(x, matrices, fill_mode=self.fill_mode)
            else:
                x = affine_resample(x, matrices, fill_mode="constant", cval=s.cval)

            def moved(values: Tensor) -> Tensor:
                height, width = x.shape[1:3]
                return affine_nearest(values, matrices, height=height, width=width, fill_mode=self.fill_mode)

        else:
            x = self._flip(x, u)

            def moved(values: Tensor) -> Tensor:
                return self._flip(values, u)

        batch = _with_targets_of_pixels(batch, x, moved)
        if self._has("channel_shift_range"):
            x = _shift_channels(x, _between(-s.channel_shift, s.channel_shift, u[8]))
        if self.brightness_range is not None:
            x = _brighten(x, _between(s.brightness_low, s.brightness_high, u[9]), input_range)
        return batch._replace(x=x)

    def _draws(self) -> bool:
        """Whether anything random is part of the program; fitted parts alone leave the stream where it is."""
        return bool(self.terms()) or self.horizontal_flip or self.vertical_flip or self.brightness_range is not None

    def _matrices(self, u: Tensor, s: StrengthView, *, height: int, width: int) -> Tensor:
        ops = keras.ops
        sideways = ops.where(s.width_shift < 1, s.width_shift * width, s.width_shift)
        upwards = ops.where(s.height_shift < 1, s.height_shift * height, s.height_shift)
        matrices = affine_matrices(
            angle=_between(-s.rotation, s.rotation, u[0]),
            shear=_between(-s.shear, s.shear, u[1]),
            row_shift=_between(-upwards, upwards, u[2]),
            col_shift=_between(-sideways, sideways, u[3]),
            row_zoom=_between(s.zoom_low, s.zoom_high, u[4]),
            col_zoom=_between(s.zoom_low, s.zoom_high, u[5]),
            height=height,
            width=width,
        )
        # A flip of the output reads the map at mirrored output coordinates: j becomes (width - 1) - j.
        row, col, offset = matrices[:, :, 0], matrices[:, :, 1], matrices[:, :, 2]
        if self.horizontal_flip:
            flip = ops.expand_dims(ops.cast(u[6] < 0.5, "float32"), -1)
            offset = offset + col * (flip * (width - 1))
            col = col * (1 - 2 * flip)
        if self.vertical_flip:
            flip = ops.expand_dims(ops.cast(u[7] < 0.5, "float32"), -1)
            offset = offset + row * (flip * (height - 1))
            row = row * (1 - 2 * flip)
        return ops.stack([row, col, offset], axis=-1)

    def _flip(self, x: Tensor, u: Tensor) -> Tensor:
        ops = keras.ops
        if self.horizontal_flip:
            x = ops.where(beside(u[6] < 0.5, x), ops.flip(x, axis=2), x)
        if self.vertical_flip:
            x = ops.where(beside(u[7] < 0.5, x), ops.flip(x, axis=1), x)
        return x

    def write_keras(self, script: TrainingScript) -> None:
        helpers = {function.__name__: function for function in (_between, _per_image, _shift_channels)}
        augmentation_script.write(self, script, draws=_DRAWS, helpers=helpers)


def _of_pixels(shape: tuple[int | None, ...], images: tuple[int | None, ...]) -> bool:
    """Whether targets or weights of this shape are of the pixels of images."""
    known = zip(shape[1:3], images[1:3], strict=True) if len(shape) > 2 else [(0, 1)]
    return all(size in (None, of_image) for size, of_image in known)


def _with_targets_of_pixels(batch: Batch, images: Tensor, moved: Callable[[Tensor], Tensor]) -> Batch:
    """Return a batch whose targets and weights move with the images, where they are of their pixels."""
    if batch.y is None or isinstance(batch.y, dict | list | tuple):
        return batch
    if _of_pixels(batch.y.shape, images.shape):
        batch = batch._replace(y=moved(batch.y))
    if batch.sample_weight is not None and _of_pixels(batch.sample_weight.shape, images.shape):
        batch = batch._replace(sample_weight=moved(batch.sample_weight))
    return batch


def _zoom_limits(zoom: float | tuple[float, float]) -> tuple[float, float]:
    return zoom if isinstance(zoom, tuple) else (1.0 - zoom, 1.0 + zoom)


def _between(low: Tensor, high: Tensor, u: Tensor) -> Tensor:
    """Return uniform numbers in ``[low, high)`` from uniform numbers in ``[0, 1)``; ``low`` if both are equal."""
    return low + (high - low) * u


def _per_image(values: Tensor) -> Tensor:
    """Return one value an image, shaped to broadcast against images."""
    return keras.ops.reshape(values, (-1, 1, 1, 1))


def _shift_channels(x: Tensor, shift: Tensor) -> Tensor:
    """Return images moved by one value each, within their own extremes."""
    ops = keras.ops
    low, high = ops.min(x, axis=(1, 2, 3), keepdims=True), ops.max(x, axis=(1, 2, 3), keepdims=True)
    return ops.clip(x + _per_image(shift), low, high)


def _brighten(x: Tensor, factor: Tensor, input_range: InputRange | None) -> Tensor:
    assert input_range is not None  # needs_range says so, and fit checks it
    low, high = input_range
    return keras.ops.clip(low + (x - low) * _per_image(factor), low, high)
