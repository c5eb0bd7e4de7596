"""What the mixins of the backends take for granted of the model they are mixed into. For the type checker alone."""

from __future__ import annotations

from typing import Any

from reglab.aliases import Optimizer, Tensor, Tensors, Variable

__all__ = ["Trainer"]


class Trainer:
    """A ``keras.Model`` with reglab's ``_prepare``, which turns a batch into the one that is trained on."""

    optimizer: Optimizer
    trainable_variables: list[Variable]
    non_trainable_variables: list[Variable]
    _held: Any

    def _prepare(self, data: Tensors) -> tuple[Tensors, Tensors, Tensor | None]:
        raise NotImplementedError

    def _acts_after_update(self) -> bool:
        raise NotImplementedError

    def _after_update(self) -> None:
        raise NotImplementedError

    def train_step(self, *args: Any) -> Any:
        raise NotImplementedError
