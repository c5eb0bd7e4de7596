"""Cloning a network with its weights, and placing taps in the clone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from reglab.errors import ReglabError
from reglab.regularized.activity import ActivityPenalty
from reglab.regularized.graph import Graph, inputs_of, is_graph

__all__ = ["OUTPUT", "Tap", "clone", "without_taps"]

OUTPUT = "output"  # the place before the last activation: the logits

_WAY_OUT = "Give a function that builds the model in place of the model, or place the layer in it yourself"


class Tap(keras.layers.Layer):
    """A layer that lets a strategy change what passes, in training only.

    The strategy's variables and random stream belong to the model around the network, so a tap has no state: the
    weights of a network with taps are those of the network without.
    """

    def __init__(self, function: Callable[[Any], Any], name: str) -> None:
        super().__init__(name=name)
        self._function = function
        self.supports_masking = True

    def call(self, h: Any, training: bool | None = None) -> Any:
        return self._function(h) if training else h

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}  # so that the graph around it can be read; a tap is never made from it

    def compute_output_spec(self, h: Any, training: bool | None = None) -> Any:
        return keras.tree.map_structure(lambda t: keras.KerasTensor(t.shape, dtype=t.dtype), h)


def clone(model: Any, taps: Mapping[str, list[Callable[[Any], Any]]] | None = None) -> Any:
    """Return a copy of ``model`` with its weights and, behind the layers that ``taps`` names by path, taps.

    Raises:
        ReglabError: for a layer that cannot be copied, naming it.
    """
    if is_graph(model):
        copy = _clone_graph(model, dict(taps or {}), prefix="")
    elif taps:
        raise ReglabError(
            f"{type(model).__name__} is a subclassed model: the order of its layers is known only to its call method, "
            "so nothing can be placed behind them. Write it as a Sequential or Functional model, or place the layer "
            "yourself."
        )
    else:
        copy = _clone_by_config(model)
    _copy_state(model, copy)
    return copy


def without_taps(network: Any) -> Any:
    """Return a copy of a network, with its weights, from which the taps are gone."""
    copy = _clone_by_config(network) if not is_graph(network) else _clone_graph(network, {}, prefix="")
    _copy_state(network, copy)
    return copy


def _clone_graph(model: Any, taps: dict[str, list[Callable[[Any], Any]]], *, prefix: str) -> Any:
    logits = taps.pop(OUTPUT, None)
    if isinstance(model, keras.Sequential) and not taps and not logits and not _has_inner(model):
        copy = keras.Sequential([_clone_layer(layer) for layer in model.layers], name=model.name)
        if inputs_of(model):
            copy = keras.Sequential([_input_like(inputs_of(model)[0]), *copy.layers], name=model.name)
        return copy
    if isinstance(model, keras.Sequential) and not inputs_of(model):
        return _clone_unbuilt(model, taps, logits, prefix=prefix)
    # A model made anew from the same tensors: Sequential becomes Functional, and neither class nor compilation of the
    # user's model come along.
    # (The attributes input and output of a Sequential model exist only once it was called.)
    ends = (model.inputs[0], model.outputs[0]) if isinstance(model, keras.Sequential) else (model.input, model.output)
    functional = keras.Model(*ends, name=model.name)
    head = _output_layer(functional) if logits else None
    at_logits = logits or []
    placed: dict[str, Tap] = {}

    def clone_function(layer: Any) -> Any:
        if is_graph(layer):
            inner = {
                path[len(layer.name) + 1 :]: tap for path, tap in taps.items() if path.startswith(f"{layer.name}/")
            }
            if head is layer:
                inner[OUTPUT] = at_logits
            return _clone_graph(layer, inner, prefix=f"{prefix}{layer.name}/")
        return _clone_layer(layer, activation="linear" if head is layer and _activation(layer) else None)

    def call_function(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, Tap):
            return args[0]
        if head is not None and layer.name == head.name and not is_graph(head):
            return _call_head(head, layer, at_logits, *args, **kwargs)
        outputs = layer(*args, **kwargs)
        for position, function in enumerate(taps.get(layer.name, ())):
            # A shared layer is called several times and has one tap.
            name = f"tap{position}_{prefix.replace('/', '_')}{layer.name}"
            tap = placed.setdefault(name, Tap(function, name=name))
            outputs = tap(outputs)
        return outputs

    copy = keras.models.clone_model(functional, clone_function=clone_function, call_function=call_function)
    # With a tap behind it a layer comes earlier in the clone's list; weights are listed in the order of its layers.
    order = {layer.name: position for position, layer in enumerate(functional.layers)}
    copy._layers.sort(key=lambda layer: order.get(layer.name, len(order)))
    missing = [path for path in taps if "/" not in path and not any(n.endswith(f"_{path}") for n in placed)]
    if missing:
        raise ReglabError(f"Nothing could be placed behind {', '.join(missing)}. {_WAY_OUT}.")
    return copy


def _has_inner(model: Any) -> bool:
    return any(is_graph(layer) for layer in model.layers)


def _input_like(tensor: Any) -> Any:
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name)


def _clone_unbuilt(
    model: Any,
    taps: Mapping[str, list[Callable[[Any], Any]]],
    logits: list[Callable[[Any], Any]] | None,
    *,
    prefix: str,
) -> Any:
    """Clone a Sequential model that does not know its input yet: a chain of layers."""
    chain: list[Any] = []
    for layer in model.layers:
        if is_graph(layer):
            inner = {
                path[len(layer.name) + 1 :]: tap for path, tap in taps.items() if path.startswith(f"{layer.name}/")
            }
            chain.append(_clone_graph(layer, inner, prefix=f"{prefix}{layer.name}/"))
        elif logits and layer is model.layers[-1]:
            chain += _chain_with_logits(layer, logits)
        else:
            chain.append(_clone_layer(layer))
        names = enumerate(taps.get(layer.name, ()))
        chain += [Tap(function, name=f"tap{position}_{layer.name}") for position, function in names]
    return keras.Sequential(chain, name=model.name)


def _chain_with_logits(layer: Any, logits: list[Callable[[Any], Any]]) -> list[Any]:
    taps = [Tap(function, name=f"tap{position}_logits") for position, function in enumerate(logits)]
    if _is_activation(layer):
        return [*taps, _clone_layer(layer)]
    activation = _activation(layer)
    if activation is None:
        return [_clone_layer(layer), *taps]
    return [_clone_layer(layer, activation="linear"), *taps, keras.layers.Activation(activation)]


def _call_head(head: Any, layer: Any, logits: list[Callable[[Any], Any]], *args: Any, **kwargs: Any) -> Any:
    """Call the output layer with taps on its logits: before an activation layer, else before its own activation."""
    taps = [Tap(function, name=f"tap{position}_logits") for position, function in enumerate(logits)]

    def tapped(h: Any) -> Any:
        for tap in taps:
            h = tap(h)
        return h

    if _is_activation(head):
        return layer(tapped(args[0]), *args[1:], **kwargs)
    outputs = tapped(layer(*args, **kwargs))
    activation = _activation(head)
    if activation is None:
        return outputs
    return keras.layers.Activation(activation, dtype=head.dtype_policy, name=f"{head.name}_activation")(outputs)


def _output_layer(model: Any) -> Any:
    graph = Graph.of(model)
    if len(graph.outputs) != 1:
        raise ReglabError(f"The model has {len(graph.outputs)} outputs; logits are known for one output only.")
    return graph.layers[graph.outputs[0]]


def _is_activation(layer: Any) -> bool:
    return isinstance(layer, keras.layers.Activation | keras.layers.Softmax)


def _activation(layer: Any) -> Any:
    """Return the activation that a layer applies to its logits, or None if that is the identity."""
    activation = getattr(layer, "activation", None)
    return None if activation is None or activation is keras.activations.linear else activation


def _clone_layer(layer: Any, activation: str | None = None) -> Any:
    if isinstance(layer, Tap):
        return layer
    if not isinstance(layer, keras.Layer):  # an operation, such as x + y
        return type(layer).from_config(layer.get_config())
    try:
        config = layer.get_config()
        if isinstance(layer.activity_regularizer, ActivityPenalty):
            config["activity_regularizer"] = layer.activity_regularizer.original
        if activation is not None:
            config["activation"] = activation
        if isinstance(layer, keras.layers.Lambda):
            # Keras warns of code in files; this code is the user's own, already in this process.
            return type(layer).from_config(config, safe_mode=False)
        return type(layer).from_config(config)
    except Exception as error:
        raise ReglabError(
            f"The layer {layer.name!r} ({type(layer).__name__}) cannot be copied: {_reason(error)}. {_WAY_OUT}, or "
            f"give the "
            "layer a get_config method."
        ) from error


def _reason(error: Exception) -> str:
    """Return what an error of Keras' says first, before its explanations and examples, in one line."""
    text = " ".join(str(error).split())
    return text.split(". ")[0].rstrip(".")


