"""Stochastic weight averaging: the plain mean of the weights that the last epochs end with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from reglab.declare import param
from reglab.strategies.base import Strategy
from reglab.strategies.observing import Moment, Observer
from reglab.strategies.script import TrainingScript
from reglab.strategies.stage import Stage
from reglab.tasks import Task

__all__ = ["SWA", "mean_of_epochs"]

_Kept = tuple[int, list[np.ndarray]]


def mean_of_epochs(kept: _Kept, weights: list[np.ndarray], epoch: int, first: int, every: int) -> _Kept:
    """Return how many epochs are averaged, and the mean of the weights they ended with, once one more has ended.

    Args:
        kept: the same of the epochs before it; ``(0, [])`` in the beginning.
        weights: what the epoch ended with.
        epoch: its number, counted from 0.
        first: that of the first epoch that is averaged.
        every: of how many epochs one is averaged.
    """
    count, mean = kept
    if epoch < first or (epoch - first) % every:
        return kept
    before = mean or [np.zeros(weight.shape) for weight in weights]
    return count + 1, [value + (w - value) / (count + 1) for value, w in zip(before, weights, strict=True)]


@dataclass(frozen=True)
class SWA(Strategy):
    """Evaluates with the mean of the weights at the ends of the last epochs in place of the weights.

    ``A <- (n A + W) / (n + 1)`` at the end of every ``every``-th epoch, once the share ``start`` of the epochs is done;
    until then evaluation uses ``W``. The trajectory of ``W`` is left alone. Statistics of BatchNormalization are of no
    use with ``A``, so they are computed anew: the mean over batches of the training inputs, passed through the network
    in training mode, of their means and variances. What ``fit`` validates, and leaves in the weights, is ``A``.

    Differences from the paper (Izmailov et al.): the learning rate is not changed; the constant or cyclic one of the
    paper is given by ``learning_rate``. Augmentation and mixing do not act while statistics are computed.

    Example: ``SWA(start=0.75)``
    """

    name: ClassVar[str] = "swa"
    formula: ClassVar[str] = "A <- (n A + W) / (n + 1) at the end of an epoch; evaluation uses A"
    paper: ClassVar[str] = "Izmailov et al. 2018, arXiv:1803.05407"
    stage: ClassVar[Stage] = Stage.OBSERVATION
    conflicts: ClassVar[dict[str, str]] = {"ema": "each puts an average in place of the weights: take one of them"}
    rider: ClassVar[bool] = True

    start: float = param(
        0.75,
        "share of the epochs after which weights are averaged",
        low=0,
        high=1,
        open_high=True,
        search=(0.25, 0.9, "linear"),
    )
    every: int = param(1, "of how many epochs one is averaged", kind="int", low=1, unit="epochs")

    def structure(self) -> tuple[Any, ...]:
        return (self.name,)  # nothing of it is compiled

    def observer(self, task: Task | None) -> Observer:
        return _Mean(self)

    def write_keras(self, script: TrainingScript) -> None:
        script.show_mean(mean_of_epochs, [f"round({self.start!r} * EPOCHS)", repr(self.every)])


class _Mean(Observer):
    """Keeps the mean of the weights that it was shown, in float64."""

    settles = True

    def __init__(self, strategy: SWA) -> None:
        self._strategy = strategy
        self._kept: _Kept = (0, [])

    def bring(self, moment: Moment) -> list[np.ndarray] | None:
        first = round(self._strategy.start * moment.epochs)
        self._kept = mean_of_epochs(self._kept, moment.weights, moment.epoch, first, self._strategy.every)
        return [mean.astype("float32") for mean in self._kept[1]] or None

    def remembered(self) -> dict[str, Any]:
        count, mean = self._kept
        return {"count": count, **{f"{position:05d}": value for position, value in enumerate(mean)}}

    def recall(self, remembered: Mapping[str, Any]) -> None:
        self._kept = remembered["count"], [remembered[key] for key in sorted(remembered) if key != "count"]
