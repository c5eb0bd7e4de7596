"""What strategies that compare predictions have in common."""

from __future__ import annotations

from reglab.aliases import Loss, Tensor
from reglab.errors import ReglabError
from reglab.inert import loss_name
from reglab.lazy import keras

__all__ = ["check_cross_entropy", "kl_divergence"]

_CROSS_ENTROPIES = ("sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy")


def kl_divergence(p: Tensor, q: Tensor) -> Tensor:
    """Return ``sum p log(p / q)`` over the last axis, of probabilities kept away from 0 as Keras keeps them."""
    ops = keras.ops
    p, q = (ops.clip(each, keras.config.epsilon(), 1.0) for each in (p, q))
    return ops.sum(p * ops.log(p / q), axis=-1)


def check_cross_entropy(name: str, loss: Loss) -> None:
    """Raise a ReglabError if a loss is no cross-entropy of Keras', so that predictions are no distributions."""
    losses = keras.losses
    classes = (losses.SparseCategoricalCrossentropy, losses.CategoricalCrossentropy, losses.BinaryCrossentropy)
    if not (isinstance(loss, classes) or any(loss is getattr(losses, known) for known in _CROSS_ENTROPIES)):
        raise ReglabError(
            f"{name} compares predictions as distributions over classes, and the loss {loss_name(loss)} is no "
            f"cross-entropy of Keras'. Use {', '.join(_CROSS_ENTROPIES)}, or leave {name} out of the recipe."
        )
