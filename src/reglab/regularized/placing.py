"""Where the strategies of a recipe act in a network: taps behind layers, at the input, and on activities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from reglab.errors import ReglabError
from reglab.keras_internals import is_graph
from reglab.regularized.activity import ActivityPenalty
from reglab.regularized.clone import OUTPUT
from reglab.regularized.graph import Graph, head_layers, kernel_layers
from reglab.regularized.parts import Part

__all__ = ["add_activity_penalties", "at_input", "taps"]


def taps(model: Any, parts: list[Part]) -> dict[str, list[Callable[[Any], Any]]]:
    """Return the functions to be placed in the network, by the path of the layer they follow."""
    placed: dict[str, list[Callable[[Any], Any]]] = {}
    for part in parts:
        for path in _paths(model, part):
            placed.setdefault(path, []).append(part.on_activation)
    return placed


def at_input(part: Part, x: Any) -> Any:
    """Apply a strategy to one input of the network."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    if dtype in {"int32", "int64", "bool"}:
        raise ReglabError(
            f"{part.strategy.name} at the input needs numbers; the model's input is {dtype} (indices?). Use "
            f"where='hidden'."
        )
    return part.strategy.on_activation(
        x if "float" in dtype else keras.ops.cast(x, "float32"), part.strengths, part.random
    )


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


def _paths(model: Any, part: Part) -> list[str]:
    places = [place for place in part.strategy.places if place != "input"]
    if not places:
        return []
    if not is_graph(model):
        raise ReglabError(
            f"{part.strategy.name} has to be placed {', '.join(places)}, and {type(model).__name__} is a subclassed "
            "model, whose layers are connected by its call method. Write it as a Sequential or Functional model, "
            "place the layer yourself, or use where='input'."
        )
    graph = Graph.of(model)
    paths: dict[str, None] = {}
    for place in places:
        if place == "hidden":
            points = graph.hidden_points()
            if not points:
                raise ReglabError(
                    f"{part.strategy.name}: the model has no hidden layer with a kernel. Name a layer: "
                    f"where='layer_name'."
                )
            paths.update(dict.fromkeys(points))
        else:
            paths[OUTPUT if place == OUTPUT else graph.resolve(place)] = None
    for path in paths:
        if path != OUTPUT and graph.first_output_is_unread(path):
            raise ReglabError(
                f"{part.strategy.name} acts on the first output of {path!r}, and the model goes on with its other "
                "outputs alone (its states), so nothing would change. Name another layer: where='layer_name'."
            )
    return list(paths)
