"""Labels as the loss and the metrics want them, and the loss of each example.

Mixup and label smoothing make distributions over classes out of class indices. The loss then has to be the dense form
of the sparse one; metrics keep getting labels in the form the user gave.
"""

from __future__ import annotations

from typing import Any

import keras

from reglab.errors import ReglabError

__all__ = ["Targets"]

_SPARSE = "sparse_categorical_crossentropy"


class Targets:
    """What is known of the labels from the loss that a model was compiled with.

    Args:
        loss: as given to ``compile``.
        soft: the strategy that turns labels into distributions, or None.
    """

    def __init__(self, loss: Any, soft: str | None) -> None:
        self.loss = keras.losses.get(loss) if loss is not None else None
        self.soft = soft
        self.sparse = _is_sparse(self.loss)
        self.binary = _is_binary(self.loss)
        if soft and self.sparse:
            self.loss = _dense_form(self.loss, soft)
        elif soft and not self.binary and not _is_dense(self.loss):
            raise ReglabError(
                f"{soft} needs a cross-entropy loss, whose labels can be distributions; compile() was given {loss!r}. "
                "Use sparse_categorical_crossentropy, categorical_crossentropy or binary_crossentropy."
            )

    def soften(self, y: Any, classes: int) -> Any:
        """Return labels as float32 distributions ``(batch, classes)``; those that are stay as they are."""
        ops = keras.ops
        y = ops.convert_to_tensor(y)
        if self.binary:
            return ops.cast(ops.reshape(y, (-1, classes)), "float32")
        if len(y.shape) == 2 and y.shape[-1] == classes and (classes > 1):
            return ops.cast(y, "float32")
        return ops.one_hot(ops.cast(ops.reshape(y, (-1,)), "int32"), classes, dtype="float32")

    def harden(self, y: Any) -> Any:
        """Return labels in the form the user gave them, for metrics: the heaviest class of a distribution."""
        ops = keras.ops
        if self.sparse and len(y.shape) == 2 and y.shape[-1] != 1:
            return ops.argmax(y, axis=-1)
        return ops.cast(ops.cast(y, "float32") > 0.5, "float32") if self.binary else y

    def each(self, y: Any, y_pred: Any) -> Any:
        """Return the loss of each example, in float32, without reduction."""
        if y_pred.dtype in {"float16", "bfloat16"} or "16" in str(y_pred.dtype):
            y_pred = keras.ops.cast(y_pred, "float32")
        if len(y.shape) == len(y_pred.shape) - 1 and y_pred.shape[-1] == 1:
            y = keras.ops.expand_dims(y, -1)
        if isinstance(self.loss, keras.losses.Loss):
            return self.loss.call(y, y_pred)
        if self.loss is None:
            raise ReglabError("The model has no loss. Give one to compile(loss=...).")
        return self.loss(y, y_pred)


def _name(loss: Any) -> str:
    if isinstance(loss, keras.losses.Loss):
        return type(loss).__name__
    return getattr(loss, "__name__", "")


def _is_sparse(loss: Any) -> bool:
    return _name(loss) in {"SparseCategoricalCrossentropy", _SPARSE}


def _is_dense(loss: Any) -> bool:
    return _name(loss) in {
        "CategoricalCrossentropy",
        "categorical_crossentropy",
        "CategoricalFocalCrossentropy",
        "KLDivergence",
        "categorical_focal_crossentropy",
        "kl_divergence",
    }


def _is_binary(loss: Any) -> bool:
    return _name(loss) in {
        "BinaryCrossentropy",
        "binary_crossentropy",
        "BinaryFocalCrossentropy",
        "binary_focal_crossentropy",
    }


def _dense_form(loss: Any, soft: str) -> Any:
    """Return the categorical cross-entropy that a sparse one is on one-hot labels."""
    config = loss.get_config() if isinstance(loss, keras.losses.Loss) else {}
    if config.get("ignore_class") is not None:
        raise ReglabError(
            f"{soft} cannot keep ignore_class={config['ignore_class']} of the loss. Take one of them out."
        )
    return keras.losses.CategoricalCrossentropy(
        from_logits=config.get("from_logits", False),
        axis=config.get("axis", -1),
        reduction=config.get("reduction", "sum_over_batch_size"),
    )
