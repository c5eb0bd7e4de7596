"""The names of types that annotations use, where there is no class of that name to import.

A class of Keras' is written as it is, ``keras.Model`` or ``keras.Layer``, with ``keras`` from ``lazy.py``: annotations
are not evaluated, so they import nothing. Type checkers know little of Keras, which ships no types; these names are for
readers first. What a value of some shape has to be able to do is a protocol, beside what uses it: ``StrengthView``,
``LossContext``, ``TrainingScript`` of ``strategies/``, ``Moment`` of its observers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import keras

__all__ = ["Logs", "Loss", "Optimizer", "Plain", "Random", "Tensor", "Tensors", "Variable"]

Tensor: TypeAlias = Any
"""A tensor of TensorFlow, JAX or PyTorch, a symbol of Keras' that stands for one, or what converts to one.

No protocol says it: the three share little beyond ``shape``, ``dtype`` and arithmetic, and what arithmetic gives
depends on both sides (a NumPy array, a number, a variable).
"""
Tensors: TypeAlias = "Tensor | list[Tensor] | tuple[Tensor, ...] | dict[str, Tensor]"
"""Inputs, outputs, or a batch ``(x, y, sample_weight)``: one tensor, or several in order or by name, also nested."""
Variable: TypeAlias = "keras.Variable"
Random: TypeAlias = "keras.random.SeedGenerator"
Optimizer: TypeAlias = "keras.optimizers.Optimizer"
Loss: TypeAlias = "keras.losses.Loss | Callable[..., Tensor]"
"""One loss of one output: an object, or a function ``(y, y_pred)``."""
Logs: TypeAlias = "Mapping[str, Any] | None"
"""What Keras tells callbacks: numbers by name."""
Plain: TypeAlias = "bool | int | float | str | list[Plain] | Mapping[str, Plain] | None"
"""What JSON and YAML can say."""
