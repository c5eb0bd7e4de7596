"""What watches a training from outside: early stopping, averages of weights.

``Strategy.observer(task)`` gives an observer for one training. At the end of each epoch, :meth:`Observer.bring` is
asked for weights to look at in place of those that are trained; they are measured; :meth:`Observer.judge` is told what
was found. ``fit`` and a study do it alike. In ``fit``, what is brought is what validation sees, and what is left in the
weights at the end; training goes on from its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from reglab.aliases import Optimizer

__all__ = ["Judgement", "Moment", "Observer"]


class Moment(Protocol):
    """A training at the end of an epoch.

    Attributes:
        epoch: which one, counted from 0.
        epochs: how many are planned.
        weights: the trainable weights as they are trained, in their order, as arrays that nobody else has.
        optimizer: what steps.
        state: what the strategy keeps from step to step (``Strategy.state``), as arrays.
    """

    @property
    def epoch(self) -> int: ...

    @property
    def epochs(self) -> int: ...

    @property
    def optimizer(self) -> Optimizer: ...

    @property
    def weights(self) -> list[np.ndarray]: ...

    @property
    def state(self) -> Mapping[str, np.ndarray]: ...


class Judgement(NamedTuple):
    """What an observer makes of an epoch.

    Attributes:
        best: whether it is the best so far, by the value that the observer monitors.
        stop: whether training is to end.
    """

    best: bool = False
    stop: bool = False


class Observer:
    """Watches one training; subclasses implement what they need.

    Attributes:
        monitor: by which value it says which epoch is the best, such as ``val_loss``; None if it leaves that to the
            metric that decides in a study, and in ``fit`` to the last epoch.
        settles: whether statistics of BatchNormalization are of use with the weights that it brings only once they are
            computed anew, on the training inputs; otherwise they stay as the training has them.
    """

    monitor: str | None = None
    settles: bool = False

    def bring(self, moment: Moment) -> list[np.ndarray] | None:
        """Return what is measured and kept in place of ``moment.weights``, or None for these."""
        return None

    def judge(self, epoch: int, values: Mapping[str, float]) -> Judgement:
        """Return what follows from the values that were measured at the end of an epoch, counted from 0."""
        return Judgement()

    def remembered(self) -> dict[str, Any]:
        """Return all that it remembers, as numbers and arrays by name, so that an interrupted training can go on."""
        return {}

    def recall(self, remembered: Mapping[str, Any]) -> None:
        """Be where an observer was that remembered this."""
