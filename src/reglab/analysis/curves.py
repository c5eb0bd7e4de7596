"""What one run's curve says: where it turns for good, whether it still falls, how much it shakes. Numbers in and out.

Every threshold stands here or in :mod:`reglab.analysis.diagnose`, by name and with its reason;
``benchmarks/diagnosis.py`` counts how often they raise a false alarm on curves whose truth is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reglab.lazy import stats

__all__ = [
    "FEWEST_EPOCHS", "Turn", "fall", "falls", "finite", "late", "levelled", "lost", "shake", "smooth", "turn", "window",
]  # fmt: skip

# A trend over fewer points cannot be told from noise: with four, a flat curve is monotone in 1 of 12 cases.
FEWEST_EPOCHS = 5
# Validation cross-entropy that ends less than a tenth above its minimum has levelled off: early stopping there would
# gain less than what seeds differ by.
RISE_MATTERS = 0.10
# The minimum of a curve is picked, so it lies below the curve's level by some standard deviations of its noise.
RISE_NOISE = 4.0
# A curve that rises for good does so over most of what follows; one that jumped once at the end does not.
RISE_STEADY = 0.25
# The part of a rise that has happened when it is said to have begun.
_BEGUN = 0.1
# A fall of 5 % within the last quarter of training: training as long again would bring more than a tenth.
STILL_FALLS = 0.05


@dataclass(frozen=True)
class Turn:
    """Where a curve that should fall turns and rises for good.

    Attributes:
        epoch: the last one, counted from 1, at which less than a tenth of the rise has happened. Where a curve stays
            at its minimum for long before it rises, the minimum itself lies anywhere on the way.
        lowest, final: the smoothed curve at its minimum and at the end.
        noise: the standard deviation of single epochs around the smoothed curve.
    """

    epoch: int
    lowest: float
    final: float
    noise: float

    @property
    def rise(self) -> float:
        """By how much it ends above its minimum, as a share of the minimum."""
        return (self.final - self.lowest) / max(self.lowest, 1e-12)


def finite(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return a curve up to its first value that is not a number."""
    curve = np.asarray(list(values), dtype="float64")
    bad = np.flatnonzero(~np.isfinite(curve))
    return curve[: bad[0]] if len(bad) else curve


