"""Where in a network something can be placed: its layers as a graph, and the points called ``hidden``."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import keras

from reglab.errors import ReglabError, nearest
from reglab.keras_internals import Node, calls_in, is_graph, layers_in, made_by
from reglab.regularized.follow import adds, keeps_units
from reglab.regularized.roles import role

__all__ = ["Graph", "flat_layers", "has_kernel", "head_layers", "history", "inputs_of", "kernel_layers"]


def inputs_of(model: keras.Model) -> list[keras.KerasTensor]:
    """Return the input tensors of a Sequential or Functional model; none of a Sequential one that was never built."""
    try:
        return keras.tree.flatten(model.inputs)
    except AttributeError:  # what Sequential raises before it knows its input
        return []


def has_kernel(layer: keras.Operation) -> bool:
    """Whether a layer, or a layer inside it, multiplies by weights of its own. Known before it is built."""
    if isinstance(layer, keras.Model):
        return any(has_kernel(inner) for inner in layer.layers)
    if not isinstance(layer, keras.Layer):
        return False
    if any(role(weight) == "kernel" for weight in layer.trainable_weights):
        return True
    config = _config(layer)
    return (
        any(key.endswith(("kernel_initializer", "embeddings_initializer")) for key in config)
        or "cell" in config
        or any(has_kernel(inner) for inner in layers_in(layer, deep=False))
    )


def _config(layer: keras.Layer) -> dict[str, Any]:
    with contextlib.suppress(Exception):  # a layer may have none
        return layer.get_config()
    return {}


def flat_layers(model: keras.Model) -> list[keras.Layer]:
    """Return every layer of a model that is not itself a model, nested ones included, in order."""
    return [layer for layer in layers_in(model) if not isinstance(layer, keras.Model)]


def kernel_layers(model: keras.Model) -> list[keras.Layer]:
    """Return the layers that have a kernel, the outermost where one is inside another."""
    found: list[Any] = []
    inside: set[int] = set()
    for layer in flat_layers(model):
        if id(layer) not in inside and has_kernel(layer):
            found.append(layer)
            inside.update(id(inner) for inner in layers_in(layer))
    return found


def head_layers(model: keras.Model) -> list[keras.Layer]:
    """Return the output layers: those with a kernel behind which no other layer has one.

    A subclassed model does not tell how its layers are connected; there it is the one that was created last.
    """
    if is_graph(model):
        return list(Graph.of(model).heads())
    return kernel_layers(model)[-1:]


@dataclass
class Graph:
    """The layers of one Sequential or Functional model and who consumes whose output; nested models are one node.

    Attributes:
        layers: layers and operations, by name.
        consumers: from a name to those who take its output, as often as they do.
        outputs: who makes the outputs of the model.
        nodes: the last call of each, as Keras records it; of a chain of layers that was never built, none.
        read: which outputs of which layer anybody takes, by name and number.
        producers: from a name to those whose output it takes; made when it is first asked for.
    """

    layers: dict[str, keras.Operation]
    consumers: dict[str, list[str]] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    nodes: dict[str, Node] = field(default_factory=dict)
    read: set[tuple[str, int]] = field(default_factory=set)
    producers: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, model: keras.Model) -> Graph:
        if isinstance(model, keras.Sequential):
            layers = {layer.name: layer for layer in model.layers}
            names = list(layers)
            graph = cls(layers, {a: [b] for a, b in itertools.pairwise(names)}, tuple(names[-1:]))
            if inputs_of(model):
                graph.nodes = cls.of(keras.Model(model.inputs[0], model.outputs[0])).nodes
            return graph
        # Operations such as x + y between layers are nodes too.
        graph = cls({operation.name: operation for operation in model.operations})
        graph.outputs = tuple(history(tensor)[0] for tensor in model.outputs)
        graph.read = {history(tensor) for tensor in model.outputs}
        for node in calls_in(model):
            graph.nodes[node.operation.name] = node
            for tensor in node.input_tensors:
                graph.read.add(history(tensor))
                graph.consumers.setdefault(history(tensor)[0], []).append(node.operation.name)
        return graph

    def downstream(self, name: str) -> set[str]:
        """Return the names of all layers that the output of ``name`` reaches."""
        reached: set[str] = set()
        waiting = list(self.consumers.get(name, ()))
        while waiting:
            current = waiting.pop()
            if current not in reached:
                reached.add(current)
                waiting += self.consumers.get(current, ())
        return reached

    def is_head(self, name: str) -> bool:
        """Whether a layer has a kernel and no layer behind it has one."""
        return has_kernel(self.layers[name]) and not any(has_kernel(self.layers[x]) for x in self.downstream(name))

    def heads(self) -> Iterator[Any]:
        for name, layer in self.layers.items():
            if self.is_head(name):
                yield from head_layers(layer) if isinstance(layer, keras.Model) and is_graph(layer) else [layer]

    def hidden_points(self, *, keep_head: bool = False) -> list[str]:
        """Return the layers, by path, behind which hidden units are: ``"dense_1"``, ``"block/conv"``.

        Behind every layer with a kernel but the head, moved on behind its normalization and activation, and behind the
        layer that joins it with others. With ``keep_head`` the model is followed by another, so its head counts too.
        """
        points: dict[str, None] = {}
        for name, layer in self.layers.items():
            if not has_kernel(layer):
                continue
            hidden = keep_head or not self.is_head(name)
            if is_graph(layer):
                inner = Graph.of(layer).hidden_points(keep_head=hidden)
                points.update(dict.fromkeys(f"{name}/{point}" for point in inner))
            elif hidden:
                points[self._behind(name)] = None
        return list(points)

    def _behind(self, name: str) -> str:
        while True:
            consumers = set(self.consumers.get(name, ()))
            if len(consumers) != 1:
                return name
            follower = consumers.pop()
            operation = self.layers[follower]
            if has_kernel(operation) or not keeps_units(operation, self.nodes.get(follower)):
                return name
            name = follower

    def branches(self) -> list[str]:
        """Return the layers, by path, with which residual branches end, from the input on.

        A residual branch has a layer with a kernel and is added to a shortcut, which leads around it: to what the
        branch begins with, or to a layer or two that give that another shape. What ends it goes nowhere else.
        """
        found: list[tuple[int, str]] = []
        for name, layer in self.layers.items():
            before = len(self._upstream(name))
            if is_graph(layer):
                found += [(before, f"{name}/{path}") for path in Graph.of(layer).branches()]
            elif (end := self._branch_into(name)) is not None:
                found.append((before, end))
        return [path for _, path in sorted(found, key=lambda each: each[0])]

    def _branch_into(self, name: str) -> str | None:
        """Return the end of the residual branch that a layer or operation adds to a shortcut, or None."""
        node = self.nodes.get(name)
        if node is None or not adds(self.layers[name], node):
            return None
        ends = [history(tensor)[0] for tensor in node.input_tensors]
        ways = [self._upstream(end) | {end} for end in ends]
        if not ways[0] & ways[1]:
            return None
        kernels = [sum(has_kernel(self.layers[each]) for each in ways[i] - ways[1 - i]) for i in (0, 1)]
        if kernels[0] == kernels[1]:
            return None
        end = ends[kernels.index(max(kernels))]
        return end if self.consumers.get(end) == [name] and end not in self.outputs else None

    def _upstream(self, name: str) -> set[str]:
        """Return the names of all layers whose output reaches ``name``."""
        if not self.producers:
            for taken, takers in self.consumers.items():
                for taker in takers:
                    self.producers.setdefault(taker, []).append(taken)
        reached: set[str] = set()
        waiting = list(self.producers.get(name, ()))
        while waiting:
            current = waiting.pop()
            if current not in reached:
                reached.add(current)
                waiting += self.producers.get(current, ())
        return reached

    def shape(self, path: str) -> tuple[int | None, ...] | None:
        """Return the shape of what a layer gives, batch first, or None where that is not known."""
        name, _, inner = path.partition("/")
        if inner:
            return Graph.of(self.layers[name]).shape(inner)
        names = self.outputs[:1] if name not in self.layers else (name,)  # the output of the network
        tensors = [tensor for each in names if each in self.nodes for tensor in self.nodes[each].output_tensors]
        return tuple(tensors[0].shape) if tensors else None

    def rank(self, path: str) -> int | None:
        """Return how many axes what a layer gives has, the batch's included, or None where that is not known."""
        shape = self.shape(path)
        return None if shape is None else len(shape)

    def input_shape(self, name: str) -> tuple[int | None, ...] | None:
        """Return the shape of what a layer or operation is given first, or None where that is not known."""
        tensors = self.nodes[name].input_tensors if name in self.nodes else ()
        return tuple(tensors[0].shape) if tensors else None

    def paths(self) -> dict[str, Any]:
        """Return every layer by path, nested ones as ``outer/inner``."""
        found = {}
        for name, layer in self.layers.items():
            found[name] = layer
            if is_graph(layer):
                found.update({f"{name}/{path}": inner for path, inner in Graph.of(layer).paths().items()})
        return found

    def first_output_is_unread(self, path: str) -> bool:
        """Whether somebody takes an output of a layer, and nobody the first one."""
        name, _, inner = path.partition("/")
        if inner:
            return Graph.of(self.layers[name]).first_output_is_unread(inner)
        taken = {index for of, index in self.read if of == name}
        return bool(taken) and 0 not in taken

    def resolve(self, place: str) -> str:
        """Return the path of a layer that the user names by path or by bare name."""
        paths = self.paths()
        if place in paths:
            return place
        matches = [path for path in paths if path.rsplit("/", 1)[-1] == place]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise ReglabError(f"Several layers are called {place!r}: {', '.join(matches)}. Name one with its path.")
        names = [path for path, layer in paths.items() if not isinstance(layer, keras.layers.InputLayer)]
        raise ReglabError(f"The model has no layer {place!r}.{nearest(place, names)} It has {', '.join(names)}.")


def history(tensor: keras.KerasTensor) -> tuple[str, int]:
    """Return the name of the layer or operation that made a symbolic tensor, and which of its outputs it is."""
    operation, index = made_by(tensor)
    return operation.name, index
