"""Where the strategies of a recipe act in a network: taps behind layers, at the input, and on activities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from reglab.errors import ReglabError
from reglab.keras_internals import is_graph
from reglab.regularized.activity import ActivityPenalty
from reglab.regularized.clone import OUTPUT
from reglab.regularized.graph import Graph, head_layers, kernel_layers
from reglab.regularized.parts import Part
from reglab.strategies import Place

__all__ = ["At", "add_activity_penalties", "at_inputs", "taps"]


@dataclass(frozen=True, eq=False)
class At:
    """A strategy at one place of a network: what a tap calls."""

    part: Part
    place: Place

    def __call__(self, h: Any) -> Any:
        return self.part.on_activation(h, self.place)


def taps(model: Any, parts: list[Part]) -> dict[str, list[Callable[[Any], Any]]]:
    """Return the functions to be placed in the network, by the path of the layer they follow."""
    placed: dict[str, list[Callable[[Any], Any]]] = {}
    for part in parts:
        for path, place in _places(model, part).items():
            if part.strategy.acts_at(place):
                placed.setdefault(path, []).append(At(part, place))
    return placed


def at_inputs(part: Part, x: Any) -> Any:
    """Apply a strategy to the inputs of the network."""
    inputs = keras.tree.flatten(x)
    places = [Place("input", "input", len(each.shape), index, len(inputs)) for index, each in enumerate(inputs)]
    changed = [
        _at_input(part, each, place) if part.strategy.acts_at(place) else each
        for each, place in zip(inputs, places, strict=True)
    ]
    return keras.tree.pack_sequence_as(x, changed)


def _at_input(part: Part, x: Any, place: Place) -> Any:
    dtype = keras.backend.standardize_dtype(x.dtype)
    if dtype in {"int32", "int64", "bool"}:
        raise ReglabError(
            f"{part.strategy.name} at the input needs numbers; the model's input is {dtype} (indices?). Use "
            f"where='hidden'."
        )
    return part.on_activation(x if "float" in dtype else keras.ops.cast(x, "float32"), place)


def add_activity_penalties(network: Any, parts: list[Part]) -> None:
    """Give hidden layers with a kernel the activity penalties of the recipe, beside their own."""
    penalties = [part.activity_penalty for part in parts if part.strategy.penalizes_activity]
    if not penalties:
        return
    heads = {id(layer) for layer in head_layers(network)}
    # Of layers inside a layer the outermost is meant: what a cell of a recurrent layer adds in a step leaves its loop.
    for layer in kernel_layers(network):
        if id(layer) not in heads:
            layer.activity_regularizer = ActivityPenalty(layer.activity_regularizer, penalties)


def _places(model: Any, part: Part) -> dict[str, Place]:
    """Return where in the graph of a model a strategy may act, by the path of the layer, or by ``OUTPUT``."""
    places = [place for place in part.strategy.places if place != "input"]
    if not places:
        return {}
    if not is_graph(model):
        raise ReglabError(
            f"{part.strategy.name} has to be placed {', '.join(places)}, and {type(model).__name__} is a subclassed "
            "model, whose layers are connected by its call method. Write it as a Sequential or Functional model, "
            "place the layer yourself, or use where='input'."
        )
    graph = Graph.of(model)
    kinds: dict[str, str] = {}
    for place in places:
        if place == "hidden":
            points = graph.hidden_points()
            if not points:
                raise ReglabError(
                    f"{part.strategy.name}: the model has no hidden layer with a kernel. Name a layer: "
                    f"where='layer_name'."
                )
            kinds.update({point: "hidden" for point in points if point not in kinds})
        elif place == OUTPUT:
            kinds[OUTPUT] = "output"
        else:
            kinds.setdefault(graph.resolve(place), "layer")
    for path in kinds:
        if path != OUTPUT and graph.first_output_is_unread(path):
            raise ReglabError(
                f"{part.strategy.name} acts on the first output of {path!r}, and the model goes on with its other "
                "outputs alone (its states), so nothing would change. Name another layer: where='layer_name'."
            )
    return {
        path: Place(kind, path, graph.rank(path), index, len(kinds)) for index, (path, kind) in enumerate(kinds.items())
    }
