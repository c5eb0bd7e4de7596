"""What reglab takes of Keras that has no public name: all of it, and nothing anywhere else.

It was seen on Keras 3.15.1. ``tests/test_keras_internals.py`` looks at each of these on the Keras that is there, so
that a release that changes one breaks a test with its name.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from reglab.aliases import Optimizer, Random, Tensor, Tensors, Variable
from reglab.lazy import keras

__all__ = [
    "NOT_COPIED",
    "VARIABLE_ATTRIBUTES",
    "Node",
    "autocast_of",
    "averages_in",
    "build_for",
    "call_with",
    "calls_in",
    "compiled_with",
    "config_of",
    "decays_all",
    "draw_from",
    "follows_schedule",
    "forget_losses_in",
    "fresh_values",
    "generators_in",
    "generators_of",
    "is_graph",
    "layers_in",
    "made_by",
    "mask_of",
    "name_anew",
    "naming_kept",
    "order_layers",
    "own_variables",
    "run_graph",
    "schedule_of",
    "seed_of",
    "set_seed_of",
    "set_trainable_alone",
    "settings_of",
    "takes_training",
    "track_again",
    "uncompiled",
    "unseeded_drawn_from",
    "with_mask",
    "without_model",
]


# --- models as graphs -------------------------------------------------------------------------------------------------


def is_graph(model: keras.Layer) -> bool:
    """Whether the model is Sequential or Functional, so that its layers are known as a graph.

    One with a ``call`` of its own is not: what it does is known to that method alone. What ``keras.Model(inputs,
    outputs)`` makes has no public class.
    """
    from keras.src.models.functional import Functional

    return isinstance(model, keras.Sequential | Functional) and type(model).call in (
        keras.Sequential.call,
        Functional.call,
    )


class Node(Protocol):
    """A call of a layer or operation in a Functional model, as Keras records it."""

    @property
    def operation(self) -> keras.Operation: ...

    @property
    def arguments(self) -> Any: ...  # of the call: `call_with` reads them

    @property
    def input_tensors(self) -> list[keras.KerasTensor]: ...

    @property
    def outputs(self) -> list[keras.KerasTensor]: ...

    @property
    def output_tensors(self) -> list[keras.KerasTensor]: ...


def calls_in(model: keras.Model) -> list[Node]:
    """Return the calls of layers and operations in a Functional model, those of inputs left out."""
    nodes = itertools.chain.from_iterable(model._nodes_by_depth.values())
    return [node for node in nodes if not node.is_input]


def call_with(call: Node, tensors: Mapping[int, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a recorded call with other tensors in it, by the ids of those that it had."""
    args, kwargs = call.arguments.fill_in(tensors)
    return args, kwargs


def made_by(tensor: keras.KerasTensor) -> tuple[Any, int]:
    """Return the layer or operation that made a symbolic tensor, and which of its outputs it is; None for no symbol."""
    operation, _, index = getattr(tensor, "_keras_history", (None, None, 0))
    return operation, index


def run_graph(model: keras.Model, x: Tensors, call: Callable[..., Any]) -> Tensors:
    """Run a Functional model on ``x``, by ``call(layer, *args, **kwargs)`` for each of its calls."""
    return model._run_through_graph(model._standardize_inputs(x), call_fn=call)


def order_layers(model: keras.Model, key: Callable[[Any], Any]) -> None:
    """List the layers of a model in another order; weights are listed in that of the layers."""
    model._layers.sort(key=key)


# --- layers -----------------------------------------------------------------------------------------------------------


def layers_in(layer: keras.Layer, *, itself: bool = False, deep: bool = True) -> list[keras.Layer]:
    """Return the layers inside a layer or model: all, or only those directly in it."""
    return list(layer._flatten_layers(include_self=itself, recursive=deep))


def own_variables(layer: keras.Layer) -> list[Variable]:
    """Return the variables of a layer itself, without those of layers inside it and of its random generators."""
    return [*layer._trainable_variables, *layer._non_trainable_variables]


def set_trainable_alone(layer: keras.Layer, value: bool) -> None:
    """Freeze or thaw a layer by itself: setting ``trainable`` would set the layers inside it too."""
    layer._trainable = value


