"""Numbers of a diagnosis in words: with the unit of their metric and their interval."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import median

from reglab.analysis.diagnosis import Estimate
from reglab.tasks import Metric

__all__ = ["bounds", "count", "difference", "middle", "side", "value"]


def value(metric: Metric, found: Estimate, form: str = "") -> str:
    """Return a metric with its interval: ``90.3 % [89.1, 91.5]``."""
    form = form or metric.rough
    return f"{metric.shown(found.mean, form)}{bounds(found.low, found.high, metric.scale, form)}"


def difference(metric: Metric, found: Estimate, form: str = "") -> str:
    """Return a difference of a metric with its interval: ``10.0 points [8.2, 11.8]``."""
    form = form or metric.rough
    return f"{metric.differs(found.mean, form)}{bounds(found.low, found.high, metric.scale, form)}"


def side(metric: Metric, found: Estimate, words: tuple[str, str], form: str = "") -> str:
    """Return a difference with the first word where it is not negative, and without its sign with the other one."""
    sign = 1.0 if found.mean >= 0 else -1.0
    low, high = sorted((sign * found.low, sign * found.high))
    size = difference(metric, Estimate(found.values, sign * found.mean, low, high), form)
    return f"{size} {words[0] if found.mean >= 0 else words[1]}"


def bounds(low: float, high: float, unit: float = 1.0, form: str = ".3f") -> str:
    """Return an interval after a space; nothing where there is none."""
    # Equal numbers have no spread that could be told, and a point is no interval.
    return "" if not math.isfinite(high - low) or high == low else f" [{unit * low:{form}}, {unit * high:{form}}]"


def count(number: int, what: str) -> str:
    """Return how many there are: ``1 run``, ``3 runs``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def middle(values: Iterable[float]) -> float:
    """Return the median of what is a number; NaN of nothing."""
    found = [each for each in values if math.isfinite(each)]
    return float(median(found)) if found else math.nan
