"""The variables in which the numbers of a strategy live while it trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from reglab.strategies import Strategy

__all__ = ["Part", "Strengths"]


class Strengths:
    """A strategy's strengths as a hook sees them: ``s.rate`` and ``s["rate"]`` are tensors.

    They are read anew at each access, so that inside a compiled step they are inputs of the program and not constants.
    """

    def __init__(self, variables: dict[str, keras.Variable]) -> None:
        self._variables = variables

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, name: str) -> Any:
        return keras.ops.convert_to_tensor(self._variables[name])

    def variable(self, name: str) -> keras.Variable:
        """Return the variable itself, for those who keep it."""
        return self._variables[name]

    def variables(self) -> list[keras.Variable]:
        """Return all variables, for the model to track."""
        return list(self._variables.values())

    def assign(self, values: dict[str, float]) -> None:
        """Set all of them."""
        for name, value in values.items():
            self._variables[name].assign(value)


@dataclass
class Part:
    """A strategy at work in one model: its strengths, its random stream, what it fitted."""

    strategy: Strategy
    strengths: Strengths
    random: keras.random.SeedGenerator

    def overrides(self, hook: str) -> bool:
        """Whether the strategy implements a hook."""
        return getattr(type(self.strategy), hook) is not getattr(Strategy, hook)
