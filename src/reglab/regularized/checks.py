"""What is checked before anything is trained: the model, its input, and what fit was given."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import keras

from reglab.errors import ReglabError
from reglab.keras_internals import is_graph
from reglab.recipe import Recipe
from reglab.regularized.graph import inputs_of
from reglab.regularized.inputs import known_inputs
from reglab.regularized.parts import Part
from reglab.strategies.optimization.early_stopping import DECIDING
from reglab.strategies.optimization.learning_rate import LearningRate

__all__ = [
    "check_callbacks",
    "check_path",
    "check_ready",
    "check_shapes",
    "check_trainer",
    "metric_names",
    "model_of",
]


def model_of(source: keras.Model | Callable[[], keras.Model]) -> tuple[Any, bool]:
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


def check_trainer(model: keras.Model) -> None:
    """Raise a ReglabError if the model trains, tests, predicts or measures in a way of its own."""
    for method in _STEPS:
        if getattr(type(model), method) is not getattr(keras.Model, method):
            raise ReglabError(
                f"{type(model).__name__} has its own {method}, which the regularized model would leave out. Give a "
                f"model with Keras' own {method}, and express what yours does as a loss, a metric, a layer or a "
                "strategy."
            )


def check_shapes(model: keras.Model, parts: list[Part]) -> None:
    """Raise a ReglabError if a strategy cannot act on the model's input."""
    asking = [part for part in parts if part.strategy.acts_on_inputs or part.overrides("check_input")]
    known = known_inputs(model) if asking else []
    outputs = [tuple(tensor.shape) for tensor in model.outputs] if is_graph(model) and inputs_of(model) else []
    for part in asking:
        if len(known) > 1 and part.strategy.acts_on_inputs and "input" not in part.strategy.places:
            raise ReglabError(
                f"{part.strategy.name} acts on one array of inputs; the model has {len(known)} inputs. Leave it out, "
                "or do it in the data pipeline of that input."
            )
        for given in known:
            part.strategy.check_input(given)
            for shape in outputs:
                part.strategy.check_targets(given, shape)


def check_ready(recipe: Recipe, *, fitted: bool, validated: bool, metrics: list[str]) -> None:
    """Raise a ReglabError if a strategy lacks what training has to give it: adapted data, validation, a metric."""
    for strategy in recipe:
        if (strategy.needs_data or strategy.needs_range) and not fitted:
            raise ReglabError(
                f"{strategy.name} has to know the training data: call model.adapt(x_train) before fit. "
                "Give it the training split alone; what it learns is applied to validation and test as it is."
            )
        monitor = getattr(strategy, "monitor", "")
        if monitor.startswith("val_") and not validated:
            raise ReglabError(
                f"{strategy.name} monitors {monitor!r}, and fit was given no validation data. "
                "Give validation_data or validation_split."
            )
        metric = monitor.removeprefix("val_")
        if monitor != DECIDING and metric not in ("", "loss", *metrics):
            raise ReglabError(
                f"{strategy.name} monitors {monitor!r}, and the model is compiled with "
                f"{'metrics ' + ', '.join(map(repr, metrics)) if metrics else 'no metrics'}. Compile it with "
                f"metrics=[{metric!r}], or use {strategy.name}(monitor=val_loss)."
            )


def check_callbacks(recipe: Recipe, callbacks: list[Any]) -> None:
    """Raise a ReglabError for callbacks of the user's that would fail, or act against the recipe, in training."""
    known = keras.callbacks
    for callback in callbacks:
        name = type(callback).__name__
        if isinstance(callback, known.ReduceLROnPlateau | known.LearningRateScheduler) and any(
            isinstance(strategy, LearningRate) and strategy.scheduled for strategy in recipe
        ):
            raise ReglabError(
                f"{name} sets the learning rate, and so does the schedule of learning_rate in the recipe. Take one of "
                "them out."
            )
        if isinstance(callback, known.ModelCheckpoint) and not callback.save_weights_only:
            check_path(callback.filepath, f"{name}({callback.filepath!r}): ")


def check_path(path: str | os.PathLike[str], whose: str = "") -> None:
    """Raise a ReglabError if a regularized model cannot be saved under a name."""
    if not str(path).endswith(".keras") and not str(path).startswith("hf://"):
        raise ReglabError(
            f"{whose}a regularized model is saved as a .keras file. Give a path that ends in .keras, save weights "
            "alone (.weights.h5), or save the plain network, model.export_network().save(path)."
        )


def metric_names(declared: object, outputs: list[str]) -> list[str]:
    """Return the names under which Keras may report what ``metrics=`` of ``compile`` was given.

    Args:
        declared: what was given.
        outputs: the names of the model's outputs, which come before those of metrics if there are several.
    """
    names = []
    for metric in keras.tree.flatten(declared):
        if isinstance(metric, str):
            names.append(metric)
        elif metric is not None:
            names.append(str(getattr(metric, "name", None) or getattr(metric, "__name__", type(metric).__name__)))
    return [f"{output}_{name}" for output in outputs for name in names] if len(outputs) > 1 else names
