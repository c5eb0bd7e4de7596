"""What the mixins of the backends take for granted of the model they are mixed into. For the type checker alone."""

from __future__ import annotations

from typing import Any

__all__ = ["Trainer"]


class Trainer:
    """A ``keras.Model`` with reglab's ``_prepare``, which turns a batch into the one that is trained on."""

    optimizer: Any
    trainable_variables: list[Any]
    non_trainable_variables: list[Any]
    _held: Any

    def _prepare(self, data: Any) -> tuple[Any, Any, Any]:
        raise NotImplementedError

    def _acts_after_update(self) -> bool:
        raise NotImplementedError

    def _after_update(self) -> None:
        raise NotImplementedError

    def train_step(self, *args: Any) -> Any:
        raise NotImplementedError
