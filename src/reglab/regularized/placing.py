"""Where the strategies of a recipe act in a network: taps behind layers, at the input, and on activities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from reglab.aliases import Tensor, Tensors
from reglab.errors import ReglabError
from reglab.keras_internals import is_graph
from reglab.regularized.activity import ActivityPenalty
from reglab.regularized.clone import OUTPUT
from reglab.regularized.graph import Graph, head_layers, inputs_of, kernel_layers
from reglab.regularized.parts import Part
from reglab.strategies import Place

__all__ = ["At", "add_activity_penalties", "at_inputs", "taps"]


@dataclass(frozen=True, eq=False)
class At:
    """A strategy at one place of a network: what a tap calls."""

    part: Part
    place: Place

    def __call__(self, h: Tensor) -> Tensor:
        act = self.part.on_branch if self.place.kind == "branch" else self.part.on_activation
        return act(h, self.place)


def taps(model: keras.Model, parts: list[Part]) -> dict[str, list[Callable[[Any], Any]]]:
    """Return the functions to be placed in the network, by the path of the layer they follow.

    Raises:
        ReglabError: if a strategy acts nowhere, or cannot act where it would.
    """
    placed: dict[str, list[Callable[[Any], Any]]] = {}
    for part in parts:
        found = {path: place for path, place in _places(model, part).items() if part.strategy.acts_at(place)}
        if not found and set(part.strategy.places) - {"input"}:
            raise ReglabError(
                f"{part.strategy.name} acts at none of its places ({', '.join(part.strategy.places)}): none of them "
                "gives what it acts on. Name layers: where='layer_name'."
            )
        if part.overrides("on_branch"):
            found |= _branches(model, part)
        for path, place in found.items():
            placed.setdefault(path, []).append(At(part, place))
        _check_places(model, part, found)
    return placed


def _check_places(model: keras.Model, part: Part, found: dict[str, Place]) -> None:
    if not part.overrides("check_place") or not is_graph(model):
        return
    for path, place in found.items():
        shape = Graph.of(model).shape(path)
        if shape is not None:
            part.strategy.check_place(place, shape)
    if "input" in part.strategy.places:
        inputs = inputs_of(model)
        for index, tensor in enumerate(inputs):
            place = Place("input", "input", len(tensor.shape), index, len(inputs))
            part.strategy.check_place(place, tuple(tensor.shape))


def _branches(model: keras.Model, part: Part) -> dict[str, Place]:
    """Return the ends of all residual branches of a model, by path."""
    graph = Graph.of(model) if is_graph(model) else None
    paths = [] if graph is None else graph.branches()
    if graph is None or not paths:
        kind = "is a subclassed model, whose connections nobody knows" if graph is None else "has none"
        raise ReglabError(
            f"{part.strategy.name} acts on residual branches, which are added to a shortcut around them, and the model "
            f"{kind}. Use a residual network, such as resnet, or leave {part.strategy.name} out of the recipe."
        )
    return {path: Place("branch", path, graph.rank(path), index, len(paths)) for index, path in enumerate(paths)}


def at_inputs(part: Part, x: Tensors) -> Tensors:
    """Apply a strategy to the inputs of the network."""
    inputs = keras.tree.flatten(x)
    places = [Place("input", "input", len(each.shape), index, len(inputs)) for index, each in enumerate(inputs)]
    changed = [
        _at_input(part, each, place) if part.strategy.acts_at(place) else each
        for each, place in zip(inputs, places, strict=True)
    ]
    return keras.tree.pack_sequence_as(x, changed)


def _at_input(part: Part, x: Tensor, place: Place) -> Tensor:
    dtype = keras.backend.standardize_dtype(x.dtype)
    if dtype in {"int32", "int64", "bool"}:
        raise ReglabError(
            f"{part.strategy.name} at the input needs numbers; the model's input is {dtype} (indices?). Use "
            f"where='hidden'."
        )
    return part.on_activation(x if "float" in dtype else keras.ops.cast(x, "float32"), place)


def add_activity_penalties(network: keras.Model, parts: list[Part]) -> None:
    """Give hidden layers with a kernel the activity penalties of the recipe, beside their own."""
    penalties = [part.activity_penalty for part in parts if part.strategy.penalizes_activity]
    if not penalties:
        return
    heads = {id(layer) for layer in head_layers(network)}
    # Of layers inside a layer the outermost is meant: what a cell of a recurrent layer adds in a step leaves its loop.
    for layer in kernel_layers(network):
        if id(layer) not in heads:
            layer.activity_regularizer = ActivityPenalty(layer.activity_regularizer, penalties)


def _places(model: keras.Model, part: Part) -> dict[str, Place]:
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