def takes_training(layer: keras.Layer, default: bool) -> bool:
    """Whether a layer's ``call`` takes ``training``."""
    return bool(getattr(layer, "_call_has_training_arg", default))


def forget_losses_in(layer: keras.Layer) -> None:
    """Let a layer, and all layers inside it, forget which losses they have added.

    In a stateless scope Keras finds a layer's losses by the ids of tensors. When those are gone, a loss of another
    layer may get such an id and would count for both. ``Layer.__call__`` begins with forgetting; ``stateless_call``, by
    which steps run on JAX, does not.
    """
    for one in layers_in(layer, itself=True):
        one._loss_ids.clear()


def mask_of(tensor: Tensor) -> Tensor | None:
    """Return the mask that goes with a tensor, or None; on JAX it is no attribute of the tensor."""
    from keras.src.backend import get_keras_mask

    return get_keras_mask(tensor)


def with_mask(tensor: Tensor, mask: Tensor | None) -> Tensor:
    """Return a tensor that a mask goes with, where there is one and it has none."""
    from keras.src.backend import get_keras_mask, set_keras_mask

    if mask is not None and get_keras_mask(tensor) is None:
        set_keras_mask(tensor, mask)
    return tensor


# --- randomness -------------------------------------------------------------------------------------------------------


def generators_of(layer: keras.Layer) -> list[Random]:
    """Return the seed generators of a layer itself."""
    return list(layer._seed_generators)


def draw_from(layer: keras.Layer, generator: Random) -> None:
    """Let a layer, and all layers inside it, draw from a generator in place of their own."""
    for one in layers_in(layer, itself=True):
        for own in list(one._seed_generators):
            for name, value in list(vars(one).items()):
                if value is own:
                    vars(one)[name] = generator  # a layer that is built lets nobody set what has state


def generators_in(layer: keras.Layer) -> list[Random]:
    """Return the seed generators of a layer and of all layers inside it."""
    return [generator for one in layers_in(layer, itself=True) for generator in generators_of(one)]


def seed_of(generator: Random) -> int:
    """Return the seed that a generator was made with."""
    return int(generator._initial_seed)


def set_seed_of(generator: Random, seed: int) -> None:
    """Give a generator a seed; its state is left as it is.

    Without a seed of its own, dropout on PyTorch draws from the global stream and not from the generator's.
    """
    generator._initial_seed = seed


@contextmanager
def unseeded_drawn_from(generator: Random) -> Iterator[None]:
    """Let operations without a seed draw from ``generator``, in place of the one that the process has."""
    from keras.src.backend.common import global_state

    kept = global_state.get_global_attribute(_UNSEEDED)
    global_state.set_global_attribute(_UNSEEDED, generator)
    try:
        yield
    finally:
        global_state.set_global_attribute(_UNSEEDED, kept)


# --- automatic names --------------------------------------------------------------------------------------------------

# What Keras keeps for the whole process: what unseeded operations draw from, and the counters of automatic names. It
# has no public way to put them aside: clear_session() would leave a user's next layers with names that are taken.
_UNSEEDED, _NAMES = "global_seed_generator", "object_name_uids"


def name_anew() -> None:
    """Start the automatic names of layers anew: on TensorFlow the last bits of a result depend on them."""
    from keras.src.backend.common import global_state

    global_state.set_global_attribute(_NAMES, None)


@contextmanager
def naming_kept() -> Iterator[None]:
    """Begin with new automatic names and a new generator of unseeded operations, and put back those that were there."""
    from keras.src.backend.common import global_state

    kept = {name: global_state.get_global_attribute(name) for name in (_NAMES, _UNSEEDED)}
    for name in kept:
        global_state.set_global_attribute(name, None)
    try:
        yield
    finally:
        for name, value in kept.items():
            global_state.set_global_attribute(name, value)


# --- optimizers -------------------------------------------------------------------------------------------------------


def averages_in(optimizer: Optimizer) -> list[Variable]:
    """Return the averages of weights that an optimizer with ``use_ema`` keeps, in the order of the weights."""
    return list(optimizer._model_variables_moving_average)


def follows_schedule(optimizer: Optimizer) -> bool:
    """Whether the learning rate of an optimizer follows a schedule of Keras' own."""
    return isinstance(getattr(optimizer, "_learning_rate", None), keras.optimizers.schedules.LearningRateSchedule)


