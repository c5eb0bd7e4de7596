"""The end of a classifier: whether it gives probabilities or logits, and whether it fits the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from reglab.errors import ReglabError
from reglab.lazy import keras

__all__ = ["Head", "check_output"]


@dataclass(frozen=True)
class Head:
    """What a model's outputs are: ``softmax`` or ``logits`` ``(batch, classes)``, ``sigmoid`` or ``binary_logits`` ``(batch, 1)``."""

    kind: Literal["softmax", "logits", "sigmoid", "binary_logits"]

    def loss(self) -> Any:
        """Return the cross-entropy that such outputs are trained with, on class indices."""
        if self.kind in {"softmax", "logits"}:
            return keras.losses.SparseCategoricalCrossentropy(from_logits=self.kind == "logits")
        return keras.losses.BinaryCrossentropy(from_logits=self.kind == "binary_logits")

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Return probabilities ``(batch, classes)`` from outputs."""
        if self.kind == "softmax":
            return outputs
        from scipy import special

        if self.kind == "logits":
            return special.softmax(outputs, axis=-1)
        positive = special.expit(outputs) if self.kind == "binary_logits" else outputs
        return np.concatenate([1 - positive, positive], axis=-1)


def check_output(model: Any, *, num_classes: int, input_shape: tuple[int, ...]) -> Head:
    """Return the head of ``model``, after making sure that it takes the data's inputs and tells its classes apart.

    Raises:
        ReglabError: if it does not, saying what it takes and gives and what the data has.
    """
    if len(getattr(model, "inputs", None) or ()) > 1:
        raise ReglabError(f"The model has {len(model.inputs)} inputs; a study feeds one. Build a model with one input.")
    expected = getattr(model, "input_shape", None) if getattr(model, "inputs", None) else None
    if expected is not None and not _fits(tuple(expected)[1:], input_shape):
        raise ReglabError(
            f"The model takes inputs of shape {tuple(expected)[1:]}; the data has {tuple(input_shape)}. Build it for that shape, "
            "or read images in another size (image_size) or color_mode."
        )
    outputs = _outputs(model, input_shape)
    if outputs.ndim == 2 and outputs.shape[1] == num_classes and num_classes > 1:
        return Head("softmax" if _ends_in(model, outputs, "softmax") else "logits")
    if outputs.ndim == 2 and outputs.shape[1] == 1 and num_classes == 2:
        return Head("sigmoid" if _ends_in(model, outputs, "sigmoid") else "binary_logits")
    wanted = f"(batch, {num_classes})" + (" or (batch, 1)" if num_classes == 2 else "")
    raise ReglabError(
        f"The model's output has shape {('batch', *outputs.shape[1:])}; the data has {num_classes} classes, so expected is "
        f"{wanted}. Give the last layer {num_classes} units."
    )


def _fits(expected: tuple[int | None, ...], given: tuple[int, ...]) -> bool:
    same = len(expected) == len(given)
    return same and all(want in (None, have) for want, have in zip(expected, given, strict=True))


def _outputs(model: Any, input_shape: tuple[int, ...]) -> np.ndarray:
    """Return the model's outputs on a few random inputs."""
    x = np.random.default_rng(0).normal(size=(4, *input_shape)).astype("float32")
    try:
        outputs = model(x, training=False)
    except ReglabError:
        raise
    except Exception as error:
        raise ReglabError(
            f"The model cannot take inputs of shape {('batch', *input_shape)}: {type(error).__name__}: {error}"
        ) from error
    if not keras.ops.is_tensor(outputs):
        raise ReglabError("The model has several outputs; a classifier has one. Build a model with one output.")
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32")))


def _ends_in(model: Any, outputs: np.ndarray, activation: str) -> bool:
    """Whether the model ends in an activation: by its last layer where that is known, else by its outputs' values."""
    last = model.layers[-1] if model.layers else None
    known = getattr(getattr(last, "activation", None), "__name__", None)
    if isinstance(last, keras.layers.Softmax):
        known = "softmax"
    if known is not None and getattr(model, "inputs", None):
        return known == activation
    inside = bool((outputs >= 0).all() and (outputs <= 1).all())
    return inside and (activation == "sigmoid" or bool(np.allclose(outputs.sum(axis=-1), 1, atol=1e-3)))
