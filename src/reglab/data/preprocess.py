"""What is done to inputs before the network: fitted on the training split, applied to everything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from reglab.errors import ReglabError

__all__ = ["MODES", "Preprocess"]

MODES = ("standardize", "rescale", "none")
_CHUNK = 8192


@dataclass(frozen=True, eq=False)
class Preprocess:
    """``(x - mean) / scale``, or nothing.

    Attributes:
        mode: ``standardize``, to mean 0 and standard deviation 1 of the training split, a channel of images or a
            feature of tables; ``rescale``, from the valid raw range to [0, 1]; ``none``.
        mean, scale: float32 arrays that broadcast against an example.
        value_range: lowest and highest valid raw value, or None.
    """

    mode: str
    mean: np.ndarray
    scale: np.ndarray
    value_range: tuple[float, float] | None = None

    @classmethod
    def fit(
        cls, x: np.ndarray, mode: str = "standardize", *, value_range: tuple[float, float] | None = None
    ) -> Preprocess:
        """Learn what is needed from the training inputs ``(N, ...)``."""
        if mode not in MODES:
            raise ReglabError(f"preprocess={mode!r} is not possible. Expected one of {', '.join(MODES)}.")
        if mode == "none":
            return cls(mode, np.zeros((), "float32"), np.ones((), "float32"), value_range)
        if mode == "rescale":
            low, high = value_range or _extremes(x)
            width = (high - low) or 1
            return cls(mode, np.array(low, "float32"), np.array(width, "float32"), (float(low), float(high)))
        mean, deviation = _moments(x)
        return cls(mode, mean.astype("float32"), np.where(deviation > 0, deviation, 1).astype("float32"), value_range)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return inputs as the model gets them, float32; integers (indices) stay what they are with ``none``."""
        x = np.asarray(x)
        if self.mode == "none":
            return x if x.dtype.kind in "iu" and x.dtype != np.uint8 else x.astype("float32")
        return (x.astype("float32") - self.mean) / self.scale

    def range(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return where the lowest and highest raw value lie after it, as arrays that broadcast against an example."""
        if self.value_range is None:
            return None
        low, high = (np.float32(value) for value in self.value_range)
        return np.asarray((low - self.mean) / self.scale), np.asarray((high - self.mean) / self.scale)

    def to_dict(self) -> dict[str, Any]:
        return {
            "mode": self.mode, "mean": np.asarray(self.mean).tolist(), "scale": np.asarray(self.scale).tolist(),
            "value_range": None if self.value_range is None else list(self.value_range),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preprocess:
        limits = values["value_range"]
        return cls(
            values["mode"], np.asarray(values["mean"], "float32"), np.asarray(values["scale"], "float32"),
            None if limits is None else (limits[0], limits[1]),
        )  # fmt: skip


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the last axis, over all others, in float64 and in two passes."""
    axes = tuple(range(x.ndim - 1))
    count = int(np.prod(x.shape[:-1]))
    mean = sum(chunk.sum(axis=axes) for chunk in _chunks(x)) / count
    squares = sum(np.square(chunk - mean).sum(axis=axes) for chunk in _chunks(x))
    return np.asarray(mean), np.sqrt(np.asarray(squares) / count)


def _extremes(x: np.ndarray) -> tuple[float, float]:
    return float(min(chunk.min() for chunk in _chunks(x))), float(max(chunk.max() for chunk in _chunks(x)))


def _chunks(x: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(x), _CHUNK):
        yield np.asarray(x[start : start + _CHUNK], dtype="float64")