def schedule_of(optimizer: Optimizer) -> keras.optimizers.schedules.LearningRateSchedule | None:
    """Return the schedule that the learning rate of an optimizer follows, or None."""
    return optimizer._learning_rate if follows_schedule(optimizer) else None


def config_of(optimizer: Optimizer) -> dict[str, Any]:
    """Return the configuration of an optimizer with its schedule as it is: one of the user's may have none."""
    schedule = schedule_of(optimizer)
    if schedule is None:
        return dict(optimizer.get_config())
    optimizer._learning_rate = 0.0
    try:
        config = dict(optimizer.get_config())
    finally:
        optimizer._learning_rate = schedule
    return {**config, "learning_rate": schedule}


def settings_of(thing: keras.losses.Loss | Optimizer) -> dict[str, Any]:
    """Return the configuration of a loss or an optimizer, with the arguments that some losses of Keras' leave out.

    ``Huber`` leaves out ``delta``, and ``CosineSimilarity`` its ``axis``.
    """
    return {**thing.get_config(), **getattr(thing, "_fn_kwargs", {})}


def decays_all(optimizer: Optimizer) -> bool:
    """Whether no weights were left out of an optimizer's own weight decay; its configuration does not say which."""
    names = ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern")
    return not any(getattr(optimizer, name, None) for name in names)


def compiled_with(model: keras.Model) -> dict[str, Any]:
    """Return the arguments that a model was compiled with, as they were given; nothing if it was not compiled."""
    held = getattr(model, "_compile_config", None) if getattr(model, "compiled", False) else None
    return {} if held is None else dict(held.config)


@contextmanager
def uncompiled(model: keras.Model) -> Iterator[None]:
    """Let a model stand uncompiled meanwhile: pickled, it names its losses and metrics, which nobody may know."""
    held = {name: getattr(model, name, None) for name in ("compiled", "optimizer")}
    model.compiled, model.optimizer = False, None
    try:
        yield
    finally:
        for name, value in held.items():
            setattr(model, name, value)


def build_for(model: keras.Model, batch: Tensors) -> None:
    """Make what a compiled model has to make before it trains, as ``fit`` does it from its first batch."""
    model._symbolic_build(data_batch=batch)


def without_model(callback: keras.callbacks.Callback) -> keras.callbacks.Callback:
    """Return a shallow copy of a callback that has not seen the model it was trained with."""
    found = copy.copy(callback)
    found._model = None
    return found


# --- copying an object by its attributes ------------------------------------------------------------------------------

# What calls and trainings leave behind, and what a copy begins anew with.
_OF_OPERATIONS: dict[str, Callable[[], Any]] = {"_inbound_nodes": list, "_outbound_nodes": list}
_OF_LAYERS: dict[str, Callable[[], Any]] = {"_losses": list, "_loss_ids": set, "_losses_override": list}
_OF_MODELS: dict[str, Callable[[], Any]] = {
    "compiled": bool,
    **dict.fromkeys(
        ("optimizer", "loss", "train_function", "test_function", "predict_function", "_compile_loss",
         "_compile_metrics", "_loss_tracker"),
        type(None),
    ),
}  # fmt: skip
NOT_COPIED = frozenset({"_torch_params", "_compile_config", "_default_save_signature"})  # made when they are asked for
VARIABLE_ATTRIBUTES = ("_path", "_regularizer", "_constraint", "_overwrite_with_gradient")


def fresh_values(thing: object) -> dict[str, Callable[[], Any]]:
    """Return the attributes that a copy of a layer or model begins anew with, and what makes their values."""
    kinds = ((keras.Operation, _OF_OPERATIONS), (keras.Layer, _OF_LAYERS), (keras.Model, _OF_MODELS))
    return {name: make for kind, values in kinds if isinstance(thing, kind) for name, make in values.items()}


def autocast_of(variable: Variable) -> bool:
    """Whether a variable is cast to the precision that a layer computes in."""
    return bool(variable._autocast)


def track_again(original: Any, copy: Any) -> None:
    """Make a copied tracker know what is in its stores: it remembers by identity what it tracks."""
    if hasattr(original, "stored_ids") and isinstance(getattr(original, "config", None), dict):
        copy.stored_ids = {name: {id(item) for item in store} for name, (_, store) in copy.config.items()}
