"""The optimizer of a regularized model."""

from __future__ import annotations

from typing import Any

import keras

from reglab.regularized.parts import Part, Strengths

__all__ = ["prepared", "unscaled"]


def unscaled(optimizer: Any) -> Any:
    """Return the optimizer that makes the steps: the one inside, where losses are scaled around it."""
    return optimizer.inner_optimizer if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) else optimizer


def prepared(optimizer: Any, parts: list[Part], *, scale_loss: bool) -> Any:
    """Return the optimizer that a recipe trains with: a copy, where a strategy changes it; scaling losses, if asked."""
    changing = [part for part in parts if part.strategy.changes_optimizer]
    if changing and optimizer is not None:
        optimizer = type(optimizer).from_config(optimizer.get_config())  # the user's object is not touched
        for part in changing:
            # These numbers are read by the optimizer's own step, so it must be the one that tracks them.
            part.strengths = Strengths.of(part.strategy.at(0))
            part.strategy.optimizer(unscaled(optimizer), part.strengths)
    scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    if scale_loss and optimizer is not None and not scaled:
        # As keras.Model.compile does for a model of this policy; the model around it is float32.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale_optimizer")
    return optimizer