def window(epochs: int) -> int:
    """Return how many epochs are looked at together: a sixth of all, odd, 3 at least and 15 at most."""
    return min(15, max(3, 2 * (epochs // 12) + 1))


def smooth(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the running median: single bad epochs do not move it, a lasting change does.

    At the ends the window holds what there is of it.

    >>> smooth([3.0, 2.0, 9.0, 1.0, 1.0]).tolist()
    [2.5, 3.0, 2.0, 1.0, 1.0]
    """
    curve = np.asarray(values, dtype="float64")
    half = window(len(curve)) // 2
    padded = np.pad(curve, half, constant_values=math.nan)
    return np.asarray(np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1))


def late(values: Sequence[float] | np.ndarray) -> float:
    """Return where a curve ends: the mean of its last epochs, a :func:`window` of them; NaN if it is empty."""
    curve = np.asarray(values, dtype="float64")
    return float(curve[-window(len(curve)) :].mean()) if len(curve) else math.nan


def turn(values: Sequence[float] | np.ndarray) -> Turn | None:
    """Return where a curve turns and rises for good, or None.

    It has turned if the median of its last epochs is above the minimum of the smoothed curve by a tenth of that minimum
    and by four standard deviations of the noise, at least three epochs later, and what lies between rises on the whole
    (Kendall's tau of at least 0.25 with time). Prechelt 1998 ("Early stopping - but when?") measures the same
    loss of generalization, ``100 (E / E_min - 1)``, on the raw curve.

    >>> turn([2.0, 1.0, 0.6, 0.5, 0.5, 0.6, 0.8, 1.0, 1.2, 1.4]).epoch
    5
    """
    curve = finite(values)
    if len(curve) < FEWEST_EPOCHS:
        return None
    smoothed = smooth(curve)
    at = int(smoothed.argmin())
    after = curve[at + 1 :]
    if len(after) < window(len(curve)):
        return None
    lowest = float(smoothed[at])
    final = float(np.median(curve[-window(len(curve)) :]))
    reached = int(np.flatnonzero(smoothed <= (1 + RISE_MATTERS) * smoothed[at])[0])
    noise = max(_spread(smoothed[at:]), _spread(smoothed[reached : at + 1]))
    needed = max(RISE_MATTERS * lowest, RISE_NOISE * noise)
    if final - lowest < needed or _tau(after) < RISE_STEADY:
        return None
    still_low = np.flatnonzero(smoothed <= lowest + _BEGUN * (final - lowest))
    return Turn(int(still_low[-1]) + 1, lowest, final, noise)


def levelled(values: Sequence[float] | np.ndarray) -> int | None:
    """Return the first epoch, from 1, whose smoothed value is within a tenth of the minimum; None with too few.

    >>> levelled([2.0, 1.0, 0.6, 0.5, 0.5, 0.49, 0.5, 0.5])
    4
    """
    curve = finite(values)
    if len(curve) < FEWEST_EPOCHS:
        return None
    smoothed = smooth(curve)
    return int(np.flatnonzero(smoothed <= (1 + RISE_MATTERS) * smoothed.min())[0]) + 1


def falls(values: Sequence[float] | np.ndarray) -> bool:
    """Whether a curve still falls at its end: by a twentieth and more within its last quarter, steadily.

    The fall is the Theil-Sen slope times the length; steady means that Kendall's tau with time is -0.5 or less.
    """
    curve = finite(values)
    if len(curve) < FEWEST_EPOCHS:
        return False
    tail = curve[-max(FEWEST_EPOCHS, math.ceil(len(curve) / 4)) :]
    return fall(curve) >= STILL_FALLS and _tau(tail) <= -0.5


def fall(values: Sequence[float] | np.ndarray) -> float:
    """Return by how much a curve falls within its last quarter, steadily or not, as a share of where it is."""
    curve = finite(values)
    if len(curve) < FEWEST_EPOCHS:
        return math.nan

    tail = curve[-max(FEWEST_EPOCHS, math.ceil(len(curve) / 4)) :]
    slope = float(stats.theilslopes(tail).slope)
    return -slope * (len(tail) - 1) / max(abs(float(np.median(tail))), 1e-12)


def lost(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Return by how much a curve that should rise ends below its best level, and the standard error of that.

    The best of many epochs is above its level by luck. So its place is looked for in every other epoch, and its level
    taken from those between, both ways round: of a flat curve whose epochs vary by themselves the mean is zero. The
    standard error is ``noise * sqrt(2 / window)``, with the noise of epochs by second differences.
    """
    curve = np.asarray(values, dtype="float64")
    size = window(len(curve))
    if len(curve) < FEWEST_EPOCHS:
        return (float(smooth(curve).max()) - late(curve) if len(curve) else math.nan), math.nan
    epochs = np.arange(len(curve))
    levels = []
    for first in (0, 1):
        seen, kept = epochs[first::2], epochs[1 - first :: 2]
        at = seen[int(smooth(curve[first::2]).argmax())]
        near = kept[np.argsort(np.abs(kept - at), kind="stable")[: max(1, size // 2)]]
        levels.append(float(np.median(curve[near])))
    second = np.diff(curve[-max(FEWEST_EPOCHS, len(curve) // 2) :], 2)
    noise = float(np.sqrt(np.mean(second * second) / 6))
    return float(np.mean(levels)) - late(curve), noise * math.sqrt(2 / size)


def shake(values: Sequence[float] | np.ndarray) -> float:
    """Return the standard deviation of single epochs in the last third of training, whatever the trend.

    By second differences, whose mean square is six times that of independent noise; not robust ones, since single bad
    epochs are what it is to show. NaN with fewer than 15 epochs, whose last third is still learning.
    """
    curve = finite(values)
    if len(curve) < 3 * FEWEST_EPOCHS:
        return math.nan
    second = np.diff(curve[-(len(curve) // 3) :], 2)
    return float(np.sqrt(np.mean(second * second) / 6))


def _spread(curve: np.ndarray) -> float:
    """Return the standard deviation of a curve around its straight line, with ``n - 2``; 0 of fewer than three points.

    A drift that comes back counts as noise here, which differences of neighbours would not see.
    """
    n = len(curve)
    if n < 3:
        return 0.0
    t = np.arange(n)
    rest = curve - np.polyval(np.polyfit(t, curve, 1), t)
    return float(np.sqrt(rest @ rest / (n - 2)))


def _tau(curve: np.ndarray) -> float:
    """Return Kendall's tau-a with time: the share of pairs that rise minus the share that falls."""
    n = len(curve)
    if n < 2:
        return 0.0
    later = np.sign(curve[None, :] - curve[:, None])
    return float(np.triu(later, 1).sum() / (n * (n - 1) / 2))
