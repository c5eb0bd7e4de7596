"""What is done to inputs before the network: fitted on the training split, applied to everything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reglab.data.several import each
from reglab.errors import ReglabError
from reglab.lazy import keras
from reglab.rounding import VISIBLE, varies

__all__ = ["MODES", "Preprocess", "PreprocessEach"]

MODES = ("standardize", "rescale", "none")
_CHUNK = 8192


@dataclass(frozen=True, eq=False)
class Preprocess:
    """``(x - mean) / scale``, or nothing.

    Attributes:
        mode: ``standardize``, to mean 0 and standard deviation 1 of the training split, a channel of images or a
            feature of tables; ``rescale``, from the valid raw range to [0, 1]; ``none``.
        mean, scale: arrays that broadcast against an example: float64 for float64 and wide integers, which float32
            cannot tell apart where they are large, else float32. They are applied in their own precision.
        value_range: lowest and highest valid raw value, or None.
        fills: whether NaN stands for a missing value, which becomes the mean of its column: 0 after it.
    """

    mode: str
    mean: np.ndarray
    scale: np.ndarray
    value_range: tuple[float, float] | None = None
    fills: bool = False

    @classmethod
    def fit(
        cls,
        x: np.ndarray,
        mode: str = "standardize",
        *,
        value_range: tuple[float, float] | None = None,
        missing: bool = False,
    ) -> Preprocess:
        """Learn what is needed from the training inputs ``(N, ...)``; ``missing`` says that NaN is a missing value."""
        if mode not in MODES:
            raise ReglabError(f"preprocess={mode!r} is not possible. Expected one of {', '.join(MODES)}.")
        if missing and mode != "standardize":
            raise ReglabError(
                f"Missing values become the mean of their column, which preprocess={mode!r} does not know. Leave it at "
                "'standardize', or leave rows with missing values out (missing='drop')."
            )
        if mode == "none":
            return cls(mode, np.zeros((), "float32"), np.ones((), "float32"), value_range)
        if mode == "rescale":
            low, high = value_range or _extremes(x)
            width = (high - low) or 1
            dtype = _precision(x.dtype)
            return cls(mode, np.array(low, dtype), np.array(width, dtype), (float(low), float(high)))
        return replace(cls.standardizing(*_moments(x), x=x, value_range=value_range), fills=missing)

    @classmethod
    def standardizing(
        cls,
        mean: np.ndarray,
        deviation: np.ndarray,
        *,
        x: np.ndarray,
        value_range: tuple[float, float] | None = None,
    ) -> Preprocess:
        """Return the standardization of ``x`` by its moments; a column that varies by rounding alone is centred."""
        dtype = _precision(x.dtype)
        count = int(np.prod(x.shape[:-1]))
        scale = np.where(varies(deviation, mean, count=count, dtype=x.dtype), deviation, 1)
        return cls("standardize", mean.astype(dtype), scale.astype(dtype), value_range)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return inputs as the model gets them, float32; integers (indices) stay what they are with ``none``."""
        x = np.asarray(x)
        if self.mode == "none":
            return x if x.dtype.kind in "iu" and x.dtype != np.uint8 else x.astype("float32")
        found = ((x.astype(self.mean.dtype) - self.mean) / self.scale).astype("float32", copy=False)
        return np.nan_to_num(found) if self.fills else found

    def range(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return where the lowest and highest raw value lie after it, as arrays that broadcast against an example."""
        if self.value_range is None:
            return None
        low, high = (self.mean.dtype.type(value) for value in self.value_range)
        ends = (low - self.mean) / self.scale, (high - self.mean) / self.scale
        return np.asarray(ends[0], "float32"), np.asarray(ends[1], "float32")

    def as_layers(self, of: str = "") -> list[Any]:
        """Return the layers of Keras' own that do it, float32; they reload with ``safe_mode=True``.

        ``of`` is the name of the input, where there are several.

        The mean is subtracted before anything is multiplied, so that large values of little spread do not cancel.

        Raises:
            ReglabError: if float32, which such layers take, cannot tell the raw values of a column apart.
        """
        if self.mode == "none":
            return []
        mean, scale = np.asarray(self.mean, "float64"), np.asarray(self.scale, "float64")
        constant = scale == 1
        coarse = ~constant & (np.abs(mean) * np.finfo("float32").eps / 2 > VISIBLE * scale)
        if self.mean.dtype == np.float64 and coarse.any():
            column = int(np.argmax(coarse))
            raise ReglabError(
                f"Column {column} has values around {mean.flat[column]:.10g} that differ by about "
                f"{scale.flat[column]:.3g}. An exported network takes float32, which cannot tell them apart. Subtract "
                f"{mean.flat[column]:.10g} from that column in the data, and compare again."
            )
        axis = -1 if mean.ndim else None
        # Normalization divides by the root of a float32 variance, and by 1e-7 where that is smaller.
        direct = bool(((scale > 1e-6) & (scale < 1e18)).all())
        variance = np.square(scale) if direct else np.ones_like(scale)
        name = f"{of}{'_' * bool(of)}{'standardize' if self.mode == 'standardize' else 'rescale'}"
        centred = keras.layers.Normalization(
            axis=axis, mean=mean.tolist(), variance=variance.tolist(), dtype="float32", name=name
        )
        scaled = (
            [] if direct else [keras.layers.Rescaling((1 / scale).tolist(), dtype="float32", name=f"{name}_unit_scale")]
        )
        return [centred, *scaled, *([keras.ops.nan_to_num] if self.fills else [])]

    def to_dict(self) -> dict[str, Any]:
        return {
            "mode": self.mode, "mean": np.asarray(self.mean).tolist(), "scale": np.asarray(self.scale).tolist(),
            "dtype": self.mean.dtype.name, "fills": self.fills,
            "value_range": None if self.value_range is None else list(self.value_range),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preprocess:
        limits = values["value_range"]
        return cls(
            values["mode"], np.asarray(values["mean"], values["dtype"]), np.asarray(values["scale"], values["dtype"]),
            None if limits is None else (limits[0], limits[1]), values["fills"],
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class PreprocessEach:
    """What is done to each of several inputs.

    Attributes:
        of: by the name of the input.
    """

    of: Mapping[str, Preprocess]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return inputs as the model gets them, each by its own preprocessing."""
        return each(lambda name, values: self.of[name](values), x)

    def range(self) -> None:
        """Return nothing: what raw values lie between is a matter of each input."""


def _precision(dtype: np.dtype) -> str:
    """Return what examples are standardized in: float32 where it holds all their values."""
    return "float64" if dtype == np.float64 or (dtype.kind in "iu" and dtype.itemsize >= 4) else "float32"


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the last axis, over all others, in float64 and in two passes.

    NaN, where a value is missing, counts for neither; a column that has no value has mean and deviation 0.
    """
    axes = tuple(range(x.ndim - 1))
    count = np.asarray(sum((~np.isnan(chunk)).sum(axis=axes) for chunk in _chunks(x)))
    mean = np.asarray(sum(np.nansum(chunk, axis=axes) for chunk in _chunks(x))) / np.maximum(count, 1)
    squares = sum(np.nansum(np.square(chunk - mean), axis=axes) for chunk in _chunks(x))
    return mean, np.sqrt(np.asarray(squares) / np.maximum(count, 1))


def _extremes(x: np.ndarray) -> tuple[float, float]:
    return float(min(chunk.min() for chunk in _chunks(x))), float(max(chunk.max() for chunk in _chunks(x)))


def _chunks(x: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(x), _CHUNK):
        yield np.asarray(x[start : start + _CHUNK], dtype="float64")
