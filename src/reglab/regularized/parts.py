"""A strategy at work in a model: the variables its numbers live in, and its stream of random numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from reglab.keras_internals import generators_in, set_seed_of
from reglab.recipe import Recipe
from reglab.seeds import derive
from reglab.strategies import Strategy

__all__ = ["Part", "Strengths", "parts_of", "seed_layers", "streams_of"]


class Strengths:
    """A strategy's strengths as a hook sees them: ``s.rate`` and ``s["rate"]`` are tensors.

    They are read anew at each access, so that inside a compiled step they are inputs of the program and not constants.
    """

    def __init__(self, variables: dict[str, keras.Variable]) -> None:
        self._variables = variables

    @classmethod
    def of(cls, strategy: Strategy) -> Strengths:
        """Return variables that hold what ``strategy`` declares, a strategy without schedules."""
        return cls(
            {
                name: keras.Variable(
                    float(value),
                    trainable=False,
                    dtype="float32",
                    autocast=False,
                    name=f"{strategy.name}_{name}",
                    aggregation="only_first_replica",
                )
                for name, value in strategy.strengths().items()
            }
        )

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
    """A strategy at work in one model.

    Attributes:
        strategy: what the program was made with. Its own numbers are not those of the training: ``strengths`` are.
        strengths: the variables that its hooks read.
        random: its stream of random numbers.
    """

    strategy: Strategy
    strengths: Strengths
    random: keras.random.SeedGenerator

    def overrides(self, hook: str) -> bool:
        """Whether the strategy implements a hook."""
        return self.strategy.implements(hook)

    def on_activation(self, h: Any) -> Any:
        """Change what flows out of a layer."""
        return self.strategy.on_activation(h, self.strengths, self.random)

    def activity_penalty(self, outputs: Any) -> Any:
        """Return the penalty on a layer's outputs."""
        return self.strategy.activity_penalty(outputs, self.strengths)

    def restart(self, seed: int) -> None:
        """Start its stream of random numbers anew from a seed."""
        _restart(self.random.state, seed)


def parts_of(recipe: Recipe, seed: int) -> list[Part]:
    """Return the strategies of a recipe, each with variables and a stream of its own."""
    return [
        Part(strategy, Strengths.of(strategy.at(0)), keras.random.SeedGenerator(stream))
        for strategy, stream in zip(recipe, streams_of(recipe, seed), strict=True)
    ]


def streams_of(recipe: Recipe, seed: int) -> list[int]:
    """Return the seed of each strategy's stream: by its name, and by its number where a name comes twice."""
    names = [strategy.name for strategy in recipe]
    return [derive(seed, "strategy", name, names[:position].count(name)) for position, name in enumerate(names)]


def seed_layers(network: Any, seed: int) -> None:
    """Give each random layer of the user's a stream of its own, by its place among them."""
    for position, generator in enumerate(generators_in(network)):
        stream = derive(seed, "layer", position)
        set_seed_of(generator, stream)
        _restart(generator.state, stream)


def _restart(state: Any, seed: int) -> None:
    state.assign(np.array([seed, 0], dtype=keras.backend.standardize_dtype(state.dtype)))
