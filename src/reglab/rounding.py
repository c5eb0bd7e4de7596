"""What is a value and what is its rounding: bounds below which a difference says nothing.

A number that stands for rounding must never be divided by: what differs by a last bit between two processors would
differ by as much as the data does.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

__all__ = ["VISIBLE", "narrowed", "varies"]

VISIBLE = 1e-4  # rounding, in standard deviations of its column, from which on float32 is too coarse
_CHUNK = 8192


def varies(deviation: npt.ArrayLike, mean: npt.ArrayLike, *, count: int, dtype: npt.DTypeLike) -> np.ndarray:
    """Return which standard deviations are more than rounding.

    Args:
        deviation: standard deviation of each column, computed in float64.
        mean: of each column.
        count: how many values they were computed from.
        dtype: of those values. Floating-point values are known to half a unit in the last place; integers are exact.

    Returns:
        Booleans shaped as ``deviation``. As in scikit-learn's ``StandardScaler`` a column counts as constant if its
        deviation is at most what summing ``count`` equal values gives; here also if it is at most what the rounding
        of the values themselves gives.
    """
    of_sums = count * np.finfo("float64").eps
    dtype = np.dtype(dtype)
    of_values = 2 * float(np.finfo(dtype).eps) if dtype.kind == "f" else 0.0
    return np.asarray(np.asarray(deviation) > max(of_sums, of_values) * np.abs(mean))


def narrowed(x: np.ndarray) -> np.ndarray:
    """Return float64 examples ``(N, ..., columns)`` as float32, unless a column would lose what tells values apart.

    Seconds since 1970, for instance, are multiples of 128 in float32. Such data stays in float64, and is converted
    after it was standardized. Other data is returned as it is.
    """
    if x.dtype != np.float64:
        return x
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = x.astype("float32")
        return x if _is_lossy(x, narrow) else narrow


def _is_lossy(x: np.ndarray, narrow: np.ndarray) -> bool:
    if not x.size:
        return False
    axes = tuple(range(x.ndim - 1))
    finite = np.isfinite(x).all(axis=axes)  # what is not is told to the user later on
    count = x.size // x.shape[-1]
    mean = sum(chunk.sum(axis=axes) for chunk in _chunks(x)) / count
    squares = sum(np.square(chunk - mean).sum(axis=axes) for chunk in _chunks(x))
    deviation = np.sqrt(squares / count)
    pairs = zip(_chunks(x), _chunks(narrow), strict=True)
    lost = np.max([np.abs(wide - small).max(axis=axes) for wide, small in pairs], axis=0)
    kept = varies(deviation, mean, count=count, dtype=x.dtype)
    return bool(np.any(finite & kept & ~(lost <= VISIBLE * deviation)))


def _chunks(x: np.ndarray) -> Iterable[np.ndarray]:
    return (np.asarray(x[start : start + _CHUNK]) for start in range(0, len(x), _CHUNK))
