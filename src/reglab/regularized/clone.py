"""Cloning a network with its weights, and placing taps in the clone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import keras

from reglab.aliases import Tensor, Tensors
from reglab.errors import ReglabError
from reglab.keras_internals import is_graph, layers_in, order_layers, set_trainable_alone
from reglab.regularized.activity import ActivityPenalty
from reglab.regularized.graph import Graph, inputs_of
from reglab.regularized.guard import Difference, difference
from reglab.regularized.logits import BEFORE, BEHIND, INSIDE, Logits, check_logits, find_logits, own_activation
from reglab.regularized.state import copy_assets, copy_state
from reglab.regularized.twin import Twins

__all__ = ["OUTPUT", "Tap", "clone", "without_taps"]

OUTPUT = "output"  # the place before the last activation: the logits

_WAY_OUT = "Give a function that builds the model in place of the model, or place the layer in it yourself"


class Tap(keras.layers.Layer):
    """A layer that lets a strategy change what passes, in training only.

    The strategy's variables and random stream belong to the model around the network, so a tap has no state: the
    weights of a network with taps are those of the network without.
    """

    resting: ClassVar[bool] = False

    def __init__(self, function: Callable[[Any], Any], name: str) -> None:
        super().__init__(name=name)
        self._function = function
        self.supports_masking = True

    def call(self, h: Tensor, training: bool | None = None) -> Tensor:
        return self._function(h) if training and not self.resting else h

    @classmethod
    @contextmanager
    def all_rest(cls) -> Iterator[None]:
        """Let what passes pass unchanged meanwhile, so that a network can be compared with one without taps."""
        cls.resting = True
        try:
            yield
        finally:
            cls.resting = False

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}  # so that the graph around it can be read; a tap is never made from it

    def compute_output_spec(self, h: Tensors, training: bool | None = None) -> Tensors:
        return keras.tree.map_structure(lambda t: keras.KerasTensor(t.shape, dtype=t.dtype), h)


class _Failed(Exception):
    """A layer could not be copied the way that was tried."""

    def __init__(self, layer: keras.Operation | None, reason: str) -> None:
        super().__init__(reason)
        self.layer, self.reason = layer, reason


def clone(
    model: keras.Model, taps: Mapping[str, list[Callable[[Any], Any]]] | None = None, *, owned: bool = False
) -> keras.Model:
    """Return a copy of ``model`` with its weights and, behind the layers that ``taps`` names by path, taps.

    Layers are copied the way Keras does it, by their configuration and what it saves of them. The copy is compared with
    the model; layers that did not survive are copied by their attributes, and compared again.

    Args:
        model: what to copy.
        taps: functions to be placed in the copy, by the path of the layer they follow.
        owned: whether nobody else has the model, so that its own layers can be used where they cannot be copied.

    Raises:
        ReglabError: for a layer that cannot be copied or differs from its copy, naming it.
    """
    if taps and not is_graph(model):
        raise ReglabError(
            f"{type(model).__name__} is a subclassed model: the order of its layers is known only to its call method, "
            "so nothing can be placed behind them. Write it as a Sequential or Functional model, or place the layer "
            "yourself."
        )
    by_attributes: set[type] = set()
    while True:
        found = _tried(model, dict(taps or {}), by_attributes)
        if not isinstance(found, Difference):
            if taps and OUTPUT in taps:
                check_logits(model)
            return found
        kinds = _kinds_to_blame(model, found.layer)
        if not kinds - by_attributes:
            break
        by_attributes |= kinds
    if owned:  # a builder's model is ours already, so one that cannot be copied can be used as it is
        return _Copying(set(), reuse=True).model(model, dict(taps)) if taps else model
    raise ReglabError(f"{found}. {_WAY_OUT}.")


def without_taps(network: keras.Model) -> keras.Model:
    """Return a copy of a network, with its weights, from which the taps are gone."""
    return clone(network)


def _tried(model: keras.Model, taps: dict[str, list[Callable[[Any], Any]]], by_attributes: set[type]) -> Any:
    """Return a copy that was compared with the model, or the difference that was found."""
    copying = _Copying(by_attributes)
    try:
        copy = copying.model(model, taps)
    except _Failed as failure:
        return Difference(failure.layer, f"cannot be copied: {failure.reason}")
    with Tap.all_rest(), ActivityPenalty.all_rest():
        return difference(model, copy, copying.pairs) or copy


def _kinds_to_blame(model: keras.Model, layer: keras.Layer | None) -> set[type]:
    """Return the classes of layers to be copied in another way: that of a layer, or all that are not Keras' own."""
    if layer is not None and not is_graph(layer):
        return {type(layer)}
    layers = layers_in(model, itself=True) if is_graph(model) else [model]
    return {
        type(one) for one in layers if not (_of_keras(one) or is_graph(one)) or isinstance(one, keras.layers.Lambda)
    }


