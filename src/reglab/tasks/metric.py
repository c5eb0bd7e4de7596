"""Metrics: a name, a function of labels and predictions, and how its values are ordered and shown."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = ["COSTS", "Metric", "Score"]

Score = Callable[[np.ndarray, np.ndarray], float]
Scores = Callable[[np.ndarray, np.ndarray], np.ndarray]

# What a finished run has beside metrics of its predictions, as a table orders it.
COSTS = ("epochs", "best_epoch", "seconds")


@dataclass(frozen=True)
class Metric:
    """A number that labels and predictions give.

    Attributes:
        name: how records, ``--metric`` and files call it.
        title: how tables and sentences call it.
        function: from labels and predictions, examples first, to the number.
        better: which direction is, or ``""`` where neither is, and then it cannot decide.
        scale: the factor by which a value is shown.
        unit: of a value as it is shown, such as ``%``.
        apart: of a difference as it is shown, in the plural, such as ``points``.
        form: format of a value as it is shown; :attr:`rough` where it stands beside more important ones.
        lowest, highest: where it can lie.
        per_example: scores whose mean is the metric: its terms where it is a mean, else what each example adds to it
            to first order; None where neither is known.
        counts: whether those scores are nothing or a fixed amount, so that the metric comes in steps of one example.
        weighted: the metric of examples that count unequally; by default the weighted mean over groups of equal weight.
        averaged: how it is averaged over classes or labels, such as ``macro``; empty where it is not.
        meaning: what it is, where its title does not say it.
        measured_in: its unit in words, where it is not shown with one.
        aliases: names by which training logs and losses of Keras call it beside :attr:`name`.
        squares: names by which they call its square.
        compiled: how ``compile(metrics=[...])`` of Keras names it; empty where it has none.
    """

    name: str
    title: str
    function: Score
    better: Literal["higher", "lower", ""] = "higher"
    scale: float = 100.0
    unit: str = "%"
    apart: str = "points"
    form: str = ".2f"
    rough: str = ".1f"
    lowest: float = 0.0
    highest: float = 1.0
    per_example: Scores | None = None
    counts: bool = False
    weighted: Callable[[np.ndarray, np.ndarray, np.ndarray], float] | None = None
    averaged: str = ""
    meaning: str = ""
    measured_in: str = ""
    aliases: tuple[str, ...] = ()
    squares: tuple[str, ...] = ()
    compiled: str = ""

    def __call__(self, y: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None = None) -> float:
        """Return the metric; ``weights`` say how much each example counts."""
        if weights is None:
            return self.function(y, predictions)
        if self.weighted is not None:
            return self.weighted(y, predictions, weights)
        alike = [(weight, weights == weight) for weight in np.unique(weights)]
        means = [self.function(y[members], predictions[members]) for _, members in alike]
        return float(np.average(means, weights=[weight * members.sum() for weight, members in alike]))

    @property
    def sign(self) -> float:
        """What a value is multiplied by so that larger is better: 1 or -1."""
        return -1.0 if self.better == "lower" else 1.0

    @property
    def worst(self) -> float:
        """The worst value there is, which may be infinite: what a run is worth that gave none."""
        return self.highest if self.better == "lower" else self.lowest

    @property
    def span(self) -> float:
        """By how much two values can differ at most."""
        return self.highest - self.lowest

    def size(self, around: float) -> float:
        """Return what differences are small or large against: the span, or without one the value they are around."""
        return self.span if math.isfinite(self.span) else abs(around)

    def shown(self, value: float, form: str | None = None) -> str:
        """Return a value with its unit: ``91.25 %``, ``0.412 nats``."""
        return f"{self.scale * value:{form or self.form}}{self.unit and ' '}{self.unit}"

    def differs(self, value: float, form: str | None = None) -> str:
        """Return the size of a difference with its unit: ``1.25 points``."""
        size = f"{self.scale * value:{form or self.form}}"
        unit = self.apart.removesuffix("s") if size == "1" else self.apart  # one point
        return f"{size} {unit}".rstrip()

    @property
    def whole(self) -> bool:
        """Whether it is a share of all that can be had: higher is better, and 1 is all of it."""
        return self.better == "higher" and self.highest == 1.0
