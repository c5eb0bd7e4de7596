"""Averaging the weights over training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from reglab.aliases import Optimizer
from reglab.declare import param
from reglab.errors import ReglabError
from reglab.keras_internals import averages_in
from reglab.lazy import keras
from reglab.strategies.base import Strategy
from reglab.strategies.given import StrengthView
from reglab.strategies.observing import Moment, Observer
from reglab.strategies.script import TrainingScript
from reglab.strategies.stage import Stage
from reglab.tasks import Task

__all__ = ["EMA", "Averages"]


class Averages(Observer):
    """Looks at the averages that the optimizer keeps."""

    def bring(self, moment: Moment) -> list[np.ndarray]:
        # By way of NumPy: on JAX, memory that two variables share is gone for both once a step was given it.
        averages = averages_in(moment.optimizer)
        return [np.array(keras.ops.convert_to_numpy(average)) for average in averages]


@dataclass(frozen=True)
class EMA(Strategy):
    """Evaluates with an exponential moving average of the weights in place of the weights.

    ``A <- momentum * A + (1 - momentum) * W`` after every step, from ``A = W`` in the first. The trajectory of ``W`` is
    left alone. It is ``use_ema`` of Keras' optimizers with ``keras.callbacks.SwapEMAWeights``: the average is what each
    epoch's validation measures, in ``fit`` and in a study, and what ``fit`` leaves in the weights when it ends. Where
    the best epoch is restored (``early_stopping``, or Keras' callback), its average is.
    Statistics of BatchNormalization are not averaged; they are running averages already.

    Differences from the source: Polyak and Juditsky average all iterates equally.

    Example: ``EMA(momentum=0.99)``
    """

    name: ClassVar[str] = "ema"
    formula: ClassVar[str] = "A <- momentum * A + (1 - momentum) * W a step; evaluation uses A"
    paper: ClassVar[str] = "Polyak and Juditsky 1992; Izmailov et al. 2018, arXiv:1803.05407"
    stage: ClassVar[Stage] = Stage.UPDATE
    after: ClassVar[tuple[str, ...]] = ("weight_decay",)
    zero: ClassVar[dict[str, float]] = {"momentum": 0.0}
    rider: ClassVar[bool] = True

    momentum: float = param(
        0.99,
        "share of the old average that is kept a step",
        low=0,
        high=1,
        open_high=True,
        strength=True,
        search=(0.9, 0.9999, "log"),
    )

    def optimizer(self, optimizer: Optimizer, s: StrengthView) -> None:
        if optimizer.use_ema:
            raise ReglabError(
                f"The optimizer {type(optimizer).__name__} already averages weights (use_ema=True). "
                "Take that out, or leave ema out of the recipe."
            )
        optimizer.use_ema = True
        optimizer.ema_momentum = s.variable("momentum")

    def observer(self, task: Task | None) -> Observer:
        return Averages()

    def write_keras(self, script: TrainingScript) -> None:
        # As a float32 number, because 1 - momentum is computed in the precision of the number.
        script.optimizer |= {"use_ema": "True", "ema_momentum": f"np.float32({self.momentum!r})"}
        script.show_averages()