def _of_keras(layer: keras.Operation) -> bool:
    return type(layer).__module__.partition(".")[0] == "keras"


class _Copying:
    """One attempt at copying a model.

    Args:
        by_attributes: the classes whose layers are copied by their attributes and not by their configuration.
        reuse: whether layers are not copied at all, but used in the new graph.
    """

    def __init__(self, by_attributes: set[type], *, reuse: bool = False) -> None:
        self._by_attributes, self._reuse = by_attributes, reuse
        self._twins = Twins(self._inner_graph, is_graph)
        self.pairs: list[tuple[Any, Any]] = []  # each layer and its copy; of models, those inside them
        self._sources: dict[int, Any] = {}  # from the identity of a copy to its original

    def model(self, model: keras.Model, taps: dict[str, list[Callable[[Any], Any]]]) -> keras.Model:
        copy = self.graph(model, taps) if is_graph(model) else self.layer(model)
        self._twins.settle()
        if not self._reuse:
            for pair in self.pairs:
                self._give_state(*pair)
        return copy

    @staticmethod
    def _inner_graph(model: keras.Model, twins: Twins) -> keras.Model:
        """Copy a network that is inside a layer whose attributes are copied."""
        copying = _Copying({keras.Layer})
        copying._twins = twins
        return copying.graph(model, {})

    def _give_state(self, source: keras.Operation, copy: keras.Operation) -> None:
        if isinstance(source, Tap) or not isinstance(source, keras.Layer):
            return
        try:
            if source.built and not copy.built and (config := source.get_build_config()):
                copy.build_from_config(config)
            copy_state(source, copy)
        except Exception as error:
            raise _Failed(source, _reason(error)) from error

    # --- one layer -------------------------------------------------------------------------------------------------

    def layer(self, layer: keras.Operation, *, linear: bool = False) -> keras.Operation:
        """Return a copy of a layer or an operation, without its activation if it shall be ``linear``."""
        if isinstance(layer, Tap) or self._reuse:
            copy = layer
        elif keras.Layer in self._by_attributes or type(layer) in self._by_attributes or _only_here(layer):
            copy = self._twin(layer)
        else:
            copy = self._from_config(layer)
            self._twins.know(layer, copy)
        if linear:
            _make_linear(copy)
        self.pairs.append((layer, copy))
        self._sources[id(copy)] = layer
        return copy

    def _twin(self, layer: keras.Operation) -> keras.Operation:
        try:
            copy = self._twins.of(layer, outermost=True)
        except Exception as error:
            raise _Failed(layer, _reason(error)) from error
        _without_penalty(copy)
        return copy

    def _from_config(self, layer: keras.Operation) -> keras.Operation:
        try:
            config = layer.get_config()
            if isinstance(layer, keras.Layer) and isinstance(layer.activity_regularizer, ActivityPenalty):
                config["activity_regularizer"] = layer.activity_regularizer.original
            if isinstance(layer, keras.Model):
                with keras.saving.custom_object_scope({type(layer).__name__: type(layer)}):
                    serialized = keras.saving.serialize_keras_object(layer)
                    copy = keras.saving.deserialize_keras_object(serialized, safe_mode=False)
            else:
                copy = type(layer).from_config(config)
            copy.name = layer.name  # a configuration may leave it out
            if isinstance(layer, keras.Layer):
                copy_assets(layer, copy)
        except Exception as error:
            raise _Failed(layer, _reason(error)) from error
        return copy

    # --- networks of layers ----------------------------------------------------------------------------------------

    def graph(
        self, model: keras.Model, taps: dict[str, list[Callable[[Any], Any]]], *, prefix: str = ""
    ) -> keras.Model:
        """Return a copy of a Sequential or Functional model with taps in it."""
        logits = taps.get(OUTPUT, [])
        taps = {path: functions for path, functions in taps.items() if path != OUTPUT}
        if isinstance(model, keras.Sequential) and not self._reuse:
            if not taps and not logits and not any(is_graph(layer) for layer in model.layers):
                return self._paired(model, self._sequential(model))
            if not inputs_of(model):
                return self._paired(model, self._unbuilt(model, taps, logits, prefix=prefix))
        return self._paired(model, self._functional(model, taps, logits, prefix=prefix))

    def _paired(self, model: keras.Model, copy: keras.Model) -> keras.Model:
        set_trainable_alone(copy, model.trainable)  # what is in it has flags of its own
        self._sources[id(copy)] = model
        return copy

    def _sequential(self, model: keras.Model) -> keras.Sequential:
        layers = [self.layer(layer) for layer in model.layers if not isinstance(layer, Tap)]
        try:
            copy = keras.Sequential(layers, name=model.name)
            if inputs_of(model):
                copy = keras.Sequential([_input_like(inputs_of(model)[0]), *copy.layers], name=model.name)
        except Exception as error:
            raise _Failed(None, _reason(error)) from error
        return copy

    def _functional(
        self,
        model: keras.Model,
        taps: dict[str, list[Callable[[Any], Any]]],
        logits: list[Callable[[Any], Any]],
        *,
        prefix: str,
    ) -> keras.Model:
        # A model made anew from the same tensors: Sequential becomes Functional, and neither class nor compilation of
        # the user's model come along.
        # (The attributes input and output of a Sequential model exist only once it was called.)
        of_chain = isinstance(model, keras.Sequential)
        ends = (model.inputs[0], model.outputs[0]) if of_chain else (model.input, model.output)
        functional = keras.Model(*ends, name=model.name)
        place = find_logits(Graph.of(functional)) if logits else None
        at_logits = "at_logits" if any(layer.name == "logits" for layer in functional.layers) else "logits"
        placed: set[str] = set()
        made: dict[str, Tap] = {}  # a shared layer is called several times and has one tap

        def tapped(functions: list[Callable[[Any], Any]], name: str, outputs: Tensors) -> Tensors:
            for position, function in enumerate(functions):
                called = f"tap{position}_{prefix.replace('/', '_')}{name}"
                outputs = _on_first(made.setdefault(called, Tap(function, name=called)), outputs)
            return outputs

        def clone_function(layer: keras.Operation) -> keras.Operation:
            where = place.where if place is not None and layer.name == place.name else None
            if is_graph(layer):
                inner = {
                    path[len(layer.name) + 1 :]: tap for path, tap in taps.items() if path.startswith(f"{layer.name}/")
                }
                if where:
                    inner[OUTPUT] = logits
                if self._reuse and not inner:
                    return self._paired(layer, layer)
                return self.graph(layer, inner, prefix=f"{prefix}{layer.name}/")
            return self.layer(layer, linear=where == INSIDE)

        def call_function(copy: keras.Operation, *args: Any, **kwargs: Any) -> Tensors:
            if isinstance(copy, Tap):
                return args[0]
            source = self._sources[id(copy)]
            at_end = place is not None and source.name == place.name and not is_graph(source)
            where = place.where if place is not None and at_end else None
            if where == BEFORE:
                args = (tapped(logits, at_logits, args[0]), *args[1:])
            try:
                outputs = copy(*args, **kwargs)
            except Exception as error:
                raise _Failed(source, _reason(error)) from error
            if where in (BEHIND, INSIDE):
                outputs = tapped(logits, at_logits, outputs)
            if where == INSIDE:
                outputs = _activation_behind(source)(outputs)
            if source.name in taps:
                placed.add(source.name)
                outputs = tapped(taps[source.name], source.name, outputs)
            return outputs

        copy = keras.models.clone_model(functional, clone_function=clone_function, call_function=call_function)
        self._in_order(functional, copy)
        missing = [path for path in taps if "/" not in path and path not in placed]
        if missing:
            raise ReglabError(f"Nothing could be placed behind {', '.join(missing)}. {_WAY_OUT}.")
        return copy

    def _in_order(self, model: keras.Model, copy: keras.Model) -> None:
        """List the layers of a copy in the order of the model's: weights are listed in the order of layers.

        With a tap behind it a layer comes earlier.
        """
        order: dict[Any, int] = {}
        for position, layer in enumerate(model.layers):
            order[id(layer)] = order[layer.name] = position
        # What Keras made has no source here, but the name: inputs.
        order_layers(copy, lambda layer: order.get(id(self._sources.get(id(layer))), order.get(layer.name, len(order))))

    def _unbuilt(
        self,
        model: keras.Model,
        taps: Mapping[str, list[Callable[[Any], Any]]],
        logits: list[Callable[[Any], Any]],
        *,
        prefix: str,
    ) -> keras.Sequential:
        """Copy a Sequential model that does not know its input yet: a chain of layers."""
        place = find_logits(Graph.of(model)) if logits else None
        chain: list[Any] = []
        for layer in model.layers:
            at_end = place is not None and layer.name == place.name
            if is_graph(layer):
                inner = {
                    path[len(layer.name) + 1 :]: tap for path, tap in taps.items() if path.startswith(f"{layer.name}/")
                }
                if at_end:
                    inner[OUTPUT] = logits
                chain.append(self.graph(layer, inner, prefix=f"{prefix}{layer.name}/"))
            elif place is not None and at_end:
                chain += self._chain_with_logits(layer, place, logits)
            else:
                chain.append(self.layer(layer))
            names = enumerate(taps.get(layer.name, ()))
            chain += [Tap(function, name=f"tap{position}_{layer.name}") for position, function in names]
        return keras.Sequential(chain, name=model.name)

    def _chain_with_logits(self, layer: keras.Layer, place: Logits, logits: list[Callable[[Any], Any]]) -> list[Any]:
        taps = [Tap(function, name=f"tap{position}_logits") for position, function in enumerate(logits)]
        copy = self.layer(layer, linear=place.where == INSIDE)
        if place.where == BEFORE:
            return [*taps, copy]
        return [copy, *taps, *([_activation_behind(layer)] if place.where == INSIDE else [])]


