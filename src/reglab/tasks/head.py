"""What a model ends in, as a task sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Activation", "Head", "with_batch"]

Activation = Literal["softmax", "sigmoid", "linear"]


def with_batch(shape: Sequence[int | None]) -> str:
    """Write a shape with its batch axis, the way an error shows it.

    >>> with_batch((28, 28, 1))
    '(batch, 28, 28, 1)'
    """
    return f"({', '.join(['batch', *map(str, shape)])})"


@dataclass(frozen=True)
class Head:
    """What a model ends in: the activation of its outputs, and how many there are per example.

    Of a model with several outputs, :attr:`by_output` has that of each; the others are those of the first, and the
    number of all.
    """

    activation: Activation
    outputs: int
    by_output: Mapping[str, Head] = field(default_factory=dict, repr=False)

    def told(self) -> list[Any]:
        """Return it as plain data."""
        each = [[name, *head.told()] for name, head in self.by_output.items()]
        return [self.activation, self.outputs, *each]
