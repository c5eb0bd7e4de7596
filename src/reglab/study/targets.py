"""Numbers to predict as networks are trained on them: standardized, or as they are; and back in their own units."""

from __future__ import annotations

import numpy as np

from reglab.lazy import keras
from reglab.models import is_built_in
from reglab.tasks import Task

__all__ = ["Scale", "in_own_units", "scaled", "scales_targets", "target_scale", "units_layer"]

Scale = tuple[np.ndarray, np.ndarray]  # mean and standard deviation, of several targets one each


def scales_targets(task: Task, model: object, wanted: str | None) -> bool:
    """Whether targets are standardized: as ``scale_targets`` says, by default for networks of reglab's own."""
    default = "standardize" if is_built_in(model) else "none"
    return task.scalable and (wanted or default) == "standardize"


def target_scale(y: np.ndarray, weights: np.ndarray | None = None) -> Scale:
    """Return mean and standard deviation of training labels; 1 where they do not differ."""
    values = y.astype("float64")
    if weights is None:
        mean, deviation = values.mean(axis=0), values.std(axis=0)
    else:
        mean = np.average(values, axis=0, weights=weights)
        deviation = np.sqrt(np.average(np.square(values - mean), axis=0, weights=weights))
    return mean, np.where(deviation > 0, deviation, 1.0)


def scaled(y: np.ndarray, scale: Scale | None) -> np.ndarray:
    """Return labels as they are trained on."""
    return y if scale is None else ((y - scale[0]) / scale[1]).astype("float32")


def in_own_units(predictions: np.ndarray, scale: Scale | None) -> np.ndarray:
    """Return predictions of scaled labels in the units of the labels."""
    return predictions if scale is None else (predictions * scale[1] + scale[0]).astype("float32")


def units_layer(scale: Scale) -> keras.layers.Rescaling:
    """Return the Keras layer that gives outputs the units of the labels."""
    mean, deviation = (np.atleast_1d(values).tolist() for values in scale)
    return keras.layers.Rescaling(deviation, offset=mean, dtype="float32", name="own_units")