def _on_first(tap: Tap, outputs: Tensors) -> Tensors:
    """Apply a tap to what a layer gives, or to the first of several: the others are states, or scores."""
    flat = keras.tree.flatten(outputs)
    return keras.tree.pack_sequence_as(outputs, [tap(flat[0]), *flat[1:]])


def _activation_behind(layer: keras.Layer) -> keras.layers.Activation:
    return keras.layers.Activation(own_activation(layer), dtype=layer.dtype_policy, name=f"{layer.name}_activation")


def _make_linear(layer: keras.Layer) -> None:
    while not hasattr(layer, "activation"):  # a wrapper, such as TimeDistributed
        layer = layer.layer
    layer.activation = keras.activations.linear


def _without_penalty(copy: keras.Operation) -> None:
    if isinstance(copy, keras.Layer):
        for layer in layers_in(copy, itself=True):
            if isinstance(layer.activity_regularizer, ActivityPenalty):
                layer.activity_regularizer = layer.activity_regularizer.original


def _input_like(tensor: keras.KerasTensor) -> keras.KerasTensor:
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name)


def _only_here(layer: keras.Operation) -> bool:
    """Whether a layer is more than its configuration, and nothing would show it.

    The function of a Lambda lives in this process alone. What is not built cannot be compared yet.
    """
    if not isinstance(layer, keras.Layer):
        return False
    return isinstance(layer, keras.layers.Lambda) or not (_of_keras(layer) or layer.built)


def _reason(error: Exception) -> str:
    """Return what an error of Keras' says first, before its explanations and examples, in one line."""
    text = " ".join(str(error).split())
    return text.split(". ")[0].rstrip(".")
