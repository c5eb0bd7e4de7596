"""A strategy at work in a model: the variables its numbers live in, and its stream of random numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from reglab.aliases import Tensor
from reglab.errors import ReglabError
from reglab.keras_internals import generators_in, set_seed_of
from reglab.recipe import Recipe
from reglab.regularized.roles import places_of
from reglab.seeds import derive
from reglab.strategies import Place, Strategy, Weight

__all__ = [
    "Part",
    "State",
    "Strengths",
    "give_state",
    "parts_of",
    "random_states",
    "restart_state",
    "seed_layers",
    "streams_of",
]


class Strengths:
    """A strategy's strengths as a hook sees them: ``s.rate`` and ``s["rate"]`` are tensors.

    They are read anew at each access, so that inside a compiled step they are inputs of the program and not constants.

    Attributes:
        state: what the strategy keeps from step to step.
        made: what of Keras' its hooks need.
    """

    def __init__(self, variables: dict[str, keras.Variable], state: State | None = None, made: object = None) -> None:
        self._variables = variables
        self.state = state or State({})
        self.made = made

    @classmethod
    def of(cls, strategy: Strategy, state: State | None = None, made: object = None) -> Strengths:
        """Return variables that hold what ``strategy`` declares, a strategy without schedules."""
        variables = {name: _variable(strategy, name, value) for name, value in strategy.strengths().items()}
        return cls(variables, state, made)

    def __getattr__(self, name: str) -> Tensor:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, name: str) -> Tensor:
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


class State(Mapping[str, Any]):
    """What a strategy keeps from step to step: tensors, read anew at each access."""

    def __init__(self, variables: dict[str, keras.Variable]) -> None:
        self._variables = variables

    @classmethod
    def of(cls, strategy: Strategy, weights: list[Weight]) -> State:
        """Return variables that hold what a strategy begins with."""
        return cls({name: _variable(strategy, name, value) for name, value in strategy.state(weights).items()})

    def __getitem__(self, name: str) -> Tensor:
        return keras.ops.convert_to_tensor(self._variables[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)

    def variables(self) -> list[keras.Variable]:
        """Return all variables, for the model to track."""
        return list(self._variables.values())

    def assign(self, values: Mapping[str, Any]) -> None:
        """Set some of them."""
        for name, value in values.items():
            self._variables[name].assign(value)


def _variable(strategy: Strategy, name: str, value: npt.ArrayLike) -> keras.Variable:
    return keras.Variable(
        np.asarray(value, "float32"),
        trainable=False,
        dtype="float32",
        autocast=False,
        name=f"{strategy.name}_{name}",
        aggregation="only_first_replica",
    )


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

    def on_activation(self, h: Tensor, place: Place) -> Tensor:
        """Change what flows out of a layer."""
        return self.strategy.on_activation(h, place, self.strengths, self.random)

    def on_branch(self, h: Tensor, place: Place) -> Tensor:
        """Change what a residual branch gives."""
        return self.strategy.on_branch(h, place, self.strengths, self.random)

    def activity_penalty(self, outputs: Tensor) -> Tensor:
        """Return the penalty on a layer's outputs."""
        return self.strategy.activity_penalty(outputs, self.strengths)

    def restart(self, seed: int) -> None:
        """Start its stream of random numbers anew from a seed."""
        _restart(self.random.state, seed)


def parts_of(recipe: Recipe, seed: int) -> list[Part]:
    """Return the strategies of a recipe, each with variables and a stream of its own."""
    parts = []
    for strategy, stream in zip(recipe, streams_of(recipe, seed), strict=True):
        random = keras.random.SeedGenerator(stream)
        parts.append(Part(strategy, Strengths.of(strategy.at(0), made=strategy.made(random)), random))
    return parts


def streams_of(recipe: Recipe, seed: int) -> list[int]:
    """Return the seed of each strategy's stream: by its name, and by its number where a name comes twice."""
    names = [strategy.name for strategy in recipe]
    return [derive(seed, "strategy", name, names[:position].count(name)) for position, name in enumerate(names)]


def seed_layers(network: keras.Model, seed: int) -> None:
    """Give each random layer of the user's a stream of its own, by its place among them."""
    for position, generator in enumerate(generators_in(network)):
        stream = derive(seed, "layer", position)
        set_seed_of(generator, stream)
        _restart(generator.state, stream)


def random_states(network: keras.Model) -> list[Any]:
    """Return the states of the random streams of the user's layers."""
    return [generator.state for generator in generators_in(network)]


def give_state(parts: list[Part], network: keras.Model) -> None:
    """Let each strategy keep what it keeps from step to step, as it is before the first one.

    Raises:
        ReglabError: if a strategy keeps something, and the network has no weights yet.
    """
    for part in parts:
        if part.overrides("state"):
            if not network.built:
                raise ReglabError(
                    f"{part.strategy.name} keeps something of the weights that training begins with, and the model has "
                    "none yet. Build it first: call it on a batch."
                )
            part.strengths.state = State.of(part.strategy, _initial(network))


def restart_state(parts: list[Part], network: keras.Model) -> None:
    """Set what strategies keep to what it is before the first step from the present weights."""
    for part in parts:
        if part.overrides("state"):
            part.strengths.state.assign(part.strategy.state(_initial(network)))


def _initial(network: keras.Model) -> list[Weight]:
    return [Weight(np.array(keras.ops.convert_to_numpy(weight)), place) for weight, place in places_of(network)]


def _restart(state: keras.Variable, seed: int) -> None:
    state.assign(np.array([seed, 0], dtype=keras.backend.standardize_dtype(state.dtype)))
