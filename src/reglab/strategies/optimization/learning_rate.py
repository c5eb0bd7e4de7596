"""The learning rate as part of a recipe, so that it can be tuned with strengths and follow a schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from reglab.aliases import Optimizer
from reglab.declare import param
from reglab.errors import ReglabError
from reglab.keras_internals import follows_schedule
from reglab.lazy import keras
from reglab.strategies.base import Strategy
from reglab.strategies.given import StrengthView
from reglab.strategies.script import TrainingScript
from reglab.strategies.stage import Stage

__all__ = ["LearningRate"]


@dataclass(frozen=True)
class LearningRate(Strategy):
    """Trains with this learning rate in place of the one that the model was compiled with.

    It is no regularizer that is added, and it regularizes all the same: noise of the gradient grows with it. It stands
    among the strategies because one that is compared at a learning rate tuned for the baseline is not compared
    fairly, so a search has to find both together; and because a schedule of it belongs to the recipe.

    The optimizer reads it from a variable, so another rate or a schedule over epochs takes effect without a retrace.
    Callbacks that set the learning rate, such as ``ReduceLROnPlateau``, go on from it; not with a schedule.

    Differences from the paper (Srivastava): it names Adamax and no learning rate; every arm has the same.

    Example: ``LearningRate(rate=3e-3)``
    """

    name: ClassVar[str] = "learning_rate"
    formula: ClassVar[str] = "W <- W - rate * (the optimizer's direction)"
    paper: ClassVar[str] = (
        "Smith et al. 2018, Don't Decay the Learning Rate, arXiv:1711.00489; Li et al. 2019, arXiv:1907.04595"
    )
    stage: ClassVar[Stage] = Stage.UPDATE
    after: ClassVar[tuple[str, ...]] = ("weight_decay",)

    rate: float = param(1e-3, "learning rate", low=0, open_low=True, strength=True, search=(1e-4, 0.1, "log"))

    def optimizer(self, optimizer: Optimizer, s: StrengthView) -> None:
        if follows_schedule(optimizer):
            raise ReglabError(
                f"The learning rate of the optimizer {type(optimizer).__name__} follows a schedule of Keras' own. Take "
                "that out, or leave learning_rate out of the recipe; it takes schedules too."
            )
        rate = s.variable("rate")
        optimizer.reglab_rate = rate  # as an attribute, so that the optimizer tracks it

        def current() -> Any:
            return keras.ops.convert_to_tensor(rate)

        current.assign = rate.assign  # type: ignore[attr-defined]  # what Keras calls when a callback sets the rate
        optimizer.learning_rate = current

    def write_keras(self, script: TrainingScript) -> None:
        script.optimizer["learning_rate"] = repr(self.rate)
