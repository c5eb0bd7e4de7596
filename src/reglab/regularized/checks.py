"""What is checked before anything is trained: the model, its input, and what fit was given."""

from __future__ import annotations

from typing import Any

import keras

from reglab.errors import ReglabError
from reglab.recipe import Recipe
from reglab.regularized.graph import inputs_of, is_graph
from reglab.regularized.parts import Part

__all__ = ["check_ready", "check_shapes", "check_trainer", "model_of"]


def model_of(source: Any) -> tuple[Any, bool]:
    """Return the model, and whether it is ours because a builder just made it."""
    if isinstance(source, keras.Model):
        return source, False
    if not callable(source):
        raise ReglabError(
            f"{source!r} is neither a keras.Model nor a function that builds one. Give keras.Sequential(...), a "
            "Functional or subclassed model, or a function without arguments."
        )
    model = source()
    if not isinstance(model, keras.Model):
        raise ReglabError(f"The builder returned {type(model).__name__}; it has to return a keras.Model.")
    return model, True


def check_trainer(model: Any) -> None:
    """Raise a ReglabError if the model has a training step of its own."""
    for method in ("train_step", "compute_loss"):
        if getattr(type(model), method) is not getattr(keras.Model, method):
            raise ReglabError(
                f"{type(model).__name__} has its own {method}, which reglab's training step would bypass. Give a model "
                f"that trains with Keras' own {method}, and express what yours does as a loss, a layer or a strategy."
            )


def check_shapes(model: Any, parts: list[Part]) -> None:
    """Raise a ReglabError if a strategy cannot act on the model's input."""
    shapes = [tuple(tensor.shape) for tensor in inputs_of(model)] if is_graph(model) else []
    for part in parts:
        acts_on_x = part.overrides("on_batch") and part.strategy.changes_inputs
        if acts_on_x and len(shapes) > 1:
            raise ReglabError(
                f"{part.strategy.name} acts on one array of inputs; the model has {len(shapes)} inputs. Leave it out, "
                "or do it in the data pipeline of that input."
            )
        if shapes:
            part.strategy.check_input(shapes[0])


def check_ready(recipe: Recipe, callbacks: list[Any], *, fitted: bool, validated: bool) -> None:
    """Raise a ReglabError if a strategy lacks what ``fit`` has to give it: adapted data, or a validation set."""
    for strategy in recipe:
        if (strategy.needs_data or strategy.needs_range) and not fitted:
            raise ReglabError(
                f"{strategy.name} has to know the training data: call model.adapt(x_train) before fit. "
                "Give it the training split alone; what it learns is applied to validation and test as it is."
            )
        monitor = getattr(strategy, "monitor", "")
        provided = any(monitor in getattr(callback, "provides", ()) for callback in callbacks)
        if monitor.startswith("val_") and not validated and not provided:
            raise ReglabError(
                f"{strategy.name} monitors {monitor!r}, and fit was given no validation data. "
                "Give validation_data or validation_split."
            )
