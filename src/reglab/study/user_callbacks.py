"""Callbacks of the user's, in the training of every run: new ones each time, with the metrics that a study measures.

A study gives ``fit`` no validation data, since it measures each epoch itself. What it measures is put into the logs,
under the names that a user's callbacks expect: ``val_accuracy`` and ``accuracy``, and ``val_loss`` for what the loss
measures.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from reglab.aliases import Logs
from reglab.errors import ReglabError
from reglab.keras_internals import without_model
from reglab.tasks import Task

__all__ = ["among", "copies", "kept_callbacks", "logs_of", "state_of", "watches_steps"]

_known = keras.callbacks
# What writes to one path, whichever run it is in.
_WRITING = (_known.ModelCheckpoint, _known.BackupAndRestore, _known.CSVLogger, _known.TensorBoard)
_KEPT_ELSEWHERE = "A study keeps the weights, metrics and curves of each run itself, and reglab log writes them on"
_OF_STEPS = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
_OF_MODELS = ("_model", "params", "validation_data")


def kept_callbacks(given: object) -> tuple[Any, ...]:
    """Return callbacks, or functions that make them, without a model that they were trained with.

    Raises:
        ReglabError: for what is neither, what cannot be copied, and what writes all runs to one path.
    """
    given = list(given) if isinstance(given, list | tuple) else [given]
    found = []
    for each in given:
        if isinstance(each, _WRITING):
            raise ReglabError(
                f"{type(each).__name__} would write every run to one path. {_KEPT_ELSEWHERE}. Leave it out."
            )
        if isinstance(each, _known.Callback):
            found.append(without_model(each))
        elif callable(each):
            found.append(each)
        else:
            raise ReglabError(
                f"callbacks={each!r}: expected keras.callbacks.Callback, or functions without arguments that make them."
            )
    copies(found)
    return tuple(found)


def copies(given: Sequence[Any]) -> list[Any]:
    """Return the callbacks of one training: a copy of each, or what a function makes.

    Raises:
        ReglabError: if there is none.
    """
    found = []
    for each in given:
        name = getattr(each, "__name__", type(each).__name__)
        try:
            made = copy.deepcopy(each) if isinstance(each, _known.Callback) else each()
        except Exception as error:
            raise ReglabError(
                f"The callback {name} cannot be made anew for each run ({type(error).__name__}: {error}). Give a "
                "function without arguments that makes it."
            ) from error
        if not isinstance(made, _known.Callback):
            raise ReglabError(f"{name} made {type(made).__name__}; expected is a keras.callbacks.Callback.")
        if isinstance(made, _known.EarlyStopping):
            made.restore_best_weights = False  # a study keeps the best epoch by the metric that decides
        found.append(made)
    return found


def watches_steps(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback does something before or after each training step."""
    # LambdaCallback has its functions as attributes.
    return any(
        name in vars(callback) or getattr(type(callback), name) is not getattr(_known.Callback, name)
        for name in _OF_STEPS
    )


def logs_of(values: Mapping[str, float], task: Task) -> dict[str, float]:
    """Return what was measured under the names that callbacks expect; see the module.

    >>> from reglab.tasks import SingleLabel
    >>> measured = {"train_accuracy": 0.9, "val_accuracy": 0.8, "train_cross_entropy": 0.2, "val_cross_entropy": 0.4}
    >>> logs_of(measured, SingleLabel(classes=("a", "b")))["val_loss"]
    0.4
    """
    found = {name.removeprefix("train_"): value for name, value in values.items()}
    return {**found, "val_loss": values[f"val_{task.criterion.name}"]}


def among(
    callbacks: Sequence[Any], measure: Callable[[], Mapping[str, float]], states: Sequence[Mapping[str, Any]] | None
) -> list[Any]:
    """Return the user's callbacks with what they need around them: metrics in the logs, and what they remember."""
    if not callbacks:
        return []
    return [_Logged(measure), *callbacks, *([] if states is None else [_Restored(callbacks, states)])]


class _Logged(keras.callbacks.Callback):
    """Puts what ``measure`` gives into the logs of an epoch, before the user's callbacks see them."""

    def __init__(self, measure: Callable[[], Mapping[str, float]]) -> None:
        super().__init__()
        self._measure = measure

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            logs.update(self._measure())


class _Restored(keras.callbacks.Callback):
    """Gives the user's callbacks the state that they had in a checkpoint, once ``fit`` has reset them."""

    def __init__(self, of: Sequence[Any], states: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        self._of, self._states = of, states

    def on_train_begin(self, logs: Logs = None) -> None:
        for callback, state in zip(self._of, self._states, strict=True):
            for name, value in state.items():
                setattr(callback, name, value)


def state_of(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Return what a callback remembers: numbers, texts, arrays, and lists and mappings of these.

    Raises:
        ReglabError: if it remembers anything else, which a checkpoint cannot hold.
    """
    found = {}
    for name, value in vars(callback).items():
        if name in _OF_MODELS or callable(value):
            continue
        if not _storable(value):
            raise ReglabError(
                f"The callback {type(callback).__name__} remembers {name}, a {type(value).__name__}, which a "
                "checkpoint cannot hold. Let it keep numbers, texts and arrays, or train without checkpoints and "
                "without searches that stop trainings on the way."
            )
        found[name] = copy.deepcopy(value)
    return found


def _storable(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _storable(held) for key, held in value.items())
    if isinstance(value, list | tuple):
        return all(map(_storable, value))
    return value is None or isinstance(value, bool | int | float | str | np.ndarray | np.generic)