def _clone_by_config(model: Any) -> Any:
    try:
        config = keras.saving.serialize_keras_object(model)
        with keras.saving.custom_object_scope({type(model).__name__: type(model)}):
            return keras.saving.deserialize_keras_object(config, safe_mode=False)
    except Exception as error:
        raise ReglabError(
            f"{type(model).__name__} cannot be copied: {_reason(error)}. Give a function that builds the model in "
            f"place of the "
            "model, or give the class a get_config method."
        ) from error


def _copy_state(source: Any, copy: Any) -> None:
    """Copy weights, and which layers are frozen; the random streams are the caller's."""
    if source.built and not copy.built:
        _build_like(source, copy)
    weights = source.get_weights()
    shapes = [tuple(weight.shape) for weight in copy.weights]
    if shapes != [tuple(weight.shape) for weight in weights]:
        raise ReglabError(
            f"The copy of {source.name!r} has other weights than the model ({len(shapes)} of {len(weights)}). "
            f"{_WAY_OUT}."
        )
    for old, new in zip(source.weights, copy.weights, strict=True):
        if old.trainable != new.trainable:
            new.trainable = old.trainable
    copy.set_weights(weights)


def _build_like(source: Any, copy: Any) -> None:
    config = source.get_build_config()
    if not config:
        raise ReglabError(
            f"{source.name!r} was built by calling it, and its copy cannot be built the same way. {_WAY_OUT}."
        )
    copy.build_from_config(config)
