"""What is checked before anything is trained: the model, its input, and what fit was given."""

from __future__ import annotations

import os
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
        saved = isinstance(source, str | os.PathLike)
        raise ReglabError(
            f"{source!r} is neither a keras.Model nor a function that builds one. Give keras.Sequential(...), a "
            "Functional or subclassed model, or a function without arguments."
            + (" The file of a model is read first: keras.models.load_model(path)." if saved else "")
        )
    model = source()
    if not isinstance(model, keras.Model):
        raise ReglabError(f"The builder returned {type(model).__name__}; it has to return a keras.Model.")
    return model, True


# What decides a step, or what it reports, and is Keras' own in the model that trains.
_STEPS = (
    "train_step",
    "test_step",
    "predict_step",
    "compute_loss",
    "compute_metrics",
    "get_metrics_result",
    "metrics",
    "make_train_function",
    "make_test_function",
    "make_predict_function",
)


def check_trainer(model: Any) -> None:
    """Raise a ReglabError if the model trains, tests, predicts or measures in a way of its own."""
    for method in _STEPS:
        if getattr(type(model), method) is not getattr(keras.Model, method):
            raise ReglabError(
                f"{type(model).__name__} has its own {method}, which the regularized model would leave out. Give a "
                f"model with Keras' own {method}, and express what yours does as a loss, a metric, a layer or a "
                "strategy."
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
