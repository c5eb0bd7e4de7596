"""The optimizer of a regularized model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras

from reglab.aliases import Optimizer, Tensor, Variable
from reglab.keras_internals import config_of
from reglab.regularized.parts import Part, Strengths

__all__ = ["prepared", "unscaled"]


def unscaled(optimizer: Optimizer) -> Optimizer:
    """Return the optimizer that makes the steps: the one inside, where losses are scaled around it."""
    return optimizer.inner_optimizer if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) else optimizer


def prepared(
    optimizer: Optimizer | None, parts: list[Part], on_gradients: Callable[..., list[Any]], *, scale_loss: bool
) -> Optimizer | None:
    """Return the optimizer that a recipe trains with: a copy, where a strategy changes it; scaling losses, if asked.

    Args:
        optimizer: what ``compile`` was given.
        parts: the strategies at work.
        on_gradients: from gradients and their variables, or None for all of the model's, to the gradients to go by.
        scale_loss: whether losses are to be scaled.
    """
    changing = [part for part in parts if part.strategy.changes_optimizer]
    between = any(part.overrides("on_gradients") for part in parts)
    if (changing or between) and optimizer is not None:
        optimizer = type(optimizer).from_config(config_of(optimizer))  # the user's object is not touched
        if between:
            _let_through(unscaled(optimizer), on_gradients)
        for part in changing:
            # These numbers are read by the optimizer's own step, so it must be the one that tracks them.
            part.strengths = Strengths.of(part.strategy.at(0), part.strengths.state, part.strengths.made)
            part.strategy.optimizer(unscaled(optimizer), part.strengths)
    scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    if scale_loss and optimizer is not None and not scaled:
        # As keras.Model.compile does for a model of this policy; the model around it is float32.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale_optimizer")
    return optimizer


def _let_through(optimizer: Optimizer, on_gradients: Callable[..., list[Any]]) -> None:
    """Let gradients pass through a function before an optimizer steps by them; ``apply`` is where all backends step."""
    apply = optimizer.apply

    def changed(grads: Iterable[Tensor], trainable_variables: Iterable[Variable] | None = None) -> Any:
        variables = None if trainable_variables is None else list(trainable_variables)
        return apply(on_gradients(list(grads), variables), variables)

    optimizer.apply = changed
