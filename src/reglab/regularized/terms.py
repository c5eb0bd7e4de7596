"""What strategies add to the loss of a batch, and what they can make it of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from reglab import backends
from reglab.regularized.parts import Part
from reglab.regularized.targets import Targets, weighted
from reglab.strategies import Weight

__all__ = ["Context", "with_terms"]


@dataclass
class Context:
    """A :class:`reglab.strategies.LossContext`: a batch on its way through a model.

    ``run`` gives what the model gives for inputs, in training or not, without moving more than random streams.
    """

    x: Any
    y: Any
    y_pred: Any
    sample_weight: Any
    weights: list[Weight]
    targets: Targets
    run: Callable[[Any, bool], Any]

    def forward(self, x: Any, *, training: bool) -> Any:
        return self.run(x, training)

    def data_loss(self, y_pred: Any) -> Any:
        return self.mean(self.targets.each(self.y, y_pred))

    def probabilities(self, y_pred: Any) -> Any:
        return self.targets.distributions(y_pred)

    def mean(self, values: Any) -> Any:
        if self.sample_weight is not None:
            values = weighted(values, self.sample_weight)
        return keras.ops.mean(values)

    def gradient(self, function: Callable[[Any], Any], at: Any) -> Any:
        return keras.ops.stop_gradient(backends.adapter().gradient(function, at))


def with_terms(loss: Any, parts: list[Part], context: Context) -> Any:
    """Return a loss with the terms that strategies add to it."""
    for part in parts:
        if part.overrides("loss"):
            loss = loss + keras.ops.cast(part.strategy.loss(context, part.strengths, part.random), loss.dtype)
    return loss
