"""What strategies add to the loss of a batch, and what they can make it of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras

from reglab import backends
from reglab.aliases import Tensor
from reglab.regularized.parts import Part
from reglab.regularized.targets import Targets, weighted
from reglab.strategies import Weight

__all__ = ["Context", "with_terms"]


@dataclass
class Context:
    """A :class:`reglab.strategies.LossContext`: a batch on its way through a model.

    ``run`` gives what the model gives for inputs, in training or not, without moving more than random streams.
    """

    x: Tensor
    y: Tensor
    y_pred: Tensor
    sample_weight: Tensor | None
    weights: list[Weight]
    targets: Targets
    run: Callable[[Tensor, bool], Tensor]

    def forward(self, x: Tensor, *, training: bool) -> Tensor:
        return self.run(x, training)

    def data_loss(self, y_pred: Tensor) -> Tensor:
        return self.mean(self.targets.each(self.y, y_pred))

    def probabilities(self, y_pred: Tensor) -> Tensor:
        return self.targets.distributions(y_pred)

    def mean(self, values: Tensor) -> Tensor:
        if self.sample_weight is not None:
            values = weighted(values, self.sample_weight)
        return keras.ops.mean(values)

    def gradient(self, function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
        return keras.ops.stop_gradient(backends.adapter().gradient(function, at))


def with_terms(loss: Tensor, parts: list[Part], context: Context) -> Tensor:
    """Return a loss with the terms that strategies add to it."""
    for part in parts:
        if part.overrides("loss"):
            loss = loss + keras.ops.cast(part.strategy.loss(context, part.strengths, part.random), loss.dtype)
    return loss
