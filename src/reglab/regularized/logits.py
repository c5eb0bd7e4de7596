"""Where the logits of a network are: before what turns them into probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from reglab.aliases import Tensor, Tensors
from reglab.errors import ReglabError
from reglab.keras_internals import is_graph
from reglab.regularized.graph import Graph, has_kernel
from reglab.regularized.guard import runs
from reglab.regularized.probes import probes
from reglab.regularized.trial import run_alone

__all__ = ["BEFORE", "BEHIND", "INSIDE", "Logits", "check_logits", "find_logits", "own_activation"]

BEFORE, INSIDE, BEHIND = "before", "inside", "behind"


@dataclass(frozen=True)
class Logits:
    """The place of the logits.

    Attributes:
        name: a layer or operation.
        where: before it, behind it, or inside it, before its own activation.
    """

    name: str
    where: str


def find_logits(graph: Graph) -> Logits:
    """Return where the logits are: before the operation, or the layer's own activation, that makes probabilities.

    What lies between the last layer with a kernel and the output is run on random numbers: what turns them into numbers
    between 0 and 1 makes probabilities, by whatever name. Where nothing does, the outputs are the logits, before an
    activation that the last layer has.

    Raises:
        ReglabError: for a model with several outputs.
    """
    if len(graph.outputs) != 1:
        raise ReglabError(f"The model has {len(graph.outputs)} outputs; logits are known for one output only.")
    chain = _chain(graph)
    last, first = graph.layers[chain[0]], graph.layers[chain[-1]]
    if is_graph(last):
        return Logits(chain[0], INSIDE)
    activation = None if is_graph(first) else own_activation(first)
    if activation is not None and _bounded(activation):
        return Logits(chain[-1], INSIDE)
    makers = [name for name in chain if not has_kernel(graph.layers[name]) and _makes_probabilities(graph, name)]
    if makers:
        return Logits(makers[-1], BEFORE)
    if isinstance(last, keras.layers.Activation | keras.layers.Softmax):
        return Logits(chain[0], BEFORE)
    return Logits(chain[0], INSIDE if activation is not None and len(chain) == 1 else BEHIND)


def check_logits(model: keras.Model) -> None:
    """Raise a ReglabError if what was taken for the logits of a model looks like probabilities."""
    if not is_graph(model):
        return
    end, place = model, find_logits(Graph.of(model))
    while is_graph(inner := Graph.of(end).layers[place.name]):  # a model may end in a model
        end, place = inner, find_logits(Graph.of(inner))
    if place.where != BEHIND:
        return
    for x in probes(model):
        if (outputs := runs(model, x, training=False)) is not None:
            break
    else:
        return
    usual = outputs[0][:2]  # examples of usual size; in the others units are saturated
    if usual.size and usual.dtype.kind == "f" and ((usual > 0) & (usual < 1)).all() and _all_between(outputs[0]):
        raise ReglabError(
            "where='output' acts on logits, and the model's outputs look like probabilities whose logits are not "
            "found: no activation, softmax or sigmoid at the end of the model makes them. End it in "
            "keras.layers.Activation('softmax') or in a layer with activation='softmax', or name a layer: "
            "where='layer_name'."
        )


def _all_between(values: np.ndarray) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())


def own_activation(layer: keras.Operation) -> Callable[[Tensor], Tensor] | None:
    """Return the activation that a layer applies to its outputs at last, or None if that is the identity."""
    if isinstance(layer, keras.layers.TimeDistributed):
        return own_activation(layer.layer)
    if isinstance(layer, keras.layers.RNN | keras.layers.Activation) or not has_kernel(layer):
        return None  # what recurrent layers call so is applied in each step
    activation = getattr(layer, "activation", None)
    return activation if callable(activation) and activation is not keras.activations.linear else None


def _chain(graph: Graph) -> list[str]:
    """Return what leads to the output, from there back to the last layer with a kernel or with several inputs."""
    sources: dict[str, list[str]] = {}
    for name, consumers in graph.consumers.items():
        for consumer in consumers:
            sources.setdefault(consumer, []).append(name)
    chain = [graph.outputs[0]]
    while not has_kernel(graph.layers[chain[-1]]):
        before = set(sources.get(chain[-1], ()))
        if len(before) != 1 or isinstance(graph.layers[source := before.pop()], keras.layers.InputLayer):
            break
        if len(set(graph.consumers[source])) > 1 or source in graph.outputs:
            break
        chain.append(source)
    return chain


def _makes_probabilities(graph: Graph, name: str) -> bool:
    shape = graph.input_shape(name)
    if shape is None or len(shape) < 2:
        shape = (None, 3)
    x = np.random.default_rng(0).normal(0, 3, [2 if size is None else size for size in shape]).astype("float32")
    return _between_0_and_1(run_alone(graph.layers[name], x))


def _bounded(activation: Callable[[Tensor], Tensor]) -> bool:
    x = np.random.default_rng(0).normal(0, 3, (4, 3)).astype("float32")
    return _between_0_and_1(run_alone(activation, x))


def _between_0_and_1(y: Tensors | None) -> bool:
    if y is None or not keras.ops.is_tensor(y):
        return False
    values = np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(y, "float32")))
    return bool(values.size and values.any() and _all_between(values))
